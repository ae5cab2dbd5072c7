"""HTTP/1.1 on a socket: one connection, its requests one after the other, and what is answered to bytes that are none.

Decides what is read when, for how long and how much of it, and when a connection ends. Refuses to know what requests
mean (the application), how answers are framed (`cycle.py`) and which heads are allowed (`head.py`).

- Requests that come while one is being answered wait, unread, up to `MAX_AHEAD`; answers leave in their order.
- What cannot be read is refused in the shape of every other error, after the answers that are due before it; then
  nothing is read any more. In the midst of an answer a refusal would be taken for a part of it: there the end is mute.
- A caller who is refused while sending is let finish for a moment, unheard: who hangs up on somebody that speaks takes
  the answer back.
- A caller who closes the sending half has left: nobody can tell that from going away.
- An offer to speak another protocol (`Upgrade: h2c`, websockets) is not taken up: the request is answered as it is.
- What stands in trailers is thrown away: it came too late for whoever has judged the headers.

The parser (llhttp) is set up and fed by uvicorn's class; all that it finds is heard here.
"""

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from headgate.core.errors import BadRequestError, HeadgateError, SlowSenderError
from headgate.gate.present import error_answer
from headgate.server.asgi import DIRECT, Scope, block
from headgate.server.cycle import CLOSE, REASONS, Cycle
from headgate.server.head import (
    CODING,
    EXPECT,
    HOST,
    MAX_HEAD,
    WATCHED,
    Refusal,
    check_address,
    check_coding,
    check_size,
    check_version,
    expects_continue,
    read_target,
    too_much,
)
from headgate.server.listener import Listener

log = logging.getLogger("headgate.server")

HIGH_WATER = 64 * 1024
"""Bytes of a body that may wait for the application, and of further requests that may wait for their turn."""
MAX_AHEAD = 32
"""Requests that may wait for their turn; whoever has sent more must send the rest again."""
_ASGI = {"version": "3.0", "spec_version": "2.3"}


def connections(listener: Listener) -> Callable[[], "Connection"]:
    """Makes the connections of a listener, in the running loop."""
    settings = uvicorn.Config(
        listener.app, interface="asgi3", ws="none", lifespan="off", log_config=None, log_level="critical"
    )
    settings.load()
    state = ServerState()
    return lambda: Connection(listener, settings, state)


