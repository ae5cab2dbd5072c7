"""A call becomes a request, and what comes back becomes a reply; every way in which it may not."""

import asyncio
import json
from typing import Any

import msgspec
import pytest

from headgate.core.attempt import Attempt
from headgate.core.body import Body
from headgate.core.call import Address, Call, Operation, Target, Timeouts
from headgate.core.errors import (
    APIError,
    AuthenticationError,
    GarbledError,
    InterruptedError,  # noqa: A004  the house's word
    OverloadedError,
    RateLimitError,
    StoppingError,
    TimeoutError,  # noqa: A004  the house's word
    UnreachableError,
)
from headgate.core.reply import Kind
from headgate.core.secret import Secret
from headgate.core.upload import Form, Part, Stretch, Upload, whole
from headgate.providers import hosted, reading
from headgate.providers.hosted import Hosted
from headgate.providers.provider import Health
from headgate.testing import VirtualClock, virtual_time

JSON = {"content-type": "application/json", "x-request-id": "req_up"}
SSE = {"content-type": "text/event-stream; charset=utf-8", "x-request-id": "req_up"}
WHOLE = b'{"model":"m-1","choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}'
ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'
WORD = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
KEY = "sk-live-0123456789"


class Line:
    """An answer as it comes: parts of its body, pauses in seconds, and errors, in their order."""

    def __init__(self, status, headers, *parts: Any) -> None:
        self.status = status
        self.headers = headers
        self.parts = list(parts)
        self.closed = 0
        self.taken = 0
        self.clock = VirtualClock()

    async def receive(self, deadline):
        while self.parts:
            part = self.parts.pop(0)
            if isinstance(part, Exception):
                raise part
            if isinstance(part, bytes):
                self.taken += len(part)
                return part
            left = deadline - self.clock.monotonic()
            if part > left:
                self.parts.insert(0, part - left)
                await asyncio.sleep(left)
                message = "went silent"
                raise TimeoutError(message)
            await asyncio.sleep(part)
        return b""

    async def close(self):
        self.closed += 1


class Wire:
    """A transport that answers with what it was given, and notes what was sent."""

    def __init__(self, line) -> None:
        self.line = line
        self.sent = []
        self.connects = []
        self.deadlines = []
        self.closed = 0

    async def send(self, request, *, connect, deadline, written):
        self.sent.append(msgspec.structs.replace(request, headers=(*request.common, *request.headers), common=()))
        self.connects.append(connect)
        self.deadlines.append(deadline)
        written.sent = True
        if isinstance(self.line, Exception):
            raise self.line
        return self.line

    async def close(self):
        self.closed += 1


def provider(wire, **settings):
    """A provider at the end of a wire."""
    given = {
        "clock": VirtualClock(),
        "base_url": "https://llm.example/v1/",
        "api_key": Secret(KEY),
        "headers": {},
        "responses": True,
        "timeouts": Timeouts(connect=1, first_token=10, silence=20, total=100),
        "simulated": False,
        "hop": "mine",
    }
    return Hosted("llm", wire, **(given | settings))


def call(raw=b'{"model":"m","messages":[]}', *, model="m", **facts):
    """A call on its second attempt."""
    given = {
        "id": "c1",
        "operation": Operation.CHAT,
        "model": "m",
        "body": Body(raw),
        "started": 0.0,
        "day": "2027-01-15",
        "target": Target("llm", model),
    }
    made = Call(**(given | facts))
    made.trail.extend((Attempt(1, "llm", model), Attempt(2, "llm", model)))
    return made


def told(line, asked=None, **settings):
    """Ask, and read everything; gives the reply, its events, and the wire."""
    wire = Wire(line)

    async def story():
        reply = await provider(wire, **settings)(asked or call())
        events = [event async for event in reply]
        await reply.close()
        return reply, events

    return *virtual_time(story()), wire


def failed(line, asked=None, kind=Exception, **settings):
    """Ask for an answer that never comes; gives the error and the time that passed."""
    wire = Wire(line)

    async def story():
        with pytest.raises(kind) as caught:
            await provider(wire, **settings)(asked or call())
        return caught.value, VirtualClock().monotonic()

    return virtual_time(story())


