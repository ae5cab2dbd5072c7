"""Datasets: rows, and lines that are none."""

import asyncio

import pytest

from headgate.apps.evals.dataset import Bad, read
from headgate.core.errors import BadRequestError


def dataset(tmp_path, content, name="d.jsonl"):
    """Write it and read it."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return asyncio.run(read(path))


def test_rows_and_lines_that_are_none(tmp_path):
    """Each with its line; what is no row says why, and stops nothing."""
    deep = b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    found = dataset(tmp_path, b'\xef\xbb\xbf{"q": "x", "n": 1.50}\n\nno\n[1]\n{"q": "\xff"}\n' + deep + b"\n{}\n")
    assert [(one.line, one.bad and one.bad.code) for one in found.examples] == [
        (1, None), (3, "invalid_json"), (4, "invalid_json"), (5, "invalid_utf8"), (6, "invalid_json"), (7, None)
    ]  # fmt: skip
    first = found.examples[0]
    assert (first.text("q"), first.text("n"), first.values()) == ("x", "1.50", {"q": "x", "n": 1.5})
    with pytest.raises(Bad, match="Line 1 has no `z`"):
        first.text("z")


def test_a_sheet(tmp_path):
    """Records over several lines; one with another number of fields is no row."""
    found = dataset(tmp_path, 'q, answer\n"two\nlines",2\na,b,c\n', "d.csv")
    assert [(one.line, one.bad and one.bad.code) for one in found.examples] == [(2, None), (4, "malformed_row")]
    assert found.examples[0].values() == {"q": "two\nlines", "answer": "2"}


def test_a_field_that_no_row_has_is_a_wrong_name(tmp_path):
    """One that only some rows lack is not."""
    found = dataset(tmp_path, '{"q": 1}\n{"q": 2, "answer": 3}\n')
    found.require("answer", "is wanted")
    with pytest.raises(BadRequestError, match="has the field 'z', which is wanted; there are: q, answer"):
        found.require("z", "is wanted")


@pytest.mark.parametrize("content", ["", "\n\n", "no row\n"])
def test_without_a_row_there_is_nothing_to_ask(tmp_path, content):
    """The first reason is told."""
    with pytest.raises(BadRequestError, match="has no row"):
        dataset(tmp_path, content)


def test_what_changes_a_row_changes_the_mark(tmp_path):
    """An evaluation that goes on knows its dataset by it."""
    one, same, other = (dataset(tmp_path, text).mark for text in ('{"a":1}\n', '{"a":1}\n\n', '{"a":2}\n'))
    assert one == same != other
