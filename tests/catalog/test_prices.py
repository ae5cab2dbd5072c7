"""Prices, held against genai-prices' own arithmetic, the published list, and hostile names."""

import logging
import subprocess
import sys
import timeit
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import genai_prices
import pytest
from genai_prices.data import providers
from genai_prices.types import ModelPrice, TieredPrices
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.catalog.prices import MOST, OWN, Prices, Rates
from headgate.core.money import MILLION, from_usd, half_up
from headgate.core.usage import TokenUsage

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
AT = NOW.timestamp()
TABLE = f"genai-prices {genai_prices.__version__}"


@pytest.fixture(scope="module")
def prices():
    """One table for all tests."""
    table = Prices()
    table.load()
    return table


def theirs(provider, model, usage, context=None):
    """What genai-prices itself says, as picodollars."""
    found = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            cache_read_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_reasoning_tokens=usage.reasoning_tokens,
            input_image_tokens=usage.prompt_image_tokens,
            input_audio_tokens=usage.prompt_audio_tokens,
            output_image_tokens=usage.completion_image_tokens,
            output_audio_tokens=usage.completion_audio_tokens,
        ),
        model,
        provider_id=provider,
        genai_request_timestamp=NOW,
        price_context=context,
    )
    return int((found.total_price * 10**12).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def exact(price):
    """Whether a price is a whole number of picodollars per million: some lists carry traces of floating point."""
    parts = [price] if isinstance(price, Decimal) else [price.base, *(tier.price for tier in price.tiers)]
    return all((Fraction(part) * 10**12).denominator == 1 for part in parts)


def priced_by_tokens():
    """Every model of every provider whose prices are for input and output tokens."""
    for provider in providers:
        for model in provider.models:
            found = model.get_prices(NOW)
            values = {key: value for key, value in vars(found).items() if value is not None}
            named = provider.find_model(model.id, all_providers=providers) is model
            if named and {"input_mtok", "output_mtok"} <= values.keys() and all(map(exact, values.values())):
                yield provider.id, model


SHAPES = [
    TokenUsage(prompt_tokens=1, completion_tokens=1),
    TokenUsage(prompt_tokens=1234, completion_tokens=567),
    TokenUsage(prompt_tokens=5000, completion_tokens=3, cached_tokens=4096),
    TokenUsage(prompt_tokens=5000, completion_tokens=300, cached_tokens=1024, cache_write_tokens=2048),
    TokenUsage(prompt_tokens=7, completion_tokens=999, reasoning_tokens=900),
    TokenUsage(prompt_tokens=128_000, completion_tokens=1),
    TokenUsage(prompt_tokens=200_001, completion_tokens=77),
    TokenUsage(prompt_tokens=272_000, completion_tokens=100, cached_tokens=1),
    TokenUsage(prompt_tokens=272_001, completion_tokens=100, cached_tokens=250_000),
    TokenUsage(),
]


def test_every_model_costs_what_genai_prices_says(prices):
    """All token-priced models of all providers equal the library's Decimal result exactly, OpenAI's in every shape."""
    compared = 0
    for number, (provider, model) in enumerate(priced_by_tokens()):
        for usage in SHAPES if provider == "openai" else [SHAPES[number % len(SHAPES)]]:
            ours = prices.cost(model.id, usage, at=AT, provider=provider)
            assert ours == (theirs(provider, model.id, usage), TABLE), (provider, model.id, usage)
            compared += 1
    assert compared > 2000


@given(
    model=st.sampled_from(["gpt-6-luna", "gpt-6.1-sol", "gpt-5.4", "gpt-5.6-terra", "gpt-4o-mini", "o3"]),
    prompt=st.integers(0, 400_000),
    completion=st.integers(0, 200_000),
    shares=st.tuples(*[st.floats(0, 0.5)] * 3),
)
@settings(max_examples=200, deadline=None)
def test_any_usage_costs_what_genai_prices_says(prices, model, prompt, completion, shares):
    """Random usages of OpenAI's models equal the library's result exactly."""
    usage = TokenUsage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=int(prompt * shares[0]),
        cache_write_tokens=int(prompt * shares[1]),
        reasoning_tokens=int(completion * shares[2]),
    )
    assert prices.cost(model, usage, at=AT)[0] == theirs("openai", model, usage)


@pytest.mark.parametrize("tier", ["default", "flex", "priority", "fast", "batch"])
def test_tiers_cost_what_genai_prices_says(prices, tier):
    """Every tier that a model of OpenAI's list has equals the library's result; one that it lacks has no price."""
    context = {"processing": "batch"} if tier == "batch" else {"service_tier": tier}
    known = unknown = 0
    for provider, model in priced_by_tokens():
        if provider != "openai":
            continue
        has = tier == "default" or any(variant.when == context for variant in model.price_variants or ())
        for usage in SHAPES:
            ours = prices.cost(model.id, usage, at=AT, tier=tier)
            assert ours == ((theirs(provider, model.id, usage, context), TABLE) if has else (None, None)), model.id
        known, unknown = known + has, unknown + (not has)
    assert known > 10
    assert unknown or tier == "default"