def streamed(*parts, asked=None, headers=SSE, **settings):
    """Ask for a stream; gives the bytes of its events, the error that ended it, the time, and its line."""
    line = Line(200, headers, *parts)

    async def story():
        raw, error = [], None
        async with await provider(Wire(line), **settings)(asked or call(stream=True)) as reply:
            try:
                async for event in reply:
                    raw += [event.raw]
            except Exception as caught:  # noqa: BLE001  whatever it is, the test looks at it
                error = caught
            again = [event async for event in reply]
        assert not again
        return b"".join(raw), error, VirtualClock().monotonic(), line

    return virtual_time(story())


# -- the request -----------------------------------------------------------------------------------------------------


def test_a_call_becomes_a_request():
    """Address, headers and body; the caller's bytes travel as they are where nothing is to be changed."""
    raw = b'{ "model":"m",  "messages":[], "unknown": null}'
    *_, wire = told(Line(200, JSON, WHOLE), call(raw))
    (request,) = wire.sent
    assert (request.method, request.url) == ("POST", "https://llm.example/v1/chat/completions")
    assert request.body == raw
    assert dict(request.headers) == {
        "content-type": "application/json",
        "user-agent": "headgate",
        "accept-encoding": "identity",
        "authorization": f"Bearer {KEY}",
        "x-headgate-hop": "mine",
        "x-client-request-id": "c1-2",
    }
    assert len(request.headers) == 6


def test_the_target_names_the_model():
    """The provider is asked for its own name of it; the Responses API has its own address."""
    asked = call(b'{"model":"m","input":"a"}', model="m-other", operation=Operation.RESPONSES)
    wire = Wire(UnreachableError("gone"))

    async def story():
        with pytest.raises(UnreachableError):
            await provider(wire)(asked)

    virtual_time(story())
    assert wire.sent[0].url == "https://llm.example/v1/responses"
    assert wire.sent[0].body == b'{"model":"m-other","input":"a"}'


def test_without_a_key_nothing_is_sent():
    """No `authorization` header, rather than an empty one."""
    *_, wire = told(Line(200, JSON, WHOLE), api_key=Secret(""))
    assert "authorization" not in dict(wire.sent[0].headers)


def test_own_headers_win():
    """Over the bearer token, over ours that say what we are, and over the caller's; each name stands once."""
    own = {
        "authorization": Secret("Token t"),
        "user-agent": Secret("me"),
        "content-type": Secret("application/json; charset=utf-8"),
        "openai-beta": Secret("ours"),
        "x-empty": Secret(""),
        "x-headgate-hop": Secret("forged"),
        "x-client-request-id": Secret("forged"),
    }
    *_, wire = told(Line(200, JSON, WHOLE), call(headers={"openai-beta": "theirs", "x-b": "b"}), headers=own)
    headers = dict(wire.sent[0].headers)
    assert len(headers) == len(wire.sent[0].headers)
    assert headers == {
        "authorization": "Token t",
        "user-agent": "me",
        "accept-encoding": "identity",
        "content-type": "application/json; charset=utf-8",
        "openai-beta": "ours",
        "x-b": "b",
        "x-headgate-hop": "mine",
        "x-client-request-id": "c1-2",
    }


def test_the_gates_that_a_call_has_passed_stand_in_one_header():
    """Ours comes behind those that came with the call."""
    *_, wire = told(Line(200, JSON, WHOLE), call(headers={"x-headgate-hop": "first, second"}))
    hops = [value for name, value in wire.sent[0].headers if name == "x-headgate-hop"]
    assert hops == ["first, second, mine"]


@pytest.mark.parametrize(
    ("facts", "deadline"),
    [
        ({}, 100),
        ({"stream": True}, 10),
        ({"deadline": 5.0}, 5),
        ({"deadline": 5.0, "stream": True}, 5),
        ({"deadline": 50.0, "stream": True}, 10),
        ({"timeouts": Timeouts(connect=2, first_token=3, total=4)}, 4),
        ({"timeouts": Timeouts(connect=2, first_token=3, total=4), "stream": True}, 3),
    ],
)
def test_the_head_is_waited_for(facts, deadline):
    """A whole answer has no first token; the caller's deadline wins, and so do the call's own timeouts."""
    asked = call(**facts)
    line = Line(200, SSE, WORD, END) if asked.stream else Line(200, JSON, WHOLE)
    *_, wire = told(line, asked)
    assert wire.deadlines == [deadline]
    assert wire.connects == [2 if asked.timeouts else 1]


