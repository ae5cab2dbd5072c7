"""Responses: requests read strictly and edited to the byte, answers and streams understood, errors written."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core import errors
from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.core.errors import (
    Answer,
    APIError,
    AuthenticationError,
    BadRequestError,
    GarbledError,
    OverloadedError,
    ProviderError,
    RateLimitError,
)
from headgate.core.reply import Kind
from headgate.core.usage import TokenUsage
from headgate.dialects.dialect import Dialect, RequestFacts
from headgate.dialects.openai_responses import ResponsesDialect, ResponsesReader
from headgate.dialects.sse import Decoder, ServerEvent

RESPONSES: Dialect = ResponsesDialect()
NAMES = sorted(path.stem for path in (Path(__file__).parent / "transcripts").glob("responses_*.txt"))
USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
MESSAGE = {"type": "message", "content": [{"type": "output_text", "text": "né"}, {"type": "output_text", "text": "!"}]}
CALL = {"type": "function_call", "name": "f", "arguments": "{}"}


def event(data: object, name: bytes = b"") -> ServerEvent:
    """A server-sent event with this data."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return ServerEvent(name, raw, b"data: " + raw + b"\n\n")


# --- streams


@pytest.mark.parametrize("name", NAMES)
def test_transcripts(name, transcript, play):
    """A recorded stream tells the story beside it, whole or byte by byte."""
    stream, expected = transcript(name)
    assert play(ResponsesReader(), [stream]) == expected
    assert play(ResponsesReader(), [bytes([byte]) for byte in stream]) == expected


@pytest.mark.parametrize(
    ("type_", "delta", "text", "size"),
    [
        ("response.output_text.delta", "né", "né", 3),
        ("response.refusal.delta", "no", "", 2),
        ("response.reasoning_text.delta", "hm", "", 2),
        ("response.reasoning_summary_text.delta", "hm", "", 2),
        ("response.function_call_arguments.delta", "{}", "", 2),
        ("response.custom_tool_call_input.delta", "xyz", "", 3),
        ("response.mcp_call_arguments.delta", "{}", "", 2),
        ("response.code_interpreter_call_code.delta", "1+1", "", 3),
        ("response.audio.transcript.delta", "oh", "", 2),
        ("response.audio.delta", "AAAA", "", 0),
        ("response.shell_call_output_content.delta", {"stdout": "1"}, "", 0),
        ("response.something_new.delta", {"a": 1}, "", 7),
    ],
)
def test_deltas_are_content(type_, delta, text, size):
    """Whatever is said in pieces is content; only output text is text, and only the model's words have a size."""
    read = ResponsesReader().read(event({"type": type_, "delta": delta}))
    assert (read.kind, read.text, read.size) == (Kind.CONTENT, text, size)
    assert ResponsesReader().read(event({"type": type_, "delta": ""})).kind == Kind.PREAMBLE


@pytest.mark.parametrize(
    "server_event",
    [
        ServerEvent(b"", None, b": hi\n\n"),
        ServerEvent(b"", b"", b"data:\n\n"),
        event({}),
        event({"type": "response.output_item.added", "item": MESSAGE}),
        event({"type": "response.content_part.added", "part": {}}),
        event({"type": "response.output_text.done", "text": "all of it"}),
        event({"type": "response.web_search_call.searching"}),
        event({"type": "response.something_new", "response": "not an object", "code": 5}),
        event({}, b"response.something_new\xff"),
    ],
)
def test_the_rest_says_nothing(server_event):
    """Structure, repetitions and unknown events are preamble before the end and trailer after it."""
    reader = ResponsesReader()
    read = reader.read(server_event)
    assert (read.kind, read.size) == (Kind.PREAMBLE, 0)
    assert read.raw is server_event.raw
    reader.read(event({"type": "response.completed", "response": {"status": "completed"}}))
    assert reader.read(server_event).kind == Kind.TRAILER


