"""The simulator over real sockets: the official SDK as its client, broken connections, departing clients."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
import uvloop
from openai import APIError, AsyncOpenAI, RateLimitError

from headgate.gate.ports import SystemClock
from headgate.providers.simulator import Fault, Latency, Limits, Simulator, simulator_app
from headgate.server.serve import listening

pytestmark = pytest.mark.e2e

HELLO = [{"role": "user", "content": "Hello"}]
LOOPS = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


def story(tell, loop="uvloop", **settings):
    """Run a story with a simulator and its address."""

    async def run():
        simulator = Simulator(clock=SystemClock(), **settings)
        async with listening(simulator_app(simulator), host="127.0.0.1", port=0, grace=1) as address:
            return await tell(simulator, address)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(run())


@asynccontextmanager
async def sdk(address):
    """The official SDK, without repetitions of its own."""
    async with AsyncOpenAI(api_key="sk-x", base_url=address + "/v1", max_retries=0) as client:
        yield client


async def post(address, path="/v1/chat/completions", **fields):
    """Send a request by hand; gives the connection."""
    host, _, port = address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "40 tokens"}]} | fields).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    return reader, writer


async def until(true):
    """Wait, at most a second, until something is true."""
    async with asyncio.timeout(1):
        while not true():  # noqa: ASYNC110  the simulator tells nobody
            await asyncio.sleep(0.005)


def test_the_sdk():
    """Chat and Responses, whole and streamed, with tools, schemas, models and errors."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}

    async def tell(simulator, address):
        async with sdk(address) as client:
            chat = await client.chat.completions.create(model="gpt-6-luna", messages=HELLO)
            stream = await client.chat.completions.create(model="gpt-6-luna", messages=HELLO, stream=True)
            words = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            assert words == chat.choices[0].message.content
            called = await client.chat.completions.create(
                model="gpt-4o", messages=HELLO, tools=[tool], tool_choice="required"
            )
            assert called.choices[0].message.tool_calls[0].function.arguments == "{}"
            response = await client.responses.create(model="gpt-6-luna", input="Hello")
            assert response.output_text == words
            events = [event async for event in await client.responses.create(model="fake", input="x", stream=True)]
            assert events[-1].type == "response.completed"
            assert "gpt-6-luna" in [model.id async for model in client.models.list()]
            wish = {"x-simulate-fault": '{"kind": "status", "status": 429, "retry_after": 60}'}
            with pytest.raises(RateLimitError) as caught:
                await client.responses.create(model="fake", input="x", extra_headers=wish)
            assert caught.value.code == "rate_limit_exceeded"
            assert caught.value.response.headers["retry-after"] == "60"
        return [line.complete for line in simulator.bill.lines]

    assert story(tell) == [True] * 5


def test_the_sdk_sees_an_error_inside_a_stream():
    """As an APIError after the words that came before."""

    async def tell(_, address):
        said = []
        async with sdk(address) as client:
            stream = await client.chat.completions.create(model="fake", messages=HELLO, stream=True)
            with pytest.raises(APIError) as caught:  # noqa: PT012  the words before it are wanted, too
                async for chunk in stream:
                    said.append(chunk.choices[0].delta.content)  # noqa: PERF401  what came before it fails stays
        return len(said), caught.value.code

    assert story(tell, faults=[Fault(kind="error_event", after_tokens=3, code="c")]) == (4, "c")


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_reset_is_one(loop, stream):
    """Not a byte comes, and the connection is reset rather than closed."""

    async def tell(simulator, address):
        reader, writer = await post(address, stream=stream)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        return simulator.log[0].status, simulator.bill.lines

    assert story(tell, loop, faults=[Fault(kind="reset")]) == (0, [])


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_cut_leaves_the_answer_unfinished(loop, stream):
    """What came before it is there; the end is not."""

    async def tell(simulator, address):
        reader, writer = await post(address, stream=stream)
        said = b""
        try:
            while data := await reader.read(1000):
                said += data
        except ConnectionResetError:
            pass
        writer.close()
        head, _, body = said.partition(b"\r\n\r\n")
        assert b"200 OK" in head
        if stream:
            assert b"0\r\n\r\n" not in body
            assert b'finish_reason":"stop' not in body
        else:
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert 0 < len(body) < length
        return [(line.usage.completion_tokens, line.complete) for line in simulator.bill.lines]

    found = story(tell, loop, faults=[Fault(kind="cut", after_tokens=7, delay=0)], latency=Latency(first_token=0.05))
    assert found == [(7, False) if stream else (40, True)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_is_noticed(stream):
    """Well within a second: the place is free, and the bill says what was generated."""

    async def tell(simulator, address):
        reader, writer = await post(address, stream=stream)
        if stream:
            await reader.readuntil(b'"content":"","refusal"')
        await until(lambda: simulator.log)
        writer.transport.abort()
        allowance = simulator._desk._allowance("gpt-4o")
        await until(lambda: allowance._busy == 0)
        return [(line.usage.completion_tokens, line.complete) for line in simulator.bill.lines]

    found = story(tell, latency=Latency(first_token=30), limits=Limits(concurrency=1))
    assert found == ([(0, False)] if stream else [])


def test_the_connection_is_kept_after_a_whole_answer():
    """Two requests over one connection; the simulator's own `server` header is the only one."""

    async def tell(simulator, address):
        reader, writer = await post(address, path="/v1/models")  # POST: refused with 405
        first = await reader.readuntil(b"}}")
        writer.write(b"GET /__bill HTTP/1.1\r\nhost: x\r\n\r\n")
        second = await reader.readuntil(b"]}")
        writer.close()
        assert first.count(b"server: ") == second.count(b"server: ") == 1
        assert b"server: simulator" in second
        return second.endswith(b'{"total_usd":"0","lines":[]}'), simulator.log

    assert story(tell) == (True, [])
