"""Malformed and hostile HTTP on real sockets: a clean refusal or a silent end; nobody else notices, nothing is left.

The server runs on uvloop in a thread of its own, as it does for users, with short limits of time.
"""

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
import uvloop

from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.server.app import application
from headgate.server.listener import Listener
from headgate.server.serve import hosts, listening

pytestmark = pytest.mark.e2e

HEADER_TIMEOUT, BODY_TIMEOUT = 0.4, 0.6
PATIENCE = 8.0
"""Seconds that any exchange may take."""
HOST = b"Host: localhost\r\n"
JSON = HOST + b"Content-Type: application/json\r\n"
ALIVE = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
SMUGGLED = b"GET /readyz HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\n"
ASKED = json.dumps(
    {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hi."}], "max_completion_tokens": 5}
).encode()
CHUNKED = POST + JSON + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(ASKED)
CALL = POST + JSON + LENGTH + b"\r\n" + ASKED
STREAMED = ASKED[:-1] + b',"stream":true}'
STREAM = POST + JSON + b"Content-Length: %d\r\n\r\n" % len(STREAMED) + STREAMED


def chunk(data: bytes, *, mark: bytes = b"") -> bytes:
    """A chunk."""
    return b"%x%b\r\n%b\r\n" % (len(data), mark, data)


class Case(NamedTuple):
    """An exchange.

    Attributes:
        sent: bytes, and seconds to wait in between; `ENDS` closes the sending half.
        statuses: of the answers that come, in order.
        closed: whether the server ends the connection.
        code: of the last answer, if that is an error.
        bare: answers without a body, by their place.
    """

    sent: tuple[Any, ...]
    statuses: tuple[int, ...]
    closed: bool = True
    code: str | None = None
    bare: tuple[int, ...] = ()


ENDS = object()


def refused(*sent: Any, status: int = 400, code: str = "invalid_http") -> Case:
    """An exchange that is refused, whose connection ends, and behind which nothing is read."""
    return Case((*sent, SMUGGLED), (status,), code=code)


def head(lines: bytes, *, path: bytes = b"/healthz", method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    """A request without body."""
    return b"%b %b %b\r\n%b\r\n" % (method, path, version, lines)


def got(lines: bytes, status: int = 200, **how: Any) -> Case:
    """A request without body that is answered, and its connection goes on."""
    code = {404: "unknown_url", 405: "method_not_allowed"}.get(status)
    return Case((head(HOST + lines, **how),), (status,), closed=False, code=code)


CASES = {
    # Framing of bodies: where two readers could disagree.
    "length and chunks": refused(POST + JSON + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunks and length": refused(POST + JSON + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    "two lengths": refused(POST + JSON + LENGTH + b"Content-Length: 5\r\n\r\n" + ASKED),
    "the same length twice": refused(POST + JSON + LENGTH + LENGTH + b"\r\n" + ASKED),
    "a list of lengths": refused(POST + JSON + b"Content-Length: 5, 5\r\n\r\nhello"),
    "length +5": refused(POST + JSON + b"Content-Length: +5\r\n\r\nhello"),
    "length -5": refused(POST + JSON + b"Content-Length: -5\r\n\r\nhello"),
    "length 0x5": refused(POST + JSON + b"Content-Length: 0x5\r\n\r\nhello"),
    "length 5_0": refused(POST + JSON + b"Content-Length: 5_0\r\n\r\nhello"),
    "no length in the length": refused(POST + JSON + b"Content-Length:\r\n\r\n"),
    "a length that overflows": refused(POST + JSON + b"Content-Length: 18446744073709551616\r\n\r\n"),
    "a length beyond the limit": refused(
        POST + JSON + b"Content-Length: 18446744073709551615\r\n\r\n", status=413, code="request_too_large"
    ),
    "an odd coding": refused(POST + JSON + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "a second coding": refused(POST + JSON + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "chunked twice": refused(POST + JSON + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n"),
    "identity": refused(POST + JSON + b"Transfer-Encoding: identity\r\n\r\n"),
    "a coding behind a vertical tab": refused(POST + JSON + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n"),
    "a folded coding": refused(POST + JSON + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    "chunks in HTTP/1.0": refused(
        b"POST /v1/chat/completions HTTP/1.0\r\n" + JSON + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a body that nobody announced": Case(
        (POST + JSON + b"\r\n", 0.1, b'{"a":1}'), (400, 400), code="invalid_http"
    ),
    "more than announced": Case((CALL + b"xxxx\r\n\r\n",), (200, 400), code="invalid_http"),
    "less than announced": Case((POST + JSON + LENGTH + b"\r\n" + ASKED[:-1],), (408,), code="request_timeout"),
    "less than announced, and gone": Case((POST + JSON + LENGTH + b"\r\n" + ASKED[:-1], ENDS), ()),
    # Chunks.
    "chunks": Case((CHUNKED + chunk(ASKED[:9]) + chunk(ASKED[9:]) + b"0\r\n\r\n",), (200,), closed=False),
    "a chunk extension": Case((CHUNKED + chunk(ASKED, mark=b";a=b") + b"0\r\n\r\n",), (200,), closed=False),
    "leading zeros": Case((CHUNKED + b"0000" + chunk(ASKED) + b"0\r\n\r\n",), (200,), closed=False),
    "chunk size 0x5": refused(CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n"),
    "chunk size +5": refused(CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n"),
    "chunk size -5": refused(CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk size and a space": refused(CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n"),
    "no chunk size": refused(CHUNKED + b"\r\nhello\r\n0\r\n\r\n"),
    "a chunk size that overflows": refused(CHUNKED + b"fffffffffffffffff\r\nhello"),
    "a chunk longer than it says": refused(CHUNKED + b"5\r\nhelloX\r\n0\r\n\r\n"),
    "chunks with bare line feeds": refused(CHUNKED + b"5\nhello\n0\n\n"),
    "a bare line feed in an extension": refused(CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    "an endless extension": refused(
        CHUNKED + b"5;" + b"a" * 100_000, status=431, code="headers_too_large"
    ),
    "tiny chunks": refused(CHUNKED + b"1\r\nx\r\n" * 40_000, status=431, code="headers_too_large"),
    "trailers": Case(
        (CHUNKED + chunk(ASKED) + b"0\r\nContent-Type: text/plain\r\nx-headgate-tags: a\r\n\r\n",), (200,), closed=False
    ),
    "a length in a trailer": refused(CHUNKED + chunk(ASKED) + b"0\r\nContent-Length: 5\r\n\r\n"),
    "a coding in a trailer": refused(CHUNKED + chunk(ASKED) + b"0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    # Lines and headers.
    "a folded header": refused(head(HOST + b"a: b\r\n c\r\n")),
    "a header that begins with a space": refused(b"GET /healthz HTTP/1.1\r\n a: b\r\n" + HOST + b"\r\n"),
    "a space before the colon": refused(head(b"Host : localhost\r\n")),
    "no colon": refused(head(HOST + b"abc\r\n")),
    "no name": refused(head(HOST + b": x\r\n")),
    "a name that is no token": refused(head(HOST + b"a(b: x\r\n")),
    "bare line feeds": refused(b"GET /healthz HTTP/1.1\nHost: localhost\n\n"),
    "a bare line feed": refused(b"GET /healthz HTTP/1.1\r\nHost: localhost\na: b\r\n\r\n"),
    "a bare carriage return": refused(b"GET /healthz HTTP/1.1\r\nHost: localhost\ra: b\r\n\r\n"),
    "NUL in a header": refused(head(HOST + b"a: b\x00c\r\n")),
    "a control character in a header": refused(head(HOST + b"a: b\x01c\r\n")),
    "NUL in a name": refused(head(HOST + b"a\x00b: c\r\n")),
    "high bytes in a header": got(b"a: \xff\xfe\r\n"),
    "a high byte in a header that counts": Case(
        (POST + JSON + b"x-headgate-tags: a=\xff\r\n" + LENGTH + b"\r\n" + ASKED,), (400,), False, "invalid_header"
    ),
    "too many headers": refused(head(HOST + b"a: b\r\n" * 128), status=431, code="headers_too_large"),
    "a header that is too long": refused(
        head(HOST + b"a: " + b"x" * 20_000 + b"\r\n"), status=431, code="headers_too_large"
    ),
    "an endless header": refused(
        b"GET / HTTP/1.1\r\na: " + b"x" * 1_000_000, status=431, code="headers_too_large"
    ),
    "endless headers": refused(
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100_000, status=431, code="headers_too_large"
    ),
    "empty lines before": Case((b"\r\n\r\n" + ALIVE,), (200,), closed=False),
    # The first line.
    "HTTP/0.9": refused(b"GET /\r\n\r\n"),
    "HTTP/0.9, said": refused(head(HOST, version=b"HTTP/0.9")),
    "HTTP/2": refused(head(HOST, version=b"HTTP/2.0")),
    "HTTP/1.10": refused(head(HOST, version=b"HTTP/1.10")),
    "http/1.1": refused(head(HOST, version=b"http/1.1")),
    "an HTTP/2 connection": refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
    "TLS": refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2),
    "an answer": refused(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "no method that is known": refused(head(HOST, method=b"FOO")),
    "a method in small letters": refused(head(HOST, method=b"get")),
    "an address that is too long": refused(head(HOST, path=b"/" + b"x" * 9000), status=414, code="address_too_long"),
    "an endless address": refused(b"GET /" + b"x" * 1_000_000, status=414, code="address_too_long"),
    "a space in the address": refused(head(HOST, path=b"/heal thz")),
    "NUL in the address": refused(head(HOST, path=b"/\x00")),
    "high bytes in the address": refused(head(HOST, path=b"/\xc3\xa4")),
    # Addresses.
    "dots": refused(head(HOST, path=b"/v1/../healthz")),
    "encoded dots": refused(head(HOST, path=b"/v1/%2e%2E/healthz")),
    "encoded dots and slashes": refused(head(HOST, path=b"/v1%2f..%2fhealthz")),
    "overlong UTF-8": refused(head(HOST, path=b"/%c0%af")),
    "encoded NUL": refused(head(HOST, path=b"/healthz%00")),
    "an encoded line end": refused(head(HOST, path=b"/healthz%0d%0aset-cookie:a")),
    "an encoded letter": Case(
        (CALL.replace(b"/chat/", b"/%63hat/"),), (200,), closed=False
    ),
    "two slashes": got(b"", 404, path=b"//v1/models"),
    "a fragment": got(b"", 404, path=b"/healthz#x"),
    "a whole address": got(b"", path=b"http://localhost/healthz"),
    "a whole address of another host": refused(
        head(HOST, path=b"http://evil.example/healthz"), status=421, code="unknown_host"
    ),
    "no slash": refused(head(HOST, path=b"healthz")),
    "an asterisk": refused(head(HOST, path=b"*")),
    "an authority": refused(head(HOST, path=b"localhost:80")),
    "the options of the server": got(b"", 204, path=b"*", method=b"OPTIONS"),
    "a tunnel": refused(
        head(b"Host: x:80\r\n", path=b"x:80", method=b"CONNECT"), status=405, code="method_not_allowed"
    ),
    "TRACE": got(b"", 405, method=b"TRACE"),
    "TRACE of a call": got(b"", 405, path=b"/v1/chat/completions", method=b"TRACE"),
    # Hosts.
    "no host": refused(head(b"")),
    "two hosts": refused(head(HOST + HOST)),
    "an empty host": refused(head(b"Host:\r\n")),
    "a host that is none": refused(head(b"Host: localhost, evil.example\r\n")),
    "a host with a user": refused(head(b"Host: localhost@evil.example\r\n")),
    "a name led here": refused(head(b"Host: evil.example\r\n"), status=421, code="unknown_host"),
    "an address led here": got(b"", path=b"http://127.0.0.1:4000/healthz"),
    # Methods.
    "HEAD": Case((head(HOST, method=b"HEAD") + ALIVE,), (200, 200), closed=False, bare=(0,)),
    "HEAD of the models": Case((head(HOST, path=b"/v1/models", method=b"HEAD"),), (200,), closed=False, bare=(0,)),
    "HEAD of the page": Case((head(HOST, path=b"/docs", method=b"HEAD"),), (200,), closed=False, bare=(0,)),
    "HEAD of nothing": Case((head(HOST, path=b"/x", method=b"HEAD") + ALIVE,), (404, 200), closed=False, bare=(0,)),
    "HEAD of a call": Case(
        (head(HOST, path=b"/v1/chat/completions", method=b"HEAD") + ALIVE,), (405, 200), closed=False, bare=(0,)
    ),
    "HEAD without a host": Case((head(b"", method=b"HEAD"),), (400,), bare=(0,)),
    "options of a call": got(b"", 204, path=b"/v1/chat/completions", method=b"OPTIONS"),
    "options of a page": got(b"", 204, path=b"/docs", method=b"OPTIONS"),
    "PUT": got(b"", 405, method=b"PUT"),
    "GET of a call": got(b"", 405, path=b"/v1/chat/completions"),
    "a body on GET": Case(
        (b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nok" + ALIVE,), (200, 200), closed=False
    ),
    # Expectations.
    "100-continue": Case(
        (POST + JSON + LENGTH + b"Expect: 100-continue\r\n\r\n", 0.1, ASKED), (100, 200), closed=False
    ),
    "100-continue, unasked": Case((POST + JSON + LENGTH + b"Expect: 100-continue\r\n\r\n" + ASKED,), (200,), False),
    "100-continue without a body": got(b"Expect: 100-continue\r\n"),
    "100-continue, refused": Case(
        (POST + HOST + b"Expect: 100-continue\r\nContent-Length: 999\r\n\r\n", SMUGGLED),
        (415,), code="unsupported_media_type",
    ),
    "100-continue, and never": Case(
        (POST + JSON + LENGTH + b"Expect: 100-continue\r\n\r\n",), (100, 408), code="request_timeout"
    ),
    "another expectation": refused(head(HOST + b"Expect: 200-ok\r\n"), status=417, code="expectation_failed"),
    # Other protocols.
    "h2c": Case(
        (POST + JSON + LENGTH + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n" + ASKED,),
        (200,), closed=False,
    ),
    "h2c, and its body later": Case(
        (POST + JSON + LENGTH + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 0.1, ASKED[:9], 0.1, ASKED[9:] + ALIVE),
        (200, 200), closed=False,
    ),
    "h2c in chunks": Case(
        (CHUNKED[:-2] + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + chunk(ASKED) + b"0\r\n\r\n" + ALIVE,),
        (200, 200), closed=False,
    ),
    "a websocket": Case(
        (head(HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n") + ALIVE,),
        (200, 200), closed=False,
    ),
    # Connections.
    "HTTP/1.0": Case((head(b"", version=b"HTTP/1.0"), SMUGGLED), (200,)),
    "HTTP/1.0, kept alive": Case((head(b"Connection: keep-alive\r\n", version=b"HTTP/1.0"),), (200,)),
    "HTTP/1.0, a stream": Case((STREAM.replace(b"HTTP/1.1", b"HTTP/1.0"),), (200,)),
    "close": Case((head(HOST + b"Connection: close\r\n") + SMUGGLED, SMUGGLED), (200,)),
    "pipelined": Case((ALIVE * 5 + CALL + STREAM + ALIVE,), (200,) * 8, closed=False),
    "pipelined, byte by byte": Case(tuple(bytes([byte]) for byte in ALIVE * 2), (200, 200), closed=False),
    "pipelined without end": Case((ALIVE * 200,), (200,) * 33),
    "pipelined, and nonsense": Case(
        (CALL + STREAM + b"nonsense\r\n\r\n" + SMUGGLED,), (200, 200, 400), code="invalid_http"
    ),
    "pipelined, and a broken body": Case((STREAM + CHUNKED + b"zz\r\n" + SMUGGLED,), (200, 400), code="invalid_http"),
    "pipelined behind a refusal": refused(CHUNKED + b"zz\r\n" + SMUGGLED),
    "a large body": refused(
        POST + JSON + b"Content-Length: 3000000\r\n\r\n" + b"x" * 3_000_000, status=413, code="request_too_large"
    ),
    "a body in one piece": Case(
        (POST + JSON + b"Content-Length: 500000\r\n\r\n" + b" " * 500_000, 0.1, ALIVE), (400, 200), closed=False
    ),
    "a large body in chunks": refused(CHUNKED + chunk(b"x" * 60_000) * 50, status=413, code="request_too_large"),
    "not JSON": Case((CALL.replace(b'{"model"', b'<"model"'),), (400,), closed=False, code="invalid_json"),
    "not called JSON": Case(
        (CALL.replace(b"application/json", b"text/plain"),), (415,), closed=False, code="unsupported_media_type"
    ),
    # Slow senders.
    "a head that stops": Case((b"GET /heal",), (408,), code="request_timeout"),
    "a head, a byte at a time": Case(
        (b"GET /healthz HTTP/1.1\r\n", *[part for _ in range(8) for part in (b"a: b\r\n", 0.1)]),
        (408,), code="request_timeout",
    ),
    "a second head that stops": Case((ALIVE + b"GET /heal",), (200, 408), code="request_timeout"),
    "a body that stops": Case((POST + JSON + LENGTH + b"\r\n" + ASKED[:5],), (408,), code="request_timeout"),
    "a body, a byte at a time": Case(
        (POST + JSON + LENGTH + b"\r\n", *[part for byte in ASKED[:20] for part in (bytes([byte]), 0.1)]),
        (408,), code="request_timeout",
    ),
    "chunks that stop": Case((CHUNKED + chunk(ASKED),), (408,), code="request_timeout"),
    "nothing at all, and gone": Case((ENDS,), ()),
    "half a head, and gone": Case((b"GET /healthz HTT", ENDS), ()),
    "a head, and gone": Case((POST + JSON + LENGTH + b"\r\n", ENDS), ()),
}  # fmt: skip


class Server(NamedTuple):
    """A server in its own thread."""

    loop: asyncio.AbstractEventLoop
    listener: Listener
    gate: Gate
    port: int
    complaints: list[Any]

    def connect(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def ask(self, raw: bytes) -> bytes:
        """One exchange whose connection stays open for a moment."""
        with self.connect() as line:
            line.sendall(raw)
            return line.recv(65536)

    def quiet(self) -> bool:
        """Whether nothing of any exchange is left, soon."""
        end = time.monotonic() + PATIENCE  # noqa: TID251  real sockets take real time
        while time.monotonic() < end:  # noqa: TID251  ditto
            if not (self.listener.connections or self.listener.tasks or self.gate.meter.counters.in_flight):
                return True
            time.sleep(0.02)
        return False


SETTINGS = {
    "store": "memory://",
    "providers": {"p": {"type": "simulator"}},
    "models": {"gpt-6-luna": {"targets": [{"provider": "p"}]}},
    "server": {"max_body_mb": 1},
}


@contextmanager
def _serving() -> Iterator[Server]:
    started: list[Server] = []
    ready = threading.Event()
    stop: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        complaints: list[Any] = []
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        config = load(None, environment={}, settings=SETTINGS).config
        over = asyncio.Event()
        stop.append(lambda: loop.call_soon_threadsafe(over.set))
        async with await Gate.open(config) as gate:
            listener = Listener(
                application(gate), header_timeout=HEADER_TIMEOUT, body_timeout=BODY_TIMEOUT, hosts=hosts(config)
            )
            async with listening(listener, host="127.0.0.1", port=0, grace=1) as address:
                started.append(Server(loop, listener, gate, int(address.rsplit(":", 1)[1]), complaints))
                ready.set()
                await over.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(20)
        yield started[0]
    finally:
        stop[0]()
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(name="server", scope="module")
def _server():
    """One server for all exchanges: none may harm it."""
    with _serving() as server:
        yield server


class Answer(NamedTuple):
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def _answers(said: bytes, bare: tuple[int, ...]) -> list[Answer]:
    """What was said, taken apart strictly; an answer without length or chunks goes to the end."""
    found: list[Answer] = []
    while said:
        top, end, said = said.partition(b"\r\n\r\n")
        assert end, top
        line, *fields = top.decode("ascii").split("\r\n")
        matched = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Za-z -]+", line)
        assert matched, line
        status = int(matched[1])
        pairs = [field.split(": ", 1) for field in fields]
        headers = dict(pairs)
        assert len(headers) == len(pairs)
        assert status == 100 or {"date", "x-request-id"} <= set(headers)
        body = b""
        if status in {100, 204} or len(found) in bare:
            assert "transfer-encoding" not in headers
        elif "content-length" in headers:
            size = int(headers["content-length"])
            body, said = said[:size], said[size:]
            assert len(body) == size
        elif headers.get("transfer-encoding") == "chunked":
            while size := int((mark := said.partition(b"\r\n"))[0], 16):
                body += mark[2][:size]
                assert mark[2][size : size + 2] == b"\r\n"
                said = mark[2][size + 2 :]
            assert said.startswith(b"0\r\n\r\n")
            said = said[5:]
        else:
            assert headers["connection"] == "close"
            body, said = said, b""
        found.append(Answer(status, headers, body))
    return found


def _converse(server: Server, case: Case) -> tuple[bytes, bool]:
    """What the server says, and whether it ends the connection."""
    said = b""
    with server.connect() as line:
        try:
            for part in case.sent:
                if part is ENDS:
                    line.shutdown(socket.SHUT_WR)
                elif isinstance(part, bytes):
                    line.sendall(part)
                else:
                    time.sleep(part)
        except (ConnectionError, TimeoutError):
            # Refused while it was still speaking, for longer than anybody listens.
            assert case.closed
        line.settimeout(PATIENCE if case.closed else 0.3)
        try:
            while piece := line.recv(1 << 20):
                said += piece
        except TimeoutError:
            return said, False
        except ConnectionResetError:
            # What it never read is thrown away with the connection; what it said is judged all the same.
            assert case.closed
    return said, True


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", CASES)
def test_an_exchange(name, server):
    """What is answered, with which code, and whether the connection goes on; the next caller notices nothing."""
    case = CASES[name]
    said, closed = _converse(server, case)
    answers = _answers(said, case.bare)
    assert [answer.status for answer in answers] == list(case.statuses)
    assert closed == case.closed
    for place, answer in enumerate(answers):
        if answer.status >= 400 and place not in case.bare:
            error = json.loads(answer.body)["error"]
            assert set(error) == {"message", "type", "param", "code"}
            assert answer.headers["content-type"] == "application/json"
            assert "Traceback" not in error["message"]
            assert place < len(answers) - 1 or error["code"] == case.code
        if answer.status in {204, 405}:
            assert "OPTIONS" in answer.headers["allow"]
        assert answer.status != 100 or not answer.headers
    if closed and answers and not case.bare:
        assert answers[-1].headers.get("connection") == "close"
    assert server.ask(ALIVE).startswith(b"HTTP/1.1 200 OK\r\n")
    assert server.quiet()
    assert server.complaints == []


def test_there_are_enough_of_them():
    """The promise is forty."""
    assert len(CASES) >= 100


def test_slow_senders_cost_nobody_else_anything(server):
    """Two hundred connections that never finish a request; others are answered meanwhile, and all of them end."""
    lines = [server.connect() for _ in range(200)]
    try:
        for number, line in enumerate(lines):
            line.sendall([b"G", b"GET / HTTP/1.1\r\na: b\r\n", POST + JSON + LENGTH + b"\r\n{"][number % 3])
        assert b"chat.completion" in server.ask(CALL)
        for line in lines:
            said = b""
            while piece := line.recv(65536):
                said += piece
            assert [answer.status for answer in _answers(said, ())] == [408]
    finally:
        for line in lines:
            line.close()
    assert server.quiet()


def test_stopping_ends_idle_connections_and_lets_answers_finish():
    """Half-sent requests do not hold it up."""
    with _serving() as server:
        idle, half, busy = (server.connect() for _ in range(3))
        half.sendall(b"GET /healthz HTT")
        busy.sendall(CALL)
        assert busy.recv(65536).startswith(b"HTTP/1.1 200")
        began = time.monotonic()  # noqa: TID251  real sockets take real time
    assert time.monotonic() - began < 5  # noqa: TID251  ditto
    for line in (idle, half, busy):
        assert line.recv(1) == b""
        line.close()


# Many callers at once.

CALLERS, ROUNDS = 100, 3


def _echo(whole, streamed):
    """Answers that repeat the question; some take a while, so that later questions overtake earlier ones."""

    def answer(seen):
        question = seen.json["messages"][0]["content"]
        pause = (len(question) * 7 + sum(question.encode())) % 5 * 0.01
        fields = {"id": question, "created": 1, "model": question}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        if not seen.json.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": question}, "finish_reason": "stop"}
            body = {**fields, "object": "chat.completion", "choices": [choice], "usage": usage}
            return [pause, *whole(json.dumps(body).encode())]
        chunks = [{"choices": [{"index": 0, "delta": {"content": letter}}]} for letter in question]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage})
        events = [b"data: %b\n\n" % json.dumps({**fields, **one}).encode() for one in chunks]
        events.insert(len(events) // 2, pause)
        return streamed(*events, b"data: [DONE]\n\n")

    return answer


def _question(text: str, *, stream: bool) -> bytes:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], "stream": stream}).encode()
    return POST + JSON + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def _hear(reader: asyncio.StreamReader) -> tuple[str, bool]:
    """The words of the next answer, and whether it was a stream."""
    top = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert top.startswith("HTTP/1.1 200 OK\r\n"), top
    if "transfer-encoding: chunked" not in top:
        size = int(re.search(r"content-length: (\d+)", top)[1])
        return json.loads(await reader.readexactly(size))["choices"][0]["message"]["content"], False
    said = b""
    while size := int(await reader.readline(), 16):
        said += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readexactly(2) == b"\r\n"
    events = [line[6:] for line in said.split(b"\n\n") if line.startswith(b"data: ")]
    assert events[-1] == b"[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert len({chunk["id"] for chunk in chunks}) == 1
    return "".join(part["delta"].get("content", "") for chunk in chunks for part in chunk["choices"]), True


async def _call(number: int, port: int) -> list[tuple[str, str]]:
    """One caller's rounds over one connection: what it asked and what it heard. Every fifth leaves in the middle."""
    heard = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for turn in range(ROUNDS):
        asked = [(f"caller {number} turn {turn} part {part}", bool((number + part) % 2)) for part in range(4)]
        raw = [_question(text, stream=stream) for text, stream in asked]
        if number % 5 == 4 and turn == 1:
            # All of it, or but for the end of the last; before an answer, or after its first bytes.
            writer.write(b"".join(raw)[: None if number % 2 else -20])
            if number % 3:
                await reader.read(10)
            break
        if number % 3:
            writer.write(b"".join(raw))
        for piece, (text, stream) in zip(raw, asked, strict=True):
            if not number % 3:
                writer.write(piece)
            words, was_stream = await _hear(reader)
            assert was_stream == stream
            heard.append((text, words))
    writer.close()
    return heard


def test_a_hundred_connections_keep_their_answers_apart(stand, whole, streamed):
    """Whole and streamed, one by one and pipelined, over kept connections, while every fifth leaves in the middle."""

    async def story():
        async with stand("http") as at:
            at.upstream.answer = _echo(whole, streamed)
            port = int(at.address.rsplit(":", 1)[1])
            async with asyncio.timeout(50), asyncio.TaskGroup() as group:
                callers = [group.create_task(_call(number, port)) for number in range(CALLERS)]
            async with asyncio.timeout(5):
                while at.gate.meter.counters.in_flight:  # noqa: ASYNC110  what is waited for tells nobody
                    await asyncio.sleep(0.01)
            return [one for caller in callers for one in caller.result()]

    heard = asyncio.run(story())
    assert [(asked, words) for asked, words in heard if asked != words] == []
    leaving = CALLERS // 5
    assert len(heard) == len(set(heard)) == 4 * ((CALLERS - leaving) * ROUNDS + leaving)
