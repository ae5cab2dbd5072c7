"""Chat completions: requests read strictly and edited to the byte, answers and streams understood, errors written."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from headgate.core import errors
from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.core.errors import (
    Answer,
    BadRequestError,
    GarbledError,
    OverloadedError,
    ProviderError,
    QuotaError,
)
from headgate.core.reply import Kind
from headgate.core.usage import TokenUsage
from headgate.dialects.dialect import Dialect, RequestFacts
from headgate.dialects.openai_chat import ChatDialect, ChatReader
from headgate.dialects.sse import ServerEvent

CHAT: Dialect = ChatDialect()
NAMES = sorted(path.stem for path in (Path(__file__).parent / "transcripts").glob("chat_*.txt"))
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def event(data: object) -> ServerEvent:
    """A server-sent event with this data."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return ServerEvent(b"", raw, b"data: " + raw + b"\n\n")


def chunk(delta: object = None, finish: object = None, index: int = 0, **fields: object) -> ServerEvent:
    """A chunk with one piece."""
    return event({"choices": [{"index": index, "delta": delta, "finish_reason": finish}], **fields})


# --- streams


@pytest.mark.parametrize("name", NAMES)
def test_transcripts(name, transcript, play):
    """A recorded stream tells the story beside it, whole or byte by byte."""
    stream, expected = transcript(name)
    assert play(ChatReader(usage_wanted=False), [stream]) == expected
    assert play(ChatReader(usage_wanted=False), [bytes([byte]) for byte in stream]) == expected


def test_usage_is_shown_to_those_who_asked(transcript, play):
    """The usage chunk is hidden from a caller who did not ask, and only from him."""
    stream, expected = transcript("chat_text")
    story = play(ChatReader(usage_wanted=True), [stream])
    assert expected["events"][5] == ["TRAILER", "", 0, "hidden"]
    assert story["events"][5] == ["TRAILER", "", 0]
    assert story["usage"] == expected["usage"]


@pytest.mark.parametrize(
    ("server_event", "kind"),
    [
        (ServerEvent(b"", None, b": hi\n\n"), Kind.PREAMBLE),
        (ServerEvent(b"", b"", b"data:\n\n"), Kind.PREAMBLE),
        (event({}), Kind.PREAMBLE),
        (event({"choices": None}), Kind.PREAMBLE),
        (event({"choices": []}), Kind.PREAMBLE),
        (event({"choices": [{}], "error": None}), Kind.PREAMBLE),
        (chunk({"role": "assistant", "content": "", "refusal": None, "tool_calls": []}), Kind.PREAMBLE),
        (chunk({"content": None, "reasoning": "", "reasoning_content": None}), Kind.PREAMBLE),
        (chunk({"content": "a"}), Kind.CONTENT),
        (chunk({"content": [{"type": "text", "text": "a"}]}), Kind.CONTENT),
        (chunk({"refusal": "a"}), Kind.CONTENT),
        (chunk({"reasoning": "a"}), Kind.CONTENT),
        (chunk({"reasoning_content": "a"}), Kind.CONTENT),
        (chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]}), Kind.CONTENT),
        (chunk({"tool_calls": [{"index": 0}]}), Kind.CONTENT),
        (chunk({"function_call": {"name": "f", "arguments": ""}}), Kind.CONTENT),
        (chunk({"audio": {"transcript": "a"}}), Kind.CONTENT),
        (chunk({"audio": {"data": "AAAA"}}), Kind.CONTENT),
        (chunk({}, "stop"), Kind.TERMINAL),
        (chunk({"content": "a"}, "stop"), Kind.TERMINAL),
        (chunk(None, "length"), Kind.TERMINAL),
    ],
)
def test_kinds(server_event, kind):
    """What an event is for is told from what it says; its bytes are kept."""
    read = ChatReader(usage_wanted=False).read(server_event)
    assert read.kind == kind
    assert read.raw is server_event.raw


