"""Sums of known quality."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.sums import result

NUMBERS = st.integers(-999_999_999, 999_999_999)


@given(NUMBERS, NUMBERS, st.sampled_from("+-*"), st.binary())
def test_a_perfect_model_is_always_right_and_a_hopeless_one_never(one, other, sign, seed):
    """Whatever the sum; the wrong answers are near the right one."""
    right = {"+": one + other, "-": one - other, "*": one * other}[sign]
    asked = f"Think well. What is {one} {sign} {other}? Answer with a number."
    assert result(asked, 1.0, Dice(seed)) == right
    assert 1 <= abs(result(asked, 0.0, Dice(seed)) - right) <= 9


def test_the_share_is_what_was_asked_for():
    """Of two thousand sums about seven of ten are right: within four standard deviations."""
    rights = sum(result(f"What is {n} + 1?", 0.7, Dice(b"%d" % n)) == n + 1 for n in range(2000))
    assert abs(rights - 1400) < 82


def test_what_is_no_sum_gets_no_number():
    """Words, other operations, and numbers beyond nine digits; the last sum of several counts."""
    for text in ("", "What is love?", "What is 7 / 2?", "What is 1234567890 + 1?", "Somewhat is 1 + 1?"):
        assert result(text, 1.0, Dice(b"")) is None
    assert result("What is 1 + 1? what is 2 + 2?", 1.0, Dice(b"")) == 4
