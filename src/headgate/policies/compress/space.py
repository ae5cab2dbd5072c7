"""White space that no reader misses.

Decides what that is in a part of a text without code: spaces behind the end of a line, and blank lines after the first
one between two paragraphs. Whatever white space may say something stays: at the beginning of a line (lists, code,
YAML), two spaces at the end of one (a line break in Markdown), between words (a column), at the ends of the text, and
everywhere in paragraphs that may be something else than prose.
"""

import re
from collections.abc import Iterator
from typing import Final

_WORTH: Final = re.compile(r"[ \t]\r?\n|\n[ \t\r]*+\n[ \t\r]*+\n")
_OTHER: Final = re.compile(
    # Indented; signs of code, markup and tables; a diff; an empty entry of a list; words that begin code.
    r"^[ ]|[`<>{}|\\=;~^$\t\0]|\r(?!\n|\Z)|^[+-](?! )|^(?:[-*+]|\d{1,9}[.)]) *+\r?$|"
    r"^(?:import|from|def|class|async|return|const|let|var|function|using|package|@\w|#!|#include)\b",
    re.MULTILINE,
)
_GAP: Final = re.compile(r"(?<=\S) {2,}+(?=\S)")


def paragraphs(text: str) -> Iterator[tuple[str, str]]:
    r"""The paragraphs of a text, each with the blank lines behind it. Paragraph or blank lines may be empty.

    Example:
        >>> list(paragraphs("a\nb\n\n \nc"))
        [('a\nb\n', '\n \n'), ('c', '')]
    """
    start = blank = at = 0
    for line in text.split("\n"):
        end = min(at + len(line) + 1, len(text))
        if line.strip(" \t\r"):
            if blank < at:
                yield text[start:blank], text[blank:at]
                start = at
            blank = end
        at = end
    yield text[start:blank], text[blank:]


def is_prose(paragraph: str) -> bool:
    """Whether a paragraph is nothing else than words."""
    return _OTHER.search(paragraph) is None


def spared(text: str, *, lines: bool = True, gaps: bool = False) -> str:
    r"""The text without what no reader misses.

    Args:
        text: has no code in it but for what is indented.
        lines: space behind lines and between paragraphs goes.
        gaps: several spaces between words become one.

    Example:
        >>> spared("One. \nTwo.  \nThree.\n\n\nFour. ")
        'One.\nTwo.  \nThree.\n\nFour. '
    """
    if not (lines and _WORTH.search(text)) and not (gaps and "  " in text):
        return text
    pieces: list[str] = []
    was_prose = False
    blanks = ""
    for paragraph, after in paragraphs(text):
        prose = bool(paragraph) and is_prose(paragraph)
        words = paragraph
        if prose and lines:
            if was_prose:
                blanks = "\r\n" if blanks.endswith("\r\n") else "\n"
            words = _trimmed(words, ends=bool(after))
        if prose and gaps:
            words = _GAP.sub(" ", words)
        pieces += (blanks, words)
        was_prose, blanks = prose, after
    return "".join((*pieces, blanks))


def _trimmed(paragraph: str, *, ends: bool) -> str:
    """A paragraph of prose without space behind its lines; `ends`: blank lines follow."""
    lines = paragraph.split("\n")
    # Behind the last line break is nothing, or the end of the text, which stays as it is.
    last = len(lines) - 1
    for number, line in enumerate(lines[:last]):
        breaks = line.removesuffix("\r").endswith("  ") and not (ends and number == last - 1)
        lines[number] = line.rstrip(" \t\r") + "  " * breaks + "\r" * line.endswith("\r")
    return "\n".join(lines)
