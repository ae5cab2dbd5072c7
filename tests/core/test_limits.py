"""Covers core/limits.py: the words that pace, admit and their stores share."""

import pytest

from headgate.core.limits import UNLIMITED, Demand, Limits


@pytest.mark.parametrize(
    ("limits", "counts"),
    [
        (UNLIMITED, False),
        (Limits(requests_per_minute=1, concurrency=1, sliding=True, spread=True), False),
        (Limits(tokens_per_minute=1), True),
        (Limits(input_tokens_per_minute=1), True),
        (Limits(output_tokens_per_minute=1), True),
    ],
)
def test_tokens_are_counted_only_where_they_are_limited(limits, counts):
    """Whoever asks spares itself the forecast."""
    assert limits.counts_tokens is counts


def test_a_demand_is_nothing_until_somebody_says():
    """Neither input nor output."""
    assert Demand() == Demand(0, 0)
    assert Demand(3, 4) == Demand(input=3, output=4) != Demand(3, 5)
