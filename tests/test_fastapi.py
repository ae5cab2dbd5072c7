"""What an application gets for its two lines, and what it may decide otherwise."""

import asyncio
import os
from contextlib import asynccontextmanager
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Header, Request, WebSocket
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient

import headgate.fastapi
from headgate.client.asynchronous import AsyncHeadgate
from headgate.core.errors import ConfigError, GarbledError, HeadgateError, ProviderError, RateLimitError, StoppingError
from headgate.fastapi import GateDep, exception_handlers, generate_router, lifespan_with, while_connected

MODELS = {"default": "gpt-6-luna", "*": {"targets": [{"provider": "sim"}]}}


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "HEADGATE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def application(lifespan=None, **more):
    """An application whose route fails as it is asked to."""
    app = FastAPI(lifespan=lifespan or lifespan_with(simulate=True), **more)

    @app.get("/model")
    async def model(gate: GateDep) -> str:
        return (await gate.generate_response("Hi", max_tokens=16)).model

    @app.get("/fail")
    async def fail(gate: GateDep) -> str:
        assert gate
        raise RateLimitError("secret", retry_after=3)

    return app


def test_two_lines(monkeypatch):
    """The lifespan and the dependency; the environment says the rest."""
    monkeypatch.setenv("HEADGATE_SIMULATE", "1")
    app = FastAPI(lifespan=headgate.fastapi.lifespan)

    @app.get("/")
    async def root(gate: GateDep) -> str:
        return (await gate.generate_response("Hi", max_tokens=16)).model

    with TestClient(app) as client:
        assert client.get("/").json() == "gpt-6-luna"


def test_without_a_key_the_application_does_not_start():
    """And says what is missing."""
    with pytest.raises(ConfigError) as told, TestClient(FastAPI(lifespan=headgate.fastapi.lifespan)):
        pass
    assert "OPENAI_API_KEY" in f"{told.value} {told.value.hint}"


def test_settings_may_be_given():
    """A file, a mapping, or single ones, as for `AsyncHeadgate`."""
    app = application(lifespan_with({"store": "memory://"}, simulate=True, model="gpt-5.4-mini"))
    with TestClient(app) as client:
        assert client.get("/model").json() == "gpt-5.4-mini"


def test_the_gate_is_opened_at_its_first_use_and_closed_with_the_application():
    """Starting opens nothing; ending closes it for good."""

    async def story():
        app = application()
        async with app.router.lifespan_context(app) as state:
            gate = state["headgate"]
            assert isinstance(gate, AsyncHeadgate)
            assert gate._gate is None
            await gate.models()
            assert gate._gate is not None
        with pytest.raises(StoppingError):
            await gate.models()

    asyncio.run(story())


def test_an_error_that_a_route_leaves_alone_is_told():
    """By the matrix, without further lines."""
    with TestClient(application()) as client:
        answer = client.get("/fail")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    assert "secret" not in answer.text


@pytest.mark.parametrize("kind", [RateLimitError, ProviderError, HeadgateError])
def test_an_application_s_own_handler_goes_first(kind):
    """For the very error, or for a kind of errors; one for other errors, or for any at all, does not count."""
    app = application()

    async def mine(_request, error):
        return JSONResponse({"mine": error.message}, 418)

    app.add_exception_handler(kind, mine)
    with TestClient(app) as client:
        assert (client.get("/fail").status_code, client.get("/fail").json()) == (418, {"mine": "secret"})


@pytest.mark.parametrize("kind", [GarbledError, Exception])
def test_a_handler_of_something_else_does_not(kind):
    """Not even one for every exception, which is for those that nobody expects."""
    app = application()

    async def mine(_request, _error):
        return JSONResponse({}, 418)

    app.add_exception_handler(kind, mine)
    with TestClient(app) as client:
        assert client.get("/fail").status_code == 429


def test_the_handlers_are_there_for_routes_that_have_a_gate_otherwise():
    """One argument to `FastAPI`."""
    app = FastAPI(exception_handlers=exception_handlers)

    @app.get("/")
    async def root() -> None:
        raise GarbledError("secret")

    answer = TestClient(app).get("/")
    assert (answer.status_code, "secret" in answer.text) == (502, False)


def test_mounted_applications_have_the_gate_too():
    """And their errors are told alike."""
    outer = FastAPI(lifespan=lifespan_with(simulate=True))
    outer.mount("/in", application(lifespan_with({"providers": {}})))
    with TestClient(outer) as client:
        assert client.get("/in/model").json() == "gpt-6-luna"
        assert client.get("/in/fail").status_code == 429