@pytest.mark.parametrize(
    ("delta", "text", "size"),
    [
        ({"content": "né"}, "né", 3),
        ({"content": [{"type": "text", "text": "a"}]}, "a", 28),
        ({"refusal": "no", "reasoning": "hm"}, "", 4),
        ({"reasoning_content": "hm", "reasoning": "hm"}, "", 2),
        ({"tool_calls": [{"function": {"arguments": '{"a":1}'}}, {"custom": {"input": "xy"}}]}, "", 9),
        ({"tool_calls": [{"function": {"arguments": {"a": 1}}}]}, "", 7),
        ({"function_call": {"arguments": "{}"}}, "", 2),
        ({"audio": {"transcript": "oh", "data": "AAAA"}}, "", 2),
    ],
)
def test_sizes(delta, text, size):
    """Everything that was said counts, once, in UTF-8 bytes; only visible words are text."""
    read = ChatReader(usage_wanted=False).read(chunk(delta))
    assert (read.text, read.size) == (text, size)


def test_facts_of_a_chunk():
    """Model, tier and usage are told where the chunk tells them, choices or not."""
    reader = ChatReader(usage_wanted=False)
    read = reader.read(chunk({"content": "a"}, model="m", service_tier="flex", usage=USAGE))
    assert (read.model, read.tier, read.hidden) == ("m", "flex", False)
    assert read.usage == TokenUsage(prompt_tokens=3, completion_tokens=2)
    read = reader.read(event({"choices": [], "model": "", "service_tier": None, "usage": USAGE}))
    assert (read.kind, read.model, read.tier, read.hidden) == (Kind.PREAMBLE, None, None, True)
    assert read.usage == TokenUsage(prompt_tokens=3, completion_tokens=2)


@pytest.mark.parametrize("lie", ["many", 5, [], {"prompt_tokens": -1, "completion_tokens": 2}, {"prompt_tokens": "3"}])
def test_usage_that_lies(lie):
    """A stream is not lost over a usage that cannot be believed; the chunk is as if it had none."""
    read = ChatReader(usage_wanted=False).read(event({"choices": [], "usage": lie}))
    assert (read.usage, read.hidden) == (None, False)


def test_after_the_end():
    """After the finish reason, what says nothing is trailer; a repeated finish reason is no second end."""
    reader = ChatReader(usage_wanted=False)
    assert not reader.complete
    assert reader.read(chunk({}, "stop")).finish == "stop"
    assert reader.complete
    again = reader.read(chunk({}, "stop", usage=USAGE))
    assert (again.kind, again.finish) == (Kind.TRAILER, None)
    assert again.usage is not None
    assert reader.read(ServerEvent(b"", None, b":\n\n")).kind == Kind.TRAILER
    assert reader.read(chunk({"content": "more"})).kind == Kind.CONTENT
    assert reader.read(event(b"[DONE]")).kind == Kind.TRAILER
    assert reader.read(event(b" [DONE] ")).kind == Kind.TRAILER
    assert reader.complete


def test_several_choices():
    """The answer ends when each choice that was begun has ended; it ends as the first choice did."""
    reader = ChatReader(usage_wanted=False)
    both = [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "bc"}}]
    read = reader.read(event({"choices": both}))
    assert (read.text, read.size) == ("a", 3)
    read = reader.read(chunk({}, "length", index=0))
    assert (read.kind, read.finish, reader.complete) == (Kind.CONTENT, "length", False)
    with pytest.raises(GarbledError, match="without a finish reason"):
        reader.read(event(b"[DONE]"))
    read = reader.read(chunk({}, "stop", index=1))
    assert (read.kind, read.finish, reader.complete) == (Kind.TERMINAL, "length", True)


@pytest.mark.parametrize(
    "data", [b"[]", b"5", b"{", b'"x"', b"null", b'{"choices":5}', b'{"choices":[5]}', b"\xff", b"x"]
)
def test_garbled(data):
    """An event that cannot be read is an error: a word may have been lost."""
    with pytest.raises(GarbledError):
        ChatReader(usage_wanted=False).read(event(data))


