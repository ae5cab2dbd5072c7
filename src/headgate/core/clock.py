"""The ports for time and chance: what the house asks of them, not where they come from.

Nothing outside the implementations of these two protocols reads a clock or draws a random number, so a test that
passes a virtual clock and a seeded chance owns both.
"""

from collections.abc import Awaitable
from typing import Protocol


class Clock(Protocol):
    """Time, in seconds."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back. Deadlines are on this scale."""
        ...

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC. Only for what is written down."""
        ...

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait at least so many seconds."""
        ...


class Chance(Protocol):
    """Randomness."""

    def random(self) -> float:
        """A number in [0, 1)."""
        ...

    def token(self) -> str:
        """An unguessable identifier: 32 lower-case hexadecimal digits."""
        ...
