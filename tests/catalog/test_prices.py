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
from genai_prices.types import TieredPrices
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.catalog.models import Catalog, Own
from headgate.catalog.prices import CONFIGURED, ELSEWHERE, MOST, OWN, Prices
from headgate.core.money import from_usd, half_up
from headgate.core.usage import TokenUsage
from headgate.providers.simulator.bill import PRICES, amount

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
AT = NOW.timestamp()
TABLE = f"genai-prices {genai_prices.__version__}"
SHIPPED = Catalog().facts.prices
"""What our own data file decides."""


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
            if provider.id == "openai" and model.id in SHIPPED:
                continue
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


SIXTY = [
    "gpt-6-astra", "gpt-6-sol", "gpt-6-luna", "gpt-6.1-sol", "gpt-6.1-terra", "gpt-5.6-sol", "gpt-5.6-terra",
    "gpt-5.6-luna", "gpt-5.6-cyber", "gpt-5.5", "gpt-5.5-pro", "gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano",
    "gpt-5.4-pro", "gpt-5.3-codex", "gpt-5.2", "gpt-5.2-pro", "gpt-5.1", "gpt-5.1-codex-mini", "gpt-5", "gpt-5-mini",
    "gpt-5-nano", "gpt-5-pro", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-4o", "gpt-4o-mini",
    "gpt-4o-2024-05-13", "gpt-4-turbo", "gpt-4", "gpt-3.5-turbo", "gpt-3.5-turbo-instruct", "o1", "o1-pro", "o3",
    "o3-mini", "o3-pro", "o4-mini", "o3-deep-research", "gpt-audio", "gpt-audio-mini", "gpt-realtime-2",
    "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-4o-mini-tts", "text-embedding-3-small",
    "text-embedding-3-large", "text-embedding-ada-002", "gpt-image-2", "gpt-image-2.5-sunburst",
    "gpt-image-2.5-flare", "gpt-image-1.5", "gpt-image-1-mini", "gpt-image-1", "gpt-6-cyber", "gpt-6-rosalind",
    "gpt-oss-120b", "davinci-002", "babbage-002",
]  # fmt: skip
TIERS = ["default", "batch", "flex", "priority", "fast"]
MIXED = [
    *SHAPES,
    TokenUsage(prompt_tokens=9000, cached_tokens=4000, prompt_image_tokens=3000, completion_tokens=7),
    TokenUsage(prompt_tokens=9000, prompt_audio_tokens=8999, completion_tokens=77, completion_audio_tokens=70),
    TokenUsage(prompt_tokens=300_000, cache_write_tokens=299_999, completion_tokens=4096, completion_image_tokens=4096),
    TokenUsage(prompt_tokens=5000),
]


def by_hand(name, tier, usage):
    """The cost in picodollars, in exact fractions from the data alone; None if a rate that is needed is missing."""
    home = next(provider for provider in providers if provider.id == "openai")
    info = next(model for model in home.models if model.is_match(name))
    price = info.prices
    if isinstance(price, list):
        price = [entry for entry in price if entry.constraint is None or entry.constraint.active(NOW)][-1].prices
    rates = {key: value for key, value in vars(price).items() if value is not None}
    if tier != "default":
        when = {"processing": "batch"} if tier == "batch" else {"service_tier": tier}
        (variant,) = [entry for entry in info.price_variants or () if entry.when == when] or [None]
        if variant is None:
            return None
        rates |= {key: value for key, value in vars(variant.prices).items() if value is not None}

    def rate(*keys):
        found = next((rates[key] for key in keys if key in rates), None)
        if isinstance(found, TieredPrices):
            found = [found.base, *(step.price for step in found.tiers if usage.prompt_tokens > step.start)][-1]
        return None if found is None else Fraction(found)

    plain_in, plain_out = "input_mtok", "output_mtok"
    parts = [
        (usage.cached_tokens, rate("cache_read_mtok", plain_in)),
        (usage.cache_write_tokens, rate("cache_write_mtok", plain_in)),
        (usage.prompt_image_tokens, rate("input_image_mtok", plain_in)),
        (usage.prompt_audio_tokens, rate("input_audio_mtok", plain_in)),
        (usage.reasoning_tokens, rate("output_reasoning_mtok", plain_out)),
        (usage.completion_image_tokens, rate("output_image_mtok", plain_out)),
        (usage.completion_audio_tokens, rate("output_audio_mtok", plain_out)),
    ]
    parts.append((usage.prompt_tokens - sum(tokens for tokens, _ in parts[:4]), rate(plain_in)))
    parts.append((usage.completion_tokens - sum(tokens for tokens, _ in parts[4:7]), rate(plain_out)))
    if any(tokens and price is None for tokens, price in parts):
        return None
    return half_up(sum((tokens * price for tokens, price in parts if tokens), Fraction(0)) * 10**6)


