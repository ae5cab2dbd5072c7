"""Time that costs nothing: the clock's port on an event loop whose clock jumps ahead whenever everything waits.

An hour of backoff passes in a millisecond, and timings are exact. Only for code without sockets and threads: the
simulator in process needs neither. Decides nothing, and refuses to know what waits. `headgate.testing` has it for
users' tests; `headgate bench` lives in it.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

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

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Work for a thread, done at once: it takes no virtual time. Only an executor of the caller's own is used."""
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  whoever awaits it gets it
            done.set_exception(error)
        return done


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
