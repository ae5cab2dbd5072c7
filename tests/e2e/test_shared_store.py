"""Gates in front of one real Valkey: limits of a key over both, and gates whose store is away."""

import asyncio
import signal

import pytest

from headgate.client.asynchronous import AsyncHeadgate
from headgate.core.errors import SharedStoreError
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemClock

pytestmark = pytest.mark.e2e
CLOCK = SystemClock()


def config(shared, lost="share", **limits):
    """Two calls at the same time, with a provider that takes a while."""
    limits = limits or {"concurrency": 2}
    provider = {"type": "simulator", "latency": {"first_token": 0.2}, "limits": limits}
    policies = {"on_shared_store_lost": lost, "retry": {"max_attempts": 1}}
    settings = {"store": "memory://", "shared": shared, "providers": {"p": provider}, "policies": policies}
    settings["models"] = {"default": "gpt-6-luna"}
    return load(None, environment={}, settings=settings).config


async def until(true, seconds=5.0):
    """Wait until something is true."""
    end = CLOCK.monotonic() + seconds
    while not true():
        assert CLOCK.monotonic() < end, "not in time"
        await asyncio.sleep(0.01)


def test_two_gates_share_places(valkey):
    """Eight calls through two gates, two at a time: four rounds, and nothing is held when all is over."""

    async def story():
        async with AsyncHeadgate(config(valkey.url)) as one, AsyncHeadgate(config(valkey.url)) as other:
            began = CLOCK.monotonic()
            calls = [gate.generate_response(f"{number}") for number in range(4) for gate in (one, other)]
            answers = await asyncio.gather(*calls)
            took = CLOCK.monotonic() - began
            assert len(answers) == 8
            assert took > 0.75
        keys = [key.decode() for key in valkey.ask("KEYS", "*permits")]
        assert [valkey.ask("ZCARD", key) for key in keys] == [0] * len(keys)
        assert valkey.ask("ZCARD", "headgate:processes") == 0

    asyncio.run(story())


def test_a_gate_starts_without_its_store(own_valkey):
    """It answers, within its part of the limits; health says what is missing, and then that it is back."""

    async def story():
        async with await Gate.open(config(own_valkey.url)) as gate:
            health = await gate.health()
            assert (health["status"], health["shared"]["status"], health["shared"]["mode"]) == (
                "degraded",
                "away",
                "share",
            )
            assert await gate.ready()
            own_valkey.start()
            await until(lambda: gate.shared()["status"] == "ok")
            assert (await gate.health())["status"] == "ok"

    asyncio.run(story())


@pytest.mark.parametrize("mode", ["open", "closed", "share"])
def test_a_gate_loses_its_store(own_valkey, mode):
    """Calls go on, or are refused, as declared, at once; afterwards they go on as ever."""

    async def story():
        own_valkey.start()
        own_valkey.settle_down()
        async with AsyncHeadgate(config(own_valkey.url, mode, requests_per_minute=6000)) as gate:
            await gate.generate_response("before")
            own_valkey.send(signal.SIGSTOP)
            for _ in range(2):
                began = CLOCK.monotonic()
                if mode == "closed":
                    with pytest.raises(SharedStoreError):
                        await gate.generate_response("meanwhile")
                else:
                    await gate.generate_response("meanwhile")
                assert CLOCK.monotonic() - began < 1.5
            own_valkey.send(signal.SIGCONT)
            async with asyncio.timeout(5):
                while True:
                    try:
                        await gate.generate_response("after")
                    except SharedStoreError:
                        await asyncio.sleep(0.05)
                    else:
                        break

    asyncio.run(story())
