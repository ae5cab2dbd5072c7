"""An HTTP request of a client in this process, answered by the gate.

Decides which addresses lead where, how a body is received, and how a reply becomes an HTTP response that the SDK cannot
tell from one that came over a wire: the provider's bytes, error statuses with OpenAI-shaped bodies, and errors in
mid-stream as events in-band, or as a broken connection where bytes of any kind (sound, a file's content) have no word
for them. Refuses to know threads and clients (`http.py`), and what happens to a call.
"""

import asyncio
import builtins
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self, TypeAlias

import httpx2

from headgate.core.call import Call, Timeouts
from headgate.core.errors import (
    HeadgateError,
    MethodNotAllowedError,
    TimeoutError,  # noqa: A004  the house's word
    UnknownPathError,
)
from headgate.core.reply import Reply
from headgate.core.upload import Upload
from headgate.dialects import endpoints
from headgate.dialects.endpoints import Found
from headgate.dialects.registry import DIALECTS
from headgate.gate import ask, bodies, present
from headgate.gate.gate import Gate
from headgate.gate.spool import Spool

MODELS = "/models"
TRAILER = "x-headgate-trailer"
DONE = b"data: [DONE]"


class Chunks(httpx2.AsyncByteStream):
    """The body of a streamed response: the events of a reply, as the provider sent them.

    Args:
        call: what was asked.
        reply: the answer.
        trailer: the caller wants to know the cost at the end.
        over: told when the response is closed.
    """

    def __init__(self, call: Call, reply: Reply, *, trailer: bool, over: Callable[[], None] = lambda: None) -> None:
        self._call = call
        self._reply = reply
        self._trailer = trailer
        self._over = over
        self._sequence = 0
        self._done = b""

    def __aiter__(self) -> Self:
        # An iterator and no generator: who iterates a second time goes on where the first one stopped.
        return self

    async def __anext__(self) -> bytes:
        """The next event's bytes.

        Raises:
            httpx2.ReadTimeout: the client's own `read` timeout has passed.
            httpx2.RemoteProtocolError: bytes of any kind broke off.
        """
        try:
            async for event in self._reply:
                self._sequence += 1
                if self._trailer and event.raw.startswith(DONE):
                    # Nobody reads on behind it, and the cost is known only once the stream has ended.
                    self._done = event.raw
                elif not event.hidden:
                    return event.raw
        except HeadgateError as error:
            await self.aclose()
            self._trailer = False
            if self._call.timeouts is not None and isinstance(error.__cause__, TimeoutError):
                raise httpx2.ReadTimeout(error.message) from error
            if self._call.opaque:
                raise httpx2.RemoteProtocolError(error.message) from error
            return DIALECTS[self._call.operation].write_error(error, sequence=self._sequence)
        if self._trailer:
            self._trailer = False
            return present.trailer(self._reply) + self._done
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close the reply, wherever it is, and so the provider's connection."""
        try:
            await self._reply.close()
        finally:
            self._over()


Answer: TypeAlias = tuple[int, dict[str, str], bytes | Chunks]
"""Status, headers, and the body or the stream of it."""


class Exchange:
    """Answers HTTP requests by the gate.

    Args:
        gate: gives the gate, opened if need be; others may ask for it, too.
    """

    def __init__(self, gate: Callable[[], Awaitable[Gate]]) -> None:
        self.gate = gate

    async def answer(self, request: httpx2.Request, raw: bytes) -> Answer:
        """Answer a request whose body is here.

        Args:
            request: the request; nothing of it travels upstream but its body and the headers of `ask.TRAVELS`.
            raw: its body.

        Raises:
            httpx2.ReadTimeout: the client's own `read` timeout has passed.
            StoppingError: the gate is closed.
        """
        gate = await self.gate()
        try:
            path = _below_v1(request.url.path)
            if path == MODELS or path.startswith(MODELS + "/"):
                return 200, _headers(gate), _models(gate, request, path)
            found = _found(request, path)
            _spooled(request, found, empty=not raw)
            call = _call(gate, found, raw, request)
        except HeadgateError as error:
            return _refusal(gate, error)
        return await _answered(gate, call, request)

    async def receive(self, request: httpx2.Request) -> "Receiving":
        """Begin to receive a form, which may be larger than the memory.

        Raises:
            StoppingError: the gate is closed.
        """
        gate = await self.gate()
        receiving = Receiving(gate, request)
        await receiving.begin()
        return receiving


