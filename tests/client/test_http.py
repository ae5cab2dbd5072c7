"""The official OpenAI SDK through the gate, in process."""

import asyncio
import json
import threading
from decimal import Decimal

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from headgate.client.asynchronous import AsyncHeadgate
from headgate.client.synchronous import Headgate
from headgate.core.errors import StoppingError
from headgate.stores.protocols import Query
from headgate.testing import virtual_time

MODEL = "gpt-6-luna"
HELLO = [{"role": "user", "content": "Hello"}]
LONG = [{"role": "user", "content": "Tell me everything: " + "more " * 200}]
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


class City(BaseModel):
    """What is asked for."""

    name: str
    inhabitants: int


def _sdk(gate, **settings):
    sdk = AsyncOpenAI(api_key="sk-the-caller's", http_client=gate.http_client(), **settings)
    # Else it asks for the platform in a thread, which virtual time cannot see.
    sdk._platform = "Linux"
    return sdk


async def _note(stream, said):
    """Note what comes, so that it is known where the stream broke."""
    async for thing in stream:
        said.append(thing)


def _simulator(gate, name="sim"):
    return gate._gate.simulators[name]


async def _rows(gate):
    await gate.usage()
    return [row async for row in gate._gate.rows(Query())]


def _story(practice, tell, *faults, **settings):
    async def story():
        async with AsyncHeadgate(practice(*faults, **settings)) as gate:
            await tell(gate)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())


# ── what the SDK can do ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_async_sdk_whole_streamed_tools_and_parsed(practice):
    """Chat and Responses, each in all its ways; the ledger agrees with the simulator's bill in the end."""

    async def tell(gate):
        sdk = _sdk(gate)
        chat = await sdk.chat.completions.create(model=MODEL, messages=HELLO)
        assert chat.choices[0].message.content
        assert chat.usage.total_tokens > 0
        chunks = [chunk async for chunk in await sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True)]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == chat.choices[0].message.content
        assert all(chunk.usage is None for chunk in chunks)
        wanted = {"include_usage": True}
        stream = await sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True, stream_options=wanted)
        assert [chunk async for chunk in stream][-1].usage.total_tokens == chat.usage.total_tokens
        tool = {"type": "function", "function": {"name": "weather", "parameters": WEATHER, "strict": True}}
        called = await sdk.chat.completions.create(
            model="gpt-5.4-mini", messages=HELLO, tools=[tool], tool_choice="required"
        )
        assert json.loads(called.choices[0].message.tool_calls[0].function.arguments).keys() == {"city"}
        parsed = await sdk.chat.completions.parse(model=MODEL, messages=HELLO, response_format=City)
        assert isinstance(parsed.choices[0].message.parsed, City)

        response = await sdk.responses.create(model=MODEL, input="Hello")
        assert response.output_text
        events = [event async for event in await sdk.responses.create(model=MODEL, input="Hello", stream=True)]
        assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
        assert events[-1].response.output_text == response.output_text
        tool = {"type": "function", "name": "weather", "parameters": WEATHER, "strict": True}
        called = await sdk.responses.create(model=MODEL, input="Hi", tools=[tool], tool_choice="required")
        assert [item.name for item in called.output if item.type == "function_call"] == ["weather"]
        parsed = await sdk.responses.parse(model=MODEL, input="Hello", text_format=City)
        assert isinstance(parsed.output_parsed, City)
        async with sdk.responses.stream(model=MODEL, input="Hello") as stream:
            assert (await stream.get_final_response()).output_text == response.output_text

        report = await gate.usage()
        assert (report.calls, report.errors) == (10, 0)
        assert report.cost_usd == _simulator(gate).bill.usd()

    _story(practice, tell)


