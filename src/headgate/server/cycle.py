"""One request and its answer on a connection, as an ASGI server hands them to an application.

Decides how the body comes in and how an answer's bytes are framed: by length, in chunks, or by the connection's end for
HTTP/1.0. Refuses to know how requests are parsed and when connections end (`protocol.py`), and what answers mean.

Beside ASGI's `send` there is a shorter way for answers with status 200, whole or streamed: `whole`, `begin`, `write`
and `drain`. An ASGI server takes every header apart to learn what the answer is, and makes a coroutine of every piece.
Here both sides know: that saves a tenth of a call. The way lies in the scope's extensions under `asgi.DIRECT`; whoever
takes it out may use it instead of `send`, and after `begin` the ordinary `send` goes on where it left off.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

from headgate.core.errors import HeadgateError, StoppingError
from headgate.server.asgi import BODY, GONE, REQUEST, START, ASGIApp, Message, Scope

log = logging.getLogger("headgate.server")

CLOSE = b"connection: close\r\n"
REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
_BODILESS = frozenset((204, 304))


class Line(Protocol):
    """The connection, as a cycle sees it."""

    transport: asyncio.Transport
    write_paused: bool

    def date(self) -> bytes:
        """The line that tells the time."""
        ...

    def need(self) -> None:
        """More of the body is wanted."""
        ...

    def answered(self, cycle: "Cycle") -> None:
        """The answer is complete."""
        ...

    def fail(self, cycle: "Cycle", error: HeadgateError) -> None:
        """There will be no answer, or no end of it."""
        ...

    async def drain(self) -> None:
        """Wait until the reader has caught up."""
        ...


class Cycle:
    """One request and its answer.

    Args:
        line: the connection.
        head_only: nobody wants the answer's body.
        old: the caller speaks HTTP/1.0.
        keep_alive: the connection may stay open behind the answer.
        expects: the caller waits for `100 Continue` before it sends the body.
    """

    __slots__ = (
        "_arrived", "_chunked", "_head", "_left", "_line", "_old", "_parts", "_read", "complete", "disconnected",
        "expects", "gone", "head_only", "keep_alive", "more_body", "size", "started", "transport",
    )  # fmt: skip

    def __init__(self, line: Line, *, head_only: bool, old: bool, keep_alive: bool, expects: bool) -> None:
        self._line = line
        self.transport = line.transport
        self.head_only = head_only
        self._old = old
        self.keep_alive = keep_alive
        self.expects = expects
        self.more_body = True
        """The request is not whole yet."""
        self.size = 0
        """Bytes of the body that wait to be read."""
        self._parts: list[bytes] = []
        self._read = False
        """The application has the whole body."""
        self._arrived: asyncio.Event | None = None
        self.started = False
        """An answer was begun."""
        self.complete = False
        """It has ended."""
        self.disconnected = False
        """The caller has left, or was answered otherwise."""
        self.gone: Callable[[], None] | None = None
        """Told of that at once."""
        self._head = b""
        """An answer's head, to be sent along with the first bytes of its body."""
        self._chunked = False
        self._left: int | None = None
        """Bytes still to come of an answer whose length was told."""

    # The request.

    def feed(self, piece: bytes) -> None:
        """A piece of the body has come."""
        self._parts.append(piece)
        self.size += len(piece)
        self.wake()

    def end(self) -> None:
        """The body has ended."""
        self.more_body = False
        self.wake()

    def disconnect(self) -> None:
        """Nobody waits for an answer any more."""
        if not self.complete and not self.disconnected:
            self.disconnected = True
            if self.gone is not None:
                self.gone()
        self.wake()

    def wake(self) -> None:
        """Let whoever waits in `receive` look again."""
        if self._arrived is not None:
            self._arrived.set()

    async def receive(self) -> Message:
        """ASGI's `receive`."""
        while not (self.disconnected or self.complete):
            if self._parts or not (self.more_body or self._read):
                body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
                self._parts = []
                self.size = 0
                self._read = not self.more_body
                return {"type": REQUEST, "body": body, "more_body": self.more_body}
            if self.more_body:
                if self.expects:
                    self.expects = False
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                self._line.need()
            if self._arrived is None:
                self._arrived = asyncio.Event()
            self._arrived.clear()
            await self._arrived.wait()
        return {"type": GONE}

    # The answer.

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Have the request answered, whatever the application does."""
        error: HeadgateError
        try:
            await app(scope, self.receive, self.send)
        except asyncio.CancelledError:
            error = StoppingError("The gateway is shutting down.")
        except Exception:
            # The last line of defence: logged, and told without its inside.
            log.exception("%s %s failed unexpectedly", scope["method"], scope["raw_path"])
            error = HeadgateError("The gateway failed unexpectedly.")
        else:
            if self.complete or self.disconnected:
                return
            log.error("%s %s ended without its answer", scope["method"], scope["raw_path"])
            error = HeadgateError("The gateway failed unexpectedly.")
        if not (self.complete or self.disconnected):
            self._line.fail(self, error)

    async def send(self, message: Message) -> None:
        """ASGI's `send`."""
        if self._line.write_paused and not self.disconnected:
            await self._line.drain()
        if self.disconnected:
            return
        if message["type"] == START and not self.started:
            self._begin(message)
        elif message["type"] == BODY and self.started and not self.complete:
            self._go_on(message.get("body", b""), last=not message.get("more_body", False))
        else:
            complaint = f"{message['type']!r} is out of turn"
            raise RuntimeError(complaint)

    def _begin(self, message: Message) -> None:
        status: int = message["status"]
        lines = [b"HTTP/1.1 %d %b\r\n%b" % (status, REASONS.get(status, b""), self._line.date())]
        for name, value in message.get("headers", ()):
            if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                complaint = f"{name!r} cannot be a header with this value"
                raise RuntimeError(complaint)
            if name == b"content-length":
                self._left = int(value)
            lines.append(b"%b: %b\r\n" % (name, value))
        if status in _BODILESS:
            self.head_only = True
        elif self._left is None and not self.head_only:
            if self._old:
                # The end of the connection is the end of the answer.
                self.keep_alive = False
            else:
                self._chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(self._last())
        self._head = b"".join(lines)
        self.started = True

    def _go_on(self, body: bytes, *, last: bool) -> None:
        if self.head_only:
            body = b""
        elif self._chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if last:
                body += b"0\r\n\r\n"
        elif self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (last and self._left):
                complaint = f"the answer is {-self._left} bytes longer than its head says"
                raise RuntimeError(complaint)
        if self._head:
            body, self._head = self._head + body, b""
        if body:
            self.transport.write(body)
        if last:
            self._finish()

    def _last(self) -> bytes:
        """The last line of a head, and its end."""
        if self.more_body:
            # Whoever is refused before the end of the request need not send the rest: behind it nothing can be read.
            self.keep_alive = False
        return b"\r\n" if self.keep_alive else CLOSE + b"\r\n"

    def _finish(self) -> None:
        self.complete = True
        self.wake()
        self._line.answered(self)

    # The shorter way.

    def whole(self, head: bytes, body: bytes) -> bool:
        """Send a whole answer; False if it has to go the ordinary way (a slow reader, or an answer that was begun).

        Args:
            head: the headers, each with its line end; `date` and `content-length` are added.
            body: all of it.
        """
        if self.disconnected:
            return True
        if self.started or self.head_only or self._line.write_paused:
            return False
        self.started = True
        fields = (self._line.date(), head, len(body), self._last(), body)
        self.transport.write(b"HTTP/1.1 200 OK\r\n%b%bcontent-length: %d\r\n%b%b" % fields)
        self._finish()
        return True

    def begin(self, head: bytes) -> bool:
        """Begin a stream; its head goes with the first piece. False if it has to go the ordinary way."""
        if self.disconnected or self.started or self.head_only or self._old or self._line.write_paused:
            return False
        self.started = self._chunked = True
        fields = (self._line.date(), head, self._last())
        self._head = b"HTTP/1.1 200 OK\r\n%b%btransfer-encoding: chunked\r\n%b" % fields
        return True

    def write(self, piece: bytes) -> bool:
        """Send a piece of a stream that was begun; False if the reader is slow and `drain` must be awaited."""
        if self.disconnected:
            return True
        if self._head:
            self.transport.write(b"%b%x\r\n%b\r\n" % (self._head, len(piece), piece))
            self._head = b""
        else:
            self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return not self._line.write_paused

    async def drain(self) -> None:
        """Wait until the reader has caught up."""
        await self._line.drain()