def test_a_tier_that_nobody_knows_has_no_price(prices):
    """`scale` is in no list: its cost is not known, rather than the standard one."""
    assert prices.cost("gpt-5.4", SHAPES[1], at=AT, tier="scale") == (None, None)


def test_a_tier_that_is_not_chosen_yet_is_the_standard_one(prices):
    """`auto` is what a provider says before it has chosen."""
    assert prices.cost("gpt-5.4", SHAPES[1], at=AT, tier="auto") == prices.cost("gpt-5.4", SHAPES[1], at=AT)


@pytest.mark.parametrize(
    ("model", "inputs", "cached", "output"),
    [
        ("gpt-6-astra", "10", "1", "50"),
        ("gpt-6.1-sol", "2", "0.10", "10"),
        ("gpt-6.1-terra", "1", "0.05", "5"),
        ("gpt-6-sol", "2", "0.20", "10"),
        ("gpt-6-luna", "0.10", "0.01", "0.50"),
        ("gpt-5.6-sol", "4", "0.40", "20"),
        ("gpt-5.6-terra", "2", "0.20", "12"),
        ("gpt-5.6-luna", "0.20", "0.02", "1.20"),
        ("gpt-5.5", "5", "0.5", "30"),
        ("gpt-5.4", "2.5", "0.25", "15"),
        ("gpt-5.4-mini", "0.75", "0.075", "4.5"),
        ("gpt-5.4-nano", "0.20", "0.02", "1.25"),
        ("gpt-5.2", "1.75", "0.175", "14"),
        ("gpt-5.1", "1.25", "0.125", "10"),
        ("gpt-5-mini", "0.25", "0.025", "2"),
        ("gpt-5-nano", "0.05", "0.005", "0.40"),
        ("gpt-4.1", "2", "0.5", "8"),
        ("gpt-4.1-mini", "0.40", "0.10", "1.6"),
        ("o3", "2", "0.5", "8"),
        ("gpt-4o", "2.5", "1.25", "10"),
        ("gpt-4o-mini", "0.15", "0.075", "0.60"),
    ],
)
def test_the_published_prices(prices, model, inputs, cached, output):
    """USD per million tokens, as OpenAI's page had them on 2026-11-20."""

    def usd(amount):
        return from_usd(amount) // 1000  # a thousand tokens

    assert prices.cost(model, TokenUsage(prompt_tokens=1000), at=AT) == (usd(inputs), TABLE)
    assert prices.cost(model, TokenUsage(prompt_tokens=1000, cached_tokens=1000), at=AT) == (usd(cached), TABLE)
    assert prices.cost(model, TokenUsage(completion_tokens=1000), at=AT) == (usd(output), TABLE)


def test_a_long_request_pays_the_long_price_for_all_of_it(prices):
    """Beyond 272,000 input tokens everything costs the long-context rate, not only what is beyond."""
    short = TokenUsage(prompt_tokens=272_000, completion_tokens=1000)
    long = TokenUsage(prompt_tokens=272_001, completion_tokens=1000)
    assert prices.cost("gpt-5.4", short, at=AT)[0] == from_usd("0.68") + from_usd("0.015")
    assert prices.cost("gpt-5.4", long, at=AT)[0] == 272_001 * 5_000_000 + from_usd("0.0225")


def test_a_dated_name_costs_what_its_base_costs(prices):
    """The answer names a snapshot; the list has the family."""
    assert prices.cost("gpt-5.4-2026-03-05", SHAPES[1], at=AT) == prices.cost("gpt-5.4", SHAPES[1], at=AT)


def test_a_price_that_changes_by_date_is_the_one_of_the_day():
    """`o3` was made cheaper on 2025-06-10: the same table answers by the time it is asked about."""
    prices = Prices()
    before = datetime(2025, 6, 1, tzinfo=UTC).timestamp()
    usage = TokenUsage(prompt_tokens=1_000_000)
    assert prices.cost("o3", usage, at=before)[0] == from_usd(10)
    assert prices.cost("o3", usage, at=AT)[0] == from_usd(2)
    assert prices.cost("o3", usage, at=before)[0] == from_usd(10)


def test_an_unknown_model_has_no_price_and_is_told_once(caplog):
    """Never 0, and one warning a name, however often it is asked for."""
    prices = Prices()
    with caplog.at_level(logging.WARNING, "headgate.catalog"):
        for _ in range(3):
            assert prices.cost("house-llama", SHAPES[1], at=AT) == (None, None)
            assert prices.cost("gpt-6-luna", SHAPES[1], at=AT, provider="nobody") == (None, None)
    assert len(caplog.records) == 2
    assert "house-llama" in caplog.text


def test_tokens_without_a_rate_have_no_price(caplog):
    """A model that is priced by the hour of audio does not make tokens free."""
    prices = Prices()
    assert prices.cost("whisper-1", TokenUsage(prompt_tokens=10), at=AT) == (None, None)
    assert "whisper-1" in caplog.text
    embedding = prices.cost("text-embedding-3-small", TokenUsage(prompt_tokens=1000), at=AT)
    assert embedding == (from_usd("0.00002"), TABLE)


