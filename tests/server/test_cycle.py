"""One request and its answer: how the body comes in, how an answer's bytes are framed."""

import asyncio
import logging

import pytest

from headgate.core.errors import HeadgateError
from headgate.server.cycle import Cycle

DATE = b"date: Fri, 15 Jan 2027 08:00:00 GMT\r\n"


class Line:
    """A connection that remembers."""

    def __init__(self) -> None:
        self.transport = self
        self.writes: list[bytes] = []
        self.write_paused = False
        self.needs = 0
        self.answers = 0
        self.failures: list[HeadgateError] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def date(self) -> bytes:
        return DATE

    def need(self) -> None:
        self.needs += 1

    def answered(self, _cycle: Cycle) -> None:
        self.answers += 1

    def fail(self, _cycle: Cycle, error: HeadgateError) -> None:
        self.failures.append(error)

    async def drain(self) -> None:
        self.write_paused = False


def made(*, body=b"", whole=True, **how):
    """A cycle on a line."""
    line = Line()
    settings = {"head_only": False, "old": False, "keep_alive": True, "expects": False, **how}
    cycle = Cycle(line, **settings)
    if body:
        cycle.feed(body)
    if whole:
        cycle.end()
    return cycle, line


def send(cycle, *messages):
    """Send ASGI messages."""

    async def story():
        for message in messages:
            await cycle.send(message)

    asyncio.run(story())


def start(status=200, *headers):
    """The beginning of an answer."""
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def piece(body=b"", *, more=False):
    """A piece of an answer."""
    return {"type": "http.response.body", "body": body, "more_body": more}


def length(size):
    """The header that tells a length."""
    return (b"content-length", b"%d" % size)


def test_a_whole_answer_is_one_write():
    """Status, date, headers, body."""
    cycle, line = made()
    send(cycle, start(404, length(2), (b"x-a", b"1")), piece(b"ok"))
    assert line.writes == [b"HTTP/1.1 404 Not Found\r\n" + DATE + b"content-length: 2\r\nx-a: 1\r\n\r\nok"]
    assert (cycle.complete, line.answers, cycle.keep_alive) == (True, 1, True)


def test_an_answer_of_unknown_length_comes_in_chunks():
    """The head goes with the first of them."""
    cycle, line = made()
    send(cycle, start(), piece(b"one", more=True), piece(b"", more=True), piece(b"two"))
    head = b"HTTP/1.1 200 OK\r\n" + DATE + b"transfer-encoding: chunked\r\n\r\n"
    assert line.writes == [head + b"3\r\none\r\n", b"3\r\ntwo\r\n0\r\n\r\n"]


def test_http_1_0_knows_no_chunks():
    """The end of the connection is the end of the answer."""
    cycle, line = made(old=True)
    send(cycle, start(), piece(b"one", more=True), piece(b"two"))
    assert b"".join(line.writes) == b"HTTP/1.1 200 OK\r\n" + DATE + b"connection: close\r\n\r\nonetwo"
    assert not cycle.keep_alive
    assert not made(old=True)[0].begin(b"")


@pytest.mark.parametrize("status", [200, 204, 304])
def test_answers_without_a_body_have_none(status):
    """To `HEAD`, and where the status says so; the length is told to `HEAD` as it would be to `GET`."""
    cycle, line = made(head_only=status == 200)
    send(cycle, start(status, *([length(5)] if status == 200 else [])), piece(b"hello"))
    (sent,) = line.writes
    assert sent.endswith(b"\r\n\r\n")
    assert (b"content-length: 5" in sent) == (status == 200)
    assert b"chunked" not in sent
    assert cycle.keep_alive
    assert not made(head_only=True)[0].whole(b"", b"hello")


@pytest.mark.parametrize(
    "messages",
    [
        [start(200, length(2)), piece(b"long")],
        [start(200, length(9)), piece(b"short")],
        [piece(b"first")],
        [start(), start()],
        [start(), piece(), piece()],
        [start(200, (b"a b", b"c"))],
        [start(200, (b"a", b"b\r\nset-cookie: c"))],
        [{"type": "http.response.trailers"}],
    ],
)
def test_what_would_break_the_framing_is_refused(messages):
    """Lengths that are not kept, messages out of turn, headers that end their line."""
    cycle, line = made()
    with pytest.raises(RuntimeError):
        send(cycle, *messages)
    assert b"set-cookie" not in b"".join(line.writes)


def test_nothing_is_sent_to_who_has_left():
    """And nothing is complained of."""
    cycle, line = made()
    cycle.disconnect()
    send(cycle, start(), piece(b"x"), piece(b"y"))
    assert cycle.whole(b"", b"")
    assert cycle.write(b"x")
    assert not cycle.begin(b"")
    assert line.writes == []


def test_who_waits_for_it_is_told_once_that_the_caller_has_left():
    """At once, and not behind an answer that is complete."""
    told: list[str] = []
    cycle, _ = made()
    cycle.gone = lambda: told.append("gone")
    cycle.disconnect()
    cycle.disconnect()
    assert told == ["gone"]
    answered, _ = made()
    answered.gone = lambda: told.append("never")
    assert answered.whole(b"", b"{}")
    answered.disconnect()
    assert told == ["gone"]


