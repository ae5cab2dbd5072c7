"""Covers core/counts.py: figures by names that are known, and no others."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.attempt import Attempt, Settled
from headgate.core.counts import BOUNDS, CODES, OTHER, Counts, Spread, count
from headgate.core.usage import TokenUsage

USED = TokenUsage(prompt_tokens=10, completion_tokens=5)


def tried(settled, *, cost=None, usage=None, error=None, ms=100.0):
    """An attempt as budget leaves it."""
    attempt = Attempt(1, "p", "m")
    attempt.settled, attempt.cost, attempt.usage, attempt.error_type, attempt.latency_ms = (
        settled, cost, usage, error, ms
    )  # fmt: skip
    return attempt


def test_attempts_add_up():
    """Tokens and cost of each, those without a price and those that nobody knows apart."""
    counts = Counts()
    one, other = counts.target("p", "m"), counts.target("q", "m")
    one.settled(tried(Settled.NOT_BILLED, cost=0, error="overloaded"))
    one.settled(tried(Settled.UNKNOWN, error="upstream_timeout"))
    # What its budgets are charged for it is no cost yet.
    one.settled(tried(Settled.UNKNOWN, cost=1000, error="upstream_timeout"))
    other.settled(tried(Settled.BILLED, usage=USED))
    other.settled(tried(Settled.BILLED, cost=7, usage=USED, ms=None))
    assert (counts.attempts, counts.prompt_tokens, counts.completion_tokens) == (5, 20, 10)
    assert (counts.cost, counts.unpriced, counts.unknown) == (7, 1, 2)
    assert (one.not_billed, one.unknown, other.billed) == (1, 2, 2)
    assert one.codes["upstream_timeout"] == 2
    assert (one.took.number, one.took.seconds, other.took.seconds) == (3, pytest.approx(0.3), 0.1)


@given(st.lists(st.floats(0, 1e4)))
def test_a_spread_knows_how_many_took_how_long(found):
    """As many up to each bound as there are, and no others."""
    spread = Spread()
    for seconds in found:
        spread.add(seconds)
    for at, bound in enumerate(BOUNDS):
        assert sum(spread.counts[: at + 1]) == sum(seconds <= bound for seconds in found)
    assert spread.number == len(found)


def test_what_took_no_time_is_counted_with_the_shortest():
    """It costs less than looking for its place."""
    spread = Spread()
    spread.at_once()
    assert (spread.counts[0], spread.seconds) == (1, 0.0)


def test_names_that_are_made_up_are_one():
    """Ten thousand of them, and as many codes: nothing grows, and each provider has its own others."""
    counts = Counts()
    counts.know(["fast"], [("p", "m"), ("p", "")])
    for number in range(10_000):
        counts.model(f"made-up-{number}").took.at_once()
        counts.target("p", f"made-up-{number}").rested()
        count(counts.codes, f"made-up-{number}")
    counts.model("fast").took.at_once()
    assert {name: one.took.number for name, one in counts.models.items()} == {"fast": 1, OTHER: 10_000}
    counts.target("p", "").rested()
    rests = {name: one.rests for name, one in counts.targets.items()}
    assert rests == {("p", "m"): 0, ("p", OTHER): 10_000, ("p", ""): 1}
    assert counts.codes == {OTHER: 10_000}
    assert counts.calls == 10_001


def test_what_was_counted_of_former_names_stays():
    """A counter never goes back, whatever the configuration names next."""
    counts = Counts()
    counts.know(["a"], [("p", "a")])
    counts.target("p", "a").settled(tried(Settled.BILLED, cost=7))
    counts.know(["b"], [("p", "b")])
    assert (counts.target("p", "a").cost, counts.target("p", "b").cost, counts.cost) == (7, 0, 7)


def test_codes_are_those_of_our_errors():
    """The table's, and what a caller leaves."""
    assert {"cancelled", "internal_error", "blocked", "target_resting", "upstream_timeout"} <= CODES


def test_they_travel():
    """Between processes, names of targets and all."""
    counts = Counts()
    counts.know(["a"], [("p", "a")])
    counts.verdicts["rule", "input", "block"] = 1
    counts.target("p", "a").settled(tried(Settled.BILLED, cost=2**62, usage=USED))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(counts), type=Counts) == counts
