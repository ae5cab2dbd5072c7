"""Callers who leave, in thousands, at any moment: nothing of their calls is left behind.

Afterwards the books, the stores, the queues and the simulators are asked what they still hold, and the next call must
go through at once. In virtual time; `tests/e2e/test_leaving_crowd.py` does it with sockets, and with a shared store.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import httpx2
import pytest

from headgate.client.exchange import Exchange
from headgate.client.http import async_client
from headgate.core.call import Caller, Operation
from headgate.core.errors import HeadgateError
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemChance
from headgate.server.app import application
from headgate.stores.protocols import Query
from headgate.testing import VirtualClock, virtual_time
from tests.gate.leaving import ASKED, KEYS, Crowd, Leaving, at_the_gate, callers, check_books, held, question, settings

PATHS = {Operation.CHAT: "/v1/chat/completions", Operation.RESPONSES: "/v1/responses"}


def at_the_server(gate: Gate, _callers: list[Caller]) -> Callable[[Crowd], Awaitable[None]]:
    """Requests of which the server's task is cancelled, or the caller hangs up."""
    app = application(gate, clock=VirtualClock())

    async def ask(crowd: Crowd) -> None:
        crowd.asked += 1
        operation, body = question(crowd)
        loop = asyncio.get_running_loop()
        gone = loop.create_future()
        hanging = loop.call_later(crowd.among(0.1, 0.5, 3.0) * crowd.random(), gone.set_result, None)
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if not waiting:
                await asyncio.shield(gone)
            return waiting.pop() if waiting else {"type": "http.disconnect"}

        async def send(_: object) -> None:
            await asyncio.sleep(0)

        headers = {"content-type": "application/json", "authorization": f"Bearer {crowd.among(*KEYS)}"}
        if crowd.below(3):
            headers["x-headgate-deadline"] = crowd.among("1s", "8s")
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        path = PATHS[operation]
        try:
            await app(
                {
                    "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
                    "headers": raw, "http_version": "1.1", "client": ("127.0.0.1", 1),
                },
                receive,
                send,
            )  # fmt: skip
        finally:
            hanging.cancel()

    return ask


def in_process(gate: Gate, _callers: list[Caller]) -> Callable[[Crowd], Awaitable[None]]:
    """Requests of the client that the official SDK is given."""

    async def ready() -> Gate:
        return gate

    client = async_client(Exchange(ready))
    client.headers["content-type"] = "application/json"

    async def ask(crowd: Crowd) -> None:
        crowd.asked += 1
        operation, body = question(crowd)
        timeout = crowd.among(None, None, 1.0)
        request = client.build_request("POST", f"http://gate{PATHS[operation]}", content=body, timeout=timeout)
        with suppress(httpx2.ReadTimeout):
            answer = await client.send(request, stream=True)
            rest = crowd.among(0, 1, 10, 100)
            async with aclosing(answer):
                async for _ in answer.aiter_bytes():
                    rest -= 1
                    if rest <= 0:
                        return

    return ask


DOORS = {"gate": at_the_gate, "server": at_the_server, "process": in_process}


@asynccontextmanager
async def opened(given: dict[str, Any]) -> AsyncIterator[tuple[Gate, list[Caller]]]:
    """A gate, and who may call."""
    clock = VirtualClock()
    config = load(None, environment={}, settings=given).config
    async with await Gate.open(config, clock=clock, chance=SystemChance(11)) as gate:
        yield gate, callers(config)


async def story(at: str, number: int) -> Crowd:
    """They come, and leave."""
    async with opened(settings()) as (gate, keys):
        before = asyncio.all_tasks()
        crowd = Crowd(DOORS[at](gate, keys), seed=number, seconds=0.06 * number, patience=60)
        await crowd.come(number)
        assert asyncio.all_tasks() == before
        rows = [row async for row in gate.rows(Query())]
        assert held(gate, gate.simulators) == {}
        check_books(gate, rows, gate.simulators)
        assert gate.meter.counters.calls <= crowd.asked
        now = VirtualClock().monotonic()
        # What a call has not used was given back: no cell clock is far ahead.
        ahead = {name: max(state.clocks) - now for name, state in gate._rates._states.items()}
        assert max(ahead.values()) < 15, ahead
        await the_next(gate)
        return crowd


