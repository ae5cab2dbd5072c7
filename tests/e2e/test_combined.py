"""Small calls of the official SDK at the HTTP door, put together behind it; and those of the Python door."""

import asyncio
import hashlib
from collections import Counter
from contextlib import AsyncExitStack

import openai
import pytest

from headgate.client.asynchronous import AsyncHeadgate
from headgate.client.response import ModelResponse
from headgate.core.money import from_usd
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.server.serve import running
from headgate.stores.protocols import Query

pytestmark = pytest.mark.e2e
KEYS = {"anna": "shop", "ann": "shop", "bert": "lab"}
LUNA = "gpt-6-luna"
EMBED = "text-embedding-3-small"


def settings(combine):
    """A gateway with keys, in front of the simulator."""
    return {
        "store": "memory://",
        "server": {"port": 0, "auth": "keys"},
        "providers": {"p": {"type": "simulator", "seed": 4}},
        "models": {"*": {"targets": [{"provider": "p"}], "combine": combine}},
        "keys": [
            {"name": name, "project": project, "sha256": hashlib.sha256(f"hg-{name}".encode()).hexdigest()}
            for name, project in KEYS.items()
        ],
    }


async def told(combine, story):
    """Tells a story to SDKs, one for each key, at a gateway."""
    async with AsyncExitStack() as stack:
        config = load(None, environment={}, settings=settings(combine)).config
        gate = await stack.enter_async_context(await Gate.open(config))
        address = await stack.enter_async_context(running(gate, grace=2))
        sdk = {
            name: await stack.enter_async_context(
                openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=f"hg-{name}", max_retries=0)
            )
            for name in KEYS
        }
        return await story(gate, sdk)


def test_each_key_its_own_answer_and_no_project_anothers_company():
    """Thirty chats and thirty responses at once: two keys of one project share calls, a third one never with them."""

    async def story(gate, sdk):
        async def chat(name, n):
            text = f"{name} asks question {n}"
            messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
            answer = await sdk[name].chat.completions.create(model=LUNA, messages=messages)
            (choice,) = answer.choices
            assert choice.message.content.startswith(text + ": ")
            assert (choice.finish_reason, choice.message.role) == ("stop", "assistant")
            return answer.usage.prompt_tokens, answer.usage.completion_tokens

        async def respond(name, n):
            text = f"{name} wonders about {n}"
            answer = await sdk[name].responses.create(model=LUNA, input=text, store=False, instructions="Be kind.")
            assert answer.output_text.startswith(text + ": ")
            assert (answer.status, answer.instructions, answer.text.format.type) == ("completed", "Be kind.", "text")
            return answer.usage.input_tokens, answer.usage.output_tokens

        usage = await asyncio.gather(*(ask(name, n) for n in range(10) for name in KEYS for ask in (chat, respond)))
        lines = [row async for row in gate.rows(Query())]
        simulator = gate.simulators["p"]
        assert len(simulator.log) == 2 * (2 + 1)
        assert Counter((row.project, row.price_table.rpartition(", ")[2]) for row in lines) == {
            ("shop", "one of 10"): 40,
            ("lab", "one of 10"): 20,
        }
        assert sum(row.cost for row in lines) == from_usd(simulator.bill.usd())
        assert sorted(usage) == sorted((row.prompt_tokens, row.completion_tokens) for row in lines)

    # Groups go when they are full, however slowly a busy machine sends them.
    asyncio.run(told({"seconds": 60}, story))


def test_vectors_are_those_of_single_calls():
    """The SDK asks for base64; five hundred calls at once become five requests; `tests/gate` compares them all."""

    def found(combine, numbers):
        async def story(gate, sdk):
            async def embed(n):
                (one,) = (await sdk["anna"].embeddings.create(model=EMBED, input=f"Text {n} about rain")).data
                return one.index, one.embedding

            vectors = await asyncio.gather(*(embed(n) for n in numbers))
            return vectors, len(gate.simulators["p"].log)

        return asyncio.run(told(combine, story))

    together, requests = found({"seconds": 60, "inputs": 100}, range(500))
    alone, singles = found(None, range(0, 500, 10))
    assert (requests, singles) == (5, 50)
    assert together[::10] == alone


def test_the_python_door():
    """`combine` asks together, whatever the route says; other calls pass as ever."""

    async def story():
        async with AsyncHeadgate(simulate=True) as gate:
            prompts = [f"Question {n}" for n in range(25)]
            found = await gate.combine(prompts, seconds=0.2, tags={"team": "a"}, system="Be brief.")
            assert all(isinstance(one, ModelResponse) for one in found)
            assert [one.text.partition(": ")[0] for one in found] == prompts
            assert (await gate.generate_response("Question 1")).text != found[1].text
            (simulator,) = (await gate._ready()).simulators.values()
            assert len(simulator.log) == 4
            report = await gate.usage(by="tag:team")
            assert report.cost_usd == simulator.bill.usd()
            assert sum(one.cost_usd for one in found) == report.by[0].cost_usd

    asyncio.run(story())
