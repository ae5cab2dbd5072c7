"""HTTP/1.1 on a socket: uvicorn's protocol, with bounds where it has none.

Decides how much of a request may be anything but its body, and what is answered to bytes that are not HTTP. Refuses to
know what requests mean.

Neither httptools nor uvicorn limits the size of a request's head, of its trailers or of chunk marks. One counter does:
bytes that came on behalf of a request, minus twice those that turned out to be its body.
"""

from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from headgate.core.errors import BadRequestError
from headgate.gate.present import error_body
from headgate.server.asgi import DIRECT

MAX_HEAD = 64 * 1024
"""Bytes that a request may have beside its body: address, headers, trailers, marks of chunks."""


class OneWrite:
    """A socket's transport that sends the head of an answer together with the first bytes of its body.

    uvicorn writes them one after the other, which is a system call and a packet too many for every answer. What is
    held goes with the next write, or with whatever ends the answer. Everything else is the transport's own.
    """

    __slots__ = ("_held", "_transport", "is_closing")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._held = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Hold a head; send anything else, and what is held before it."""
        if data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n") and not data.startswith(b"HTTP/1.1 100"):
            self.flush()
            self._held = data
        elif self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send what is held."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)

    def close(self) -> None:
        """Send what is held, and close."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Direct:
    """Sends an answer with status 200 past the messages of ASGI: whole in one go, or the pieces of a stream.

    An ASGI server takes every header apart to learn what the answer is, and makes a coroutine of every piece. Here both
    sides know: that saves a tenth of a call. It lies in the scope's extensions under `DIRECT`; whoever takes it out may
    use it instead of `send`. After `begin` the ordinary `send` goes on where it left off.
    """

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def whole(self, head: bytes, body: bytes) -> bool:
        """Send a whole answer; False if it has to go the ordinary way (a slow reader, or an answer that was begun).

        Args:
            head: the headers, each with its line end; `content-length` is added.
            body: all of it.
        """
        cycle = self._cycle
        if cycle.disconnected:
            return True
        if cycle.response_started or cycle.flow.write_paused:
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        last = b"" if cycle.keep_alive else b"connection: close\r\n"
        fields = b"%bcontent-length: %d\r\n%b" % (head, len(body), last)
        cycle.transport.write(b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (fields, body))
        cycle.message_event.set()
        if last:
            cycle.transport.close()
        cycle.on_response()
        return True

    def begin(self, head: bytes) -> bool:
        """Send the head of a stream; False if it has to go the ordinary way."""
        cycle = self._cycle
        if cycle.disconnected or cycle.response_started or cycle.flow.write_paused:
            return False
        cycle.response_started = cycle.chunked_encoding = True
        cycle.waiting_for_100_continue = False
        last = b"" if cycle.keep_alive else b"connection: close\r\n"
        cycle.transport.write(b"HTTP/1.1 200 OK\r\n%btransfer-encoding: chunked\r\n%b\r\n" % (head, last))
        return True

    def write(self, piece: bytes) -> bool:
        """Send a piece of a stream that was begun; False if the reader is slow and `drain` must be awaited."""
        cycle = self._cycle
        if cycle.disconnected:
            return True
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return not cycle.flow.write_paused

    async def drain(self) -> None:
        """Wait until the reader has caught up."""
        await self._cycle.flow.drain()


class BoundedProtocol(HttpToolsProtocol):
    """The protocol of one connection."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.scope["extensions"] = {DIRECT: Direct(cycle)}  # type: ignore[dict-item]
        super()._start_asgi_task(cycle, app)

    def connection_made(self, transport: Any) -> None:
        """A caller has connected."""
        super().connection_made(OneWrite(transport))  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        """An answer has ended: one without a body has only a head."""
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._beside = 0

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        self._beside += len(data)
        super().data_received(data)
        if self._beside > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response(f"The request's head is larger than {MAX_HEAD // 1024} kB.")

    def on_body(self, body: bytes) -> None:
        """A piece of a body was found in them."""
        self._beside -= 2 * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request ends."""
        self._beside = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, in the shape that every error has, and hang up."""
        if self.cycle is not None and not self.cycle.response_complete:
            # An answer is under way; a second one in its midst would be taken for a part of it.
            self.transport.abort()
            return
        body = error_body(BadRequestError(msg, code="invalid_http"))
        head = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nx-should-retry: false\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        )
        self.transport.write(head + body)
        self.transport.close()