def test_the_life_of_a_response():
    """The model is known from the start, usage and tier at the end, and `[DONE]` may follow."""
    reader = ResponsesReader()
    created = {"type": "response.created", "response": {"status": "queued", "model": "m", "service_tier": "auto"}}
    read = reader.read(event(created))
    assert (read.kind, read.model, read.tier, reader.complete) == (Kind.PREAMBLE, "m", None, False)
    with pytest.raises(GarbledError, match="words may be missing"):
        reader.read(event(b"[DONE]"))
    ended = {"status": "completed", "model": "m-1", "service_tier": "flex", "usage": USAGE, "output": []}
    read = reader.read(event({"type": "response.completed", "response": ended}))
    assert (read.kind, read.finish, read.model, read.tier) == (Kind.TERMINAL, "stop", "m-1", "flex")
    assert read.usage == TokenUsage(prompt_tokens=3, completion_tokens=2)
    assert reader.complete
    assert reader.read(event(b" [DONE]")).kind == Kind.TRAILER


def test_the_type_inside_wins():
    """The `event:` line is only asked where the data has no type."""
    said = {"type": "response.output_text.delta", "delta": "a"}
    assert ResponsesReader().read(event(said, b"response.completed")).text == "a"
    assert ResponsesReader().read(event({"delta": "a"}, b"response.output_text.delta")).text == "a"


def test_words_are_said_once():
    """The last event repeats the output: it counts only where nothing was streamed before."""
    end = event({"type": "response.completed", "response": {"status": "completed", "output": [MESSAGE]}})
    assert ResponsesReader().read(end).text == "né!"
    assert ResponsesReader().read(end).size == 4
    reader = ResponsesReader()
    reader.read(event({"type": "response.output_text.delta", "delta": "né!"}))
    assert (reader.read(end).text, reader.read(end).size) == ("", 0)


@pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "m", "param": None}, b"error", RateLimitError),
        ({"type": "error", "error": {"code": "rate_limit_exceeded"}}, b"", RateLimitError),
        ({"error": {"type": "invalid_request_error"}}, b"", APIError),
        ({"code": "invalid_api_key", "message": "sk-secret"}, b"error", AuthenticationError),
        ({"type": "error"}, b"", OverloadedError),
        ({"type": "response.failed", "response": {"error": {"code": "server_error"}}}, b"", OverloadedError),
        ({"type": "response.failed", "response": {"status": "failed", "error": None}}, b"", OverloadedError),
        ({"type": "response.failed", "response": {"status": "completed"}}, b"", OverloadedError),
        ({"type": "response.completed", "response": {"status": "failed"}}, b"", OverloadedError),
        ({"type": "response.failed"}, b"", GarbledError),
        ({"type": "response.completed"}, b"", GarbledError),
        ({"type": "response.completed", "response": None}, b"", GarbledError),
        ({"type": "response.completed", "response": [5]}, b"", GarbledError),
        ({"type": 5}, b"", GarbledError),
        ([], b"", GarbledError),
        (b"{", b"", GarbledError),
        (b"\xff", b"", GarbledError),
    ],
)
def test_failures_inside(data, name, kind):
    """A failure raises the class that it names, flat or nested; what cannot be read is garbled."""
    reader = ResponsesReader()
    with pytest.raises(ProviderError) as caught:
        reader.read(event(data, name))
    assert type(caught.value) is kind
    assert "sk-secret" not in str(caught.value)
    assert not reader.complete


