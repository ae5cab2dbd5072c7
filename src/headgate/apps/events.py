"""Words as server-sent events, and the caller who may leave meanwhile.

Decides how a stream of words is begun, how it ends and what it says when it breaks (requirement F4). Refuses to know
where the words come from.

- The first word is awaited before anything is sent: what fails until then is an ordinary error, with a status.
- A stream ends with `done` or with `error`, never with neither.
- A caller who leaves takes the source of the words along, even where it is silent.
"""

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec
from fastapi import HTTPException
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from headgate.apps.failures import UNEXPECTED, to_users
from headgate.core.errors import HeadgateError
from headgate.gate.tasks import Tasks

log = logging.getLogger("headgate")

HEADERS = {"Cache-Control": "no-cache", "Connection": "keep-alive", "X-Accel-Buffering": "no"}
CLOSED_REQUEST = 499
"""The status that nobody sees: the caller has left."""
STOPPING = "The application is shutting down: this is not all of the answer. Try again."
_DONE = b'data: {"type": "done"}\n\n'

_encode = msgspec.json.Encoder().encode


class Piece(Protocol):
    """A piece of an answer."""

    @property
    def text(self) -> str:
        """The words in it; may be empty."""
        ...


class Events(StreamingResponse):
    """Words as events: `{"content": …, "type": "content"}`, at last `{"type": "done"}`.

    Args:
        pieces: the words; closed at the end, whatever happens.
        headers: more of them.
    """

    media_type = "text/event-stream"

    def __init__(self, pieces: AsyncIterable[str | Piece], headers: Mapping[str, str] | None = None) -> None:
        super().__init__((), headers={**HEADERS, **(headers or {})})
        self._pieces = pieces
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's shape
        """Answer. What fails before the first word is raised."""
        try:
            async with connected(receive):
                async for piece in self._pieces:
                    text = piece if isinstance(piece, str) else piece.text
                    if text:
                        await self._say(send, b'data: {"content": %b, "type": "content"}\n\n' % _encode(text))
                await self._say(send, _DONE, last=True)
        except asyncio.CancelledError:
            await self._break(send, STOPPING)
            raise
        except Exception as error:
            if not self._begun:
                raise
            await self._break(send, _told(error))
        finally:
            close = getattr(self._pieces, "aclose", None)
            if close is not None:
                await close()
        if self.background is not None:
            await self.background()

    async def _say(self, send: Send, event: bytes, *, last: bool = False) -> None:
        if not self._begun:
            self._begun = True
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": event, "more_body": not last})

    async def _break(self, send: Send, words: str) -> None:
        if self._begun:
            await self._say(send, b'data: {"type": "error", "message": %b}\n\n' % _encode(words), last=True)


@asynccontextmanager
async def connected(receive: Receive) -> AsyncIterator[None]:
    """Stop what runs inside as soon as the caller leaves. The request's body must have been read before.

    Raises:
        HTTPException: 499; the caller has left.
    """
    tasks = Tasks()
    loop = asyncio.get_running_loop()
    limit = asyncio.timeout(None)

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        limit.reschedule(loop.time())

    try:
        async with limit:
            watching = tasks.start(watch(), "watch")
            try:
                yield
            finally:
                watching.cancel()
    except TimeoutError:
        if not limit.expired():
            raise
        raise HTTPException(CLOSED_REQUEST, "The caller has left.") from None
    finally:
        await tasks.close()


def _told(error: Exception) -> str:
    if isinstance(error, HTTPException):
        return str(error.detail)
    if isinstance(error, HeadgateError):
        return str(to_users(error).detail)
    log.error("a stream failed unexpectedly", exc_info=error)
    return UNEXPECTED
