"""The hot path: `/v1/*` as raw ASGI, in front of everything that a framework would do first.

Decides how a request's head and body are read, which addresses exist, and who may use them. Refuses to know what a
body means and how it is answered. No request object, no middleware and no log line per request.

A body must call itself JSON: a browser asks first before it sends such a request elsewhere, so a page that somebody
visits cannot spend money through a gateway on the same machine.
"""

from collections.abc import Mapping
from typing import Any

from headgate.core.call import NO_TAGS, Call, Operation
from headgate.core.errors import (
    BadRequestError,
    HeadgateError,
    InvalidKeyError,
    LoopError,
    MediaTypeError,
    MethodNotAllowedError,
    TooLargeError,
    UnknownPathError,
)
from headgate.dialects.registry import DIALECTS
from headgate.gate import ask, present
from headgate.gate.gate import Gate
from headgate.gate.tasks import Tasks
from headgate.providers.hosted import HOP
from headgate.server.asgi import DIRECT, REQUEST, Receive, Scope, Send, answer
from headgate.server.auth import KEY_HEADERS, Anyone, Head, Keys
from headgate.server.exchange import Exchange, unexpected

PREFIX = "/v1"
MODELS = "/v1/models"
TRAILER = b"x-headgate-trailer"

_JSON = b"application/json"
# The gates that a call has passed travel on with it, so that a loop through several of them is noticed too.
_TRAVELS = tuple((name, name.encode()) for name in sorted(ask.TRAVELS | {HOP}))
_ASKS = tuple(name.encode() for name in (ask.TAGS, ask.DEADLINE, ask.PRIORITY))
_BODY = (b"content-type", b"content-length", b"content-encoding")
_READ = frozenset((*KEY_HEADERS, *_BODY, *_ASKS, *(raw for _, raw in _TRAVELS), TRAILER))
_NONE: dict[str, Any] = {}
_OPTIONAL = frozenset((*_ASKS, *(raw for _, raw in _TRAVELS)))


