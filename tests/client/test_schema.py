"""Pydantic models as strict schemas, and answers as their objects."""

from decimal import Decimal
from enum import Enum
from typing import Annotated, Generic, Literal, TypeVar

import jsonschema
import pytest
from pydantic import BaseModel, Field, RootModel

from headgate.client.response import ModelResponse
from headgate.client.schema import fit, strict_schema
from headgate.core.body import Body
from headgate.core.errors import BadRequestError, ValidationError
from headgate.core.usage import TokenUsage

T = TypeVar("T")


class Colour(Enum):
    """Of walls."""

    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    """It has lives."""

    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    """It may have a name."""

    kind: Literal["dog"] = "dog"
    name: str | None = None


class Home(BaseModel):
    """A model with everything that pydantic spells in its own way."""

    colour: Colour = Field(description="of the walls")
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    rooms: list[Dog] = []
    where: Cat = Field(default=Cat(), description="the cat")


class Node(BaseModel):
    """It refers to itself."""

    name: str
    children: list["Node"] = []


def _answer(text, *, finish="stop", raw=b"{}"):
    return ModelResponse(
        text=text,
        model="m",
        provider="p",
        usage=TokenUsage(),
        cost_usd=Decimal(0),
        cached=False,
        finish_reason=finish,
        request_id="r",
        attempts=1,
        latency_ms=1.0,
        simulated=True,
        body=Body(raw),
    )


def _walk(schema):
    yield schema
    for value in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        if isinstance(value, dict | list):
            yield from _walk(value)


@pytest.mark.parametrize("model", [Home, Node, Cat])
def test_every_object_is_closed_and_complete(model):
    """No further properties, all properties required, no defaults, no `oneOf`, references alone."""
    schema = strict_schema(model)["schema"]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    for part in _walk(schema):
        if not isinstance(part, dict):
            continue
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert part["required"] == list(part["properties"])
        assert not part.keys() & {"oneOf", "discriminator", "default"} or "properties" in _parents(schema, part)
        if "$ref" in part:
            assert list(part) == ["$ref"]


def _parents(schema, wanted):
    """Names under which a mapping stands: a property may be called `default`."""
    return [name for part in _walk(schema) if isinstance(part, dict) for name, value in part.items() if value is wanted]


def test_what_the_model_takes_the_schema_takes():
    """An instance with everything given validates against the schema, in the recursion too."""
    home = Home(colour=Colour.RED, pet=Dog(name="Rex"), rooms=[Dog()], where=Cat())
    jsonschema.validate(home.model_dump(mode="json"), strict_schema(Home)["schema"])
    tree = Node(name="a", children=[Node(name="b", children=[])])
    jsonschema.validate(tree.model_dump(mode="json"), strict_schema(Node)["schema"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "a"}, strict_schema(Node)["schema"])


def test_descriptions_survive():
    """What the user wrote for the model to read is sent, beside a reference too."""
    schema = strict_schema(Home)["schema"]
    assert schema["properties"]["colour"]["description"] == "of the walls"
    assert schema["properties"]["where"]["description"] == "the cat"


def test_a_property_may_have_any_name():
    """Names of properties are not keywords."""

    class Odd(BaseModel):
        default: int = 1
        discriminator: str = ""
        items: list[int] = []

    assert strict_schema(Odd)["schema"]["required"] == ["default", "discriminator", "items"]


def test_what_is_inside_lists_tuples_and_mappings_is_strict_too():
    """A mapping of free keys stays one: the provider, not we, says whether it takes it."""

    class Deep(BaseModel):
        pair: tuple[Cat, Dog]
        many: list[Cat | None]
        free: dict[str, Cat]
        open: dict[str, object]

    schema = strict_schema(Deep)["schema"]
    jsonschema.Draft202012Validator.check_schema(schema)
    parts = schema["properties"]
    assert parts["pair"]["prefixItems"] == [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]
    assert parts["free"]["additionalProperties"] == {"$ref": "#/$defs/Cat"}
    assert parts["open"]["additionalProperties"] is True


def test_the_name_is_one_that_providers_take():
    """A generic model's name has brackets; the schema's has not."""

    class Box(BaseModel, Generic[T]):
        inside: T

    assert strict_schema(Box[int])["name"] == "Box_int_"


def test_a_model_that_is_no_object_is_refused():
    """A list at the root cannot be asked for; nothing is sent."""
    with pytest.raises(BadRequestError, match="not an object"):
        strict_schema(RootModel[list[int]])


@pytest.mark.parametrize("into", [dict, "City", None, list[int]])
def test_what_is_no_model_is_refused(into):
    """By name, before anything is sent."""
    with pytest.raises(BadRequestError, match="is not a Pydantic model"):
        strict_schema(into)


def test_an_answer_that_fits_is_an_object():
    """The text becomes the validated model."""
    assert fit(Cat, _answer('{"kind":"cat","lives":3}')) == Cat(lives=3)


@pytest.mark.parametrize(
    ("response", "code", "said"),
    [
        (_answer("", raw=b'{"choices":[{"message":{"refusal":"I will not."}}]}'), "refusal", "I will not."),
        (_answer('{"kind":"ca', finish="length"), "truncated", "cut off"),
        (_answer("", finish="content_filter"), "content_filter", "filter"),
        (_answer('{"kind":"cat","lives":"many"}'), "invalid_output", "`lives`"),
        (_answer("not JSON"), "invalid_output", "Cat"),
        (_answer(""), "invalid_output", "Cat"),
    ],
)
def test_an_answer_that_does_not_fit_is_told_apart(response, code, said):
    """Refused, cut short, filtered, or simply wrong; the answer's text is kept, and no value is in the message."""
    with pytest.raises(ValidationError) as caught:
        fit(Cat, response)
    assert caught.value.code == code
    assert said in caught.value.message
    assert "many" not in caught.value.message
    assert caught.value.text == (response.text or response.refusal or "")


def test_many_problems_are_counted():
    """The message stays readable."""

    class Wide(BaseModel):
        a: int
        b: int
        c: int
        d: int
        e: int

    with pytest.raises(ValidationError, match="and 2 more"):
        fit(Wide, _answer("{}"))
