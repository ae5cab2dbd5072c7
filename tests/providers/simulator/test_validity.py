"""Whether a value fits, compared with a checker that somebody else wrote."""

import jsonschema
import pytest

from headgate.providers.simulator.validity import BadSchemaError, fits, resolve, same

VALUES = [
    None, True, False, 0, 1, 1.0, 1.5, -3, 7, 0.07, "", "a", "abc", "2020-01-01", [], [1], [1, 1], [1, "a", None],
    {}, {"a": 1}, {"a": "x", "b": [1]}, {"a": {"a": {}}}, {"x_1": 1, "b": 2},
]  # fmt: skip

SCHEMAS = [
    True,
    False,
    {},
    *({"type": kind} for kind in ("null", "boolean", "string", "number", "integer", "array", "object")),
    {"type": ["string", "null"]},
    {"const": 1},
    {"const": {"a": 1}},
    {"enum": [1, "a", None, [1]]},
    {"minimum": 1, "exclusiveMaximum": 7},
    {"exclusiveMinimum": 0, "maximum": 1.5},
    {"multipleOf": 7},
    {"minLength": 1, "maxLength": 2},
    {"pattern": "^a"},
    {"minItems": 1, "maxItems": 2, "uniqueItems": True},
    {"items": {"type": "integer"}},
    {"prefixItems": [{"type": "integer"}], "items": False},
    {"contains": {"type": "string"}},
    {"contains": {"const": 1}, "minContains": 2, "maxContains": 2},
    {"required": ["a"], "properties": {"a": {"type": "integer"}}},
    {"properties": {"a": True}, "additionalProperties": False},
    {"patternProperties": {"^x_": {"type": "integer"}}, "additionalProperties": {"type": "string"}},
    {"minProperties": 1, "maxProperties": 1},
    {"propertyNames": {"maxLength": 1}},
    {"dependentRequired": {"a": ["b"]}},
    {"dependentSchemas": {"a": {"required": ["b"]}}},
    {"allOf": [{"type": "integer"}, {"minimum": 1}]},
    {"anyOf": [{"type": "string"}, {"minimum": 7}]},
    {"oneOf": [{"type": "integer"}, {"minimum": 1}]},
    {"not": {"type": "integer"}},
    {"if": {"type": "string"}, "then": {"minLength": 3}, "else": {"not": {"type": "object"}}},
    {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a~1b"}}}}},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_the_same_verdicts_as_the_reference(schema):
    """Value by value."""
    checker = jsonschema.Draft202012Validator(schema)
    assert [fits(value, schema, schema) for value in VALUES] == [checker.is_valid(value) for value in VALUES]


@pytest.mark.parametrize(
    "schema",
    [
        3, {"type": "strange"}, {"type": 3}, {"$ref": "#/nowhere"}, {"$ref": "http://elsewhere"}, {"$ref": 3},
        {"enum": 3}, {"pattern": "("}, {"minLength": "x"}, {"allOf": 3}, {"anyOf": {"a": 1}}, {"$ref": "#"},
    ],
    ids=str,
)  # fmt: skip
def test_broken_schemas_are_told_apart(schema):
    """One error, whatever is wrong with the schema; references that lead in a circle end."""
    with pytest.raises(BadSchemaError):
        fits("abc", schema, schema)


def test_references_reach_into_lists():
    """A pointer may pass through an array."""
    assert resolve({"anyOf": [1, 2]}, "#/anyOf/1") == 2
    assert resolve({"a": 1}, "#") == {"a": 1}


def test_equality_is_that_of_json():
    """1 equals 1.0 and not true, inside lists and objects too."""
    assert same(1, 1.0)
    assert not same(1, True)
    assert not same([1, {"a": True}], [1, {"a": 1}])
    assert same({"a": [1]}, {"a": [1.0]})