def test_errors_inside():
    """An error event raises its class, even beside choices; an empty error is none."""
    reader = ChatReader(usage_wanted=False)
    assert reader.read(event({"error": {}, "choices": []})).kind == Kind.PREAMBLE
    with pytest.raises(QuotaError):
        reader.read(event({"error": {"code": "insufficient_quota"}, "choices": [{"delta": {"content": ""}}]}))
    with pytest.raises(OverloadedError, match="gave no reason"):
        reader.read(chunk({}, "error"))


NAMED = (
    "choices delta message content usage error index finish_reason tool_calls function arguments refusal model "
    "prompt_tokens completion_tokens prompt_tokens_details cached_tokens reasoning audio custom input"
)
WORDS = st.sampled_from(NAMED.split())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=25,
)
PIECE = st.fixed_dictionaries({}, optional={"index": JSON, "delta": JSON, "message": JSON, "finish_reason": JSON})
CHUNK = st.fixed_dictionaries({}, optional={"choices": st.lists(PIECE, max_size=3), "usage": JSON, "error": JSON})


@given(st.lists(JSON | CHUNK, max_size=5))
def test_no_server_is_too_strange(datas):
    """Whatever JSON a server sends, it is understood or it is one of our errors."""
    reader = ChatReader(usage_wanted=False)
    for data in datas:
        for read in (lambda: reader.read(event(data)), lambda: CHAT.read_answer(json.dumps(data).encode())):  # noqa: B023  called at once
            try:
                assert read().size >= 0
            except ProviderError as error:
                assert error.message  # noqa: PT017  not the expected outcome, but an allowed one


# --- requests


@pytest.mark.parametrize(
    ("request_", "facts"),
    [
        ({}, RequestFacts(None, False, False, None)),
        ({"model": "m", "messages": []}, RequestFacts("m", False, False, None)),
        ({"model": "m", "stream": True}, RequestFacts("m", True, False, None)),
        ({"stream": False, "stream_options": {}}, RequestFacts(None, False, False, None)),
        ({"stream_options": {"include_usage": True, "x": 1}, "user": "u"}, RequestFacts(None, False, True, "u")),
        ({"stream_options": {"include_usage": False}}, RequestFacts(None, False, False, None)),
        ({"user": "u", "safety_identifier": "s"}, RequestFacts(None, False, False, "u")),
        ({"user": "", "safety_identifier": "s"}, RequestFacts(None, False, False, "s")),
        (dict.fromkeys(("model", "stream", "stream_options", "user")), RequestFacts(None, False, False, None)),
        ({"stream_options": {"include_usage": None}}, RequestFacts(None, False, False, None)),
    ],
)
def test_read_request(request_, facts):
    """The few fields are read; explicit nulls are as good as absent."""
    found = CHAT.read_request(json.dumps(request_).encode())
    assert msgspec.structs.replace(found, fields=None, plain=False) == facts


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        (b'{"model":"m","messages":[{"role":"user","content":"type, audio"}]}', True),
        (b'{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}', False),
        (b'{"messages":[],"web_search_options":{}}', False),
        (b'{"messages":[{"t\\u0079pe":"image_url"}]}', False),
    ],
)
def test_what_is_nothing_but_text_is_told(raw, plain):
    """A typed part, a reference, or what may hide one: then somebody has to look."""
    assert CHAT.read_request(raw).plain is plain


