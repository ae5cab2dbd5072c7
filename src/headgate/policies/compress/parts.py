"""Which parts of a text are code, and are not touched.

Decides it in one pass over the lines, on the safe side: where two readers may disagree on where code ends, everything
behind that place is code. Refuses to know what becomes of the rest; code that is only indented is known to `space.py`.
"""

import re
from typing import Final, Literal, NamedTuple

Kind = Literal["prose", "fence", "code"]

_MARK: Final = re.compile(r"```|~~~|\"\"\"|'''|<(?:pre|code|script|style|textarea)\b", re.IGNORECASE)
_TAG: Final = re.compile(r"<(?:pre|code|script|style|textarea)\b", re.IGNORECASE)
_OPENS: Final = re.compile(r"( *)(`{3,}+|~{3,}+)([^`]*)\Z")
_RUN: Final = re.compile(r"`{3,}+|~{3,}+")
_QUOTES: Final = ('"""', "'''")


class Part(NamedTuple):
    """A part of a text.

    Attributes:
        kind: `fence` is a block between two lines of its own; `code` is whatever else is not touched.
        text: those of all parts, one after the other, are the text.
    """

    kind: Kind
    text: str


def parts(text: str) -> list[Part]:
    r"""Take a text apart.

    Example:
        >>> [part.kind for part in parts("Fix:\n```\nx = 1\n```\nThanks")]
        ['prose', 'fence', 'prose']
    """
    if _MARK.search(text) is None:
        return [Part("prose", text)]
    found: list[Part] = []
    kind: Kind = "prose"
    start = at = 0
    reader = _Reader()
    for line in text.split("\n"):
        before, after = reader.take(line)
        if before != kind:
            if at > start:
                # What was not closed is no block.
                found.append(Part("code" if kind == "fence" else kind, text[start:at]))
            start, kind = at, before
        at = min(at + len(line) + 1, len(text))
        if after != kind:
            # A fence ends with its last line, and another one may begin at once.
            found.append(Part(kind, text[start:at]))
            start, kind = at, after
    if len(text) > start:
        found.append(Part("code" if kind == "fence" else kind, text[start:]))
    return found


class _Reader:
    """Knows of each line what it is, and what follows."""

    def __init__(self) -> None:
        self._lost = False
        """Where code ends is not clear any more."""
        self._indent, self._mark = "", ""
        """How the fence began that is open."""
        self._quotes = ""
        """The quotation that is open."""

    def take(self, line: str) -> tuple[Kind, Kind]:
        """What a line is, and what begins behind it."""
        if self._lost:
            return "code", "code"
        if self._mark:
            return self._inside(line)
        if _MARK.search(line) is None:
            kind: Kind = "code" if self._quotes else "prose"
            return kind, kind
        opens = _OPENS.match(line)
        if opens is not None and not self._quotes and not _RUN.search(opens[3]):
            self._indent, self._mark = opens[1], opens[2]
            return "fence", "fence"
        return self._among(line)

    def _inside(self, line: str) -> tuple[Kind, Kind]:
        bare = line.strip(" \t\r>")
        closes = len(bare) >= len(self._mark) and set(bare) == {self._mark[0]}
        if (bare and not line.startswith(self._indent)) or (closes and line.rstrip() != self._indent + bare):
            # What stands further out may end the list that the fence stands in, and the fence with it; and whether it
            # is closed by one that stands further in depends on what is around it.
            self._lost = True
            return "code", "code"
        if not closes:
            return "fence", "fence"
        self._mark = ""
        return "fence", "prose"

    def _among(self, line: str) -> tuple[Kind, Kind]:
        """A line with marks in it that is no fence by itself."""
        runs = _RUN.findall(line)
        odd = [quotes for quotes in _QUOTES if line.count(quotes) % 2]
        # In pairs, they are code within a line.
        if _TAG.search(line) or "~~~" in line or len(runs) % 2 or len(set(runs)) > 1 or len(odd) > 1:
            self._lost = True
            return "code", "code"
        if odd and self._quotes in {"", odd[0]}:
            self._quotes = "" if self._quotes else odd[0]
        return "code", "code" if self._quotes else "prose"
