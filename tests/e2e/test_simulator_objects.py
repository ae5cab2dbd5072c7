"""What the simulator keeps, through the official SDK over real sockets: files, uploads, batches, answers."""

import asyncio
import hashlib
import io
import json
from contextlib import asynccontextmanager

import pytest
import uvloop
from openai import APIConnectionError, AsyncOpenAI, BadRequestError, ConflictError, NotFoundError

from headgate.gate.ports import SystemClock
from headgate.providers.simulator import Batch, Fault, Simulator, simulator_app
from headgate.server.serve import listening

pytestmark = pytest.mark.e2e

CHAT = "/v1/chat/completions"


def story(tell, **settings):
    """Run a story with a simulator and the SDK as its client."""

    @asynccontextmanager
    async def serving():
        simulator = Simulator(clock=SystemClock(), **settings)
        async with (
            listening(simulator_app(simulator), host="127.0.0.1", port=0, grace=1) as address,
            AsyncOpenAI(api_key="sk-x", base_url=address + "/v1", max_retries=0) as client,
        ):
            yield simulator, client

    async def run():
        async with serving() as (simulator, client):
            return await tell(simulator, client)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def rows(count, **body):
    """An input file of a batch."""
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "10 tokens"}]} | body
    return b"\n".join(
        json.dumps({"custom_id": f"row-{at}", "method": "POST", "url": CHAT, "body": body}).encode()
        for at in range(count)
    )


async def until(client, batch, *states):
    """Poll a batch until it is in one of these states."""
    async with asyncio.timeout(10):
        while batch.status not in states:
            await asyncio.sleep(0.02)
            batch = await client.batches.retrieve(batch.id)
    return batch


def test_files():
    """Created, listed by pages, read back byte for byte, deleted."""
    data = bytes(range(256)) * 5000 + b"\r\n--"

    async def tell(_, client):
        made = [
            await client.files.create(
                file=(f"{number}.bin", io.BytesIO(data)),
                purpose="user_data",
                expires_after={"anchor": "created_at", "seconds": 3600},
            )
            for number in range(3)
        ]
        assert made[0].expires_at == made[0].created_at + 3600
        listed = [file.id async for file in client.files.list(limit=2, order="asc", purpose="user_data")]
        assert listed == [file.id for file in made]
        assert await client.files.retrieve(made[0].id) == made[0]
        content = await client.files.content(made[0].id)
        assert content.response.headers["content-type"] == "application/octet-stream"
        assert content.content == data
        assert (await client.files.delete(made[0].id)).deleted
        with pytest.raises(NotFoundError, match=f"No such File object: {made[0].id}"):
            await client.files.content(made[0].id)
        with pytest.raises(BadRequestError, match=r"Must be \.jsonl"):
            await client.files.create(file=b"{}", purpose="batch")

    story(tell)


def test_uploads(tmp_path):
    """In chunks as the SDK cuts them, and by hand."""
    data = bytes(range(256)) * 1000
    path = tmp_path / "large.bin"
    path.write_bytes(data)

    async def tell(_, client):
        upload = await client.uploads.upload_file_chunked(
            file=path, mime_type="application/octet-stream", purpose="user_data", part_size=100_000,
            md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        )  # fmt: skip
        assert (upload.status, upload.file.filename) == ("completed", "large.bin")
        assert (await client.files.content(upload.file.id)).content == data
        other = await client.uploads.create(bytes=3, filename="a", mime_type="text/plain", purpose="user_data")
        part = await client.uploads.parts.create(other.id, data=b"abc")
        with pytest.raises(BadRequestError, match="No such Part object"):
            await client.uploads.complete(other.id, part_ids=[part.id, "part_x"])
        assert (await client.uploads.cancel(other.id)).status == "cancelled"
        with pytest.raises(BadRequestError, match="cancelled"):
            await client.uploads.complete(other.id, part_ids=[part.id])

    story(tell)


def test_a_batch():
    """From the input file to both output files, at half the price."""

    async def tell(simulator, client):
        content = rows(20) + b"\n" + rows(1, reasoning_effort="enormous").replace(b"row-0", b"bad")
        file = await client.files.create(file=("in.jsonl", content), purpose="batch")
        batch = await client.batches.create(
            input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"job": "test"}
        )
        assert (batch.status, batch.metadata) == ("validating", {"job": "test"})
        batch = await until(client, batch, "in_progress")
        assert batch.request_counts.total == 21
        batch = await until(client, batch, "completed")
        assert (batch.request_counts.completed, batch.request_counts.failed) == (20, 1)
        good = [json.loads(line) for line in (await client.files.content(batch.output_file_id)).text.splitlines()]
        bad = [json.loads(line) for line in (await client.files.content(batch.error_file_id)).text.splitlines()]
        assert sorted(line["custom_id"] for line in good) == sorted(f"row-{at}" for at in range(20))
        assert bad[0]["response"]["body"]["error"]["code"] == "unsupported_value"
        assert [one.id async for one in client.batches.list(limit=1)] == [batch.id]
        with pytest.raises(ConflictError, match="Cannot cancel a batch with status 'completed'"):
            await client.batches.cancel(batch.id)
        await client.chat.completions.create(**json.loads(rows(1))["body"])
        *batched, alone = simulator.bill.lines
        assert {line.tier for line in batched} == {"batch"}
        assert len(batched) == 20
        assert sum(line.usage.completion_tokens for line in batched) == batch.usage.output_tokens
        line = next(line for line in batched if line.usage == alone.usage)
        return line.amount * 2 == alone.amount > 0

    assert story(tell, batch=Batch(seconds=0.5))


