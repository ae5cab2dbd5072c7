"""Covers cli/sheet.py: CSV that every reader takes, and no spreadsheet calculates."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.cli.sheet import FORMULAS, cell, line


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "=cmd|' /C calc'!A0", "＝1"]  # noqa: RUF001
)  # fmt: skip
def test_no_text_is_a_formula(text):
    """An apostrophe makes it text."""
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0, "0"), (-1.5, "-1.5"), (True, "true"), ("a", "a"), ("a=b", "a=b"), ("", ""), ([], "[]"),
     ({"a": "=b"}, '{"a":"=b"}')],
)  # fmt: skip
def test_other_values_are_what_they_are(value, text):
    """Numbers are numbers, nothing is empty, and what has parts is JSON."""
    assert cell(value) == text


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=5))
def test_every_reader_gets_what_was_written(cells):
    """Quotes, commas and line ends included; no cell begins like a formula."""
    text = line(cells)
    assert text.endswith("\r\n")
    (found,) = csv.reader(io.StringIO(text, newline=""))
    assert [one.removeprefix("'") if one not in cells else one for one in found] == cells
    assert not any(one.lstrip(" ").startswith(FORMULAS) for one in found)
