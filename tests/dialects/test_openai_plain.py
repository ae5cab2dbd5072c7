"""Covers dialects/openai_plain.py: questions with one answer, as JSON and as forms, whole and streamed."""

import base64
import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.core.errors import APIError, BadRequestError, GarbledError, ProviderError, RateLimitError
from headgate.core.reply import Kind
from headgate.core.upload import Form, Part, Upload, whole
from headgate.core.usage import TokenUsage
from headgate.dialects.dialect import Dialect
from headgate.dialects.registry import DIALECTS
from headgate.dialects.sse import Decoder, ServerEvent

EMBEDDINGS = DIALECTS[Operation.EMBEDDINGS]
IMAGES = DIALECTS[Operation.IMAGES]
EDITS = DIALECTS[Operation.IMAGE_EDITS]
SPEECH = DIALECTS[Operation.SPEECH]
TRANSCRIPTIONS = DIALECTS[Operation.TRANSCRIPTIONS]
TOKENS = DIALECTS[Operation.INPUT_TOKENS]
PLAIN = [EMBEDDINGS, DIALECTS[Operation.MODERATIONS], IMAGES, EDITS, SPEECH, TOKENS]
STREAMING = {Operation.IMAGES, Operation.IMAGE_EDITS, Operation.TRANSCRIPTIONS}


def form(*fields: tuple[str, str], file: bytes = b"sound") -> Form:
    """A form with text fields and a file."""
    parts = [Part(name, b'content-disposition: form-data; name="x"\r\n', value.encode()) for name, value in fields]
    return Form([*parts, Part("file", b"", file, is_file=True)], "b")


