"""Covers policies/pace/adaptive.py: against a bucket that says nothing but no."""

import pytest

from headgate.policies.pace.adaptive import FORGET, LEAST_START, LONGEST_PAUSE, PAUSE, Adaptive


def against(*refills, seconds=600.0, demand=50.0, step=0.001):
    """Send as fast as it lets us; each refill (calls a second) holds for its share of the time; a minute's bucket.

    Gives: accepted per period, refused per period.
    """
    adaptive, now, held, level = Adaptive(), 0.0, 0.0, 60.0 * refills[0]
    accepted, refused = [0] * len(refills), [0] * len(refills)
    ready = 0.0
    while now < seconds:
        period = int(now / seconds * len(refills))
        level = min(level + refills[period] * step, 60.0 * refills[period])
        if now >= held and adaptive.wait(now) <= 0 and now >= ready:
            ready = now + 1 / demand
            adaptive.sent(now)
            if level >= 1:
                level -= 1
                accepted[period] += 1
                adaptive.accepted(now)
            else:
                refused[period] += 1
                held = now + adaptive.refused(now - 1e-9, now)
        now += step
    return accepted, refused


@pytest.mark.parametrize("refill", [0.5, 2.0, 10.0, 30.0])
def test_a_silent_limit_is_used_and_hardly_ever_met(refill):
    """Over ten minutes nearly all of it, with one refusal in a hundred calls at most."""
    (accepted,), (refused,) = against(refill)
    assert accepted >= 0.97 * refill * 600
    assert refused <= max(0.01 * accepted, 9)


def test_a_limit_that_is_halved_and_comes_back():
    """Is followed down within a few refusals, and up again within its period."""
    accepted, refused = against(10.0, 5.0, 10.0, seconds=900)
    assert accepted[1] == pytest.approx(5 * 300, rel=0.05)
    assert accepted[2] >= 0.9 * 10 * 300
    assert sum(refused) <= 0.015 * sum(accepted)


def test_nothing_is_limited_before_a_refusal():
    """Nobody waits, however much is sent."""
    adaptive = Adaptive()
    for _ in range(1000):
        adaptive.sent(1.0)
    assert not adaptive
    assert (adaptive.wait(1.0), adaptive.rate(1.0)) == (0.0, None)


def test_calls_under_way_together_count_once():
    """Thirty refusals of calls that left before the first of them was known are one step down."""
    adaptive = Adaptive()
    for number in range(100):
        adaptive.sent(number / 100)
    assert adaptive.refused(0.9, 1.0) == PAUSE
    rate = adaptive.rate(1.0)
    assert [adaptive.refused(0.9, 1.0 + n / 1000) for n in range(30)] == [0.0] * 30
    assert adaptive.rate(1.0) == rate


def test_pauses_grow_until_something_is_answered():
    """1, 2, 4 … s, and no longer than the longest."""
    adaptive, now, pauses = Adaptive(), 0.0, []
    for _ in range(8):
        now += 100.0
        adaptive.sent(now)
        pauses.append(adaptive.refused(now, now + 0.1))
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    adaptive.accepted(now + 50)
    assert adaptive.refused(now + 51, now + 52) == PAUSE


def test_a_refusal_by_chance_hardly_slows_who_sends_little():
    """One call, one refusal: a handful a second may still go, and after a while any number."""
    adaptive = Adaptive()
    adaptive.sent(0.0)
    adaptive.refused(0.0, 0.5)
    assert 0.9 * LEAST_START <= adaptive.rate(0.5) <= LEAST_START
    assert adaptive.rate(0.5 + 300) is None
    assert not adaptive


def test_what_was_learned_is_forgotten():
    """The curve ends where it would allow many times what was measured."""
    adaptive = Adaptive()
    adaptive.refused(0.0, 0.1)
    rates = [adaptive.rate(float(t)) for t in range(1, 400)]
    known = [rate for rate in rates if rate is not None]
    assert known == sorted(known)
    assert max(known) <= FORGET * LEAST_START
    assert rates[-1] is None
