"""Covers providers/http_connection.py: bytes fed by hand, no socket."""

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.clock import Clock
from headgate.core.errors import GarbledError, ProviderError, TimeoutError, UnreachableError  # noqa: A004
from headgate.core.upload import Stretch, Upload, whole
from headgate.gate.ports import SystemClock
from headgate.providers.http_connection import BLOCK, HIGH_WATER, IDLE_SECONDS, MAX_HEAD, Connection, Exchange
from headgate.testing import VirtualClock, virtual_time

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
PLAIN = HEAD + b"content-length: 5\r\n\r\nhello"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\ntrailer: 1\r\n\r\n"
UNTIL_CLOSE = HEAD + b"\r\nhello"


class Wire:
    """A transport that remembers what was done to it."""

    def __init__(self) -> None:
        self.out = b""
        self.aborted = False
        self.reading = True
        self.protocol: Connection | None = None
        self.full = False

    def write(self, data: bytes) -> None:
        self.out += data
        if self.full:
            self.protocol.pause_writing()

    def abort(self) -> None:
        if not self.aborted:
            self.aborted = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def is_closing(self) -> bool:
        return self.aborted

    def set_write_buffer_limits(self, **_: Any) -> None:
        pass

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Written:
    """Whoever wants to know."""

    sent = False


def connection(clock: Clock | None = None) -> tuple[Connection, Wire]:
    """A connection on a wire."""
    wire = Wire()
    made = Connection("http://host:80", clock or VirtualClock(), lambda _: None)
    wire.protocol = made
    made.connection_made(wire)  # type: ignore[arg-type]
    return made, wire


async def answer(made: Connection, *parts: bytes, close: bool = False) -> tuple[int, bytes]:
    """Send a request, feed the parts, and read the answer."""
    made.start(b"GET", None)
    for part in parts:
        made.data_received(part)
    if close:
        made.connection_lost(None)
    await made.head(9)
    body = b""
    while part := await made.receive(9):
        body += part
    return made.status, body


@given(st.sampled_from([PLAIN, CHUNKED]), st.lists(st.integers(0, 150), max_size=8))
def test_any_cut_gives_the_same_answer(raw: bytes, cuts: list[int]):
    """Framing does not depend on how the bytes were cut."""
    points = [0, *sorted(cuts), len(raw)]
    parts = [raw[a:b] for a, b in pairwise(points) if raw[a:b]]

    async def story():
        made, _ = connection()
        assert await answer(made, *parts) == (200, b"hello")
        assert made.release()
        assert await answer(made, PLAIN) == (200, b"hello")

    virtual_time(story())


def test_informational_answers_are_passed_over():
    """A 1xx is not the answer."""

    async def story():
        made, _ = connection()
        assert await answer(made, b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + PLAIN) == (200, b"hello")
        assert "link" not in made.headers

    virtual_time(story())


def test_repeated_headers_are_joined():
    """Header names are lower-case; repeated ones are joined by commas; trailers are not headers."""

    async def story():
        made, _ = connection()
        await answer(made, CHUNKED.replace(b"content-type", b"X-A: 1\r\nx-a: 2\r\nContent-Type"))
        assert made.headers["x-a"] == "1, 2"
        assert "trailer" not in made.headers

    virtual_time(story())


def test_the_close_ends_an_answer_without_length():
    """Such a connection is not used again."""

    async def story():
        made, _ = connection()
        assert await answer(made, UNTIL_CLOSE, close=True) == (200, b"hello")
        assert not made.release()

    virtual_time(story())


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", UnreachableError),
        (b"HTTP/1.1 200 OK\r\ncontent-le", UnreachableError),
        (PLAIN[:-1], UnreachableError),
        (CHUNKED[:-2], UnreachableError),
        (b"SSH-2.0-OpenSSH\r\n", GarbledError),
        (HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", GarbledError),
        (HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello", GarbledError),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nxyz\r\n", GarbledError),
        (HEAD + b"x: " + b"y" * MAX_HEAD + b"z", GarbledError),
        (HEAD + b"a: b\r\n" * 9000, GarbledError),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", GarbledError),
    ],
)
def test_broken_answers_are_errors(raw: bytes, error: type[ProviderError]):
    """Cut, malformed, ambiguous and endless answers raise, and the connection is closed."""

    async def story():
        made, wire = connection()
        with pytest.raises(error):
            await answer(made, raw, close=True)
        assert not made.release()
        assert wire.aborted

    virtual_time(story())


