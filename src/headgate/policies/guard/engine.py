"""Finds patterns in words, in time that grows with the words and with nothing else. The one file that knows RE2.

Decides where patterns are found, and from where on the words that have come may be the beginning of something. Refuses
to know what a pattern is for, and what is done about it. Words are UTF-8 bytes here, and places are bytes.

One look at the words tells which of all patterns occur at all; only those are looked for singly.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import re2

from headgate.policies.guard.syntax import UnclearError, shape

_MEMORY = 64 * 1024 * 1024
"""Bytes that RE2 may use for one set. It keeps what it needs."""
_CANARY = "\x01headgate\x01"
"""Stands in each set: a set that does not find it has no room to find anything."""

_ANCHOR = re.compile(r"\\[Az]|(?<!\[)\^|\$")

Check = Callable[[bytes], int]
"""How many bytes of what a pattern has found are what was looked for; 0 for none."""


class Pattern(NamedTuple):
    """What is looked for.

    Attributes:
        name: how it is called.
        source: in RE2's syntax. Case does not count, unless it says `(?-i)`.
        check: looks at what was found; None takes all of it.
    """

    name: str
    source: str
    check: Check | None = None


class Found(NamedTuple):
    """One occurrence: where, and of which pattern."""

    start: int
    end: int
    pattern: int


class BadPatternError(ValueError):
    """A pattern is of no use; the message says why.

    Attributes:
        endless: for a stream only, because its matches have no greatest length.
    """

    def __init__(self, message: str, *, endless: bool = False) -> None:
        super().__init__(message)
        self.endless = endless


def _options() -> re2.Options:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = _MEMORY
    return options


def check(source: str, *, bounded: bool) -> None:
    """Whether a pattern is of use.

    Args:
        source: the pattern.
        bounded: a stream is held back for it, so its matches must have a greatest length.

    Raises:
        BadPatternError: RE2 refuses it, it is found in an empty text, or it has no bound.
    """
    try:
        empty = re2.compile(source, _options()).search(b"")
    except re2.error as error:
        said = error.args[0] if error.args else b""
        reason = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        message = f"RE2 does not take it: {reason}"
        raise BadPatternError(message) from None
    try:
        known = shape(source)
    except UnclearError as error:
        if bounded:
            message = f"how long a stream must be held back for it cannot be told: {error}"
            raise BadPatternError(message, endless=True) from None
        known = None
    if empty is not None or (known is not None and known.least == 0):
        message = "it is found in an empty text, and so in every text"
        raise BadPatternError(message)
    if bounded and known is not None and known.most is None:
        message = "its matches have no greatest length, so a stream would have to be held back for ever"
        raise BadPatternError(message, endless=True)


class Engine:
    """Looks for several patterns at once.

    Args:
        patterns: what is looked for; each one has passed `check`.
        bounded: it shall tell what has begun.

    Raises:
        BadPatternError: together they are too large.

    Example:
        >>> engine = Engine([Pattern("key", "sk-[a-z]{4}")], bounded=True)
        >>> list(engine.find(b"my sk-abcd")), engine.begun(b"my sk-ab")
        ([Found(start=3, end=10, pattern=0)], 3)
    """

    def __init__(self, patterns: Sequence[Pattern], *, bounded: bool) -> None:
        self.patterns = tuple(patterns)
        options = _options()
        self._each = [re2.compile(pattern.source, options) for pattern in patterns]
        self.anchored = any(_ANCHOR.search(pattern.source) for pattern in patterns)
        """Some of them ask where a text begins or ends (or it looks as if)."""
        self._set = re2.Set.SearchSet(options)
        for pattern in patterns:
            self._set.Add(pattern.source)
        canary = self._set.Add(re2.escape(_CANARY))
        self._set.Compile()
        begun = "|".join(shape(pattern.source).begun for pattern in patterns) if bounded else ""
        try:
            self._begun = re2.compile(rf"(?:{begun})\z", options)
        except re2.error as error:
            message = f"together, the patterns are too large for a stream: {error}"
            raise BadPatternError(message) from None
        if canary not in (self._set.Match(_CANARY.encode()) or ()):
            message = "together, the patterns are too large"
            raise BadPatternError(message)

    def finds(self, words: bytes) -> bool:
        """Whether any pattern may occur in the words, or between them."""
        return bool(self._set.Match(words))

    def find(self, words: bytes, at: int = 0, past: dict[int, int] | None = None) -> Iterator[Found]:
        r"""Every occurrence, pattern by pattern, each from left to right; those of one pattern do not overlap.

        Args:
            words: where to look.
            at: where to begin; what stands before is only seen by `^` and `\b`.
            past: by pattern, where to begin later than that.
        """
        for number in self._set.Match(words) or ():
            if number == len(self.patterns):  # the canary
                continue
            regexp, judge = self._each[number], self.patterns[number].check
            start = at if past is None else max(at, past.get(number, at))
            while (match := regexp.search(words, start)) is not None:
                begin, end = match.span()
                if judge is not None and (length := judge(words[begin:end])) < end - begin:
                    if not length:
                        start = _next(words, begin)
                        continue
                    end = begin + length
                yield Found(begin, end, number)
                start = end

    def begun(self, words: bytes, at: int = 0) -> int:
        """From where on the words may be the beginning of an occurrence; their end, if nothing has begun."""
        match = self._begun.search(words, at)
        start: int = len(words) if match is None else match.start()
        return start


def _next(words: bytes, at: int) -> int:
    """Where the next character begins."""
    at += 1
    while at < len(words) and words[at] & 0xC0 == 0x80:
        at += 1
    return at
