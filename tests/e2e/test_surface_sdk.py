"""The whole surface through the official SDK, asynchronous and not, at both of its doors: over HTTP and in process.

Behind the gate stands a simulator on a real socket, with its own bill. What the ledger says must be what was billed:
to the picodollar where the answer tells its usage, zero where nobody charges, and no invented price elsewhere.
"""

import asyncio
import inspect
import io
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx2
import openai
import pytest

from headgate.client.asynchronous import AsyncHeadgate
from headgate.core.money import half_up
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemClock
from headgate.providers.simulator import Batch, Fault, Simulator, simulator_app
from headgate.server.serve import listening, running
from headgate.stores.protocols import Query
from headgate.stores.records import AttemptRow

pytestmark = pytest.mark.e2e

KEY = "sk-upstream"
LUNA = "gpt-6-luna"
SMALL = "text-embedding-3-small"
FREE = {"files", "uploads", "batches", "responses.stored", "responses.input_tokens", "moderations"}


class Standing(NamedTuple):
    """A simulator, a gate in front of it, and the SDK at one of its doors."""

    simulator: Simulator
    gate: Gate
    sdk: Any

    async def call(self, method, *arguments, **settings):
        """Call a method of the SDK; the one that waits gets a thread to wait in."""
        if isinstance(self.sdk, openai.AsyncOpenAI):
            found = method(*arguments, **settings)
            return await found if inspect.isawaitable(found) else found
        return await asyncio.to_thread(method, *arguments, **settings)

    async def all(self, stream):
        """All that a stream or a page gives."""
        if isinstance(self.sdk, openai.AsyncOpenAI):
            return [one async for one in stream]
        return await asyncio.to_thread(list, stream)

    async def rows(self) -> list[AttemptRow]:
        """The ledger's rows, each of which is held against the bill."""
        await self.gate.usage(Query())
        rows = [row async for row in self.gate.rows(Query())]
        lines = {line.client_request_id: line for line in self.simulator.bill.lines}
        for row in rows:
            line = lines.get(f"{row.call_id}-{row.attempt}")
            if row.settled == "not_billed":
                assert (row.cost, line) == (0, None)
                assert row.error_type is not None
            elif row.settled == "unknown":
                assert row.cost is None
            elif row.operation in FREE:
                assert (row.cost, row.price_table, row.error_type) == (0, "free", None)
            elif row.basis is None:
                # Sound that does not tell its usage.
                assert (row.cost, row.prompt_tokens, row.completion_tokens) == (None, 0, 0)
            else:
                assert line is not None
                assert (row.basis, row.error_type) == ("reported", None)
                assert row.cost == half_up(line.amount * 10**12) > 0, row
                assert row.prompt_tokens == line.usage.prompt_tokens
                assert row.completion_tokens == line.usage.completion_tokens
        return rows


@asynccontextmanager
async def _standing(door: str, *faults: Fault, waits: bool) -> AsyncIterator[Standing]:
    simulator = Simulator(
        clock=SystemClock(), seed=5, api_key=KEY, batch=Batch(seconds=0.2), background=60.0, faults=faults
    )
    async with listening(simulator_app(simulator), host="127.0.0.1", port=0, grace=1) as upstream:
        provider = {"type": "openai", "base_url": f"{upstream}/v1", "api_key": KEY, "responses": True}
        settings = {"store": "memory://", "server": {"port": 0}, "providers": {"up": provider}}
        config = load(None, environment={}, settings=settings).config
        kind: Any = openai.OpenAI if waits else openai.AsyncOpenAI
        if door == "http":
            async with await Gate.open(config) as gate, running(gate, grace=2) as address:
                sdk = kind(base_url=f"{address}/v1", api_key="hg-mine", max_retries=0)
                async with _closing(Standing(simulator, gate, sdk)) as standing:
                    yield standing
            return
        async with AsyncHeadgate(config) as inside:
            client: Any = inside.http_client(sync=True) if waits else inside.http_client()
            sdk = kind(api_key="hg-mine", http_client=client, max_retries=0)
            async with _closing(Standing(simulator, await inside._ready(), sdk)) as standing:
                yield standing


