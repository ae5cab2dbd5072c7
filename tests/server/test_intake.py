"""Covers server/intake.py: what a request says, made into a call; what must not become one."""

import asyncio
import hashlib
from typing import Any, NamedTuple

import pytest

from headgate.core.body import Body
from headgate.core.call import Address, Call, Operation
from headgate.core.errors import (
    BadRequestError,
    CallerError,
    HeadgateError,
    InvalidKeyError,
    MediaTypeError,
    MethodNotAllowedError,
    NotAllowedError,
    TooLargeError,
    UnknownPathError,
)
from headgate.core.upload import Form, Upload, whole
from headgate.server.auth import door
from headgate.server.intake import Intake

JSON = ("content-type", "application/json")
FORM = ("content-type", "multipart/form-data; boundary=b")
ANNA = ("authorization", "Bearer hg-anna")
KEYS = {
    "server": {"auth": "keys"},
    "keys": [
        {"name": "anna", "sha256": hashlib.sha256(b"hg-anna").hexdigest(), "passthrough": ["/v1/*"]},
        {"name": "bert", "sha256": hashlib.sha256(b"hg-bert").hexdigest(), "models": ["gpt-6-luna"]},
    ],
}


def field(name: str, value: bytes, *, file: bool = False) -> bytes:
    """A part of a form."""
    more = b'; filename="f"' if file else b""
    return b'--b\r\ncontent-disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (name.encode(), more, value)


def form(*parts: bytes) -> bytes:
    """A form, as it travels."""
    return b"".join(parts) + b"--b--\r\n"


FILE = form(field("purpose", b"batch"), field("file", b"\x00\xff", file=True))


class Got(NamedTuple):
    """What became of a request: a call, with its body as bytes, or an error; and whether all was given back."""

    call: Call | None
    error: HeadgateError | None
    raw: bytes
    left: int
    """Messages that nobody asked for."""
    open: int
    """Spools that are still open behind the call."""


class Asking:
    """Sends requests to the intake of a gate on the simulator."""

    def __init__(self, simulated_gate: Any) -> None:
        self.gate = simulated_gate

    def __call__(
        self,
        method: str,
        path: str,
        *parts: bytes | None,
        headers: tuple[tuple[str, Any], ...] = (),
        query: str = "",
        **settings: Any,
    ) -> Got:
        return asyncio.run(self._story(method, path, parts or (b"",), headers, query, settings))

    async def _story(self, method, path, parts, headers, query, settings) -> Got:  # noqa: PLR0917  as above
        waiting: list[Any] = [
            {"type": "http.disconnect"}
            if part is None
            else {"type": "http.request", "body": part, "more_body": at < len(parts) - 1}
            for at, part in enumerate(parts)
        ]

        async def receive() -> Any:
            return waiting.pop(0)

        pairs = [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers]
        scope = {"method": method, "path": "/v1" + path, "query_string": query.encode("latin-1"), "headers": pairs}
        async with self.gate(**settings) as gate:
            spools: list[Any] = []
            make = gate.spool
            gate.spool = lambda content_type: spools.append(make(content_type)) or spools[-1]
            intake = Intake(gate, door(gate.config, gate.keyring))
            try:
                taken = await intake.take(scope, receive)
            except HeadgateError as error:
                return Got(None, error, b"", len(waiting), _open(spools))
            if taken is None:
                return Got(None, None, b"", len(waiting), _open(spools))
            body = taken.call.body
            raw = whole(body) if isinstance(body, Upload) else body.raw
            assert taken.spool is (spools[0] if spools else None)
            if taken.spool is not None:
                taken.spool.close()
            return Got(taken.call, None, raw, len(waiting), _open(spools))


def _open(spools: list[Any]) -> int:
    return sum(not spool._store._closed for spool in spools)


@pytest.fixture(name="ask")
def _ask(simulated_gate):
    return Asking(simulated_gate)


def refused(got: Got, kind: type[CallerError], words: str = "") -> HeadgateError:
    """The error, if it is of that kind and nothing was kept."""
    assert type(got.error) is kind, got
    assert got.open == 0
    assert words in got.error.message
    return got.error


# --- addresses


