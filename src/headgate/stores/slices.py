"""A slice of a rate: what a process may spend without asking the store, because the store has counted it already.

Decides for how long that is true. A cell clock that moves ahead by a slice works it off as time passes; what has been
worked off is gone, spent or not. So the end of the slice is spent first, and only what is still ahead of now: whoever
looks at the clock sees at least what was really taken, and the limit holds over all processes.
"""

from collections.abc import Iterable
from math import inf

LIFE = 1.0
"""Seconds, at most."""
SHARE = 0.1
"""Of the burst."""


class Slice:
    """What is left of one.

    Args:
        ahead: how far ahead of now the store's cell clocks are, the slice included.
        kinds: which of them are limited.
        size: seconds that the slice has of each of them.
        since: when it was asked for, on the clock that `take` is told. The store decided later: that errs on the safe
            side.
    """

    __slots__ = ("_begins", "_ends", "_until")

    def __init__(self, ahead: Iterable[float], kinds: Iterable[int], size: float, since: float) -> None:
        chosen = set(kinds)
        self._ends = [since + far if kind in chosen else -inf for kind, far in enumerate(ahead)]
        self._begins = [end - size for end in self._ends]
        self._until = since + LIFE

    def take(self, moves: Iterable[tuple[int, float]], now: float) -> bool:
        """Spend, or nothing."""
        if now >= self._until:
            return False
        ends = self._ends
        for kind, step in moves:
            if ends[kind] - step < max(self._begins[kind], now):
                return False
        for kind, step in moves:
            ends[kind] -= step
        return True

    def ahead(self, now: float) -> tuple[float, float]:
        """How far ahead of now the clocks of requests and of tokens were said to be, what was spent off."""
        requests, *tokens = self._ends
        return max(requests - now, 0.0), max(*tokens, now) - now

    def over(self, now: float) -> bool:
        """Whether nothing can be spent any more."""
        return now >= self._until or all(end <= now for end in self._ends)

    def rest(self, now: float) -> list[tuple[int, float]]:
        """What is given back, as corrections of the cell clocks: what is neither spent nor worked off."""
        found = []
        for kind, (begin, end) in enumerate(zip(self._begins, self._ends, strict=True)):
            left = end - max(begin, now)
            if left > 0:
                found.append((kind, -left))
        return found