@pytest.mark.parametrize(
    ("response", "finish"),
    [
        ({"status": "completed"}, "stop"),
        ({"status": "completed", "output": [MESSAGE, CALL]}, "tool_calls"),
        ({"status": "completed", "output": [{"type": "custom_tool_call", "input": "x"}]}, "tool_calls"),
        ({"status": "completed", "output": [{"type": "web_search_call"}]}, "stop"),
        ({"output": []}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_messages"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, "steered"),
        ({"status": "incomplete", "incomplete_details": None}, "length"),
        ({"status": "incomplete", "incomplete_details": {}}, "length"),
    ],
)
def test_finish(response, finish):
    """How a response ended is told in the words of the chat dialect, streamed or whole."""
    end = event({"type": "response." + response.get("status", "completed"), "response": response})
    assert ResponsesReader().read(end).finish == finish
    assert RESPONSES.read_answer(json.dumps({"output": []} | response).encode()).finish == finish


WORDS = st.sampled_from("delta error code message response output status usage content text arguments type".split())  # noqa: SIM905  a long list of words
TYPES = st.sampled_from(["response.completed", "response.created", "response.output_text.delta", "error", "message"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4) | TYPES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=25,
)
RESPONSE = st.fixed_dictionaries({}, optional={"output": JSON, "status": JSON, "usage": JSON, "error": JSON})
EVENT = st.fixed_dictionaries({"type": TYPES}, optional={"delta": JSON, "response": JSON | RESPONSE, "error": JSON})


@given(st.lists(JSON | EVENT | RESPONSE, max_size=5))
def test_no_server_is_too_strange(datas):
    """Whatever JSON a server sends, it is understood or it is one of our errors."""
    reader = ResponsesReader()
    for data in datas:
        for read in (lambda: reader.read(event(data)), lambda: RESPONSES.read_answer(json.dumps(data).encode())):  # noqa: B023  called at once
            try:
                assert read().size >= 0
            except ProviderError as error:
                assert error.message  # noqa: PT017  not the expected outcome, but an allowed one


# --- requests


@pytest.mark.parametrize(
    ("request_", "facts"),
    [
        ({}, RequestFacts(None, False, True, None)),
        ({"model": "m", "stream": True, "user": "u"}, RequestFacts("m", True, True, "u")),
        ({"model": None, "stream": None, "safety_identifier": "s"}, RequestFacts(None, False, True, "s")),
    ],
)
def test_read_request(request_, facts):
    """The few fields are read; the usage is always part of the stream."""
    found = RESPONSES.read_request(json.dumps(request_).encode())
    assert msgspec.structs.replace(found, fields=None, plain=False) == facts


@pytest.mark.parametrize("raw", [b'{"model": 5}', b'{"model":"a","model":"b"}', b'{"MODEL":"a"}', b"[]", b"", b"\xff"])
def test_bad_requests(raw):
    """Malformed, mistyped and ambiguous requests are refused."""
    with pytest.raises(BadRequestError):
        RESPONSES.read_request(raw)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"previous_response_id": "mine", "previous_response_id": "theirs"}', "duplicate_field"),
        (rb'{"previous_response_id": "mine", "previous_\u0072esponse_id": "theirs"}', "duplicate_field"),
        (b'{"Previous_Response_Id": "theirs"}', "misspelled_field"),
        (b'{"conversation": "mine", "conversation": {"id": "theirs"}}', "duplicate_field"),
        (b'{"CONVERSATION": "theirs"}', "misspelled_field"),
    ],
)
def test_what_goes_before_is_named_once(raw, code):
    """Two parsers must not see two conversations."""
    with pytest.raises(BadRequestError) as caught:
        RESPONSES.read_request(raw)
    assert caught.value.code == code
    assert RESPONSES.read_request(b'{"input": "previous_response_id", "previous_response_id": "r"}').names == ("r",)


def test_prepare():
    """Only the bytes of the model change, and nothing where nothing is to be done."""
    body = Body(b'{"input":"Hi", "model":"a","stream":true}')
    assert RESPONSES.prepare(body, model="b", stream=True).raw == b'{"input":"Hi", "model":"b","stream":true}'
    assert RESPONSES.prepare(body, model="a", stream=True) is body
    assert RESPONSES.prepare(body, model=None, stream=True) is body


# --- what is kept

KEPT = {"id": "resp_1", "output": [{"type": "message", "id": "msg_1"}, {"id": "ci_1", "container_id": "cntr_1"}, {}]}


@pytest.mark.parametrize(
    ("response", "made"),
    [
        (KEPT, ("resp_1", "msg_1", "ci_1", "cntr_1")),
        (KEPT | {"store": True}, ("resp_1", "msg_1", "ci_1", "cntr_1")),
        (KEPT | {"store": False}, ()),
        (KEPT | {"id": None}, ()),
        ({"id": "resp_1", "output": [], "status": "queued"}, ("resp_1",)),
    ],
)
def test_what_a_whole_answer_brings_into_the_world(response, made):
    """The response, its items and their containers, unless it is not kept."""
    assert set(RESPONSES.read_answer(json.dumps(response).encode()).made) == set(made)


