"""The whole server as one ASGI application: the hot path first, FastAPI behind it.

Decides who answers which path; refuses to know how. It does not own the gate: whoever opened it closes it.
"""

from headgate.core.clock import Clock
from headgate.gate import present, story
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemClock
from headgate.server.asgi import START, ASGIApp, Message, Receive, Scope, Send, answer
from headgate.server.auth import door
from headgate.server.exchange import unexpected
from headgate.server.hot import Hot
from headgate.server.intake import PREFIX
from headgate.server.origins import Origins
from headgate.server.pages import admin_pages, pages

LOOKED_AT = frozenset(("/healthz", "/readyz", "/health", "/metrics"))
"""Machines look at these all the time: only what is refused is logged."""


def application(gate: Gate, *, clock: Clock | None = None, worker: int = 1) -> ASGIApp:
    """The ASGI application of a gate that is open.

    Args:
        gate: answers; it is not closed with the application.
        clock: tells how old the last look at the providers is.
        worker: which of the processes at this address it is, from 1.
    """
    clock = clock or SystemClock()
    keys = door(gate.config, gate.keyring)
    app = Application(gate, Hot(gate, keys), pages(gate, keys, clock, worker))
    origins = gate.config.server.cors.origins
    return Origins(app, origins) if origins else app


def admin_application(gate: Gate) -> ASGIApp:
    """What listens on `server.admin_port`: the admin routes, and nothing that asks a model."""
    return Application(gate, None, admin_pages(gate))


class Application:
    """One before the other; `hot` may be missing."""

    def __init__(self, gate: Gate, hot: ASGIApp | None, cold: ASGIApp) -> None:
        self._gate = gate
        self._hot = hot
        self._cold = cold

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever it is."""
        if scope["type"] == "http":
            path = scope["path"]
            if self._hot is not None and path.startswith(PREFIX) and path[3:4] in {"", "/"}:
                await self._hot(scope, receive, send)
            else:
                await self._answer_cold(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _answer_cold(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = "req_" + self._gate.new_id()
        started = False

        async def named(message: Message) -> None:
            nonlocal started
            if message["type"] == START:
                started = True
                headers = message.get("headers", ())
                # An app's answer has the name of its call, whose story is told when it ends.
                if all(name != b"x-request-id" for name, _ in headers):
                    status, path = message["status"], scope["path"]
                    if status >= 400 or path not in LOOKED_AT:
                        story.tell(story.of_request(request_id, status, None, scope["method"], path))
                    message = {**message, "headers": [*headers, (b"x-request-id", request_id.encode())]}
            await send(message)

        try:
            await self._cold(scope, receive, named)
        except Exception as error:  # noqa: BLE001  the last line of defence: logged, and told without its inside
            failure = unexpected(error, request_id)
            if not started:
                await answer(send, *present.error_answer(failure, request_id))


async def _live(receive: Receive, send: Send) -> None:
    """There is nothing to start and nothing to stop: the gate has an owner."""
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
