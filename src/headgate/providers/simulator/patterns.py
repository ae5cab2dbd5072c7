"""Texts that fit a regular expression, as JSON schemas use them.

Reads the common part of the language: literals, classes, groups, alternatives, repetitions, anchors at the ends.
Look-around, back references and word boundaries are not generated; the caller verifies what it gets.
"""

import re
from typing import NamedTuple

from headgate.providers.simulator.dice import Dice

_PRINTABLE = tuple(chr(code) for code in range(32, 127))
_DIGITS = tuple("0123456789")
_WORD = tuple("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_SPACE = (" ", "\t", "\n", "\r")
_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": (" ",)}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}
_MORE = 3
"""How many more than the least an open repetition gives at most."""
_LONGEST = 20_000
_DEEPEST = 50
_NUMBER = re.compile("[0-9]{1,5}")


class UnreadablePattern(Exception):  # noqa: N818  a finding, not a failure
    """The expression uses more of the language than is known here."""


def matching(pattern: str, dice: Dice, *, more: int = _MORE) -> str:
    """A text that fits a pattern.

    Args:
        pattern: the expression.
        dice: chooses among alternatives.
        more: how many more than the least an open repetition (`*`, `+`, `{2,}`) gives at most.

    Raises:
        UnreadablePattern: the expression cannot be generated from.

    Example:
        >>> matching("^[A]{2}-0+$", Dice(b"x"), more=0)
        'AA-0'
    """
    reader = _Reader(pattern)
    group = reader.group(0)
    if reader.at < len(pattern):
        raise UnreadablePattern(pattern)
    said: list[str] = []
    _say(group, dice, more, said)
    return "".join(said)


class _Group(list["list[_Piece]"]):
    """Alternatives; each is a sequence of pieces."""


class _Piece(NamedTuple):
    """Something that is repeated: one of some characters, or a group. `most` is None where there is no end."""

    what: tuple[str, ...] | _Group
    least: int = 1
    most: int | None = 1


def _say(group: _Group, dice: Dice, more: int, said: list[str]) -> None:
    for piece in dice.pick(group):
        most = piece.least + more if piece.most is None else min(piece.most, piece.least + 16)
        for _ in range(dice.between(piece.least, most)):
            if len(said) > _LONGEST:
                raise UnreadablePattern
            if isinstance(piece.what, _Group):
                _say(piece.what, dice, more, said)
            elif piece.what:
                said.append(dice.pick(piece.what))


class _Reader:
    """Reads an expression from left to right."""

    def __init__(self, pattern: str) -> None:
        self.at = 0
        self._pattern = pattern

    def group(self, depth: int) -> _Group:
        """Alternatives up to the end or the closing parenthesis."""
        if depth > _DEEPEST:
            raise UnreadablePattern(self._pattern)
        pieces: list[_Piece] = []
        group = _Group([pieces])
        while (char := self._peek()) not in ("", ")"):
            if char == "|":
                self.at += 1
                pieces = []
                group.append(pieces)
                continue
            what = self._atom(depth)
            least, most = self._repetition()
            pieces.append(_Piece(what, least, most))
        return group

    def _peek(self) -> str:
        return self._pattern[self.at] if self.at < len(self._pattern) else ""

    def _next(self) -> str:
        found = self._peek()
        if not found:
            raise UnreadablePattern(self._pattern)
        self.at += 1
        return found

    def _repetition(self) -> tuple[int, int | None]:
        mark = self._peek()
        bounds: tuple[int, int | None]
        if mark == "*":
            bounds = (0, None)
        elif mark == "+":
            bounds = (1, None)
        elif mark == "?":
            bounds = (0, 1)
        elif mark == "{":
            end = self._pattern.find("}", self.at)
            low, comma, high = self._pattern[self.at + 1 : max(end, 0)].partition(",")
            if not _NUMBER.fullmatch(low) or (high and not _NUMBER.fullmatch(high)):
                raise UnreadablePattern(self._pattern)
            bounds = (int(low), int(high) if high else None if comma else int(low))
            if bounds[1] is not None and bounds[1] < bounds[0]:
                raise UnreadablePattern(self._pattern)
            self.at = end
        else:
            return 1, 1
        self.at += 1
        if self._peek() == "?":  # lazy: the same texts
            self.at += 1
        return bounds

    def _atom(self, depth: int) -> "tuple[str, ...] | _Group":
        found = self._next()
        if found in "^$":
            return ()
        if found == "(":
            if self._peek() == "?":
                if self._pattern[self.at : self.at + 2] != "?:":
                    raise UnreadablePattern(self._pattern)
                self.at += 2
            group = self.group(depth + 1)
            self._next()
            return group
        if found == "[":
            return self._class()
        if found == ".":
            return _LETTERS
        if found == "\\":
            return self._escape()
        if found in "*+?{":
            raise UnreadablePattern(self._pattern)
        return (found,)

    def _escape(self) -> tuple[str, ...]:
        found = self._next()
        if found in _CLASSES:
            return _CLASSES[found]
        if found in "DWS":
            lacks = {"D": _DIGITS, "W": _WORD, "S": _SPACE}[found]
            return tuple(char for char in _PRINTABLE if char not in lacks)
        if found in _CONTROLS:
            return (_CONTROLS[found],)
        if found in "ux":
            digits = self._pattern[self.at : self.at + (4 if found == "u" else 2)]
            self.at += len(digits)
            try:
                return (chr(int(digits, 16)),)
            except ValueError:
                raise UnreadablePattern(self._pattern) from None
        if found.isalnum():  # \b, \1, \p{…}
            raise UnreadablePattern(self._pattern)
        return (found,)

    def _class(self) -> tuple[str, ...]:
        negated = self._peek() == "^"
        self.at += negated
        among: list[str] = []
        first = True
        while first or self._peek() != "]":
            first = False
            low = self._escape() if (char := self._next()) == "\\" else (char,)
            if self._peek() == "-" and self._pattern[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self._escape() if (char := self._next()) == "\\" else (char,)
                start, end = ord(low[0]), ord(high[0])
                # A range over half the world is as good as its beginning.
                low = tuple(chr(code) for code in range(start, min(end, start + 255) + 1))
            among.extend(low)
        self.at += 1
        if negated:
            among = [char for char in _PRINTABLE if char not in among]
        if not among:
            raise UnreadablePattern(self._pattern)
        # Ordinary characters first: a class that holds letters need not answer with a control character.
        plain = tuple(char for char in among if char in _PRINTABLE)
        return plain or tuple(among)
