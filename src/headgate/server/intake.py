"""The intake: what a request to `/v1/*` says, made into a call.

Decides how head and body are read, what body an address takes, and where a large one waits. Refuses to know what a
call means and how it is answered.

A body must call itself JSON, or a form where one is taken: a browser asks first before it sends JSON elsewhere. A form
it does not ask for, so a page that somebody visits could send one to a gateway on the same machine: where nobody needs
a key, a form that a page of another origin sends is refused, unless `server.cors.origins` has it.
"""

from typing import Any, NamedTuple

from headgate.core.call import NO_TAGS, Address, Call, Caller, Operation
from headgate.core.errors import BadRequestError, LoopError, MediaTypeError, TooLargeError
from headgate.core.upload import Upload
from headgate.dialects import endpoints
from headgate.dialects.endpoints import Endpoint, Found
from headgate.gate import ask, bodies
from headgate.gate.gate import Gate
from headgate.gate.spool import Spool
from headgate.providers.hosted import HOP
from headgate.server.asgi import REQUEST, Receive, Scope
from headgate.server.auth import KEY_HEADERS, Anyone, Head, Keys

PREFIX = "/v1"
TRAILER = b"x-headgate-trailer"

_JSON = b"application/json"
# The gates that a call has passed travel on with it, so that a loop through several of them is noticed too.
_TRAVELS = tuple((name, name.encode()) for name in sorted(ask.TRAVELS | {HOP}))
_ASKS = tuple(name.encode() for name in (ask.TAGS, ask.DEADLINE, ask.PRIORITY))
_IDEMPOTENCY = ask.IDEMPOTENCY.encode()
_CACHE = ask.CACHE.encode()
_BODY = (b"content-type", b"content-length", b"content-encoding", b"transfer-encoding")
_OPTIONAL = frozenset((*_ASKS, _IDEMPOTENCY, _CACHE, *(raw for _, raw in _TRAVELS)))
_READ = frozenset((*KEY_HEADERS, *_BODY, *_OPTIONAL, TRAILER))
_OURS = frozenset((b"same-origin", b"none"))
_DIGITS = 15
"""Digits of an announced length that anybody reads: more are too much whatever they are."""


class Taken(NamedTuple):
    """A request that was read.

    Attributes:
        call: what it asks.
        trailer: the caller wants to know the cost at the end of a stream.
        spool: where its body waits; to be closed when the call is over.
    """

    call: Call
    trailer: bool
    spool: Spool | None


