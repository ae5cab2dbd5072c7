"""The hot path: `/v1/*` as raw ASGI, in front of everything that a framework would do first.

Decides which addresses exist and what is answered before a call is one. Refuses to know what a body means and how a
call is answered. No request object and no middleware; what is refused here is logged here, calls by their meter.
"""

from typing import Any

from headgate.core.errors import HeadgateError, InvalidKeyError, MethodNotAllowedError
from headgate.dialects import endpoints
from headgate.gate import present, story
from headgate.gate.gate import Gate
from headgate.gate.tasks import Tasks
from headgate.server.asgi import DIRECT, Receive, Scope, Send, answer
from headgate.server.auth import Anyone, Keys
from headgate.server.exchange import Exchange, unexpected
from headgate.server.intake import PREFIX, Intake

MODELS = "/v1/models"
USAGE = "/v1/usage"
READING = "GET, HEAD, OPTIONS"

_NONE: dict[str, Any] = {}


class Hot:
    """The ASGI application of everything below `/v1`.

    Args:
        gate: answers.
        keys: who may call.
    """

    def __init__(self, gate: Gate, keys: Keys | Anyone) -> None:
        self._gate = gate
        self._intake = Intake(gate, keys)
        self._tasks = Tasks()
        self._open_after = gate.config.server.stream_open_after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            path = scope["path"]
            if path.startswith(MODELS) or path == USAGE or scope["method"] == "OPTIONS":
                await self._other(scope, send)
                return
            taken = await self._intake.take(scope, receive)
            if taken is None:
                return
        except HeadgateError as error:
            await self._refuse(error, scope, send)
            return
        except Exception as error:  # noqa: BLE001  the last line of defence: logged, and told without its inside
            request_id = self._request_id()
            await answer(send, *present.error_answer(unexpected(error, request_id), request_id))
            return
        exchange = Exchange(
            self._gate,
            taken.call,
            receive,
            send,
            tasks=self._tasks,
            direct=scope.get("extensions", _NONE).pop(DIRECT, None),
            open_after=self._open_after,
            # Bytes of any kind have no place for a comment.
            trailer=taken.trailer and not taken.call.opaque,
        )
        if taken.spool is None:
            await exchange.run()
            return
        try:
            await exchange.run()
        finally:
            self._gate.once.outlive.after(taken.call.id, taken.spool.close)

    async def _other(self, scope: Scope, send: Send) -> None:
        """Everything but a call."""
        path, method = scope["path"], scope["method"]
        name = path[len(MODELS) + 1 :]
        is_model = path == MODELS or (name and path[len(MODELS)] == "/")
        allowed = READING if is_model or path == USAGE else endpoints.allowed(path[len(PREFIX) :])
        if allowed is None:
            raise endpoints.unknown(path[len(PREFIX) :])
        if method == "OPTIONS":
            await answer(send, 204, {"allow": allowed, "x-request-id": self._request_id()}, b"")
            return
        if method not in {"GET", "HEAD"}:
            raise MethodNotAllowedError(f"{path[:80]} does not take {method[:80]}.", hint=f"It takes {allowed}.")
        caller, offer = self._intake.caller(scope), self._gate.offer
        if path == USAGE:
            body = present.statement(await self._gate.statements.of(caller))
            await answer(send, 200, {"content-type": present.JSON, "x-request-id": self._request_id()}, body)
            return
        body = present.model(offer(name, caller)) if name else present.model_list(map(offer, self._gate.models(caller)))
        await answer(send, 200, {"content-type": present.JSON, "x-request-id": self._request_id()}, body)

    async def _refuse(self, error: HeadgateError, scope: Scope, send: Send) -> None:
        """Answer a request that never became a call."""
        request_id = self._request_id()
        status, headers, body = present.error_answer(error, request_id)
        story.tell(story.of_request(request_id, status, error.code, scope["method"], scope["path"]))
        if isinstance(error, InvalidKeyError):
            headers["www-authenticate"] = "Bearer"
        elif isinstance(error, MethodNotAllowedError):
            headers["allow"] = endpoints.allowed(scope["path"][len(PREFIX) :]) or READING
        await answer(send, status, headers, body)

    def _request_id(self) -> str:
        return "req_" + self._gate.new_id()
