r"""Patterns in RE2's syntax: how long a match can be, and how the beginning of a match looks.

Decides both from the pattern alone, so that a stream is held back exactly as long as the words that have come may be
the beginning of a match. Refuses to know whether a pattern is valid (RE2 says so) and what it is for.

The beginning of a match (`Shape.begun`) is again a pattern: it matches what has been read of a match when more has to
come, or may come. For `ab{2,3}` it is nothing, `a`, `ab` and `abb`; for `ab{2,3}$`, where the end has to be seen, also
`abbb`.
"""

import re
from typing import NamedTuple

_REPEAT = re.compile(r"\{(?P<least>\d+)(?P<open>,(?P<most>\d*))?\}")
_GROUP = re.compile(r"\(\?(?:P?<[^>]*>|(?P<flags>[imsU-]*):)")
_FLAGS = re.compile(r"\(\?(?P<flags>[imsU-]+)\)")
_ESCAPE = re.compile(
    r"\\(?:[pP](?:\{[^}]*\}|.)|x(?:\{[0-9A-Fa-f]+\}|[0-9A-Fa-f]{2})|[0-7]{1,3}|[dDsSwWaftnrv]|[^0-9A-Za-z])", re.DOTALL
)
_CLASS = re.compile(r"\[\^?\]?(?:\[:\^?[a-z]+:\]|\\[pP]\{[^}]*\}|\\.|[^\]\\])*\]", re.DOTALL)
_ASSERTIONS = (r"\b", r"\B", r"\A", r"\z")
_LITERAL = r"\Q"
_DEEPEST = 200


class UnclearError(ValueError):
    """The pattern may be a good one, but how long its matches are cannot be told."""


class Shape(NamedTuple):
    """What is known of a pattern, or of a part of one.

    Attributes:
        text: the pattern, without capturing groups.
        least, most: characters of the shortest and the longest match; None where there is no longest one.
        begun: matches what has been read of a match that is not complete, or may go on. Empty: nothing has to be read.
    """

    text: str
    least: int
    most: int | None
    begun: str = ""


_NOTHING = Shape("", 0, 0)


def shape(pattern: str) -> Shape:
    r"""Read a pattern that RE2 has taken.

    Raises:
        UnclearError: it holds something of which the length cannot be told.

    Example:
        >>> shape(r"\bact now\b").most, shape("a+").most, shape("(?i)colou?r").least
        (7, None, 5)
    """
    flags = _FLAGS.match(pattern)
    reader = _Reader(pattern if flags is None else pattern[flags.end() :])
    found = reader.alternatives()
    if reader.at < len(reader.pattern):
        message = f"`{reader.pattern[reader.at]}` at {reader.at} is not understood"
        raise UnclearError(message)
    return found if flags is None else _flagged(found, flags["flags"])


def _flagged(inner: Shape, flags: str) -> Shape:
    return Shape(f"(?{flags}:{inner.text})", inner.least, inner.most, inner.begun and f"(?{flags}:{inner.begun})")


def _either(parts: list[Shape]) -> Shape:
    if len(parts) == 1:
        return parts[0]
    longest = [part.most for part in parts]
    most = None if None in longest else max(part.most or 0 for part in parts)
    # An empty branch stands for nothing that has been read.
    begun = "|".join(dict.fromkeys(part.begun for part in parts))
    text = "|".join(part.text for part in parts)
    return Shape(f"(?:{text})", min(part.least for part in parts), most, f"(?:{begun})" if begun else "")


def _after(first: Shape, rest: Shape) -> Shape:
    """One after the other: what has begun is of the first, or all of the first and what has begun of the rest."""
    most = None if first.most is None or rest.most is None else first.most + rest.most
    # Of what cannot be read in part, nothing has begun; behind an assertion, nothing has been read either.
    begun = f"(?:{first.begun}|{first.text}{rest.begun})"
    return Shape(first.text + rest.text, first.least + rest.least, most, begun)


def _repeated(inner: Shape, least: int, most: int | None, mark: str) -> Shape:
    text = f"(?:{inner.text}){mark}"
    longest = 0 if most == 0 or inner.most == 0 else None if most is None or inner.most is None else inner.most * most
    before = "*" if most is None else f"{{0,{most - 1}}}" if most > 1 else None
    begun = inner.begun if before is None else f"(?:{inner.text}){before}{inner.begun}"
    return Shape(text, inner.least * least, longest, begun if most != 0 else "")


class _Reader:
    """Reads one pattern from left to right."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self._depth = 0

    def alternatives(self) -> Shape:
        """What stands between two parentheses."""
        self._depth += 1
        if self._depth > _DEEPEST:
            message = "it is nested too deeply"
            raise UnclearError(message)
        parts = [self._sequence()]
        while self.pattern.startswith("|", self.at):
            self.at += 1
            parts.append(self._sequence())
        self._depth -= 1
        return _either(parts)

    def _sequence(self) -> Shape:
        parts: list[Shape] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            if self.pattern.startswith(_LITERAL, self.at):
                parts += self._literal()
            else:
                parts.append(self._one())
            if parts:
                parts[-1] = self._repeats(parts[-1])
        if not parts:
            return _NOTHING
        *before, found = parts
        for part in reversed(before):
            found = _after(part, found)
        return found

    def _literal(self) -> list[Shape]:
        start = self.at + len(_LITERAL)
        end = self.pattern.find(r"\E", start)
        self.at = len(self.pattern) if end < 0 else end + 2
        inside = self.pattern[start : len(self.pattern) if end < 0 else end]
        return [Shape(re.escape(char) if char.isascii() else char, 1, 1) for char in inside]

    def _one(self) -> Shape:
        pattern, at = self.pattern, self.at
        char = pattern[at]
        if char == "(":
            return self._group()
        if char in "^$" or pattern[at : at + 2] in _ASSERTIONS:
            self.at += 1 if char in "^$" else 2
            return Shape(pattern[at : self.at], 0, 0)
        if char in "[\\":
            found = (_CLASS if char == "[" else _ESCAPE).match(pattern, at)
            if found is None:
                message = f"`{pattern[at : at + 2]}` at {at} is not understood"
                raise UnclearError(message)
            self.at = found.end()
            return Shape(found[0], 1, 1)
        self.at += 1
        # A brace that repeats nothing is read as itself, wherever it will stand.
        return Shape("\\" + char if char in "{}]" else char, 1, 1)

    def _group(self) -> Shape:
        found = _GROUP.match(self.pattern, self.at)
        if found is None and self.pattern.startswith("(?", self.at):
            message = f"`{self.pattern[self.at : self.at + 4]}` may only stand at the beginning"
            raise UnclearError(message)
        self.at = self.at + 1 if found is None else found.end()
        inner = self.alternatives()
        self.at += 1
        flags = found["flags"] if found else None
        if flags:
            return _flagged(inner, flags)
        return inner._replace(text=f"(?:{inner.text})")

    def _repeats(self, shape: Shape) -> Shape:
        while self.at < len(self.pattern):
            char = self.pattern[self.at]
            found = _REPEAT.match(self.pattern, self.at) if char == "{" else None
            if char not in "*+?" and found is None:
                return shape
            begin = self.at
            self.at = begin + 1 if found is None else found.end()
            if self.pattern.startswith("?", self.at):
                self.at += 1
            mark = self.pattern[begin : self.at]
            if found is None:
                least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
            else:
                least = int(found["least"])
                most = least if found["open"] is None else int(found["most"]) if found["most"] else None
            shape = _repeated(shape, least, most, mark)
        return shape
