"""Covers jobs/batch/reading.py: what a provider's files and words are read as."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.call import Operation
from headgate.jobs.batch.reading import as_asked, flaws_of, read_result
from headgate.jobs.batch.wire import Remote
from headgate.jobs.row import Row


def result(**changes):
    """A line of an output file."""
    line = {
        "id": "x",
        "custom_id": "7:a",
        "response": {"status_code": 200, "request_id": "r", "body": {}},
        "error": None,
    }
    return msgspec.json.encode({**line, **changes})


def remote(*errors):
    """A batch that failed."""
    return msgspec.convert({"id": "b", "status": "failed", "errors": {"data": list(errors)}}, Remote)


def test_an_answer_is_read_with_its_row():
    """Number, name, status, body, request, and the end user, who is known from elsewhere."""
    found = read_result(result(), {7: "ann"})
    assert (found.number, found.name, found.request_id) == (7, "a", "r")
    assert (found.answered.status, found.answered.body, found.answered.user) == (200, b"{}", "ann")


@pytest.mark.parametrize("code", ["batch_expired", "batch_cancelled", "request_timeout"])
def test_what_has_no_response_was_not_answered(code):
    """Whatever the reason: the row goes on, or comes back."""
    assert read_result(result(response=None, error={"code": code, "message": "m"}), {}) is None


@pytest.mark.parametrize(
    "line",
    [result(custom_id="other"), result(response={"status_code": "200", "body": {}}), b"{", b"[" * 100_000, b"\xff"],
)
def test_what_cannot_be_read_was_not_answered(line):
    """A lying or broken provider loses us nothing: the row is asked again."""
    assert read_result(line, {}) is None


@given(st.binary())
def test_no_bytes_break_the_reading(line):
    """Of a file that anybody wrote."""
    assert read_result(line, {}) is None


def test_flaws_are_told_by_line_or_of_the_whole():
    """Where single lines are named, the rest can go on; where not even a reason is given, nothing can."""
    lines, whole = flaws_of(
        remote({"code": "x", "message": "no", "line": 3}, {"message": "later", "line": 3}, {"line": 5})
    )
    assert (lines[3].code, lines[3].message, lines[5].code, whole) == ("x", "no", "invalid_request", None)
    lines, whole = flaws_of(remote({"code": "token_limit_exceeded", "message": "full"}))
    assert (lines, whole.code) == ({}, "token_limit_exceeded")
    assert flaws_of(remote())[1].code == "batch_failed"


def test_a_row_comes_back_as_it_would_be_asked_at_once():
    """By the name that the job asked for, not by the target's."""
    back = as_asked(Row(number=1, id="a", operation=Operation.CHAT, body=b'{"model": "gpt-6-luna", "x": 1}'), "fast")
    assert back.body == b'{"model": "fast", "x": 1}'