async def the_next(gate: Gate) -> None:
    """Where nothing goes wrong any more, and debts were worked off, a call goes through at once."""
    for simulator in gate.simulators.values():
        simulator._desk._faults._faults = ()
    clock = VirtualClock()
    await clock.sleep(60)
    for target, simulator in gate.simulators.items():
        start = clock.time()
        async with await gate(gate.call(Operation.CHAT, ASKED[Operation.CHAT] % (target.encode(), 10, b""))) as reply:
            assert (await reply.read()).text
        assert simulator.log[-1].time == start


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("at", "number", "waiting"),
    [
        ("gate", 2000, {"gauge", "answer", "retry"}),
        ("server", 500, {"gauge", "answer", "retry", "exchange", "asgi"}),
        ("process", 300, {"gauge", "answer"}),
    ],
)
def test_nothing_is_left(at, number, waiting):
    """No task, answer, place, queue entry, probe or open attempt; and all that waits was left at some time."""
    crowd = virtual_time(story(at, number))
    assert crowd.left.total() == number
    assert crowd.left.keys() >= waiting


async def one(api: Operation, number: int, how: str) -> Leaving:
    """One call that waits for its place, fails, waits, fails again, goes to the other target, breaks, and goes on.

    It is cancelled at that suspension, if there are so many.
    """
    given = settings()
    once = [{"kind": "status", "status": 503, "times": 1}, {"kind": "status", "status": 401, "times": 1}]
    broken = [{"kind": "stall", "after_tokens": 3, "times": 1}, {"kind": "cut", "after_tokens": 3}]
    for name, faults in (("first", once), ("second", broken)):
        limits = {"requests_per_minute": 600, "tokens_per_minute": 60_000, "concurrency": 1}
        given["providers"][name] = {**given["providers"][name], "limits": limits, "faults": faults}
    given["keys"] = [{**key, "models": None} for key in given["keys"]]
    async with opened(given) as (gate, keys):
        before = asyncio.all_tasks()

        async def ask(model: bytes) -> None:
            call = gate.call(api, ASKED[api] % (model, 8, b',"stream":true'), caller=keys[0])
            async with await gate(call) as reply:
                async for _ in reply:
                    pass
            # Who goes on asks all but those that broke.
            assert [attempt.provider for attempt in call.trail] == ["first", "first", "second", "first"]

        leaving = Leaving(ask(b"on"), number, how, queued=True)
        # Somebody has the place at the second target, for longer than the first one takes to fail.
        before_us = asyncio.create_task(ask(b"second"))  # noqa: TID251  it is awaited below
        task = asyncio.create_task(leaving.run())  # noqa: TID251  ditto
        _, interrupted = await asyncio.gather(task, before_us, return_exceptions=True)
        assert isinstance(interrupted, HeadgateError)
        assert task.cancelled() == (leaving.steps >= number)
        assert asyncio.all_tasks() == before
        rows = [row async for row in gate.rows(Query())]
        assert held(gate, gate.simulators) == {}
        assert None not in {row.settled for row in rows}
        assert gate.meter.counters.calls == len({row.call_id for row in rows}) == 2
    return leaving


@pytest.mark.parametrize("api", [Operation.CHAT, Operation.RESPONSES])
@pytest.mark.parametrize("how", ["now", "soon", "late"])
def test_each_await_of_one_call(api, how):
    """From the first to the last: whatever was waited for, nothing is left."""
    number, places = 0, set()
    while (leaving := virtual_time(one(api, number := number + 1, how))).where:
        places.add(leaving.where[-1])
    assert number > 20
    assert places >= {"gauge", "answer", "retry"}