def test_hostile_names_cannot_fill_the_memory(caplog):
    """Three thousand made-up names: what is remembered and what is warned about stay bounded; nothing is quoted raw."""
    prices = Prices()
    for number in range(3 * MOST):
        prices.cost(f"gpt-6-luna\n{number}" + "x" * 200, SHAPES[0], at=AT)
    assert prices.cost("gpt-6-luna" + "x" * 1_000_000, SHAPES[0], at=AT, tier="flex") == (None, None)
    assert len(prices._known) <= MOST
    assert sum(len(part or "") for key in prices._known for part in key) < 1000 * MOST
    assert len(prices._warned) == MOST
    assert len(caplog.records) == MOST
    assert all("\n" not in record.getMessage() and len(record.getMessage()) < 400 for record in caplog.records)
    assert prices.cost("gpt-6-luna", TokenUsage(prompt_tokens=10), at=AT)[0] == 1_000_000


@pytest.mark.parametrize("model", ["gpt-image-2", "gpt-image-1.5", "gpt-audio", "gpt-4o-transcribe", "gpt-4o-mini-tts"])
def test_pictures_and_sound_cost_what_genai_prices_says(prices, model):
    """Their tokens replace plain ones, at rates of their own where the list has some."""
    sound = "image" not in model
    usage = TokenUsage(
        prompt_tokens=1100,
        completion_tokens=700,
        prompt_image_tokens=0 if sound else 1000,
        prompt_audio_tokens=1000 if sound else 0,
        completion_image_tokens=0 if sound else 600,
        completion_audio_tokens=600 if sound else 0,
    )
    assert prices.cost(model, usage, at=AT)[0] == theirs("openai", model, usage)


def test_more_details_than_total_are_all_charged():
    """A provider that reports more cached tokens than input tokens never brings a cost below what it reported."""
    rates = Rates(0, 10 * MILLION, 1 * MILLION, 20 * MILLION, 30 * MILLION, 30 * MILLION, 0)
    assert rates.cost(TokenUsage(prompt_tokens=1, cached_tokens=5)) == 5
    assert rates.cost(TokenUsage(completion_tokens=1, reasoning_tokens=5)) == 150


def test_a_fee_per_request_is_part_of_the_cost():
    """Some search models charge for each request as well."""
    prices = Prices()
    usage = TokenUsage(prompt_tokens=1000, completion_tokens=100)
    home = next(found for found in providers if found.id == "perplexity")
    model = next(model for model in home.models if getattr(model.get_prices(NOW), "requests_kcount", None) is not None)
    fee = model.get_prices(NOW).requests_kcount
    assert fee > 0
    ours = prices.cost(model.id, usage, at=AT, provider="perplexity")[0]
    assert ours == theirs("perplexity", model.id, usage)
    assert ours > from_usd(fee) // 1000


@given(tokens=st.integers(0, 10**9), rate=st.integers(0, 10**15))
def test_rounding_is_half_up_and_once(tokens, rate):
    """The short form of rounding is that of `core.money`."""
    rates = Rates(0, rate, rate, rate, rate, rate, 0)
    assert rates.cost(TokenUsage(prompt_tokens=tokens)) == half_up(Fraction(tokens * rate, MILLION))


def test_a_step_at_which_only_some_prices_change():
    """Each price has steps of its own; what has none keeps its price beyond the others' steps."""
    from genai_prices.types import Tier

    from headgate.catalog.prices import _compile

    wide, _, small = _compile(
        ModelPrice(
            input_mtok=TieredPrices(base=Decimal(1), tiers=[Tier(start=100, price=Decimal(2))]),
            output_mtok=TieredPrices(base=Decimal(5), tiers=[Tier(start=50, price=Decimal(6))]),
        )
    )
    assert (wide.above, wide.input, wide.output) == (100, from_usd(2), from_usd(6))
    assert (small.above, small.input, small.output, small.cached) == (0, from_usd(1), from_usd(5), from_usd(1))


def test_nothing_is_imported_before_it_is_needed():
    """The price data take a second to import: importing the module must not do it."""
    code = "import sys, headgate.catalog.prices; sys.exit('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_known_model_is_priced_within_microseconds(prices):
    """The hot path looks up and multiplies; it does not search. The bound is generous, as the machine may be busy."""
    usage = SHAPES[1]
    prices.cost("gpt-6-luna", usage, at=AT)
    best = min(timeit.repeat(lambda: prices.cost("gpt-6-luna", usage, at=AT), number=2000, repeat=5)) / 2000
    assert best < 20e-6


def test_what_runs_on_our_own_machines_costs_nothing():
    """Whatever the model is called, a name on the list included; and the table that says so is named."""
    for name in ("smollm2-135m-instruct", "gpt-6-luna"):
        found = Prices().cost(name, TokenUsage(prompt_tokens=10, completion_tokens=5), at=AT, provider=OWN, tier="flex")
        assert found == (0, "own")
