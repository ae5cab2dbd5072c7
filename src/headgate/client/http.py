"""`httpx2` transports that lead into the gate: what `http_client()` hands to the official OpenAI SDK.

Decides how a client's request is handed to the exchange (`exchange.py`) and its answer to the client, on the gate's
event loop or from another thread: a form goes over chunk by chunk, in the caller's own time and thread, everything else
whole. Refuses to know addresses, and what happens to a call.

The client's timeouts mean what they mean on a wire. `read` is the longest wait for the next byte: a whole answer must
be there, and a stream must say its first word, within `read` seconds in all (retries and fallback included), and no
silence after it may be longer; else the client raises `ReadTimeout`, which the SDK turns into its `APITimeoutError`.
`read` also takes the place of the provider's own first-token, silence and (for whole answers) total limits, so that a
client may wait longer, too. `connect` limits each connection attempt. Without a `read` timeout the provider's limits
hold alone, and the SDK sees them as status 504. `write` and `pool` have no meaning here.
"""

import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from typing import Any, Protocol, TypeAlias, TypeVar

import httpx2

from headgate.client.exchange import Chunks, Exchange
from headgate.core.errors import StoppingError
from headgate.gate.bodies import media_type
from headgate.gate.spool import FORM

T = TypeVar("T")

AsyncClient: TypeAlias = httpx2.AsyncClient
Client: TypeAlias = httpx2.Client

NO_TIMEOUT = httpx2.Timeout(None)
"""What our clients say when nobody names a timeout: the SDK takes it over, and the gate's own limits hold alone."""


class Run(Protocol):
    """Runs a coroutine on the gate's event loop, from another thread, and waits for its outcome."""

    def __call__(self, work: Coroutine[Any, Any, T], /) -> T:
        """Wait for the outcome."""
        ...


def async_client(exchange: Exchange) -> AsyncClient:
    """A client whose requests are answered here. Neither proxies nor `.netrc`: nothing of it leaves the process."""
    return httpx2.AsyncClient(transport=AsyncTransport(exchange), timeout=NO_TIMEOUT, trust_env=False)


def sync_client(exchange: Exchange, run: Run) -> Client:
    """The same for callers who wait; `run` answers them on the gate's event loop."""
    return httpx2.Client(transport=SyncTransport(exchange, run), timeout=NO_TIMEOUT, trust_env=False)


class AsyncTransport(httpx2.AsyncBaseTransport):
    """For `httpx2.AsyncClient`. Closing it does not close the gate."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one request."""
        if not _is_form(request):
            return _response(*await self._exchange.answer(request, await request.aread()))
        assert isinstance(request.stream, httpx2.AsyncByteStream), "the client looks after that"
        with await self._exchange.receive(request) as receiving:
            async for chunk in request.stream:
                if not await receiving.write(chunk):
                    break
            return _response(*await receiving.answer())


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
        if not _is_form(request):
            return self._response(*self._run(self._exchange.answer(request, request.read())))
        assert isinstance(request.stream, httpx2.SyncByteStream), "the client looks after that"
        with self._run(self._exchange.receive(request)) as receiving:
            for chunk in request.stream:
                if not self._run(receiving.write(chunk)):
                    break
            return self._response(*self._run(receiving.answer()))

    def _response(self, status: int, headers: Mapping[str, str], body: bytes | Chunks) -> httpx2.Response:
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


def _is_form(request: httpx2.Request) -> bool:
    return media_type(request.headers.get("content-type", "")) == FORM


def _response(
    status: int, headers: Mapping[str, str], body: bytes | httpx2.AsyncByteStream | httpx2.SyncByteStream
) -> httpx2.Response:
    if isinstance(body, bytes):
        return httpx2.Response(status, headers=headers, content=body)
    return httpx2.Response(status, headers=headers, stream=body)