def test_a_full_socket_is_waited_for():
    """Before anything is written, and the shorter way is not taken."""
    cycle, line = made()
    line.write_paused = True
    assert not cycle.whole(b"", b"x")
    assert not cycle.begin(b"")
    send(cycle, start(200, length(1)), piece(b"x"))
    assert not line.write_paused


def test_the_shorter_way_says_the_same():
    """Whole: as the ordinary way would have it, once."""
    cycle, line = made()
    assert cycle.whole(b"x-a: 1\r\n", b"ok")
    assert line.writes == [b"HTTP/1.1 200 OK\r\n" + DATE + b"x-a: 1\r\ncontent-length: 2\r\n\r\nok"]
    assert (cycle.complete, line.answers) == (True, 1)
    assert not cycle.whole(b"", b"twice")
    assert not cycle.begin(b"")


def test_a_stream_goes_the_shorter_way_and_ends_the_ordinary_one():
    """Pieces are chunks; the head goes with the first; the ordinary `send` ends what was begun."""
    cycle, line = made(keep_alive=False)
    assert cycle.begin(b"x-a: 1\r\n")
    assert line.writes == []
    assert cycle.write(b"data: 1\n\n")
    line.write_paused = True
    assert not cycle.write(b"data: 2\n\n")
    asyncio.run(cycle.drain())
    send(cycle, piece(b"end"))
    head = b"HTTP/1.1 200 OK\r\n" + DATE + b"x-a: 1\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    assert line.writes == [head + b"9\r\ndata: 1\n\n\r\n", b"9\r\ndata: 2\n\n\r\n", b"3\r\nend\r\n0\r\n\r\n"]


def test_a_stream_without_a_word_still_has_a_head():
    """Whatever ends it, sends it."""
    cycle, line = made()
    assert cycle.begin(b"")
    send(cycle, piece())
    assert line.writes[0].endswith(b"chunked\r\n\r\n0\r\n\r\n")


def test_an_answer_before_the_end_of_the_request_ends_the_connection():
    """Behind it nothing could be read."""
    cycle, line = made(body=b"half", whole=False)
    send(cycle, start(413, length(0)), piece())
    assert line.writes[0].endswith(b"connection: close\r\n\r\n")
    assert not cycle.keep_alive


def test_the_body_comes_in_pieces():
    """What has come is given together; more is asked for when there is nothing; then the end; then the leaving."""

    async def story():
        cycle, line = made(whole=False)
        got = []

        async def read() -> None:
            while not got or got[-1]["type"] != "http.disconnect":
                got.append(await cycle.receive())

        reading = asyncio.get_running_loop().create_task(read())
        await asyncio.sleep(0)
        assert (got, line.needs) == ([], 1)
        cycle.feed(b"one")
        cycle.feed(b"two")
        assert cycle.size == 6
        await asyncio.sleep(0)
        assert cycle.size == 0
        cycle.feed(b"three")
        cycle.end()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not reading.done()
        cycle.disconnect()
        await reading
        return got

    got = [(message.get("body"), message.get("more_body")) for message in asyncio.run(story())]
    assert got == [(b"onetwo", True), (b"three", False), (None, None)]


def test_a_request_without_body_is_told_once():
    """An empty body, and then the end of the exchange."""

    async def story():
        cycle, _ = made()
        first = await cycle.receive()
        waiting = asyncio.get_running_loop().create_task(cycle.receive())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
        assert cycle.whole(b"", b"")
        return first, await waiting

    first, last = asyncio.run(story())
    assert first == {"type": "http.request", "body": b"", "more_body": False}
    assert last == {"type": "http.disconnect"}


@pytest.mark.parametrize("arrived", [b"", b"ok"])
def test_100_is_said_once_and_only_where_it_helps(arrived):
    """When the application waits for a body that has not begun."""

    async def story():
        cycle, line = made(body=arrived, whole=False, expects=True)
        if not arrived:
            asyncio.get_running_loop().call_later(0, cycle.feed, b"ok")
        await cycle.receive()
        return line.writes

    assert asyncio.run(story()) == ([] if arrived else [b"HTTP/1.1 100 Continue\r\n\r\n"])


def test_applications_that_fail(caplog):
    """Whatever they do, somebody is told: the connection, and the log."""

    async def raises(_scope, _receive, _send) -> None:
        raise ZeroDivisionError("inside")

    async def forgets(_scope, _receive, _send) -> None:
        pass

    async def cancelled(_scope, _receive, _send) -> None:
        raise asyncio.CancelledError

    async def answers(_scope, _receive, send) -> None:
        await send(start(200, length(0)))
        await send(piece())

    codes = []
    for app in (raises, forgets, cancelled, answers):
        cycle, line = made()
        with caplog.at_level(logging.ERROR):
            asyncio.run(cycle.run(app, {"method": "GET", "raw_path": b"/x"}))
        codes.append([error.code for error in line.failures])
        assert not any("inside" in str(error) for error in line.failures)
    assert codes == [["internal_error"], ["internal_error"], ["stopping"], []]
    assert len(caplog.records) == 2


def test_applications_may_fall_silent_when_the_caller_has_left():
    """Nobody is told."""

    async def forgets(_scope, _receive, _send) -> None:
        pass

    cycle, line = made()
    cycle.disconnect()
    asyncio.run(cycle.run(forgets, {"method": "GET", "raw_path": b"/x"}))
    assert line.failures == []