# -- whole answers ---------------------------------------------------------------------------------------------------


def test_a_whole_answer_is_one_event():
    """Its bytes are the provider's, its connection is given back, and the attempt knows what happened."""
    asked = call()
    line = Line(200, {**JSON, "openai-version": "v", "set-cookie": "a=b", "server": "s"}, WHOLE[:9], WHOLE[9:])
    reply, (event,), _ = told(line, asked, simulated=True)
    assert (event.raw, event.text, event.model) == (WHOLE, "Hi", "m-1")
    assert (reply.status, reply.stream, reply.target, reply.simulated) == (200, False, asked.target, True)
    assert reply.headers == {"openai-version": "v"}
    assert line.closed == 1
    attempt = asked.attempt
    assert (attempt.sent, attempt.status, attempt.upstream_request_id) == (True, 200, "req_up")
    assert asked.trail[0].status is None


def test_an_answer_in_one_piece_is_not_copied():
    """The usual case costs no join."""
    _, (event,), _ = told(Line(200, JSON, WHOLE))
    assert event.raw is WHOLE


def test_the_total_limits_a_whole_answer():
    """However it drips: at the end of its time it is given up, and its connection closed."""
    line = Line(200, JSON, *[1, b" "] * 200)
    error, seconds = failed(line, kind=TimeoutError)
    assert (seconds, line.closed) == (100, 1)
    assert error.code == "upstream_timeout"


@pytest.mark.parametrize(
    "line",
    [
        Line(200, JSON, b"not json"),
        Line(200, JSON),
        Line(200, {**JSON, "content-encoding": "gzip"}, WHOLE),
        Line(302, {"location": "/elsewhere"}),
    ],
    ids=["not JSON", "nothing", "compressed", "a redirect"],
)
def test_what_cannot_be_read_is_garbled(line):
    """Nothing is guessed; the connection is closed."""
    failed(line, kind=GarbledError)
    assert line.closed == 1


def test_identity_is_no_compression():
    """A server may say that it did nothing, in any case of letters."""
    _, (event,), _ = told(Line(200, {**JSON, "content-encoding": "Identity"}, WHOLE))
    assert event.text == "Hi"


def test_a_huge_answer_is_not_read_whole(monkeypatch):
    """Beyond the bound it is given up."""
    monkeypatch.setattr(hosted, "MAX_ANSWER", 1000)
    line = Line(200, JSON, *[b" " * 400] * 10)
    failed(line, kind=GarbledError)
    assert (line.taken, line.closed) == (1200, 1)


# -- error answers ---------------------------------------------------------------------------------------------------


def problem(**facts):
    """An error body in OpenAI's form."""
    return json.dumps({"error": {"message": "no", "type": "t", "code": None, **facts}}).encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, APIError),
        (401, AuthenticationError),
        (429, RateLimitError),
        (500, OverloadedError),
        (503, OverloadedError),
    ],
)
def test_an_error_status_becomes_its_class(status, kind):
    """The class that its status calls for, with the provider's answer; the attempt knows the status."""
    asked = call()
    line = Line(status, {**JSON, "retry-after": "3"}, problem())
    error, _ = failed(line, asked, kind)
    assert type(error) is kind
    assert error.answer.status == status
    assert (asked.attempt.status, asked.attempt.upstream_request_id, line.closed) == (status, "req_up", 1)
    assert error.retry_after == (3 if kind in {RateLimitError, OverloadedError} else None)


def test_a_made_up_refusal_is_known_as_such():
    """Whoever practises sees that the error is the simulator's, too."""
    assert failed(Line(400, JSON, problem()), kind=APIError, simulated=True)[0].simulated
    assert not failed(Line(400, JSON, problem()), kind=APIError)[0].simulated


def test_a_stream_may_be_refused_too():
    """An error status is an ordinary error, whatever was asked for."""
    error, _ = failed(Line(429, JSON, problem(code="insufficient_quota")), call(stream=True), RateLimitError)
    assert error.code == "insufficient_quota"


