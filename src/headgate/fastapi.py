"""For FastAPI applications: a gate that lives as long as the application does, in two lines.

    app = FastAPI(lifespan=headgate.fastapi.lifespan)

    @app.get("/ask")
    async def ask(question: str, gate: GateDep) -> str:
        return (await gate.generate_response(question)).text

Decides where the application keeps its gate and what becomes of errors that a route leaves alone: they are told by the
matrix of `headgate.apps.failures`. Refuses to know what routes do with the gate.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.requests import HTTPConnection

from headgate.apps.events import Events, Piece, connected
from headgate.apps.failures import to_users
from headgate.apps.generate import Asking, router
from headgate.client.asynchronous import AsyncHeadgate
from headgate.core.errors import HeadgateError
from headgate.core.wish import Wish
from headgate.gate.config import Config

__all__ = [
    "GateDep", "exception_handlers", "generate_router", "lifespan", "lifespan_with", "sse_response", "while_connected",
]  # fmt: skip

_STATE = "headgate"

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, Any]]]


def lifespan_with(
    config: str | os.PathLike[str] | Mapping[str, Any] | Config | None = None,
    *,
    simulate: bool = False,
    api_key: str | None = None,
    base_url: str | None = None,
    model: str | None = None,
) -> Lifespan:
    """A lifespan whose gate has settings of its own; arguments as for `AsyncHeadgate`.

    The settings are read when the application starts, which fails with a `ConfigError` where they are wrong or no key
    is configured. The gate is opened at its first use, and closed when the application ends.

    Example:
        >>> app = FastAPI(lifespan=lifespan_with(simulate=True))
    """

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        gate = AsyncHeadgate(config, simulate=simulate, api_key=api_key, base_url=base_url, model=model)
        # In both places: a mounted application sees only the state of the request, and a lifespan around this one may
        # forget to pass that on.
        setattr(app.state, _STATE, gate)
        try:
            yield {_STATE: gate}
        finally:
            await gate.aclose()

    return living


lifespan: Lifespan = lifespan_with()
"""The lifespan of an application whose gate is configured by `headgate.yaml` or the environment."""


async def _gate(connection: HTTPConnection) -> AsyncGenerator[AsyncHeadgate, None]:
    gate = connection.scope.get("state", {}).get(_STATE) or getattr(connection.app.state, _STATE, None)
    if gate is None:
        message = (
            "This application has no gate. Make it with `FastAPI(lifespan=headgate.fastapi.lifespan)`; in tests, write "
            "`with TestClient(app)`, which runs its lifespan."
        )
        raise RuntimeError(message)
    try:
        yield gate
    except HeadgateError as error:
        if connection.scope["type"] != "http" or _has_handler(connection.app, error):
            raise
        raise to_users(error) from error


def _has_handler(app: FastAPI, error: HeadgateError) -> bool:
    """Whether an application has its own way to tell an error. A handler of any error is not meant."""
    return any(kind in app.exception_handlers for kind in type(error).__mro__ if issubclass(kind, HeadgateError))


GateDep = Annotated[AsyncHeadgate, Depends(_gate)]
"""The application's gate, as a dependency. Errors that the route leaves alone become HTTP errors: see
`exception_handlers`."""


async def _tell(request: Request, error: HeadgateError) -> Response:
    return await http_exception_handler(request, to_users(error))


exception_handlers: Mapping[type[HeadgateError], Callable[[Request, Any], Awaitable[Response]]] = {HeadgateError: _tell}
"""How errors are told, for `FastAPI(exception_handlers=…)`: for routes that have a gate in another way than `GateDep`,
which tells them all the same. An application's own handler for an error, or for a kind of errors, goes first."""


def sse_response(pieces: AsyncIterable[str | Piece], *, headers: Mapping[str, str] | None = None) -> Response:
    """An answer word by word, as server-sent events.

    `data: {"content": …, "type": "content"}` for each piece, at last `{"type": "done"}`; where the answer breaks,
    `{"type": "error", "message": …}` instead of that. What fails before the first word is an ordinary HTTP error. When
    the caller leaves, `pieces` is closed at once, and with it the provider's connection.

    Args:
        pieces: what `gate.stream` gives, or plain text piece by piece.
        headers: more headers.
    """
    return Events(pieces, headers)


def while_connected(request: Request) -> AbstractAsyncContextManager[None]:
    """Stop what runs inside when the caller leaves, for whole answers: nobody pays for what nobody will read.

    Example:
        async with while_connected(request):
            answer = await gate.generate_response(question)

    Raises:
        HTTPException: 499; the caller has left.
    """
    return connected(request.receive)


async def _nobody() -> None:
    return None


def generate_router(
    *,
    model: str | None = None,
    user: Callable[..., str | Awaitable[str | None] | None] = _nobody,
    cache: bool = True,
) -> APIRouter:
    """`POST /generate` and `POST /generate-stream`, the same as the gateway's.

    Args:
        model: whom to ask; None for the default model.
        user: a dependency that gives the id of the application's user, for the books.
        cache: what was asked before, by whichever user, is answered from the cache.
    """
    wishes = {"cache": Wish(on=cache)}

    async def who(gate: GateDep, user: Annotated[str | None, Depends(user)]) -> Asking:
        return Asking(gate=await gate.exchange.gate(), model=model, user=user, wishes=wishes)

    return router(who)
