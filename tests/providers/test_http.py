"""Covers providers/http.py, against small servers on loopback that say exactly what a test wants."""

import asyncio
import builtins
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trustme

from headgate.core.attempt import Attempt
from headgate.core.errors import (
    BadRequestError,
    ConfigError,
    TimeoutError,  # noqa: A004
    UnreachableError,
)
from headgate.core.upload import Stretch, Upload
from headgate.gate.ports import SystemClock
from headgate.providers.http import HttpTransport
from headgate.providers.transport import Outgoing

CLOCK = SystemClock()
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-request-id: r\r\n\r\nok"


class Peer:
    """A server that answers each request by a script and remembers what it saw."""

    def __init__(self, answer: bytes = OK, *, hold: float = 0) -> None:
        self.answer = answer
        self.hold = hold
        self.requests: list[bytes] = []
        self.connections = 0
        self.asked = asyncio.Event()
        self.closed = asyncio.Event()
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) if b"ength" in head else 0
                self.requests.append(head + await reader.readexactly(length))
                self.asked.set()
                if self.hold:
                    await reader.read(1)
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            writer.close()


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on a free port of loopback."""
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await handler(reader, writer)

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        # The loop tells them that they are lost; a writer that outlives its loop complains.
        await asyncio.sleep(0.01)


async def fetch(
    transport: HttpTransport, url: str, *, seconds: float = 5, body: bytes = b"{}"
) -> tuple[int, bytes, Attempt]:
    """One request, read whole."""
    attempt = Attempt(1, "p", "m")
    deadline = CLOCK.monotonic() + seconds
    incoming = await transport.send(
        Outgoing("POST", url, (("x-a", "1"),), body), connect=seconds, deadline=deadline, written=attempt
    )
    parts = []
    while part := await incoming.receive(deadline):
        parts.append(part)
    await incoming.close()
    return incoming.status, b"".join(parts), attempt


def test_connections_are_used_again():
    """A hundred requests one after the other need one connection, and say where they go."""

    async def story():
        peer = Peer()
        async with serving(peer.handle) as port:
            transport = HttpTransport(clock=CLOCK)
            for _ in range(100):
                status, body, attempt = await fetch(transport, f"http://127.0.0.1:{port}/v1/x?y=1")
                assert (status, body, attempt.sent) == (200, b"ok", True)
            assert peer.connections == 1
            head = f"POST /v1/x?y=1 HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nx-a: 1\r\ncontent-length: 2\r\n\r\n{{}}"
            assert peer.requests[0] == head.encode()
            await transport.close()
            await asyncio.wait_for(peer.closed.wait(), 1)

    asyncio.run(story())


def test_answers_keep_apart():
    """Many requests at once get their own answers."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            head = await reader.readline()
            if not head:
                break
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(2)
            name = head.split()[1]
            await asyncio.sleep(0.001 * (len(name) % 3))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(name), name))
        writer.close()

    async def story():
        async with serving(echo) as port:
            transport = HttpTransport(clock=CLOCK)

            async def one(n: int) -> None:
                for turn in range(5):
                    path = f"/{'x' * (n % 7)}{n}-{turn}"
                    assert (await fetch(transport, f"http://127.0.0.1:{port}{path}"))[1] == path.encode()

            await asyncio.gather(*(one(n) for n in range(100)))
            await transport.close()

    asyncio.run(story())


