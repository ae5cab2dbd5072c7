"""Covers policies/pace/cost.py."""

import pytest

from headgate.core.limits import UNLIMITED, Demand, Limits
from headgate.policies.pace.cost import LONGEST_BURST, cost, roomy, weights
from headgate.stores.rates import Rule


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        (Limits(requests_per_minute=600), 0.1),
        (Limits(tokens_per_minute=6000), 0.3),
        (Limits(requests_per_minute=60, tokens_per_minute=6000), 1.0),
        (Limits(input_tokens_per_minute=600, output_tokens_per_minute=600), 2.0),
        (Limits(concurrency=3), 1.0),
    ],
)
def test_a_call_costs_what_it_takes_of_what_is_scarcest(limits, seconds):
    """In seconds of that limit; one where nothing is limited by the minute."""
    assert cost(Rule("r", limits), Demand(10, 20)) == pytest.approx(seconds)
    assert cost(None, Demand(10, 20)) == 1.0


def test_large_calls_get_room():
    """Three of them, but not the allowance of a minute; small ones change nothing."""
    rule = Rule("r", Limits(tokens_per_minute=6000), 1.0)
    assert roomy(rule, Demand(10, 20)) is rule
    assert roomy(rule, Demand(100, 100)) == Rule("r", rule.limits, 6.0)
    assert roomy(rule, Demand(100, 10_000)).burst == LONGEST_BURST


def test_what_headers_count():
    """Tokens of both kinds, unless only one of them is limited, or they are apart: then the input."""
    assert weights(UNLIMITED) == weights(Limits(tokens_per_minute=1, input_tokens_per_minute=1)) == (1, 1)
    assert weights(Limits(input_tokens_per_minute=1, output_tokens_per_minute=1)) == (1, 0)
    assert weights(Limits(output_tokens_per_minute=1)) == (0, 1)
