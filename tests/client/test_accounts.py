"""The books, as a Python caller sees them."""

import asyncio
from datetime import datetime

import pytest

from headgate import AsyncHeadgate, Headgate
from headgate.core.errors import BadRequestError


def test_usage_budgets_and_how_it_went():
    """The same calls, in three views; dollars are decimals."""

    async def story():
        settings = {
            "store": "memory://",
            "providers": {"p": {"type": "simulator"}},
            "models": {"default": "gpt-6-luna", "*": {"targets": [{"provider": "p"}]}},
            "budgets": [{"name": "all", "limit_usd": 5}],
        }
        async with AsyncHeadgate(settings) as gate:
            assert (await gate.summary()).status == "no_data"
            replies = [await gate.generate_response("Hello", max_tokens=20) for _ in range(3)]
            return replies, await gate.usage(by="model"), await gate.budgets(), await gate.summary(minutes=5)

    replies, usage, (budget,), summary = asyncio.run(story())
    cost = sum(reply.cost_usd for reply in replies)
    assert usage.cost_usd == summary.cost_usd == budget.spent_usd == cost > 0
    assert usage.by[0].group == {"model": "gpt-6-luna"}
    assert (summary.status, summary.calls, summary.success_rate, summary.minutes) == ("healthy", 3, 1.0, 5)
    assert summary.cost_per_success_usd == pytest.approx(cost / 3)
    assert summary.p95_latency_ms >= summary.latency_ms > 0
    assert (summary.failures, summary.reasons) == ({}, ())


def test_without_async():
    """The sync face has all three."""
    with Headgate(simulate=True) as gate:
        gate.generate_response("Hello")
        assert gate.summary().calls == gate.usage().calls == 1
        assert gate.budgets() == []


def test_what_cannot_be_asked_is_told():
    """A time without a zone, a dimension that is none, a span that is none."""
    with Headgate(simulate=True) as gate:
        with pytest.raises(BadRequestError, match="without a time zone"):
            gate.usage(since=datetime(2026, 1, 1))  # noqa: DTZ001  that is the point
        with pytest.raises(BadRequestError, match="no dimension 'colour'"):
            gate.usage(by="colour")
        with pytest.raises(BadRequestError, match="minutes is none"):
            gate.summary(minutes=0)
