"""Whoever leaves takes the call along, at every door: upstream is closed within a second, and nothing is left."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable

import openai
import pytest

from headgate import Headgate
from headgate.stores.protocols import Query

pytestmark = pytest.mark.e2e

HEARD = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{"role":"assistant","content":"One two three."},"finish_reason":null}]}\n\n'
)
ASKED = {"model": "m", "messages": [{"role": "user", "content": "Count."}]}
FOREVER = 3600.0
SECOND = 1.0


async def _soon(what: Awaitable[object]) -> None:
    """Wait for it at most a second."""
    async with asyncio.timeout(SECOND):
        await what


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110  what is waited for tells nobody
        await asyncio.sleep(0.01)


def _tasks(upstream) -> set[asyncio.Task]:
    """Tasks of this loop but the upstream's own."""
    return {task for task in asyncio.all_tasks() if type(upstream).__name__ not in repr(task.get_coro())}


async def _nothing_left(at, before) -> list:
    """The gate holds nothing of the call any more; gives the ledger's rows."""
    await _soon(_until(lambda: _tasks(at.upstream) <= before))
    assert at.gate.meter.counters.in_flight == 0
    assert at.connections() == 0
    assert at.upstream.open == 0
    return [row async for row in at.gate.rows(Query())]


def _check(rows, *, form: str) -> None:
    (row,) = rows
    if form == "whole":
        assert (row.settled, row.basis, row.completion_tokens) == ("unknown", None, 0)
    else:
        # "One two three." is 14 bytes.
        expected = 4 if form == "streamed" else 0
        assert (row.settled, row.basis, row.completion_tokens) == ("billed", "counted", expected)
    assert row.error_type == "cancelled"


@pytest.mark.parametrize("form", ["whole", "streamed", "streamed, silent"])
def test_a_socket_is_closed(form, stand, streamed):
    """The connection of a caller ends; the gate notices, whatever the call waits for."""

    async def story():
        async with stand("http") as at:
            before = _tasks(at.upstream)
            at.upstream.answer = lambda _: streamed(HEARD, FOREVER) if form == "streamed" else [FOREVER]
            host, _, port = at.address.removeprefix("http://").rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            body = json.dumps({**ASKED, "stream": form != "whole"}).encode()
            head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            await at.upstream.asked.wait()
            if form == "streamed":
                await reader.readuntil(b"three.")
            writer.close()
            await _soon(at.upstream.left.wait())
            return await _nothing_left(at, before)

    _check(asyncio.run(story()), form=form)


@pytest.mark.parametrize("form", ["whole", "streamed", "streamed, silent"])
@pytest.mark.parametrize("door", ["http", "process"])
def test_a_task_of_the_sdk_is_cancelled(door, form, stand, streamed):
    """Whoever awaits the SDK is cancelled, as a request handler is when its own client goes."""

    async def story():
        async with stand(door) as at:
            before = _tasks(at.upstream)
            at.upstream.answer = lambda _: streamed(HEARD, FOREVER) if form == "streamed" else [FOREVER]
            heard = asyncio.Event()

            async def ask() -> None:
                if form == "whole":
                    await at.sdk.chat.completions.create(**ASKED)
                    return
                async for _ in await at.sdk.chat.completions.create(**ASKED, stream=True):
                    heard.set()

            async with asyncio.TaskGroup() as group:
                task = group.create_task(ask())
                await (heard if form == "streamed" else at.upstream.asked).wait()
                task.cancel()
                await _soon(at.upstream.left.wait())
            assert task.cancelled()
            return await _nothing_left(at, before)

    _check(asyncio.run(story()), form=form)


@pytest.mark.parametrize("door", ["http", "process"])
def test_a_stream_is_broken_off(door, stand, streamed):
    """`async with stream:` and out of it after the first word."""

    async def story():
        async with stand(door) as at:
            before = _tasks(at.upstream)
            at.upstream.answer = lambda _: streamed(HEARD, FOREVER)
            async with await at.sdk.chat.completions.create(**ASKED, stream=True) as stream:
                async for _ in stream:
                    break
            await _soon(at.upstream.left.wait())
            return await _nothing_left(at, before)

    _check(asyncio.run(story()), form="streamed")


