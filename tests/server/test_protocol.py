"""One connection: bytes in, bytes out, no socket. What real sockets make of it is in `e2e/test_hostile.py`."""

import asyncio
import json
import logging
import re
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headgate.server.asgi import DIRECT
from headgate.server.head import MAX_ADDRESS, MAX_FIELDS, MAX_HEAD, Hosts
from headgate.server.listener import Listener
from headgate.server.protocol import HIGH_WATER, MAX_AHEAD, Connection, connections
from headgate.testing import VirtualClock, virtual_time

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n"
GET = b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that remembers."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 4000), "peername": ("127.0.0.1", 5)})
        self.sent = b""
        self.closed = False
        self.aborted = False
        self.ended = False
        self.reading = True

    def write(self, data) -> None:
        assert not self.closed
        assert not self.ended
        self.sent += bytes(data)

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Answer(NamedTuple):
    """One of the answers on a connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of an error in its shape."""
        error = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert self.headers["x-request-id"].startswith("req_")
        assert "date" in self.headers
        return error["code"]


def answers(sent: bytes) -> list[Answer]:
    """All answers, framed by their lengths; chunks stay as they are."""
    found = []
    while sent:
        head, end, sent = sent.partition(b"\r\n\r\n")
        assert end, head
        line, *fields = head.decode().split("\r\n")
        headers = dict(field.split(": ", 1) for field in fields)
        assert len(headers) == len(fields)
        status = int(re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Za-z -]+", line)[1])
        size = int(headers.get("content-length", 0)) if "transfer-encoding" not in headers else len(sent)
        assert len(sent) >= size
        found.append(Answer(status, headers, sent[:size]))
        sent = sent[size:]
    return found


class App:
    """Answers each request with its path and the size of its body, at once or when `gate` is set; tells what it saw."""

    def __init__(self, *, held: bool = False) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self.scopes: list[Any] = []
        self.left = 0
        self.gate = asyncio.Event()
        if not held:
            self.gate.set()

    async def __call__(self, scope, receive, send) -> None:
        self.scopes.append(scope)
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left += 1
                return
            body += message["body"]
            more = message["more_body"]
        self.seen.append((scope["method"], scope["path"], body))
        await self.gate.wait()
        said = f"{scope['path']} {len(body)}".encode()
        headers = [(b"content-length", b"%d" % len(said))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said})


class At(NamedTuple):
    """A connection and both of its ends."""

    wire: Wire
    connection: Connection
    listener: Listener
    app: Any

    async def hear(self, *pieces: bytes) -> None:
        """Bytes come in; everybody does what there is to do."""
        for piece in pieces:
            if self.wire.closed:
                return
            self.connection.data_received(piece)
            await turn()

    async def tick(self, times: int) -> None:
        """Time passes."""
        for _ in range(times):
            self.listener.tick()
            await turn()

    @property
    def said(self) -> list[Answer]:
        """What was answered so far."""
        return answers(self.wire.sent)


async def turn() -> None:
    """Let everybody go on."""
    for _ in range(8):
        await asyncio.sleep(0)


def converse(story, app=None, **settings):
    """Run a story on a connection, and check that nothing of it is left."""

    async def whole():
        answering = app or App()
        listener = Listener(answering, clock=VirtualClock(), **settings)
        connection = connections(listener)()
        at = At(Wire(), connection, listener, answering)
        connection.connection_made(at.wire)
        told = await story(at)
        connection.connection_lost(None)
        await turn()
        assert not listener.connections
        assert not listener.tasks
        return told

    return virtual_time(whole())


def exchange(*pieces: bytes, app=None, **settings):
    """Send pieces; gives both ends."""

    async def story(at):
        await at.hear(*pieces)
        return at

    return converse(story, app, **settings)


# What passes.


def test_requests_follow_each_other():
    """On one connection, in any pieces; a large body does not count as head."""
    body = b"x" * 3_000_000
    request = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    at = exchange(*[request[start : start + 65536] for start in range(0, len(request), 65536)] * 2)
    assert [answer.body for answer in at.said] == [b"/ 3000000"] * 2
    assert not at.wire.closed


