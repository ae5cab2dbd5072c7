"""What strict structured outputs refuse (the rules that the API documents), checked before anything is served."""

from collections.abc import Iterator
from typing import Any

_REFUSED = ("allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas")
_DEEPEST = 100


def why_not_strict(schema: Any) -> str | None:
    """Why strict mode refuses a schema; None if it does not.

    Example:
        >>> why_not_strict({"type": "object", "properties": {}})
        "In context=(), 'additionalProperties' is required to be supplied and to be false."
    """
    if not isinstance(schema, dict):
        return "schema must be an object."
    if schema.get("type") != "object" and "$ref" not in schema:
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'."
    return _walk(schema, ())


def _walk(schema: Any, where: tuple[str, ...]) -> str | None:
    if not isinstance(schema, dict) or len(where) > _DEEPEST:
        return None
    for word in _REFUSED:
        if word in schema:
            return f"In context={where}, '{word}' is not permitted."
    why = _why_loose(schema, where)
    for place, child in _children(schema):
        why = why or _walk(child, (*where, *place))
    return why


def _why_loose(schema: dict[str, Any], where: tuple[str, ...]) -> str | None:
    """Why an object's schema leaves open what may stand in it."""
    properties = schema.get("properties")
    kind = schema.get("type")
    if properties is None and kind != "object" and not (isinstance(kind, list) and "object" in kind):
        return None
    if schema.get("additionalProperties") is not False:
        return f"In context={where}, 'additionalProperties' is required to be supplied and to be false."
    required = schema.get("required")
    for name in properties if isinstance(properties, dict) else ():
        if not isinstance(required, list) or name not in required:
            return (
                f"In context={where}, 'required' is required to be supplied and to be an array including every "
                f"key in properties. Missing '{name}'."
            )
    return None


def _children(schema: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for word in ("properties", "$defs", "definitions"):
        inner = schema.get(word)
        for name, child in inner.items() if isinstance(inner, dict) else ():
            yield (word, name), child
    yield ("items",), schema.get("items")
    branches = schema.get("anyOf")
    for at, child in enumerate(branches if isinstance(branches, list) else ()):
        yield ("anyOf", str(at)), child