def test_the_sync_sdk_whole_streamed_tools_and_parsed(practice):
    """The same, waiting."""
    with Headgate(practice()) as gate, OpenAI(api_key="unused", http_client=gate.http_client()) as sdk:
        chat = sdk.chat.completions.create(model=MODEL, messages=HELLO)
        chunks = list(sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == chat.choices[0].message.content
        assert isinstance(
            sdk.chat.completions.parse(model=MODEL, messages=HELLO, response_format=City).choices[0].message.parsed,
            City,
        )
        tool = {"type": "function", "name": "weather", "parameters": WEATHER, "strict": True}
        called = sdk.responses.create(model=MODEL, input="Hi", tools=[tool], tool_choice="required")
        assert [item.name for item in called.output if item.type == "function_call"] == ["weather"]
        assert isinstance(sdk.responses.parse(model=MODEL, input="Hello", text_format=City).output_parsed, City)
        events = list(sdk.responses.create(model=MODEL, input="Hello", stream=True))
        assert events[-1].type == "response.completed"
        assert gate.usage().calls == 6


def test_a_sync_client_of_an_asynchronous_gate(practice):
    """For other threads; in the gate's own thread it would wait for itself, and says so."""

    async def tell(gate):
        client = gate.http_client(sync=True)
        sdk = OpenAI(api_key="unused", http_client=client, max_retries=0)
        reply = await asyncio.to_thread(sdk.responses.create, model=MODEL, input="Hello")
        assert reply.output_text
        with pytest.raises(RuntimeError, match="block the event loop"):
            sdk.responses.create(model=MODEL, input="Hello")
        chunks = await asyncio.to_thread(
            lambda: list(sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
        )
        assert chunks

    _story(practice, tell)
    with pytest.raises(StoppingError, match="not open"):
        AsyncHeadgate(practice()).http_client(sync=True).get("http://gate/v1/models")


def test_models_are_listed(practice):
    """What the configuration names."""
    config = practice()
    config["models"]["fast"] = {"targets": [{"provider": "sim", "model": MODEL}]}
    with Headgate(config) as gate:
        sdk = OpenAI(api_key="unused", http_client=gate.http_client())
        assert [model.id for model in sdk.models.list()] == ["fast", "gpt-6-luna"]
        assert sdk.chat.completions.create(model="fast", messages=HELLO).model == MODEL


# ── bytes and headers ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_bytes_are_the_callers_and_the_providers(practice):
    """Order, nulls and unknown fields go up as they came; the caller's credentials do not; the answer is untouched."""

    async def tell(gate):
        body = b'{ "x":[1, 2.5e0],"messages":[{"role":"user","content":"h\\u00e9"}], "seed":null,"model":"gpt-6-luna"}'
        headers = {
            "authorization": "Bearer sk-the-caller's",
            "cookie": "c=1",
            "api-key": "k",
            "openai-beta": "x=v1",
            "content-type": "application/json",
        }
        async with gate.http_client() as client:
            answer = await client.post("http://anything/v1/chat/completions", content=body, headers=headers)
        sent = _simulator(gate).last
        assert sent.body == body
        assert "sk-the-caller's" not in repr(sent)
        assert not sent.headers.keys() & {"cookie", "api-key", "authorization"}
        assert sent.headers["openai-beta"] == "x=v1"
        assert answer.status_code == 200
        assert answer.headers["x-request-id"].startswith("req_")
        assert answer.headers["x-headgate-provider"] == "sim"
        assert answer.headers["x-headgate-simulated"] == "1"
        assert Decimal(answer.headers["x-headgate-cost-usd"]) == _simulator(gate).bill.usd()
        assert answer.headers["content-length"] == str(len(answer.content))
        assert not answer.headers.keys() & {"set-cookie", "server"}

    _story(practice, tell)


def test_headers_ask_for_more(practice):
    """Tags are on the books; a trailer tells the cost of a stream before its end mark."""

    async def tell(gate):
        headers = {"x-headgate-tags": "team=a", "x-headgate-priority": "9", "x-headgate-deadline": "30s"}
        await _sdk(gate).chat.completions.create(model=MODEL, messages=HELLO, extra_headers=headers)
        assert [part.group for part in (await gate.usage(by="tag:team")).by] == [{"tag:team": "a"}]
        async with gate.http_client() as client:
            body = {"model": MODEL, "messages": HELLO, "stream": True}
            answer = await client.post(
                "http://gate/v1/chat/completions", json=body, headers={"x-headgate-trailer": "1"}
            )
        *_, trailer, done, rest = answer.text.split("\n\n")
        assert (done, rest) == ("data: [DONE]", "")
        cost = Decimal(json.loads(trailer.removeprefix(": headgate "))["cost_usd"])
        assert cost > 0
        assert (await gate.usage()).cost_usd == _simulator(gate).bill.usd()

    _story(practice, tell)


@pytest.mark.parametrize(
    "base", ["http://localhost:11434/v1", "https://x.example/openai/v1", "https://api.openai.com/v1/"]
)
def test_any_host_leads_here(practice, base):
    """Whatever stands before `/v1`: existing code keeps its `base_url`."""

    async def tell(gate):
        assert (await _sdk(gate, base_url=base).responses.create(model=MODEL, input="Hi")).output_text

    _story(practice, tell)


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        ({"status": 400}, openai.BadRequestError, 400),
        ({"status": 401}, openai.InternalServerError, 500),
        ({"status": 403}, openai.InternalServerError, 500),
        ({"status": 404}, openai.NotFoundError, 404),
        ({"status": 409}, openai.ConflictError, 409),
        ({"status": 422}, openai.UnprocessableEntityError, 422),
        ({"status": 429, "retry_after": 90}, openai.RateLimitError, 429),
        ({"status": 429, "code": "insufficient_quota"}, openai.RateLimitError, 429),
        ({"status": 500}, openai.InternalServerError, 502),
        ({"status": 503}, openai.InternalServerError, 502),
    ],
)
def test_each_error_is_the_sdks_own(practice, fault, error, status):
    """The class that the SDK raises without us, once: its retries are told that there is nothing to gain."""

    async def tell(gate):
        with pytest.raises(error) as caught:
            await _sdk(gate).chat.completions.create(model=MODEL, messages=HELLO)
        assert caught.value.status_code == status
        assert caught.value.request_id.startswith("req_")
        assert len(_simulator(gate).log) == 1
        assert caught.value.response.headers["x-headgate-attempts"] == "1"
        assert caught.value.body["message"]
        if "retry_after" in fault:
            assert caught.value.response.headers["retry-after"] == "90"

    _story(practice, tell, {"kind": "status", **fault})


