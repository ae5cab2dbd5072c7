"""Health, readiness, description."""

import asyncio
import hashlib
import os

import pytest

from headgate.server.app import application
from headgate.testing import VirtualClock, virtual_time

KEYS = {
    "server": {"auth": "keys"},
    "keys": [{"name": "web", "sha256": hashlib.sha256(b"hg-one").hexdigest()}],
}


def _pages(simulated_gate, client, act, **settings):
    async def story():
        async with simulated_gate(**settings) as gate:
            return await act(client(application(gate, clock=VirtualClock())), gate)

    return virtual_time(story())


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/health", "/openapi.json", "/docs"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_page_answers(simulated_gate, client, path, method):
    """200 to GET and HEAD, with an id, and the word that answers are made up."""

    async def act(client, _gate):
        return await client.send(method, path, [b""])

    got = _pages(simulated_gate, client, act)
    assert got.status == 200
    assert got.headers["x-request-id"].startswith("req_")
    if method == "GET":
        assert b"imulated" in got.body


def test_what_no_page_answers_is_refused_in_shape(simulated_gate, client):
    """404 and 405 as everywhere, with an id; 405 tells what would do."""

    async def act(client, _gate):
        return await client.get("/nowhere"), await client.post("/healthz"), await client.post("/nowhere")

    nowhere, wrong, nothing = _pages(simulated_gate, client, act)
    assert [(got.status, got.code) for got in (nowhere, wrong, nothing)] == [
        (404, "unknown_url"),
        (405, "method_not_allowed"),
        (404, "unknown_url"),
    ]
    assert wrong.headers["allow"] == "GET, HEAD, OPTIONS"
    assert "'/nowhere'" in nowhere.json["error"]["message"]
    assert all(got.headers["x-request-id"].startswith("req_") for got in (nowhere, wrong, nothing))
    assert "allow" not in nowhere.headers


def test_a_base_url_without_v1_is_noticed(simulated_gate, client):
    """The first mistake that people make: the hint names the address that was meant."""

    async def act(client, _gate):
        return await client.post("/chat/completions")

    got = _pages(simulated_gate, client, act)
    assert got.status == 404
    assert "It is `/v1/chat/completions`" in got.json["error"]["message"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/docs", "GET, HEAD, OPTIONS"), ("/health", "GET, HEAD, OPTIONS"), ("*", "DELETE, GET, HEAD, OPTIONS, POST")],
)
def test_every_page_tells_what_it_takes(simulated_gate, client, path, allowed):
    """`OPTIONS` is answered by pages and by the server as a whole."""

    async def act(client, _gate):
        return await client.send("OPTIONS", path, [b""])

    got = _pages(simulated_gate, client, act)
    assert (got.status, got.body, got.headers["allow"]) == (204, b"", allowed)
    assert got.headers["x-request-id"].startswith("req_")


def test_ready_is_not_said_of_a_gate_that_is_closing(simulated_gate, client):
    """503 once no calls are taken; alive all the same."""

    async def act(client, gate):
        await gate.close()
        return await client.get("/readyz"), await client.get("/healthz")

    ready, alive = _pages(simulated_gate, client, act)
    assert (ready.status, ready.json["status"]) == (503, "not ready")
    assert (alive.status, alive.json["status"]) == (200, "ok")


def test_health_tells_states_to_all_and_details_to_callers(simulated_gate, client):
    """Where keys are needed, whoever has none sees states only."""

    async def act(client, _gate):
        return await client.get("/health"), await client.get("/health", headers=[("api-key", "hg-one")])

    stranger, caller = _pages(simulated_gate, client, act, **KEYS)
    assert stranger.json["providers"] == {"p": {"state": "ok"}}
    assert stranger.json.keys() == {"status", "providers", "version", "simulated"}
    assert caller.json["providers"]["p"]["state"] == "ok"
    assert "store" in caller.json
    process = caller.json["process"]
    assert (process["pid"], process["worker"], len(process["generation"])) == (os.getpid(), 1, 12)
    assert "latency_ms" in caller.json["providers"]["p"]
    assert stranger.status == caller.status == 200


def test_health_asks_providers_once_however_often_it_is_read(simulated_gate, client):
    """A flood of readers is no flood for the providers; a little later they are asked again."""

    async def act(client, gate):
        asked = 0
        original = gate.health

        async def counted():
            nonlocal asked
            asked += 1
            return await original()

        gate.health = counted
        await asyncio.gather(*(client.get("/health") for _ in range(50)))
        first = asked
        await asyncio.sleep(10)
        await client.get("/health")
        return first, asked

    assert _pages(simulated_gate, client, act) == (1, 2)


def test_health_of_a_gate_that_is_down(simulated_gate, client):
    """503 where nobody answers."""

    async def act(client, gate):
        async def down():
            return {"status": "down", "simulated": True, "providers": {"p": {"state": "unreachable", "error": "x"}}}

        gate.health = down
        return await client.get("/health")

    assert _pages(simulated_gate, client, act).status == 503


def test_the_description_holds_hot_and_other_paths(simulated_gate, client):
    """`/v1/*` and `/healthz` stand side by side, and the page shows the same."""

    async def act(client, _gate):
        return await client.get("/openapi.json"), await client.get("/docs")

    schema, page = _pages(simulated_gate, client, act)
    assert {"/v1/chat/completions", "/v1/files/{id}", "/v1/models", "/healthz", "/readyz", "/health"} <= set(
        schema.json["paths"]
    )
    for path in schema.json["paths"]:
        assert f"<code>{path}</code>" in page.body.decode()
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