@pytest.mark.parametrize("store", [True, False, None])
def test_a_stream_tells_what_is_kept_as_it_comes(store):
    """The response with the first event, so that a call which follows at once can name it; then item by item."""
    response = {"id": "resp_1", "store": store}
    item = {"id": "ci_1", "type": "code_interpreter_call", "container_id": "cntr_1"}
    reader = ResponsesReader()
    read = [
        reader.read(event(each))
        for each in (
            {"type": "response.created", "response": response},
            {"type": "response.in_progress", "response": response},
            {"type": "response.output_item.added", "item": item},
            {"type": "response.output_item.added", "item": {"type": "message", "id": 7}},
            {"type": "response.output_item.added"},
            {"type": "response.output_text.delta", "delta": "Hi"},
            {"type": "response.completed", "response": response | {"output": [item]}},
        )
    ]
    told = [each.made for each in read]
    assert told == ([()] * 7 if store is False else [("resp_1",), (), ("ci_1", "cntr_1"), (), (), (), ()])
    assert read[0].kind is Kind.PREAMBLE


# --- whole answers and errors


def test_read_answer():
    """A whole answer is one terminal event; its size is all that the model said, visible or not."""
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "content": [{"text": "hmm"}]},
        MESSAGE,
        {"type": "message", "content": [{"type": "refusal", "refusal": "no"}]},
        CALL,
        {"type": "custom_tool_call", "input": "xy"},
        {"type": "code_interpreter_call", "code": "1+1"},
        {"type": "tool_search_call", "arguments": {"a": 1}},
        {"type": "message", "content": "plain"},
        {"type": "message", "content": ["?"]},
    ]
    raw = json.dumps({"status": "completed", "output": output, "usage": USAGE, "model": "m", "more": 1}).encode()
    read = RESPONSES.read_answer(raw)
    assert (read.kind, read.raw, read.text, read.finish) == (Kind.TERMINAL, raw, "né!plain", "tool_calls")
    assert read.size == 2 + 3 + 4 + 2 + 2 + 2 + 3 + 7 + 5
    assert (read.model, read.tier) == ("m", None)
    assert read.usage == TokenUsage(prompt_tokens=3, completion_tokens=2)


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled"])
def test_answers_of_the_background(status):
    """A response that is not done is a whole answer all the same, without usage."""
    read = RESPONSES.read_answer(json.dumps({"status": status, "output": [], "usage": None}).encode())
    assert (read.kind, read.finish, read.usage) == (Kind.TERMINAL, status, None)


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b"{}", b'{"output":null}', b'{"output":[5]}', b'{"output":{}}'])
def test_garbled_answers(raw):
    """An answer without output that can be read is no answer."""
    with pytest.raises(GarbledError):
        RESPONSES.read_answer(raw)


def test_failed_answers():
    """A whole answer that failed raises the class that it names."""
    with pytest.raises(RateLimitError):
        RESPONSES.read_answer(b'{"status":"failed","error":{"code":"rate_limit_exceeded"},"output":[]}')
    with pytest.raises(OverloadedError):
        RESPONSES.read_answer(b'{"status":"failed","output":[]}')


def test_read_error():
    """Error answers are read by status and names."""
    assert isinstance(RESPONSES.read_error(Answer(429, {}, b"")), RateLimitError)


def test_write_error():
    """An error is one named event with flat fields and a nested object."""
    raw = RESPONSES.write_error(errors.InterruptedError("It broke."), sequence=7)
    (written,) = Decoder().feed(raw)
    facts = {"message": "It broke.", "type": "server_error", "param": None, "code": "stream_interrupted"}
    assert written.name == b"error"
    assert json.loads(written.data or b"") == {
        "type": "error",
        "sequence_number": 7,
        "code": "stream_interrupted",
        "message": "It broke.",
        "param": None,
        "error": facts,
    }


def test_where_it_lives():
    """One operation, one path, one reader per stream."""
    assert (RESPONSES.operation, RESPONSES.path) == (Operation.RESPONSES, "/responses")
    assert RESPONSES.read_stream(usage_wanted=True) is not RESPONSES.read_stream(usage_wanted=True)