def test_bytes_that_nobody_asked_for_close_the_connection():
    """What comes between two requests could be taken for the next answer."""

    async def story():
        made, wire = connection()
        await answer(made, PLAIN)
        assert made.release()
        made.data_received(PLAIN)
        assert wire.aborted
        made, wire = connection()
        await answer(made, PLAIN + PLAIN)
        assert not made.release()

    virtual_time(story())


def test_pouring_gives_each_piece_in_its_moment():
    """No task wakes up between the pieces; the end of the body is the end."""

    async def story():
        clock = VirtualClock()
        made, _ = connection()
        made.start(b"GET", None)
        loop = asyncio.get_running_loop()
        made.data_received(HEAD + b"content-length: 5\r\n\r\nh")
        await made.head(10)
        for at, piece in ((1, b"el"), (2, b"l"), (3, b"o")):
            loop.call_later(at, made.data_received, piece)
        got: list[tuple[float, bytes]] = []

        def sink(piece: bytes) -> bool:
            got.append((clock.monotonic(), piece))
            return piece != b"l"

        assert not await made.pour(sink, silence=5, end=100)
        assert got == [(0, b"h"), (1, b"el"), (2, b"l")]
        await asyncio.sleep(4)
        assert len(got) == 3
        assert await made.pour(sink, silence=5, end=100)
        assert got[3:] == [(6, b"o")]
        assert await made.pour(sink, silence=5, end=100)
        assert made.release()

    virtual_time(story())


@pytest.mark.parametrize(("silence", "end", "at"), [(3, 100, 7), (30, 6, 6)])
def test_pouring_has_its_limits(silence: float, end: float, at: float):
    """Too long between two pieces, or too long in all."""

    async def story():
        clock = VirtualClock()
        made, wire = connection()
        made.start(b"GET", None)
        made.data_received(HEAD + b"content-length: 50\r\n\r\n")
        for moment in (2, 4):
            asyncio.get_running_loop().call_later(moment, made.data_received, b"x")
        with pytest.raises(TimeoutError, match="went silent"):
            await made.pour(lambda _: True, silence, end)
        assert clock.monotonic() == at
        assert wire.aborted

    virtual_time(story())


def test_what_goes_wrong_while_pouring():
    """What came before a failure is handed over; the failure is raised, be it the wire's or the sink's."""

    async def story():
        for tail, lost, error in ((b"3\r\nhel\r\nzz", False, GarbledError), (b"3\r\nhel\r\n", True, UnreachableError)):
            made, _ = connection()
            made.start(b"GET", None)
            made.data_received(HEAD + b"transfer-encoding: chunked\r\n\r\n")
            loop = asyncio.get_running_loop()
            loop.call_later(1, made.data_received, tail)
            if lost:
                loop.call_later(2, made.connection_lost, None)
            got: list[bytes] = []
            with pytest.raises(error):
                await made.pour(lambda piece, got=got: not got.append(piece), 9, 99)
            assert got == [b"hel"]
        made, _ = connection()
        made.start(b"GET", None)
        made.data_received(HEAD + b"content-length: 50\r\n\r\n")
        asyncio.get_running_loop().call_later(1, made.data_received, b"x")
        asyncio.get_running_loop().call_later(1, made.data_received, b"y")
        with pytest.raises(ZeroDivisionError):
            await made.pour(lambda piece: 1 / (piece[0] - ord("x")) > 0, 9, 99)
        assert await made.receive(9) == b"y"

    virtual_time(story())


