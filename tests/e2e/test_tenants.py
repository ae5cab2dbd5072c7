"""Projects that share a gateway and do not see each other; accounts that keep what they were given; large uploads."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import openai
import pytest

from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemClock
from headgate.providers.simulator import Simulator, simulator_app
from headgate.server.listener import Listener
from headgate.server.serve import listening, running

pytestmark = pytest.mark.e2e
KEYS = {"anna": "shop", "ann": "shop", "bert": "lab", "carl": None}
CONTENT = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hi"}]}}\n'  # noqa: E501  one line of a file


class Standing(NamedTuple):
    """Two accounts, a gate in front of them, and one SDK for each key."""

    one: Simulator
    two: Simulator
    gate: Gate
    sdk: dict[str, openai.AsyncOpenAI]


@asynccontextmanager
async def _standing(folder: Path, simulators: tuple[Simulator, Simulator] | None = None) -> AsyncIterator[Standing]:
    async with AsyncExitStack() as stack:
        one, two = simulators or (Simulator(clock=SystemClock(), seed=1), Simulator(clock=SystemClock(), seed=2))
        addresses = [
            await stack.enter_async_context(listening(Listener(simulator_app(up)), host="127.0.0.1", port=0, grace=1))
            for up in (one, two)
        ]
        names = ("one", "two")
        settings = {
            "store": f"sqlite:///{folder}/books.db",
            "journal": {"path": str(folder / "journal")},
            "server": {"port": 0, "auth": "keys"},
            "providers": {
                name: {"type": "openai", "base_url": f"{address}/v1", "api_key": "sk-up", "responses": True}
                for name, address in zip(names, addresses, strict=True)
            },
            "models": {
                "*": {"targets": [{"provider": "one"}]},
                "elsewhere": {
                    "targets": [
                        {"provider": "two", "model": "gpt-6-luna", "priority": 1},
                        {"provider": "one", "model": "gpt-6-luna", "priority": 2},
                    ]
                },
            },
            "keys": [
                {"name": name, "sha256": hashlib.sha256(f"hg-{name}".encode()).hexdigest()}
                | ({"project": project} if project else {})
                for name, project in KEYS.items()
            ],
        }
        gate = await stack.enter_async_context(await Gate.open(load(None, environment={}, settings=settings).config))
        address = await stack.enter_async_context(running(gate, grace=2))
        sdk = {
            name: await stack.enter_async_context(
                openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=f"hg-{name}", max_retries=0)
            )
            for name in KEYS
        }
        yield Standing(one, two, gate, sdk)


@pytest.fixture(name="told")
def _told(tmp_path):
    """Tells a story to what stands."""

    def tell(story):
        async def whole():
            async with _standing(tmp_path) as standing:
                return await story(standing)

        return asyncio.run(whole())

    return tell


async def _hidden(*asked: Any) -> None:
    """Each of these finds nothing, and all in the same words but for the name: nobody can tell why."""
    for ask in asked:
        with pytest.raises(openai.NotFoundError) as caught:
            await ask
        assert caught.value.code == "not_found"
        assert "another project" in caught.value.message


async def _upload(sdk: openai.AsyncOpenAI) -> Any:
    return await sdk.files.create(file=("rows.jsonl", CONTENT), purpose="batch")


def test_files_belong_to_their_project(told):
    """All keys of a project have them, others neither see nor read nor delete them; what never was looks the same."""

    async def story(at):
        mine = await _upload(at.sdk["anna"])
        theirs = await _upload(at.sdk["bert"])
        alone = await _upload(at.sdk["carl"])
        for name, expected in (("anna", mine), ("ann", mine), ("bert", theirs), ("carl", alone)):
            page = await at.sdk[name].files.list()
            assert [file.id for file in page.data] == [expected.id], name
        assert (await at.sdk["ann"].files.content(mine.id)).content == CONTENT
        assert (await at.sdk["ann"].files.retrieve(mine.id)).bytes == len(CONTENT)
        for name in ("bert", "carl"):
            files = at.sdk[name].files
            await _hidden(
                files.retrieve(mine.id), files.content(mine.id), files.delete(mine.id), files.retrieve("file-x")
            )
        assert (await at.sdk["ann"].files.delete(mine.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await at.sdk["anna"].files.retrieve(mine.id)
        assert len((await at.sdk["bert"].files.list()).data) == 1

    told(story)


def test_answers_belong_to_their_project(told):
    """Whole or streamed: whoever shares the project may read them and go on from them, nobody else."""

    async def story(at):
        sdk = at.sdk["anna"].responses
        whole = await sdk.create(model="gpt-6-luna", input="A city in France?")
        async with sdk.stream(model="gpt-6-luna", input="Another one?") as stream:
            streamed = await stream.get_final_response()
        for made in (whole, streamed):
            assert (await at.sdk["ann"].responses.retrieve(made.id)).output_text == made.output_text
            more = await at.sdk["ann"].responses.create(model="gpt-6-luna", input="Go on", previous_response_id=made.id)
            assert more.previous_response_id == made.id
            for name in ("bert", "carl"):
                other = at.sdk[name].responses
                await _hidden(
                    other.retrieve(made.id),
                    other.input_items.list(made.id),
                    other.delete(made.id),
                    other.cancel(made.id),
                    other.create(model="gpt-6-luna", input="Go on", previous_response_id=made.id),
                    other.create(model="gpt-6-luna", input=[{"type": "item_reference", "id": made.output[0].id}]),
                )
        await at.sdk["ann"].responses.delete(whole.id)

    told(story)


def test_batches_and_what_they_write_belong_to_their_project(told):
    """Neither the batch, nor its input, nor its output can be had from outside the project."""

    async def story(at):
        file = await _upload(at.sdk["anna"])
        wanted: Any = {"endpoint": "/v1/chat/completions", "completion_window": "24h", "input_file_id": file.id}
        await _hidden(at.sdk["bert"].batches.create(**wanted))
        batch = await at.sdk["anna"].batches.create(**wanted)
        await _hidden(at.sdk["bert"].batches.retrieve(batch.id), at.sdk["bert"].batches.cancel(batch.id))
        assert [found.id for found in (await at.sdk["ann"].batches.list()).data] == [batch.id]
        assert (await at.sdk["bert"].batches.list()).data == []
        for _ in range(100):
            batch = await at.sdk["ann"].batches.retrieve(batch.id)
            if batch.status in {"completed", "failed"}:
                break
            await asyncio.sleep(0.1)
        assert batch.status == "completed", batch
        assert b'"custom_id":' in (await at.sdk["ann"].files.content(batch.output_file_id)).content
        await _hidden(at.sdk["bert"].files.content(batch.output_file_id))

    told(story)


def test_uploads_belong_to_their_project(told):
    """Nobody else adds to one, completes or cancels it; the file that it becomes is the project's."""

    async def story(at):
        mine = at.sdk["anna"].uploads
        upload = await mine.create(bytes=len(CONTENT), filename="a.jsonl", mime_type="text/jsonl", purpose="user_data")
        other = at.sdk["bert"].uploads
        await _hidden(
            other.parts.create(upload.id, data=CONTENT),
            other.complete(upload.id, part_ids=["part_1"]),
            other.cancel(upload.id),
        )
        part = await at.sdk["ann"].uploads.parts.create(upload.id, data=CONTENT)
        done = await mine.complete(upload.id, part_ids=[part.id])
        assert (await at.sdk["ann"].files.content(done.file.id)).content == CONTENT
        await _hidden(at.sdk["bert"].files.content(done.file.id))

    told(story)