class Connection(HttpToolsProtocol):
    """One connection.

    Args:
        listener: what it shares with the others.
        settings, state: what uvicorn's class needs to set up the parser.
    """

    def __init__(self, listener: Listener, settings: uvicorn.Config, state: ServerState) -> None:
        super().__init__(settings, state, {})
        self._listener = listener
        self._ends: tuple[Any, Any] = (None, None)
        self._known_host: bytes | None = None
        # The request that is being read.
        self._in_head = False
        self._address = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._watched: dict[bytes, bytes] = {}
        self._reading: Cycle | None = None
        """The request whose body is being read."""
        self._declined = False
        """It offered another protocol, and its body is still to come."""
        self._came = 0
        """Bytes that came for it."""
        self._bodies = 0
        """Those of them that are its body."""
        self._cause: Exception | None = None
        """What one of our own methods has stopped the parser for."""
        self._offered = -1
        """Where the parser stopped for an offer of another protocol, in what it was given last."""
        # The answers.
        self._running: Cycle | None = None
        self._queue: deque[tuple[Cycle, Scope]] = deque()
        self._held = bytearray()
        """Bytes that came while an answer was under way."""
        self._deaf = False
        """Nothing is read any more."""
        self._last_words = b""
        """A refusal, to be sent behind the answers that are due before it."""
        # Time, in ticks.
        self._age = 0
        self._silence = 0
        self._seen = 0
        self._lingers = False
        # The socket.
        self._read_paused = False
        self.write_paused = False
        self._drained = asyncio.Event()

    # The socket speaks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A caller has connected."""
        # uvloop's transports are none of asyncio's, and can all that is asked of them.
        self.transport = transport  # type: ignore[assignment]
        self._ends = (_end(transport, "sockname"), _end(transport, "peername"))
        self._listener.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  whatever the reason
        """The caller is gone."""
        self._listener.connections.discard(self)
        self._deaf = True
        for cycle, _ in self._queue:
            cycle.disconnect()
        self._queue.clear()
        if self._running is not None:
            self._running.disconnect()
            self._running = None
        self._reading = None
        self._drained.set()
        # It knows this object: they would keep each other.
        self.parser = None  # type: ignore[assignment]

    def pause_writing(self) -> None:
        """The caller reads slowly."""
        self.write_paused = True
        self._drained.clear()

    def resume_writing(self) -> None:
        """The caller has caught up."""
        self.write_paused = False
        self._drained.set()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self._deaf:
            return
        if self._running is not None and self._running is not self._reading:
            self._held += data
            if len(self._held) > HIGH_WATER:
                self._pause_reading()
            return
        self._read(data)

    def _read(self, data: bytes) -> None:
        self._came += len(data)
        self._parse(data)
        if self._came - 2 * self._bodies > MAX_HEAD and not self._deaf:
            self._refuse_for(too_much(f"The request holds more than {MAX_HEAD // 1024} kB beside its body."))

    def _parse(self, data: bytes) -> None:
        while data:
            self._offered = -1
            super().data_received(data)
            data = b"" if self._offered < 0 else self._behind_offer(data[self._offered :])

    def _should_upgrade(self) -> bool:
        return False

    def _unsupported_upgrade_warning(self) -> None:
        offer = sys.exception()
        assert offer is not None
        self._offered = offer.args[0]

    def send_400_response(self, msg: str) -> None:
        """The parser has stopped: because of what it read, or because one of our own methods wanted it to."""
        if self._cause is not None:
            self._refuse_for(self._cause)
            return
        reason = str(sys.exception() or msg)
        hint = "This address speaks HTTP/1.1 without TLS." if "method" in reason else None
        self._refuse(BadRequestError(f"The request cannot be read: {reason}.", code="invalid_http", hint=hint))

    def _behind_offer(self, rest: bytes) -> bytes:
        """What to read behind the head of a request that offered another protocol: the parser thinks it has ended."""
        if not self._declined:
            return rest
        framing = (b"content-length", CODING)
        lines = [b"%b: %b\r\n" % (name, value) for name, value in self._fields if name in framing]
        self._address = b""
        self._fields = []
        self._watched = {}
        return b"POST / HTTP/1.1\r\n%b\r\n%b" % (b"".join(lines), rest)

    # The parser speaks.

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._declined:
            return
        self._in_head = True
        self._age = 0
        self._address = b""
        self._fields = []
        self._watched = {}

    def on_url(self, url: bytes) -> None:
        """A piece of its address."""
        self._address += url
        try:
            check_address(self._address)
        except Refusal as refusal:
            self._cause = refusal
            raise

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; or a trailer, into a list that nobody reads."""
        name = name.lower()
        if name in WATCHED:
            if name in self._watched:
                self._cause = BadRequestError(f"The header `{name.decode()}` stands there twice.", code="invalid_http")
                raise self._cause
            self._watched[name] = value
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole: judge it, and begin to answer."""
        if self._declined:
            self._declined = False
            return
        try:
            self._begin()
        except Exception as error:
            self._cause = error
            raise

    def _begin(self) -> None:
        parser, watched, fields = self.parser, self._watched, self._fields
        version = parser.get_http_version()
        check_version(version)
        method = parser.get_method().decode("ascii")
        check_size(fields, self._came)
        target = read_target(method, self._address)
        host = watched.get(HOST)
        if host is None or host != self._known_host or target.authority is not None:
            self._listener.hosts.check(host, version)
            if target.authority is not None:
                self._listener.hosts.check(target.authority)
            self._known_host = host
        if CODING in watched:
            check_coding(watched[CODING], version)
        cycle = Cycle(
            self,
            head_only=method == "HEAD",
            old=version == "1.0",
            keep_alive=version == "1.1" and parser.should_keep_alive(),
            expects=EXPECT in watched and expects_continue(watched[EXPECT], version),
        )
        scope: Scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": method,
            "scheme": "http",
            "path": target.path,
            "raw_path": target.raw_path,
            "query_string": target.query,
            "root_path": "",
            "headers": fields,
            "server": self._ends[0],
            "client": self._ends[1],
            "extensions": {DIRECT: cycle},
        }
        self._in_head = False
        self._age = self._silence = self._seen = 0
        if parser.should_upgrade():
            self._declined = any(name == b"content-length" for name, _ in fields) or CODING in watched
        if not self._declined:
            self._fields = []
        self._reading = cycle
        if self._running is None:
            self._start(cycle, scope)
        else:
            if len(self._queue) == MAX_AHEAD:
                raise _EnoughError
            self._queue.append((cycle, scope))

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._bodies += len(body)
        cycle = self._reading
        if cycle is not None:
            cycle.feed(body)
            if cycle.size > HIGH_WATER:
                self._pause_reading()

    def on_message_complete(self) -> None:
        """A request ends."""
        if self._declined:
            return
        self._came = self._bodies = 0
        if self._reading is not None:
            self._reading.end()
            self._reading = None
        # Nobody asks for more of this one: what comes next is heard again.
        self.need()

    # Answers.

    def _start(self, cycle: Cycle, scope: Scope) -> None:
        self._running = cycle
        task = self.loop.create_task(cycle.run(self._listener.app, scope))
        self._listener.tasks.add(task)
        task.add_done_callback(self._listener.tasks.discard)

    def answered(self, cycle: Cycle) -> None:
        """An answer is complete: go on with the next request."""
        self._running = None
        self._age = 0
        if self.transport.is_closing():
            return
        if not cycle.keep_alive:
            self._hang_up(unheard=cycle.more_body or bool(self._held) or self._deaf)
        elif self._queue:
            self._start(*self._queue.popleft())
        elif self._last_words:
            self._say_last_words()
        if self._held and not self._deaf and (self._running is None or self._running is self._reading):
            held = bytes(self._held)
            self._held.clear()
            self.need()
            self._read(held)

    def fail(self, cycle: Cycle, error: HeadgateError) -> None:
        """The application gave no answer, or no end of it."""
        if cycle.started:
            # Nothing that could be taken for an end.
            self.transport.abort()
            return
        self._last_words = self._refusal(error, None, bare=cycle.head_only)
        self._queue.clear()
        cycle.disconnect()
        self._say_last_words()

    def _refuse_for(self, cause: Exception) -> None:
        """Refuse what one of our own methods did not let pass."""
        if isinstance(cause, _EnoughError):
            # The last request that may wait is the last that is answered.
            self._deaf = True
            self._reading = None
            self._queue[-1][0].keep_alive = False
        elif isinstance(cause, Refusal):
            self._refuse(cause.error, cause.status)
        elif isinstance(cause, HeadgateError):
            self._refuse(cause)
        else:
            log.error("a request could not be read", exc_info=cause)
            self._refuse(HeadgateError("The gateway failed unexpectedly."))

    def _refuse(self, error: HeadgateError, status: int | None = None) -> None:
        """Read no further, and say why as soon as it is this request's turn."""
        self._deaf = True
        reading, self._reading = self._reading, None
        self._last_words = self._refusal(error, status, bare=self.parser.get_method() == b"HEAD")
        if reading is not None and self._queue and self._queue[-1][0] is reading:
            self._queue.pop()
        running = self._running
        if running is None:
            self._say_last_words()
        elif running is reading:
            running.disconnect()
            if running.started:
                self.transport.abort()
            else:
                self._say_last_words()

    def _refusal(self, error: HeadgateError, status: int | None, *, bare: bool) -> bytes:
        usual, headers, body = error_answer(error, "req_" + self._listener.new_id())
        status = status or usual
        if status == 405:
            headers["allow"] = "GET, HEAD, POST, DELETE, OPTIONS"
        lines = b"%bcontent-length: %d\r\n%b" % (block(headers), len(body), CLOSE)
        said = b"" if bare else body
        return b"HTTP/1.1 %d %b\r\n%b%b\r\n%b" % (status, REASONS[status], self.date(), lines, said)

    def _say_last_words(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self._last_words)
            self._hang_up(unheard=True)

    def _hang_up(self, *, unheard: bool) -> None:
        """End the connection; where the caller may still be sending, let it come to an end by itself."""
        self._deaf = True
        self._running = self._reading = None
        self._queue.clear()
        if not unheard:
            self.transport.close()
            return
        self._lingers = True
        self._age = 0
        self._held.clear()
        self.need()
        self.transport.write_eof()

    # What answers ask for.

    def date(self) -> bytes:
        """The line that tells the time."""
        return self._listener.date

    def need(self) -> None:
        """More bytes are wanted."""
        if self._read_paused and not self.transport.is_closing():
            self._read_paused = False
            self.transport.resume_reading()

    def _pause_reading(self) -> None:
        if not self._read_paused and not self.transport.is_closing():
            self._read_paused = True
            self.transport.pause_reading()

    async def drain(self) -> None:
        """Wait until the caller has caught up."""
        if self.write_paused:
            await self._drained.wait()

    # Time.

    def tick(self) -> None:
        """Some time has passed: end what takes too long."""
        if self.transport.is_closing():
            return
        limits = self._listener
        running, reading = self._running, self._reading
        if running is not reading:
            # An answer is under way: whatever else came has to wait for it.
            return
        if reading is not None and (reading.expects or self._read_paused):
            # The application has not asked for more yet.
            self._silence = 0
            return
        self._age += 1
        if self._lingers:
            if self._age > limits.linger_ticks:
                self.transport.abort()
        elif reading is not None:
            self._judge_body(limits)
        elif self._in_head:
            if self._age > limits.header_ticks:
                self._refuse(SlowSenderError("The headers of the request did not come in time."))
        elif self._age > limits.idle_ticks:
            self.transport.close()

    def _judge_body(self, limits: Listener) -> None:
        if self._came == self._seen:
            self._silence += 1
        else:
            self._silence = 0
            self._seen = self._came
        beyond = self._age - limits.body_ticks
        if self._silence > limits.body_ticks:
            self._refuse(SlowSenderError("Nothing more came of the request's body."))
        elif beyond > 0 and self._came < beyond * limits.bytes_per_tick:
            self._refuse(SlowSenderError("The request's body comes too slowly."))

    def shutdown(self) -> None:
        """End as soon as the answer under way is given."""
        self._queue.clear()
        if self._running is None:
            self.transport.close()
        else:
            self._running.keep_alive = False


class _EnoughError(Exception):
    """More requests than may wait for their turn."""


def _end(transport: asyncio.BaseTransport, which: str) -> tuple[str, int] | None:
    """One end of a connection, as ASGI has it: host and port."""
    found = transport.get_extra_info(which)
    return (str(found[0]), int(found[1])) if isinstance(found, (tuple, list)) and len(found) >= 2 else None