class Intake:
    """Reads requests.

    Args:
        gate: makes the calls.
        keys: who may call.
    """

    def __init__(self, gate: Gate, keys: Keys | Anyone) -> None:
        server = gate.config.server
        self._gate = gate
        self._keys = keys
        self._max_body_mb = server.max_body_mb
        self._max_body = int(server.max_body_mb * 1_000_000)
        self._hop = gate.instance.encode()
        # A page that asks for nothing beforehand has no key: where one is needed, it gets nowhere.
        self._open = isinstance(keys, Anyone)
        self._origins = frozenset(origin.encode() for origin in server.cors.origins)
        # The calls of every day, found by one look.
        self._usual = {
            PREFIX + path: Found(methods["POST"], None)
            for path, methods in endpoints.ENDPOINTS.items()
            if "POST" in methods and methods["POST"].plain and methods["POST"].takes == "json"
        }

    async def take(self, scope: Scope, receive: Receive) -> Taken | None:
        """Read a request to its end; None where the caller left before that.

        Raises:
            CallerError: it is malformed, too large, not allowed, or leads nowhere.
        """
        usual = self._usual.get(scope["path"]) if scope["method"] == "POST" else None
        head = read_head(scope)
        caller = self._keys.caller(head)
        if usual is not None:
            _check_json(head)
            raw = await self._body(head, receive)
            return None if raw is None else self._taken(usual, raw, head, caller, None)
        found = self._find(scope, caller)
        if _spooled(head, found.endpoint):
            if found.endpoint.takes != "anything" and self._open and self._is_foreign(scope):
                raise MediaTypeError("A page of another origin sent this form.", hint="Send it from a program.")
            return await self._upload(head, caller, found, receive)
        raw = await self._body(head, receive)
        return None if raw is None else self._taken(found, raw, head, caller, None)

    def caller(self, scope: Scope) -> Caller:
        """Who sends a request.

        Raises:
            InvalidKeyError: nobody whom we know.
        """
        return self._keys.caller(read_head(scope))

    def _find(self, scope: Scope, caller: Caller) -> Found:
        path = scope["path"][len(PREFIX) :]
        query = scope.get("query_string", b"").decode("latin-1")
        method = scope["method"]
        if caller.passthrough and method in endpoints.PASSING and endpoints.passes(path, caller.passthrough):
            address = Address(method, path, endpoints.checked(query))
            return Found(Endpoint(Operation.PASSTHROUGH, "anything", opaque=True), address)
        return endpoints.find(method, path, query)

    def _is_foreign(self, scope: Scope) -> bool:
        """Whether a page of another origin sends this."""
        head = dict(scope["headers"])
        origin = head.get(b"origin")
        if origin in self._origins:
            return False
        site = head.get(b"sec-fetch-site")
        if site is not None:
            return site not in _OURS
        # Where the address is no secure one, a browser does not say so; it names the page's origin all the same.
        return origin is not None and origin.rpartition(b"//")[2] != head.get(b"host")

    async def _upload(self, head: Head, caller: Caller, found: Found, receive: Receive) -> Taken | None:
        spool = self._gate.spool(_header(head, b"content-type") if b"content-type" in head else "")
        try:
            announced = head.get(b"content-length", b"")
            if announced.isdigit():
                spool.expect(int(announced[:_DIGITS]))
            more = True
            while more:
                message = await receive()
                if message["type"] != REQUEST:
                    spool.close()
                    return None
                await spool.write(message.get("body", b""))
                more = message.get("more_body", False)
            body = await spool.finish()
            return self._taken(found, body, head, caller, spool)
        except BaseException:
            spool.close()
            raise

    def _taken(self, found: Found, raw: bytes | Upload, head: Head, caller: Caller, spool: Spool | None) -> Taken:
        # Most callers ask for nothing but an answer.
        wishes = {} if _OPTIONAL.isdisjoint(head) else self._wishes(head)
        call = self._gate.call(found.endpoint.operation, raw, found=found, caller=caller, **wishes)
        return Taken(call, head.get(TRAILER) == b"1", spool)

    def _wishes(self, head: Head) -> dict[str, Any]:
        travels = {name: _header(head, raw) for name, raw in _TRAVELS if raw in head}
        for name, value in travels.items():
            if not (value.isascii() and value.isprintable()):
                raise BadRequestError(f"The header `{name}` must be plain ASCII.", code="invalid_header", param=name)
        if self._hop in (hop.strip() for hop in head.get(HOP.encode(), b"").split(b",")):
            raise LoopError("This call has passed this gateway before.")
        return {"headers": travels or NO_TAGS, **asked(head)}

    async def _body(self, head: Head, receive: Receive) -> bytes | None:
        announced = head.get(b"content-length", b"")
        if len(announced) > _DIGITS or (announced.isdigit() and int(announced) > self._max_body):
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


def read_head(scope: Scope) -> dict[bytes, bytes]:
    """The headers that the server reads, in one pass. What is sent twice is joined by commas, as HTTP has it."""
    head: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _READ:
            head[name] = head[name] + b"," + value if name in head else value
    return head


def asked(head: Head) -> dict[str, Any]:
    """What a caller asks for beside the request itself, as `Gate.call` takes it.

    Raises:
        BadRequestError: a header holds what it cannot.
    """
    tags, deadline, priority = (_header(head, raw) if raw in head else None for raw in _ASKS)
    wishes: dict[str, Any] = {}
    if tags is not None:
        wishes["tags"] = ask.tags(tags)
    if deadline is not None:
        wishes["timeout"] = ask.deadline(deadline)
    if priority is not None:
        wishes["priority"] = ask.priority(priority)
    if _IDEMPOTENCY in head:
        wishes["idempotency_key"] = ask.idempotency_key(_header(head, _IDEMPOTENCY))
    if _CACHE in head:
        wishes["cache"] = ask.cache(_header(head, _CACHE))
    return wishes


def _check_json(head: Head) -> None:
    # Nearly every body says just this.
    if head.get(b"content-type") != _JSON:
        bodies.check_json(_said(head, b"content-type"))
    if b"content-encoding" in head:
        bodies.check_encoding(_said(head, b"content-encoding"))


def _spooled(head: Head, endpoint: Endpoint) -> bool:
    """Whether the body is received on the spool; else it is read whole."""
    empty = b"transfer-encoding" not in head and head.get(b"content-length", b"0").strip(b"0") == b""
    content_type = _said(head, b"content-type")
    return bodies.spooled(endpoint.takes, content_type, _said(head, b"content-encoding"), empty=empty)


def _said(head: Head, name: bytes) -> str | None:
    return head[name].decode("latin-1") if name in head else None


def _header(head: Head, name: bytes) -> str:
    try:
        return head[name].decode()
    except UnicodeDecodeError:
        said = name.decode()
        raise BadRequestError(f"The header `{said}` is not UTF-8.", code="invalid_header", param=said) from None