class Hot:
    """The ASGI application of everything below `/v1`.

    Args:
        gate: answers.
        keys: who may call.
    """

    def __init__(self, gate: Gate, keys: Keys | Anyone) -> None:
        server = gate.config.server
        self._gate = gate
        self._keys = keys
        self._tasks = Tasks()
        self._open_after = server.stream_open_after
        self._max_body_mb = server.max_body_mb
        self._max_body = int(server.max_body_mb * 1_000_000)
        self._operations = {PREFIX + dialect.path: operation for operation, dialect in DIALECTS.items()}
        self._hop = gate.instance.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            operation = self._operations.get(scope["path"])
            if operation is None or scope["method"] != "POST":
                await self._other(scope, operation, send)
                return
            head = read_head(scope)
            call = await self._read(operation, head, receive)
            if call is None:
                return
        except HeadgateError as error:
            await self._refuse(error, send)
            return
        except Exception as error:  # noqa: BLE001  the last line of defence: logged, and told without its inside
            request_id = self._request_id()
            await answer(send, *present.error_answer(unexpected(error, request_id), request_id))
            return
        await Exchange(
            self._gate,
            call,
            receive,
            send,
            tasks=self._tasks,
            direct=scope.get("extensions", _NONE).pop(DIRECT, None),
            open_after=self._open_after,
            trailer=head.get(TRAILER) == b"1",
        ).run()

    async def _read(self, operation: Operation, head: Head, receive: Receive) -> Call | None:
        """The call that a request makes; None where the caller left before its end."""
        caller = self._keys.caller(head)
        _check_media(head)
        raw = await self._body(head, receive)
        if raw is None:
            return None
        # Most callers ask for nothing but an answer.
        if _OPTIONAL.isdisjoint(head):
            return self._gate.call(operation, raw, caller=caller)
        return self._gate.call(operation, raw, caller=caller, **self._wishes(head))

    def _wishes(self, head: Head) -> dict[str, Any]:
        travels = {name: _text(head, raw) for name, raw in _TRAVELS if raw in head}
        for name, value in travels.items():
            if not (value.isascii() and value.isprintable()):
                raise BadRequestError(f"The header `{name}` must be plain ASCII.", code="invalid_header", param=name)
        if self._hop in (hop.strip() for hop in head.get(HOP.encode(), b"").split(b",")):
            raise LoopError("This call has passed this gateway before.")
        tags, deadline, priority = (_text(head, raw) if raw in head else None for raw in _ASKS)
        wishes: dict[str, Any] = {"headers": travels or NO_TAGS}
        if tags is not None:
            wishes["tags"] = ask.tags(tags)
        if deadline is not None:
            wishes["timeout"] = ask.deadline(deadline)
        if priority is not None:
            wishes["priority"] = ask.priority(priority)
        return wishes

    async def _body(self, head: Head, receive: Receive) -> bytes | None:
        announced = head.get(b"content-length", b"")
        if len(announced) > 15 or (announced.isdigit() and int(announced) > self._max_body):
            raise self._too_large()
        message = await receive()
        if message["type"] != REQUEST:
            return None
        body: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            if len(body) > self._max_body:
                raise self._too_large()
            return body
        parts = [body]
        size = len(body)
        while message.get("more_body", False):
            if size > self._max_body:
                raise self._too_large()
            message = await receive()
            if message["type"] != REQUEST:
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
        if size > self._max_body:
            raise self._too_large()
        return b"".join(parts)

    def _too_large(self) -> TooLargeError:
        return TooLargeError(
            f"The body is larger than {self._max_body_mb:g} MB.",
            hint="Send less, or have `server.max_body_mb` raised.",
        )

    async def _other(self, scope: Scope, operation: Operation | None, send: Send) -> None:
        """Everything but a call."""
        path, method = scope["path"], scope["method"]
        if path == MODELS:
            allowed = "GET, HEAD, OPTIONS"
            if method in {"GET", "HEAD"}:
                names = self._gate.models(self._keys.caller(read_head(scope)))
                headers = {"content-type": present.JSON, "x-request-id": self._request_id()}
                await answer(send, 200, headers, present.model_list(names))
                return
        elif operation is not None:
            allowed = "POST, OPTIONS"
        else:
            hint = "`/docs` lists the addresses of this gateway."
            raise UnknownPathError(f"There is no {_short(path)!r} here.", hint=hint)
        if method == "OPTIONS":
            await answer(send, 204, {"allow": allowed, "x-request-id": self._request_id()}, b"")
            return
        error = MethodNotAllowedError(f"{path} does not take {_short(method)}.", hint=f"It takes {allowed}.")
        await self._refuse(error, send, {"allow": allowed})

    async def _refuse(self, error: HeadgateError, send: Send, more: Mapping[str, str] = NO_TAGS) -> None:
        """Answer a request that never became a call."""
        status, headers, body = present.error_answer(error, self._request_id())
        headers.update(more)
        if isinstance(error, InvalidKeyError):
            headers["www-authenticate"] = "Bearer"
        await answer(send, status, headers, body)

    def _request_id(self) -> str:
        return "req_" + self._gate.new_id()


def read_head(scope: Scope) -> dict[bytes, bytes]:
    """The headers that the server reads, in one pass. What is sent twice is joined by commas, as HTTP has it."""
    head: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _READ:
            head[name] = head[name] + b"," + value if name in head else value
    return head


def _check_media(head: Head) -> None:
    media = head.get(b"content-type")
    if media != _JSON:
        if media is None:
            raise MediaTypeError("The request has no `Content-Type`.")
        name = media.split(b";", 1)[0].strip().lower()
        if name != _JSON and not (name.startswith(b"application/") and name.endswith(b"+json") and b"," not in name):
            raise MediaTypeError(f"The body calls itself {_short(media.decode('latin-1'))!r}, not JSON.")
    encoding = head.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() != b"identity":
        message = f"The body is encoded as {_short(encoding.decode('latin-1'))!r}."
        raise MediaTypeError(message, hint="Send it as it is, without `Content-Encoding`.")


def _text(head: Head, name: bytes) -> str:
    try:
        return head[name].decode()
    except UnicodeDecodeError:
        said = name.decode()
        raise BadRequestError(f"The header `{said}` is not UTF-8.", code="invalid_header", param=said) from None


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
