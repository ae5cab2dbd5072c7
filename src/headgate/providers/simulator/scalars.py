"""Texts and numbers within a schema's bounds."""

import re
from collections.abc import Mapping
from fractions import Fraction
from math import ceil, floor
from typing import Any

from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.formats import FORMATS, fits_format, named_range, named_text
from headgate.providers.simulator.patterns import UnreadablePattern, matching
from headgate.providers.simulator.validity import is_multiple

_TRIES = 40
_LONGEST = 100_000
"""Characters: nobody is sent more because a schema demands it."""


def text(schema: Mapping[str, Any], name: str, dice: Dice) -> str | None:
    """A text for a string schema; None if none was found.

    Args:
        schema: `pattern`, `format`, `minLength`, `maxLength` are looked at.
        name: of the property, for plausibility.
        dice: chooses.
    """
    least = schema.get("minLength", 0)
    most = schema.get("maxLength")
    pattern = schema.get("pattern")
    if least > _LONGEST:
        return None
    maker = FORMATS.get(str(schema.get("format")))
    if pattern is not None:
        both = maker is not None
        return _by_both(pattern, str(schema["format"]), dice) if both else _by_pattern(pattern, least, most, dice)
    made = named_text(name, dice) if maker is None else maker(dice)
    if maker is not None:
        return made if least <= len(made) <= (len(made) if most is None else most) else None
    while len(made) < least:
        made += " " + named_text("", dice)
    if most is None or len(made) <= most:
        return made
    if most < least:
        return None
    short = made[:most]
    return short.rstrip() if len(short.rstrip()) >= least else short


def _by_both(pattern: str, name: str, dice: Dice) -> str | None:
    """A text that fits a pattern and a format: one of either that happens to fit the other, or an address of both."""
    for _ in range(_TRIES):
        made = FORMATS[name](dice)
        free = _by_pattern(pattern, 0, None, dice)
        for one in (made, free, made.partition("@")[0] + (free or "")):
            if one and fits_format(one, name) and re.search(pattern, one):
                return one
        if free is None:
            return None
    return None


def _by_pattern(pattern: str, least: int, most: int | None, dice: Dice) -> str | None:
    try:
        fit = re.compile(pattern)
    except re.error:
        return None
    for attempt in range(_TRIES):
        # Short ones first, then as long as the bounds seem to ask for.
        more = (0, 3, least, least + 3, most or 8)[attempt % 5] if attempt else 3
        try:
            made = matching(pattern, dice, more=min(more, 2000))
        except UnreadablePattern:
            return None
        if not pattern.endswith("$") and len(made) < least:
            made += "x" * (least - len(made))  # nothing holds the end
        if least <= len(made) <= (len(made) if most is None else most) and fit.search(made):
            return made
    return None


def number(schema: Mapping[str, Any], name: str, dice: Dice, *, whole: bool) -> float | None:
    """A number for a number schema; None if there is none.

    Args:
        schema: the bounds and `multipleOf` are looked at.
        name: of the property, for plausibility.
        dice: chooses.
        whole: only whole numbers.
    """
    step = Fraction(str(schema["multipleOf"])) if "multipleOf" in schema else None
    if step is not None and step <= 0:
        return None
    if step is None:
        step = Fraction(1) if whole else Fraction(1, 10)
    low, high = _bounds(schema, name)
    if low > high:
        return None
    if "multipleOf" not in schema and not whole:
        # Fine enough for ten values, of which the bounds may exclude two; for one, where there is but one.
        while step > Fraction(1, 10**12) and (low < high < low + 10 * step or ceil(low / step) > floor(high / step)):
            step /= 10
    first, last = ceil(low / step), floor(high / step)
    for _ in range(_TRIES if first <= last else 0):
        made = _plain(step * dice.between(first, last))
        if _within(made, schema) and (not whole or isinstance(made, int)):
            return made
    return next(
        (
            made
            for at in range(first, min(last, first + 200) + 1)
            if _within(made := _plain(step * at), schema) and (not whole or isinstance(made, int))
        ),
        None,
    )


def _bounds(schema: Mapping[str, Any], name: str) -> tuple[Fraction, Fraction]:
    """Where to look: the schema's bounds, narrowed to what is plausible where both allow it."""
    lows = [Fraction(str(schema[word])) for word in ("minimum", "exclusiveMinimum") if word in schema]
    highs = [Fraction(str(schema[word])) for word in ("maximum", "exclusiveMaximum") if word in schema]
    low, high = max(lows, default=None), min(highs, default=None)
    usual_low, usual_high = map(Fraction, named_range(name))
    width = max(usual_high - usual_low, Fraction(str(schema.get("multipleOf", 0))) * 10)
    if low is None and high is None:
        return usual_low, max(usual_high, width)
    if low is None:
        assert high is not None
        return (usual_low, min(usual_high, high)) if usual_low + 1 < high else (high - width, high)
    if high is None:
        return (max(usual_low, low), usual_high) if low + 1 < usual_high else (low, low + width)
    if low <= usual_low and usual_high <= high and "multipleOf" not in schema:
        return usual_low, usual_high
    return low, high


def _plain(value: Fraction) -> float:
    """As JSON writes it: whole where it is whole, else with its decimal digits."""
    return int(value) if value.denominator == 1 else float(value)


def _within(value: float, schema: Mapping[str, Any]) -> bool:
    exact = Fraction(str(value))
    return (
        ("minimum" not in schema or exact >= Fraction(str(schema["minimum"])))
        and ("maximum" not in schema or exact <= Fraction(str(schema["maximum"])))
        and ("exclusiveMinimum" not in schema or exact > Fraction(str(schema["exclusiveMinimum"])))
        and ("exclusiveMaximum" not in schema or exact < Fraction(str(schema["exclusiveMaximum"])))
        and ("multipleOf" not in schema or is_multiple(value, schema["multipleOf"]))
    )