@pytest.mark.parametrize("kind", ["reset", "malformed"])
def test_a_broken_answer_is_a_bad_gateway(practice, kind):
    """A connection that broke, and an answer that cannot be read."""

    async def tell(gate):
        with pytest.raises(openai.InternalServerError) as caught:
            await _sdk(gate).chat.completions.create(model=MODEL, messages=HELLO)
        assert caught.value.status_code == 502

    _story(practice, tell, {"kind": kind})


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/v1/nothing", 404, "unknown_url"),
        ("POST", "/v1/chat/completions/", 404, "unknown_url"),
        ("GET", "/healthz", 404, "unknown_url"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/v1/responses", 415, "unsupported_media_type"),
    ],
)
def test_what_is_not_there_is_told_as_the_gateway_tells_it(practice, method, path, status, code):
    """OpenAI-shaped, with an id, and nothing sent."""

    async def tell(gate):
        async with gate.http_client() as client:
            answer = await client.request(method, f"http://gate{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.headers["x-request-id"].startswith("req_")
        assert not _simulator(gate).log

    _story(practice, tell)


@pytest.mark.parametrize("header", ["x-headgate-tags", "x-headgate-deadline", "x-headgate-priority", "openai-beta"])
def test_a_wrong_header_is_named(practice, header):
    """400, and nothing sent."""

    async def tell(gate):
        headers = {header: b"caf\xc3\xa9!\r\nx-evil: 1"}
        async with gate.http_client() as client:
            answer = await client.post("http://gate/v1/responses", json={"model": MODEL}, headers=headers)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, header)
        assert not _simulator(gate).log

    _story(practice, tell)


@pytest.mark.parametrize("kind", ["cut", "stall", "malformed", "error_event"])
def test_an_error_in_mid_stream_is_raised_by_the_sdk(practice, kind):
    """In-band, after the words that were said; never a truncated success."""

    async def tell(gate):
        said = []
        stream = await _sdk(gate).chat.completions.create(model=MODEL, messages=LONG, stream=True)
        with pytest.raises(openai.APIError):
            await _note(stream, said)
        assert any(chunk.choices[0].delta.content for chunk in said)
        assert not any(chunk.choices[0].finish_reason for chunk in said)

    _story(practice, tell, {"kind": kind, "after_tokens": 5}, timeout={"connect": 1, "first_token": 1, "silence": 0.05})


def test_a_broken_responses_stream_says_so(practice):
    """No `response.completed`, but an error: raised by the SDK, or as its error event."""

    async def tell(gate):
        kinds = []
        try:
            async for event in await _sdk(gate).responses.create(model=MODEL, input="Tell " * 99, stream=True):
                kinds.append(event.type)  # noqa: PERF401  what came before the error counts
        except openai.APIError:
            kinds.append("raised")
        assert kinds[-1] in {"error", "raised"}
        assert "response.completed" not in kinds
        assert "response.output_text.delta" in kinds

    _story(practice, tell, {"kind": "cut", "after_tokens": 5})


# ── leaving and closing ──────────────────────────────────────────────────────────────────────────────────────────────


def test_leaving_a_stream_closes_it_upstream(practice):
    """The SDK's `close`, asynchronous and not: settled as counted, long before its words would have ended."""

    async def tell(gate):
        stream = await _sdk(gate).chat.completions.create(model=MODEL, messages=LONG, stream=True)
        async for _ in stream:
            break
        await stream.close()
        (row,) = await _rows(gate)
        assert (row.settled, row.basis) == ("billed", "counted")
        assert row.latency_ms < 5000

    _story(practice, tell, latency={"per_token": 0.05})
    with Headgate(practice(latency={"per_token": 0.05})) as gate:
        sdk = OpenAI(api_key="unused", http_client=gate.http_client())
        with sdk.chat.completions.create(model=MODEL, messages=LONG, stream=True) as stream:
            next(stream)
        (row,) = gate._thread.run(_rows(gate._gate))
        assert (row.settled, row.basis) == ("billed", "counted")