@asynccontextmanager
async def _closing(standing: Standing) -> AsyncIterator[Standing]:
    try:
        yield standing
    finally:
        await standing.call(standing.sdk.close)


@pytest.fixture(params=["http", "process"])
def door(request):
    """The gate's door."""
    return request.param


@pytest.fixture(params=[False, True], ids=["async", "sync"])
def tell(request, door):
    """Tells a story at a door, to an SDK of a kind; gives the ledger's rows as (operation, stream, settled)."""

    def run(story, *faults):
        async def whole():
            async with _standing(door, *faults, waits=request.param) as standing:
                await story(standing, standing.sdk, standing.call)
                rows = [(row.operation, row.stream, row.settled.value) for row in await standing.rows()]
                assert "hg-mine" not in repr(standing.simulator.last)
                return rows

        return asyncio.run(whole())

    return run


# ── questions ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_embeddings_and_moderations(tell):
    """As the SDK asks for them (base64) and as decimal numbers: the same vectors."""

    async def story(_standing, sdk, call):
        packed = await call(sdk.embeddings.create, model=SMALL, input=["a", "b"])
        plain = await call(sdk.embeddings.create, model=SMALL, input=["a", "b"], encoding_format="float")
        assert [one.embedding for one in packed.data] == [one.embedding for one in plain.data]
        assert (len(packed.data[1].embedding), packed.usage.prompt_tokens) == (1536, 2)
        judged = await call(sdk.moderations.create, input=["Good morning", "I will kill you"])
        assert [one.flagged for one in judged.results] == [False, True]
        assert judged.results[1].categories.harassment_threatening

    assert tell(story) == [
        ("embeddings", False, "billed"),
        ("embeddings", False, "billed"),
        ("moderations", False, "billed"),
    ]


def test_completions_and_models(tell):
    """The old API, whole and streamed; the names that may be asked for."""

    async def story(standing, sdk, call):
        asked = {"model": "gpt-3.5-turbo-instruct", "prompt": "Once upon a time"}
        whole = await call(sdk.completions.create, **asked)
        chunks = await standing.all(await call(sdk.completions.create, **asked, stream=True))
        assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
        names = [model.id for model in await standing.all(await call(sdk.models.list))]
        assert names == [(await call(sdk.models.retrieve, name)).id for name in names]
        # Every name leads to the simulator here.
        assert (await call(sdk.models.retrieve, "nobody")).id == "nobody"

    assert tell(story) == [("completions", False, "billed"), ("completions", True, "billed")]


def test_images(tell):
    """New ones and edited ones, whole and as events; what is drawn can be given back to be edited."""

    async def story(standing, sdk, call):
        drawn = await call(sdk.images.generate, model="gpt-image-2", prompt="An otter", size="512x768", n=2)
        first, second = (b64decode(one.b64_json) for one in drawn.data)
        assert first.startswith(b"\x89PNG")
        edited = await call(
            sdk.images.edit, model="gpt-image-2", prompt="A hat", image=[("a.png", first), ("b.png", second)]
        )
        assert edited.usage.input_tokens_details.image_tokens == 2 * 16 * 24
        stream = await call(sdk.images.generate, model="gpt-image-2", prompt="An otter", stream=True, partial_images=2)
        events = await standing.all(stream)
        assert [event.type.partition(".")[2] for event in events] == ["partial_image", "partial_image", "completed"]
        stream = await call(sdk.images.edit, model="gpt-image-2", prompt="A hat", image=io.BytesIO(first), stream=True)
        assert [event.type for event in await standing.all(stream)] == ["image_edit.completed"]
        with pytest.raises(openai.BadRequestError) as caught:
            await call(sdk.images.edit, model="gpt-image-2", prompt="A hat", image=("a.png", b"no picture"))
        assert caught.value.request_id.startswith("req_")

    assert tell(story) == [
        ("images", False, "billed"),
        ("images.edits", False, "billed"),
        ("images", True, "billed"),
        ("images.edits", True, "billed"),
        ("images.edits", False, "not_billed"),
    ]


