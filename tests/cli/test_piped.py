"""What is piped in."""

import io
import sys

import pytest

from headgate.cli import piped
from headgate.core.errors import BadRequestError


@pytest.fixture
def stdin(monkeypatch):
    """Pipe bytes in."""

    def pipe(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return pipe


def test_a_text_whole(stdin):
    """As UTF-8, whatever the locale says."""
    stdin("é\n\n".encode())
    assert piped.text() == "é\n\n"
    stdin(b"a\xff")
    with pytest.raises(BadRequestError, match="byte 1"):
        piped.text()


def test_arguments_or_lines(stdin):
    """`-` stands for the lines of stdin."""
    assert piped.lines(["a", "b c"]) == ["a", "b c"]
    stdin(b"a\r\nb c\n")
    assert piped.lines(["-"]) == ["a", "b c"]


@pytest.mark.parametrize(
    ("arguments", "data", "told"),
    [
        (["a", "-"], b"", "stands for all texts"),
        (["a", " "], b"", "Text 2 is empty"),
        (["-"], b"a\n\nb\n", "Line 2 is empty"),
        (["-"], b"", "Nothing was piped in"),
    ],
)
def test_no_line_is_skipped(stdin, arguments, data, told):
    """Else the lines that come out would not be those that went in."""
    stdin(data)
    with pytest.raises(BadRequestError, match=told):
        piped.lines(arguments)