def test_a_huge_error_is_not_read_whole():
    """A gigabyte of error page is left alone after a megabyte; its status and headers still count."""
    line = Line(429, {**JSON, "retry-after": "3"}, *[b"x" * 65536] * 100)
    error, _ = failed(line, kind=RateLimitError)
    assert hosted.MAX_ERROR < line.taken <= hosted.MAX_ERROR + 65536
    assert (line.closed, error.answer.body, error.retry_after) == (1, b"", 3)


@pytest.mark.parametrize(
    ("parts", "seconds"),
    [([b"{", UnreachableError("cut")], 0), ([b"{", 500], 20), ([*[15, b" "] * 9], 20)],
    ids=["cut", "silent", "dripping"],
)
def test_a_broken_error_body_does_not_hide_its_status(parts, seconds):
    """The status has come: it is the answer, and the body is waited for no longer than for any silence."""
    line = Line(503, JSON, *parts)
    error, passed = failed(line, kind=OverloadedError)
    assert (error.answer.body, passed, line.closed) == (b"", seconds, 1)


def test_a_compressed_error_body_is_left_out():
    """Nobody could read it at the other end."""
    error, _ = failed(Line(400, {**JSON, "content-encoding": "gzip"}, b"\x1f\x8b..."), kind=APIError)
    assert error.answer.body == b""


def test_our_credentials_are_never_quoted():
    """A provider that quotes our key, or a header of ours, in an error is not repeated; short words may stand."""
    own = {"x-key": Secret("Token header-secret-1"), "x-kind": Secret("batch"), "x-blank": Secret(" ")}
    body = problem(message=f"bad key {KEY} or header-secret-1 for batch")
    error, _ = failed(Line(400, JSON, body), kind=APIError, headers=own)
    assert error.message.endswith("bad key *** or *** for batch")
    assert KEY.encode() not in error.answer.body
    assert b"header-secret-1" not in error.answer.body


def test_errors_of_the_way_pass_through():
    """What the transport raises is raised, and nothing was noted but that the request was written."""
    asked = call()
    error = UnreachableError("reset")
    found, _ = failed(error, asked, UnreachableError)
    assert found is error
    assert (asked.attempt.sent, asked.attempt.status) == (True, None)


# -- streams ---------------------------------------------------------------------------------------------------------


def test_a_stream_passes_as_it_came():
    """The preamble is held until the first word, nothing is lost, and the connection is given back at the end."""
    line = Line(200, SSE, b": hello\n\n" + ROLE, 5, WORD[:20], 1, WORD[20:] + WORD, 1, END + DONE)
    asked = call(stream=True)

    async def story():
        reply = await provider(Wire(line))(asked)
        begun, held = VirtualClock().monotonic(), [event.raw for event in reply._held]
        assert aiter(reply._source) is reply._source
        events = [event async for event in reply]
        closed = line.closed
        await reply.close()
        return reply, begun, held, b"".join(event.raw for event in events), closed

    reply, begun, held, raw, closed = virtual_time(story())
    assert (begun, held) == (6, [b": hello\n\n", ROLE, WORD])
    assert raw == b": hello\n\n" + ROLE + WORD + WORD + END + DONE
    assert (reply.stream, reply.status, closed) == (True, 200, 1)
    assert asked.attempt.upstream_request_id == "req_up"


@pytest.mark.parametrize("kind", ["Text/Event-Stream", "text/event-stream;charset=UTF-8"])
def test_the_type_of_a_stream_may_be_spelled_freely(kind):
    """Media types know no case."""
    raw, error, _, _ = streamed(WORD, END, headers={"content-type": kind})
    assert (raw, error) == (WORD + END, None)


@pytest.mark.parametrize("headers", [JSON, {}])
def test_a_stream_that_is_none_is_garbled(headers):
    """A whole answer to a caller who wants a stream would have to be made up into one."""
    line = Line(200, headers, WHOLE)
    error, _ = failed(line, call(stream=True), GarbledError)
    assert repr(headers.get("content-type", "nothing")) in error.message
    assert line.closed == 1


