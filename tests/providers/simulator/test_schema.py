"""Made-up values, judged by a checker that somebody else wrote."""

from contextlib import suppress

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.schema import NoInstance, instance

SEEDS = [b"%d" % seed for seed in range(40)]


def check(schema, value):
    """Fail unless the value is valid, formats included."""
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    checker.validate(value)


FIXED = [
    {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["b"]},
    {"type": "object", "required": ["x"], "additionalProperties": {"type": "integer"}},
    {"type": "object", "minProperties": 3, "additionalProperties": {"type": "boolean"}},
    {"type": "object", "minProperties": 2, "patternProperties": {"^x[0-9]{3}$": {}}, "additionalProperties": False},
    {"type": "object", "propertyNames": {"pattern": "^[a-z]{3}$"}, "minProperties": 2},
    {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "maxProperties": 1},
    {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "dependentRequired": {"a": ["b"]}},
    {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "null"}], "items": False, "minItems": 1},
    {"type": "array", "contains": {"const": 5}, "minContains": 2, "maxItems": 4},
    {"type": "array", "items": {"type": "array", "items": {"type": "number"}, "minItems": 2}, "minItems": 1},
    {"type": ["string", "null"]},
    {"anyOf": [{"type": "string", "format": "email"}, {"type": "null"}]},
    {"oneOf": [{"type": "integer", "multipleOf": 3}, {"type": "integer", "multipleOf": 5}], "minimum": 1},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"required": ["a"]}]},
    {"type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 1},
    {"type": "string", "format": "date-time"},
    {"type": "string", "pattern": "^[A-Z]{2}[0-9]+$", "minLength": 8},
    {"not": {"type": "object"}},
    {"type": "integer", "not": {"multipleOf": 2}},
    {"if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]}, "properties": {"a": {"enum": [1, 2]}}},
    {"$ref": "#/$defs/node", "$defs": {"node": {
        "type": "object",
        "properties": {"value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
        "required": ["value", "children"], "additionalProperties": False,
    }}},
    {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"],
     "additionalProperties": False},
    {"$defs": {"leaf": {"type": "string"}, "pair": {
        "type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}, "right": {"$ref": "#/$defs/tree"}},
        "required": ["left", "right"]}, "tree": {"anyOf": [{"$ref": "#/$defs/leaf"}, {"$ref": "#/$defs/pair"}]}},
     "$ref": "#/$defs/tree"},
    True,
    {},
]  # fmt: skip


@pytest.mark.parametrize("schema", FIXED, ids=str)
def test_values_fit(schema):
    """Over many dice, each value is valid, formats included."""
    for seed in SEEDS:
        check(schema, instance(schema, Dice(seed)))


IMPOSSIBLE = [
    False,
    {"type": "integer", "minimum": 3, "maximum": 2},
    {"type": "object", "required": ["a"], "properties": {"a": False}},
    {"type": "object", "required": ["a"], "additionalProperties": False},
    {"enum": []},
    {"enum": [1], "type": "string"},
    {"type": "string", "pattern": "^(?!a)a$"},
    {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    {"type": "array", "items": {"$ref": "#"}, "minItems": 2},
    {"$ref": "#"},
    {"$ref": "#/a", "a": {"$ref": "#/b"}, "b": {"$ref": "#/a"}},
    {"$ref": "#/nowhere"},
    {"type": "strange"},
    {"allOf": [{"type": "string"}, {"type": "integer"}]},
    {"type": "array", "minItems": 5, "maxItems": 2},
    {"type": "array", "items": {"enum": [1]}, "minItems": 2, "uniqueItems": True},
    {"properties": 3},
    {"items": "x", "type": "array", "minItems": 1},
]


@pytest.mark.parametrize("schema", IMPOSSIBLE, ids=str)
def test_what_cannot_be_is_said(schema):
    """No value is invented for a schema that has none, that is broken, or that never ends."""
    with pytest.raises(NoInstance):
        instance(schema, Dice(b"x"))


def test_equal_dice_make_equal_values():
    """The value depends on the schema and the dice."""
    assert instance(FIXED[0], Dice(b"1")) == instance(FIXED[0], Dice(b"1"))


def test_values_keep_the_order_of_the_schema():
    """As structured outputs do, whatever the order of `required`."""
    schema = {"type": "object", "properties": {"b": {}, "a": {}, "c": {}}, "required": ["c", "a", "b"]}
    assert list(instance(schema, Dice(b"x"))) == ["b", "a", "c"]


def scalars():
    """Schemas of single values, all of which have some."""
    bounds = st.tuples(st.integers(-50, 50), st.integers(1, 50))
    return st.one_of(
        st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": "string"}, {"type": ["integer", "null"]}]),
        st.lists(st.one_of(st.integers(), st.text(max_size=5), st.none()), min_size=1).map(lambda of: {"enum": of}),
        bounds.map(lambda of: {"type": "integer", "minimum": of[0], "maximum": of[0] + of[1]}),
        bounds.map(lambda of: {"type": "number", "exclusiveMinimum": of[0], "exclusiveMaximum": of[0] + of[1]}),
        st.sampled_from([1, 3, 0.5, 0.01]).map(lambda of: {"type": "number", "multipleOf": of}),
        st.tuples(st.integers(0, 20), st.integers(0, 20)).map(
            lambda of: {"type": "string", "minLength": of[0], "maxLength": of[0] + of[1]}
        ),
        st.sampled_from(["^[A-Z]{3}$", r"^\d+(\.\d+)?$", "x|y"]).map(lambda of: {"type": "string", "pattern": of}),
        st.sampled_from(["date-time", "date", "time", "email", "uuid", "ipv4", "ipv6", "hostname", "duration"]).map(
            lambda of: {"type": "string", "format": of}
        ),
    )


def composed(inner):
    """Schemas made of others."""
    objects = st.dictionaries(st.sampled_from("abcdef"), inner, max_size=4).flatmap(
        lambda of: st.tuples(
            st.just(of), st.lists(st.sampled_from(sorted(of) or ["z"]), unique=True), st.booleans()
        ).map(
            lambda facts: {
                "type": "object",
                "properties": facts[0],
                "required": [name for name in facts[1] if name in facts[0]],
                "additionalProperties": facts[2],
            }
        )
    )
    arrays = st.tuples(inner, st.integers(0, 3), st.integers(0, 3)).map(
        lambda of: {"type": "array", "items": of[0], "minItems": of[1], "maxItems": of[1] + of[2]}
    )
    return st.one_of(
        objects,
        arrays,
        st.lists(inner, min_size=1, max_size=3).map(lambda of: {"anyOf": of}),
        inner.map(lambda of: {"allOf": [of, {}]}),
        inner.map(lambda of: {"oneOf": [of, {"type": "object", "required": ["\x00"]}]}),
    )


@given(st.recursive(scalars(), composed, max_leaves=12), st.integers())
def test_generated_schemas_get_valid_values(schema, seed):
    """Whatever the schema, the value fits by the reference checker."""
    check(schema, instance(schema, Dice(b"%d" % seed)))


json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)
words = st.sampled_from(
    [
        "type", "properties", "required", "items", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "minimum",
        "maximum", "multipleOf", "pattern", "format", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems",
        "prefixItems", "contains", "additionalProperties", "patternProperties", "propertyNames", "minProperties",
        "dependentRequired", "if", "then", "not",
    ]
)  # fmt: skip


@given(st.dictionaries(words, json, max_size=4))
def test_nonsense_is_refused_and_nothing_else_happens(schema):
    """A schema with any values behind the known words gives a value or NoInstance, never another error."""
    with suppress(NoInstance):
        instance(schema, Dice(b"x"))
