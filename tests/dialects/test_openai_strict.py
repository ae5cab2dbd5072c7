"""JSON schemas as strict structured outputs take them."""

import copy
from enum import Enum
from typing import Annotated, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from headgate.core.errors import BadRequestError
from headgate.dialects.openai_strict import as_it_is, strict
from headgate.providers.simulator.strict import why_not_strict


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


def one(part, **more):
    """An object with one property `x`."""
    return {"type": "object", "properties": {"x": part}, **more}


def part_of(schema, **more):
    """What becomes of that property."""
    return strict(one(schema, **more)).schema["properties"]["x"]


def _walk(schema):
    yield schema
    for value in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        if isinstance(value, dict | list):
            yield from _walk(value)


@pytest.mark.parametrize("model", [Home, Node, Cat])
def test_every_object_is_closed_and_complete(model):
    """No further properties, all properties required, no `oneOf`, references alone; the simulator takes it."""
    schema = strict(model.model_json_schema()).schema
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert why_not_strict(schema) is None
    for part in _walk(schema):
        if not isinstance(part, dict):
            continue
        if part.get("type") == "object":
            assert part["additionalProperties"] is False
            assert part["required"] == list(part["properties"])
        assert not part.keys() & {"oneOf", "discriminator", "default"}
        if "$ref" in part:
            assert list(part) == ["$ref"]


def test_what_the_model_takes_the_schema_takes():
    """An instance with everything given validates against the schema, in the recursion too."""
    home = Home(colour=Colour.RED, pet=Dog(name="Rex"), rooms=[Dog()], where=Cat())
    jsonschema.validate(home.model_dump(mode="json"), strict(Home.model_json_schema()).schema)
    tree = Node(name="a", children=[Node(name="b", children=[])])
    schema = strict(Node.model_json_schema()).schema
    jsonschema.validate(tree.model_dump(mode="json"), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "a"}, schema)


def test_descriptions_survive():
    """What the user wrote for the model to read is sent, beside a reference too."""
    schema = strict(Home.model_json_schema()).schema
    assert schema["properties"]["colour"]["description"] == "of the walls"
    assert schema["properties"]["where"]["description"] == "the cat"
    assert schema["properties"]["where"]["anyOf"] == [{"$ref": "#/$defs/Cat"}]


def test_the_schema_that_was_given_is_not_changed():
    """It is somebody else's."""
    given_one = Home.model_json_schema()
    before = copy.deepcopy(given_one)
    strict(given_one)
    assert given_one == before


def test_a_property_may_have_any_name():
    """Names of properties are not keywords."""
    names = ["default", "$ref", "items", "properties", "anyOf", "allOf", "not", "$defs", "type", ""]
    schema = {"type": "object", "properties": {name: {"type": "integer"} for name in names}}
    found = strict(schema).schema
    assert found["required"] == names
    assert all(part == {"type": "integer"} for part in found["properties"].values())


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        ({"type": "string", "maxLength": 3}, {"type": "string", "description": "(maxLength: 3)"}),
        ({"type": "string", "format": "uri"}, {"type": "string", "description": "(format: uri)"}),
        ({"type": "string", "format": "uuid"}, {"type": "string", "format": "uuid"}),
        ({"type": "string", "pattern": "^a+$"}, {"type": "string", "pattern": "^a+$"}),
        ({"type": "string", "pattern": "^(?!x)"}, {"type": "string", "description": "(pattern: ^(?!x))"}),
        ({"type": "string", "pattern": r"(a)\1"}, {"type": "string", "description": r"(pattern: (a)\1)"}),
        ({"type": "integer", "minimum": 3, "default": 4}, {"type": "integer", "minimum": 3}),
        ({"const": 3}, {"type": "integer", "const": 3}),
        ({"enum": ["a", None, 2, 1.5]}, {"type": ["string", "null", "number"], "enum": ["a", None, 2, 1.5]}),
        ({"enum": [True]}, {"type": "boolean", "enum": [True]}),
        ({"allOf": [{"type": "null"}], "title": "N"}, {"type": "null", "title": "N"}),
        (
            {"oneOf": [{"type": "null"}, {"const": "a"}]},
            {"anyOf": [{"type": "null"}, {"type": "string", "const": "a"}]},
        ),
        (
            {"type": "array", "items": {"type": "null"}, "uniqueItems": True, "minItems": 1, "description": "All."},
            {"type": "array", "items": {"type": "null"}, "minItems": 1, "description": "All. (uniqueItems: true)"},
        ),
        (
            {"type": "array", "prefixItems": [{"type": "string"}, {"type": "null"}], "minItems": 2, "maxItems": 2},
            {
                "type": "array",
                "items": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "minItems": 2,
                "maxItems": 2,
                "description": "(in this order: string, null)",
            },
        ),
        ({"items": {"type": "null"}}, {"type": "array", "items": {"type": "null"}}),
        ({"type": ["string", "null"], "pattern": "a"}, {"type": ["string", "null"], "pattern": "a"}),
        ({"type": "string", "x-mine": 1, "examples": ["a"], "readOnly": True}, {"type": "string"}),
    ],
    ids=str,
)
def test_how_each_word_is_sent(schema, sent):
    """Kept, respelled, told in words, or left out."""
    assert part_of(schema) == sent