def test_sixty_models_in_every_tier_and_shape_cost_what_fractions_say(prices):
    """Integers and one rounding come to the same picodollar as exact fractions of the published figures."""
    compared = unknown = 0
    assert len(set(SIXTY)) >= 60
    for model in SIXTY:
        for tier in TIERS:
            for usage in MIXED:
                ours, table = prices.cost(model, usage, at=AT, tier=tier)
                assert ours == by_hand(model, tier, usage), (model, tier, usage)
                assert table == (None if ours is None else TABLE)
                compared, unknown = compared + (ours is not None), unknown + (ours is None)
    assert compared > 2000
    assert unknown > 100


NOT_LIKE_THE_BILL = {
    "gpt-5.4 flex": "OpenAI publishes 0.13 for cached input, rounded; the bill halves 0.25",
    "gpt-5.4 batch": "ditto",
    "o3 batch": "no cached rate is published for its batches: the ordinary one holds",
    "gpt-4.1 batch": "ditto",
    "gpt-4.1-mini batch": "ditto",
    "gpt-4o batch": "ditto",
    "gpt-4o-mini batch": "ditto",
    "gpt-image-1.5 default": "text that it writes costs less than what it draws; on the bill it only draws",
    "gpt-image-1.5 batch": "ditto",
    "chatgpt-image-latest default": "ditto",
    "gpt-5.4 priority": "not sold beyond 272,000 input tokens, where the bill goes on",
    "gpt-5.5 priority": "ditto",
}
"""Where the simulator's table is simpler than the published one, and why."""


def test_the_simulators_own_table_agrees(prices):
    """Written by hand in fractions and sharing nothing with the catalog, it comes to the same sums."""
    differ, agreed = set(), set()
    for model in PRICES:
        for tier in ("default", "flex", "batch", "priority"):
            for usage in SHAPES:
                ours = prices.cost(model, usage, at=AT, tier=tier)[0]
                theirs = half_up(amount(model, usage, tier=tier) * 10**12)
                # Who pays by the hour or by the letter, or in a tier that is not sold, has no price for tokens.
                if ours is not None:
                    (agreed if ours == theirs else differ).add(f"{model} {tier}")
    assert differ == NOT_LIKE_THE_BILL.keys()
    assert len(agreed | differ) > 80
    assert {f"{model} default" for model in PRICES if model.startswith("gpt-") and "image" not in model} - {
        "gpt-transcribe default"
    } <= agreed


