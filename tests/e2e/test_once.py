"""`Idempotency-Key` over real sockets and processes: one call upstream, whoever asks, leaves and comes back."""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from fractions import Fraction

import httpx2
import openai
import pytest

from headgate.client.asynchronous import AsyncHeadgate
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemClock
from headgate.providers.simulator import Latency, Simulator, simulator_app
from headgate.server.serve import listening, running
from headgate.stores.protocols import Query

pytestmark = pytest.mark.e2e
QUESTION = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Count."}]}
KEY = {"idempotency-key": "order-17"}


@asynccontextmanager
async def simulated(**latency):
    """A provider, and what its account looks like in a configuration."""
    simulator = Simulator(clock=SystemClock(), latency=Latency(**latency))
    async with listening(simulator_app(simulator), host="127.0.0.1", port=0, grace=1) as address:
        yield simulator, {"type": "openai", "base_url": f"{address}/v1", "api_key": "sk-1", "responses": True}


@asynccontextmanager
async def gateway(provider, **settings):
    """A gateway in this process."""
    given = {"store": "memory://", "server": {"port": 0}, "providers": {"up": provider}, **settings}
    async with (
        await Gate.open(load(None, environment={}, settings=given).config) as gate,
        running(gate) as address,
        httpx2.AsyncClient(base_url=f"{address}/v1/", timeout=20, trust_env=False) as client,
    ):
        yield gate, client, address


async def left(client, path="chat/completions", **request):
    """Ask, and leave before the answer."""
    with pytest.raises(httpx2.ReadTimeout):
        await client.post(path, headers=KEY, timeout=0.2, **request)


@pytest.mark.parametrize("shared", ["valkey", "sqlite"])
def test_two_processes_make_a_call_once(shared, valkey, serve, tmp_path):
    """Twenty SDKs at each of two processes: one call upstream, one answer, one bill; another body is refused."""

    async def ask(sdk, text="Count.", *, stream):
        answer = await sdk.chat.completions.create(
            model="gpt-6-luna",
            messages=[{"role": "user", "content": text}],
            stream=stream,
            extra_headers={"Idempotency-Key": f"order-{stream}"},
        )
        return [chunk.to_json() async for chunk in answer] if stream else answer.to_json()

    async def story():
        async with simulated(first_token=0.3, per_token=0.002) as (simulator, provider), AsyncExitStack() as stack:
            settings = {
                "store": f"sqlite:///{tmp_path}/books.db", "journal": {"path": f"{tmp_path}/journal"},
                "shared": valkey.url if shared == "valkey" else "memory://", "providers": {"up": provider},
            }  # fmt: skip
            (tmp_path / "headgate.yaml").write_text(json.dumps(settings))
            sdks = []
            for _ in range(2):
                door = await stack.enter_async_context(serve(tmp_path))
                sdk = openai.AsyncOpenAI(base_url=f"{door.address}/v1", api_key="hg", max_retries=0)
                sdks.append(await stack.enter_async_context(sdk))
            for number, stream in enumerate((False, True), start=1):
                answers = await asyncio.gather(*(ask(sdk, stream=stream) for sdk in sdks for _ in range(20)))
                answers += [await ask(sdk, stream=stream) for sdk in sdks]
                assert all(answer == answers[0] for answer in answers)
                assert len(simulator.log) == len(simulator.bill.lines) == number
                for sdk in sdks:
                    with pytest.raises(openai.UnprocessableEntityError) as caught:
                        await ask(sdk, "Count backwards.", stream=stream)
                    assert caught.value.code == "idempotency_key_reused"
            assert len(simulator.log) == 2

    asyncio.run(story())


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_left_finds_its_answer(stream):
    """Whole or streamed; it was asked for and paid for once, and its row says that it was answered."""

    async def story():
        async with simulated(first_token=0.5, per_token=0.005) as (simulator, provider), gateway(provider) as at:
            gate, client, _ = at
            asked = {**QUESTION, "stream": stream}
            await left(client, json=asked)
            again = await client.post("chat/completions", headers=KEY, json=asked)
            assert (again.status_code, again.headers["x-headgate-cache"]) == (200, "coalesced")
            replay = await client.post("chat/completions", headers=KEY, json=asked)
            assert (replay.content, replay.headers["x-headgate-cache"]) == (again.content, "hit")
            assert len(simulator.log) == 1
            usage, _ = await gate.usage(Query())
            assert (usage.calls, usage.attempts, usage.errors, usage.cache_hits) == (3, 1, 0, 2)
            rows = [(row.attempt, row.settled, row.cache, row.status, row.cost) async for row in gate.rows(Query())]
            (paid,) = {cost for *_, cost in rows} - {0}
            assert rows[0] == (1, "billed", "off", 200, paid)
            assert rows[1:] == [(0, "not_billed", "coalesced", 200, 0), (0, "not_billed", "hit", 200, 0)]
            assert simulator.bill.total == Fraction(paid, 10**12)

    asyncio.run(story())