def test_sound(tell):
    """What is spoken is heard again: bytes as they come, events, and subtitles that are no JSON."""

    async def story(standing, sdk, call):
        speech = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "Good morning, how are you?"}
        wav = (await call(sdk.audio.speech.create, **speech, response_format="wav")).content
        assert wav.startswith(b"RIFF")
        asked = sdk.audio.speech.with_streaming_response.create(**speech, response_format="wav")
        assert await _streamed(standing, asked) == (200, "audio/wav", wav)
        asked = sdk.audio.speech.with_streaming_response.create(**speech, stream_format="sse")
        status, kind, events = await _streamed(standing, asked)
        assert (status, kind) == (200, "text/event-stream; charset=utf-8")
        assert events.count(b"speech.audio.delta") == 7
        file = ("speech.wav", wav)
        hear = sdk.audio.transcriptions.create
        whole = await call(hear, model="gpt-4o-transcribe", file=file)
        events = await standing.all(await call(hear, model="gpt-4o-transcribe", file=file, stream=True))
        assert "".join(event.delta for event in events[:-1]) == events[-1].text == whole.text
        subtitles = await call(hear, model="whisper-1", file=file, response_format="vtt")
        assert subtitles.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:00.700\n")
        # The SDK thinks that nobody should ask for that any more.
        with pytest.warns(DeprecationWarning, match="deprecated"):
            assert (await call(sdk.audio.translations.create, model="whisper-1", file=file)).text

    assert tell(story) == [
        ("audio.speech", False, "billed"),
        ("audio.speech", False, "billed"),
        ("audio.speech", True, "billed"),
        ("audio.transcriptions", False, "billed"),
        ("audio.transcriptions", True, "billed"),
        ("audio.transcriptions", False, "billed"),
        ("audio.translations", False, "billed"),
    ]


def test_sound_that_breaks_off(tell):
    """Half of it never looks like all of it: the connection breaks, as the SDK knows it from a wire."""

    async def story(standing, sdk, call):
        speech = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "Good morning, how are you?"}
        asked = sdk.audio.speech.with_streaming_response.create(**speech, response_format="wav")
        with pytest.raises(httpx2.RemoteProtocolError):
            await _streamed(standing, asked)
        with pytest.raises(openai.APIConnectionError):
            await call(sdk.audio.speech.create, **speech, response_format="wav")

    assert tell(story, Fault(kind="cut")) == [("audio.speech", False, "billed")] * 2


async def _streamed(standing, asked):
    """Status, content type and bytes of a streamed response."""
    if isinstance(standing.sdk, openai.AsyncOpenAI):
        async with asked as answer:
            data = b"".join([chunk async for chunk in answer.iter_bytes()])
            return answer.status_code, answer.headers["content-type"], data

    def wait():
        with asked as answer:
            return answer.status_code, answer.headers["content-type"], b"".join(answer.iter_bytes())

    return await asyncio.to_thread(wait)


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_stored_responses(tell):
    """Retrieved, listed, continued, deleted; counted before they are asked for."""

    async def story(standing, sdk, call):
        counted = await call(sdk.responses.input_tokens.count, model=LUNA, input="Hello")
        made = await call(sdk.responses.create, model=LUNA, input="Hello")
        assert counted.input_tokens == made.usage.input_tokens
        assert (await call(sdk.responses.retrieve, made.id)).output_text == made.output_text
        items = await standing.all(await call(sdk.responses.input_items.list, made.id))
        assert items[0].content[0].text == "Hello"
        more = await call(sdk.responses.create, model=LUNA, input="And?", previous_response_id=made.id)
        assert more.usage.input_tokens > made.usage.input_tokens
        events = await standing.all(await call(sdk.responses.retrieve, made.id, stream=True))
        assert events[-1].type == "response.completed"
        await call(sdk.responses.delete, made.id)
        with pytest.raises(openai.NotFoundError):
            await call(sdk.responses.retrieve, made.id)

    assert tell(story) == [
        ("responses.input_tokens", False, "billed"),
        ("responses", False, "billed"),
        ("responses.stored", False, "billed"),
        ("responses.stored", False, "billed"),
        ("responses", False, "billed"),
        ("responses.stored", True, "billed"),
        ("responses.stored", False, "billed"),
        ("responses.stored", False, "not_billed"),
    ]


