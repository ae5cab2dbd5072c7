"""Sums of tokens and rates, in integers."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from headgate.catalog.rates import Figures, Rates, cost, ladder
from headgate.core.money import MILLION, from_usd, half_up
from headgate.core.usage import TokenUsage


def test_more_details_than_total_are_all_charged():
    """A provider that reports more cached tokens than input tokens never brings a cost below what it reported."""
    rates = Rates(0, 10 * MILLION, 1 * MILLION, 20 * MILLION, 30 * MILLION, 30 * MILLION, 0)
    assert rates.cost(TokenUsage(prompt_tokens=1, cached_tokens=5)) == 5
    assert rates.cost(TokenUsage(completion_tokens=1, reasoning_tokens=5)) == 150


@given(tokens=st.integers(0, 10**9), rate=st.integers(0, 10**15))
def test_rounding_is_half_up_and_once(tokens, rate):
    """The short form of rounding is that of `core.money`."""
    rates = Rates(0, rate, rate, rate, rate, rate, 0)
    assert rates.cost(TokenUsage(prompt_tokens=tokens)) == half_up(Fraction(tokens * rate, MILLION))


def test_what_has_no_price_of_its_own_costs_what_it_replaces():
    """Cached and written input, pictures and sound as fresh input; reasoning, pictures and sound as output."""
    (rates,) = ladder([Figures(input=Decimal(2), output=Decimal(7))])
    two, seven = from_usd(2), from_usd(7)
    assert rates == Rates(0, two, two, two, seven, seven, 0, two, two, seven, seven)


def test_a_missing_rate_is_not_free():
    """Tokens without a rate have no cost at all; where there are no such tokens, their rate does not matter."""
    (rates,) = ladder([Figures(input=Decimal(2))])
    assert rates.cost(TokenUsage(prompt_tokens=3)) == 6_000_000
    assert rates.cost(TokenUsage(prompt_tokens=3, completion_tokens=1)) is None
    assert rates.cost(TokenUsage(prompt_tokens=3, completion_image_tokens=1)) is None
    assert ladder([Figures()])[0].cost(TokenUsage(prompt_tokens=1)) is None


def test_a_price_of_nothing_is_known():
    """0 is a price."""
    (rates,) = ladder([Figures(input=Decimal(0), output=Decimal(0))])
    assert rates.cost(TokenUsage(prompt_tokens=10**6, completion_tokens=10**6)) == 0


def test_the_step_that_a_request_is_on_holds_for_the_whole_of_it():
    """At the step the narrow rates hold, one token beyond it the wide ones, for all tokens."""
    steps = ladder([Figures(100, input=Decimal(2)), Figures(0, input=Decimal(1))])
    assert cost(steps, TokenUsage(prompt_tokens=100)) == 100_000_000
    assert cost(steps, TokenUsage(prompt_tokens=101)) == 202_000_000
    assert cost((), TokenUsage()) is None


def test_what_is_kept_long_costs_twice_where_writing_costs_something():
    """2.5 times the input rate instead of 1.25; nothing more where writing is as reading."""
    usage = TokenUsage(prompt_tokens=1000, cache_write_tokens=1000)
    dear = ladder([Figures(input=Decimal(4), write=Decimal(5))])
    plain = ladder([Figures(input=Decimal(4))])
    assert cost(dear, usage, kept_long=True) == 10_000_000_000 == 2 * cost(dear, usage)
    assert cost(plain, usage, kept_long=True) == cost(plain, usage) == 4_000_000_000


def test_a_fee_is_per_thousand_requests():
    """It is charged once a request, whatever its tokens."""
    (rates,) = ladder([Figures(input=Decimal(1), fee=Decimal(5))])
    assert rates.cost(TokenUsage()) == from_usd("0.005")
