"""What may be asked for, and answers as objects of it."""

import dataclasses
from itertools import count
from typing import Any, Generic, TypeVar

import jsonschema
import pytest
from pydantic import BaseModel, Field, RootModel, TypeAdapter, field_validator
from typing_extensions import TypedDict

from headgate.core.errors import BadRequestError, FilteredError, RefusalError, TruncatedError, ValidationError
from headgate.gate.shapes import Said, shape

T = TypeVar("T")


class Cat(BaseModel):
    """It has lives."""

    kind: str = "cat"
    lives: int = 9


@dataclasses.dataclass
class Point:
    """On a plane."""

    x: float
    y: float


class Named(TypedDict):
    """A mapping with known names."""

    name: str


class Wide(BaseModel):
    """It has many fields."""

    a: int
    b: int
    c: int
    d: int
    e: int


class Odd(BaseModel):
    """What no schema says is validated all the same."""

    number: int

    @field_validator("number")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            message = "it must be odd"
            raise ValueError(message)
        return value


def test_a_model_is_sent_by_its_name_and_strict():
    """Name, strict schema, and an object of the model."""
    cat = shape(Cat)
    assert cat.wire["name"] == "Cat"
    assert cat.wire["strict"] is True
    assert cat.wire["schema"]["required"] == ["kind", "lives"]
    assert cat.fit(Said('{"kind":"cat","lives":3}', "stop")) == Cat(lives=3)


@pytest.mark.parametrize(
    ("into", "text", "value"),
    [
        (Point, '{"x":1,"y":2.5}', Point(1, 2.5)),
        (Named, '{"name":"a"}', {"name": "a"}),
        (list[int], '{"value":[1,2]}', [1, 2]),
        (TypeAdapter(Cat | Point), '{"value":{"x":1,"y":2}}', Point(1, 2)),
        (RootModel[list[str]], '{"value":["a"]}', RootModel[list[str]](["a"])),
        (int, '{"value": 7 }', 7),
        ({"type": "array", "items": {"type": "integer"}}, '{"value":[3]}', [3]),
        ({"type": "object", "properties": {"n": {"type": "integer"}}}, '{"n":1}', {"n": 1}),
    ],
    ids=str,
)
def test_whatever_has_a_schema(into, text, value):
    """What is no object travels inside one; the sent schema is a schema, and takes the answer."""
    asked = shape(into)
    jsonschema.Draft202012Validator.check_schema(asked.wire["schema"])
    jsonschema.validate(TypeAdapter(Any).validate_json(text), asked.wire["schema"])
    assert asked.fit(Said(text, "stop")) == value


def test_the_name_is_one_that_providers_take():
    """A generic model's name has brackets; the schema's has not."""

    class Box(BaseModel, Generic[T]):
        inside: T

    assert shape(Box[int]).wire["name"] == "Box_int_"
    assert shape({"title": "a" * 99, "type": "integer"}).wire["name"] == "a" * 64


@pytest.mark.parametrize(
    ("into", "said"),
    [
        ("City", "no type"),
        (None, "no type"),
        (object(), "cannot be asked for"),
        (dict, "properties of any name"),
        (dict[str, int], "properties of any name"),
        (Any, "anything at all"),
        ({"type": "strange"}, "'strange'"),
        ({"properties": {1: {"type": "integer"}, "x": object()}}, "as JSON"),
        ({"type": "object", "properties": {"a": {"$ref": "http://example.com/x"}}}, "leads to nothing"),
    ],
    ids=count(),
)
def test_what_cannot_be_asked_for_is_refused(into, said):
    """By name, before anything is sent, and with a cure."""
    with pytest.raises(BadRequestError, match=said) as caught:
        shape(into)
    assert caught.value.hint


def test_what_a_strict_schema_cannot_say_may_be_asked_for_otherwise():
    """As it is; only the answer is validated."""
    free = shape(dict[str, int], hold=False)
    assert free.wire["strict"] is False
    assert free.fit(Said('{"a":1}')) == {"a": 1}
    with pytest.raises(ValidationError, match="`a`"):
        free.fit(Said('{"a":"x"}'))


def test_a_list_that_no_model_is_held_to_travels_in_an_object_too():
    """Providers take objects only."""
    many = shape(list[dict[str, Cat]], hold=False)
    assert many.wire["schema"]["type"] == "object"
    jsonschema.validate({"value": [{"a": {"lives": 1}}]}, many.wire["schema"])
    assert many.fit(Said('{"value":[{"a":{"lives":1}}]}')) == [{"a": Cat(lives=1)}]


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        (Said("", "stop", "I will not."), RefusalError, "I will not."),
        (Said('{"kind":"ca', "length"), TruncatedError, "cut off"),
        (Said('{"kind":"cat","lives":1}', "length"), TruncatedError, "cut off"),
        (Said("", "content_filter"), FilteredError, "filter"),
        (Said('{"kind":"cat","lives":"many"}'), ValidationError, "`lives`"),
        (Said("not JSON"), ValidationError, "Cat"),
        (Said(""), ValidationError, "Cat"),
        (Said("\ud800"), ValidationError, "Cat"),
        (Said("[" * 100_000), ValidationError, "Cat"),
        (Said('{"kind":"\\ud800","lives":1}'), ValidationError, "Cat"),
        (Said('{"kind":"cat","lives":' + "9" * 9999 + "}"), ValidationError, "Cat"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_answer_that_does_not_fit_is_told_apart(said, error, words):
    """Refused, cut short, filtered, or simply wrong; the answer's text is kept, and no value is in the message."""
    with pytest.raises(ValidationError) as caught:
        shape(Cat).fit(said)
    assert type(caught.value) is error
    assert words in caught.value.message
    assert "many" not in caught.value.message
    assert caught.value.text == (said.refusal or said.text)


@pytest.mark.parametrize("text", ["", "[", "3", "[" * 100_000, '{"value":', '{"value":"x"}', "{}", "\ud800", "null"])
@pytest.mark.parametrize("into", [list[int], {"type": "array", "items": {"type": "integer"}}, {"type": "integer"}])
def test_hostile_texts_end_in_the_typed_error(into, text):
    """Never in that of a decoder, whichever way it is read."""
    with pytest.raises(ValidationError) as caught:
        shape(into).fit(Said(text))
    assert caught.value.problems


def test_validators_of_the_model_count():
    """Their words are the problem that the model is told."""
    with pytest.raises(ValidationError) as caught:
        shape(Odd).fit(Said('{"number":2}'))
    assert caught.value.problems == ("`number`: Value error, it must be odd",)


def test_many_problems_are_counted():
    """The message stays readable; all of them are on the error."""
    with pytest.raises(ValidationError, match="and 2 more") as caught:
        shape(Wide).fit(Said("{}"))
    assert len(caught.value.problems) == 5


def test_fine_tuned_models_are_told_of_bounds():
    """They are not held to them, so that the schema does not say them."""

    class Few(BaseModel):
        some: list[int] = Field(min_length=2)

    assert "minItems" in shape(Few).wire["schema"]["properties"]["some"]
    told = shape(Few, bounds=False).wire["schema"]["properties"]["some"]
    assert "minItems" not in told
    assert told["description"] == "(minItems: 2)"