@pytest.mark.parametrize(
    ("parts", "kind", "seconds"),
    [
        ([], UnreachableError, 0),
        ([ROLE], UnreachableError, 0),
        ([ROLE, UnreachableError("cut")], UnreachableError, 0),
        ([ROLE, 60, WORD], TimeoutError, 10),
        ([*[1, b": alive\n\n"] * 60], TimeoutError, 10),
        ([DONE], GarbledError, 0),
        ([b"data: {\n\n"], GarbledError, 0),
        ([b'data: {"error":{"code":"rate_limit_exceeded"}}\n\n'], RateLimitError, 0),
    ],
    ids=["nothing", "only a role", "cut", "silent", "comments only", "done", "malformed", "an error"],
)
def test_before_the_first_word_a_failure_is_an_ordinary_error(parts, kind, seconds):
    """It is raised from the await, so that it can be retried; comments do not count as words."""
    line = Line(200, SSE, *parts)
    error, passed = failed(line, call(stream=True), kind)
    assert (type(error), passed, line.closed) == (kind, seconds, 1)


class Chatter(Line):
    """A line that always has another comment ready, whatever the deadline."""

    async def receive(self, deadline):  # noqa: ARG002  that is the point
        await asyncio.sleep(0.5)
        self.taken += 100
        return b": " + b"x" * 96 + b"\n\n"


def test_chatter_does_not_stretch_the_limit():
    """A server that always has bytes ready makes nobody wait; the limit for the first word holds all the same."""
    line = Chatter(200, SSE)
    _, seconds = failed(line, call(stream=True), TimeoutError)
    assert (seconds, line.closed) == (10, 1)


def test_chatter_does_not_fill_the_memory(monkeypatch):
    """What is held back before the first word is bounded."""
    monkeypatch.setattr(reading, "MAX_ANSWER", 1000)
    line = Chatter(200, SSE)
    failed(line, call(stream=True), GarbledError)
    assert (line.taken, line.closed) == (1100, 1)


class Begun(Chatter):
    """The same, once it has said its first word."""

    async def receive(self, deadline):
        if not self.taken:
            self.taken = 1
            return WORD
        return await super().receive(deadline)


@pytest.mark.parametrize(("facts", "seconds"), [({}, 100), ({"deadline": 7.0}, 7)])
def test_chatter_after_the_first_word_does_not_stretch_the_total(facts, seconds):
    """Neither the provider's limit nor the caller's deadline."""
    line = Begun(200, SSE)

    async def story():
        async with await provider(Wire(line))(call(stream=True, **facts)) as reply:
            with pytest.raises(InterruptedError) as caught:
                async for _ in reply:
                    pass
        return caught.value, VirtualClock().monotonic()

    error, passed = virtual_time(story())
    assert isinstance(error.__cause__, TimeoutError)
    assert (passed, line.closed) == (seconds, 1)


@pytest.mark.parametrize(
    ("parts", "code", "seconds"),
    [
        ([WORD], "stream_interrupted", 0),
        ([WORD, UnreachableError("cut")], "stream_interrupted", 0),
        ([WORD, 60, WORD], "stream_interrupted", 20),
        ([WORD, *[15, WORD] * 20], "stream_interrupted", 100),
        ([WORD, b"data: {\n\n"], "stream_interrupted", 0),
        ([WORD, DONE], "stream_interrupted", 0),
        ([WORD, END[:-1]], "stream_interrupted", 0),
        ([WORD, b'data: {"error":{"message":"no","code":"server_error"}}\n\n'], "server_error", 0),
    ],
    ids=["ended", "cut", "silent", "endless", "malformed", "done only", "half an event", "an error inside"],
)
def test_after_the_first_word_a_failure_is_an_interruption(parts, code, seconds):
    """Typed, once; what was said stands; the provider's own code is told where it named one."""
    raw, error, passed, line = streamed(*parts)
    assert raw.startswith(WORD)
    assert (type(error), error.code, passed, line.closed) == (InterruptedError, code, seconds, 1)


@pytest.mark.parametrize(
    "parts",
    [[], [UnreachableError("cut")], [60, DONE], [b"data: {\n\n"], [b"data: [DONE]"], [b": bye\n\n"]],
    ids=["ended", "cut", "silent", "malformed", "unfinished done", "a comment"],
)
def test_after_the_end_nothing_is_missing(parts):
    """The provider has said that it is finished: a missing or a broken end mark is no error."""
    raw, error, _, line = streamed(WORD, END, *parts)
    assert raw.startswith(WORD + END)
    assert error is None
    assert line.closed