def test_bounds_are_read_together_with_the_rest():
    """What a request says of its answer's size is read strictly, and told: a cap that is null is there."""
    found = CHAT.read_request(b'{"model":"m","max_tokens":null,"n":2,"messages":[{"content":"max_tokens"}]}').fields
    assert found is not None
    assert (found.max_completion_tokens, found.max_tokens, found.n) == (UNSET, None, 2)
    with pytest.raises(BadRequestError) as twice:
        CHAT.read_request(b'{"model":"m","max_tokens":1,"max_tokens":2}')
    assert twice.value.code == "duplicate_field"


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b'{"model": 5}', "model"),
        (b'{"stream": "yes"}', "stream"),
        (b'{"user": {}}', "user"),
        (b'{"model": "a", "model": "b"}', "model"),
        (b'{"Stream": true}', "Stream"),
        (b'{"stream_options": 5}', "stream_options"),
        (b'{"stream_options": {"include_usage": "yes"}}', "stream_options"),
        (b'{"stream_options": {"include_usage": true, "include_usage": false}}', "stream_options"),
        (b"[]", None),
        (b"", None),
        (b"\xff", None),
    ],
)
def test_bad_requests(raw, param):
    """Malformed, mistyped and ambiguous requests are refused by the field's name."""
    with pytest.raises(BadRequestError) as caught:
        CHAT.read_request(raw)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("before", "model", "stream", "after"),
    [
        ('{"seed":1.0, "model":"a","x":null}', "b", False, '{"seed":1.0, "model":"b","x":null}'),
        ('{"messages":[]}', "b", False, '{"model":"b","messages":[]}'),
        ('{"model":"a"}', None, True, '{"stream_options":{"include_usage":true},"model":"a"}'),
        ('\n{ "model":"a"}', "a", True, '\n{"stream_options":{"include_usage":true}, "model":"a"}'),
        ("{}", None, True, '{"stream_options":{"include_usage":true}}'),
        ('{"stream_options":null}', None, True, '{"stream_options":{"include_usage":true}}'),
        ('{"stream_options":{}}', None, True, '{"stream_options":{"include_usage":true}}'),
        (
            '{"model":"a","stream_options": {"include_obfuscation": false}}',
            "b",
            True,
            '{"model":"b","stream_options": {"include_usage":true,"include_obfuscation": false}}',
        ),
        (
            '{"stream_options":{"include_obfuscation":false, "include_usage" : false}}',
            None,
            True,
            '{"stream_options":{"include_obfuscation":false, "include_usage" : true}}',
        ),
    ],
)
def test_prepare(before, model, stream, after):
    """Only the bytes of the model and of the wish for usage change."""
    assert CHAT.prepare(Body(before.encode()), model=model, stream=stream).raw.decode() == after


@pytest.mark.parametrize("stream", [True, False])
def test_prepare_changes_nothing_in_vain(stream):
    """A body that needs nothing is the very same object."""
    body = Body(b'{"model":"a","stream_options":{"include_usage":true}}')
    assert CHAT.prepare(body, model="a", stream=stream) is body
    assert CHAT.prepare(body, model=None, stream=stream) is body


# --- whole answers and errors


def whole(message: object, finish: object = "stop", **fields: object) -> bytes:
    """A whole answer with one choice."""
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": finish}], **fields}).encode()


def test_read_answer():
    """A whole answer is one terminal event with all that it tells."""
    raw = whole({"role": "assistant", "content": "né"}, usage=USAGE, model="m", service_tier="default", extra=[1])
    read = CHAT.read_answer(raw)
    assert (read.kind, read.raw, read.text, read.size) == (Kind.TERMINAL, raw, "né", 3)
    assert (read.finish, read.model, read.tier) == ("stop", "m", "default")
    assert read.usage == TokenUsage(prompt_tokens=3, completion_tokens=2)


def test_read_answer_of_several_choices():
    """The text is the first choice's; the size is everybody's, visible or not."""
    tools = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    choices = [
        {"message": {"content": "ab", "reasoning_content": "hm"}, "finish_reason": "length"},
        {"message": {"content": None, "refusal": "no"}, "finish_reason": "stop"},
        {"message": {"content": None, "tool_calls": tools}, "finish_reason": "tool_calls"},
    ]
    read = CHAT.read_answer(json.dumps({"choices": choices, "usage": {"prompt_tokens": "3"}}).encode())
    assert (read.text, read.size, read.finish, read.usage) == ("ab", 8, "length", None)


@pytest.mark.parametrize(
    "raw",
    [b"", b"<html>", b"[]", b"{}", b'{"choices":[]}', b'{"choices":null}', b'{"choices":[{}]}', b'{"choices":[5]}'],
)
def test_garbled_answers(raw):
    """An answer without a choice that can be read is no answer."""
    with pytest.raises(GarbledError):
        CHAT.read_answer(raw)