@pytest.mark.parametrize("passed_on", [True, False])
def test_it_fits_into_a_lifespan_of_the_application_s_own(passed_on):
    """Whether that passes the state on or not."""
    ended = []

    @asynccontextmanager
    async def own(app):
        async with lifespan_with(simulate=True)(app) as state:
            yield {**(state if passed_on else {}), "mine": 1}
        ended.append(True)

    app = application(own)

    @app.get("/mine")
    async def mine(request: Request) -> int:
        return request.state.mine

    with TestClient(app) as client:
        assert client.get("/model").json() == "gpt-6-luna"
        assert client.get("/mine").json() == 1
    assert ended == [True]


def test_without_its_lifespan_the_cure_is_named():
    """The usual slip in tests: a client that was not entered."""
    with pytest.raises(RuntimeError, match="with TestClient"):
        TestClient(application()).get("/model")


def test_web_sockets_get_the_gate_and_the_errors_as_they_are():
    """There is no status to tell them by."""
    app = FastAPI(lifespan=lifespan_with(simulate=True))

    @app.websocket("/ws")
    async def talk(socket: WebSocket, gate: GateDep) -> None:
        await socket.accept()
        await socket.send_text((await gate.generate_response("Hi", max_tokens=16)).model)
        raise RateLimitError(await socket.receive_text())

    heard = []

    def listen(client: TestClient) -> None:
        with client.websocket_connect("/ws") as socket:
            heard.append(socket.receive_text())
            socket.send_text("as it is")
            socket.receive_text()

    with TestClient(app) as client, pytest.raises(RateLimitError, match="as it is"):
        listen(client)
    assert heard == ["gpt-6-luna"]


def test_the_router_knows_the_application_s_user():
    """Whatever the dependency returns is on the books; a model may be set."""

    async def user(x_user: Annotated[str, Header()]) -> str:
        return x_user

    app = application()
    app.include_router(generate_router(user=user, model="gpt-5.4-mini"), prefix="/ai")

    @app.get("/books")
    async def books(gate: GateDep) -> list[dict[str, str | None]]:
        return [dict(part.group) for part in (await gate.usage(by=["user", "model"])).by]

    with TestClient(app) as client:
        assert client.post("/ai/generate", json={"prompt": "Hi"}).status_code == 422
        assert client.post("/ai/generate", json={"prompt": "Hi"}, headers={"x-user": "anna"}).status_code == 200
        assert client.get("/books").json() == [{"user": "anna", "model": "gpt-5.4-mini"}]


def test_the_router_without_a_user():
    """Nobody in particular asks the default model."""
    app = application()
    app.include_router(generate_router())
    with TestClient(app) as client:
        answer = client.post("/generate", json={"prompt": "Hi", "max_tokens": 16})
    assert (answer.status_code, set(answer.json())) == (200, {"content", "tokens_used", "cost"})


@pytest.mark.parametrize("path", ["/generate", "/generate-stream"])
def test_the_router_s_errors_are_the_application_s(path):
    """By the matrix, or by a handler of its own."""
    faults = [{"kind": "status", "status": 401}]
    settings = {"store": "memory://", "providers": {"sim": {"type": "simulator", "faults": faults}}, "models": MODELS}

    async def mine(_request, error):
        return JSONResponse({"mine": type(error).__name__}, 418)

    app = application(lifespan_with(settings))
    app.include_router(generate_router())
    with TestClient(app) as client:
        answer = client.post(path, json={"prompt": "Hi"})
    assert (answer.status_code, "credentials" in answer.json()["detail"]) == (401, True)
    app = application(lifespan_with(settings), exception_handlers={ProviderError: mine})
    app.include_router(generate_router())
    with TestClient(app) as client:
        answer = client.post(path, json={"prompt": "Hi"})
    assert (answer.status_code, answer.json()) == (418, {"mine": "AuthenticationError"})


def test_a_dependency_may_be_put_in_its_place():
    """As in any FastAPI test: `GateDep` is an ordinary dependency."""
    app = application()
    (dependency,) = [part.dependency for part in GateDep.__metadata__]

    async def instead():
        async with AsyncHeadgate(simulate=True, model="gpt-5.4-mini") as gate:
            yield gate

    app.dependency_overrides[dependency] = instead
    with TestClient(app) as client:
        assert client.get("/model").json() == "gpt-5.4-mini"


def test_work_goes_on_while_the_caller_is_there():
    """`while_connected` gives what runs inside."""
    app = application()

    @app.post("/body")
    async def body(request: Request, word: Annotated[str, Depends(lambda: "a")]) -> str:
        async with while_connected(request):
            await asyncio.sleep(0)
        return word

    with TestClient(app) as client:
        assert client.post("/body", json=1).json() == "a"
