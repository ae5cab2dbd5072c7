"""What keys allow their callers, through a whole gate on the simulator, in virtual time."""

import asyncio
import hashlib
from typing import Any

import pytest

from headgate.core.call import Call, Caller, Operation
from headgate.core.errors import TooFastError
from headgate.core.limits import Demand
from headgate.gate import present, wiring
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance
from headgate.stores.protocols import Query
from headgate.stores.rates import Rule
from headgate.testing import VirtualClock, virtual_time

BODY = (
    b'{"model": "gpt-6-luna", "max_completion_tokens": 50, '
    b'"messages": [{"role": "user", "content": "Tell me 40 tokens."}]%s}'
)
STREAM = b', "stream": true'


def gate_config(provider: dict[str, Any], **keys: dict[str, Any]) -> Config:
    """A gate with these keys."""
    return Config.model_validate(
        {
            "server": {"auth": "keys"},
            "store": "memory://",
            "providers": {"p": {"type": "simulator", **provider}},
            "models": {"gpt-6-luna": {"targets": [{"provider": "p"}]}},
            "keys": [
                {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), **key} for name, key in keys.items()
            ],
        }
    )


def on_a_gate(story, provider: dict[str, Any] | None = None, **keys: dict[str, Any]):
    """Run a story with a gate and its callers by name, as the HTTP door makes them."""

    async def whole():
        config = gate_config(provider or {}, **keys)
        callers = {
            key.name: Caller(
                key=key.name,
                limits=None if key.limits is None else wiring.limits(key.limits),
                priority=9 if key.priority is None else key.priority,
            )
            for key in config.keys
        }
        async with await Gate.open(config, clock=VirtualClock(), chance=SystemChance(seed=4)) as gate:
            return await story(gate, callers)

    return virtual_time(whole())


def asks(gate: Gate, caller: Caller, *, stream: bool = False, priority: int = 5) -> Call:
    """A call of a caller."""
    return gate.call(Operation.CHAT, BODY % (STREAM if stream else b""), caller=caller, priority=priority)


async def one(gate: Gate, caller: Caller, **how: Any) -> str:
    """One call to its end: `ok`, or the error's code."""
    try:
        async with await gate(asks(gate, caller, **how)) as reply:
            async for _ in reply:
                pass
    except TooFastError as error:
        return error.code
    return "ok"


def test_a_flood_stops_at_the_gate():
    """Of a thousand calls at once a minute's worth leaves; another key is not touched; every refusal is booked."""

    async def story(gate, callers):
        flood = await asyncio.gather(*(one(gate, callers["web"]) for _ in range(1000)))
        other = await one(gate, callers["other"])
        rows = [row async for row in gate.rows(Query())]
        return flood, other, rows, len(gate.simulators["p"].log)

    flood, other, rows, asked = on_a_gate(story, web={"limits": {"requests_per_minute": 60}}, other={})
    assert (flood.count("ok"), flood.count("rate_limit_exceeded"), other, asked) == (60, 940, "ok", 61)
    refused = [row for row in rows if row.status == 429]
    assert len(refused) == 940
    assert {(row.attempt, row.error_type, row.key, row.cost) for row in refused} == {
        (0, "rate_limit_exceeded", "web", 0)
    }


