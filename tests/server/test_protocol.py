"""HTTP with bounds: bytes in, bytes out, no socket."""

import asyncio
import json
from typing import NamedTuple

import pytest
import uvicorn
from uvicorn.server import ServerState

from headgate.server.asgi import DIRECT
from headgate.server.protocol import MAX_HEAD, BoundedProtocol, OneWrite


class Outcome(NamedTuple):
    """What a conversation came to."""

    sent: bytes
    closed: bool
    aborted: bool


class Wire(asyncio.Transport):
    """A transport that remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False
        self.aborted = False

    def write(self, data) -> None:
        """Remember."""
        self.sent += bytes(data)

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self.closed

    def close(self) -> None:
        """Close."""
        self.closed = True

    def abort(self) -> None:
        """Close at once."""
        self.closed = self.aborted = True

    def pause_reading(self) -> None:
        """Nothing to pause."""

    def resume_reading(self) -> None:
        """Ditto."""


def _converse(*pieces: bytes, hold: bool = False):
    """Send pieces to an application that counts what it reads; `hold` keeps it from answering."""
    read = []

    async def app(_scope, receive, send) -> None:
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            more = message["more_body"]
        read.append(size)
        if hold:
            await receive()
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def story():
        config = uvicorn.Config(app, interface="asgi3", lifespan="off", ws="none", log_config=None, access_log=False)
        config.load()
        state = ServerState()
        protocol = BoundedProtocol(config, state, {})
        wire = Wire()
        protocol.connection_made(wire)
        for piece in pieces:
            if wire.closed:
                break
            protocol.data_received(piece)
            for _ in range(5):
                await asyncio.sleep(0)
        outcome = Outcome(wire.sent, wire.closed, wire.aborted)
        protocol.connection_lost(None)
        await asyncio.gather(*state.tasks)
        return outcome

    return asyncio.run(story()), read


HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n"


def test_ordinary_requests_pass():
    """One after the other on one connection, in any pieces; a large body does not count as head."""
    body = b"x" * 3_000_000
    request = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    pieces = [request[at : at + 65536] for at in range(0, len(request), 65536)] * 2
    wire, read = _converse(*pieces)
    assert read == [3_000_000, 3_000_000]
    assert wire.sent.count(b"HTTP/1.1 200") == 2
    assert not wire.closed


def test_a_chunked_body_of_reasonable_chunks_passes():
    """Marks of chunks count, but the body makes up for them."""
    chunk = b"40\r\n" + b"x" * 64 + b"\r\n"
    wire, read = _converse(HEAD + b"transfer-encoding: chunked\r\n\r\n", *[chunk * 1000] * 30, b"0\r\n\r\n")
    assert read == [64 * 30_000]
    assert not wire.closed


@pytest.mark.parametrize(
    "endless",
    [b"GET /" + b"x" * 10_000, HEAD + b"a: " + b"x" * 10_000, HEAD + b"a: b\r\n" * 1700],
    ids=["address", "value", "headers"],
)
def test_an_endless_head_is_refused(endless):
    """400 and an end, soon after the limit."""
    tail = b"a: b\r\n" * 1700 if endless.endswith(b"\n") else b"x" * 10_000
    wire, read = _converse(endless, *[tail] * 100)
    assert wire.closed
    assert not read
    head, _, body = wire.sent.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert b"content-length: %d" % len(body) in head
    assert json.loads(body)["error"]["code"] == "invalid_http"
    assert str(MAX_HEAD // 1024) in json.loads(body)["error"]["message"]


@pytest.mark.parametrize(
    "endless", [b"0\r\n" + b"a: b\r\n" * 10_000, b"1\r\nx\r\n" * 10_000, b"0\r\na: " + b"x" * 60_000]
)
def test_endless_trailers_and_tiny_chunks_are_cut_off(endless):
    """What is neither head nor body is bounded too; the connection ends without an answer."""
    more = (
        b"1\r\nx\r\n" * 10_000
        if endless.startswith(b"1")
        else b"x" * 60_000
        if endless.endswith(b"x")
        else b"a: b\r\n" * 10_000
    )
    wire, _ = _converse(HEAD + b"transfer-encoding: chunked\r\n\r\n" + endless, *[more] * 20)
    assert wire.closed


def test_what_is_not_http_is_refused_in_shape():
    """400 as JSON, and an end."""
    wire, read = _converse(b"\x16\x03\x01nonsense\r\n\r\n")
    assert wire.sent.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert json.loads(wire.sent.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_http"
    assert wire.closed
    assert not read


def test_nonsense_behind_a_request_does_not_disturb_its_answer():
    """No second answer is written into the first one: the connection is cut."""
    wire, read = _converse(HEAD + b"content-length: 2\r\n\r\nok" + b"\x00nonsense\r\n\r\n", hold=True)
    assert wire.sent == b""
    assert wire.aborted
    assert read in ([], [2])


class Writes:
    """A transport that remembers each write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