def test_a_call_of_every_day(ask):
    """Posted to its own path; no address, no names, no spool."""
    got = ask("POST", "/chat/completions", b'{"model": ', b'"gpt-6-luna", "messages": []}', headers=(JSON,))
    assert got.call is not None
    assert (got.call.operation, got.call.model, got.call.address) == (Operation.CHAT, "gpt-6-luna", None)
    assert isinstance(got.call.body, Body)
    assert got.raw == b'{"model": "gpt-6-luna", "messages": []}'


@pytest.mark.parametrize(
    ("method", "path", "query", "operation", "names", "stream", "opaque"),
    [
        ("GET", "/files", "limit=2", Operation.FILES, (), False, False),
        ("GET", "/files/file-1", "", Operation.FILES, ("file-1",), False, False),
        ("GET", "/files/file-1/content", "", Operation.FILES, ("file-1",), False, True),
        ("DELETE", "/responses/resp_1", "", Operation.STORED, ("resp_1",), False, False),
        ("GET", "/responses/resp_1", "stream=true", Operation.STORED, ("resp_1",), True, False),
        ("POST", "/batches/batch_1/cancel", "", Operation.BATCHES, ("batch_1",), False, False),
    ],
)
def test_an_address_without_a_body(ask, method, path, query, operation, names, stream, opaque):  # noqa: PLR0917  a table
    """Becomes a call to where it leads, with the ids in it; no type is asked for what is not there."""
    for headers in ((), (("content-length", "0"),), (("content-length", "000"), ("content-type", "text/plain"))):
        got = ask(method, path, headers=headers, query=query)
        call = got.call
        assert call is not None
        assert call.address == Address(method, path, query, listing=path == "/files")
        assert (call.operation, call.names, call.stream, call.opaque) == (operation, names, stream, opaque)
        assert (call.model, got.raw) == ("", b"")


def test_ids_in_the_address_and_in_the_body_are_names(ask):
    """All of them are looked at before anything is sent."""
    body = b'{"input_file_id": "file-2", "x": {"file_id": "file-3"}}'
    got = ask("POST", "/batches", body, headers=(JSON,))
    assert got.call is not None
    assert set(got.call.names) == {"file-2", "file-3"}
    got = ask("POST", "/uploads/upload_1/parts", form(field("data", b"x", file=True)), headers=(FORM,))
    assert got.call is not None
    assert got.call.names == ("upload_1",)
    got = ask("POST", "/batches/batch_1/cancel", b'{"file_id": "file-2"}', headers=(JSON, ("content-length", "21")))
    assert got.call is not None
    assert got.call.names == ("batch_1", "file-2")


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/chat/completions", MethodNotAllowedError),
        ("HEAD", "/files", MethodNotAllowedError),
        ("PUT", "/files/file-1", MethodNotAllowedError),
        ("GET", "/files/{id}", UnknownPathError),
        ("GET", "/files/../batches", UnknownPathError),
        ("GET", "/responses/resp_1/../resp_2", UnknownPathError),
        ("GET", "/fine_tuning/jobs", UnknownPathError),
        ("POST", "/", UnknownPathError),
    ],
)
def test_what_leads_nowhere(ask, method, path, kind):
    """Nothing of the body is read."""
    got = ask(method, path, b"x", headers=(JSON,))
    refused(got, kind)
    assert got.left == 1


def test_a_malformed_query_is_refused(ask):
    """It travels as it came, so it must be one."""
    refused(ask("GET", "/files", query="a=\xe9"), BadRequestError, "query")


# --- bodies


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/chat/completions", ()),
        ("/chat/completions", (("content-type", "text/plain"),)),
        ("/chat/completions", (FORM,)),
        ("/files", (JSON,)),
        ("/files", ()),
        ("/files", (("content-type", "multipart/form-data"),)),
        ("/files", (("content-type", "multipart/form-data; boundary=€"),)),
        ("/files", (("content-type", "multipart/mixed; boundary=b"),)),
        ("/files", (FORM, ("content-encoding", "gzip"))),
        ("/batches", (FORM,)),
        ("/batches/batch_1/cancel", (FORM, ("content-length", "3"))),
        ("/batches/batch_1/cancel", (("transfer-encoding", "chunked"),)),
    ],
)
def test_a_body_of_another_kind_is_415(ask, path, headers):
    """Before anything of it is read."""
    got = ask("POST", path, b"{}", headers=headers)
    refused(got, MediaTypeError)
    assert got.left == 1