def test_without_a_key_who_leaves_takes_the_call_along():
    """As ever."""

    async def story():
        async with simulated(first_token=30) as (_, provider), gateway(provider) as (gate, client, _):
            with pytest.raises(httpx2.ReadTimeout):
                await client.post("chat/completions", timeout=0.2, json=QUESTION)
            async with asyncio.timeout(1):
                while gate.meter.counters.in_flight:  # noqa: ASYNC110  what is waited for tells nobody
                    await asyncio.sleep(0.01)

    asyncio.run(story())


def test_a_form_outlives_its_sender():
    """Its file waits until the call is over; the same bytes in another frame are the same request."""
    form = {"files": {"file": ("a.wav", b"RIFF" + bytes(100_000))}, "data": {"model": "whisper-1"}}

    async def story():
        async with simulated(first_token=0.5) as (simulator, provider), gateway(provider) as (_, client, _):
            await left(client, "audio/transcriptions", **form)
            again = await client.post("audio/transcriptions", headers=KEY, **form)
            assert (again.status_code, again.headers["x-headgate-cache"]) == (200, "coalesced")
            other = {**form, "files": {"file": ("a.wav", b"RIFF" + bytes(100_001))}}
            assert (await client.post("audio/transcriptions", headers=KEY, **other)).status_code == 422
            assert len(simulator.log) == 1

    asyncio.run(story())


def test_a_departed_call_is_finished_before_the_gateway_ends(serve, tmp_path):
    """SIGTERM comes while it goes on; the next process has its answer."""

    async def story():
        async with simulated(first_token=1) as (simulator, provider):
            settings = {"store": f"sqlite:///{tmp_path}/books.db", "providers": {"up": provider}}
            (tmp_path / "headgate.yaml").write_text(json.dumps(settings))
            async with serve(tmp_path) as door, httpx2.AsyncClient(base_url=f"{door.address}/v1/") as client:
                await left(client, json=QUESTION)
            async with serve(tmp_path) as door, httpx2.AsyncClient(base_url=f"{door.address}/v1/") as client:
                again = await client.post("chat/completions", headers=KEY, json=QUESTION)
                assert (again.status_code, again.headers["x-headgate-cache"]) == (200, "hit")
            assert len(simulator.log) == 1

    asyncio.run(story())


@pytest.mark.parametrize("key", ["", "k" * 256, "caf\u00e9".encode(), "a\tb"])
def test_a_key_that_is_none(key):
    """Is refused before anything is asked."""

    async def story():
        async with simulated() as (simulator, provider), gateway(provider) as (_, client, _):
            answer = await client.post("chat/completions", headers={"idempotency-key": key}, json=QUESTION)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, "idempotency-key")
            assert not simulator.log

    asyncio.run(story())


def test_in_process():
    """The SDK over `http_client()`, and the Python door: who leaves finds the answer, and closing waits for it."""
    provider = {"type": "simulator", "latency": {"first_token": 0.3}}
    settings = {"store": "memory://", "providers": {"s": provider}, "models": {"default": "gpt-6-luna"}}

    async def story():
        async with AsyncHeadgate(settings) as gate:
            sdk = openai.AsyncOpenAI(api_key="unused", http_client=gate.http_client(), max_retries=0)
            asked = {"model": "gpt-6-luna", "messages": QUESTION["messages"], "extra_headers": KEY}
            with pytest.raises(openai.APITimeoutError):
                await sdk.chat.completions.create(**asked, timeout=0.1)
            again = await sdk.chat.completions.with_raw_response.create(**asked)
            assert again.headers["x-headgate-cache"] == "coalesced"
            first = await gate.generate_response("Count.", idempotency_key="k")
            second = await gate.generate_response("Count.", idempotency_key="k")
            assert (second.text, second.cost_usd, second.cached) == (first.text, 0, True)
            vectors = [await gate.embed(["a"] * 2049, dimensions=8, idempotency_key="k-2") for _ in range(2)]
            assert vectors[0].vectors == vectors[1].vectors
            (simulator,) = (await gate._ready()).simulators.values()
            assert len(simulator.log) == 4
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await gate.generate_response("Count again.", idempotency_key="k-3")
        assert [entry.status for entry in simulator.log] == [200] * 5

    asyncio.run(story())