def test_an_end_mark_without_its_blank_line_counts():
    """A server that closes right behind `[DONE]` has said it."""
    raw, error, _, _ = streamed(WORD, END + b"data: [DONE]")
    assert (raw, error) == (WORD + END + DONE, None)


def test_an_event_whose_end_shows_only_at_the_end_counts():
    """Line ends of CR alone: the last event's end is known when nothing follows, also before the first word."""
    word = WORD.replace(b"\n", b"\r")
    finish = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\r\r'
    assert streamed(finish)[:2] == (finish, None)
    assert streamed(word, finish)[:2] == (word + finish, None)


def test_a_reply_that_is_left_closes_its_connection():
    """In the middle of a stream, and without a single event taken."""
    line = Line(200, SSE, WORD, 60, END)

    async def story():
        reply = await provider(Wire(line))(call(stream=True))
        await reply.close()
        await reply.close()

    virtual_time(story())
    assert line.closed == 1


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        (Line(200, JSON, 60, WHOLE), {}),
        (Line(200, SSE, ROLE, 9, WORD), {"stream": True}),
        (Line(503, JSON, 9, b"{}"), {}),
    ],
    ids=["whole", "before the first word", "in an error body"],
)
def test_a_cancelled_call_closes_its_connection(line, facts):
    """Wherever it waits."""

    async def story():
        asked = asyncio.get_running_loop().create_task(provider(Wire(line))(call(**facts)))
        await asyncio.sleep(1)
        asked.cancel()
        await asyncio.wait([asked])
        return asked.cancelled()

    assert virtual_time(story())
    assert line.closed == 1


def test_a_cancelled_iteration_is_no_interruption():
    """Whoever is cancelled while a stream goes on learns just that; closing the reply closes the connection."""
    line = Line(200, SSE, WORD, 9, END)

    async def read(reply):
        async with reply:
            async for _ in reply:
                pass

    async def story():
        reply = await provider(Wire(line))(call(stream=True))
        reading = asyncio.get_running_loop().create_task(read(reply))
        await asyncio.sleep(1)
        reading.cancel()
        await asyncio.wait([reading])
        return reading.cancelled()

    assert virtual_time(story())
    assert line.closed == 1


# -- everything but calls --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("responses", "spoken"), [(True, True), (False, False)])
def test_not_everybody_has_responses(responses, spoken):
    """Chat is spoken by all."""
    made = provider(Wire(None), responses=responses)
    assert (made.speaks(Operation.CHAT), made.speaks(Operation.RESPONSES)) == (True, spoken)


@pytest.mark.parametrize(
    ("line", "health"),
    [
        (Line(200, JSON, 0.25, b'{"data":[]}'), Health(state="ok", latency_ms=250)),
        (Line(401, JSON, b"{}"), Health(state="failing", latency_ms=0, error="answered 401")),
        (Line(200, JSON, 60), Health(state="unreachable", error="went silent")),
        (Line(200, JSON, b"x" * hosted.MAX_LIST, b"x"), Health(state="failing", error="The answer is larger than 16777216 bytes.")),  # noqa: E501  a row
        (UnreachableError("no such host"), Health(state="unreachable", error="no such host")),
    ],
    ids=["ok", "refused", "silent", "huge", "away"],
)  # fmt: skip
def test_health_is_one_cheap_request(line, health):
    """`GET /models` with our credentials; whatever happens is told, and nothing is raised."""
    wire = Wire(line)
    assert virtual_time(provider(wire).health()) == health
    request, *again = wire.sent
    # A kept connection may have been closed in that very moment: a new one is tried, once.
    assert again == ([request] if isinstance(line, UnreachableError) else [])
    assert (request.method, request.url, request.body) == ("GET", "https://llm.example/v1/models", b"")
    assert dict(request.headers)["authorization"] == f"Bearer {KEY}"
    assert "x-headgate-hop" not in dict(request.headers)
    assert set(wire.deadlines) == {hosted.HEALTH_SECONDS}
    if isinstance(line, Line):
        assert line.closed == 1


