"""The simulator over HTTP: a raw ASGI application for uvicorn.

Decides how the simulator's answers travel through ASGI, and how its broken connections do, which ASGI has no word for:

- `reset` (before the head) aborts the connection with a TCP reset; the client sees "connection reset by peer";
- `cut` aborts it the same way after what was sent: no terminating chunk, or fewer bytes than `content-length` said.

Both reach through uvicorn's `send` to its transport. Under another server, or behind a wrapper that hides it, the
application raises ConnectionResetError instead: a `cut` then still ends in a closed connection, a `reset` in whatever
that server makes of a failing application (uvicorn: 500).

A client that goes away is noticed at once, streamed or whole: the watch on `receive()` cancels the answer. Run uvicorn
with `server_header=False`, so that the simulator's own `server` header is the only one.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from io import BytesIO
from typing import Any

from headgate.core.errors import UnreachableError
from headgate.providers.simulator.answer import Answer
from headgate.providers.simulator.simulator import Simulator
from headgate.providers.simulator.visit import Request

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_RESET = struct.pack("ii", 1, 0)
"""`SO_LINGER` with no time to linger: closing sends a reset."""


def simulator_app(simulator: Simulator) -> Asgi:
    """An ASGI application that answers as the simulator does.

    Example:
        `uvicorn.run(simulator_app(Simulator(clock=SystemClock())), port=4010, server_header=False)`
    """

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            request = await _read(scope, receive)
            if request is not None:
                await _serve(simulator.take(request), receive, send)

    return app


async def _live(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": event + ".complete"})
        if event == "lifespan.shutdown":
            return


async def _read(scope: MutableMapping[str, Any], receive: Receive) -> Request | None:
    """The whole request; None if the client left before it was."""
    body, buffer, more = b"", None, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body = message.get("body", b"")
        more = message.get("more_body", False)
        if more and buffer is None:
            buffer = BytesIO()
        if buffer is not None:
            buffer.write(body)
    if buffer is not None:
        body = buffer.getvalue()  # the buffer's own bytes: a large upload is here once
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(scope["method"], scope["path"], headers, body, scope.get("query_string", b"").decode("latin-1"))


async def _serve(answer: Answer, receive: Receive, send: Send) -> None:
    try:
        if answer.at_once:
            await _play(answer, receive, send)
            return
        async with asyncio.TaskGroup() as group:
            playing = group.create_task(_play(answer, receive, send))
            watching = group.create_task(_watch(receive, playing))
            playing.add_done_callback(lambda _: watching.cancel())
    except* ConnectionResetError as broken:
        raise broken.exceptions[0] from None
    finally:
        answer.close()


async def _watch(receive: Receive, playing: "asyncio.Task[None]") -> None:
    """Stop the answer when the client goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass
    playing.cancel()


async def _play(answer: Answer, receive: Receive, send: Send) -> None:
    try:
        await answer.head()
        headers = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
        if answer.length is not None:
            headers.append((b"content-length", b"%d" % answer.length))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        left = answer.length
        while data := await answer.receive():
            if left is not None:
                left -= len(data)
            await send({"type": "http.response.body", "body": data, "more_body": left != 0})
        if left is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    except UnreachableError:
        await _break(receive, send)


async def _break(receive: Receive, send: Send) -> None:
    """Break the connection, as hard as the server lets us."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        message = "The simulator breaks this connection."
        raise ConnectionResetError(message)
    found = transport.get_extra_info("socket")
    if found is not None:
        # Through a copy of the file descriptor: not every event loop's socket can set options.
        with socket.socket(fileno=os.dup(found.fileno())) as copy:
            copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
    # The server learns of it in its next turn; only then may the application end without a complete answer.
    while (await receive())["type"] != "http.disconnect":
        pass
