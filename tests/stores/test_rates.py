"""The arithmetic that all stores of rates share."""

import pytest

from headgate.core.limits import Demand, Limits
from headgate.stores.rates import corrections, most_in_a_minute, steps

LIMITS = Limits(
    requests_per_minute=60, tokens_per_minute=600, input_tokens_per_minute=6000, output_tokens_per_minute=60_000
)


def test_how_far_clocks_move():
    """A request, and tokens by kind, in seconds; what is not limited does not move."""
    assert steps(LIMITS, Demand(10, 30)) == [(0, 1.0), (1, 4.0), (2, 0.1), (3, 0.03)]
    assert steps(Limits(concurrency=3), Demand(10, 30)) == []
    assert steps(Limits(output_tokens_per_minute=60), Demand(10, 30)) == [(3, 30.0)]


def test_how_they_are_corrected():
    """By the difference of tokens; the request only comes back where nothing has left."""
    assert corrections(LIMITS, Demand(10, 30), Demand(10, 30)) == []
    assert corrections(LIMITS, Demand(10, 30), Demand(20, 0)) == [(1, -2.0), (2, 0.1), (3, -0.03)]
    assert corrections(LIMITS, Demand(10, 30), None) == [(0, -1.0), (1, -4.0), (2, -0.1), (3, -0.03)]


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        (Limits(requests_per_minute=10.9, sliding=True), 10),
        (Limits(requests_per_minute=0.1, sliding=True), 1),
        (Limits(requests_per_minute=10), None),
        (Limits(sliding=True), None),
    ],
)
def test_what_a_minute_has_room_for(limits, most):
    """Whole calls, rounded down, one at least."""
    assert most_in_a_minute(limits) == most
