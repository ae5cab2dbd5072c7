"""A caller who leaves takes the call along: the connection upstream is closed within one second."""

import asyncio
import json

import pytest

from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.server.serve import running
from headgate.stores.protocols import Query

pytestmark = pytest.mark.e2e
CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def _event(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    data = b"data: " + json.dumps({**CHUNK, "choices": [choice]}).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


class Slow:
    """An upstream that says one word of a stream, or nothing at all, and then waits."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.closed = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-l"))
        body = await reader.readexactly(length)
        if json.loads(body).get("stream"):
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                + _event("Hi")
            )
        self.asked.set()
        # Nothing more is sent: whoever closes, the end of the connection is the next thing to read.
        await reader.read()
        self.closed.set()
        writer.close()


async def _leave(*, stream: bool):
    slow = Slow()
    server = await asyncio.start_server(slow.handle, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        settings = {
            "store": "memory://",
            "server": {"port": 0},
            "providers": {"up": {"type": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "api_key": "k"}},
        }
        config = load(None, environment={}, settings=settings).config
        async with await Gate.open(config) as gate:
            before = asyncio.all_tasks()
            async with running(gate, grace=1) as address:
                body = json.dumps({"model": "m", "messages": [], "stream": stream}).encode()
                host, _, at = address.removeprefix("http://").rpartition(":")
                reader, writer = await asyncio.open_connection(host, int(at))
                writer.write(
                    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                    b"content-length: %d\r\n\r\n%s" % (len(body), body)
                )
                async with asyncio.timeout(5):
                    await slow.asked.wait()
                    if stream:
                        await reader.readuntil(b'"Hi"')
                writer.close()
                async with asyncio.timeout(1):
                    await slow.closed.wait()
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.05)
            left = {task for task in asyncio.all_tasks() - before if "Slow.handle" not in repr(task)}
            return left, [row async for row in gate.rows(Query())]


@pytest.mark.parametrize("stream", [True, False])
def test_upstream_is_closed_within_a_second(stream):
    """Streamed or whole; no task is left, and the books say what became of it."""
    left, rows = asyncio.run(_leave(stream=stream))
    assert not left
    (row,) = rows
    assert str(row.settled) == ("billed" if stream else "unknown")