def test_answers_and_refusals_tell_what_is_left():
    """Ours and never the provider's, whose own headers say something else; a refusal asks to be tried again."""

    async def story(gate, callers):
        told = []
        for _ in range(3):
            call = asks(gate, callers["web"])
            try:
                async with await gate(call) as reply:
                    await reply.read()
                    told.append(present.reply_headers(call, reply))
                    provider = reply.attempts[-1].headers
            except TooFastError as error:
                told.append(present.error_answer(error, call.request_id)[1])
        call = asks(gate, callers["free"])
        async with await gate(call) as reply:
            free = present.reply_headers(call, reply)
        return told, provider, free

    limits = {"requests_per_minute": 2, "tokens_per_minute": 600}
    simulated = {"limits": {"requests_per_minute": 5000, "tokens_per_minute": 70_000}}
    (first, second, refused), provider, free = on_a_gate(story, simulated, web={"limits": limits}, free={})
    assert provider["x-ratelimit-limit-requests"] == "5000"
    shown = [{name: value for name, value in headers.items() if "ratelimit" in name} for headers in (first, second)]
    assert [headers["x-ratelimit-remaining-requests"] for headers in shown] == ["1", "0"]
    assert [headers["x-ratelimit-limit-tokens"] for headers in shown] == ["600", "600"]
    assert len(shown[0]) == 6
    assert (refused["retry-after"], refused["x-ratelimit-reset-requests"]) == ("30", "1m0s")
    assert "x-should-retry" not in refused
    assert refused["x-headgate-attempts"] == "0"
    assert not [name for name in free if "ratelimit" in name]


def test_the_tokens_that_are_gone_are_those_of_the_bill():
    """After calls of all kinds, what the key has used is what the provider charged for, to the token."""

    async def story(gate, callers):
        web = callers["web"]
        for number in range(20):
            assert await one(gate, web, stream=number % 2 == 0) == "ok"
        rule = Rule("admit:web", web.limits, 60.0)
        grant = await gate._rates.take(rule, Demand())
        used = grant.tokens * web.limits.tokens_per_minute / 60
        return used, gate.meter.counters

    used, counters = on_a_gate(story, web={"limits": {"tokens_per_minute": 1_000_000}})
    assert used == pytest.approx(counters.prompt_tokens + counters.completion_tokens)
    assert used > 800


def test_nothing_is_left_of_calls_that_were_cancelled():
    """Five hundred, cancelled at random moments, streamed or not: every place is free, and the limit stays exact."""
    random = SystemChance(seed=11)

    async def story(gate, callers):
        web = callers["web"]
        for _ in range(100):
            tasks = [asyncio.ensure_future(one(gate, web, stream=random.random() < 0.5)) for _ in range(5)]  # noqa: TID251
            for task in tasks:
                asyncio.get_running_loop().call_later(random.random() * 2, task.cancel)
            await asyncio.gather(*tasks, return_exceptions=True)
        replies = [await gate(asks(gate, web, stream=True)) for _ in range(3)]
        full = await one(gate, web)
        for reply in replies:
            await reply.close()
        return full, await one(gate, web), gate.meter.counters.in_flight

    latency = {"latency": {"first_token": 0.5, "per_token": 0.02}}
    limits = {"concurrency": 3, "tokens_per_minute": 10_000_000}
    assert on_a_gate(story, latency, web={"limits": limits}) == ("rate_limit_exceeded", "ok", 0)


def test_a_key_cannot_claim_more_than_its_cap():
    """In the queue before a provider's limit, whoever may claim more goes first, whatever the other one claims."""

    async def story(gate, callers):
        order = []

        async def ask(name: str, priority: int) -> None:
            await one(gate, callers[name], priority=priority)
            order.append(name)

        async with asyncio.TaskGroup() as group:
            for _ in range(12):
                group.create_task(ask("low", 9))
            await asyncio.sleep(0.5)
            for _ in range(6):
                group.create_task(ask("high", 5))
        return order

    order = on_a_gate(story, {"limits": {"requests_per_minute": 60}}, low={"priority": 2}, high={})
    assert order.index("high") <= 2, "those that had left already"
    assert order[order.index("high") :][:6].count("high") == 6


def test_a_sliding_minute_for_a_key():
    """`window: sliding` is what it says: ten calls, and no eleventh in any sixty seconds."""

    async def story(gate, callers):
        times = []
        for _ in range(300):
            if await one(gate, callers["web"]) == "ok":
                times.append(gate._clock.monotonic())
            await asyncio.sleep(1)
        return times

    times = on_a_gate(story, web={"limits": {"requests_per_minute": 10, "window": "sliding"}})
    assert len(times) >= 50
    assert all(later - earlier >= 60 - 1e-6 for earlier, later in zip(times, times[10:], strict=False))