@pytest.mark.parametrize(
    ("schema", "place", "said"),
    [
        ({}, "x", "anything at all"),
        (True, "x", "anything at all"),
        ({"title": "T"}, "x", "anything at all"),
        (False, "x", "nothing fits"),
        ({"type": "object"}, "x", "properties of any name"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "x", "properties of any name"),
        ({"type": "object", "properties": {}, "additionalProperties": True}, "x", "properties of any name"),
        ({"type": "object", "properties": {}, "patternProperties": {"a": {}}}, "x", "patternProperties"),
        ({"type": "array"}, "x", "list of anything"),
        ({"type": "array", "items": {"type": "array", "items": {}}}, "x[][]", "anything at all"),
        ({"type": "array", "prefixItems": [{"type": "null"}, {}]}, "x[1]", "anything at all"),
        ({"anyOf": [{"type": "null"}, one({"not": {"type": "null"}})]}, "x.anyOf[1].x", "`not`"),
        ({"type": "string", "if": {"const": 1}}, "x", "`if`"),
        ({"allOf": [{"type": "string"}, {"minLength": 3}]}, "x", "`allOf`"),
        ({"type": "object", "properties": {}, "dependentRequired": {"a": ["b"]}}, "x", "dependentRequired"),
        ({"type": "object", "properties": {}, "unevaluatedProperties": True}, "x", "unevaluatedProperties"),
        ({"type": "object", "properties": {}, "required": ["q"]}, "x", "'q'"),
        ({"enum": [{"a": 1}]}, "x", "lists or objects"),
        ({"enum": []}, "x", "`enum`"),
        ({"anyOf": [], "type": "string"}, "x", "`anyOf`"),
        ({"anyOf": [{"type": "null"}], "oneOf": [{"type": "null"}]}, "x", "at once"),
        ({"$ref": "#/$defs/A", "properties": {}}, "x", "at once"),
        ({"$ref": "#/properties/x"}, "x", "#/properties/x"),
        ({"$ref": "http://example.com/"}, "x", "example.com"),
        ({"$ref": ["a"]}, "x", "reference"),
        ({"type": "strange"}, "x", "'strange'"),
        ({"type": "object", "properties": ["a"]}, "x", "no schema"),
        (7, "x", "no schema"),
        ({"$ref": "#/$defs/B"}, "x.deep", "anything at all"),
    ],
    ids=str,
)
def test_what_cannot_be_said_strictly(schema, place, said):
    """Each restriction by its place, with a cure, before anything is sent."""
    definitions = {"A": {"type": "null"}, "B": {"type": "object", "properties": {"deep": {}}}}
    with pytest.raises(BadRequestError, match=said.replace("(", r"\(").replace("[", r"\[")) as caught:
        part_of(schema, **{"$defs": definitions})
    assert caught.value.param == place
    assert f"`{place}`" in caught.value.message
    assert caught.value.hint
    assert caught.value.code == "unsupported_schema"


def test_only_what_is_referred_to_is_sent():
    """What stands in `$defs` for nothing is neither sent nor refused."""
    found = strict(one({"$ref": "#/$defs/a~1b"}, **{"$defs": {"a/b": {"type": "null"}, "Any": {}}})).schema
    assert found["$defs"] == {"a/b": {"type": "null"}}
    assert found["properties"]["x"] == {"$ref": "#/$defs/a~1b"}
    old = strict(one({"$ref": "#/definitions/A"}, definitions={"A": {"type": "null"}})).schema
    assert old["$defs"] == {"A": {"type": "null"}}


def test_a_root_that_refers_to_itself():
    """`#` becomes a definition; a root that is a reference becomes what it leads to; a circle leads nowhere."""
    found = strict(one({"anyOf": [{"$ref": "#"}, {"type": "null"}]})).schema
    assert found["properties"]["x"]["anyOf"][0] == {"$ref": "#/$defs/Root"}
    jsonschema.validate({"x": {"x": {"x": None}}}, found)
    listed = strict({"type": "array", "items": {"$ref": "#"}})
    assert listed.wrapped
    jsonschema.validate({"value": [[], [[]]]}, listed.schema)
    with pytest.raises(BadRequestError, match="circle"):
        strict({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}})


@pytest.mark.parametrize("root", [{"type": "string"}, {"anyOf": [one({"type": "null"}), {"type": "null"}]}])
def test_a_root_that_is_no_object(root):
    """It becomes the only property of one, held to a schema or not."""
    for found in (strict(root), as_it_is(root)):
        assert found.wrapped
        assert found.schema["required"] == ["value"]
    assert not as_it_is({"type": "object"}).wrapped
    with pytest.raises(BadRequestError, match="reference"):
        as_it_is({"type": "array", "items": {"$ref": "#"}})


def test_nesting_without_end_is_refused():
    """Whatever form it takes; no recursion error."""
    deep = {"type": "null"}
    for _ in range(3000):
        deep = {"type": "array", "items": deep}
    alls = {"type": "null"}
    for _ in range(3000):
        alls = {"allOf": [alls]}
    itself = {"type": "array"}
    itself["items"] = itself
    for schema in (deep, alls, itself):
        with pytest.raises(BadRequestError, match="levels"):
            strict(one(schema))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "anyOf", "$ref", "enum", "allOf", "prefixItems", "required"]
            ),
            inner | st.sampled_from(["object", "array", "string", "#", "#/$defs/x"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_whatever_comes_is_converted_or_refused(part):
    """No other error, whatever stands where a schema should; what is sent is strict."""
    try:
        found = part_of(part)
    except BadRequestError:
        return
    assert why_not_strict(one(found, required=["x"], additionalProperties=False)) is None