def test_a_closed_connection_is_not_used_again():
    """When the server closes between two requests, the second one opens a new connection."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(OK)
        writer.close()

    async def story():
        async with serving(once) as port:
            transport = HttpTransport(clock=CLOCK)
            for _ in range(3):
                assert (await fetch(transport, f"http://127.0.0.1:{port}/"))[0] == 200
                await asyncio.sleep(0.02)
            assert not transport._all
            assert not any(transport._idle.values())
            await transport.close()

    asyncio.run(story())


def test_nobody_listens():
    """A refused connection was never sent anything."""

    async def story():
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
            transport = HttpTransport(clock=CLOCK)
            attempt = Attempt(1, "p", "m")
            with pytest.raises(UnreachableError, match="could not be reached"):
                await transport.send(
                    Outgoing("GET", f"http://127.0.0.1:{port}/", ()),
                    connect=1,
                    deadline=CLOCK.monotonic() + 1,
                    written=attempt,
                )
            assert not attempt.sent

    asyncio.run(story())


def test_a_name_that_does_not_exist():
    """A failing look-up is a failing connection."""
    with pytest.raises(UnreachableError, match=r"nowhere\.invalid"):
        asyncio.run(fetch(HttpTransport(clock=CLOCK), "http://nowhere.invalid/"))


def test_no_answer_in_time():
    """The deadline closes the connection."""

    async def story():
        peer = Peer(hold=1)
        async with serving(peer.handle) as port:
            transport = HttpTransport(clock=CLOCK)
            with pytest.raises(TimeoutError, match="did not answer in time"):
                await fetch(transport, f"http://127.0.0.1:{port}/", seconds=0.1)
            await asyncio.wait_for(peer.closed.wait(), 1)
            assert not transport._all

    asyncio.run(story())


def test_cancelling_closes_the_connection():
    """The server notices within a second that nobody waits any more."""

    async def story():
        peer = Peer(hold=1)
        async with serving(peer.handle) as port:
            transport = HttpTransport(clock=CLOCK)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(fetch(transport, f"http://127.0.0.1:{port}/"))
                await peer.asked.wait()
                task.cancel()
            await asyncio.wait_for(peer.closed.wait(), 1)
            assert not transport._all

    asyncio.run(story())


def test_tls_and_its_authorities():
    """A server whose authority is named is trusted; any other is not, and the message says what to do."""

    async def story():
        authority = trustme.CA()
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(server)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        peer = Peer()
        async with serving(peer.handle, server) as port:
            transport = HttpTransport(clock=CLOCK, tls=trusting)
            for _ in range(2):
                assert (await fetch(transport, f"https://127.0.0.1:{port}/"))[:2] == (200, b"ok")
            assert peer.connections == 1
            await transport.close()
            with pytest.raises(UnreachableError, match="not trusted") as caught:
                await fetch(HttpTransport(clock=CLOCK), f"https://127.0.0.1:{port}/")
            assert "ca_bundle" in caught.value.hint

    asyncio.run(story())


async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: list[bytes]) -> None:
    """A proxy: CONNECT becomes a tunnel, anything else is answered."""
    head = await reader.readuntil(b"\r\n\r\n")
    seen.append(head)
    if not head.startswith(b"CONNECT"):
        await reader.readexactly(2)
        writer.write(OK)
        writer.close()
        return
    port = int(head.split(b" ")[1].split(b":")[1])
    there, back = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
        finally:
            sink.close()

    await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)


def test_through_a_proxy():
    """Plain addresses go in absolute form, TLS through a tunnel; only the proxy gets its credentials."""

    async def story():
        authority = trustme.CA()
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(server)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        seen: list[bytes] = []
        peer = Peer()
        async with (
            serving(peer.handle, server) as port,
            serving(lambda reader, writer: tunnel(reader, writer, seen)) as proxy,
        ):
            transport = HttpTransport(clock=CLOCK, tls=trusting, proxy=f"http://me:p%40ss@127.0.0.1:{proxy}")
            assert (await fetch(transport, f"https://127.0.0.1:{port}/a"))[:2] == (200, b"ok")
            assert seen[0].startswith(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n".encode())
            assert b"proxy-authorization: Basic bWU6cEBzcw==" in seen[0]
            assert b"proxy-authorization" not in peer.requests[0]
            assert (await fetch(transport, "http://example.org/b"))[0] == 200
            assert seen[1].startswith(b"POST http://example.org/b HTTP/1.1\r\nhost: example.org\r\n")
            await transport.close()

    asyncio.run(story())


def test_a_proxy_that_refuses():
    """Its answer is named, and nothing was sent."""

    async def story():
        peer = Peer(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
        async with serving(peer.handle) as proxy:
            transport = HttpTransport(clock=CLOCK, proxy=f"http://127.0.0.1:{proxy}")
            with pytest.raises(UnreachableError, match="answered 407"):
                await fetch(transport, "https://127.0.0.1:9/")
            await asyncio.wait_for(peer.closed.wait(), 1)

    asyncio.run(story())


@pytest.mark.parametrize("url", ["ftp://x/", "nonsense", "http:///x", "http://[::1"])
def test_bad_addresses(url: str):
    """An address that is none is a configuration error."""
    with pytest.raises(ConfigError, match="is no address"):
        asyncio.run(fetch(HttpTransport(clock=CLOCK), url))
    with pytest.raises(ConfigError, match="is no address"):
        HttpTransport(clock=CLOCK, proxy="socks5://x:1")


def test_headers_cannot_be_smuggled():
    """A line break inside a header value is refused before anything is sent."""

    async def story():
        peer = Peer()
        async with serving(peer.handle) as port:
            transport = HttpTransport(clock=CLOCK)
            with pytest.raises(BadRequestError, match="line break"):
                await transport.send(
                    Outgoing("GET", f"http://127.0.0.1:{port}/", (("a", "b\r\nevil: 1"),)),
                    connect=1,
                    deadline=CLOCK.monotonic() + 1,
                    written=Attempt(1, "p", "m"),
                )
            assert peer.requests == []

    asyncio.run(story())


def test_a_large_request_is_written_completely():
    """A body larger than the socket's buffer arrives whole, and `sent` says so."""

    async def story():
        peer = Peer()
        async with serving(peer.handle) as port:
            transport = HttpTransport(clock=CLOCK)
            status, _, attempt = await fetch(transport, f"http://127.0.0.1:{port}/", body=b"x" * 5_000_000)
            assert (status, attempt.sent, len(peer.requests[0]) > 5_000_000) == (200, True, True)
            await transport.close()

    asyncio.run(story())


