"""`/generate` and `/generate-stream`: one table of cases, at the gateway and in the example application."""

import asyncio
import hashlib
import importlib.util
import json
import os
import re
import signal
import sys
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemClock
from headgate.providers.simulator import Simulator, simulator_app
from headgate.server.serve import listening, running

pytestmark = pytest.mark.e2e

EXAMPLE = Path(__file__).parents[2] / "examples" / "fastapi_app.py"
KEY = "hg-of-anna"
HEADERS = {"authorization": f"Bearer {KEY}", "x-user": "anna"}
DONE = {"type": "done"}
FOREVER = 3600.0

# A body, and the status; for 422 also the kind of mistake and its place.
CASES: list[tuple[Any, int, str | None, list[Any]]] = [
    ({"prompt": "x"}, 200, None, []),
    ({"prompt": "x" * 5000, "max_tokens": 20}, 200, None, []),
    ({"prompt": "Hi", "max_tokens": 1}, 200, None, []),
    ({"prompt": "Hi", "max_tokens": 2000, "temperature": 0}, 200, None, []),
    ({"prompt": "Hi", "max_tokens": 20, "temperature": 2}, 200, None, []),
    ({"prompt": "Hi", "max_tokens": 20, "temperature": None}, 200, None, []),
    ({}, 422, "missing", ["body", "prompt"]),
    ({"prompt": ""}, 422, "string_too_short", ["body", "prompt"]),
    ({"prompt": "x" * 5001}, 422, "string_too_long", ["body", "prompt"]),
    ({"prompt": None}, 422, "string_type", ["body", "prompt"]),
    ({"prompt": 7}, 422, "string_type", ["body", "prompt"]),
    ({"prompt": "Hi", "max_tokens": 0}, 422, "greater_than_equal", ["body", "max_tokens"]),
    ({"prompt": "Hi", "max_tokens": 2001}, 422, "less_than_equal", ["body", "max_tokens"]),
    ({"prompt": "Hi", "max_tokens": "20"}, 422, "int_type", ["body", "max_tokens"]),
    ({"prompt": "Hi", "max_tokens": True}, 422, "int_type", ["body", "max_tokens"]),
    ({"prompt": "Hi", "temperature": -0.1}, 422, "greater_than_equal", ["body", "temperature"]),
    ({"prompt": "Hi", "temperature": 2.1}, 422, "less_than_equal", ["body", "temperature"]),
    ({"prompt": "Hi", "max_token": 20}, 422, "extra_forbidden", ["body", "max_token"]),
    ([], 422, "model_attributes_type", ["body"]),
    (b"", 422, "missing", ["body"]),
    (b"{", 422, "json_invalid", ["body"]),
    (b'{"prompt": "Hi", "temperature": NaN}', 422, "json_invalid", ["body"]),
    (b'{"prompt": "\\ud800"}', 422, "json_invalid", ["body"]),
    (b"[" * 10_000, 422, "json_invalid", ["body"]),
    (b'{"prompt": "' + b"x" * 300_000 + b'"}', 413, None, []),
    # Four thousand words of one character each do not fit into what the model takes.
    ({"prompt": "鑫" * 5000}, 400, None, []),
]


def _settings(upstream: str) -> dict[str, Any]:
    provider = {"type": "openai", "base_url": f"{upstream}/v1", "api_key": "sk-theirs", "responses": True}
    return {
        "store": "memory://",
        "server": {"port": 0, "auth": "keys"},
        "keys": [{"name": "anna", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}],
        "providers": {"up": provider},
        "models": {"default": "m", "m": {"targets": [{"provider": "up", "model": "gpt-6-luna"}]}},
        "catalog": {"models": {"gpt-6-luna": {"base": "gpt-6-luna", "context": 4000, "max_output": 1000}}},
        "policies": {"retry": {"max_attempts": 1}},
    }