@pytest.mark.parametrize("size", [1, 2, 7])
def test_bytes_may_come_one_by_one(size):
    """Where pieces end means nothing."""
    raw = GET % 1 + HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n1;a=b\r\n!\r\n0\r\nx: y\r\n\r\n" + GET % 2
    at = exchange(*[raw[start : start + size] for start in range(0, len(raw), size)])
    assert [answer.body for answer in at.said] == [b"/1 0", b"/ 3", b"/2 0"]
    assert at.app.seen[1] == ("POST", "/", b"ok!")


def test_a_chunked_body_of_reasonable_chunks_passes():
    """Marks of chunks count, but the body makes up for them."""
    chunk = b"40\r\n" + b"x" * 64 + b"\r\n"
    at = exchange(HEAD + b"transfer-encoding: chunked\r\n\r\n", *[chunk * 1000] * 30, b"0\r\n\r\n")
    assert at.said[0].body == b"/ 1920000"
    assert not at.wire.closed


def test_the_scope_is_asgis():
    """Names in lower case, the path decoded, both ends of the connection."""
    at = exchange(b"GET /a%20b?c=%20 HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n\r\n")
    (scope,) = at.app.scopes
    assert (scope["method"], scope["path"], scope["raw_path"]) == ("GET", "/a b", b"/a%20b")
    assert (scope["query_string"], scope["http_version"], scope["scheme"]) == (b"c=%20", "1.1", "http")
    assert scope["headers"] == [(b"host", b"x"), (b"x-a", b"1")]
    assert (scope["server"], scope["client"]) == (("127.0.0.1", 4000), ("127.0.0.1", 5))