def test_a_call_that_names_an_object_goes_to_the_account_that_keeps_it(told):
    """Whatever the route would have chosen; and it is not taken to another account."""

    async def story(at):
        sdk = at.sdk["anna"]
        await sdk.responses.create(model="elsewhere", input="Hi")
        assert (len(at.one.log), len(at.two.log)) == (0, 1)
        file = await _upload(sdk)
        content: Any = [{"type": "input_file", "file_id": file.id}, {"type": "input_text", "text": "What is it?"}]
        first = await sdk.responses.create(model="elsewhere", input=[{"role": "user", "content": content}])
        assert (len(at.one.log), len(at.two.log)) == (1, 1)
        await sdk.responses.create(model="elsewhere", input="And?", previous_response_id=first.id)
        assert (len(at.one.log), len(at.two.log)) == (2, 1)
        elsewhere = await sdk.responses.create(model="elsewhere", input="Hi")
        assert (await sdk.responses.retrieve(elsewhere.id)).id == elsewhere.id
        with pytest.raises(openai.BadRequestError) as caught:
            await sdk.responses.create(
                model="elsewhere", input=[{"role": "user", "content": content}], previous_response_id=elsewhere.id
            )
        assert caught.value.code == "several_accounts"

    told(story)


def test_owners_outlive_the_process(tmp_path):
    """They are in the books: after a restart everybody has what was theirs, and no more."""
    simulators = (Simulator(clock=SystemClock(), seed=1), Simulator(clock=SystemClock(), seed=2))

    async def before() -> tuple[str, str]:
        async with _standing(tmp_path, simulators) as at:
            made = await at.sdk["anna"].responses.create(model="gpt-6-luna", input="Hi")
            return (await _upload(at.sdk["anna"])).id, made.id

    async def after(file: str, made: str) -> None:
        async with _standing(tmp_path, simulators) as at:
            assert (await at.sdk["ann"].files.content(file)).content == CONTENT
            assert (await at.sdk["ann"].responses.retrieve(made)).id == made
            await _hidden(at.sdk["bert"].files.retrieve(file), at.sdk["bert"].responses.retrieve(made))

    asyncio.run(after(*asyncio.run(before())))