def test_a_cancelled_call_leaves_nothing(practice, virtual):
    """Its attempt is on the books as unknown."""

    async def story():
        async with virtual(practice({"kind": "silence"})) as gate:
            with pytest.raises(asyncio.TimeoutError):
                async with asyncio.timeout(3):
                    await _sdk(gate).responses.create(model=MODEL, input="Hi")
            assert [row.settled for row in await _rows(gate)] == ["unknown"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time(story())


def test_closing_the_sdk_does_not_close_the_gate(practice):
    """The gate belongs to whoever made it."""

    async def tell(gate):
        async with _sdk(gate) as sdk:
            await sdk.responses.create(model=MODEL, input="Hi")
        assert sdk.is_closed()
        assert (await gate.generate_response("Hi")).text
        assert (await _sdk(gate).responses.create(model=MODEL, input="Hi")).output_text

    _story(practice, tell)


def test_a_closed_gate_says_so(practice):
    """Asynchronous and not; a stream that was begun before ends with an error, not in silence."""

    async def story():
        gate = AsyncHeadgate(practice())
        sdk = _sdk(gate)
        await sdk.responses.create(model=MODEL, input="Hi")
        await gate.aclose()
        with pytest.raises(StoppingError, match="closed"):
            await sdk.responses.create(model=MODEL, input="Hi")

    asyncio.run(story())
    gate = Headgate(practice(latency={"per_token": 0.01}))
    sdk = OpenAI(api_key="unused", http_client=gate.http_client())
    stream = sdk.chat.completions.create(model=MODEL, messages=LONG, stream=True)
    next(stream)
    gate.close()
    with pytest.raises(StoppingError, match="closed"):
        list(stream)
    assert not [thread for thread in threading.enumerate() if thread.name == "headgate"]


# ── timeouts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _took(work):
    loop = asyncio.get_running_loop()
    start = loop.time()
    try:
        await work
    except openai.APIError as error:
        return type(error), round(loop.time() - start, 1)
    return None, round(loop.time() - start, 1)


@pytest.mark.parametrize("stream", [False, True])
def test_the_sdks_timeout_is_honoured(practice, virtual, stream):
    """As on a wire: nothing came within it, so the SDK raises its own timeout error, whatever the gate could try."""

    async def story():
        async with virtual(practice({"kind": "silence"}, backup={"faults": [{"kind": "silence"}]})) as gate:
            sdk = _sdk(gate, timeout=2, max_retries=0)
            call = sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=stream)
            assert await _took(call) == (openai.APITimeoutError, 2.0)
            call = _sdk(gate, max_retries=0).responses.create(model=MODEL, input="Hi", stream=stream, timeout=3)
            assert await _took(call) == (openai.APITimeoutError, 3.0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time(story())


def test_a_longer_timeout_is_honoured_too(practice, virtual):
    """Who is ready to wait two minutes for the first word waits, though the provider's own limit is thirty seconds."""

    async def story(settings, outcome):
        async with virtual(practice({"kind": "slow_first_token", "delay": 60})) as gate:
            call = _sdk(gate, max_retries=0).chat.completions.create(
                model=MODEL, messages=HELLO, stream=True, **settings
            )
            assert await _took(call) == outcome

    virtual_time(story({"timeout": 120}, (None, 60.0)))
    virtual_time(story({}, (openai.InternalServerError, 30.0)))


def test_silence_in_mid_stream_is_a_timeout(practice, virtual):
    """The client's own limit between two events."""

    async def story():
        async with virtual(practice({"kind": "stall", "after_tokens": 5})) as gate:
            stream = await _sdk(gate, timeout=2, max_retries=0).chat.completions.create(
                model=MODEL, messages=LONG, stream=True
            )
            with pytest.raises(openai.APITimeoutError):
                await _note(stream, [])

    virtual_time(story())


def test_a_deadline_in_the_header_is_the_gates(practice, virtual):
    """It is not the client that gave up: 504 from the gate."""

    async def story():
        async with virtual(practice({"kind": "silence"})) as gate:
            headers = {"x-headgate-deadline": "4s"}
            call = _sdk(gate).responses.create(model=MODEL, input="Hi", extra_headers=headers, timeout=60)
            assert await _took(call) == (openai.InternalServerError, 4.0)

    virtual_time(story())


def test_a_plain_httpx_client_raises_its_own_timeout(practice, virtual):
    """Without an SDK: `httpx2.ReadTimeout`, with its request."""

    async def story():
        async with virtual(practice({"kind": "silence"})) as gate, gate.http_client() as client:
            with pytest.raises(httpx2.ReadTimeout) as caught:
                await client.post("http://gate/v1/responses", json={"model": MODEL, "input": "Hi"}, timeout=1)
            assert caught.value.request.url.path == "/v1/responses"

    virtual_time(story())
