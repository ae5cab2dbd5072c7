"""The real clock and the real chance: the only place of the house that reads either."""

import asyncio
import os
import time
from collections.abc import Awaitable
from random import Random, SystemRandom  # noqa: TID251  this is the port


class SystemClock:
    """The machine's clock."""

    monotonic = staticmethod(time.monotonic)  # noqa: TID251  this is the port
    time = staticmethod(time.time)  # noqa: TID251  this is the port

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait at least so many seconds."""
        return asyncio.sleep(seconds)


class SystemChance:
    """The machine's randomness; with a seed, a repeatable one (tests and demos only)."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = SystemRandom() if seed is None else Random(seed)  # noqa: S311  seeded on request only
        self._seeded = seed is not None

    def random(self) -> float:
        """A number in [0, 1)."""
        return self._random.random()

    def token(self) -> str:
        """An unguessable identifier: 32 lower-case hexadecimal digits."""
        return self._random.randbytes(16).hex() if self._seeded else os.urandom(16).hex()