@pytest.mark.parametrize("door", ["http", "process"])
def test_a_stream_is_left_at_its_end(door, stand, streamed):
    """Who stops reading at the finish reason has got everything: no failure, and the usage is booked as reported."""
    end = (
        b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}\n\n'
    )

    async def story():
        async with stand(door) as at:
            before = _tasks(at.upstream)
            at.upstream.answer = lambda _: streamed(HEARD, end, FOREVER)
            async with await at.sdk.chat.completions.create(**ASKED, stream=True) as stream:
                async for chunk in stream:
                    if chunk.choices[0].finish_reason:
                        break
            await _soon(at.upstream.left.wait())
            return await _nothing_left(at, before), at.gate.meter.counters.errors

    (row,), errors = asyncio.run(story())
    assert (row.settled, row.basis, row.completion_tokens, row.error_type) == ("billed", "reported", 5, None)
    assert errors == 0


@pytest.mark.parametrize("form", ["whole", "streamed"])
def test_the_callers_own_timeout(form, stand, streamed):
    """In process the SDK's timeout is the gate's: it closes upstream itself, and the SDK raises its own error."""

    async def story():
        async with stand("process") as at:
            before = _tasks(at.upstream)
            at.upstream.answer = lambda _: streamed(HEARD, FOREVER) if form == "streamed" else [FOREVER]
            sdk = at.sdk.with_options(timeout=0.3)

            async def ask() -> None:
                if form == "whole":
                    await sdk.chat.completions.create(**ASKED)
                    return
                async for _ in await sdk.chat.completions.create(**ASKED, stream=True):
                    pass

            with pytest.raises(openai.APITimeoutError):
                await ask()
            await _soon(at.upstream.left.wait())
            return await _nothing_left(at, before)

    (row,) = asyncio.run(story())
    assert row.settled == ("unknown" if form == "whole" else "billed")


def test_a_synchronous_stream_is_broken_off(recording, streamed):
    """`Headgate.http_client()` under the synchronous SDK: closing the stream closes upstream."""
    up = recording()
    up.answer = lambda _: streamed(HEARD, FOREVER)

    async def story():
        async with up.listening():
            provider = {"type": "openai", "base_url": f"{up.address}/v1", "api_key": "sk-upstream"}
            left = threading.Event()

            def ask():
                with Headgate({"store": "memory://", "providers": {"up": provider}}) as gate:
                    sdk = openai.OpenAI(api_key="unused", http_client=gate.http_client(), max_retries=0)
                    with sdk.chat.completions.create(**ASKED, stream=True) as stream:
                        next(iter(stream))
                    assert left.wait(SECOND)
                    return gate.usage()

            async with asyncio.TaskGroup() as group:
                asking = group.create_task(asyncio.to_thread(ask))
                await up.left.wait()
                left.set()
            return asking.result()

    usage = asyncio.run(story())
    assert (usage.calls, usage.attempts, usage.errors, usage.unknown_attempts) == (1, 1, 1, 0)
    assert usage.completion_tokens == 4


def test_a_hundred_leave_at_once(stand, streamed):
    """Half of them in the middle of a stream, half while they wait: a hundred connections upstream end."""

    async def story():
        async with stand("process") as at:
            before = _tasks(at.upstream)
            at.upstream.answer = lambda seen: streamed(HEARD, FOREVER) if seen.json.get("stream") else [FOREVER]
            heard = 0

            async def ask(number: int) -> None:
                if number % 2:
                    await at.sdk.chat.completions.create(**ASKED)
                    return
                nonlocal heard
                async for _ in await at.sdk.chat.completions.create(**ASKED, stream=True):
                    heard += 1

            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(number)) for number in range(100)]
                async with asyncio.timeout(20):
                    await _until(lambda: len(at.upstream.seen) == 100 and heard == 50)
                assert at.gate.meter.counters.in_flight == 100
                for task in tasks:
                    task.cancel()
                await _soon(_until(lambda: at.upstream.open == 0))
            return await _nothing_left(at, before)

    rows = asyncio.run(story())
    assert sorted(row.settled for row in rows) == ["billed"] * 50 + ["unknown"] * 50
