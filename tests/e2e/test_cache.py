"""The cache between processes: one Valkey for two gates, one that is restarted under load, and the official SDK."""

import asyncio
import json

import openai
import pytest

from headgate.client.asynchronous import AsyncHeadgate
from headgate.core.call import Caller, Operation
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemClock
from headgate.stores.protocols import Query

pytestmark = pytest.mark.e2e
CLOCK = SystemClock()


def config(shared="memory://", store="memory://", seed=0, **more):
    """A cached route to a simulator; each seed says something else."""
    given = {
        "store": store,
        "shared": shared,
        "providers": {"p": {"type": "simulator", "seed": seed}},
        "models": {"gpt-6-luna": {"targets": [{"provider": "p"}], "cache": True}, "default": "gpt-6-luna"},
        **more,
    }
    return load(None, environment={}, settings=given).config


async def ask(gate, text, caller=None):
    """The answer's id, its words, and where it came from."""
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": text}]}
    more = {} if caller is None else {"caller": caller}
    async with await gate(gate.call(Operation.CHAT, json.dumps(body).encode(), **more)) as reply:
        event = await reply.read()
        return json.loads(event.raw)["id"], event.text, reply.cache


async def until(true, seconds=30.0):
    """Wait until something is true."""
    end = CLOCK.monotonic() + seconds
    while not true():
        assert CLOCK.monotonic() < end, "not in time"
        await asyncio.sleep(0.01)


def test_gates_share_answers_and_forget_them_together(valkey):
    """What one has asked the other need not ask; what one forgets is gone for both."""

    async def story():
        async with await Gate.open(config(valkey.url)) as one, await Gate.open(config(valkey.url, seed=1)) as other:
            first = await ask(one, "Hi")
            await until(lambda: not one.cache._flights)
            second = await ask(other, "Hi")
            assert (first[2], second[2]) == ("miss", "hit")
            assert first[:2] == second[:2]
            assert await one.cache.purge("model:gpt-6-luna") == 1
            third = await ask(other, "Hi")
            assert third[2] == "miss"
            assert third[0] != first[0]

    asyncio.run(story())


def test_a_store_that_is_restarted_under_load_makes_misses_only(own_valkey):
    """No error, no stale and no foreign answer, and nobody waits long, while the store dies and comes back, empty."""
    own_valkey.start()

    async def story():
        async with await Gate.open(config(own_valkey.url)) as gate:
            callers = [Caller(key=f"k{number}", project=f"p{number}") for number in range(3)]
            seen: dict[str, tuple[str, str]] = {}
            slowest, served, over = 0.0, {"hit": 0, "miss": 0, "coalesced": 0}, False

            async def keep_asking(number):
                nonlocal slowest
                turn = number
                while not over:
                    turn += 1
                    caller, text = callers[turn % 3], f"{turn % 7}: 3 words."
                    began = CLOCK.monotonic()
                    answer, _, cache = await ask(gate, text, caller)
                    slowest = max(slowest, CLOCK.monotonic() - began)
                    served[cache] += 1
                    assert seen.setdefault(answer, (text, caller.project)) == (text, caller.project)
                    await asyncio.sleep(0.002)

            asking = [gate._tasks.start(keep_asking(number), "asks") for number in range(16)]
            await until(lambda: served["hit"] > 100)
            own_valkey.kill()
            during, missed = served["hit"], served["miss"]
            await until(lambda: served["miss"] > missed + 50)
            own_valkey.start()
            await until(lambda: served["hit"] > during + 100)
            over = True
            await asyncio.gather(*asking)
            # A quarter of a second is the patience with a store; the rest is for a machine that is busy.
            assert slowest < 5.0

    asyncio.run(story())


def test_processes_share_a_file(tmp_path):
    """Without a shared store, answers lie beside the books, and outlive who asked."""

    async def story():
        settings = {"store": f"sqlite:///{tmp_path}/h.db", "journal": {"path": f"{tmp_path}/j"}}
        async with await Gate.open(config(**settings)) as gate:
            first = await ask(gate, "Hi")
        async with await Gate.open(config(**settings, seed=1)) as gate:
            assert await ask(gate, "Hi") == (*first[:2], "hit")
            total, _ = await gate.usage(Query())
            assert (total.calls, total.attempts, total.cache_hits) == (2, 1, 1)
            assert total.cache_saved == total.cost > 0

    asyncio.run(story())


@pytest.mark.parametrize("stream_first", [False, True])
def test_the_official_sdk_reads_either_form(stream_first):
    """Chat and Responses, whole and streamed, through `http_client()`: the same words, one question each."""

    async def chat(client, *, stream):
        asked = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Tell me 9 words."}]}
        if not stream:
            got = await client.chat.completions.with_raw_response.create(**asked)
            return got.headers["x-headgate-cache"], got.parse().choices[0].message.content
        got = await client.chat.completions.with_raw_response.create(**asked, stream=True)
        words = [chunk.choices[0].delta.content or "" async for chunk in got.parse() if chunk.choices]
        return got.headers["x-headgate-cache"], "".join(words)

    async def respond(client, *, stream):
        asked = {"model": "gpt-6-luna", "input": "Tell me 9 words.", "store": False}
        if not stream:
            got = await client.responses.with_raw_response.create(**asked)
            return got.headers["x-headgate-cache"], got.parse().output_text
        got = await client.responses.with_raw_response.create(**asked, stream=True)
        events = [event async for event in got.parse()]
        assert events[-1].type == "response.completed"
        words = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert events[-1].response.output_text == "".join(words)
        return got.headers["x-headgate-cache"], "".join(words)

    async def story():
        async with AsyncHeadgate(config()) as gate:
            client = openai.AsyncOpenAI(api_key="unused", http_client=gate.http_client(), max_retries=0)
            for put in (chat, respond):
                told = [await put(client, stream=stream) for stream in (stream_first, not stream_first, stream_first)]
                assert [cache for cache, _ in told] == ["miss", "hit", "hit"]
                assert len({words for _, words in told}) == 1
                assert told[0][1]
            off = await client.chat.completions.with_raw_response.create(
                model="gpt-6-luna", messages=[{"role": "user", "content": "Tell me 9 words."}],
                extra_headers={"x-headgate-cache": "off"},
            )  # fmt: skip
            assert off.headers["x-headgate-cache"] == "off"
            with pytest.raises(openai.BadRequestError, match="x-headgate-cache"):
                await client.embeddings.create(model="m", input="x", extra_headers={"x-headgate-cache": "never"})

    asyncio.run(story())


def test_the_python_door_has_options_for_it():
    """On, off, anew, and under a key of one's own; and streams, too."""

    async def story():
        async with AsyncHeadgate(config()) as gate:
            first = await gate.generate_response("Tell me 9 words.")
            again = await gate.generate_response("Tell me 9 words.")
            assert (again.text, again.cost_usd) == (first.text, 0)
            anew = await gate.generate_response("Tell me 9 words.", cache="refresh")
            assert anew.cost_usd > 0
            streamed = [piece.text async for piece in gate.stream("Tell me 9 words.")]
            assert "".join(streamed) == anew.text
            named = [await gate.generate_response(f"{n} words.", cache_key="mine", cache="ttl=1h") for n in (3, 4)]
            assert named[0].text == named[1].text
            report = await gate.usage()
            assert report.cache_hits == 3
            assert report.cache_saved_usd > 0

    asyncio.run(story())
