"""Covers catalog/calibration.py: factors from what answers report."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.catalog.calibration import MOST, PLAIN, WIDEST, Calibration

COUNT = st.integers(-10, 10**9)


def taught(*answers: tuple[int, int, int], times: int = 1) -> Calibration:
    """A calibration that has seen these answers: words, tools, reported."""
    calibration = Calibration()
    for _ in range(times):
        for words, tools, reported in answers:
            calibration.learn("m", words=words, tools=tools, reported=reported)
    return calibration


def test_nothing_known_changes_nothing():
    """A model of which nothing was heard has factors of 1."""
    assert Calibration().factors("m") == PLAIN == taught((100, 10, 110)).factors("m")


def test_two_factors_are_told_apart():
    """Words that weigh 1.1 and tools that weigh 2 are found out from prompts that have both."""
    factors = taught((100, 0, 110), (300, 200, 730), (80, 120, 328), times=30).factors("m")
    assert factors.words == pytest.approx(1.1, abs=0.01)
    assert factors.tools == pytest.approx(2.0, abs=0.02)


def test_prompts_without_tools_say_nothing_of_tools():
    """What was never seen stays as it was."""
    factors = taught((100, 0, 120), times=50).factors("m")
    assert factors.words == pytest.approx(1.2, abs=0.01)
    assert factors.tools == 1.0


def test_one_answer_is_believed_at_once_but_not_wholly():
    """After a single answer most of the way is gone."""
    assert taught((100, 0, 150)).factors("m").words == pytest.approx(1 + 0.5 / 1.1)


def test_what_changed_is_learned_anew():
    """A provider that counts otherwise from now on is followed within some hundred answers."""
    calibration = taught((100, 0, 150), times=1000)
    for _ in range(200):
        calibration.learn("m", words=100, tools=0, reported=80)
    assert calibration.factors("m").words == pytest.approx(0.8, abs=0.02)


def test_models_do_not_mix():
    """Each has its own."""
    calibration = taught((100, 0, 150))
    assert calibration.factors("n") == PLAIN


@given(st.lists(st.tuples(COUNT, COUNT, COUNT), max_size=30))
def test_factors_are_bounded_whatever_is_reported(answers):
    """No report makes a factor senseless, and none fails."""
    factors = taught(*answers).factors("m")
    assert 1 / WIDEST <= factors.words <= WIDEST
    assert 1 / WIDEST <= factors.tools <= WIDEST


def test_memory_is_bounded():
    """The first of too many models is forgotten, endless names are not taken."""
    calibration = taught((100, 0, 150))
    calibration.learn("x" * 1000, words=100, tools=0, reported=150)
    assert calibration.factors("x" * 1000) == PLAIN
    for at in range(MOST):
        calibration.learn(f"m{at}", words=100, tools=0, reported=150)
    assert calibration.factors("m") == PLAIN
    assert calibration.factors("m0").words > 1.4
    assert len(calibration._sums) == MOST