async def send_upload(
    transport: HttpTransport, url: str, upload: Upload, *, seconds: float = 10
) -> tuple[int, Attempt]:
    """One upload, its answer read whole."""
    attempt = Attempt(1, "p", "m")
    deadline = CLOCK.monotonic() + seconds
    request = Outgoing("POST", url, (("content-type", upload.content_type),), upload=upload)
    incoming = await transport.send(request, connect=5, deadline=deadline, written=attempt)
    while await incoming.receive(deadline):
        pass
    await incoming.close()
    return incoming.status, attempt


def large(megabytes: int) -> Upload:
    """A large upload that lies nowhere."""
    return Upload("a/b", [b"<", Stretch(lambda size, _: bytes(size), 0, megabytes * 1024 * 1024), b">"])


def test_an_upload_is_sent_whole_and_the_connection_used_again():
    """Its length announced, to the byte; another request follows on the same connection."""

    async def story() -> None:
        peer = Peer()
        transport = HttpTransport(clock=CLOCK)
        async with serving(peer.handle) as port:
            url = f"http://127.0.0.1:{port}/v1/files"
            status, attempt = await send_upload(transport, url, large(3))
            assert (status, attempt.sent) == (200, True)
            assert (await fetch(transport, url))[1] == b"ok"
        first, second = peer.requests
        head, _, body = first.partition(b"\r\n\r\n")
        assert b"content-length: %d" % (3 * 1024 * 1024 + 2) in head
        assert b"content-type: a/b" in head
        assert (len(body), body[:1], body[-1:]) == (3 * 1024 * 1024 + 2, b"<", b">")
        assert second.endswith(b"{}")
        assert peer.connections == 1
        await transport.close()

    asyncio.run(story())


@pytest.mark.parametrize("closes", [True, False])
def test_a_refusal_of_an_upload_is_heard_at_once(closes: bool):
    """A provider that says 413 after the head, and reads nothing of the rest, closes or just stops, hangs nobody."""

    async def story() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
            await writer.drain()
            if closes:
                writer.write_eof()
            await asyncio.sleep(5)

        transport = HttpTransport(clock=CLOCK)
        async with serving(handle) as port:
            start = CLOCK.monotonic()
            status, attempt = await send_upload(transport, f"http://127.0.0.1:{port}/", large(100))
            assert (status, attempt.sent) == (413, False)
            assert CLOCK.monotonic() - start < 3
            await asyncio.sleep(0.01)  # the loop tells the connection that it is lost
            assert not transport._all
        await transport.close()

    asyncio.run(story())


def test_an_upload_to_a_slow_provider_stays_small():
    """What the provider does not take is not read, and so is not in memory."""

    async def story() -> None:
        held = asyncio.Event()
        upload = large(64)
        taken = 0

        def read(size: int, _start: int) -> bytes:
            nonlocal taken
            taken += size
            return bytes(size)

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await held.wait()
            left = upload.size
            while left:
                left -= len(await reader.read(1 << 20))
            writer.write(OK)
            await writer.drain()

        transport = HttpTransport(clock=CLOCK)
        upload = Upload("a/b", [Stretch(read, 0, upload.size)])
        tracemalloc.start()
        async with serving(handle) as port, asyncio.TaskGroup() as group:
            sending = group.create_task(send_upload(transport, f"http://127.0.0.1:{port}/", upload))
            before = -1
            while taken != before:
                before = taken
                await asyncio.sleep(0.05)
            # What lies between two sockets of the kernel is not ours.
            assert taken < upload.size // 2
            held.set()
            status, attempt = await sending
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (status, attempt.sent, taken) == (200, True, upload.size)
        assert peak < 8 * 1024 * 1024
        await transport.close()

    asyncio.run(story())


def test_a_cancelled_upload_closes_its_connection():
    """A caller who leaves takes it along."""

    async def story() -> None:
        gone = asyncio.Event()

        async def handle(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readuntil(b"\r\n\r\n")
                while await reader.read(1 << 16):
                    await CLOCK.sleep(0.001)
            except ConnectionError:
                pass
            gone.set()

        transport = HttpTransport(clock=CLOCK)
        async with serving(handle) as port:
            with pytest.raises(builtins.TimeoutError):
                async with asyncio.timeout(0.2):
                    await send_upload(transport, f"http://127.0.0.1:{port}/", large(400))
            await asyncio.wait_for(gone.wait(), 5)
            assert not transport._all
        await transport.close()

    asyncio.run(story())
