"""Folds two JSON schemas into one that both would accept values of, as far as that can be written in one schema.

What cannot be folded stays in `allOf` of neither: the first word wins, and the check of the made value decides.
"""

from collections.abc import Callable
from fractions import Fraction
from math import lcm
from typing import Any

_Fold = Callable[[Any, Any], Any]


def merge(one: Any, other: Any) -> Any:
    """Both schemas at once; False where they exclude each other outright.

    Example:
        >>> merge({"type": ["integer", "null"], "minimum": 1}, {"type": "number", "minimum": 3})
        {'type': ['integer'], 'minimum': 3}
    """
    if one is False or other is False:
        return False
    if not isinstance(one, dict):
        return other
    if not isinstance(other, dict):
        return one
    both = {**one, **other}
    for word in one.keys() & other.keys():
        fold = _FOLDS.get(word)
        if fold is not None:
            both[word] = fold(one[word], other[word])
        elif word in ("anyOf", "oneOf"):
            # Two choices: one stays here, the other is asked for in allOf.
            both[word] = one[word]
            both["allOf"] = [*both.get("allOf", ()), {word: other[word]}]
    if "properties" in one or "properties" in other:
        both["properties"] = _properties(one, other)
    return False if both.get("type") == [] else both


def _types(mine: Any, theirs: Any) -> list[str]:
    left = mine if isinstance(mine, list) else [mine]
    right = theirs if isinstance(theirs, list) else [theirs]
    kinds = [kind for kind in left if kind in right]
    if "integer" not in kinds and (
        ("integer" in left and "number" in right) or ("number" in left and "integer" in right)
    ):
        kinds.append("integer")
    return kinds


def _multiple(mine: float, theirs: float) -> float:
    left, right = Fraction(str(mine)), Fraction(str(theirs))
    scale = lcm(left.denominator, right.denominator)
    both = Fraction(lcm(int(left * scale), int(right * scale)), scale)
    return int(both) if both.denominator == 1 else float(both)


def _side_by_side(mine: list[Any], theirs: list[Any]) -> list[Any]:
    long, short = (mine, theirs) if len(mine) >= len(theirs) else (theirs, mine)
    return [merge(inner, short[at]) if at < len(short) else inner for at, inner in enumerate(long)]


def _properties(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Properties of both; what only one of them lists is an additional property to the other."""
    mine, theirs = one.get("properties", {}), other.get("properties", {})
    both: dict[str, Any] = {}
    for name in [*mine, *(name for name in theirs if name not in mine)]:
        if name in mine and name in theirs:
            both[name] = merge(mine[name], theirs[name])
        elif name in mine:
            both[name] = merge(mine[name], True if "patternProperties" in other else _additional(other))
        else:
            both[name] = merge(theirs[name], True if "patternProperties" in one else _additional(one))
    return both


def _additional(schema: dict[str, Any]) -> Any:
    return schema.get("additionalProperties", True)


_FOLDS: dict[str, _Fold] = {
    "type": _types,
    "enum": lambda mine, theirs: [value for value in mine if value in theirs],
    "required": lambda mine, theirs: [*mine, *(name for name in theirs if name not in mine)],
    "multipleOf": _multiple,
    "allOf": lambda mine, theirs: [*mine, *theirs],
    "prefixItems": _side_by_side,
    "patternProperties": lambda mine, theirs: {**mine, **theirs},
    "dependentRequired": lambda mine, theirs: {**mine, **theirs},
    **dict.fromkeys(("items", "additionalProperties", "propertyNames", "contains"), merge),
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"), min),
}
