"""What a batch is made of."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.batch_input import Row, check_rows, read_batch
from headgate.providers.simulator.problem import Problem

CHAT = "/v1/chat/completions"
WISH = {"input_file_id": "file-1", "endpoint": CHAT, "completion_window": "24h"}
ROW = {"custom_id": "a", "method": "POST", "url": CHAT, "body": {"model": "fake", "messages": []}}


def known(name):
    """There are two models."""
    return name in ("fake", "real")


def check(*rows, endpoint=CHAT):
    """Look at rows, given as objects or as bytes."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    return check_rows((b"\n".join(lines),), endpoint, known)


def wrong(*rows):
    """Line, code and parameter of each error."""
    return [(error.line, error.code, error.param) for error in check(*rows).errors]


def body(**fields):
    """A row with another body; None leaves a field out."""
    return ROW | {"body": {name: value for name, value in (ROW["body"] | fields).items() if value is not None}}


def test_rows():
    """Blank lines and line ends of all kinds do not matter; bodies stay as they are."""
    raw = (
        b'\n  \r\n{"custom_id":"b","method":"POST","url":"/v1/chat/completions","body":{"model":"fake", "messages":1}}'
    )
    checked = check(ROW, raw + b"\r\n", b"")
    assert checked.errors == []
    assert checked.rows == [Row("a", json.dumps(ROW["body"]).encode()), Row("b", b'{"model":"fake", "messages":1}')]
    assert checked.model == "fake"


def test_rows_across_parts():
    """A file that was uploaded in parts is read as a whole."""
    text = json.dumps(ROW).encode()
    assert len(check_rows((text[:20], memoryview(text)[20:]), CHAT, known).rows) == 1


def test_every_wrong_line_is_told():
    """With its number, in the API's codes; a right one between them is none of them."""
    assert wrong(
        b"{bad",
        b"",
        b"[1]",
        ROW,
        {name: value for name, value in ROW.items() if name != "custom_id"},
        ROW | {"custom_id": "m", "method": "GET"},
        ROW | {"custom_id": "u", "url": "/v1/embeddings"},
        ROW | {"custom_id": "t", "url": 3},
        ROW,
        body() | {"custom_id": "s", "body": {**ROW["body"], "stream": True}},
        body(model="nobody") | {"custom_id": "n"},
        body(model="real") | {"custom_id": "r"},
        body(model=None) | {"custom_id": "x"},
        body(messages=None) | {"custom_id": "y"},
        ROW | {"custom_id": "z", "body": "text"},
    ) == [
        (1, "invalid_json_line", None),
        (3, "invalid_json_line", None),
        (5, "missing_required_parameter", "custom_id"),
        (6, "invalid_value", "method"),
        (7, "invalid_url", "url"),
        (8, "invalid_type", "url"),
        (9, "duplicate_custom_id", "custom_id"),
        (10, "streaming_unsupported", "body.stream"),
        (11, "model_not_found", "body.model"),
        (12, "mismatched_model", "body.model"),
        (13, "invalid_request", "body.model"),
        (14, "invalid_request", "body.messages"),
        (15, "invalid_type", "body"),
    ]


def test_the_words():
    """Of some that callers know."""
    found = {error.code: error.message for error in check(b"{", body(model="nobody"), body(stream=True)).errors}
    assert found["invalid_json_line"] == "This line is not parseable as valid JSON."
    assert found["model_not_found"] == "The provided model 'nobody' is not supported by the Batch API."
    assert check(body(stream=True)).errors[0].message == (
        "Chat Completions: Streaming is not supported in the Batch API."
    )


def test_no_rows_and_too_many():
    """An error without a line; 50,000 are not too many, and no more than 100 errors are told."""
    assert wrong(b"\n \n") == [(None, "empty_file", None)]
    many = [ROW | {"custom_id": str(number)} for number in range(50_001)]
    assert wrong(*many) == [(None, "too_many_tasks", None)]
    assert len(check(*many[1:]).rows) == 50_000
    assert len(wrong(*[b"{"] * 1000)) == 100


def test_a_stream_that_is_not_one():
    """`stream: false` asks for none."""
    assert wrong(body(stream=False)) == []


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_anything_in_a_file(lines):
    """Never more than an error."""
    assert check(*lines).errors or not lines or all(not line.strip() for line in lines)


def test_a_wish():
    """As it was asked for."""
    policy = {"anchor": "created_at", "seconds": 7200}
    asked = read_batch(json.dumps(WISH | {"metadata": {"a": "b"}, "output_expires_after": policy}).encode())
    assert (asked.input_file_id, asked.endpoint, asked.metadata, asked.output_seconds) == (
        "file-1", CHAT, {"a": "b"}, 7200,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"endpoint": "/v1/videos"}, "invalid_value", "endpoint"),
        ({"completion_window": "1h"}, "invalid_value", "completion_window"),
        ({"input_file_id": None}, "invalid_type", "input_file_id"),
        ({"metadata": 3}, "invalid_type", "metadata"),
        ({"metadata": {"tags": ["a"]}}, "invalid_type", "metadata.tags"),
        ({"metadata": {str(n): "" for n in range(17)}}, "object_above_max_properties", "metadata"),
        ({"metadata": {"a": "b" * 513}}, "string_above_max_length", "metadata.a"),
        ({"output_expires_after": {"anchor": "x", "seconds": 1}}, "invalid_value", "output_expires_after.anchor"),
    ],
    ids=str,
)
def test_refusals(fields, code, param):
    """Each names its field."""
    with pytest.raises(Problem) as caught:
        read_batch(json.dumps(WISH | fields).encode())
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)


@given(st.binary(max_size=60))
def test_any_wish(raw):
    """Never more than a refusal."""
    with suppress(Problem):
        read_batch(raw)
