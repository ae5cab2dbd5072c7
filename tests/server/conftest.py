"""A raw ASGI client, and a gate on the simulator to ask."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemChance
from headgate.testing import VirtualClock

JSON = ("content-type", "application/json")


class Got(NamedTuple):
    """What came back."""

    status: int | None
    headers: dict[str, str]
    chunks: list[bytes]
    times: list[float]
    complete: bool
    cancelled: bool = False

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.chunks)

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an OpenAI-shaped error, whose shape is checked."""
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert isinstance(error["message"], str)
        assert "Traceback" not in error["message"]
        assert self.headers["content-type"] == "application/json"
        return error["code"]


class Client:
    """Talks ASGI to an application.

    `hang_up_after` is when the caller leaves, `cut_after` when the server ends the exchange, in seconds of the loop's
    clock.
    """

    def __init__(self, app) -> None:
        self.app = app

    async def post(self, path="/v1/chat/completions", body: Any = b"", headers=(JSON,), **how) -> Got:
        """Send a body; what is not bytes is sent as JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.send("POST", path, [raw], headers, **how)

    async def get(self, path, headers=(), **how) -> Got:
        """Read a page."""
        return await self.send("GET", path, [b""], headers, **how)

    async def send(
        self, method, path, parts: Sequence[bytes], headers=(), *, query="", hang_up_after=None, cut_after=None
    ) -> Got:
        """Send a request in parts, and take what comes until the application returns."""
        loop = asyncio.get_running_loop()
        left = asyncio.Event()
        me = asyncio.current_task()
        timers = [
            loop.call_later(seconds, act)
            for seconds, act in ((hang_up_after, left.set), (cut_after, me.cancel))
            if seconds is not None
        ]
        waiting = list(parts)
        got = Got(None, {}, [], [], complete=False)

        async def receive():
            if waiting:
                return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message) -> None:
            nonlocal got
            if left.is_set():
                return
            if message["type"] == "http.response.start":
                assert got.status is None
                pairs = [(name.decode(), value.decode("latin-1")) for name, value in message["headers"]]
                assert len(dict(pairs)) == len(pairs), pairs
                got = got._replace(status=message["status"], headers=dict(pairs))
                return
            assert message["type"] == "http.response.body"
            assert got.status is not None
            assert not got.complete
            if message.get("body"):
                got.chunks.append(message["body"])
                got.times.append(loop.time())
            got = got._replace(complete=not message.get("more_body", False))

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "scheme": "http",
            "http_version": "1.1",
            "headers": [
                (name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        try:
            await self.app(scope, receive, send)
        except asyncio.CancelledError:
            me.uncancel()
            got = got._replace(cancelled=True)
        for timer in timers:
            timer.cancel()
        if "content-length" in got.headers and method != "HEAD":
            assert int(got.headers["content-length"]) == len(got.body)
        return got


SETTINGS = {
    "store": "memory://",
    "providers": {"p": {"type": "simulator"}},
    "models": {"gpt-6-luna": {"targets": [{"provider": "p"}]}, "*": {"targets": [{"provider": "p"}]}},
}


@asynccontextmanager
async def gate_on_simulator(**settings: Any) -> AsyncIterator[Gate]:
    """A gate in virtual time whose only provider is the simulator `p`; it has no default model."""
    loaded = load(None, environment={}, settings={**SETTINGS, **settings})
    async with await Gate.open(loaded.config, clock=VirtualClock(), chance=SystemChance(7)) as gate:
        yield gate


@pytest.fixture(name="client")
def _client():
    """The client's class."""
    return Client


@pytest.fixture(name="simulated_gate")
def _simulated_gate():
    """Makes gates on the simulator."""
    return gate_on_simulator