def test_batches_that_do_not_end_well():
    """Failed, cancelled, expired; rows that are meant to fail."""

    async def tell(_, client):
        bad = await client.files.create(file=("in.jsonl", b"{}\n{bad"), purpose="batch")
        good = await client.files.create(file=("in.jsonl", rows(10)), purpose="batch")
        failed, cancelled, expired = [
            await client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
            for file in (bad, good, good)
        ]
        failed = await until(client, failed, "failed")
        assert [error.code for error in failed.errors.data] == ["missing_required_parameter", "invalid_json_line"]
        assert (await client.batches.cancel(cancelled.id)).status == "cancelling"
        await until(client, cancelled, "cancelled")
        expired = await until(client, expired, "expired")
        text = (await client.files.content(expired.error_file_id)).text
        return {json.loads(line)["error"]["code"] for line in text.splitlines() if json.loads(line)["error"]}

    assert story(tell, batch=Batch(seconds=1, window=0.6, failing=1, status=429)) == {"batch_expired"}


def test_answers():
    """Retrieved, replayed, continued, listed, deleted; a synchronous one cannot be cancelled."""

    async def tell(_, client):
        events = [e async for e in await client.responses.create(model="gpt-4o", input="30 tokens", stream=True)]
        name = events[-1].response.id
        again = [e async for e in await client.responses.retrieve(name, stream=True, starting_after=7)]
        assert again == events[8:]
        assert await client.responses.retrieve(name) == events[-1].response
        following = await client.responses.create(model="gpt-4o", input="More", previous_response_id=name)
        assert following.usage.input_tokens > events[-1].response.usage.output_tokens
        items = [item async for item in client.responses.input_items.list(following.id, limit=1, order="asc")]
        assert [item.role for item in items] == ["user", "assistant", "user"]
        with pytest.raises(BadRequestError, match="Cannot cancel a synchronous response"):
            await client.responses.cancel(name)
        await client.responses.delete(name)
        with pytest.raises(NotFoundError, match=f"Response with id '{name}' not found"):
            await client.responses.retrieve(name)
        with pytest.raises(BadRequestError) as caught:
            await client.responses.create(model="gpt-4o", input="More", previous_response_id=name)
        assert caught.value.code == "previous_response_not_found"
        unkept = await client.responses.create(model="gpt-4o", input="x", store=False)
        with pytest.raises(NotFoundError):
            await client.responses.retrieve(unkept.id)

    story(tell)


def test_answers_in_the_background():
    """Polled until they are done, or cancelled; a stream that is cut goes on where it was."""

    async def tell(simulator, client):
        answer = await client.responses.create(model="gpt-4o", input="10 tokens", background=True)
        other = await client.responses.create(model="gpt-4o", input="10 tokens", background=True)
        assert (await client.responses.cancel(other.id)).status == "cancelled"
        seen = {answer.status}
        async with asyncio.timeout(5):
            while answer.status in ("queued", "in_progress"):
                await asyncio.sleep(0.01)
                answer = await client.responses.retrieve(answer.id)
                seen.add(answer.status)
        assert seen == {"queued", "in_progress", "completed"}
        assert len(answer.output_text) == 40
        assert [line.usage.completion_tokens for line in simulator.bill.lines] == [10]
        cut = {"x-simulate-fault": json.dumps({"kind": "cut", "after_tokens": 4})}
        events = []
        with pytest.raises(APIConnectionError):  # noqa: PT012  the events, too
            async for event in await client.responses.create(
                model="gpt-4o", input="10 tokens", background=True, stream=True, extra_headers=cut
            ):
                events.append(event)  # noqa: PERF401  what came before it fails stays
        name, last = events[0].response.id, events[-1].sequence_number
        events += [e async for e in await client.responses.retrieve(name, stream=True, starting_after=last)]
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert events[-1].response.output_text == answer.output_text
        return len(simulator.bill.lines)

    assert story(tell, background=0.5) == 2


def test_a_background_answer_that_fails():
    """An error inside becomes the answer's own."""

    async def tell(simulator, client):
        answer = await client.responses.create(model="gpt-4o", input="x", background=True)
        await asyncio.sleep(0.1)
        answer = await client.responses.retrieve(answer.id)
        return answer.status, answer.error.code, simulator.bill.lines

    fault = Fault(kind="error_event", code="rate_limit_exceeded")
    assert story(tell, background=0.05, faults=[fault]) == ("failed", "rate_limit_exceeded", [])