def event(data: object, name: bytes = b"") -> ServerEvent:
    """A server-sent event."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return ServerEvent(name, raw, b"data: " + raw + b"\n\n")


@pytest.mark.parametrize("dialect", PLAIN, ids=lambda dialect: dialect.operation)
def test_the_facts_of_a_json_request(dialect: Dialect):
    """Model and end user; a stream only where there is one to be had."""
    facts = dialect.read_request(b'{"model": "m", "user": "u", "stream": true, "input": "x"}')
    assert (facts.model, facts.user, facts.names) == ("m", "u", ())
    assert facts.stream is (dialect.operation in STREAMING)
    assert facts.opaque is (dialect is SPEECH)
    assert dialect.read_request(b"{}").model is None


@pytest.mark.parametrize("dialect", PLAIN, ids=lambda dialect: dialect.operation)
@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "invalid_json"),
        (b"[]", "invalid_json"),
        (b'{"model": 1}', "invalid_type"),
        (b'{"model": "a", "model": "b"}', "duplicate_field"),
        (b'{"model": "a", "Model": "b"}', "duplicate_field"),
        (b'{"STREAM": true}', "misspelled_field"),
        (b'{"stream_format": "sse", "stream_format": "audio"}', "duplicate_field"),
        (b'{"previous_response_id": "a", "previous_response_id": "b"}', "duplicate_field"),
        (b'{"Conversation": "a"}', "misspelled_field"),
        (b'{"input": "\xff"}', "invalid_utf8"),
    ],
)
def test_an_ambiguous_request_is_refused(dialect, raw, code):
    """400, whatever is asked."""
    with pytest.raises(BadRequestError) as caught:
        dialect.read_request(raw)
    assert caught.value.code == code


def test_speech_is_bytes_unless_it_is_asked_for_as_events():
    """`stream_format` decides, and nothing else."""
    facts = [SPEECH.read_request(json.dumps({"stream_format": kind}).encode()) for kind in ("sse", "audio", 1, None)]
    assert [(each.stream, each.opaque) for each in facts] == [
        (True, False),
        (False, True),
        (False, True),
        (False, True),
    ]


def test_requests_name_objects():
    """Pictures to be edited, in JSON, in disguise and in forms; token counts name all that responses may."""
    raw = b'{"model": "m", "images": [{"file_id": "file-1"}], "mask": {"file_id": "file-2"}}'
    assert set(EDITS.read_request(raw).names) == {"file-1", "file-2"}
    assert set(EDITS.read_request(raw.replace(b"file_id", rb"file\u005fid")).names) == {"file-1", "file-2"}
    assert EDITS.read_request(form(("model", "m"), ("image[file_id]", "file-3"))).names == ("file-3",)
    assert TOKENS.read_request(b'{"previous_response_id": "resp_1"}').names == ("resp_1",)
    assert TOKENS.read_request(b'{"input": [{"type": "item_reference", "id": "msg_1"}]}').names == ("msg_1",)
    assert TOKENS.read_request(b'{"conversation": {"id": "conv_1"}}').names == ("conv_1",)
    assert EMBEDDINGS.read_request(b'{"input": "previous_response_id"}').names == ()


@pytest.mark.parametrize(
    ("fields", "stream", "opaque"),
    [
        ((), False, False),
        ((("stream", "true"),), True, False),
        ((("stream", "True"),), True, False),
        ((("stream", "false"),), False, False),
        ((("stream", ""),), False, False),
        ((("response_format", "srt"),), False, True),
        ((("response_format", "vtt"),), False, True),
        ((("response_format", "text"),), False, True),
        ((("response_format", "json"),), False, False),
        ((("response_format", "verbose_json"),), False, False),
        ((("response_format", "text"), ("stream", "true")), True, False),
    ],
)
def test_the_facts_of_a_form(fields, stream, opaque):
    """The same facts; subtitles and plain text are answers that nobody reads here."""
    facts = TRANSCRIPTIONS.read_request(form(("model", "m"), ("user", "u"), *fields))
    assert (facts.model, facts.user, facts.stream, facts.opaque) == ("m", "u", stream, opaque)
    assert DIALECTS[Operation.TRANSLATIONS].read_request(form(("stream", "true"))).stream is False


@pytest.mark.parametrize("name", ["model", "stream", "user", "response_format"])
def test_a_field_that_is_read_stands_in_a_form_once(name):
    """Also where one of the two calls itself a file."""
    parts = form((name, "true"), (name, "false"))
    with pytest.raises(BadRequestError) as caught:
        TRANSCRIPTIONS.read_request(parts)
    assert (caught.value.code, caught.value.param) == ("duplicate_field", name)
    two = Form([Part(name, b"", b"a", is_file=True), Part(name, b"", b"b")], "b")
    with pytest.raises(BadRequestError):
        TRANSCRIPTIONS.read_request(two)
    assert TRANSCRIPTIONS.read_request(form(("include[]", "a"), ("include[]", "b"))).model is None


def test_the_model_is_set_and_nothing_else():
    """To the byte in JSON, in its field in a form; what asks for the right one already is not touched."""
    body = Body(b'{"input": ["model"], "model" : "a"}')
    changed = EMBEDDINGS.prepare(body, model="b", stream=False)
    assert isinstance(changed, Body)
    assert changed.raw == b'{"input": ["model"], "model" : "b"}'
    assert EMBEDDINGS.prepare(body, model="a", stream=False) is body
    assert EMBEDDINGS.prepare(body, model=None, stream=False) is body
    given_form = form(("model", "a"))
    assert TRANSCRIPTIONS.prepare(given_form, model="a", stream=False) is given_form
    assert TRANSCRIPTIONS.prepare(given_form, model=None, stream=False) is given_form
    for one in (given_form, form()):
        set_form = TRANSCRIPTIONS.prepare(one, model="b", stream=False)
        assert isinstance(set_form, Form)
        assert set_form.text("model") == "b"
        assert b"sound" in whole(set_form)


def test_an_upload_without_a_form_is_none_of_these():
    """The door lets none through."""
    with pytest.raises(AssertionError):
        EMBEDDINGS.prepare(Upload("audio/wav", []), model="m", stream=False)


@pytest.mark.parametrize(
    ("operation", "usage", "read"),
    [
        (Operation.EMBEDDINGS, {"prompt_tokens": 7, "total_tokens": 7}, TokenUsage(prompt_tokens=7)),
        (Operation.MODERATIONS, {"prompt_tokens": 7}, None),
        (Operation.INPUT_TOKENS, {"input_tokens": 7, "output_tokens": 0}, None),
        (
            Operation.IMAGES,
            {"input_tokens": 5, "output_tokens": 9, "input_tokens_details": {"image_tokens": 2, "text_tokens": 3}},
            TokenUsage(prompt_tokens=5, completion_tokens=9, prompt_image_tokens=2, completion_image_tokens=9),
        ),
        (
            Operation.IMAGE_EDITS,
            {"input_tokens": 5, "output_tokens": 9, "output_tokens_details": {"image_tokens": 8, "text_tokens": 1}},
            TokenUsage(prompt_tokens=5, completion_tokens=9, completion_image_tokens=8),
        ),
        (
            Operation.TRANSCRIPTIONS,
            {"type": "tokens", "input_tokens": 5, "output_tokens": 2, "input_token_details": {"audio_tokens": 4}},
            TokenUsage(prompt_tokens=5, completion_tokens=2, prompt_audio_tokens=4),
        ),
        (Operation.TRANSCRIPTIONS, {"type": "duration", "seconds": 9}, None),
        (Operation.EMBEDDINGS, {"prompt_tokens": -1}, None),
        (Operation.EMBEDDINGS, None, None),
        (Operation.IMAGES, {"input_tokens": "many"}, None),
    ],
)
def test_the_usage_of_a_whole_answer(operation, usage, read):
    """What can be believed is counted, in the words of each operation; the answer passes as it came."""
    raw = json.dumps({"data": [{"x": 1}], "model": "m-1", "usage": usage}).encode()
    answer = DIALECTS[operation].read_answer(raw)
    assert (answer.kind, answer.usage, answer.model, answer.raw) == (Kind.TERMINAL, read, "m-1", raw)


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"sound", b'{"a": "\xff"}', b"<html>"])
def test_an_answer_that_is_none(raw):
    """Garbled, and never passed on as a success."""
    with pytest.raises(GarbledError):
        IMAGES.read_answer(raw)


def test_an_answer_that_says_itself_that_it_failed():
    """Status 200 with an error in it is an error."""
    with pytest.raises(RateLimitError):
        IMAGES.read_answer(b'{"error": {"code": "rate_limit_exceeded", "message": "slow down"}}')


PICTURES = (
    {"type": "image_generation.partial_image", "b64_json": base64.b64encode(b"x" * 300).decode()},
    {"type": "image_generation.completed", "b64_json": "eA==", "usage": {"input_tokens": 5, "output_tokens": 9}},
)
WORDS = (
    {"type": "transcript.text.delta", "delta": "né"},
    {"type": "transcript.text.segment", "text": "né"},
    {"type": "transcript.text.done", "text": "né", "usage": {"input_tokens": 5, "output_tokens": 2}},
)
SOUND = (
    {"type": "speech.audio.delta", "audio": "eA=="},
    {"type": "speech.audio.done", "usage": {"input_tokens": 5, "output_tokens": 2}},
)
STREAMS = [(IMAGES, PICTURES), (EDITS, PICTURES), (TRANSCRIPTIONS, WORDS), (SPEECH, SOUND)]


@pytest.mark.parametrize(("dialect", "data"), STREAMS, ids=["images", "edits", "transcription", "speech"])
def test_a_stream_ends_where_the_answer_does(dialect: Dialect, data):
    """Content, then the end with its usage; only then is it complete, and what follows is a trailer."""
    reader = dialect.read_stream(usage_wanted=True)
    *content, last = [event(each) for each in data]
    for each in content:
        read = reader.read(each)
        assert (read.kind, read.raw, read.usage, reader.complete) == (Kind.CONTENT, each.raw, None, False)
    end = reader.read(last)
    assert (end.kind, reader.complete) == (Kind.TERMINAL, True)
    assert end.usage is not None
    assert end.usage.prompt_tokens == 5
    assert reader.read(event(b"[DONE]")).kind is Kind.TRAILER
    assert reader.read(ServerEvent(b"", b"", b": hi\n\n")).kind is Kind.TRAILER


def test_the_words_of_a_transcript_are_words():
    """They are what was said, and are counted in bytes."""
    reader = TRANSCRIPTIONS.read_stream(usage_wanted=True)
    read = [reader.read(event(each)) for each in WORDS]
    assert [(each.text, each.size) for each in read] == [("né", 3), ("", 0), ("", 0)]


def test_an_event_may_be_named_in_its_line_only():
    """Where the data do not say what they are."""
    reader = TRANSCRIPTIONS.read_stream(usage_wanted=True)
    assert reader.read(event({"delta": "x"}, b"transcript.text.delta")).kind is Kind.CONTENT
    assert reader.read(event({"text": "x"}, b"transcript.text.done")).kind is Kind.TERMINAL
    assert reader.complete


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (event(b"[DONE]"), GarbledError),
        (event(b"{"), GarbledError),
        (event(b"nonsense"), GarbledError),
        (event(b"[]"), GarbledError),
        (event({"type": 7}), GarbledError),
        (event(b'{"type": "\xff.done"}'), GarbledError),
        (event({"type": "error", "message": "broken", "code": "server_error"}), ProviderError),
        (event({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}), RateLimitError),
        (event({"message": "broken"}, b"error"), ProviderError),
    ],
)
def test_a_stream_that_breaks_is_an_error(sent, kind):
    """An error in it, a malformed event, or an end mark before the end: nothing is complete."""
    reader = IMAGES.read_stream(usage_wanted=True)
    reader.read(event(PICTURES[0]))
    with pytest.raises(kind):
        reader.read(sent)
    assert not reader.complete


@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 400), max_size=8), st.booleans())
def test_however_a_stream_is_cut_it_is_the_same(stream, cuts, named):
    """The events of a stream do not depend on how its bytes came; an unfinished one is never complete."""
    dialect, data = stream
    raws = [
        (b"event: " + each["type"].encode() + b"\n" if named else b"") + b"data: " + json.dumps(each).encode() + b"\n\n"
        for each in data
    ]
    raw = b"".join(raws)
    points = [0, *sorted(cut for cut in cuts if cut < len(raw)), len(raw)]
    decoder, reader = Decoder(), dialect.read_stream(usage_wanted=True)
    read = []
    for start, stop in pairwise(points):
        read += [reader.read(each) for each in decoder.feed(raw[start:stop])]
        assert reader.complete is (stop == len(raw))
    assert [each.raw for each in read] == raws
    assert [each.kind for each in read] == [Kind.CONTENT] * (len(raws) - 1) + [Kind.TERMINAL]


def test_errors_are_written_into_a_stream():
    """As one last event, in the shape of the API."""
    raw = IMAGES.write_error(APIError("broken", code="x"), sequence=3)
    assert raw.startswith(b"event: error\ndata: ")
    assert json.loads(raw.split(b"data: ", 1)[1])["error"]["message"] == "broken"