def test_trailers_are_thrown_away():
    """What was judged does not change afterwards."""
    trailer = b"authorization: Bearer other\r\nx-headgate-tags: a=b\r\n"
    at = exchange(HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n" + trailer + b"\r\n")
    assert at.said[0].status == 200
    assert at.app.scopes[0]["headers"] == [(b"host", b"x"), (b"transfer-encoding", b"chunked")]


@pytest.mark.parametrize(
    "framing", [b"content-length: 5\r\n\r\nhello", b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("cut", [0, 3])
def test_an_offer_of_another_protocol_is_not_taken_up(framing, cut):
    """The request is answered as it is, body and all, wherever the bytes are cut; the connection goes on."""
    head = HEAD + b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAM\r\n"
    raw = head + framing + GET % 2
    at_end = raw.index(b"\r\n\r\n") + 4 + cut
    at = exchange(raw[:at_end], raw[at_end:])
    assert [answer.body for answer in at.said] == [b"/ 5", b"/2 0"]
    assert at.app.seen[0] == ("POST", "/", b"hello")
    assert not at.wire.closed


def test_an_offer_without_a_body_too():
    """A websocket's handshake is an ordinary request here."""
    at = exchange(b"GET /1 HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" + GET % 2)
    assert [answer.body for answer in at.said] == [b"/1 0", b"/2 0"]


# What waits.


def test_requests_that_come_early_wait_for_their_turn():
    """Sent at once or one by one, answered in order, one at a time."""

    async def story(at):
        await at.hear(GET % 1 + GET % 2, GET % 3, HEAD + b"content-length: 2\r\n\r\no", b"k")
        assert [path for _, path, _ in at.app.seen] == ["/1"]
        assert at.said == []
        at.app.gate.set()
        for _ in range(4):
            await turn()
        return at

    at = converse(story, App(held=True))
    assert [answer.body for answer in at.said] == [b"/1 0", b"/2 0", b"/3 0", b"/ 2"]
    assert not at.wire.closed


def test_only_so_many_may_wait():
    """The last of them says that the connection ends; the rest must be sent again."""

    async def story(at):
        await at.hear(b"".join(GET % number for number in range(100)))
        for _ in range(50):
            await turn()
        return at

    at = converse(story)
    assert [answer.body for answer in at.said] == [b"/%d 0" % number for number in range(MAX_AHEAD + 1)]
    assert [answer.headers.get("connection") for answer in at.said] == [None] * MAX_AHEAD + ["close"]
    assert at.wire.ended


def test_what_waits_is_bounded():
    """Behind a request that is being answered nothing is parsed, and the socket is left alone when enough has come."""

    async def story(at):
        await at.hear(GET % 1)
        body = b"x" * 1_000_000
        sent = 0
        raw = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
        while at.wire.reading:
            await at.hear(raw[sent : sent + 8192])
            sent += 8192
        assert sent <= HIGH_WATER + 2 * 8192
        at.app.gate.set()
        await turn()
        while sent < len(raw):
            assert at.wire.reading
            await at.hear(raw[sent : sent + 8192])
            sent += 8192
        return at

    at = converse(story, App(held=True))
    assert [answer.body for answer in at.said] == [b"/1 0", b"/ 1000000"]


def test_a_body_waits_for_the_application():
    """The socket is left alone when enough has come, until somebody reads."""
    reads = asyncio.Event()

    async def app(_scope, receive, send) -> None:
        await reads.wait()
        await App()({"path": "/", "method": "POST"}, receive, send)

    async def story(at):
        await at.hear(HEAD + b"content-length: 200000\r\n\r\n", b"x" * 70_000)
        assert not at.wire.reading
        # Nobody can be blamed for what was not asked for.
        await at.tick(200)
        assert at.said == []
        reads.set()
        await turn()
        assert at.wire.reading
        await at.hear(b"x" * 130_000)
        return at

    assert converse(story, app).said[0].body == b"/ 200000"


def test_a_body_that_came_in_one_piece_stops_nothing():
    """However large it was: the next request is heard, and so is the caller's leaving meanwhile."""

    async def story(at):
        body = b"x" * 2 * HIGH_WATER
        await at.hear(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert at.wire.reading
        at.app.gate.set()
        await turn()
        assert at.wire.reading
        await at.hear(GET % 2)
        return at

    at = converse(story, App(held=True))
    assert [answer.body for answer in at.said] == [b"/ %d" % (2 * HIGH_WATER), b"/2 0"]


def test_a_caller_who_leaves_takes_all_requests_along():
    """Also the one that is being answered while another waits."""

    async def app(_scope, receive, _send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def story(at):
        await at.hear(GET % 1 + GET % 2)
        assert len(at.listener.tasks) == 1

    converse(story, app)


# What is refused.


REFUSED = {
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "invalid_http"),
    "no http": (b"hello\r\n\r\n", 400, "invalid_http"),
    "version 0.9": (b"GET / HTTP/0.9\r\nhost: x\r\n\r\n", 400, "invalid_http"),
    "version 2": (b"GET / HTTP/2.0\r\nhost: x\r\n\r\n", 400, "invalid_http"),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400, "invalid_http"),
    "empty host": (b"GET / HTTP/1.1\r\nhost:\r\n\r\n", 400, "invalid_http"),
    "two hosts": (b"GET / HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n", 400, "invalid_http"),
    "length and chunks": (HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", 400, "invalid_http"),
    "gzip": (HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n", 400, "invalid_http"),
    "chunks in 1.0": (b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, "invalid_http"),
    "expectation": (HEAD + b"expect: 200-ok\r\ncontent-length: 2\r\n\r\n", 417, "expectation_failed"),
    "tunnel": (b"CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\n", 405, "method_not_allowed"),
    "address": (b"GET /" + b"x" * MAX_ADDRESS + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414, "address_too_long"),
    "endless address": (b"GET /" + b"x" * 2 * MAX_ADDRESS, 414, "address_too_long"),
    "fields": (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * MAX_FIELDS + b"\r\n", 431, "headers_too_large"),
    "field": (HEAD + b"a: " + b"x" * 20_000 + b"\r\n\r\n", 431, "headers_too_large"),
    "endless field": (HEAD + b"a: " + b"x" * (MAX_HEAD + 1), 431, "headers_too_large"),
    "endless head": (HEAD + b"a: b\r\n" * 11_000, 431, "headers_too_large"),
    "endless lines": (b"\r\n" * 40_000, 431, "headers_too_large"),
    "chunk size": (HEAD + b"transfer-encoding: chunked\r\n\r\n0x2\r\nok\r\n", 400, "invalid_http"),
    "tiny chunks": (HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 30_000, 431, "headers_too_large"),
    "trailers": (
        HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 12_000, 431, "headers_too_large"
    ),
    "trailer": (HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\na: " + b"x" * 70_000, 431, "headers_too_large"),
    "host in a trailer": (HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\nhost: y\r\n\r\n", 400, "invalid_http"),
}  # fmt: skip


@pytest.mark.parametrize("piece", [None, 4096])
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused(name, piece):
    """Once, in the shape of every error, with the end of the connection; the application has seen no whole request."""
    raw, status, code = REFUSED[name]
    pieces = [raw] if piece is None else [raw[at : at + piece] for at in range(0, len(raw), piece)]
    at = exchange(*pieces, b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n")
    (answer,) = at.said
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["connection"] == "close"
    assert ("allow" in answer.headers) == (status == 405)
    assert at.wire.ended
    assert at.app.seen == []


def test_a_refusal_of_a_head_request_has_no_body():
    """Its length is told all the same."""
    at = exchange(b"HEAD / HTTP/1.1\r\n\r\n")
    assert at.wire.sent.endswith(b"\r\n\r\n")
    assert re.search(rb"content-length: [1-9]", at.wire.sent)


def test_a_name_that_is_not_ours_is_refused():
    """In `Host`, or in an absolute address that says otherwise; known names are judged once per connection."""
    at = exchange(b"GET /1 HTTP/1.1\r\nhost: localhost:1\r\n\r\n" * 2, GET % 2, hosts=Hosts(["here"]))
    assert [answer.status for answer in at.said] == [200, 200, 421]
    at = exchange(b"GET http://evil.example/ HTTP/1.1\r\nhost: here\r\n\r\n", hosts=Hosts(["here"]))
    assert [answer.code for answer in at.said] == ["unknown_host"]


def test_answers_that_are_due_come_before_a_refusal():
    """The refusal is the last word, and what follows it is not read."""

    async def story(at):
        await at.hear(GET % 1 + GET % 2 + b"nonsense\r\n\r\n" + GET % 3, GET % 4)
        assert at.wire.sent == b""
        at.app.gate.set()
        await turn()
        await turn()
        return at

    at = converse(story, App(held=True))
    assert [answer.status for answer in at.said] == [200, 200, 400]
    assert at.wire.ended
    assert [path for _, path, _ in at.app.seen] == ["/1", "/2"]


def test_a_broken_body_of_a_request_that_waits_is_refused_in_its_turn():
    """The application never sees it."""

    async def story(at):
        await at.hear(GET % 1 + HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n")
        at.app.gate.set()
        await turn()
        return at

    at = converse(story, App(held=True))
    assert [answer.status for answer in at.said] == [200, 400]
    assert len(at.app.scopes) == 1


def test_nothing_is_said_in_the_midst_of_an_answer():
    """A body that breaks when its answer has begun ends the connection at once."""

    async def app(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await App()(scope, receive, send)

    at = exchange(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"zz\r\n", app=app)
    assert at.wire.sent.endswith(b"5\r\nbegun\r\n")
    assert at.wire.aborted


def test_our_own_failure_is_no_fault_of_the_callers(caplog):
    """500, and the log has it."""

    class Broken(Hosts):
        def check(self, *_) -> None:
            raise ZeroDivisionError("inside")

    with caplog.at_level(logging.ERROR):
        at = exchange(GET % 1, hosts=Broken())
    assert [answer.code for answer in at.said] == ["internal_error"]
    assert b"inside" not in at.wire.sent
    assert len(caplog.records) == 1


# What ends.


def test_a_refused_upload_is_not_read():
    """Whoever is answered before the end of the request is told that the connection ends, and may finish unheard."""

    async def app(_scope, _receive, send) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def story(at):
        await at.hear(HEAD + b"content-length: 1000000\r\n\r\n", *[b"x" * 1000] * 5, GET % 1)
        assert (at.said[0].status, at.said[0].headers["connection"]) == (413, "close")
        assert at.wire.ended
        assert not at.wire.closed
        await at.tick(5)
        assert not at.wire.closed
        await at.tick(1)
        assert at.wire.aborted

    converse(story, app)


def test_close_is_kept():
    """The last answer says so, and what follows the request is not read."""
    at = exchange(b"GET /1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" + GET % 2, GET % 3)
    assert [(answer.body, answer.headers["connection"]) for answer in at.said] == [(b"/1 0", "close")]
    assert at.wire.closed


def test_http_1_0_ends_after_one_answer():
    """Whatever it asks for; it needs no host."""
    at = exchange(b"GET /1 HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
    assert [(answer.body, answer.headers["connection"]) for answer in at.said] == [(b"/1 0", "close")]
    assert at.wire.closed


@pytest.mark.parametrize("begins", [b"G", b"GET /", b"GET / HTTP/1.1\r\na: b\r\nc"])
@pytest.mark.parametrize("before", [b"", GET % 1])
def test_a_head_that_does_not_end_is_given_up(before, begins):
    """408 after `header_timeout`, however often a byte comes."""

    async def story(at):
        await at.hear(before + begins)
        for second in range(10):
            await at.tick(1)
            if second % 2 and len(begins) > 1:
                await at.hear(b"x")
        assert len(at.said) == bool(before)
        await at.tick(1)
        assert at.said[-1].code == "request_timeout"
        assert at.wire.ended

    converse(story, header_timeout=10)


def test_a_body_that_pauses_is_given_up():
    """408 after `body_timeout` without a byte; the application is told that the caller left."""

    async def story(at):
        await at.hear(HEAD + b"content-length: 900000\r\n\r\n")
        for _ in range(3):
            await at.tick(20)
            await at.hear(b"x" * 60_000)
        assert at.said == []
        await at.tick(32)
        assert [answer.code for answer in at.said] == ["request_timeout"]
        assert at.wire.ended
        assert at.app.left == 1

    converse(story, body_timeout=30)


def test_a_body_that_crawls_is_given_up():
    """A byte now and then is no body; one at 2 kB a second is, for as long as it takes."""

    async def story(at, piece):
        await at.hear(HEAD + b"content-length: 300000\r\n\r\n")
        for second in range(150):
            await at.tick(1)
            await at.hear(piece)
            if at.wire.ended:
                return second, at.said[0]
        return None, at.said[0]

    second, answer = converse(lambda at: story(at, b"x"), body_timeout=30)
    assert (second, answer.code) == (30, "request_timeout")
    second, answer = converse(lambda at: story(at, b"x" * 2000), body_timeout=30)
    assert (second, answer.body) == (None, b"/ 300000")


def test_no_answer_is_hurried():
    """Time is counted while we wait for the caller, never while the caller waits for us."""

    async def story(at):
        await at.hear(GET % 1 + b"GET /2 HT")
        await at.tick(1000)
        assert at.said == []
        at.app.gate.set()
        await turn()
        await at.tick(9)
        await at.hear(b"TP/1.1\r\nhost: x\r\n\r\n")
        return at

    assert [answer.body for answer in converse(story, App(held=True)).said] == [b"/1 0", b"/2 0"]


def test_an_idle_connection_is_closed_in_the_end():
    """Without a word, from the last answer on, or from the beginning."""

    async def story(at, *pieces):
        await at.tick(9)
        await at.hear(*pieces)
        await at.tick(66)
        assert not at.wire.closed
        await at.tick(1 if not pieces else 10)
        assert at.wire.closed
        assert len(at.said) == len(pieces)

    converse(lambda at: story(at, GET % 1))
    converse(story)


def test_stopping_lets_the_answer_end():
    """It says that it is the last; what waits behind it is not answered; idle connections go at once."""

    async def story(at):
        await at.hear(GET % 1 + GET % 2)
        at.connection.shutdown()
        assert not at.wire.closed
        at.app.gate.set()
        await turn()
        assert [answer.headers.get("connection") for answer in at.said] == ["close"]
        assert at.wire.closed

    converse(story, App(held=True))

    async def idle(at):
        at.connection.shutdown()
        assert at.wire.closed

    converse(idle)


def test_100_is_said_when_the_body_is_wanted():
    """And not where the answer needs none, or the body is there already, or there will be none."""
    ask = HEAD + b"expect: 100-Continue\r\ncontent-length: 2\r\n\r\n"
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    at = exchange(ask, b"ok")
    assert at.wire.sent.startswith(interim)
    assert answers(at.wire.sent[len(interim) :])[0].body == b"/ 2"
    assert interim not in exchange(ask + b"ok").wire.sent
    assert interim not in exchange(b"GET / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\r\n").wire.sent

    async def app(_scope, _receive, send) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    at = exchange(ask, app=app)
    assert [(answer.status, answer.headers["connection"]) for answer in at.said] == [(401, "close")]


@pytest.mark.parametrize("begun", [False, True])
def test_an_application_that_fails_ends_the_connection(begun, caplog):
    """With 500 where nothing was said yet, without a word otherwise."""

    async def app(_scope, _receive, send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
        raise ZeroDivisionError("inside")

    with caplog.at_level(logging.ERROR):
        at = exchange(GET % 1 + GET % 2, app=app)
    assert b"inside" not in at.wire.sent
    assert len(caplog.records) == 1
    if begun:
        assert at.wire.aborted
        assert at.wire.sent.endswith(b"1\r\na\r\n")
    else:
        assert [answer.code for answer in at.said] == ["internal_error"]
        assert at.wire.ended


def test_a_slow_reader_is_waited_for():
    """What an application sends waits while the socket is full, and is given up when the caller leaves."""
    sent = []
    line: Any = None

    async def app(scope, _receive, send) -> None:
        direct = scope["extensions"].pop(DIRECT)
        assert direct.begin(b"")
        line.pause_writing()
        assert not direct.write(b"a")
        await direct.drain()
        sent.append(1)
        await send({"type": "http.response.body", "body": b"b"})

    async def story(at, *, leaves):
        nonlocal line
        line = at.connection
        await at.hear(GET % 1)
        assert sent == []
        if not leaves:
            line.resume_writing()
            await turn()
            assert sent == [1]
            assert at.wire.sent.endswith(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")

    converse(lambda at: story(at, leaves=False), app)
    sent.clear()
    converse(lambda at: story(at, leaves=True), app)
    assert sent == [1]


# What nobody thought of.

VALID = [
    GET % 1,
    b"GET /v1/models?limit=2 HTTP/1.1\r\nHost: localhost:4000\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n",
    b"HEAD /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    HEAD + b"Content-Type: application/json\r\nContent-Length: 13\r\n\r\n" + b'{"model":"m"}',
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n",
    HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
    HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://x/a%2e?b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
]
SPLICES = [
    b"", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\x00", b"\xff", b" ", b"\t", b":", b"%", b"%2e%2e/", b"..", b"#",
    b"Content-Length: 3\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n",
    b"fffffff\r\n", b"Host: y\r\n", b"Expect: x\r\n", b"Connection: close\r\n", b"Upgrade: websocket\r\n", b"HTTP/1.0",
    b"HTTP/2.0", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"a" * 9000, b"a: b\r\n" * 200, b"\x16\x03\x01",
]  # fmt: skip


@st.composite
def mutations(draw) -> bytes:
    """Valid requests, cut, spliced, doubled and bent."""
    raw = b"".join(draw(st.lists(st.sampled_from(VALID), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(raw)))
        width = draw(st.integers(0, 3))
        piece = draw(st.sampled_from(SPLICES) | st.binary(max_size=4))
        raw = raw[:at] + piece + raw[at + width :]
    return raw


@settings(max_examples=3000)
@example(raw=b"".join(VALID), size=1)
@given(raw=mutations(), size=st.sampled_from([3, 64, 1 << 20]))
def test_bent_requests_are_answered_or_refused(raw, size):
    """Whatever comes: answers in order, each well-formed, none of them our fault; and the connection ends in time."""

    async def story(at):
        complaints = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        for start in range(0, len(raw), size):
            at.connection.data_received(raw[start : start + size])
            await asyncio.sleep(0)
        for _ in range(8):
            await turn()
        for _ in range(80):
            at.listener.tick()
        await turn()
        assert complaints == []
        assert at.wire.closed
        sent = at.wire.sent.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
        return re.findall(rb"HTTP/1\.1 (\d\d\d) [A-Z]", sent)

    statuses = converse(story, header_timeout=5, body_timeout=5)
    assert set(statuses) <= {b"200", b"400", b"405", b"408", b"414", b"417", b"431"}
    # A refusal is the last word.
    assert all(status == b"200" for status in statuses[:-1])
