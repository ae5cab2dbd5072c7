"""White space that no reader misses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from headgate.policies.compress.space import paragraphs, spared

PIECES = [
    "a",
    "b c",
    " ",
    "  ",
    "\n",
    "\n",
    "\n\n",
    "\t",
    "\r\n",
    "- ",
    "1. ",
    "> ",
    "#",
    "*",
    "_",
    "    ",
    "`",
    "|",
    "x:",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("a \nb\tc", "a \nb\tc"),
        ("- \n\n\n- ", "- \n\n\n- "),
        ("a \nb", "a\nb"),
        ("a   \nb", "a  \nb"),
        ("a   \n\nb", "a\n\nb"),
        ("a \r\n\r\n \r\n\r\nb", "a\r\n\r\nb"),
        ("a\n\n\n\nb\n \nc", "a\n\nb\n\nc"),
        ("a\n\n\n", "a\n\n\n"),
        ("\n\n\na ", "\n\n\na "),
        ("a\n\n\n    code \n\n\nb", "a\n\n\n    code \n\n\nb"),
        ("- a \n  - b \n", "- a \n  - b \n"),
        ("a | b \nc | d ", "a | b \nc | d "),
        ("import os \n\n\nx", "import os \n\n\nx"),
        ("+added \n\n\nx", "+added \n\n\nx"),
        ("a  b \nc", "a  b\nc"),
        ("\xa0a\xa0 \nb\u2028 \n\u3000c", "\xa0a\xa0\nb\u2028\n\u3000c"),
    ],
)
def test_what_goes_and_what_stays(text, short):
    """Line breaks of Markdown, indentation, tables, code, diffs, columns, and both ends of the text stay."""
    assert spared(text) == short


def test_gaps_go_where_that_is_asked_for():
    """And without it, nothing between words."""
    assert spared("a   b \n\n\nc", lines=False, gaps=True) == "a b \n\n\nc"
    assert spared("a   b \n\n\nc", gaps=True) == "a b\n\nc"
    assert spared("a   b", gaps=True) == "a b"
    assert spared("x = 1    # y", gaps=True) == "x = 1    # y"


@settings(max_examples=200)
@given(TEXTS)
def test_a_reader_of_markdown_sees_the_same(text):
    """Rendered, it is the same text; code is the same to the byte; and there is nothing left to take away."""
    short = spared(text)
    assert MarkdownIt().enable("table").render(short) == MarkdownIt().enable("table").render(text)
    assert spared(short) == short
    assert len(short) <= len(text)
    assert short.split() == text.split()


@given(TEXTS)
def test_paragraphs_are_the_text(text):
    """Each with the blank lines behind it."""
    found = list(paragraphs(text))
    assert "".join(words + blanks for words, blanks in found) == text
    assert all(not blanks.strip() for _, blanks in found)
