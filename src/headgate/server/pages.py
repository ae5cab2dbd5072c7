"""Everything but the hot path, through FastAPI: is it alive, is it ready, how is it doing, what does it offer.

Decides what these pages say and to whom; refuses to know `/v1`. `/healthz` and `/readyz` are open. So is `/health`, but
what failed and where the books stand is told only to those who may call, and providers are asked at most once in
`HEALTH_AGE` seconds, however often it is read. `/metrics` is for those who may call alone. `/admin/*` is `admin.py`'s.
"""

import asyncio
import os
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler, request_validation_exception_handler
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from headgate.apps.failures import Failed
from headgate.core.clock import Clock
from headgate.core.errors import (
    BadRequestError,
    HeadgateError,
    InvalidKeyError,
    MethodNotAllowedError,
    UnknownPathError,
)
from headgate.dialects.endpoints import way_to
from headgate.gate import present
from headgate.gate.gate import Gate
from headgate.gate.loaded import generation
from headgate.server import admin, apps
from headgate.server.auth import Anyone, Keys
from headgate.server.docs_page import docs_page
from headgate.server.intake import read_head
from headgate.server.metrics import Metrics
from headgate.server.openapi import components, hot_paths

HEALTH_AGE = 2.0
"""Seconds for which an answer of `/health` is told again."""
_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


class _Health:
    """The state of the gate, asked at most once at a time and once in `HEALTH_AGE`."""

    def __init__(self, gate: Gate, clock: Clock) -> None:
        self._gate = gate
        self._clock = clock
        self._lock = asyncio.Lock()
        self._asked = float("-inf")
        self._found: dict[str, Any] = {}

    async def __call__(self) -> dict[str, Any]:
        async with self._lock:
            if self._clock.monotonic() - self._asked > HEALTH_AGE:
                self._found = await self._gate.health()
                self._asked = self._clock.monotonic()
            return self._found