def test_errors_with_status_200():
    """An error is an error whatever the status says."""
    with pytest.raises(QuotaError):
        CHAT.read_answer(b'{"error":{"code":"insufficient_quota","message":"m"}}')
    with pytest.raises(OverloadedError):
        CHAT.read_answer(whole({"content": ""}, "error"))


def test_read_error():
    """Error answers are read by status and names."""
    assert isinstance(CHAT.read_error(Answer(503, {}, b"")), OverloadedError)


def test_write_error():
    """An error is one event in OpenAI's form, and no `[DONE]` follows it."""
    raw = CHAT.write_error(errors.InterruptedError("The stream\nbroke."), sequence=7)
    head, body, tail = raw.partition(b"{")
    assert (head, raw[-2:], raw.count(b"\n")) == (b"data: ", b"\n\n", 2)
    assert json.loads(body + tail) == {
        "error": {
            "message": "The stream\nbroke.",
            "type": "server_error",
            "param": None,
            "code": "stream_interrupted",
        }
    }


def test_where_it_lives():
    """One operation, one path, one reader per stream."""
    assert (CHAT.operation, CHAT.path) == (Operation.CHAT, "/chat/completions")
    assert CHAT.read_stream(usage_wanted=True) is not CHAT.read_stream(usage_wanted=True)


# --- the older completions of a plain text

PLAIN: Dialect = ChatDialect(Operation.COMPLETIONS, "/completions")


def text(words: object, finish: object = None, index: int = 0, **fields: object) -> ServerEvent:
    """A chunk of a plain text."""
    return event({"choices": [{"index": index, "text": words, "finish_reason": finish}], **fields})


def test_a_plain_text_is_an_answer():
    """Its words, its size over all choices, its end and its usage."""
    raw = json.dumps(
        {
            "choices": [{"text": "né", "finish_reason": "length"}, {"text": "abc", "finish_reason": "stop"}],
            "usage": USAGE,
            "model": "m",
        }
    ).encode()
    read = PLAIN.read_answer(raw)
    assert (read.text, read.size, read.finish, read.model) == ("né", 6, "length", "m")
    assert read.usage == TokenUsage(prompt_tokens=3, completion_tokens=2)
    assert (PLAIN.operation, PLAIN.path) == (Operation.COMPLETIONS, "/completions")


@pytest.mark.parametrize("choice", [{}, {"text": None}, {"finish_reason": "stop"}, {"message": None}])
def test_a_choice_that_says_nothing_at_all_is_garbled(choice):
    """An empty text is an answer; none is not."""
    with pytest.raises(GarbledError):
        PLAIN.read_answer(json.dumps({"choices": [{"text": "", "finish_reason": "stop"}, choice]}).encode())
    assert PLAIN.read_answer(b'{"choices": [{"text": "", "finish_reason": "stop"}]}').size == 0


def test_a_stream_of_plain_text():
    """Each piece counts once; it is complete when every choice has ended."""
    reader = PLAIN.read_stream(usage_wanted=True)
    read = [reader.read(each) for each in (text(""), text("né"), text("x", index=1), text("", "stop"))]
    assert [(each.kind, each.text, each.size) for each in read] == [
        (Kind.PREAMBLE, "", 0), (Kind.CONTENT, "né", 3), (Kind.CONTENT, "", 1), (Kind.CONTENT, "", 0)
    ]  # fmt: skip
    with pytest.raises(GarbledError):
        reader.read(event(b"[DONE]"))
    end = reader.read(text("", "length", index=1))
    assert (end.kind, end.finish, reader.complete) == (Kind.TERMINAL, "stop", True)
    assert reader.read(event({"choices": [], "usage": USAGE})).usage == TokenUsage(prompt_tokens=3, completion_tokens=2)
    assert reader.read(event(b"[DONE]")).kind is Kind.TRAILER


def test_usage_is_asked_for_in_streams_of_plain_text_too():
    """As in chats."""
    body = PLAIN.prepare(Body(b'{"model":"m","prompt":"Hi"}'), model=None, stream=True)
    assert json.loads(body.raw) == {"model": "m", "prompt": "Hi", "stream_options": {"include_usage": True}}
