"""Whether a value fits a JSON schema: the simulator's own check of what it made up.

Covers the words that structured outputs use and the usual rest of draft 2020-12. A word that is not known is ignored,
as the specification wants it; a reference that leads nowhere fits nothing.
"""

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from headgate.providers.simulator.formats import fits_format

_DEEPEST = 200


class BadSchemaError(Exception):
    """The schema itself is broken."""


def resolve(root: Any, ref: object) -> Any:
    """The schema that a local reference names.

    Raises:
        BadSchemaError: it names nothing, or something outside.
    """
    if not isinstance(ref, str) or not ref.startswith("#"):
        message = f"reference {ref!r} cannot be resolved"
        raise BadSchemaError(message)
    found = root
    for part in ref[1:].split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            message = f"reference {ref!r} cannot be resolved"
            raise BadSchemaError(message)
    return found


def same(one: Any, other: Any) -> bool:
    """Equality as JSON has it: 1 equals 1.0, and neither equals true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_IS_TYPE: dict[object, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def is_multiple(value: float, of: float) -> bool:
    """Whether a number is a multiple, both by its decimal digits and by plain float division.

    Checkers disagree about 0.07 and 0.01; a value that satisfies both kinds is safe with either.
    """
    by_division = value / of
    exact = Fraction(str(value)) / Fraction(str(of))
    return exact.denominator == 1 and (isinstance(of, int) or by_division == int(by_division))


def fits(value: Any, schema: Any, root: Any, depth: int = 0) -> bool:
    """Whether a value fits a schema.

    Args:
        value: decoded JSON.
        schema: the schema.
        root: what its references start from.
        depth: how deep in it we are.

    Raises:
        BadSchemaError: a word of the schema has a value that it cannot have.
    """
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, dict) or depth > _DEEPEST:
        message = "schema must be an object or a boolean, and not nested without end"
        raise BadSchemaError(message)
    try:
        return _fits(value, schema, root, depth + 1)
    except (TypeError, AttributeError, LookupError, ValueError, ArithmeticError, re.error) as error:
        raise BadSchemaError(str(error)) from None


def _fits(value: Any, schema: Mapping[str, Any], root: Any, depth: int) -> bool:
    kinds = schema.get("type")
    if kinds is not None and not any(_IS_TYPE[kind](value) for kind in (kinds if isinstance(kinds, list) else [kinds])):
        return False
    if not _fits_branches(value, schema, root, depth):
        return False
    if isinstance(value, str):
        return _fits_text(value, schema)
    if isinstance(value, dict):
        return _fits_object(value, schema, root, depth)
    if isinstance(value, list):
        return _fits_array(value, schema, root, depth)
    return _fits_number(value, schema) if _is_number(value) else True


def _fits_branches(value: Any, schema: Mapping[str, Any], root: Any, depth: int) -> bool:
    if "const" in schema and not same(value, schema["const"]):
        return False
    if "enum" in schema and not any(same(value, one) for one in schema["enum"]):
        return False
    if "$ref" in schema and not fits(value, resolve(root, schema["$ref"]), root, depth):
        return False
    return _fits_choices(value, schema, root, depth)


def _fits_choices(value: Any, schema: Mapping[str, Any], root: Any, depth: int) -> bool:
    if any(not fits(value, branch, root, depth) for branch in schema.get("allOf", ())):
        return False
    if "anyOf" in schema and not any(fits(value, branch, root, depth) for branch in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(fits(value, branch, root, depth) for branch in schema["oneOf"]) != 1:
        return False
    if "not" in schema and fits(value, schema["not"], root, depth):
        return False
    if "if" in schema:
        follows = schema.get("then" if fits(value, schema["if"], root, depth) else "else", True)
        return fits(value, follows, root, depth)
    return True


def _fits_text(value: str, schema: Mapping[str, Any]) -> bool:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return False
    if "format" in schema and not fits_format(value, schema["format"]):
        return False
    pattern = schema.get("pattern")
    return pattern is None or re.search(pattern, value) is not None


def _fits_number(value: float, schema: Mapping[str, Any]) -> bool:
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
        and ("multipleOf" not in schema or is_multiple(value, schema["multipleOf"]))
    )


def _fits_array(value: list[Any], schema: Mapping[str, Any], root: Any, depth: int) -> bool:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return False
    if schema.get("uniqueItems") and any(same(one, other) for at, one in enumerate(value) for other in value[:at]):
        return False
    first = schema.get("prefixItems", ())
    if not all(fits(one, inner, root, depth) for one, inner in zip(value, first, strict=False)):
        return False
    rest = schema.get("items", True)
    if rest is not True and not all(fits(one, rest, root, depth) for one in value[len(first) :]):
        return False
    if "contains" in schema:
        found = sum(fits(one, schema["contains"], root, depth) for one in value)
        return bool(schema.get("minContains", 1) <= found <= schema.get("maxContains", found))
    return True


def _fits_object(value: dict[str, Any], schema: Mapping[str, Any], root: Any, depth: int) -> bool:
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)):
        return False
    if any(name not in value for name in schema.get("required", ())):
        return False
    for name, needs in schema.get("dependentRequired", {}).items():
        if name in value and any(other not in value for other in needs):
            return False
    inner = [of for name, of in schema.get("dependentSchemas", {}).items() if name in value]
    if not all(fits(value, of, root, depth) for of in inner):
        return False
    names = schema.get("propertyNames", True)
    if names is not True and not all(fits(name, names, root, depth) for name in value):
        return False
    return all(fits(one, of, root, depth) for name, one in value.items() for of in _of_property(schema, name))


def _of_property(schema: Mapping[str, Any], name: str) -> list[Any]:
    """All the schemas that a property must fit."""
    properties = schema.get("properties", {})
    found = [properties[name]] if name in properties else []
    found += [inner for pattern, inner in schema.get("patternProperties", {}).items() if re.search(pattern, name)]
    return found or [schema.get("additionalProperties", True)]
