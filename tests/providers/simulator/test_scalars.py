"""Texts and numbers within bounds."""

import re
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.scalars import number, text


def test_lengths_are_kept():
    """Between the bounds, whatever the words would be."""
    for seed in range(100):
        dice = Dice(b"%d" % seed)
        assert len(text({"minLength": 300}, "name", dice) or "") >= 300
        assert len(text({"maxLength": 3}, "name", dice) or "xxxx") <= 3
        assert len(text({"minLength": 5, "maxLength": 5}, "", dice) or "") == 5
    assert text({"maxLength": 0}, "", Dice(b"x")) == ""
    assert text({"minLength": 10**9}, "", Dice(b"x")) is None
    assert text({"minLength": 2, "maxLength": 1}, "", Dice(b"x")) is None


def test_patterns_with_lengths():
    """A pattern may need to be stretched to its least length; one that cannot be is None."""
    for seed in range(50):
        dice = Dice(b"%d" % seed)
        made = text({"pattern": "^[a-z]+$", "minLength": 30, "maxLength": 40}, "", dice) or ""
        assert re.fullmatch("[a-z]{30,40}", made)
        assert len(text({"pattern": "ab", "minLength": 10}, "", dice) or "") == 10
    assert text({"pattern": "^ab$", "minLength": 10}, "", Dice(b"x")) is None
    assert text({"pattern": "(?=x)"}, "", Dice(b"x")) is None
    assert text({"pattern": "("}, "", Dice(b"x")) is None


def test_formats_are_used():
    """A format that is known is made, one that is not is words; a bound that it cannot meet is None."""
    assert (text({"format": "email"}, "", Dice(b"x")) or "").endswith("@example.com")
    assert text({"format": "unheard-of"}, "country", Dice(b"x"))
    assert text({"format": "uuid", "maxLength": 5}, "", Dice(b"x")) is None


def test_plausible_numbers_where_the_bounds_allow():
    """The name decides within the schema's bounds."""
    for seed in range(50):
        dice = Dice(b"%d" % seed)
        assert 20_000 <= (number({"minimum": 0}, "inhabitants", dice, whole=True) or 0) <= 2_000_000
        assert 1950 <= (number({}, "year", dice, whole=True) or 0) <= 2026


def test_tight_and_odd_bounds():
    """One value, open ends, far places, decimals."""
    dice = Dice(b"x")
    assert number({"minimum": 3, "maximum": 3}, "", dice, whole=True) == 3
    assert number({"exclusiveMinimum": 3, "exclusiveMaximum": 5}, "", dice, whole=True) == 4
    assert number({"exclusiveMinimum": 3, "exclusiveMaximum": 4}, "", dice, whole=True) is None
    assert 3 < (number({"exclusiveMinimum": 3, "exclusiveMaximum": 3.001}, "", dice, whole=False) or 0) < 3.001
    assert (number({"minimum": 10**12}, "", dice, whole=True) or 0) >= 10**12
    assert (number({"maximum": -(10**12)}, "", dice, whole=True) or 0) <= -(10**12)
    assert number({"minimum": 2, "maximum": 1}, "", dice, whole=False) is None
    assert number({"multipleOf": 0}, "", dice, whole=False) is None
    assert (number({"multipleOf": 7, "minimum": 50}, "", dice, whole=True) or 1) % 7 == 0


@given(
    st.integers(-1000, 1000),
    st.integers(0, 500),
    st.sampled_from([None, 1, 2, 7, 0.5, 0.01, 0.1]),
    st.booleans(),
    st.integers(),
)
def test_numbers_fit(low, width, multiple, whole, seed):
    """Whatever is made lies within its bounds and is a multiple by plain division; None only where nothing does."""
    schema = {"minimum": low, "maximum": low + width} | ({} if multiple is None else {"multipleOf": multiple})
    made = number(schema, "", Dice(b"%d" % seed), whole=whole)
    if made is None:
        assert multiple is not None
        assert not any(value % multiple == 0 for value in range(low, low + width + 1))
        return
    assert low <= made <= low + width
    assert isinstance(made, int) or not whole
    if multiple is not None:
        assert made / multiple == int(made / multiple)
        assert (Fraction(str(made)) / Fraction(str(multiple))).denominator == 1


def test_a_pattern_and_a_format_at_once():
    """An address of a given domain, a date of a given year; None where the two exclude each other."""
    made = text({"format": "email", "pattern": r"@acme\.com$"}, "", Dice(b"x")) or ""
    assert re.fullmatch(r"[a-z]+@acme\.com", made)
    assert text({"format": "date", "pattern": "^2024-0[1-9]-1[0-9]$"}, "", Dice(b"x"))
    assert text({"format": "ipv4", "pattern": "^[a-z]+$"}, "", Dice(b"x")) is None
    assert text({"format": "ipv4", "pattern": "(?=x)"}, "", Dice(b"x")) is None