def test_silence_has_a_limit():
    """Each wait has its own deadline, and one timer serves them all."""

    async def story():
        clock = VirtualClock()
        made, wire = connection()
        made.start(b"GET", None)
        loop = asyncio.get_running_loop()
        loop.call_later(5, made.data_received, HEAD + b"content-length: 5\r\n\r\n")
        await made.head(10)
        loop.call_later(2, made.data_received, b"hel")
        assert await made.receive(clock.monotonic() + 3) == b"hel"
        with pytest.raises(TimeoutError, match="went silent"):
            await made.receive(clock.monotonic() + 3)
        assert clock.monotonic() == 10
        assert wire.aborted

    virtual_time(story())


def test_no_head_in_time():
    """A deadline that passes before the head is another message."""

    async def story():
        made, _ = connection()
        made.start(b"GET", None)
        with pytest.raises(TimeoutError, match="did not answer in time"):
            await made.head(1)

    virtual_time(story())


def test_an_unused_connection_is_closed_after_a_while():
    """Idle connections do not pile up."""

    async def story():
        made, wire = connection()
        await answer(made, PLAIN)
        made.release()
        await asyncio.sleep(IDLE_SECONDS - 1)
        assert not wire.aborted
        await asyncio.sleep(2)
        assert wire.aborted

    virtual_time(story())


def test_a_slow_reader_stops_the_socket():
    """Unread bytes are bounded."""

    async def story():
        made, wire = connection()
        made.start(b"GET", None)
        size = HIGH_WATER + 10
        made.data_received(HEAD + b"content-length: %d\r\n\r\n" % size + b"x" * size)
        assert not wire.reading
        assert len(await made.receive(9)) == size
        assert wire.reading

    virtual_time(story())


def test_sent_means_handed_to_the_kernel():
    """A request that is still buffered was not sent."""

    async def story():
        made, _ = connection()
        small, large = Written(), Written()
        made.start(b"x", small)
        assert small.sent
        made.pause_writing()
        made.start(b"x", large)
        assert not large.sent
        made.resume_writing()
        assert large.sent

    virtual_time(story())


def test_a_closed_exchange_does_no_harm():
    """Closing twice cannot touch the next user's answer."""

    async def story():
        made, wire = connection()
        await answer(made, PLAIN)
        back: list[Connection] = []
        exchange = Exchange(made, back.append)
        await exchange.close()
        made.start(b"GET", None)
        await exchange.close()
        assert await exchange.receive(9) == b""
        assert back == [made]
        assert not wire.aborted

    virtual_time(story())


def test_a_half_read_answer_closes_the_connection():
    """It is never given back."""

    async def story():
        made, wire = connection()
        made.start(b"GET", None)
        made.data_received(PLAIN[:-1])
        back: list[Connection] = []
        await Exchange(made, back.append).close()
        assert back == []
        assert wire.aborted

    virtual_time(story())


# --- uploads


