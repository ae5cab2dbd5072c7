"""`kill -9` of the process that makes a call once: nobody pays for it a second time without a word."""

import asyncio
import json
import re
import sys
from contextlib import asynccontextmanager

import httpx2
import pytest

from headgate.gate.ports import SystemClock
from headgate.policies.once.owner import LEASE
from headgate.providers.simulator import Latency, Simulator, simulator_app
from headgate.server.serve import listening

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(90)]
QUESTION = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Count."}]}
CLOCK = SystemClock()


@asynccontextmanager
async def _process(folder):
    """A gateway in a process of its own, and where it listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headgate", "serve", "--port", "0", cwd=folder, stderr=asyncio.subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
    )  # fmt: skip
    try:
        said = b""
        while not (found := re.search(rb"listens on (http://[^\s/]+)", said)):
            piece = await process.stderr.read(65536)
            assert piece, said
            said += piece
        yield process, found[1].decode()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def _pair(folder, shared, *, latency=0.0, **account):
    """A provider, and two processes in front of it that share a store."""
    simulator = Simulator(clock=CLOCK, latency=Latency(first_token=latency))
    async with listening(simulator_app(simulator), host="127.0.0.1", port=0, grace=0.1) as upstream:
        provider = {"type": "openai", "base_url": f"{upstream}/v1", "api_key": "sk-1", **account}
        settings = {"store": f"sqlite:///{folder}/books.db", "shared": shared, "providers": {"up": provider}}
        (folder / "headgate.yaml").write_text(json.dumps(settings))
        async with _process(folder) as one, _process(folder) as other:
            yield simulator, one, other


async def _ask(address, key):
    async with httpx2.AsyncClient(base_url=f"{address}/v1/", timeout=60, trust_env=False) as client:
        return await client.post("chat/completions", headers={"idempotency-key": key}, json=QUESTION)


async def _until(true):
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  what is waited for tells nobody
            await asyncio.sleep(0.02)


def _claims(valkey):
    """The claims that stand in the store."""
    found = (valkey.ask("GET", key) for key in valkey.ask("KEYS", "*v:once:*"))
    return [raw for raw in found if raw and b"claim" in raw]


async def _killed(process, asked, other):
    """Kill the process that makes a call while another one waits for it; gives what that one says."""
    waiter = asyncio.gather(_ask(other, "k"))
    await asyncio.sleep(0.3)
    process.kill()
    with pytest.raises(httpx2.RemoteProtocolError):
        await asked
    return (await waiter)[0]


def test_what_may_have_left_is_not_sent_again(valkey, tmp_path):
    """As soon as the lease of the dead ends, who waits gets 409, and so does whoever comes later."""

    async def story():
        async with _pair(tmp_path, valkey.url, latency=30) as (simulator, (process, one), (_, other)):
            asked = asyncio.gather(_ask(one, "k"))
            await _until(lambda: simulator.log)
            began = CLOCK.monotonic()
            answer = await _killed(process, asked, other)
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "idempotency_outcome_unknown")
            assert CLOCK.monotonic() - began < LEASE + 5
            assert (await _ask(other, "k")).status_code == 409
            assert len(simulator.log) == 1

    asyncio.run(story())


def test_what_has_only_queued_is_made_by_another(valkey, tmp_path):
    """The first process dies while the call waits for the provider's limit: nobody has paid, so who waits makes it."""
    limits = {"requests_per_minute": 2, "window": "sliding", "spread": True}

    async def story():
        async with _pair(tmp_path, valkey.url, limits=limits) as (simulator, (process, one), (_, other)):
            assert (await _ask(one, "before")).status_code == 200
            asked = asyncio.gather(_ask(one, "k"))
            await _until(lambda: _claims(valkey))
            answer = await _killed(process, asked, other)
            assert (answer.status_code, answer.headers["x-headgate-cache"]) == (200, "off")
            assert len(simulator.log) == 2

    asyncio.run(story())