def test_what_is_kept_for_twelve_hours_costs_what_the_bill_says(prices):
    """2.5 times the input rate where writing costs something."""
    usage = TokenUsage(prompt_tokens=3000, cache_write_tokens=2048, completion_tokens=9)
    for model in ("gpt-6-luna", "gpt-6.2-sol", "gpt-5.6-terra", "gpt-5.5", "gpt-4o"):
        ours = prices.cost(model, usage, at=AT, kept_long=True)[0]
        assert ours == amount(model, usage, long_ttl=True) * 10**12


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


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("o3-mini-2025-01-31", "o3-mini"),
        ("openai/gpt-6-luna", "gpt-6-luna"),
        ("gpt-6.2-sol-2026-11-18", "gpt-6.2-sol"),
        ("openrouter/openai/gpt-5.4-2026-03-05", "gpt-5.4"),
    ],
)
def test_names_find_the_price_of_their_base(prices, name, base):
    """Dated or prefixed, it is the same model at the same price."""
    found = prices.cost(name, SHAPES[1], at=AT)
    assert found == prices.cost(base, SHAPES[1], at=AT)
    assert found[0] is not None


def test_a_tuned_model_has_a_price_of_its_own(prices):
    """Not its base's, which is half of it; tuned from a model that no list has as tuned, none at all."""
    tokens = TokenUsage(prompt_tokens=1000, cached_tokens=500, completion_tokens=100)
    cost, table = prices.cost("ft:gpt-4.1-mini:acme::x", tokens, at=AT)
    assert cost == half_up((500 * Fraction("0.80") + 500 * Fraction("0.20") + 100 * Fraction("3.20")) * 10**6)
    assert table == "headgate 2026-11-20: LiteLLM 1.109.1"
    assert prices.cost("ft:gpt-4.1-mini-2025-04-14:acme::x", tokens, at=AT)[0] == cost
    assert prices.cost("ft:gpt-5.1:acme::x", tokens, at=AT) == (None, None)


def test_our_own_data_file_fills_the_gaps(prices):
    """gpt-6.2 is newer than the list; its rows say where the price comes from, and the tiers follow the rules."""
    usage = TokenUsage(prompt_tokens=300_000, cached_tokens=100_000, cache_write_tokens=10_000, completion_tokens=1000)
    for tier, factor in (("default", 1), ("flex", Fraction(1, 2)), ("batch", Fraction(1, 2)), ("priority", 2)):
        cost, table = prices.cost("gpt-6.2-astra", usage, at=AT, tier=tier)
        exact = (190_000 * 8 + 100_000 * Fraction("0.40") + 10_000 * 10) * 2 + 1000 * 40 * Fraction(3, 2)
        assert cost == half_up(exact * factor * 10**6)
        assert table == "headgate 2026-11-20: OpenAI's page of 2026-11-18, the cached rate derived"
    assert prices.cost("gpt-6.2-astra", usage, at=AT, tier="scale") == (None, None)


def test_sound_of_the_preview_models_does_not_cost_as_little_as_text(prices):
    """The list has no rate for it; our file has."""
    heard = TokenUsage(prompt_tokens=1000, prompt_audio_tokens=1000)
    assert prices.cost("gpt-4o-audio-preview-2024-12-17", heard, at=AT)[0] == from_usd("0.04")


def usd(cost):
    """A cost per million tokens, in USD."""
    return Decimal(cost) / 10**12


ESTIMATES = [
    ("gpt-6.3-sol", "gpt-6-rosalind", "15"),
    ("gpt-5.6-mars", "gpt-5.6-cyber", "12.5"),
    ("gpt-4.1-micro", "gpt-4.1", "2"),
    ("text-embedding-4-large", "text-embedding-3-large", "0.13"),
    ("gpt-image-3", "gpt-image-2", "5"),
    ("house-llama", "gpt-5.4-pro", "30"),
]


