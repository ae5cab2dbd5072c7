"""The official OpenAI SDK against a gate on the simulator: every door, face, API, form and kind of answer."""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import openai
import pytest
from pydantic import BaseModel

from headgate.client.asynchronous import AsyncHeadgate
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.server.serve import running
from headgate.stores.protocols import Query

pytestmark = pytest.mark.e2e

ROUTE, SERVED = "fast", "gpt-5.4-mini"
QUESTION = "Describe Lyon."
MESSAGES = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION = {"name": "weather", "description": "Tell the weather.", "parameters": PARAMETERS, "strict": True}
SETTINGS = {
    "store": "memory://",
    "server": {"port": 0},
    "providers": {"practice": {"type": "simulator", "seed": 11}},
    "models": {ROUTE: {"targets": [{"provider": "practice", "model": SERVED}]}},
}


class City(BaseModel):
    """What `parse` asks for."""

    name: str
    country: str
    inhabitants: int


class Face:
    """The SDK, sync or async: whoever asks it waits for the same things."""

    def __init__(self, sdk: Any) -> None:
        self.sdk = sdk

    async def of(self, method: Any, *arguments: Any, **named: Any) -> Any:
        """The outcome of a method."""
        if isinstance(self.sdk, openai.AsyncOpenAI):
            found = method(*arguments, **named)
            return await found if inspect.isawaitable(found) else found
        return await asyncio.to_thread(method, *arguments, **named)

    async def all_of(self, stream: Any) -> list[Any]:
        """Everything in a stream."""
        if isinstance(self.sdk, openai.AsyncOpenAI):
            return [event async for event in stream]
        return await asyncio.to_thread(list, stream)

    async def entered(self, manager: Any) -> Any:
        """What a context manager gives; the caller closes it."""
        enter = getattr(manager, "__aenter__", None) or manager.__enter__
        return await self.of(enter)


class Got(NamedTuple):
    """What an answer said, whatever its form."""

    headers: Any
    model: str
    text: str
    parsed: Any
    call: Any
    tokens: tuple[int, int]


@asynccontextmanager
async def _face(door: str, face: str) -> AsyncIterator[tuple[Gate, Face]]:
    config = load(None, environment={}, settings=SETTINGS).config
    if door == "http":
        sdk = openai.AsyncOpenAI if face == "async" else openai.OpenAI
        async with await Gate.open(config) as gate, running(gate, grace=1) as address:
            client = sdk(base_url=f"{address}/v1", api_key="unused", max_retries=0)
            yield gate, Face(client)
            await Face(client).of(client.close)
        return
    async with AsyncHeadgate(config) as inside:
        gate = await inside._ready()
        if face == "async":
            yield gate, Face(openai.AsyncOpenAI(api_key="unused", http_client=inside.http_client(), max_retries=0))
        else:
            client = inside.http_client(sync=True)
            yield gate, Face(openai.OpenAI(api_key="unused", http_client=client, max_retries=0))


async def _chat_whole(face: Face, kind: str) -> Got:
    asked: dict[str, Any] = {"model": ROUTE, "messages": MESSAGES}
    completions = face.sdk.chat.completions.with_raw_response
    if kind == "parsed":
        raw = await face.of(completions.parse, **asked, response_format=City)
    elif kind == "tool":
        tools = [{"type": "function", "function": FUNCTION}]
        asked["reasoning_effort"] = "none"  # this model calls tools in chat only so
        raw = await face.of(completions.create, **asked, tools=tools, tool_choice="required")
    else:
        raw = await face.of(completions.create, **asked)
    return _completion(raw.headers, raw.parse())


def _completion(headers: Any, answer: Any) -> Got:
    message = answer.choices[0].message
    usage = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
    call = message.tool_calls[0].function if message.tool_calls else None
    return Got(headers, answer.model, message.content or "", getattr(message, "parsed", None), call, usage)


