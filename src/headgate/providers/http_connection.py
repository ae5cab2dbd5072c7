"""One outbound HTTP/1.1 connection: bytes in, one answer at a time out.

Decides how an answer is framed, when it is whole, and whether the connection may be used again; refuses to know how
connections are opened, pooled or chosen (`http.py`). Parsing is llhttp's, through httptools.

Why our own: measured on a paced stream and on small whole answers, a general client costs three to four times what
the rest of the gate costs (docs/performance.md). One wake-up per read from the socket is the point of this file, and
one lazily re-armed timer per connection instead of one per wait.
"""

import asyncio
from collections.abc import Callable, Mapping

import httptools

from headgate.core.clock import Clock
from headgate.core.errors import GarbledError, ProviderError, TimeoutError, UnreachableError  # noqa: A004
from headgate.core.upload import Piece, Stretch, Upload, size_of
from headgate.providers.transport import Written

HIGH_WATER = 256 * 1024
"""Unread bytes beyond which the socket is left alone until somebody reads."""
MAX_HEAD = 64 * 1024
"""Bytes that the head of an answer may have."""
MAX_HEADERS = 256
BLOCK = 256 * 1024
"""Bytes of an upload that are in memory at a time."""
IDLE_SECONDS = 30.0
"""How long an unused connection is kept."""


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        origin: what messages call the other end, `https://host:443`.
        clock: for deadlines.
        gone: called once when the connection is lost.
    """

    def __init__(self, origin: str, clock: Clock, gone: Callable[["Connection"], None]) -> None:
        self._origin = origin
        self._clock = clock
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_for = 0.0
        self._deadline = 0.0
        self._busy = False
        self._lost = False
        self._write_paused = False
        self._read_paused = False
        self._written: Written | None = None
        self._sending = False
        self._sink: Callable[[bytes], bool] | None = None
        self._silence = self._end = 0.0
        self._sunk: Exception | None = None
        self.transport: asyncio.Transport | None = None
        self.renew()

    def renew(self) -> None:
        """Begin to read anew, as on a fresh connection (after a tunnel was opened on this one)."""
        self._parser = httptools.HttpResponseParser(self)
        self._reset()

    def _reset(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._head_size = 0
        self._head_count = 0
        self._got_any = False
        self._keep = False
        self._torn = False
        self._sending = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.head_done = False
        self.ended = False
        self.error: ProviderError | None = None

    # -- what the socket says ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]
        # `resume_writing` then means that everything was handed to the kernel.
        self.transport.set_write_buffer_limits(high=64 * 1024, low=0)  # type: ignore[union-attr]

    def data_received(self, data: bytes) -> None:
        """Bytes have come: parse them, and wake the reader once."""
        if not self._busy or self.ended:
            # Nobody asked for these bytes. They might be taken for the next answer, so the connection ends here.
            self.abort()
            return
        self._got_any = True
        if not self.head_done:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, _Overlong) as error:
            if self.ended:
                # The answer is whole; what follows it is nobody's. The connection ends here.
                self._keep = False
                self._wake()
            else:
                self._fail(GarbledError(f"{self._origin} did not answer in HTTP: {error or type(error).__name__}."))
            return
        if self._head_size > MAX_HEAD and not self.head_done:
            self._fail(GarbledError(f"{self._origin} sent more than {MAX_HEAD} bytes of headers."))
            return
        if self._sink is not None:
            self._pour()
        elif self.head_done:
            self._wake()
            if self._size > HIGH_WATER and not self._read_paused and self.transport:
                self._read_paused = True
                self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end, or we, have closed."""
        self._lost = True
        self._keep = False
        self._gone(self)
        if self._timer:
            self._timer.cancel()
        if self._busy and not self.ended:
            if self.head_done and not self.headers.keys() & {"content-length", "transfer-encoding"} and exc is None:
                self.ended = True  # without length and chunks the close is the end
            else:
                what = f": {exc}" if exc else ""
                when = "in the middle of its answer" if self.head_done else "without an answer"
                self.error = self.error or UnreachableError(f"{self._origin} closed the connection {when}{what}.")
                self.ended = True
        self._wake()

    def pause_writing(self) -> None:
        """The kernel takes no more for now."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """The kernel has taken everything."""
        self._write_paused = False
        if self._sending:
            self._wake()
        elif self._written:
            self._written.sent = True

    # -- what the parser says ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A second answer to one question is not ours."""
        if self.ended:
            raise _Overlong

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is passed over."""
        if not self.head_done:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self._head_count += 1
            if self._head_count > MAX_HEADERS:
                raise _Overlong
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """The head is whole; after a 1xx the real one follows."""
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
            self.head_done = True
        else:
            self.headers = {}

    def on_body(self, body: bytes) -> None:
        """Bytes of the body."""
        self._chunks.append(body)
        self._size += len(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self.head_done:
            self._keep = self._parser.should_keep_alive()
            self.ended = True

    # -- what the house asks -----------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """May carry another request."""
        return not self._lost and self.transport is not None and not self.transport.is_closing()

    def start(self, data: bytes, written: Written | None) -> None:
        """Send a request. Its answer is then asked for by `head` and `receive`."""
        assert self.transport is not None
        self._reset()
        self._busy = True
        self._written = written
        self.transport.write(data)
        if written is not None and not self._write_paused:
            written.sent = True

    async def upload(self, head: bytes, upload: Upload, written: Written, deadline: float) -> None:
        """Send a request whose body is read as it leaves; ends early where the answer is here before that.

        Raises:
            TimeoutError: the other end did not take it in time.
            UnreachableError: the connection broke.
        """
        self.start(head, None)
        # It holds credentials, and what follows may fail.
        del head
        self._sending = True
        for piece in upload.pieces:
            for start in range(0, size_of(piece), BLOCK):
                block = await _block(piece, start)
                while self._write_paused and not (self.ended or self.head_done):
                    await self._wait(deadline)
                if self.error:
                    raise self.error
                if self.ended or self.head_done or not self.usable:
                    # Answered before it was asked completely: a refusal. What is on its way is not worth the rest.
                    self._torn = True
                    return
                self.transport.write(block)  # type: ignore[union-attr]
        self._sending = False
        self._written = written
        if not self._write_paused:
            written.sent = True

    async def head(self, deadline: float) -> None:
        """Wait for the head of the answer."""
        while not self.head_done:
            if self.error:
                raise self.error
            await self._wait(deadline)
        if self.error and not self._chunks:
            raise self.error

    async def receive(self, deadline: float) -> bytes:
        """The next bytes of the body; b"" at its end."""
        while True:
            if self._chunks:
                return self._taken()
            if self.ended:
                if self.error:
                    raise self.error
                return b""
            await self._wait(deadline)

    async def pour(self, sink: Callable[[bytes], bool], silence: float, end: float) -> bool:
        """Give the body to `sink` as it comes; see `transport.Incoming`."""
        if self._chunks and not sink(self._taken()):
            return False
        if not self.ended:
            self._sink, self._silence, self._end, self._sunk = sink, silence, end, None
            try:
                # Woken by the end, by a failure, or when the sink wants no more.
                await self._wait(min(self._clock.monotonic() + silence, end))
            finally:
                self._sink = None
            if self._sunk is not None:
                raise self._sunk
            if self._chunks:
                # They came along with what has ended it.
                sink(self._taken())
            if not self.ended:
                return False
        if self.error:
            raise self.error
        return True

    def _pour(self) -> None:
        """Hand over what has come."""
        assert self._sink is not None
        if self._chunks:
            self._deadline = min(self._clock.monotonic() + self._silence, self._end)
            try:
                wanted = self._sink(self._taken())
            except Exception as error:  # noqa: BLE001  it belongs to whoever waits in `pour`
                wanted, self._sunk = False, error
            if not wanted:
                self._sink = None
                self._wake()
        if self.ended:
            self._wake()

    def _taken(self) -> bytes:
        """The bytes that wait; there are some."""
        chunks, self._chunks, self._size = self._chunks, [], 0
        if self._read_paused and self.transport:
            self._read_paused = False
            self.transport.resume_reading()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def release(self) -> bool:
        """The answer is no longer wanted: True if the connection may be used again, else it is closed."""
        self._written = None
        reusable = self.ended and self._keep and not (self.error or self._chunks or self._torn) and self.usable
        if not reusable:
            self.abort()
            return False
        self._busy = False
        self._deadline = self._clock.monotonic() + IDLE_SECONDS
        self._arm()
        return True

    def abort(self) -> None:
        """Close at once, and forget what was not yet written."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self.transport is not None:
            self.transport.abort()

    def _fail(self, error: ProviderError) -> None:
        self.error = error
        self.ended = True
        self.abort()
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _wait(self, deadline: float) -> None:
        self._deadline = deadline
        self._arm()
        self._waiter = self._loop.create_future()
        await self._waiter

    def _arm(self) -> None:
        # A timer that rings too early looks at the deadline of that moment and is set again: most waits cost nothing.
        if self._timer is not None:
            if self._timer_for <= self._deadline:
                return
            self._timer.cancel()
        self._timer_for = self._deadline
        self._timer = self._loop.call_later(max(0.0, self._deadline - self._clock.monotonic()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._busy and self._waiter is None:
            return  # nobody waits; the next wait sets it again
        if self._clock.monotonic() < self._deadline:
            self._arm()
        elif self._busy:
            what = "went silent" if self.head_done else "did not answer in time"
            self._fail(TimeoutError(f"{self._origin} {what}."))
        else:
            self.abort()


async def _block(piece: Piece, start: int) -> bytes:
    """Some bytes of a piece. A file is read in a thread: a slow disk holds up nobody else."""
    if isinstance(piece, Stretch):
        size = min(BLOCK, piece.size - start)
        block = await asyncio.to_thread(piece.read, size, piece.start + start)
        if len(block) != size:
            raise UnreachableError("What was to be sent is no longer there.")
        return block
    return piece[start : start + BLOCK]


class _Overlong(Exception):  # noqa: N818  never leaves this file
    """More than an answer may hold."""


class Exchange:
    """One answer on a connection: an `Incoming`. A closed one can do the connection's next user no harm."""

    __slots__ = ("_connection", "_give_back", "headers", "status")

    def __init__(self, connection: Connection, give_back: Callable[[Connection], None]) -> None:
        self._connection: Connection | None = connection
        self._give_back = give_back
        self.status = connection.status
        self.headers: Mapping[str, str] = connection.headers

    async def receive(self, deadline: float) -> bytes:
        """The next bytes of the body; b"" at its end."""
        if self._connection is None:
            return b""
        return await self._connection.receive(deadline)

    async def pour(self, sink: Callable[[bytes], bool], silence: float, end: float) -> bool:
        """Give the body to `sink` as it comes; False when it wants no more for now."""
        return True if self._connection is None else await self._connection.pour(sink, silence, end)

    async def close(self) -> None:
        """Give the connection back if the body was read whole, else close it at once."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.release():
            self._give_back(connection)
