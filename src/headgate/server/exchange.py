"""One call and its answer, on one HTTP exchange.

Decides when an answer is begun, how it goes on and how it ends: whole, as events, as an error before the first byte or
inside the stream. Refuses to know how the call was read and what the gate does with it.

- Nothing is spent on a call that is answered at once. Our own server tells of a caller who leaves; under another one
  the watch begins after `WATCH_AFTER`. The head of a silent stream is sent after `server.stream_open_after`.
- Whatever happens, the reply is closed: a caller who leaves takes the call along with its connection upstream, unless
  it has an `Idempotency-Key` (then the gate goes on with it).
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from headgate.core.call import Call
from headgate.core.errors import HeadgateError, StoppingError
from headgate.core.reply import Event, Reply
from headgate.dialects import sse
from headgate.dialects.registry import DIALECTS
from headgate.gate import present
from headgate.gate.gate import Gate
from headgate.gate.tasks import Tasks
from headgate.server.asgi import BODY, GONE, START, Direct, Receive, Send, answer, block, wire

log = logging.getLogger("headgate.server")

WATCH_AFTER = 0.25
"""Seconds after which somebody watches whether the caller is still there."""
KEEP_ALIVE_SECONDS = 5.0
"""Between two comments on a stream that has said nothing yet."""
KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]"
_OPEN = {"content-type": present.EVENTS, "cache-control": "no-cache", "x-accel-buffering": "no"}


def unexpected(error: Exception, request_id: str) -> HeadgateError:
    """Log a failure that nobody foresaw, and say no more of it than that."""
    log.error("request %s failed unexpectedly", request_id, exc_info=error)
    return HeadgateError("The gateway failed unexpectedly.", hint=f"Its log says more about {request_id}.")


class Exchange:
    """The exchange. `run` is its whole life.

    Args:
        gate: answers.
        call: what is asked.
        receive, send: the ASGI connection, the request's body being read.
        direct: the shorter way to the socket, where the server has it.
        tasks: owns what runs beside the exchange.
        open_after: seconds after which a stream that has said nothing is opened.
        trailer: the caller wants to know the cost at the end of a stream.
    """

    __slots__ = (
        "_call", "_direct", "_done", "_gate", "_gone", "_me", "_open_after", "_opening", "_over", "_receive", "_reply",
        "_send", "_sent", "_started", "_tasks", "_timers", "_trailer", "_watching",
    )  # fmt: skip

    def __init__(
        self,
        gate: Gate,
        call: Call,
        receive: Receive,
        send: Send,
        *,
        tasks: Tasks,
        open_after: float,
        trailer: bool,
        direct: Direct | None = None,
    ) -> None:
        self._gate = gate
        self._call = call
        self._receive = receive
        self._send = send
        self._direct = direct
        self._tasks = tasks
        self._open_after = open_after
        self._trailer = trailer
        self._done = b""
        """The provider's end mark, while the cost has to stand before it."""
        self._me = asyncio.current_task()
        self._timers: list[asyncio.TimerHandle] = []
        self._reply: Reply | None = None
        self._watching: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._started = False
        """The head of a stream was sent."""
        self._sent = 0
        """Events sent."""
        self._over = False
        """The last bytes are decided on: from here on, a caller who leaves changes nothing."""
        self._gone = False
        """The caller left before that."""

    async def run(self) -> None:
        """Answer the call. Nothing is raised but a cancellation from outside."""
        loop = asyncio.get_running_loop()
        if self._direct is None:
            self._timers.append(loop.call_later(WATCH_AFTER, self._watch))
        elif self._direct.disconnected:
            return
        else:
            self._direct.gone = self._leave
        if self._call.stream:
            self._timers.append(loop.call_later(self._open_after, self._open))
        try:
            await self._answer()
        except asyncio.CancelledError:
            if not self._gone or self._me is None:
                if not self._over:
                    await self._fail(StoppingError("The gateway is shutting down; the answer was cut off."))
                raise
            self._me.uncancel()
        except HeadgateError as error:
            await self._fail(error)
        except Exception as error:  # noqa: BLE001  the last line of defence: logged, and told without its inside
            await self._fail(unexpected(error, self._call.request_id))
        finally:
            await self._close()

    async def _answer(self) -> None:
        self._reply = reply = await self._gate(self._call)
        if self._call.stream:
            self._timers.pop().cancel()
            await self._stop_opening()
        if reply.stream:
            await self._stream(reply)
        else:
            await self._whole(reply)

    async def _close(self) -> None:
        self._over = True
        if self._direct is not None:
            self._direct.gone = None
        for timer in self._timers:
            timer.cancel()
        for task in (self._watching, self._opening):
            if task is not None:
                task.cancel()
        if self._reply is not None:
            await self._reply.close()

    async def _whole(self, reply: Reply) -> None:
        event = await reply.read()
        self._over = True
        if self._started:
            # It was opened as a stream already: then this is its one event.
            await self._send({"type": BODY, "body": sse.write(event.raw)})
            return
        headers = present.reply_headers(self._call, reply)
        if reply.status == 200 and self._direct is not None and self._direct.whole(block(headers), event.raw):
            return
        await answer(self._send, reply.status, headers, event.raw)

    async def _stream(self, reply: Reply) -> None:
        direct = self._direct
        if not self._started:
            headers = present.reply_headers(self._call, reply)
            if reply.status == 200 and direct is not None and direct.begin(block(headers)):
                self._started = True
                await reply.pour(partial(self._pass_on, direct.write), direct.drain)
                await self._end(reply)
                return
            await self._send({"type": START, "status": reply.status, "headers": wire(headers)})
            self._started = True
        pieces: list[bytes] = []
        async for event in reply:
            self._pass_on(pieces.append, event)
            if pieces:
                await self._send({"type": BODY, "body": pieces.pop(), "more_body": True})
        await self._end(reply)

    def _pass_on(self, write: Callable[[bytes], bool | None], event: Event) -> bool:
        """Send an event to a caller who shall see it; False if the caller reads slowly."""
        # An empty chunk would be the end.
        if event.hidden or not event.raw:
            return True
        if self._trailer and event.raw.startswith(DONE):
            # Nobody reads on behind it, and the cost is known only once the stream has ended.
            self._done = event.raw
            return True
        self._sent += 1
        return write(event.raw) is not False

    async def _end(self, reply: Reply) -> None:
        self._over = True
        await self._send({"type": BODY, "body": present.trailer(reply) + self._done if self._trailer else b""})

    async def _fail(self, error: HeadgateError) -> None:
        self._over = True
        await self._stop_opening()
        if self._started and self._call.opaque:
            # Bytes of any kind have no word for an error: the connection breaks, so that nobody takes them for all.
            raise ConnectionAbortedError(error.message)
        if self._started:
            told = DIALECTS[self._call.operation].write_error(error, sequence=self._sent)
            await self._send({"type": BODY, "body": told})
        else:
            await answer(self._send, *present.error_answer(error, self._call.request_id))

    def _watch(self) -> None:
        self._watching = self._tasks.start(self._until_gone(), "watch")

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != GONE:
            pass
        self._leave()

    def _leave(self) -> None:
        """The caller has left."""
        if not self._over and self._me is not None:
            self._gone = True
            self._me.cancel()

    def _open(self) -> None:
        self._opening = self._tasks.start(self._keep_alive(), "keep-alive")

    async def _keep_alive(self) -> None:
        """Commit to 200 and show that somebody is there. Who will answer is not known yet, so no header says it."""
        headers = wire({**_OPEN, "x-request-id": self._call.request_id})
        await self._send({"type": START, "status": 200, "headers": headers})
        self._started = True
        while True:
            await self._send({"type": BODY, "body": KEEP_ALIVE, "more_body": True})
            await asyncio.sleep(KEEP_ALIVE_SECONDS)

    async def _stop_opening(self) -> None:
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            await asyncio.wait([opening])