def test_models_are_listed():
    """By their names."""
    line = Line(200, JSON, b'{"data":[{"id":"a"},{"id":7}]}')
    assert virtual_time(provider(Wire(line)).models()) == ["a", "7"]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"data":5}', b'{"data":[{}]}', b'{"data":["a"]}', b'"\xff"'])
def test_a_list_of_models_that_is_none(body):
    """Is garbled, whatever it is instead."""
    with pytest.raises(GarbledError, match="llm answered 200 without a list of models"):
        virtual_time(provider(Wire(Line(200, JSON, body))).models())


def test_a_closed_provider_stays_closed():
    """Its transport is closed, and no call, not even a retry, opens a new connection."""
    wire = Wire(Line(200, JSON, WHOLE))

    async def story():
        made = provider(wire)
        await made.close()
        with pytest.raises(StoppingError):
            await made(call())
        with pytest.raises(StoppingError):
            await made.models()
        return await made.health()

    assert virtual_time(story()) == Health(state="unreachable", error="The connections to llm are closed.")
    assert (wire.closed, wire.sent) == (1, [])


# --- addresses, uploads and bytes of any kind


def asked(method: str, path: str, query: str = "", *, body: Any = Body(b""), **facts: Any) -> Call:  # noqa: B008  read only
    """A call to an address."""
    given = {
        "operation": Operation.FILES,
        "address": Address(method, path, query),
        "target": Target("llm"),
    }
    return call(b"", model="", **(given | {"body": body} | facts))


@pytest.mark.parametrize(
    ("method", "path", "query", "url"),
    [
        ("GET", "/files", "", "https://llm.example/v1/files"),
        ("GET", "/files", "limit=2&after=file-1", "https://llm.example/v1/files?limit=2&after=file-1"),
        ("DELETE", "/responses/resp_1", "", "https://llm.example/v1/responses/resp_1"),
    ],
)
def test_an_address_is_called_as_it_is(method, path, query, url):
    """Its method, its path, its query; no type where there is no body."""
    _, events, wire = told(Line(200, JSON, b'{"id": "file-1"}'), asked(method, path, query))
    (sent,) = wire.sent
    assert (sent.method, sent.url, sent.body, sent.upload) == (method, url, b"", None)
    names = [name for name, _ in sent.headers]
    assert "content-type" not in names
    assert {"authorization", "x-headgate-hop", "x-client-request-id"} <= set(names)
    assert events[0].made == ("file-1",)


def test_an_address_may_take_json():
    """Then it says so."""
    _, _, wire = told(Line(200, JSON, b"{}"), asked("POST", "/batches", body=Body(b'{"input_file_id": "f"}')))
    assert dict(wire.sent[0].headers)["content-type"] == "application/json"
    assert wire.sent[0].body == b'{"input_file_id": "f"}'


def test_an_upload_travels_in_pieces_under_its_own_type():
    """Once, whoever else names one; nothing of it is in memory."""
    upload = Upload("audio/wav", [Stretch(lambda size, _: b"x" * size, 9, 0)])
    for headers in ({}, {"openai-beta": "x", "content-type": "text/html"}):
        _, _, wire = told(Line(200, JSON, b"{}"), asked("POST", "/files", body=upload, headers=headers))
        (sent,) = wire.sent
        assert sent.upload is upload
        assert sent.body == b""
        assert [value for name, value in sent.headers if name == "content-type"] == ["audio/wav"]


def test_an_upload_without_a_type_names_none():
    """An empty header would be one."""
    _, _, wire = told(Line(200, JSON, b"{}"), asked("GET", "/x", body=Upload("", []), operation=Operation.PASSTHROUGH))
    assert "content-type" not in dict(wire.sent[0].headers)


def test_a_form_gets_the_targets_model():
    """And keeps the rest; the caller's own form is not touched."""
    form = Form([Part("model", b"", b"mine"), Part("file", b"", b"sound", is_file=True)], "b")
    _, _, wire = told(Line(200, JSON, b"{}"), call(operation=Operation.TRANSCRIPTIONS, body=form, model="theirs"))
    (sent,) = wire.sent
    assert isinstance(sent.upload, Form)
    assert sent.upload.text("model") == "theirs"
    assert b"sound" in whole(sent.upload)
    assert sent.url == "https://llm.example/v1/audio/transcriptions"
    assert form.text("model") == "mine"