def test_a_form_waits_on_the_spool(ask):
    """Taken apart, whatever its pieces; it is there until the call is over."""
    got = ask("POST", "/files", FILE[:50], FILE[50:51], b"", FILE[51:], headers=(FORM,))
    assert got.call is not None
    assert isinstance(got.call.body, Form)
    assert got.call.body.text("purpose") == "batch"
    assert b"\x00\xff" in got.raw
    assert got.call.address == Address("POST", "/files")
    assert got.open == 0


def test_a_form_may_ask_a_model(ask):
    """The facts of the call are read from its fields."""
    raw = form(field("model", b"m"), field("stream", b"true"), field("file", b"x", file=True))
    got = ask("POST", "/audio/transcriptions", raw, headers=(FORM,))
    assert got.call is not None
    assert (got.call.model, got.call.stream, got.call.operation) == ("m", True, Operation.TRANSCRIPTIONS)
    edit = form(field("model", b"m"), field("image[file_id]", b"file-1"))
    got = ask("POST", "/images/edits", edit, headers=(FORM,))
    assert got.call is not None
    assert got.call.names == ("file-1",)
    got = ask("POST", "/images/edits", b'{"model": "m", "images": [{"file_id": "file-1"}]}', headers=(JSON,))
    assert got.call is not None
    assert (got.call.names, got.call.address) == (("file-1",), None)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (FILE[:-5], BadRequestError),
        (b"nonsense", BadRequestError),
        (form(field("model", b"a"), field("model", b"b")), BadRequestError),
        (form(field("file", b"x", file=True)), BadRequestError),
        (form(field("model", b"x" * 1_100_000)), TooLargeError),
    ],
)
def test_a_bad_form_leaves_nothing_behind(ask, raw, kind):
    """400 or 413, and the spool is closed."""
    refused(ask("POST", "/audio/transcriptions", raw, headers=(FORM,)), kind)


@pytest.mark.parametrize(
    ("method", "path", "parts", "headers"),
    [
        ("POST", "/files", (FILE[:50], None), (FORM,)),
        ("POST", "/files", (None,), (FORM,)),
        ("POST", "/chat/completions", (b"{", None), (JSON,)),
        ("GET", "/files", (None,), ()),
    ],
)
def test_a_caller_who_leaves_makes_no_call(ask, method, path, parts, headers):
    """And leaves nothing behind."""
    got = ask(method, path, *parts, headers=headers)
    assert (got.call, got.error, got.open) == (None, None, 0)


def test_uploads_have_a_limit_of_their_own(ask):
    """413 as soon as it is announced, before anything is read, else at the first byte too much."""
    limits = {"server": {"max_upload_mb": 0.001, "max_body_mb": 0.0001}}
    assert ask("POST", "/files", FILE, headers=(FORM,), **limits).call is not None
    announced = ask("POST", "/files", FILE, headers=(FORM, ("content-length", "1001")), **limits)
    assert "`server.max_upload_mb`" in (refused(announced, TooLargeError, "0.001 MB").hint or "")
    assert announced.left == 1
    for length in ("9" * 15, "9" * 4000):
        refused(ask("POST", "/files", FILE, headers=(FORM, ("content-length", length)), **limits), TooLargeError)
    begun = field("file", b"x" * 500, file=True)
    refused(ask("POST", "/files", begun, b"x" * 600, b"x", headers=(FORM,), **limits), TooLargeError, "0.001 MB")
    json_body = ask("POST", "/batches", b" " * 101, headers=(JSON,), **limits)
    assert "`server.max_body_mb`" in (refused(json_body, TooLargeError, "0.0001 MB").hint or "")


# --- pages of other origins


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ((), False),
        ((("sec-fetch-site", "same-origin"),), False),
        ((("sec-fetch-site", "none"),), False),
        ((("sec-fetch-site", "cross-site"),), True),
        ((("sec-fetch-site", "same-site"),), True),
        ((("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")), True),
        ((("origin", "https://evil.example"), ("host", "10.0.0.7:8000")), True),
        ((("origin", "null"), ("host", "10.0.0.7:8000")), True),
        ((("origin", "http://10.0.0.7:8000"), ("host", "10.0.0.7:8000")), False),
        ((("origin", "http://10.0.0.7:9000"), ("host", "10.0.0.7:8000")), True),
        ((("origin", "https://app.example"), ("sec-fetch-site", "cross-site")), False),
    ],
)
def test_a_page_of_another_origin_sends_no_form_where_nobody_needs_a_key(ask, headers, foreign):
    """A browser sends forms without asking; it tells who sent them. Where a key is needed, such a page has none."""
    settings = {"server": {"auth": "none", "cors": {"origins": ["https://app.example"]}}}
    got = ask("POST", "/files", FILE, headers=(FORM, *headers), **settings)
    if foreign:
        refused(got, MediaTypeError, "another origin")
        assert got.left == 1
    else:
        assert got.call is not None
    assert ask("POST", "/files", FILE, headers=(FORM, ANNA, *headers), **KEYS).call is not None


