"""A FastAPI application with a gate, under uvicorn, in front of a provider that fails: real sockets all the way."""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request, Response

from headgate import fastapi as gated
from headgate.fastapi import GateDep
from headgate.gate.ports import SystemClock
from headgate.providers.simulator import Fault, Latency, Simulator, simulator_app
from headgate.server.serve import listening

pytestmark = pytest.mark.e2e

KEY = "sk-the-application-s-own"
FOREVER = 3600.0
DONE = {"type": "done"}
HEARD = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{"role":"assistant","content":"One two three."},"finish_reason":null}]}\n\n'
)


def application(address: str, **settings: Any) -> FastAPI:
    """The least that a user writes, but for the settings."""
    up = {"type": "openai", "base_url": f"{address}/v1", "api_key": KEY, **settings.pop("up", {})}
    plain = {"store": "memory://", "policies": {"retry": {"max_attempts": 1}}}
    app = FastAPI(lifespan=gated.lifespan_with({**plain, **settings, "providers": {"secretive": up}}))

    @app.get("/whole")
    async def whole(gate: GateDep, question: str = "Hi", model: str = "gpt-6-luna") -> str:
        return (await gate.generate_response(question, model=model)).text

    @app.get("/stream")
    async def stream(gate: GateDep, question: str = "Hi", model: str = "gpt-5.4-mini") -> Response:
        return gated.sse_response(gate.stream(question, model=model))

    @app.get("/watched")
    async def watched(gate: GateDep, request: Request) -> str:
        async with gated.while_connected(request):
            return (await gate.generate_response("Hi", model="gpt-6-luna")).text

    @app.get("/wrong")
    async def wrong(gate: GateDep) -> str:
        raise ZeroDivisionError(f"{KEY} at {address}, {gate}")

    return app


@pytest.fixture(name="applied")
def _applied(hosted):
    """Makes the application in front of a simulator with a fault, and a client of it."""

    @asynccontextmanager
    async def applied(*faults: Fault, grace: int | None = None, latency: Latency | None = None, **settings: Any):
        simulator = Simulator(clock=SystemClock(), faults=faults, latency=latency or Latency())
        async with (
            listening(simulator_app(simulator), host="127.0.0.1", port=0, grace=0) as upstream,
            hosted(application(upstream, **settings), grace=grace) as address,
            httpx2.AsyncClient(base_url=address, timeout=20, trust_env=False) as http,
        ):
            yield http, upstream

    return applied


def told(answer: httpx2.Response, upstream: str) -> str:
    """What a refusal says; it must be a sentence, and say nothing that is nobody's business."""
    words = answer.json()["detail"]
    assert set(answer.json()) == {"detail"}
    assert words[0].isupper()
    assert words.endswith(".")
    everything = answer.text + str(answer.headers)
    for secret in (
        KEY,
        upstream.removeprefix("http://"),
        "127.0.0.1",
        "secretive",
        "Traceback",
        "headgate",
        "gpt-6-luna",
    ):
        assert secret not in everything, secret
    return words


FAST = {"timeout": {"connect": 5, "first_token": 0.3, "silence": 0.3, "total": 0.3}}
# The requirement, row by row: what the provider does, the settings, the status, Retry-After, a piece of what is told.
MATRIX: list[tuple[str, Fault, dict[str, Any], int, str | None, str]] = [
    ("authentication", Fault(kind="status", status=401), {}, 401, None, "credentials"),
    ("permission", Fault(kind="status", status=403), {}, 401, None, "credentials"),
    ("rate limit", Fault(kind="status", status=429, retry_after=7.2), {}, 429, "8", "too many requests"),
    ("rate limit, no word", Fault(kind="status", status=429), {}, 429, "60", "too many requests"),
    ("quota", Fault(kind="status", status=429, code="insufficient_quota"), {}, 429, "60", "quota"),
    ("timeout", Fault(kind="silence"), {"up": FAST}, 504, None, "in time"),
    ("reset", Fault(kind="reset"), {}, 503, None, "cannot be reached"),
    ("nobody there", Fault(kind="reset"), {"up": {"base_url": "http://127.0.0.1:1/v1"}}, 503, None, "be reached"),
    ("server error", Fault(kind="status", status=500), {}, 502, None, "in trouble"),
    ("gateway timeout", Fault(kind="status", status=504), {}, 502, None, "in trouble"),
    ("bad request", Fault(kind="status", status=400, code="odd"), {}, 502, None, "refuses the request"),
    ("content", Fault(kind="status", status=400, code="content_policy_violation"), {}, 502, None, "content"),
    ("garbled", Fault(kind="malformed"), {}, 502, None, "cannot be read"),
]


@pytest.mark.parametrize("row", MATRIX, ids=lambda row: row[0])
def test_the_matrix(row, applied):
    """Whole or streamed, a failure before the first word has the status of its row, and a text that leaks nothing."""
    _, fault, settings, status, wait, words = row

    async def story():
        async with applied(fault, **settings) as (http, upstream):
            for face in ("/whole", "/stream"):
                answer = await http.get(face)
                assert (answer.status_code, answer.headers.get("retry-after")) == (status, wait), (face, answer.text)
                assert words in told(answer, upstream)

    asyncio.run(story())


