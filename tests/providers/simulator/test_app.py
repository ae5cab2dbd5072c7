"""The simulator as an ASGI application, spoken to without a server."""

import asyncio
import json

import pytest

from headgate.providers.simulator.app import simulator_app
from headgate.providers.simulator.settings import Fault, Latency
from headgate.providers.simulator.simulator import Simulator
from headgate.testing import VirtualClock, virtual_time

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "30 tokens"}]}


class Wire:
    """The server's side: parts of a request in, messages out; the client may leave at a given time."""

    def __init__(self, *parts, leaves=None):
        self.parts = list(parts)
        self.leaves = leaves
        self.sent = []
        self.times = []

    async def receive(self):
        """The next part; then nothing until the client leaves."""
        if self.parts:
            return {"type": "http.request", "body": self.parts.pop(0), "more_body": bool(self.parts)}
        await (asyncio.sleep(self.leaves) if self.leaves is not None else asyncio.Event().wait())
        return {"type": "http.disconnect"}

    async def send(self, message):
        """Keep it."""
        self.sent.append(message)
        self.times.append(VirtualClock().monotonic())


def story(wire, *, path="/v1/chat/completions", method="POST", **settings):
    """Run the application for one request; gives the simulator and when it ended."""

    async def run():
        simulator = Simulator(clock=VirtualClock(), **settings)
        scope = {"type": "http", "method": method, "path": path, "headers": [(b"x-client-request-id", b"c")]}
        await simulator_app(simulator)(scope, wire.receive, wire.send)
        return simulator, VirtualClock().monotonic()

    return virtual_time(run())


def body(**fields):
    """A request's bytes."""
    return json.dumps(BODY | fields).encode()


def test_a_whole_answer():
    """In one message, with its length; the request may come in parts."""
    raw = body()
    wire = Wire(raw[:5], raw[5:])
    simulator, _ = story(wire)
    start, rest = wire.sent
    headers = dict(start["headers"])
    assert start["status"] == 200
    assert headers[b"content-length"] == str(len(rest["body"])).encode()
    assert headers[b"server"] == b"simulator"
    assert rest["more_body"] is False
    assert json.loads(rest["body"])["usage"]["completion_tokens"] == 30
    assert simulator.log[0].client_request_id == "c"


def test_a_stream():
    """Piece by piece as they come, and an end."""
    wire = Wire(body(stream=True))
    _, ended = story(wire, latency=Latency(first_token=1, per_token=0.5))
    assert b"content-length" not in dict(wire.sent[0]["headers"])
    assert wire.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert wire.times[0] == 0
    assert sorted(set(wire.times))[1:3] == [1, 1.5]
    assert ended == 1 + 0.5 * 31


@pytest.mark.parametrize(("stream", "tokens"), [(True, [3]), (False, [])])
def test_the_client_leaves(stream, tokens):
    """At once the answer ends, and its bill with it."""
    simulator, ended = story(Wire(body(stream=stream), leaves=2.2), latency=Latency(first_token=1, per_token=0.5))
    assert ended == 2.2
    assert [line.usage.completion_tokens for line in simulator.bill.lines] == tokens


def test_the_client_leaves_in_a_stall_of_a_whole_answer():
    """Also there it is noticed; the answer was made and is charged."""
    fault = Fault(kind="stall", delay=100)
    simulator, ended = story(Wire(body(), leaves=3), faults=[fault])
    assert ended == 3
    assert simulator.bill.lines[0].complete


def test_the_client_leaves_before_it_has_asked():
    """Nothing arrived."""
    wire = Wire(leaves=1)
    simulator, _ = story(wire)
    assert (wire.sent, simulator.log) == ([], [])


@pytest.mark.parametrize("kind", ["reset", "cut"])
@pytest.mark.parametrize("stream", [False, True])
def test_broken_connections_without_a_transport(kind, stream):
    """Where the server's transport cannot be reached the application fails, with the error of a broken connection."""
    wire = Wire(body(stream=stream))
    with pytest.raises(ConnectionResetError):
        story(wire, faults=[Fault(kind=kind, after_tokens=2)])
    assert bool(wire.sent) == (kind == "cut")
    assert not any(message.get("more_body") is False for message in wire.sent)


def test_errors_and_the_simulators_own_pages():
    """Every answer goes the same way."""
    wire = Wire(b"{")
    story(wire)
    assert wire.sent[0]["status"] == 400
    wire = Wire(b"")
    story(wire, path="/__log", method="GET")
    assert json.loads(wire.sent[1]["body"]) == {"arrivals": []}


def test_start_and_stop():
    """The lifespan is acknowledged; other kinds of connection are not."""

    async def run():
        app = simulator_app(Simulator(clock=VirtualClock()))
        events = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        said = []

        async def receive():
            return events.pop(0)

        async def send(message):
            said.append(message["type"])

        await app({"type": "lifespan"}, receive, send)
        await app({"type": "websocket"}, receive, send)
        return said

    assert virtual_time(run()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