@pytest.mark.parametrize(("name", "dearest", "rate"), ESTIMATES)
def test_estimate_takes_the_dearest_living_model_of_the_family(name, dearest, rate, caplog):
    """The more words of the name agree, the nearer the family; the row says what it was taken for."""
    prices = Prices(Catalog(), unknown="estimate")
    cost, table = prices.cost(name, TokenUsage(prompt_tokens=1_000_000 // 10), at=AT)
    assert usd(cost) * 10 == Decimal(rate)
    assert table.startswith("estimate: gpt-" if "embedding" not in name else "estimate: text-")
    others = [found[0] for found in (prices.rates(dearest, at=AT),) if found]
    assert others[0].input == cost * 10
    assert "estimated" in caplog.text
    assert not prices.known(name, at=AT)


def test_an_estimate_of_a_tier_is_the_dearest_tier_of_the_model():
    """The model is known, only not at that speed."""
    prices = Prices(Catalog(), unknown="estimate")
    cost, table = prices.cost("gpt-6-luna", TokenUsage(prompt_tokens=1000), at=AT, tier="ultrafast")
    assert cost == prices.cost("gpt-6-luna", TokenUsage(prompt_tokens=1000), at=AT, tier="priority")[0]
    assert table == f"estimate: gpt-6-luna, priority tier, {TABLE}"


def test_what_is_known_is_not_estimated():
    """The setting changes nothing about models with a price."""
    usage = SHAPES[3]
    for model in ("gpt-6-luna", "gpt-4o-mini", "ft:gpt-4.1-mini:acme::x"):
        assert Prices(Catalog(), unknown="estimate").cost(model, usage, at=AT) == Prices().cost(model, usage, at=AT)


@pytest.mark.parametrize("unknown", ["allow", "refuse"])
def test_nothing_costs_nothing_by_ignorance(unknown):
    """Whether it is let through or will be refused: an unknown price is None and no price is known."""
    prices = Prices(Catalog(), unknown=unknown)
    assert prices.cost("house-llama", SHAPES[1], at=AT) == (None, None)
    assert not prices.known("house-llama", at=AT)
    # It has a price, but none for tokens.
    assert not prices.known("whisper-1", at=AT)
    assert prices.known("gpt-6-luna", at=AT)
    assert prices.known("anything", at=AT, provider=OWN)


OURS = {
    "acme-tuned": Own(base="gpt-4.1-mini", input=Decimal("0.80"), cached=Decimal("0.20"), output=Decimal("3.20")),
    "house-llama": Own(input=Decimal(0), output=Decimal(0)),
    "my-deployment": Own(base="gpt-6-luna"),
    "half-known": Own(input=Decimal(1)),
    "gpt-4o": Own(input=Decimal(9), output=Decimal(9)),
    "nobody-knows": Own(base="house-mistral"),
}


@pytest.fixture(scope="module")
def configured():
    """A table that knows what a user says."""
    return Prices(Catalog(OURS))


@pytest.mark.parametrize("provider", ["openai", "azure", ELSEWHERE])
def test_what_the_user_says_wins_everywhere(configured, provider):
    """Whoever serves, whatever the tier, whatever the answer calls itself; 0 is a price; the row says who said so."""
    usage = TokenUsage(prompt_tokens=1000, cached_tokens=400, completion_tokens=100)
    tuned = (half_up((600 * Fraction("0.80") + 400 * Fraction("0.20") + 100 * Fraction("3.20")) * 10**6), CONFIGURED)
    assert configured.cost("acme-tuned", usage, at=AT, provider=provider) == tuned
    assert configured.cost("acme-tuned", usage, at=AT, provider=provider, tier="flex") == tuned
    served = "gpt-4.1-mini-2025-04-14"
    assert configured.cost(served, usage, at=AT, provider=provider, asked="acme-tuned") == tuned
    assert configured.cost("house-llama", usage, at=AT, provider=provider) == (0, CONFIGURED)
    assert configured.cost("gpt-4o-2024-08-06", usage, at=AT, provider=provider)[1] == CONFIGURED
    assert configured.known("house-llama", at=AT, provider=provider)


def test_what_the_user_leaves_out_is_not_known(configured):
    """But for cached input, which costs as input does."""
    assert configured.cost("half-known", TokenUsage(prompt_tokens=10, cached_tokens=5), at=AT) == (10**7, CONFIGURED)
    assert configured.cost("half-known", TokenUsage(prompt_tokens=10, completion_tokens=1), at=AT) == (None, None)
    assert configured.cost("nobody-knows", SHAPES[1], at=AT) == (None, None)


def test_a_base_lends_its_price(configured):
    """A deployment with a name of its own costs what it is, in each tier, wherever it stands."""
    expected = configured.cost("gpt-6-luna", SHAPES[8], at=AT, tier="flex")[0]
    for provider in ("openai", "azure", ELSEWHERE):
        found = configured.cost("my-deployment", SHAPES[8], at=AT, tier="flex", provider=provider)
        assert found == (expected, f"{TABLE}, as gpt-6-luna")


def test_an_address_that_no_list_claims_charges_as_openai_does_and_says_so(prices):
    """But for what anybody may serve at a price of his own."""
    assert prices.list_at("https://proxy.example.com/v1") == ELSEWHERE
    assert prices.list_at("https://api.groq.com/openai/v1") == "groq"
    cost, table = prices.cost("gpt-6-luna", SHAPES[1], at=AT, provider=ELSEWHERE)
    assert (cost, table) == (prices.cost("gpt-6-luna", SHAPES[1], at=AT)[0], f"{TABLE}, as if at openai")
    assert prices.cost("gpt-oss-20b", SHAPES[1], at=AT)[0] is not None
    assert prices.cost("gpt-oss-20b", SHAPES[1], at=AT, provider=ELSEWHERE) == (None, None)
    assert prices.cost("llama-3", SHAPES[1], at=AT, provider=ELSEWHERE) == (None, None)


def test_azure_costs_what_openai_does_unless_it_says_otherwise(prices):
    """Its own list has few models; the others are on OpenAI's."""
    assert (
        prices.cost("gpt-6-luna", SHAPES[1], at=AT, provider="azure")[0]
        == prices.cost("gpt-6-luna", SHAPES[1], at=AT)[0]
    )


def test_what_runs_on_our_own_machines_costs_nothing():
    """Whatever the model is called, a name on the list included; and the table that says so is named."""
    for name in ("smollm2-135m-instruct", "gpt-6-luna"):
        found = Prices().cost(name, TokenUsage(prompt_tokens=10, completion_tokens=5), at=AT, provider=OWN, tier="flex")
        assert found == (0, "own")


# --- the worst case


@pytest.mark.parametrize("model", ["gpt-6-luna", "gpt-5.6-luna", "gpt-4.1-mini", "o3", "gpt-6-sol"])
@given(
    tokens=st.tuples(st.integers(0, 2_000_000), st.integers(0, 200_000)),
    shares=st.tuples(*[st.floats(0, 1)] * 3),
    tiers=st.sampled_from([(None, None), ("priority", "priority"), ("priority", None), ("flex", "flex")]),
)
def test_the_worst_case_is_never_exceeded(prices, model, tokens, shares, tiers):
    """Whatever part of the tokens was cached, written or thought, and whether the tier asked for has served."""
    (prompt, completion), (tier, served) = tokens, tiers
    most = prices.worst(model, prompt=prompt, completion=completion, at=AT, tier=tier)
    cached = int(prompt * shares[0])
    usage = TokenUsage(
        prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached,
        cache_write_tokens=int((prompt - cached) * shares[1]), reasoning_tokens=int(completion * shares[2]),
    )  # fmt: skip
    paid, _ = prices.cost(model, usage, at=AT, tier=served)
    if most is not None and paid is not None:
        assert paid <= most


def test_the_worst_case_of_plain_tokens(prices):
    """It is no more than their price where all of them cost the same."""
    assert (
        prices.worst("gpt-6-luna", prompt=0, completion=1000, at=AT)
        == prices.cost("gpt-6-luna", TokenUsage(completion_tokens=1000), at=AT)[0]
    )
    assert prices.worst("nobody-knows-it", prompt=1, completion=1, at=AT) is None
    assert prices.worst("anything", prompt=1, completion=1, at=AT, provider=OWN) == 0