SOUND = {"content-type": "audio/mpeg", "content-disposition": "attachment", "set-cookie": "a=b"}


def test_bytes_of_any_kind_pass_unread():
    """With their type and name, as they come; the connection is given back behind the last of them."""
    line = Line(200, SOUND, b"\x00\xff", b"data: [DONE]\n\n", b"{")
    reply, events, _ = told(line, asked("GET", "/files/file-1/content", opaque=True))
    assert b"".join(event.raw for event in events) == b"\x00\xffdata: [DONE]\n\n{"
    assert [event.kind for event in events] == [Kind.CONTENT] * 3 + [Kind.TERMINAL]
    assert reply.stream
    assert dict(reply.headers) == {"content-type": "audio/mpeg", "content-disposition": "attachment"}
    assert line.closed >= 1


def test_bytes_without_a_type_are_just_bytes():
    """They are neither JSON nor events."""
    reply, events, _ = told(Line(200, {}, b"x"), asked("GET", "/files/file-1/content", opaque=True))
    assert reply.headers["content-type"] == "application/octet-stream"
    assert len(events) == 2


def test_no_bytes_are_an_answer_too():
    """An empty file is one."""
    line = Line(200, SOUND)
    reply, events, _ = told(line, asked("GET", "/files/file-1/content", opaque=True))
    assert [(event.kind, event.raw) for event in events] == [(Kind.TERMINAL, b"")]
    assert reply.finished
    assert line.closed >= 1


def test_bytes_that_break_off_are_no_answer():
    """Before the first one it is an ordinary error, after it an interruption."""
    error = UnreachableError("closed")
    line = Line(200, SOUND, error)
    assert failed(line, asked("GET", "/f", opaque=True))[0] is error
    assert line.closed == 1

    async def story():
        line = Line(200, SOUND, b"half", error)
        reply = await provider(Wire(line))(asked("GET", "/f", opaque=True))
        with pytest.raises(InterruptedError):
            [event async for event in reply]
        await reply.close()
        return line.closed

    assert virtual_time(story()) >= 1


def test_bytes_that_nobody_wants_any_more_are_left():
    """The connection is closed, not read to its end."""

    async def story():
        line = Line(200, SOUND, b"a", b"b")
        reply = await provider(Wire(line))(asked("GET", "/f", opaque=True))
        await reply.read()
        await reply.close()
        return line.closed, line.parts

    assert virtual_time(story()) == (1, [b"b"])


def test_an_error_instead_of_bytes_is_an_error():
    """With the provider's own words."""
    error, _ = failed(Line(404, JSON, b'{"error": {"message": "No such File"}}'), asked("GET", "/f", opaque=True))
    assert isinstance(error, APIError)
    assert error.message.endswith("No such File")


def test_each_attempt_sends_the_same_upload():
    """It is read by position, so that a repetition sends what the first attempt sent."""
    reads: list[tuple[int, int]] = []

    def read(size: int, start: int) -> bytes:
        reads.append((size, start))
        return b"x" * size

    upload = Upload("audio/wav", [Stretch(read, 5, 3)])
    wire = Wire(Line(500, JSON, b"{}"))

    async def story():
        made = provider(wire)
        for _ in range(2):
            with pytest.raises(OverloadedError):
                await made(asked("POST", "/files", body=upload))
        return [whole(sent.upload) for sent in wire.sent]

    assert virtual_time(story()) == [b"xxx"] * 2
    assert reads == [(3, 5)] * 2


def test_subtitles_may_come_whole_though_a_stream_was_wanted():
    """A model that cannot stream them answers in JSON: that is the answer, and no failure. A chat that does is one."""
    form = Form([Part("model", b'content-disposition: form-data; name="model"\r\n', b"m")], "x")
    asked = call(stream=True, operation=Operation.TRANSCRIPTIONS, body=form)
    reply, (event,), _ = told(Line(200, JSON, b'{"text": "Hi", "usage": null}'), asked)
    assert (reply.stream, event.kind, event.raw) == (False, Kind.TERMINAL, b'{"text": "Hi", "usage": null}')
    failed(Line(200, JSON, WHOLE), call(stream=True), GarbledError)