class Receiving:
    """A form that arrives chunk by chunk, and its answer. Used by `with`, which lets go of what was received.

    Args:
        gate: answers.
        request: the request; its body is not looked at.
    """

    def __init__(self, gate: Gate, request: httpx2.Request) -> None:
        self._gate = gate
        self._request = request
        self._found: Found | None = None
        self._spool: Spool | None = None
        self._refused: HeadgateError | None = None
        self._call: Call | None = None

    async def begin(self) -> None:
        """Look at the head."""
        try:
            self._found = found = _found(self._request, _below_v1(self._request.url.path))
            if _spooled(self._request, found, empty=False):
                self._spool = self._gate.spool(self._request.headers["content-type"])
        except HeadgateError as error:
            self._refused = error

    async def write(self, chunk: bytes) -> bool:
        """Take a chunk; False: no more of them, the request is refused."""
        try:
            if self._spool is not None and self._refused is None:
                await self._spool.write(chunk)
        except HeadgateError as error:
            self._refused = error
        return self._refused is None

    async def answer(self) -> Answer:
        """Answer the request, all of whose body was written.

        Raises:
            httpx2.ReadTimeout: the client's own `read` timeout has passed.
            StoppingError: the gate is closed.
        """
        try:
            if self._refused is not None:
                raise self._refused
            assert self._found is not None, "it has begun"
            assert self._spool is not None, "nothing but a form is received so"
            call = self._call = _call(self._gate, self._found, await self._spool.finish(), self._request)
        except HeadgateError as error:
            return _refusal(self._gate, error)
        spool, over = self._spool, self._gate.once.outlive.after
        answer = await _answered(self._gate, call, self._request, lambda: over(call.id, spool.close))
        if isinstance(answer[2], Chunks):
            # From here on it belongs to the response.
            self._spool = None
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._spool is not None and self._call is not None:
            # The call may go on without its caller.
            self._gate.once.outlive.after(self._call.id, self._spool.close)
        elif self._spool is not None:
            self._spool.close()


async def _answered(gate: Gate, call: Call, request: httpx2.Request, over: Callable[[], None] = lambda: None) -> Answer:
    read = request.extensions.get("timeout", {}).get("read")
    try:
        try:
            async with asyncio.timeout(read):
                reply = await gate(call)
        except (TimeoutError, builtins.TimeoutError) as error:
            if isinstance(error, TimeoutError) and (read is None or call.deadline is not None):
                raise
            raise httpx2.ReadTimeout(f"No answer within {read:g} s.", request=request) from error
    except HeadgateError as error:
        return present.error_answer(error, call.request_id)
    if reply.stream:
        trailer = request.headers.get(TRAILER) == "1" and not call.opaque
        return reply.status, present.reply_headers(call, reply), Chunks(call, reply, trailer=trailer, over=over)
    async with reply:
        event = await reply.read()
        return reply.status, present.reply_headers(call, reply), event.raw


def _refusal(gate: Gate, error: HeadgateError) -> Answer:
    """The answer to a request that never became a call."""
    return present.error_answer(error, f"req_{gate.new_id()}")


def _below_v1(path: str) -> str:
    """The address below `/v1`, whatever stands before it.

    Raises:
        UnknownPathError: there is no `/v1` in it.
    """
    _, found, below = path.partition("/v1/")
    if not found:
        raise UnknownPathError(f"There is no {path}.", hint="The SDK's `base_url` must end with `/v1`.")
    return "/" + below


def _found(request: httpx2.Request, path: str) -> Found:
    return endpoints.find(request.method, path, request.url.query.decode("latin-1"))


def _spooled(request: httpx2.Request, found: Found, *, empty: bool) -> bool:
    headers = request.headers
    return bodies.spooled(
        found.endpoint.takes, headers.get("content-type"), headers.get("content-encoding"), empty=empty
    )


def _call(gate: Gate, found: Found, raw: bytes | Upload, request: httpx2.Request) -> Call:
    headers = request.headers
    return gate.call(
        found.endpoint.operation,
        raw,
        found=found,
        tags=ask.tags(headers.get(ask.TAGS, "")),
        headers=ask.travelling(headers),
        timeout=ask.deadline(headers[ask.DEADLINE]) if ask.DEADLINE in headers else None,
        timeouts=_timeouts(request),
        priority=ask.priority(headers[ask.PRIORITY]) if ask.PRIORITY in headers else 5,
        idempotency_key=ask.idempotency_key(headers[ask.IDEMPOTENCY]) if ask.IDEMPOTENCY in headers else None,
        cache=ask.cache(headers[ask.CACHE]) if ask.CACHE in headers else None,
    )


def _timeouts(request: httpx2.Request) -> Timeouts | None:
    limits: Mapping[str, float | None] = request.extensions.get("timeout", {})
    read = limits.get("read")
    if read is None:
        return None
    plain = Timeouts()
    connect = limits.get("connect")
    return Timeouts(
        connect=plain.connect if connect is None else connect,
        first_token=read,
        silence=read,
        # A stream may go on for as long as it speaks, within what any answer may take.
        total=max(read, plain.total),
    )


def _models(gate: Gate, request: httpx2.Request, path: str) -> bytes:
    if request.method != "GET":
        raise MethodNotAllowedError(f"/v1{path} takes GET, not {request.method}.")
    if path == MODELS:
        return present.model_list(map(gate.offer, gate.models()))
    return present.model(gate.offer(path[len(MODELS) + 1 :]))


def _headers(gate: Gate) -> dict[str, str]:
    return {"content-type": present.JSON, "x-request-id": f"req_{gate.new_id()}"}