WHOLE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


def test_head_and_body_are_one_write():
    """The head waits for the first bytes of the body, and for nothing else."""
    wire = Writes()
    transport = OneWrite(wire)
    transport.write(WHOLE_HEAD)
    assert wire.writes == []
    transport.write(b"ok")
    transport.write(b"more")
    assert wire.writes == [WHOLE_HEAD + b"ok", b"more"]


def test_a_head_without_body_is_sent_with_the_end():
    """By the end of the answer, by the next head, or by closing."""
    wire = Writes()
    transport = OneWrite(wire)
    transport.write(WHOLE_HEAD)
    transport.flush()
    transport.flush()
    transport.write(WHOLE_HEAD)
    transport.write(WHOLE_HEAD)
    transport.close()
    assert wire.writes == [WHOLE_HEAD, WHOLE_HEAD, WHOLE_HEAD]
    assert wire.closed
    assert transport.is_closing()


def test_an_interim_answer_is_not_held():
    """`100 Continue` is what the caller waits for."""
    wire = Writes()
    OneWrite(wire).write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert wire.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]


def _direct(app):
    """One request on a connection whose application takes the shorter way; gives what was written."""

    async def story():
        config = uvicorn.Config(app, interface="asgi3", lifespan="off", ws="none", log_config=None, access_log=False)
        config.load()
        state = ServerState()
        protocol = BoundedProtocol(config, state, {})
        wire = Wire()
        protocol.connection_made(wire)
        protocol.data_received(HEAD + b"content-length: 0\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(0)
        sent, closed = wire.sent, wire.closed
        protocol.connection_lost(None)
        await asyncio.gather(*state.tasks)
        return sent, closed

    return asyncio.run(story())


def test_a_whole_answer_goes_the_shorter_way():
    """It is what the ordinary way would have sent, and the connection stays open; it cannot be used twice."""
    again = []

    async def app(scope, _receive, _send) -> None:
        direct = scope["extensions"].pop(DIRECT)
        assert direct.whole(b"x-a: 1\r\n", b"ok")
        again.append(direct.whole(b"", b"twice"))
        again.append(direct.begin(b""))

    sent, closed = _direct(app)
    assert sent == b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 2\r\n\r\nok"
    assert not closed
    assert again == [False, False]


def test_a_stream_goes_the_shorter_way_and_ends_the_ordinary_one():
    """Pieces are chunks; the ordinary `send` ends what was begun."""

    async def app(scope, _receive, send) -> None:
        direct = scope["extensions"].pop(DIRECT)
        assert direct.begin(b"x-a: 1\r\n")
        assert direct.write(b"data: 1\n\n")
        await direct.drain()
        await send({"type": "http.response.body", "body": b"end"})

    sent, closed = _direct(app)
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head == b"HTTP/1.1 200 OK\r\nx-a: 1\r\ntransfer-encoding: chunked"
    assert body == b"9\r\ndata: 1\n\n\r\n3\r\nend\r\n0\r\n\r\n"
    assert not closed
