"""The bill, against sums done by hand."""

from decimal import Decimal
from fractions import Fraction

import pytest

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.bill import PRICES, Bill, BillLine, amount, decimal
from headgate.providers.simulator.models import MODELS


def usd(model, *, tier="default", long_ttl=False, **usage):
    """What a usage costs, as a decimal number."""
    return decimal(amount(model, TokenUsage(**usage), tier=tier, long_ttl=long_ttl))


@pytest.mark.parametrize(
    ("model", "cost"),
    [
        # 1,000 in of which 400 cached, 100 out: (600·in + 400·cached + 100·out) / 1e6
        ("gpt-6-luna", "0.000114"),
        ("gpt-6.1-sol", "0.00224"),
        ("gpt-6.2-astra", "0.00896"),
        ("gpt-5.5", "0.0062"),
        ("gpt-5.4-mini", "0.00093"),
        ("gpt-5.1", "0.0018"),
        ("gpt-5-nano", "0.000072"),
        ("gpt-4.1", "0.0022"),
        ("gpt-4o", "0.003"),
        ("gpt-4o-mini", "0.00018"),
        ("o3", "0.0022"),
        ("fake", "0"),
    ],
)
def test_prices(model, cost):
    """Fresh input, cached input and output each have their rate; cached tokens replace fresh ones."""
    assert usd(model, prompt_tokens=1000, cached_tokens=400, completion_tokens=100) == Decimal(cost)


def test_writing_to_the_cache():
    """It costs 1.25 of the input rate from gpt-5.6 on, 2.5 for twelve hours, and nothing more before."""
    assert usd("gpt-5.6-sol", prompt_tokens=1_000_000, cache_write_tokens=200_000) == Decimal("8.4")
    assert usd("gpt-6-sol", prompt_tokens=100_000, cache_write_tokens=100_000) == Decimal("0.25")
    assert usd("gpt-6-sol", prompt_tokens=100_000, cache_write_tokens=100_000, long_ttl=True) == Decimal("0.5")
    assert usd("gpt-5.5", prompt_tokens=100_000, cache_write_tokens=100_000, long_ttl=True) == Decimal("0.5")


def test_service_tiers():
    """Flex and batch are half, priority is double, and two and a half times for gpt-5.5."""
    tiers = ("default", "flex", "batch", "priority")
    assert [usd("gpt-6-sol", tier=tier, prompt_tokens=1_000) for tier in tiers] == [
        Decimal(text) for text in ("0.002", "0.001", "0.001", "0.004")
    ]
    assert usd("gpt-5.5", tier="priority", completion_tokens=1_000) == Decimal("0.075")


def test_long_requests_cost_more_as_a_whole():
    """Above 272,000 input tokens input and cache cost double and output half as much again, where that applies."""
    at, above = {"prompt_tokens": 272_000}, {"prompt_tokens": 272_001, "cached_tokens": 1, "completion_tokens": 1_000}
    assert usd("gpt-5.4", **at) == Decimal("0.68")
    assert usd("gpt-5.4", **above) == Decimal("1.36") + Decimal("0.0000005") + Decimal("0.0225")
    assert usd("gpt-4.1", **above) == Decimal("0.544") + Decimal("0.0000005") + Decimal("0.008")


def test_every_model_has_a_price_that_is_a_whole_number_of_picodollars_per_token():
    """No model is served for nothing by mistake, and no rate makes the books round."""
    assert PRICES.keys() == MODELS.keys()
    for name, price in PRICES.items():
        free = name == "fake" or "moderation" in name
        assert any((price.input, price.output, price.hour, price.characters)) == (not free)
        assert (price.input > 0) == (price.cached > 0)
        rates = (price.input, price.cached, price.output, price.write, price.input * Fraction(5, 4))
        for rate in (*rates, price.image or 0, price.audio or 0, price.characters, price.hour / 3600 * 10**6):
            assert (Fraction(rate) / 2 * 10**6).denominator == 1


def test_pictures_and_sound():
    """Input that is seen or heard has its own rate; some models are paid by the second heard or the letter spoken."""
    edit = {"prompt_tokens": 1024 + 16, "prompt_image_tokens": 1024, "completion_tokens": 1024}
    assert usd("gpt-image-2", **edit) == Decimal("0.00008") + Decimal("0.008192") + Decimal("0.03072")
    heard = {"prompt_tokens": 110, "prompt_audio_tokens": 100, "completion_tokens": 20}
    assert usd("gpt-4o-transcribe", **heard) == Decimal("0.000025") + Decimal("0.0006") + Decimal("0.0002")
    assert usd("gpt-4o-mini-tts", prompt_tokens=10, completion_tokens=20) == Decimal("0.000246")
    assert usd("text-embedding-3-small", prompt_tokens=1000) == Decimal("0.00002")
    assert decimal(amount("whisper-1", TokenUsage(), seconds=7)) == Decimal("0.0007")
    assert decimal(amount("gpt-transcribe", TokenUsage(), seconds=3600)) == Decimal("0.27")
    assert decimal(amount("tts-1-hd", TokenUsage(), characters=1000)) == Decimal("0.03")
    assert decimal(amount("tts-1", TokenUsage(), characters=1000, tier="batch")) == Decimal("0.0075")
    # Nothing that is not charged by the second is.
    assert amount("gpt-4o-transcribe", TokenUsage(), seconds=60) == 0


def test_the_bill_adds_up_however_often_it_is_asked():
    """The total is the sum of the lines so far, exactly, and its decimal is in no exponent's hands."""
    bill = Bill()
    assert bill.usd() == 0
    for count in (1, 2, 3):
        line = BillLine(
            request_id="req",
            client_request_id=None,
            model="gpt-5-nano",
            tier="default",
            usage=TokenUsage(completion_tokens=count),
            complete=True,
        )
        bill.lines.append(line)
        assert bill.total == sum(line.amount for line in bill.lines)
    assert bill.total == Fraction(24, 10**7)
    assert bill.usd() == Decimal("0.0000024")
