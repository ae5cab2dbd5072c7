"""Callers who leave, in hundreds, over real sockets and with a real shared store: nothing of their calls is left.

As `tests/gate/test_cancelled.py`, in real time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from headgate.core.call import Operation
from headgate.gate import wiring
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemChance, SystemClock
from headgate.providers.simulator import Simulator, simulator_app
from headgate.server.serve import listening
from headgate.stores.protocols import Query
from tests.gate.leaving import ASKED, Crowd, at_the_gate, callers, check_books, held, settings

pytestmark = pytest.mark.e2e
CLOCK = SystemClock()


def quick(**sections: Any) -> dict[str, Any]:
    """The settings of the crowd, ten times as fast, and with limits to match."""
    given = settings()
    for provider in given["providers"].values():
        provider["timeout"] = {"connect": 1, "first_token": 0.4, "silence": 0.2, "total": 2}
        provider["latency"] = {"first_token": 0.02, "per_token": 0.0005, "jitter": 0.5}
        provider["limits"] = {"requests_per_minute": 6000, "tokens_per_minute": 600_000, "concurrency": 6}
        for fault in provider["faults"]:
            fault.update({name: fault[name] / 10 for name in ("retry_after", "delay") if name in fault})
    for key in given["keys"]:
        key["limits"] = {"requests_per_minute": 6000, "tokens_per_minute": 2_000_000, "concurrency": 20}
    return given | sections


async def soon(true: Callable[[], object], what: Callable[[], object]) -> None:
    """Wait for it, at most a second."""
    end = CLOCK.monotonic() + 1
    while not true():
        assert CLOCK.monotonic() < end, what()
        await asyncio.sleep(0.01)


async def come(gate: Gate, simulators: Mapping[str, Simulator], number: int) -> None:
    """So many come, and leave; nothing stays, and the next call is answered."""
    before = asyncio.all_tasks()
    crowd = Crowd(at_the_gate(gate, callers(gate.config)), seed=number, seconds=4, patience=2)
    await crowd.come(number)
    assert crowd.left.total() == number
    # Where exactly a random moment falls is a matter of the machine; somewhere in a wait it does.
    assert crowd.left.keys() & {"gauge", "retry"}
    await soon(lambda: asyncio.all_tasks() <= before, lambda: asyncio.all_tasks() - before)
    rows = [row async for row in gate.rows(Query())]
    await soon(lambda: not held(gate, simulators), lambda: held(gate, simulators))
    check_books(gate, rows, simulators)
    for simulator in simulators.values():
        simulator._desk._faults._faults = ()
    await asyncio.sleep(1.1)
    for target in simulators:
        async with await gate(gate.call(Operation.CHAT, ASKED[Operation.CHAT] % (target.encode(), 10, b""))) as reply:
            assert (await reply.read()).text
        assert len(reply.attempts) == 1


@asynccontextmanager
async def sockets() -> AsyncIterator[tuple[Gate, Mapping[str, Simulator]]]:
    """A gate whose targets are simulators behind sockets."""
    given = quick()
    simulators = {
        name: wiring.simulator(provider, CLOCK)
        for name, provider in load(None, environment={}, settings=given).config.providers.items()
    }
    async with AsyncExitStack() as stack:
        for name, simulator in simulators.items():
            address = await stack.enter_async_context(
                listening(simulator_app(simulator), host="127.0.0.1", port=0, grace=1)
            )
            kept = {"timeout": given["providers"][name]["timeout"], "limits": given["providers"][name]["limits"]}
            given["providers"][name] = {
                "type": "openai", "api_key": "sk-x", "base_url": f"{address}/v1", "responses": True, **kept,
            }  # fmt: skip
        config = load(None, environment={}, settings=given).config
        yield await stack.enter_async_context(await Gate.open(config, chance=SystemChance(3))), simulators


def test_no_connection_is_left():
    """200 calls over the transport's pool: no connection is in use, here or there, and those kept serve the next."""

    async def story() -> None:
        async with sockets() as (gate, simulators):
            await come(gate, simulators, 200)
            for provider in gate._providers.values():
                transport = provider._transport
                kept = [connection for idle in transport._idle.values() for connection in idle]
                assert set(kept) == transport._all
                assert len(kept) == len(transport._all)
                assert not any(connection._busy for connection in kept)

    asyncio.run(story())


def test_no_permit_is_left_in_the_shared_store(valkey):
    """300 calls with limits in a real Valkey: it keeps no place of theirs, and nobody waits for one."""

    async def story() -> None:
        config = load(None, environment={}, settings=quick(shared=valkey.url)).config
        async with await Gate.open(config, chance=SystemChance(3)) as gate:
            await come(gate, gate.simulators, 300)
            places = [key for key in valkey.ask("KEYS", "headgate:*") if key.endswith(b":permits")]
            await soon(lambda: not [key for key in places if valkey.ask("ZCARD", key)], lambda: places)
            rates = gate._rates
            assert not [name for name, known in rates._known.items() if known.held or known.asking]
            assert (rates._asks, rates._flying) == ([], [])

    asyncio.run(story())
