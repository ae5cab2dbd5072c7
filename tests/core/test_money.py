"""Covers core/money.py."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from headgate.core.money import from_usd, half_up, show_usd, to_usd


@given(st.integers(min_value=0, max_value=10**30))
def test_there_and_back(pico: int):
    """Dollars made from picodollars are exact, at any size."""
    assert Fraction(to_usd(pico)) == Fraction(pico, 10**12)
    assert Fraction(Decimal(show_usd(pico))) == Fraction(pico, 10**12)
    assert from_usd(show_usd(pico)) == pico
    assert show_usd(pico) == f"{to_usd(pico):f}"


def test_a_debt_keeps_its_sign():
    """Negative figures (corrections) survive."""
    assert to_usd(-1_500_000_000_000) == Decimal("-1.5")


@given(st.fractions(min_value=0, max_value=10**12))
def test_halves_go_up(value: Fraction):
    """Rounding errs by at most one half, and a half goes up."""
    rounded = half_up(value)
    assert -Fraction(1, 2) < rounded - value <= Fraction(1, 2)
