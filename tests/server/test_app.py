"""Which part answers what."""

import asyncio
import logging

from headgate.server.app import Application, application
from headgate.testing import VirtualClock, virtual_time


class Ids:
    """All that the dispatch asks a gate for."""

    def new_id(self) -> str:
        """An id."""
        return "0" * 32


def _named(name):
    async def app(_scope, _receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-from", name)]})
        await send({"type": "http.response.body", "body": b""})

    return app


def test_v1_is_hot_and_the_rest_is_not(client):
    """The first segment of the path decides."""

    async def story():
        asking = client(Application(Ids(), _named(b"hot"), _named(b"cold")))
        paths = ["/v1", "/v1/", "/v1/x", "/v1x", "/v10/x", "/", "/V1/x", "//v1/x", "/docs", ""]
        return {path: (await asking.get(path)).headers["x-from"] for path in paths}

    found = asyncio.run(story())
    assert {path for path, who in found.items() if who == "hot"} == {"/v1", "/v1/", "/v1/x"}


def test_a_page_that_fails_shows_nothing_of_its_inside(client, caplog):
    """500 in OpenAI's shape; the log has the rest once, under the request's id."""

    async def broken(_scope, _receive, _send) -> None:
        raise ZeroDivisionError("inside")

    with caplog.at_level(logging.ERROR):
        got = asyncio.run(client(Application(Ids(), broken, broken)).get("/docs"))
    assert (got.status, got.code) == (500, "internal_error")
    assert b"inside" not in got.body
    (record,) = caplog.records
    assert got.headers["x-request-id"] in record.getMessage()


def test_a_server_with_a_lifespan_is_content():
    """Start and end are acknowledged; the gate is not touched."""
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message) -> None:
        sent.append(message["type"])

    asyncio.run(Application(Ids(), _named(b""), _named(b""))({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_a_websocket_is_refused():
    """There is none here."""
    sent = []

    async def send(message) -> None:
        sent.append(message["type"])

    asyncio.run(Application(Ids(), _named(b""), _named(b""))({"type": "websocket", "path": "/v1"}, None, send))
    assert sent == ["websocket.close"]


def test_pages_of_other_sites_stand_in_front_only_where_they_may_call(simulated_gate, client):
    """What is off costs nothing: without origins there is no such layer."""
    cors = {"server": {"cors": {"origins": ["https://a.example"]}}}

    async def story():
        async with simulated_gate() as plain, simulated_gate(**cors) as open_to_a:
            app = application(open_to_a, clock=VirtualClock())
            asked = [("origin", "https://a.example"), ("access-control-request-method", "POST")]
            got = await client(app).send("OPTIONS", "/v1/chat/completions", [b""], asked)
            refused = await client(app).post(body={}, headers=[asked[0]])
            return type(application(plain, clock=VirtualClock())), got, refused

    kind, got, refused = virtual_time(story())
    assert kind is Application
    assert (got.status, got.headers["access-control-allow-origin"]) == (204, "https://a.example")
    assert got.headers["x-request-id"].startswith("req_")
    # A page can read why it was refused, too.
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (415, "https://a.example")


def test_the_gate_is_not_the_applications(simulated_gate, client):
    """An application comes and goes; its gate stays open."""

    async def story():
        async with simulated_gate() as gate:
            for _ in range(2):
                assert (await client(application(gate, clock=VirtualClock())).get("/readyz")).status == 200
            return await gate.ready()

    assert virtual_time(story())
