"""What strict structured outputs refuse."""

import pytest

from headgate.providers.simulator.strict import why_not_strict

CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    "schema",
    [
        CLOSED,
        {**CLOSED, "properties": {"a": {"anyOf": [CLOSED, {"type": "null"}]}}},
        {**CLOSED, "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": CLOSED}},
        {**CLOSED, "properties": {"a": {"type": "array", "items": CLOSED, "minItems": 1}}},
    ],
)
def test_closed_schemas_are_taken(schema):
    """Every object closed and complete, at any depth."""
    assert why_not_strict(schema) is None


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (True, "must be an object"),
        ({"type": "string"}, "got 'type: \"string\"'"),
        ({"anyOf": [CLOSED]}, "got 'type: \"None\"'"),
        ({**CLOSED, "additionalProperties": True}, "In context=(), 'additionalProperties'"),
        ({**CLOSED, "required": []}, "Missing 'a'"),
        ({**CLOSED, "required": None}, "Missing 'a'"),
        ({**CLOSED, "properties": {"a": {"type": ["object", "null"]}}}, "In context=('properties', 'a')"),
        ({**CLOSED, "properties": {"a": {"items": {"type": "object"}}}}, "('properties', 'a', 'items')"),
        ({**CLOSED, "properties": {"a": {"anyOf": [{}, {"type": "object"}]}}}, "('properties', 'a', 'anyOf', '1')"),
        ({**CLOSED, "$defs": {"x": {"properties": {}}}}, "('$defs', 'x')"),
        ({**CLOSED, "properties": {"a": {"allOf": [{}]}}}, "'allOf' is not permitted"),
        ({**CLOSED, "not": {}}, "'not' is not permitted"),
    ],
)
def test_open_schemas_are_refused_with_the_place(schema, why):
    """The message says where and what."""
    assert why in (why_not_strict(schema) or "")
