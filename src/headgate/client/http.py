"""`httpx2` transports that lead into the gate: what `http_client()` hands to the official OpenAI SDK.

Decides which addresses lead where, and how a reply becomes an HTTP response that the SDK cannot tell from one that came
over a wire: the provider's bytes, error statuses with OpenAI-shaped bodies, errors in mid-stream as events in-band.
Refuses to know what happens to a call.

The client's timeouts mean what they mean on a wire. `read` is the longest wait for the next byte: a whole answer must
be there, and a stream must say its first word, within `read` seconds in all (retries and fallback included), and no
silence after it may be longer; else the client raises `ReadTimeout`, which the SDK turns into its `APITimeoutError`.
`read` also takes the place of the provider's own first-token, silence and (for whole answers) total limits, so that a
client may wait longer, too. `connect` limits each connection attempt. Without a `read` timeout the provider's limits
hold alone, and the SDK sees them as status 504. `write` and `pool` have no meaning here.
"""

import asyncio
import builtins
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from typing import Any, Protocol, Self, TypeAlias, TypeVar

import httpx2

from headgate.core.call import Call, Operation, Timeouts
from headgate.core.errors import (
    HeadgateError,
    MethodNotAllowedError,
    StoppingError,
    TimeoutError,  # noqa: A004  the house's word
    UnknownPathError,
)
from headgate.core.reply import Reply
from headgate.dialects.registry import DIALECTS
from headgate.gate import ask, present
from headgate.gate.gate import Gate

T = TypeVar("T")

OPERATIONS = {dialect.path: operation for operation, dialect in DIALECTS.items()}
MODELS = "/models"
TRAILER = "x-headgate-trailer"
DONE = b"data: [DONE]"

AsyncClient: TypeAlias = httpx2.AsyncClient
Client: TypeAlias = httpx2.Client

NO_TIMEOUT = httpx2.Timeout(None)
"""What our clients say when nobody names a timeout: the SDK takes it over, and the gate's own limits hold alone."""


class Run(Protocol):
    """Runs a coroutine on the gate's event loop, from another thread, and waits for its outcome."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T:
        """Wait for the outcome."""
        ...


def async_client(exchange: "Exchange") -> AsyncClient:
    """A client whose requests are answered here. Neither proxies nor `.netrc`: nothing of it leaves the process."""
    return httpx2.AsyncClient(transport=AsyncTransport(exchange), timeout=NO_TIMEOUT, trust_env=False)


def sync_client(exchange: "Exchange", run: Run) -> Client:
    """The same for callers who wait; `run` answers them on the gate's event loop."""
    return httpx2.Client(transport=SyncTransport(exchange, run), timeout=NO_TIMEOUT, trust_env=False)


class Chunks(httpx2.AsyncByteStream):
    """The body of a streamed response: the events of a reply, as the provider sent them."""

    def __init__(self, call: Call, reply: Reply, *, trailer: bool) -> None:
        self._call = call
        self._reply = reply
        self._trailer = trailer
        self._sequence = 0
        self._done = b""

    def __aiter__(self) -> Self:
        # An iterator and no generator: who iterates a second time goes on where the first one stopped.
        return self

    async def __anext__(self) -> bytes:
        """The next event's bytes.

        Raises:
            httpx2.ReadTimeout: the client's own `read` timeout has passed.
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
            await self._reply.close()
            self._trailer = False
            if self._call.timeouts is not None and isinstance(error.__cause__, TimeoutError):
                raise httpx2.ReadTimeout(error.message) from error
            return DIALECTS[self._call.operation].write_error(error, sequence=self._sequence)
        if self._trailer:
            self._trailer = False
            return present.trailer(self._reply) + self._done
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close the reply, wherever it is, and so the provider's connection."""
        await self._reply.close()


