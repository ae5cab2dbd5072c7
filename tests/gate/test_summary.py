"""How it went lately."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from headgate.core.call import Operation
from headgate.core.errors import BadRequestError, HeadgateError
from headgate.core.money import from_usd
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemChance
from headgate.gate.summary import Summary
from headgate.stores.protocols import Query
from headgate.testing import VirtualClock, virtual_time

PLAIN = {"providers": {"p": {"type": "simulator"}}, "store": "memory://"}
ASK = b'{"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hello"}]}'


@asynccontextmanager
async def _standing(**settings):
    config = load(None, environment={}, settings={**PLAIN, **settings}).config
    async with await Gate.open(config, clock=VirtualClock(), chance=SystemChance(1)) as gate:
        yield gate


async def _ask(gate, raw=ASK):
    try:
        async with await gate(gate.call(Operation.CHAT, raw)) as reply:
            await reply.read()
    except HeadgateError:
        pass


def test_nothing_was_called():
    """No data, and no division by nothing."""

    async def story():
        async with _standing() as gate:
            return await gate.summaries.last()

    summary = virtual_time(story())
    assert summary.status == "no_data"
    assert (summary.success_rate, summary.hit_rate, summary.cost_per_success) == (0.0, 0.0, None)
    assert summary.facts()["cost_usd"] == "0.0000"


@pytest.mark.parametrize(("failing", "status"), [(1, "healthy"), (4, "degraded")])
def test_from_what_is_on_the_books(failing, status):
    """Counted where calls ended; the sums are those of `usage`; old calls do not count."""
    faults = [{"kind": "status", "status": 400, "times": failing}]
    providers = {"p": {"type": "simulator", "faults": faults, "latency": {"first_token": 0.5}}}

    async def story():
        async with _standing(providers=providers) as gate:
            for _ in range(40):
                await _ask(gate)
            recent = await gate.summaries.last(60)
            total, _ = await gate.usage(Query())
            await asyncio.sleep(3601)
            return recent, total, await gate.summaries.last(60)

    recent, total, later = virtual_time(story())
    assert (recent.calls, recent.succeeded, recent.status) == (40, 40 - failing, status)
    assert recent.cost == total.cost > 0
    assert recent.tokens == total.prompt_tokens + total.completion_tokens
    assert recent.latency_ms == pytest.approx(500, rel=0.01)
    assert recent.p95_ms == pytest.approx(500, rel=0.01)
    assert recent.cost_per_success == total.cost // (40 - failing)
    assert sum(recent.failures.values()) == failing
    assert recent.token_efficiency == 1.0
    assert bool(recent.reasons) is (status == "degraded")
    assert later.status == "no_data"


def test_refusals_are_told_apart():
    """What our own rules refused, by the guard and by a budget."""
    settings = {
        "policies": {"guard": {"input": [{"kind": "words", "words": ["rival"]}]}},
        "models": {"*": {"targets": [{"provider": "p"}]}},
    }

    async def story():
        async with _standing(**settings) as gate:
            await _ask(gate)
            await _ask(gate, ASK.replace(b"Hello", b"the rival"))
            return await gate.summaries.last()

    summary = virtual_time(story())
    assert (summary.calls, summary.refusals, summary.blocked, summary.resting) == (2, 1, 1, 0)
    assert summary.reasons == ("50.0% of 2 calls succeeded", "1 ended in blocked")


@pytest.mark.parametrize(("asked", "status"), [(3, "healthy"), (0, "no_data")])
def test_calls_that_were_left_are_nobodys_failure(asked, status):
    """They are counted, and neither succeeded nor failed; where all were left, there is nothing to judge."""

    async def story():
        async with _standing() as gate:
            for _ in range(asked):
                await _ask(gate)
            for _ in range(2):
                async with await gate(gate.call(Operation.CHAT, ASK[:-1] + b', "stream": true}')):
                    pass
            return await gate.summaries.last()

    summary = virtual_time(story())
    assert (summary.calls, summary.succeeded, summary.left, summary.status) == (asked + 2, asked, 2, status)
    assert (summary.success_rate, summary.reasons, summary.failures) == (float(asked > 0), (), {})
    assert summary.facts()["left"] == 2


def test_figures_for_scripts():
    """Dollars to 4 places, milliseconds to 2."""
    facts = Summary(
        minutes=60, status="healthy", calls=3, succeeded=3, cost=from_usd("0.12345"), latency_ms=1.23456, p95_ms=2.5,
        hits=1, tokens=3, useful_tokens=1,
    ).facts()  # fmt: skip
    assert (facts["cost_usd"], facts["cost_per_success_usd"], facts["latency_ms"]) == ("0.1234", "0.0412", 1.23)
    assert (facts["hit_rate"], facts["token_efficiency"]) == (0.3333, 0.3333)


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf"), 1e9])
def test_minutes_that_are_none(minutes):
    """Refused with the cure."""

    async def story():
        async with _standing() as gate:
            with pytest.raises(BadRequestError, match="31 days"):
                await gate.summaries.last(minutes)

    virtual_time(story())