class Source:
    """Bytes that lie somewhere else; how much of them was taken out."""

    def __init__(self, size: int) -> None:
        self.data = bytes(n % 251 for n in range(1000)) * (size // 1000 + 1)
        self.stretch = Stretch(self.read, 0, size)
        self.taken = 0

    def read(self, size: int, start: int) -> bytes:
        self.taken += size
        return self.data[start : start + size]


async def until(happened: Callable[[], bool]) -> None:
    """Wait for real threads, and a little longer, so that what must not happen would have happened."""
    for _ in range(10_000):
        if happened():
            break
        await asyncio.sleep(0.0005)
    for _ in range(10):
        await asyncio.sleep(0.0005)


def story_of(work):
    """Run a story on a real loop: its reads are those of real threads."""
    return asyncio.run(asyncio.wait_for(work(), 20))


def test_an_upload_leaves_piece_by_piece():
    """The head, then all pieces in their order; it was sent once all of it is with the kernel."""

    async def story():
        made, wire = real_connection()
        source, written = Source(2 * BLOCK + 7), Written()
        upload = Upload("a/b", [b"<", b"", source.stretch, b">"])
        await made.upload(b"HEAD", upload, written, 1e9)
        assert wire.out == b"HEAD<" + source.data[: 2 * BLOCK + 7] + b">"
        assert written.sent
        made.data_received(PLAIN)
        await made.head(1e9)
        assert await made.receive(1e9) == b"hello"
        assert await made.receive(1e9) == b""
        assert made.release()

    story_of(story)


def test_a_slow_provider_is_waited_for():
    """While the kernel takes no more, no more than one block is read; it was not sent before all of it is gone."""

    async def story():
        made, wire = real_connection()
        source, written = Source(4 * BLOCK), Written()
        wire.full = True
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(made.upload(b"HEAD", Upload("a/b", [source.stretch]), written, 1e9))
            for step in range(4):
                await until(lambda step=step: source.taken > step * BLOCK)
                assert (len(wire.out), source.taken) == (4 + step * BLOCK, (step + 1) * BLOCK)
                assert not sending.done()
                made.resume_writing()
            await sending
            assert len(wire.out) == 4 + 4 * BLOCK
            assert not written.sent
            made.resume_writing()
            assert written.sent

    story_of(story)


@pytest.mark.parametrize("paused", [True, False])
def test_an_answer_before_the_end_ends_the_upload(paused: bool):
    """A refusal (413) is heard at once; the rest is not sent, and the connection is not used again."""

    async def story():
        made, wire = real_connection()
        source, written = Source(50 * BLOCK), Written()
        refusal = PLAIN.replace(b"200 OK", b"413 Too Large")

        def answering(size: int, start: int) -> bytes:
            if start == 2 * BLOCK:
                made._loop.call_soon_threadsafe(made.data_received, refusal)
                if paused:
                    made._loop.call_soon_threadsafe(made.pause_writing)
                time.sleep(0.02)
            return source.read(size, start)

        upload = Upload("a/b", [Stretch(answering, 0, 50 * BLOCK)])
        await made.upload(b"HEAD", upload, written, 1e9)
        await made.head(1e9)
        assert (made.status, await made.receive(1e9)) == (413, b"hello")
        assert source.taken == 3 * BLOCK
        assert not written.sent
        assert not made.release()
        assert wire.aborted

    story_of(story)


def test_a_provider_that_closes_in_the_middle():
    """The upload ends with the error of the way, and was not sent: it may be repeated, and is not billed."""

    async def story():
        made, _ = real_connection()
        source, written = Source(5 * BLOCK), Written()
        async with asyncio.TaskGroup() as group:
            made.pause_writing()
            sending = group.create_task(_error_of(made.upload(b"HEAD", Upload("a/b", [source.stretch]), written, 1e9)))
            await until(lambda: source.taken > 0)
            made.connection_lost(ConnectionResetError("reset"))
            error = await sending
        assert isinstance(error, UnreachableError)
        assert not written.sent

    story_of(story)


def test_a_provider_that_takes_nothing_has_a_deadline():
    """It is no reason to wait forever."""

    async def story():
        made, wire = connection()
        made.pause_writing()
        error = await _error_of(made.upload(b"HEAD", Upload("a/b", [b"x" * 9]), Written(), 7))
        assert isinstance(error, TimeoutError)
        assert VirtualClock().monotonic() == 7
        assert wire.aborted

    virtual_time(story())


def test_what_is_no_longer_there_is_not_sent_in_part():
    """A spool that was closed gives nothing; half a block would shift everything behind it."""

    async def story():
        made, wire = real_connection()
        written = Written()
        gone = Stretch(lambda size, start: b"x" * (size if start == 0 else 3), 0, BLOCK + 9)
        error = await _error_of(made.upload(b"HEAD", Upload("a/b", [gone]), written, 1e9))
        assert isinstance(error, UnreachableError)
        assert len(wire.out) == 4 + BLOCK
        assert not written.sent

    story_of(story)


def test_the_same_upload_leaves_twice():
    """Byte for byte, on another connection."""

    async def story():
        upload = Upload("a/b", [b"<", Source(BLOCK + 1).stretch, b">"])
        sent = []
        for _ in range(2):
            made, wire = real_connection()
            await made.upload(b"", upload, Written(), 1e9)
            sent.append(wire.out)
        assert sent == [whole(upload)] * 2

    story_of(story)


def real_connection() -> tuple[Connection, Wire]:
    """A connection on a loop in real time."""
    return connection(SystemClock())


async def _error_of(work: Any) -> BaseException | None:
    try:
        await work
    except ProviderError as error:
        return error
    return None