def pages(gate: Gate, keys: Keys | Anyone, clock: Clock, worker: int) -> FastAPI:
    """The FastAPI application. `worker` is which of the processes at this address it is."""
    own = version("headgate")
    app = FastAPI(
        title="headgate", version=own, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    about = partial(_about, gate, own)
    health = _Health(gate, clock)
    described: dict[str, Any] = {}

    def describe() -> dict[str, Any]:
        if not described:
            described.update(_describe(app, own, simulated=gate.simulated))
        return described

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def root() -> dict[str, Any]:
        return {"name": "headgate", **about(), "docs": "/docs", "api": "/v1"}

    @app.get("/healthz", summary="Alive", description="Answers as long as the process does.")
    @app.head("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, Any]:
        return {"status": "ok", **about()}

    @app.get("/readyz", summary="Ready", description="200 where calls can be taken and booked, else 503.")
    @app.head("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        ready = await gate.ready()
        return JSONResponse({"status": "ready" if ready else "not ready", **about()}, 200 if ready else 503)

    @app.get("/health", summary="Health", description="The state of providers and stores; 503 where nobody answers.")
    @app.head("/health", include_in_schema=False)
    async def state(request: Request) -> JSONResponse:
        found = {**await health(), "process": _process(gate, worker)}
        try:
            keys.caller(read_head(request.scope))
        except InvalidKeyError:
            told = {name: {"state": one["state"]} for name, one in found["providers"].items()}
            found = {"status": found["status"], "providers": told}
        return JSONResponse({**found, **about()}, 503 if found["status"] == "down" else 200)

    @app.api_route("/openapi.json", methods=["GET", "HEAD"], include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        return describe()

    @app.api_route("/docs", methods=["GET", "HEAD"], include_in_schema=False)
    async def docs() -> Response:
        page = docs_page(describe(), simulated=gate.simulated)
        return HTMLResponse(page, headers={"content-security-policy": _PAGE_POLICY})

    _measured(app, Metrics(gate, worker if gate.config.server.workers > 1 else None), keys)
    more = apps.routes(gate, keys).routes
    return _in_shape(app, more if gate.config.server.admin_port is not None else [*more, *admin.routes(gate).routes])


def _about(gate: Gate, own: str) -> dict[str, Any]:
    return {"version": own, "simulated": gate.simulated}


def _process(gate: Gate, worker: int) -> dict[str, Any]:
    return {"pid": os.getpid(), "worker": worker, "generation": generation(gate.config)}


def admin_pages(gate: Gate) -> FastAPI:
    """What is served at `server.admin_port`: `/admin/*`, and whether it is alive."""
    app = FastAPI(title="headgate", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)

    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        return {"status": "ok"}

    return _in_shape(app, admin.routes(gate).routes)


def _in_shape(app: FastAPI, more: Sequence[BaseRoute]) -> FastAPI:
    """With further routes; whatever is refused is told like everywhere."""
    # Side by side with the others, so that `_elsewhere` finds them.
    app.router.routes.extend(more)
    app.add_exception_handler(HeadgateError, _told)
    app.add_exception_handler(RequestValidationError, _mistyped)
    app.add_exception_handler(404, _elsewhere)
    app.add_exception_handler(405, _elsewhere)
    return app


def _measured(app: FastAPI, metrics: Metrics, keys: Keys | Anyone) -> None:
    @app.get("/metrics", summary="Metrics", description="Counts and states, in the text format of Prometheus.")
    @app.head("/metrics", include_in_schema=False)
    async def figures(request: Request) -> Response:
        try:
            keys.caller(read_head(request.scope))
        except InvalidKeyError as error:
            return _refused(error, {"www-authenticate": "Bearer"})
        body, content_type = metrics.page(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})


async def _elsewhere(request: Request, error: Exception) -> Response:
    """Answer what no page answers: the question which methods one takes, or a refusal in the shape of all others."""
    if isinstance(error, Failed):
        return await http_exception_handler(request, error)
    path, method = request.scope["path"][:80], request.method[:80]
    found: set[str] = {"GET", "HEAD", "POST", "DELETE"} if path == "*" else set()
    for route in request.app.routes:
        if isinstance(route, APIRoute) and route.path_regex.match(request.scope["path"]):
            found |= route.methods or set()
    allowed = ", ".join(sorted({*found, "OPTIONS"}))
    if found and method == "OPTIONS":
        return Response(status_code=204, headers={"allow": allowed})
    refusal: HeadgateError = UnknownPathError(f"There is no {path!r} here.", hint=way_to(request.scope["path"]))
    if found:
        refusal = MethodNotAllowedError(f"{path} does not take {method}.", hint=f"It takes {allowed}.")
    return _refused(refusal, {"allow": allowed} if found else {})


async def _told(_request: Request, error: Exception) -> Response:
    """Answer what a route refuses."""
    assert isinstance(error, HeadgateError)
    return _refused(error, {"www-authenticate": "Bearer"} if isinstance(error, InvalidKeyError) else {})


async def _mistyped(request: Request, error: Exception) -> Response:
    """Answer a request that is not what a route takes: an app's in the shape that FastAPI gives it everywhere."""
    assert isinstance(error, RequestValidationError)
    if not request.scope["path"].startswith(admin.PREFIX):
        return await request_validation_exception_handler(request, error)
    detail = error.errors()[0]
    name = str(detail["loc"][-1])
    text = str(detail["msg"]).replace("Input should be", "must be")
    return _refused(BadRequestError(f"`{name}` {text}.", param=name), {})


def _refused(error: HeadgateError, more: dict[str, str]) -> Response:
    status, headers, body = present.error_answer(error, "")
    # The id is named to every page alike, behind this.
    del headers["x-request-id"]
    return Response(body, status, {**headers, **more})


def _describe(app: FastAPI, own: str, *, simulated: bool) -> dict[str, Any]:
    schema = get_openapi(
        title="headgate",
        version=own,
        description="One gate that every model call passes. Any OpenAI client works with it: "
        "set its `base_url` to this address and `/v1`."
        + (" Simulated: some or all answers are made up." if simulated else ""),
        routes=app.routes,
    )
    schema["paths"] = {**hot_paths(), **schema["paths"]}
    for kind, named in components().items():
        schema.setdefault("components", {}).setdefault(kind, {}).update(named)
    return schema