def test_anything_unexpected_is_500_and_says_nothing(applied):
    """A mistake in the application is told by FastAPI itself, without its inside."""

    async def story():
        async with applied() as (http, _):
            return await http.get("/wrong")

    answer = asyncio.run(story())
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")


def test_a_request_that_cannot_fit_is_400_and_names_both_numbers(applied):
    """Counted here before anything leaves, or by the provider: 400 either way."""
    small = {"catalog": {"models": {"gpt-6-luna": {"context": 20, "max_output": 10}}}}

    async def story():
        async with applied(**small) as (http, upstream):
            fits = await http.get("/whole", params={"question": "one two three"})
            counted = await http.get("/whole", params={"question": "one two three " * 20})
            words = told(counted, upstream)
        said = Fault(kind="status", status=400, code="context_length_exceeded")
        async with applied(said) as (http, upstream):
            theirs = await http.get("/stream")
            return fits, counted, words, theirs, told(theirs, upstream)

    fits, counted, words, theirs, their_words = asyncio.run(story())
    assert (fits.status_code, counted.status_code, theirs.status_code) == (200, 400, 400)
    assert "at most 20 tokens" in words
    (number,) = re.findall(r"comes to about (\d+):", words)
    assert int(number) > 20
    assert "too long" in their_words


async def _events(address: Any, heard: asyncio.Event | None = None) -> list[Any]:
    """The events of a stream, whose headers are those of the requirement."""
    found = []
    async with (
        httpx2.AsyncClient(base_url=address, timeout=20, trust_env=False) as http,
        http.stream("GET", "/stream") as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["connection"] == "keep-alive"
        assert answer.headers["x-accel-buffering"] == "no"
        async for line in answer.aiter_lines():
            if line:
                assert line.startswith("data: ")
                found.append(json.loads(line.removeprefix("data: ")))
                if heard is not None:
                    heard.set()
    return found


def test_a_whole_stream(applied):
    """Words, then `done`, once; together they are the answer."""

    async def story():
        async with applied() as (http, _):
            events = await _events(http.base_url)
            return events, (await http.get("/whole", params={"model": "gpt-5.4-mini"})).json()

    events, whole = asyncio.run(story())
    assert events[-1] == DONE
    assert all(set(event) == {"content", "type"} and event["type"] == "content" for event in events[:-1])
    assert "".join(event["content"] for event in events[:-1]) == whole


@pytest.mark.parametrize("kind", ["cut", "stall", "malformed", "error_event"])
def test_a_stream_that_the_provider_breaks(kind, applied):
    """What was said stands; then one `error` with a message, and no `done`."""
    fault = Fault(kind=kind, after_tokens=3)

    async def story():
        async with applied(fault, up={"timeout": {"silence": 0.3}}) as (http, _):
            return await _events(http.base_url)

    *said, last = asyncio.run(story())
    assert said
    assert all(event["type"] == "content" for event in said)
    assert set(last) == {"type", "message"}
    assert last["type"] == "error"
    assert last["message"].endswith(".")
    assert "127.0.0.1" not in last["message"]


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(1):
        while not true():  # noqa: ASYNC110  what is waited for tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("path", "silent"), [("/stream", False), ("/stream", True), ("/watched", True)])
def test_a_caller_who_leaves_takes_the_provider_s_connection_along(path, silent, hosted, recording, streamed):
    """Within a second: in mid-stream, before the first word, and where a route watches for it."""

    async def story():
        async with recording().listening() as upstream:
            upstream.answer = lambda _: [FOREVER] if silent else streamed(HEARD, FOREVER)
            async with hosted(application(upstream.address)) as address:
                host, _, port = address.removeprefix("http://").rpartition(":")
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
                await upstream.asked.wait()
                if not silent:
                    await reader.readuntil(b"three.")
                writer.close()
                async with asyncio.timeout(1):
                    await upstream.left.wait()
                await _until(lambda: upstream.open == 0)

    asyncio.run(story())


async def _stopped(applied: Any, **settings: Any) -> list[Any]:
    """The events of a stream that is open when the server stops."""
    async with asyncio.TaskGroup() as group, applied(**settings) as (http, _):
        heard = asyncio.Event()
        stream = group.create_task(_events(http.base_url, heard))
        await heard.wait()
    return stream.result()


def test_streams_finish_within_the_grace_of_a_shutdown(applied):
    """The server stops while one is open: all of it arrives."""
    events = asyncio.run(_stopped(applied, grace=20, latency=Latency(per_token=0.02)))
    assert len(events) > 10
    assert events[-1] == DONE


def test_streams_that_outlast_the_grace_end_with_an_error(applied):
    """Cut off, and told so: no `done`."""
    *said, last = asyncio.run(_stopped(applied, grace=1, latency=Latency(per_token=2)))
    assert said
    assert last["type"] == "error"
    assert "shutting down" in last["message"]