def test_a_response_in_the_background(tell):
    """Nobody knows what it will cost while it runs; it can be stopped."""

    async def story(_standing, sdk, call):
        made = await call(sdk.responses.create, model=LUNA, input="Hello", background=True)
        assert made.status in {"queued", "in_progress"}
        assert (await call(sdk.responses.cancel, made.id)).status == "cancelled"

    assert tell(story) == [("responses", False, "unknown"), ("responses.stored", False, "billed")]


def test_files(tell):
    """Made, listed, read, deleted."""

    async def story(standing, sdk, call):
        data = bytes(range(256)) * 10_000
        made = await call(sdk.files.create, file=("a.bin", io.BytesIO(data)), purpose="user_data")
        assert made.bytes == len(data)
        assert (await call(sdk.files.content, made.id)).content == data
        other = await call(sdk.files.create, file=("b.txt", b"b"), purpose="user_data")
        listed = await standing.all(await call(sdk.files.list, limit=1))
        assert {file.id for file in listed} == {made.id, other.id}
        assert (await call(sdk.files.retrieve, made.id)).filename == "a.bin"
        assert (await call(sdk.files.delete, made.id)).deleted

    assert set(tell(story)) == {("files", False, "billed")}


def test_uploads(tell):
    """In parts, which become a file; or not."""

    async def story(_standing, sdk, call):
        settings = {"bytes": 6, "filename": "a.txt", "mime_type": "text/plain", "purpose": "user_data"}
        upload = await call(sdk.uploads.create, **settings)
        parts = [await call(sdk.uploads.parts.create, upload.id, data=data) for data in (b"abc", b"def")]
        done = await call(sdk.uploads.complete, upload.id, part_ids=[part.id for part in parts])
        assert (await call(sdk.files.content, done.file.id)).content == b"abcdef"
        upload = await call(sdk.uploads.create, **settings)
        assert (await call(sdk.uploads.cancel, upload.id)).status == "cancelled"

    assert [operation for operation, _, _ in tell(story)] == [
        "uploads", "uploads", "uploads", "uploads", "files", "uploads", "uploads",
    ]  # fmt: skip


def test_batches(tell):
    """Made, followed, read, cancelled, listed. What one costs is known when it has run."""
    body = {"model": LUNA, "messages": [{"role": "user", "content": "Hello"}]}
    row = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    data = b"\n".join(json.dumps({"custom_id": f"row-{n}", **row}).encode() for n in range(3))

    async def story(standing, sdk, call):
        file = await call(sdk.files.create, file=("in.jsonl", data), purpose="batch")
        asked = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        batch = made = await call(sdk.batches.create, **asked)
        async with asyncio.timeout(20):
            while batch.status != "completed":
                await asyncio.sleep(0.05)
                batch = await call(sdk.batches.retrieve, made.id)
        output = (await call(sdk.files.content, batch.output_file_id)).text
        assert {json.loads(line)["custom_id"] for line in output.splitlines()} == {"row-0", "row-1", "row-2"}
        other = await call(sdk.batches.create, **asked)
        assert (await call(sdk.batches.cancel, other.id)).status in {"cancelling", "cancelled"}
        assert [one.id for one in await standing.all(await call(sdk.batches.list))] == [other.id, made.id]

    rows = tell(story)
    assert [row for row in rows if row[2] == "unknown"] == [("batches", False, "unknown")] * 2
    assert {row[2] for row in rows if row[0] == "files"} == {"billed"}