# --- keys


@pytest.mark.parametrize("path", ["/files", "/chat/completions", "/fine_tuning/jobs", "/nothing"])
def test_without_a_key_nothing_is_read(ask, path):
    """Neither the body nor whether there is such an address."""
    got = ask("POST", path, FILE, headers=(FORM,), **KEYS)
    refused(got, InvalidKeyError)
    assert got.left == 1


def test_a_key_with_models(ask):
    """Its form may not ask for another one either."""
    bert = ("authorization", "Bearer hg-bert")
    raw = form(field("model", b"other"), field("file", b"x", file=True))
    refused(ask("POST", "/audio/transcriptions", raw, headers=(FORM, bert), **KEYS), NotAllowedError, "other")
    raw = form(field("model", b"gpt-6-luna"), field("file", b"x", file=True))
    assert ask("POST", "/audio/transcriptions", raw, headers=(FORM, bert), **KEYS).call is not None


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_passthrough_passes_as_it_is(ask, method):
    """Method, path, query, body and type, unread; the answer is bytes of any kind."""
    headers = (ANNA, ("content-type", "application/x-any; a=b"))
    got = ask(method, "/fine_tuning/jobs/ftjob-1", b"\x00", b"{", headers=headers, query="a=1&b[]=2", **KEYS)
    call = got.call
    assert call is not None
    assert (call.operation, call.model, call.names) == (Operation.PASSTHROUGH, "", ())
    assert call.address == Address(method, "/fine_tuning/jobs/ftjob-1", "a=1&b[]=2")
    assert (call.opaque, call.stream, call.caller.key) == (True, False, "anna")
    assert isinstance(call.body, Upload)
    assert (call.body.content_type, got.raw) == ("application/x-any; a=b", b"\x00{")


def test_a_passthrough_may_have_no_body(ask):
    """Then it has no type."""
    got = ask("GET", "/fine_tuning/jobs", headers=(ANNA,), **KEYS)
    assert got.call is not None
    assert isinstance(got.call.body, Upload)
    assert (got.call.body.content_type, got.raw) == ("", b"")


def test_a_passthrough_form_is_framed_anew(ask):
    """As every form."""
    got = ask("POST", "/vector_stores/files", FILE, headers=(ANNA, FORM), **KEYS)
    assert got.call is not None
    assert isinstance(got.call.body, Form)
    assert got.call.body.boundary != "b"


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [("GET", "/files/file-1", Operation.FILES), ("GET", "/batches", Operation.BATCHES)],
)
def test_what_has_an_address_goes_by_its_address(ask, method, path, operation):
    """Also for a key that may use everything as it is."""
    got = ask(method, path, headers=(ANNA,), **KEYS)
    assert got.call is not None
    assert (got.call.operation, got.call.opaque) == (operation, False)


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/Files/file-1", UnknownPathError),
        ("GET", "/files/file.1/content", UnknownPathError),
        ("GET", "/files/file-1/content/", UnknownPathError),
        ("POST", "/Chat/Completions", UnknownPathError),
        ("GET", "/fine_tuning/../files", UnknownPathError),
        ("GET", "/fine_tuning//jobs", UnknownPathError),
        ("HEAD", "/fine_tuning/jobs", UnknownPathError),
        ("CONNECT", "/fine_tuning/jobs", UnknownPathError),
        ("TRACE", "/fine_tuning/jobs", UnknownPathError),
        ("get", "/fine_tuning/jobs", UnknownPathError),
        ("PUT", "/files", MethodNotAllowedError),
        ("POST", "/responses/compact", MethodNotAllowedError),
    ],
)
def test_no_passthrough_leads_around_the_addresses(ask, method, path, kind):
    """Nor to an answer that is framed by other rules."""
    refused(ask(method, path, headers=(ANNA,), **KEYS), kind)