async def _chat_streamed(face: Face, kind: str) -> Got:
    asked: dict[str, Any] = {"model": ROUTE, "messages": MESSAGES, "stream_options": {"include_usage": True}}
    if kind == "text":
        raw = await face.of(face.sdk.chat.completions.with_raw_response.create, **asked, stream=True)
        chunks = await face.all_of(raw.parse())
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        (model,) = {chunk.model for chunk in chunks}
        (usage,) = (chunk.usage for chunk in chunks if chunk.usage)
        return Got(raw.headers, model, text, None, None, (usage.prompt_tokens, usage.completion_tokens))
    if kind == "tool":
        asked |= {"tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "required"}
        asked["reasoning_effort"] = "none"
    else:
        asked |= {"response_format": City}
    stream = await face.entered(face.sdk.chat.completions.stream(**asked))
    await face.all_of(stream)
    return _completion(stream._response.headers, await face.of(stream.get_final_completion))


async def _responses_whole(face: Face, kind: str) -> Got:
    asked: dict[str, Any] = {"model": ROUTE, "input": QUESTION, "instructions": "Be brief."}
    responses = face.sdk.responses.with_raw_response
    if kind == "parsed":
        raw = await face.of(responses.parse, **asked, text_format=City)
    elif kind == "tool":
        tools = [{"type": "function", **FUNCTION}]
        raw = await face.of(responses.create, **asked, tools=tools, tool_choice="required")
    else:
        raw = await face.of(responses.create, **asked)
    return _response(raw.headers, raw.parse())


def _response(headers: Any, answer: Any) -> Got:
    call = next((item for item in answer.output if item.type == "function_call"), None)
    usage = (answer.usage.input_tokens, answer.usage.output_tokens)
    return Got(headers, answer.model, answer.output_text, getattr(answer, "output_parsed", None), call, usage)


async def _responses_streamed(face: Face, kind: str) -> Got:
    asked: dict[str, Any] = {"model": ROUTE, "input": QUESTION}
    if kind == "text":
        raw = await face.of(face.sdk.responses.with_raw_response.create, **asked, stream=True)
        events = await face.all_of(raw.parse())
        said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        got = _response(raw.headers, events[-1].response)
        assert said == got.text
        return got
    if kind == "tool":
        asked |= {"tools": [{"type": "function", **FUNCTION}], "tool_choice": "required"}
    else:
        asked |= {"text_format": City}
    stream = await face.entered(face.sdk.responses.stream(**asked))
    await face.all_of(stream)
    return _response(stream._response.headers, await face.of(stream.get_final_response))


ASKED = {
    ("chat", "whole"): _chat_whole,
    ("chat", "streamed"): _chat_streamed,
    ("responses", "whole"): _responses_whole,
    ("responses", "streamed"): _responses_streamed,
}


@pytest.mark.parametrize("kind", ["text", "tool", "parsed"])
@pytest.mark.parametrize(("api", "form"), ASKED)
@pytest.mark.parametrize("face", ["sync", "async"])
@pytest.mark.parametrize("door", ["http", "process"])
def test_every_way_to_ask(door, face, api, form, kind):
    """The SDK gets its words, its call or its object; the usage of caller, ledger and simulator is one."""

    async def story():
        async with _face(door, face) as (gate, client):
            got = await ASKED[api, form](client, kind)
            rows = [row async for row in gate.rows(Query())]
            return got, rows, gate.simulators["practice"].bill.lines

    got, (row,), (line,) = asyncio.run(story())
    if kind == "text":
        assert got.text
        assert got.call is None
    elif kind == "tool":
        assert got.call.name == "weather"
        assert set(json.loads(got.call.arguments)) == {"city"}
    else:
        assert isinstance(got.parsed, City)
        assert City.model_validate_json(got.text) == got.parsed
    assert got.model == row.model_served == SERVED
    assert got.tokens == (row.prompt_tokens, row.completion_tokens)
    assert got.tokens == (line.usage.prompt_tokens, line.usage.completion_tokens)
    assert min(got.tokens) > 0
    assert (row.model_requested, row.settled, row.basis) == (ROUTE, "billed", "reported")
    assert got.headers["x-request-id"] == f"req_{row.call_id}"
    assert got.headers["x-headgate-simulated"] == "1"
    assert got.headers["x-headgate-model"] == SERVED
