"""Repeatable chance: a stream of numbers that depends on nothing but its seed.

The house's Chance port gives fresh numbers; the simulator needs the opposite, equal numbers for equal questions, and
one generator per call that is cheap to make. This is splitmix64: good enough to choose words with, and for nothing
else.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1


class Dice:
    """Numbers drawn from a seed.

    Example:
        >>> Dice(b"7").below(6) == Dice(b"7").below(6)
        True
    """

    __slots__ = ("_state",)

    def __init__(self, seed: bytes) -> None:
        self._state = int.from_bytes(blake2b(seed, digest_size=8).digest(), "big")

    def bits(self) -> int:
        """A number of 64 bits."""
        self._state = state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        return state ^ (state >> 31)

    def below(self, end: int) -> int:
        """A whole number in [0, end)."""
        return self.bits() % end

    def between(self, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        return low + self.bits() % (high - low + 1)

    def share(self) -> float:
        """A number in [0, 1)."""
        return (self.bits() >> 11) / (1 << 53)

    def pick(self, among: Sequence[T]) -> T:
        """One of several."""
        return among[self.bits() % len(among)]

    def shuffled(self, among: Sequence[T]) -> list[T]:
        """All of them, in another order."""
        left = list(among)
        for at in range(len(left) - 1, 0, -1):
            other = self.below(at + 1)
            left[at], left[other] = left[other], left[at]
        return left
