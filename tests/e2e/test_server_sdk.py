"""The official OpenAI SDK against the real server, in front of a simulator behind another real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import httpx2
import openai
import pytest
from pydantic import BaseModel

from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemClock
from headgate.providers.simulator import Fault, Simulator, simulator_app
from headgate.server.serve import listening, running

pytestmark = pytest.mark.e2e
MESSAGES = [{"role": "user", "content": "Name a city in France."}]
LUNA = "gpt-6-luna"


class Standing(NamedTuple):
    """All that stands."""

    gate: Gate
    simulator: Simulator
    address: str
    sdk: openai.AsyncOpenAI


@asynccontextmanager
async def _standing(*faults: Fault, **server) -> AsyncIterator[Standing]:
    simulator = Simulator(clock=SystemClock(), seed=3, faults=faults, api_key="sk-upstream")
    async with listening(simulator_app(simulator), host="127.0.0.1", port=0, grace=1) as upstream:
        settings = {
            "store": "memory://",
            "server": {"port": 0, **server},
            "providers": {
                "up": {"type": "openai", "base_url": f"{upstream}/v1", "api_key": "sk-upstream", "responses": True}
            },
            "policies": {"retry": {"max_attempts": 1}},
        }
        config = load(None, environment={}, settings=settings).config
        async with (
            await Gate.open(config) as gate,
            running(gate, grace=2) as address,
            openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="hg-mine", max_retries=0) as sdk,
        ):
            yield Standing(gate, simulator, address, sdk)


def _with(*faults: Fault, **server):
    def run(story):
        async def whole():
            async with _standing(*faults, **server) as standing:
                return await story(standing)

        return asyncio.run(whole())

    return run


def test_chat_whole_and_streamed():
    """The text comes whole or in pieces; the upstream got its own key and nothing of the caller's."""

    async def story(standing):
        whole = await standing.sdk.chat.completions.with_raw_response.create(model=LUNA, messages=MESSAGES)
        stream = await standing.sdk.chat.completions.create(
            model=LUNA, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        return whole, chunks, standing.simulator.last.headers

    whole, chunks, seen = _with()(story)
    assert whole.parse().choices[0].message.content
    assert whole.headers["x-request-id"].startswith("req_")
    assert whole.headers["x-headgate-provider"] == "up"
    assert not {"server", "set-cookie"} & set(whole.headers)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].usage.completion_tokens > 0
    assert seen["authorization"] == "Bearer sk-upstream"
    assert "hg-mine" not in str(seen)


def test_the_usage_that_nobody_asked_for_stays_here():
    """The gate asks for it, books it, and withholds it."""

    async def story(standing):
        stream = await standing.sdk.chat.completions.create(model=LUNA, messages=MESSAGES, stream=True)
        chunks = [chunk async for chunk in stream]
        from headgate.stores.protocols import Query

        total, _ = await standing.gate.usage(Query())
        return chunks, total

    chunks, total = _with()(story)
    assert all(chunk.choices for chunk in chunks)
    assert total.completion_tokens > 0


def test_responses_whole_and_streamed():
    """The other API, both ways."""

    async def story(standing):
        whole = await standing.sdk.responses.create(model=LUNA, input="Name a city.")
        stream = await standing.sdk.responses.create(model=LUNA, input="Name a city.", stream=True)
        return whole, [event async for event in stream]

    whole, events = _with()(story)
    assert whole.output_text
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"


class City(BaseModel):
    """What is asked for."""

    name: str
    inhabitants: int


def test_parse_and_tools():
    """Structured output and function calls pass unchanged."""
    weather = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}

    async def story(standing):
        chat = await standing.sdk.chat.completions.parse(model=LUNA, messages=MESSAGES, response_format=City)
        answer = await standing.sdk.responses.parse(model=LUNA, input="Describe Lyon.", text_format=City)
        tools = await standing.sdk.chat.completions.create(
            model=LUNA, messages=MESSAGES, tools=[weather], tool_choice="required", reasoning_effort="none"
        )
        return chat, answer, tools

    chat, answer, tools = _with()(story)
    assert isinstance(chat.choices[0].message.parsed, City)
    assert isinstance(answer.output_parsed, City)
    assert tools.choices[0].message.tool_calls[0].function.name == "weather"


def test_the_synchronous_sdk():
    """From a thread, whole and streamed."""

    async def story(standing):
        def ask():
            with openai.OpenAI(base_url=f"{standing.address}/v1", api_key="x", max_retries=0) as sdk:
                whole = sdk.chat.completions.create(model=LUNA, messages=MESSAGES)
                chunks = list(sdk.chat.completions.create(model=LUNA, messages=MESSAGES, stream=True))
                return whole.choices[0].message.content, len(chunks), [model.id for model in sdk.models.list()]

        return await asyncio.to_thread(ask)

    text, count, _models = _with()(story)
    assert text
    assert count > 2


@pytest.mark.parametrize("kind", ["cut", "malformed", "error_event"])
def test_a_broken_stream_raises_in_the_sdk(kind):
    """Never a truncated success: the SDK raises the in-band error of a chat stream."""

    async def story(standing):
        stream = await standing.sdk.chat.completions.create(model=LUNA, messages=MESSAGES, stream=True)
        return [chunk async for chunk in stream]

    with pytest.raises(openai.APIError) as caught:
        _with(Fault(kind=kind, after_tokens=2))(story)
    assert type(caught.value) is openai.APIError


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        (Fault(kind="status", status=503), openai.InternalServerError, 502),
        (Fault(kind="status", status=429, retry_after=7), openai.RateLimitError, 429),
        (Fault(kind="status", status=401), openai.InternalServerError, 500),
        (Fault(kind="reset"), openai.InternalServerError, 502),
    ],
)
def test_the_providers_failure_becomes_the_right_status(fault, error, status):
    """The SDK raises what the error table says."""

    async def story(standing):
        await standing.sdk.chat.completions.create(model=LUNA, messages=MESSAGES)

    with pytest.raises(error) as caught:
        _with(fault)(story)
    assert caught.value.status_code == status
    assert caught.value.request_id.startswith("req_")
    if status == 429:
        assert caught.value.response.headers["retry-after"] == "7"


def test_a_large_body_is_refused_and_the_connection_lives():
    """413 reaches a client that is still sending; the same connection serves the next call."""

    async def story(standing):
        big = [{"role": "user", "content": "x" * 5_000_000}]
        with pytest.raises(openai.APIStatusError) as caught:
            await standing.sdk.chat.completions.create(model=LUNA, messages=big)
        after = await standing.sdk.chat.completions.create(model=LUNA, messages=MESSAGES)
        assert len(standing.simulator.log) == 1
        return caught.value, after

    error, after = _with(max_body_mb=1)(story)
    assert (error.status_code, error.code) == (413, "request_too_large")
    assert after.choices[0].message.content


def test_pages_and_bad_requests_over_a_socket():
    """What is not a call is answered in shape too, and no answer names the server."""

    async def story(standing):
        async with httpx2.AsyncClient(base_url=standing.address) as http:
            found = {path: await http.get(path) for path in ("/healthz", "/readyz", "/health", "/docs", "/v1/none")}
            found["empty"] = await http.post("/v1/chat/completions", headers={"content-type": "application/json"})
            return found

    found = _with()(story)
    statuses = {name: answer.status_code for name, answer in found.items()}
    assert statuses == {"/healthz": 200, "/readyz": 200, "/health": 200, "/docs": 200, "/v1/none": 404, "empty": 400}
    for answer in found.values():
        assert "server" not in answer.headers
        assert answer.headers["x-request-id"].startswith("req_")