SIZE = 400_000_000
ROOM = 64_000_000
BLOCK = b"x" * 250_000


async def _sink(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: list[tuple[int, str]]) -> None:
    """A provider that takes a file, keeps its length and its hash, and answers."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    boundary = head.partition("boundary=")[2].partition("\r\n")[0].encode()
    digest, came = hashlib.sha256(), 0
    tail = b""
    start: int | None = None
    while came < length:
        piece = await reader.read(262_144)
        assert piece, "the upload broke off"
        came += len(piece)
        if start is None:
            tail += piece
            found = tail.find(b"\r\n\r\n", tail.find(b'name="file"'))
            if found < 0:
                continue
            start, piece, tail = found + 4, tail[found + 4 :], b""
        # What may be the end of the form is held back.
        piece = tail + piece
        cut = max(0, len(piece) - len(boundary) - 8)
        digest.update(piece[:cut])
        tail = piece[cut:]
    digest.update(tail[: tail.rindex(b"\r\n--" + boundary)])
    seen.append((length, digest.hexdigest()))
    body = b'{"id": "file-large", "object": "file", "bytes": %d, "created_at": 1, "filename": "a", "purpose": "batch"}'
    body %= SIZE
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    writer.close()


async def _form() -> AsyncIterator[bytes]:
    yield b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    for _ in range(SIZE // len(BLOCK)):
        yield BLOCK
    yield b"\r\n--b--\r\n"


def _memory(pid: int, what: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


@pytest.mark.timeout(120)
def test_a_large_upload_needs_little_memory(tmp_path, serve):
    """400 MB come in, wait on disk and go out, byte for byte, while the gateway grows by less than 64 MB."""
    seen: list[tuple[int, str]] = []

    async def story():
        sink = await asyncio.start_server(lambda reader, writer: _sink(reader, writer, seen), "127.0.0.1", 0)
        port = sink.sockets[0].getsockname()[1]
        address = f"http://127.0.0.1:{port}/v1"
        async with sink, serve(tmp_path, OPENAI_API_KEY="sk-up", OPENAI_BASE_URL=address) as server:
            before = _memory(server.pid, "VmRSS")
            async with httpx2.AsyncClient(timeout=90, trust_env=False) as http:
                kind = {"content-type": "multipart/form-data; boundary=b"}
                answer = await http.post(f"{server.address}/v1/files", content=_form(), headers=kind)
            assert (answer.status_code, answer.json()["bytes"]) == (200, SIZE), answer.text
            return _memory(server.pid, "VmHWM") - before

    grown = asyncio.run(story())
    digest = hashlib.sha256()
    for _ in range(SIZE // len(BLOCK)):
        digest.update(BLOCK)
    ((length, said),) = seen
    assert length > SIZE
    assert said == digest.hexdigest()
    assert grown < ROOM, f"{grown / 1e6:.1f} MB"
