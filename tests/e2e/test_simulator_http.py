"""The simulator over real sockets: the official SDK as its client, broken connections, departing clients."""

import asyncio
import json
from base64 import b64decode
from contextlib import asynccontextmanager

import pytest
import uvloop
from openai import APIError, AsyncOpenAI, BadRequestError, NotFoundError, RateLimitError

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


def test_the_sdk_on_pictures():
    """New ones and edited ones, whole and as events; what is drawn can be given back to be edited."""

    async def tell(simulator, address):
        async with sdk(address) as client:
            drawn = await client.images.generate(model="gpt-image-2", prompt="An otter", size="512x768", n=2)
            first, second = (b64decode(one.b64_json) for one in drawn.data)
            assert first.startswith(b"\x89PNG")
            edited = await client.images.edit(
                model="gpt-image-2", prompt="A hat", image=[("a.png", first), ("b.png", second)]
            )
            assert edited.usage.input_tokens_details.image_tokens == 2 * 16 * 24
            stream = await client.images.generate(model="gpt-image-2", prompt="An otter", stream=True, partial_images=2)
            events = [event async for event in stream]
            assert [event.type.partition(".")[2] for event in events] == ["partial_image", "partial_image", "completed"]
            stream = await client.images.edit(model="gpt-image-2", prompt="A hat", image=("a.png", first), stream=True)
            assert [event.type async for event in stream] == ["image_edit.completed"]
            with pytest.raises(BadRequestError) as caught:
                await client.images.generate(model="gpt-image-2", prompt="An otter", output_format="webp")
            assert (caught.value.code, caught.value.param) == ("unsupported_value", "output_format")
            told = [drawn.usage.output_tokens, edited.usage.output_tokens, events[-1].usage.output_tokens, 1024]
        return [line.usage.completion_image_tokens for line in simulator.bill.lines] == told

    assert story(tell)


def test_the_sdk_on_sound():
    """What is spoken is heard again: whole, as events, and in every format of subtitles."""

    async def tell(simulator, address):
        async with sdk(address) as client:
            speech = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "Good morning, how are you?"}
            wav = (await client.audio.speech.create(**speech, response_format="wav")).content
            file = ("speech.wav", wav)
            async with client.audio.speech.with_streaming_response.create(**speech, stream_format="sse") as answer:
                assert (await answer.read()).count(b"speech.audio.delta") == 7
            whole = await client.audio.transcriptions.create(model="gpt-4o-transcribe", file=file)
            stream = await client.audio.transcriptions.create(model="gpt-4o-transcribe", file=file, stream=True)
            events = [event async for event in stream]
            assert "".join(event.delta for event in events[:-1]) == events[-1].text == whole.text
            assert whole.usage.input_tokens == events[-1].usage.input_tokens == 7
            timed = await client.audio.transcriptions.create(
                model="whisper-1", file=file, response_format="verbose_json", timestamp_granularities=["word"]
            )
            assert " ".join(word.word for word in timed.words) == whole.text
            assert timed.duration == 0.7
            subtitles = await client.audio.transcriptions.create(model="whisper-1", file=file, response_format="vtt")
            assert subtitles.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:00.700\n")
        return [line.seconds for line in simulator.bill.lines]

    assert story(tell) == [0, 0, 0, 0, 1, 1]


def test_the_sdk_on_everything_else():
    """Embeddings as it asks for them (base64), moderations, completions, token counts."""

    async def tell(simulator, address):
        async with sdk(address) as client:
            model = "text-embedding-3-small"
            packed = await client.embeddings.create(model=model, input=["a", "b"])
            plain = await client.embeddings.create(model=model, input=["a", "b"], encoding_format="float")
            assert [one.embedding for one in packed.data] == [one.embedding for one in plain.data]
            judged = await client.moderations.create(input=["Good morning", "I will kill you"])
            assert [one.categories.harassment_threatening for one in judged.results] == [False, True]
            asked = {"model": "gpt-3.5-turbo-instruct", "prompt": "Once upon a time"}
            completion = await client.completions.create(**asked)
            chunks = [chunk async for chunk in await client.completions.create(**asked, stream=True)]
            assert "".join(chunk.choices[0].text for chunk in chunks) == completion.choices[0].text
            counted = await client.responses.input_tokens.count(model="gpt-6-luna", input="Hello")
            answer = await client.responses.create(model="gpt-6-luna", input="Hello")
            assert counted.input_tokens == answer.usage.input_tokens
            with pytest.raises(NotFoundError) as caught:
                await client.models.retrieve("nobody")
            assert caught.value.code == "model_not_found"
        return [line.usage.prompt_tokens for line in simulator.bill.lines]

    assert story(tell) == [2, 2, 7, 4, 4, 0, 3]


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
        await until(lambda: allowance.busy == 0)
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