class Exchange:
    """Answers HTTP requests by the gate.

    Args:
        gate: gives the gate, opened if need be.
    """

    def __init__(self, gate: Callable[[], Awaitable[Gate]]) -> None:
        self._gate = gate

    async def answer(self, request: httpx2.Request, raw: bytes) -> tuple[int, dict[str, str], bytes | Chunks]:
        """Status, headers, and the body or the stream of it.

        Args:
            request: the request; nothing of it travels upstream but its body and the headers of `ask.TRAVELS`.
            raw: its body.

        Raises:
            httpx2.ReadTimeout: the client's own `read` timeout has passed.
            StoppingError: the gate is closed.
        """
        gate = await self._gate()
        call: Call | None = None
        try:
            path = _below_v1(request.url.path)
            operation = OPERATIONS.get(path)
            if operation is None:
                return 200, _headers(gate), _models(gate, request, path)
            if request.method != "POST":
                raise MethodNotAllowedError(f"{path} takes POST, not {request.method}.")
            read = request.extensions.get("timeout", {}).get("read")
            call = _call(gate, operation, raw, request)
            try:
                async with asyncio.timeout(read):
                    reply = await gate(call)
            except (TimeoutError, builtins.TimeoutError) as error:
                if isinstance(error, TimeoutError) and (read is None or call.deadline is not None):
                    raise
                raise httpx2.ReadTimeout(f"No answer within {read:g} s.", request=request) from error
        except HeadgateError as error:
            return present.error_answer(error, call.request_id if call else f"req_{gate.new_id()}")
        if reply.stream:
            trailer = request.headers.get(TRAILER) == "1"
            return reply.status, present.reply_headers(call, reply), Chunks(call, reply, trailer=trailer)
        async with reply:
            event = await reply.read()
            return reply.status, present.reply_headers(call, reply), event.raw


class AsyncTransport(httpx2.AsyncBaseTransport):
    """For `httpx2.AsyncClient`. Closing it does not close the gate."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one request."""
        return _response(*await self._exchange.answer(request, await request.aread()))


class SyncTransport(httpx2.BaseTransport):
    """For `httpx2.Client`. Closing it does not close the gate.

    Args:
        exchange: answers.
        run: runs the answering on the gate's event loop.
    """

    def __init__(self, exchange: Exchange, run: Run) -> None:
        self._exchange = exchange
        self._run = run

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one request."""
        status, headers, body = self._run(self._exchange.answer(request, request.read()))
        return _response(status, headers, _Blocking(body, self._run) if isinstance(body, Chunks) else body)


class _Blocking(httpx2.SyncByteStream):
    """The same chunks for a caller who waits."""

    def __init__(self, chunks: Chunks, run: Run) -> None:
        self._chunks = chunks
        self._run = run

    def __iter__(self) -> Iterator[bytes]:
        while (chunk := self._run(_next(self._chunks))) is not None:
            yield chunk

    def close(self) -> None:
        # A gate that was closed has closed its connections.
        with contextlib.suppress(StoppingError):
            self._run(self._chunks.aclose())


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)


def _response(
    status: int, headers: Mapping[str, str], body: bytes | httpx2.AsyncByteStream | httpx2.SyncByteStream
) -> httpx2.Response:
    if isinstance(body, bytes):
        return httpx2.Response(status, headers=headers, content=body)
    return httpx2.Response(status, headers=headers, stream=body)


def _below_v1(path: str) -> str:
    """The address below `/v1`, whatever stands before it.

    Raises:
        UnknownPathError: there is no `/v1` in it.
    """
    _, found, below = path.partition("/v1/")
    if not found:
        raise UnknownPathError(f"There is no {path}.", hint="The SDK's `base_url` must end with `/v1`.")
    return "/" + below


def _call(gate: Gate, operation: Operation, raw: bytes, request: httpx2.Request) -> Call:
    headers = request.headers
    return gate.call(
        operation,
        raw,
        tags=ask.tags(headers.get(ask.TAGS, "")),
        headers=ask.travelling(headers),
        timeout=ask.deadline(headers[ask.DEADLINE]) if ask.DEADLINE in headers else None,
        timeouts=_timeouts(request),
        priority=ask.priority(headers[ask.PRIORITY]) if ask.PRIORITY in headers else 5,
    )


def _timeouts(request: httpx2.Request) -> Timeouts | None:
    limits = request.extensions.get("timeout", {})
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
    if path != MODELS:
        raise UnknownPathError(f"There is no /v1{path}.")
    if request.method != "GET":
        raise MethodNotAllowedError(f"/v1{path} takes GET, not {request.method}.")
    return present.model_list(gate.models())


def _headers(gate: Gate) -> dict[str, str]:
    return {"content-type": present.JSON, "x-request-id": f"req_{gate.new_id()}"}
