"""Sums of outcomes."""

from headgate.jobs.row import Lane, Outcome, Trouble
from headgate.jobs.tally import Tally


def test_everything_is_added_up():
    """Money of failed rows too; lanes, spread and time of those that succeeded; what has no price is counted apart."""
    tally = Tally()
    good = {"lane": Lane.FLEX, "status": 200, "body": b"{}", "prompt_tokens": 1, "completion_tokens": 2}
    tally.add(Outcome(id="a", number=1, cost=2 * 10**12, latency_ms=10, **good))
    tally.add(Outcome(id="b", number=2, cost=10**12, latency_ms=30, **good))
    tally.add(Outcome(id="c", number=3, cost=None, **good))
    lost = Trouble(code="x", message="y")
    tally.add(Outcome(id="d", number=4, lane=Lane.REALTIME, error=lost, error_class="TimeoutError", cost=5))
    assert (tally.succeeded, tally.failed, tally.rows) == (3, 1, 4)
    assert (tally.cost, tally.unpriced) == (3 * 10**12 + 5, 1)
    assert (tally.prompt_tokens, tally.completion_tokens) == (3, 6)
    assert tally.lanes == {Lane.REALTIME: 0, Lane.FLEX: 3, Lane.BATCH: 0}
    assert (tally.squares, tally.milliseconds) == (5.0, 40.0)