@pytest.fixture(name="door")
def _door(hosted, tmp_path, monkeypatch):
    """Opens the gateway, or the example as it stands, in front of an upstream; gives a client."""
    for name in [name for name in os.environ if name.startswith(("OPENAI_", "HEADGATE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    @asynccontextmanager
    async def gateway(settings: dict[str, Any]):
        config = load(None, environment={}, settings=settings).config
        async with await Gate.open(config) as gate, running(gate, grace=1) as address:
            yield address

    @asynccontextmanager
    async def example(settings: dict[str, Any]):
        (tmp_path / "headgate.yaml").write_text(yaml.safe_dump(settings))
        spec = importlib.util.spec_from_file_location("fastapi_app", EXAMPLE)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        async with hosted(module.app) as address:
            yield address

    @asynccontextmanager
    async def open_door(kind: str, upstream: str):
        async with (
            {"gateway": gateway, "example": example}[kind](_settings(upstream)) as address,
            httpx2.AsyncClient(base_url=address, headers=HEADERS, timeout=20, trust_env=False) as http,
        ):
            yield http

    return open_door


@asynccontextmanager
async def _simulated():
    simulator = Simulator(clock=SystemClock())
    async with listening(simulator_app(simulator), host="127.0.0.1", port=0, grace=0) as upstream:
        yield simulator, upstream


async def _post(http: httpx2.AsyncClient, path: str, body: Any) -> httpx2.Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await http.post(path, content=raw, headers={"content-type": "application/json"})


def _events(text: str) -> list[Any]:
    assert text.endswith("\n\n")
    return [json.loads(event.removeprefix("data: ")) for event in text.split("\n\n")[:-1]]


@pytest.mark.parametrize("kind", ["gateway", "example"])
def test_bounds_and_shapes(kind, door):
    """The whole table, at both addresses of both doors."""

    async def story():
        async with _simulated() as (simulator, upstream), door(kind, upstream) as http:
            for body, status, mistake, place in CASES:
                shown, billed = repr(body)[:80], len(simulator.bill.lines)
                whole, streamed = await _post(http, "/generate", body), await _post(http, "/generate-stream", body)
                assert (whole.status_code, streamed.status_code) == (status, status), (shown, whole.text)
                if status == 200:
                    _check_answer(whole, streamed)
                    continue
                for answer in (whole, streamed):
                    if status == 422:
                        (detail, *_) = answer.json()["detail"]
                        assert (detail["type"], detail["loc"]) == (mistake, place), shown
                        assert {"type", "loc", "msg", "input"} <= set(detail)
                    elif status == 400:
                        assert re.search(r"at most 4000 tokens.* comes to (about )?\d{4,5}:", answer.json()["detail"])
                # What is wrong has cost nothing.
                assert len(simulator.bill.lines) == billed

    asyncio.run(story())


def _check_answer(whole: httpx2.Response, streamed: httpx2.Response) -> None:
    answer = whole.json()
    assert set(answer) == {"content", "tokens_used", "cost"}
    assert answer["content"]
    # gpt-6-luna takes 0.10 and 0.50 dollars for a million tokens.
    assert Decimal(answer["cost"]) >= answer["tokens_used"] * Decimal("0.0000001")
    assert answer["tokens_used"] > 1
    *words, last = _events(streamed.text)
    assert last == DONE
    assert {tuple(event) for event in words} == {("content", "type")}
    assert "".join(event["content"] for event in words) == answer["content"]
    assert streamed.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("kind", ["gateway", "example"])
@pytest.mark.parametrize("path", ["/generate", "/generate-stream"])
def test_who_leaves_takes_the_provider_s_connection_along(kind, path, door, recording):
    """Within a second, whole or streamed."""

    async def story():
        async with recording().listening() as upstream:
            upstream.answer = lambda _: [FOREVER]
            async with door(kind, upstream.address) as http:
                task = asyncio.get_running_loop().create_task(_post(http, path, {"prompt": "Hi"}))
                await upstream.asked.wait()
                task.cancel()
                async with asyncio.timeout(1):
                    await upstream.left.wait()

    asyncio.run(story())


def test_a_gateway_that_stops_ends_a_stream_with_an_error(door, recording, streamed):
    """After its grace, as on `/v1`."""
    heard = (
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":1,'
        b'"item_id":"i","output_index":0,"content_index":0,"delta":"One two three."}\n\n'
    )

    async def story():
        async with recording().listening() as upstream, asyncio.TaskGroup() as group:
            upstream.answer = lambda _: streamed(heard, FOREVER)
            async with door("gateway", upstream.address) as http:
                begun = asyncio.Event()
                stream = group.create_task(_heard(http.base_url, begun))
                await begun.wait()
        return stream.result()

    first, last = _events(asyncio.run(story()))
    assert first == {"content": "One two three.", "type": "content"}
    assert last["type"] == "error"
    assert "shutting down" in last["message"]


async def _heard(address: Any, begun: asyncio.Event) -> str:
    text = ""
    async with (
        httpx2.AsyncClient(base_url=address, headers=HEADERS, timeout=20, trust_env=False) as http,
        http.stream("POST", "/generate-stream", json={"prompt": "Hi"}) as answer,
    ):
        async for piece in answer.aiter_text():
            text += piece
            begun.set()
    return text


def test_the_gateway_asks_for_a_key_and_tells_who_answered(door):
    """401 without one, in the shape of the others; with it the books, the headers and the answer have one name."""

    async def story():
        async with _simulated() as (_, upstream), door("gateway", upstream) as http:
            without = await http.post("/generate", json={"prompt": "Hi"}, headers={"authorization": "Bearer no"})
            tags = {"x-headgate-tags": "team=a"}
            answer = await http.post("/generate", json={"prompt": "Hi", "max_tokens": 20}, headers=tags)
            wrong = await http.post("/generate", json={"prompt": "Hi"}, headers={"x-headgate-tags": "team"})
            return without, answer, wrong

    without, answer, wrong = asyncio.run(story())
    assert without.status_code == 401
    assert without.headers["www-authenticate"] == "Bearer"
    assert isinstance(without.json()["detail"], str)
    assert answer.headers["x-headgate-provider"] == "up"
    assert Decimal(answer.headers["x-headgate-cost-usd"]) == Decimal(answer.json()["cost"])
    assert answer.headers.get_list("x-request-id") == [answer.headers["x-request-id"]]
    assert (wrong.status_code, "x-headgate-tags" in wrong.json()["detail"]) == (400, True)


def test_the_example_knows_its_users(door):
    """What `/generate` cost is on the books of the user who asked, and nobody else's."""

    async def story():
        async with _simulated() as (_, upstream), door("example", upstream) as http:
            answer = (await http.post("/generate", json={"prompt": "Hi", "max_tokens": 20})).json()
            story = await http.get("/stories", params={"about": "a fox"})
            city = await http.get("/cities/Lyon")
            hers, his = await http.get("/spending"), await http.get("/spending", headers={"x-user": "bob"})
            return answer, story, city, hers.json(), his.json()

    answer, story, city, hers, his = asyncio.run(story())
    assert _events(story.text)[-1] == DONE
    assert set(city.json()) == {"name", "country", "sights"}
    assert (hers["calls"], hers["models"]) == (3, {"gpt-6-luna": 3})
    assert Decimal(hers["cost_usd"]) > Decimal(answer["cost"])
    assert his == {"calls": 0, "cost_usd": "0", "models": {}}


async def _example(folder: Path, **variables: str) -> tuple[asyncio.subprocess.Process, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "uvicorn", "fastapi_app:app", "--app-dir", str(EXAMPLE.parent), "--port", "0",
        cwd=folder, env={"PATH": os.environ["PATH"], **variables}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    return process, process.stderr


def test_the_example_in_a_process_of_its_own(tmp_path):
    """Up, asked, SIGTERM, down with its books closed; less than 80 lines."""

    async def story():
        process, stderr = await _example(tmp_path, HEADGATE_SIMULATE="1")
        try:
            said = b""
            while not (found := re.search(rb"running on (http://\S+)", said)):
                line = await stderr.readline()
                assert line, said
                said += line
            async with httpx2.AsyncClient(base_url=found[1].decode(), timeout=20, trust_env=False) as http:
                answer = await http.post("/generate", json={"prompt": "Hi"}, headers=HEADERS)
            process.send_signal(signal.SIGTERM)
            rest = await stderr.read()
            return answer, await process.wait(), rest
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    answer, code, rest = asyncio.run(story())
    assert answer.status_code == 200
    assert answer.headers["x-headgate-simulated"] == "1"
    assert b"Traceback" not in rest
    # uvicorn ends by the signal that it got.
    assert code in {0, -signal.SIGTERM}
    assert len(EXAMPLE.read_text("utf-8").splitlines()) < 80


def test_without_a_key_the_application_does_not_start_and_says_why(tmp_path):
    """The error names what is missing and the cure."""

    async def story():
        process, stderr = await _example(tmp_path)
        said = await stderr.read()
        return await process.wait(), said.decode()

    code, said = asyncio.run(story())
    assert code != 0
    assert "ConfigError" in said
    assert "OPENAI_API_KEY" in said
