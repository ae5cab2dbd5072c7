"""Covers dialects/openai_objects.py: what answers bring into the world, lists, and replays."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.core.errors import APIError, BadRequestError, GarbledError
from headgate.core.reply import Kind
from headgate.core.upload import Form, Part
from headgate.dialects.openai_objects import Entry, Page, read_page, write_page
from headgate.dialects.registry import DIALECTS
from headgate.dialects.sse import Decoder, ServerEvent

FILES = DIALECTS[Operation.FILES]
UPLOADS = DIALECTS[Operation.UPLOADS]
BATCHES = DIALECTS[Operation.BATCHES]
STORED = DIALECTS[Operation.STORED]


def made(dialect, answer) -> tuple[str, ...]:
    """The ids that an answer brings into the world."""
    return dialect.read_answer(json.dumps(answer).encode()).made


def test_requests_name_objects():
    """The input of a batch; whatever stands in a form; an empty body names nothing."""
    batch = b'{"input_file_id": "file-1", "endpoint": "/v1/responses", "metadata": {"file_id": "x"}}'
    assert BATCHES.read_request(batch).names == ("file-1",)
    assert BATCHES.read_request(rb'{"input\u005ffile_id": "file-1"}').names == ("file-1",)
    assert STORED.read_request(b"").names == ()
    assert UPLOADS.read_request(b'{"part_ids": ["part_1"]}').names == ()
    form = Form([Part("purpose", b"", b"batch"), Part("x[file_id]", b"", b"file-2")], "b")
    assert FILES.read_request(form).names == ("file-2",)
    facts = FILES.read_request(form)
    assert (facts.model, facts.stream, facts.user) == (None, False, None)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"[]", "invalid_json"),
        (b" ", "invalid_json"),
        (b'{"input_file_id": "mine", "input_file_id": "theirs"}', "duplicate_field"),
        (b'{"input_file_id": "mine", "Input_File_Id": "theirs"}', "duplicate_field"),
        (b'{"INPUT_FILE_ID": "theirs"}', "misspelled_field"),
        (rb'{"input_file_id": "mine", "input_\u0066ile_id": "theirs"}', "duplicate_field"),
    ],
)
def test_an_ambiguous_request_is_refused(raw, code):
    """Two parsers must not see two batches."""
    with pytest.raises(BadRequestError) as caught:
        BATCHES.read_request(raw)
    assert caught.value.code == code


def test_the_body_passes_as_it_came():
    """No model is set where none is asked."""
    body = Body(b'{"input_file_id": "file-1"}')
    assert BATCHES.prepare(body, model="m", stream=False) is body


@pytest.mark.parametrize(
    ("answer", "ids"),
    [
        ({"id": "file-1", "object": "file"}, ("file-1",)),
        ({"id": "batch_1", "output_file_id": None, "error_file_id": None}, ("batch_1",)),
        ({"id": "batch_1", "output_file_id": "file-2", "error_file_id": "file-3"}, ("batch_1", "file-2", "file-3")),
        ({"id": "upload_1", "file": {"id": "file-2"}}, ("upload_1", "file-2")),
        ({"id": "upload_1", "file": None}, ("upload_1",)),
        ({"id": "upload_1", "file": "file-2", "output": "words"}, ("upload_1",)),
        ({"id": "resp_1", "output": [{"id": "msg_1"}, {"type": "x"}]}, ("resp_1", "msg_1")),
        ({"id": "resp_1", "output": [{"id": "ci_1", "container_id": "cntr_1"}]}, ("resp_1", "ci_1", "cntr_1")),
        ({"object": "list", "data": [{"id": "msg_1"}]}, ()),
        ({"id": 7, "output_file_id": ["x"]}, ()),
    ],
)
def test_what_an_answer_brings_into_the_world(answer, ids):
    """The object, the files of a batch and of an upload, the items of a response and where they ran."""
    for dialect in (FILES, UPLOADS, BATCHES, STORED):
        assert made(dialect, answer) == ids


def test_a_batch_costs_when_it_runs():
    """Its beginning is an answer whose cost is not known yet."""
    raw = b'{"id": "batch_1", "status": "validating"}'
    assert BATCHES.read_answer(raw).pending
    assert not BATCHES.read_answer(raw.replace(b"validating", b"completed")).pending
    assert not FILES.read_answer(raw).pending


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"<html>", b'{"id": "\xff"}'])
def test_an_answer_that_is_none(raw):
    """Garbled."""
    with pytest.raises(GarbledError):
        FILES.read_answer(raw)


ENTRIES = st.lists(
    st.fixed_dictionaries(
        {"id": st.text("abc-_", min_size=1, max_size=6), "x": st.none() | st.integers() | st.text(max_size=5)}
    ),
    max_size=5,
)


@given(ENTRIES, st.booleans())
def test_a_page_that_is_written_reads_the_same(entries, more):
    """Objects keep their bytes, first and last are named, and nothing is added."""
    raw = json.dumps({"object": "list", "data": entries, "has_more": more, "first_id": "lies"}).encode()
    page = read_page(raw)
    assert [entry.id for entry in page.entries] == [entry["id"] for entry in entries]
    written = json.loads(write_page(page))
    assert written == {
        "object": "list",
        "data": entries,
        "first_id": entries[0]["id"] if entries else None,
        "last_id": entries[-1]["id"] if entries else None,
        "has_more": more,
    }
    assert read_page(write_page(page)) == page


def test_the_bytes_of_an_entry_are_the_providers():
    """Spaces, escapes and long numbers included."""
    raw = rb'{"id" : "a", "n": 1e400, "t": "\u00e9"}'
    assert raw in write_page(read_page(b'{"data": [' + raw + b"]}"))
    assert write_page(Page([Entry("a", msgspec.Raw(raw))], more=True)).count(raw) == 1


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"data": {}}', b'{"data": [1]}', b'{"data": null}', b"[]"])
def test_a_list_that_is_none(raw):
    """Garbled: nobody filters what cannot be read."""
    with pytest.raises(GarbledError):
        read_page(raw)


def test_a_server_that_tells_no_more_has_no_more():
    """Many servers know no pages."""
    assert read_page(b'{"data": [{"id": "a"}]}') == Page([Entry("a", msgspec.Raw(b'{"id": "a"}'))], more=False)
    assert not read_page(b'{"data": [], "has_more": null}').more


def replay(*events: object) -> bytes:
    """A stream, as it travels."""
    return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in events)


@pytest.mark.parametrize("state", ["completed", "incomplete", "failed", "cancelled"])
@given(st.lists(st.integers(0, 250), max_size=5))
def test_a_replay_ends_where_the_response_does(state, cuts):
    """However it is cut; its items are known by then; its usage was told when it was made."""
    response = {"id": "resp_1", "output": [{"id": "msg_1"}], "usage": {"input_tokens": 3, "output_tokens": 2}}
    raw = replay(
        {"type": "response.created", "response": {"id": "resp_1"}},
        {"type": "response.output_text.delta", "delta": "Hi"},
        {"type": f"response.{state}", "response": response},
    )
    decoder, reader = Decoder(), STORED.read_stream(usage_wanted=True)
    read = []
    points = [0, *sorted(cut for cut in cuts if cut < len(raw)), len(raw)]
    for at, start in enumerate(points[:-1]):
        read += [reader.read(each) for each in decoder.feed(raw[start : points[at + 1]])]
        assert reader.complete is (points[at + 1] == len(raw))
    assert [each.kind for each in read] == [Kind.CONTENT, Kind.CONTENT, Kind.TERMINAL]
    assert read[-1].made == ("resp_1", "msg_1")
    assert all(each.usage is None for each in read)
    assert b"".join(each.raw for each in read) == raw
    assert reader.read(ServerEvent(b"", b"[DONE]", b"x")).kind is Kind.TRAILER


def test_a_replay_that_cannot_be_read():
    """Garbled, and not complete; a comment and an early end mark say nothing."""
    reader = STORED.read_stream(usage_wanted=True)
    assert reader.read(ServerEvent(b"", b"", b": hi\n\n")).kind is Kind.PREAMBLE
    assert reader.read(ServerEvent(b"", b"[DONE]", b"x")).kind is Kind.PREAMBLE
    with pytest.raises(GarbledError):
        reader.read(ServerEvent(b"", b"{", b"x"))
    assert not reader.complete


def test_errors_in_a_replay_are_those_of_responses():
    """Elsewhere they are plain."""
    error = APIError("broken", code="x")
    told = json.loads(STORED.write_error(error, sequence=4).split(b"data: ", 1)[1])
    assert (told["type"], told["sequence_number"], told["error"]["message"]) == ("error", 4, "broken")
    plain = json.loads(FILES.write_error(error, sequence=4).split(b"data: ", 1)[1])
    assert set(plain) == {"error"}
