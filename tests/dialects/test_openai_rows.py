"""Covers dialects/openai_rows.py: what the rows of a batch name, wherever the file is cut."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.errors import BadRequestError
from headgate.dialects import openai_rows
from headgate.dialects.openai_rows import row_names

PLAIN = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": []}}
NAMING = [
    ({"previous_response_id": "resp_1"}, "resp_1"),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "msg_1"),
    ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]}, "file-1"),
    ({"conversation": {"id": "conv_1"}}, "conv_1"),
    ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "vs_1"),
    ({"tools": [{"type": "code_interpreter", "container": "cntr_1"}]}, "cntr_1"),
]


def lines(*rows):
    """A batch file."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.mark.parametrize(("body", "name"), NAMING)
def test_what_a_row_names_is_found(body, name):
    """Wherever a request may name an object, between rows that name none."""
    assert row_names([lines(PLAIN, {**PLAIN, "body": body}, PLAIN)]) == (name,)


def test_a_name_in_disguise_is_found():
    """An escape is as good as its letter."""
    row = b'{"body": {"previous\\u005fresponse_id": "resp_1"}}'
    assert row_names([row]) == ("resp_1",)


@given(st.lists(st.integers(0, 700), max_size=20), st.booleans())
def test_it_does_not_matter_where_the_file_is_cut(cuts, ends):
    """Each name is found once, with a last line end and without."""
    rows = lines(*({**PLAIN, "body": body} for body, _ in NAMING), PLAIN, {**PLAIN, "body": NAMING[0][0]})
    whole = rows if ends else rows[:-1]
    edges = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    pieces = [whole[a:b] for a, b in pairwise(edges)]
    assert row_names(pieces) == tuple(name for _, name in NAMING)


@pytest.mark.parametrize("row", [b"{", b"[]", b"1", b'{"a": 1}{"b": 2}', b'"\xff"', b"\r\r{"])
def test_a_row_that_cannot_be_read_is_refused(row):
    """With its number."""
    with pytest.raises(BadRequestError, match="Row 2 of the batch is not a JSON object"):
        row_names([lines(PLAIN) + row + b"\n"])


def test_empty_lines_are_no_rows():
    """Nor is an empty file."""
    assert row_names([]) == row_names([b"\n \n\r\n"]) == ()


def test_what_is_too_much_is_refused(monkeypatch):
    """A row that is never over, and a file that names everything."""
    monkeypatch.setattr(openai_rows, "LONGEST", 10)
    with pytest.raises(BadRequestError, match="longer than"):
        row_names([b"{" + b" " * 20, b"}"])
    monkeypatch.setattr(openai_rows, "MOST_NAMES", 2)
    rows = ({"body": {"file_id": f"file-{number}"}} for number in range(3))
    with pytest.raises(BadRequestError, match="more than 2 files"):
        row_names([lines(*rows)])
