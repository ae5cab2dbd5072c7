"""For tests, ours and yours: time that costs nothing.

Under `virtual_time` a coroutine runs on an event loop whose clock jumps ahead whenever everything waits. An hour of
backoff passes in a millisecond, and timings are exact. Only for code without sockets and threads: the simulator in
process needs neither.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1_800_000_000.0
"""What a `VirtualClock` says at its start: 2027-01-15 08:00 UTC."""


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            message = "everything waits, and nothing will ever happen"
            raise RuntimeError(message)
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while everything waits."""

    def __init__(self) -> None:
        self._virtual = _JumpingSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._virtual.now


class VirtualClock:
    """The Clock port on a `VirtualLoop`."""

    def monotonic(self) -> float:
        """Seconds on the running loop's clock."""
        return asyncio.get_running_loop().time()

    def time(self) -> float:
        """Seconds since 1970, starting at `EPOCH`."""
        return EPOCH + self.monotonic()

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Let virtual time pass."""
        return asyncio.sleep(seconds)


def virtual_time(story: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time.

    Example:
        >>> import asyncio
        >>> async def hour():
        ...     await asyncio.sleep(3600)
        ...     return VirtualClock().monotonic()
        >>> virtual_time(hour())
        3600.0
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(story)
