"""A reader: takes from one task the events that another one has, each in its own time.

Decides how events wait and how a reader learns of the end; refuses to know where they come from. What is written is
never held up by who reads: whoever writes asks `lags`, and may wait.
"""

import asyncio
from collections import deque
from typing import Self

from headgate.core.clock import Clock
from headgate.core.errors import TimeoutError  # noqa: A004  the house's word
from headgate.core.reply import Event

LATE = "The deadline of the call has passed."


class Reader:
    """One reader of an answer.

    Args:
        clock: tells the time.
        deadline: when it gives up, on the monotonic clock; None: never.

    Attributes:
        left: it reads no more.
    """

    __slots__ = ("_clock", "_deadline", "_ended", "_error", "_events", "_news", "_taken", "_unread", "left")

    def __init__(self, clock: Clock, deadline: float | None = None) -> None:
        self._clock = clock
        self._deadline = deadline
        self._events: deque[Event] = deque()
        self._unread = 0
        self._ended = False
        self._error: BaseException | None = None
        self._news: asyncio.Future[None] | None = None
        self._taken: asyncio.Future[None] | None = None
        self.left = False

    @property
    def unread(self) -> int:
        """Bytes that wait for it."""
        return self._unread

    def give(self, event: Event) -> None:
        """Here is an event."""
        if not (self.left or self._ended):
            self._events.append(event)
            self._unread += len(event.raw)
            _wake(self._news)

    def end(self, error: BaseException | None = None) -> None:
        """There are no more; or there will be none, because of an error."""
        if not self._ended:
            self._ended = True
            self._error = error
            _wake(self._news)

    def leave(self) -> None:
        """Read no more."""
        self.left = True
        self._events.clear()
        self._unread = 0
        _wake(self._taken)

    async def close(self) -> None:
        """The same, for a `Reply`."""
        self.leave()

    async def caught_up(self, most: int) -> None:
        """Wait until no more than so many bytes wait for it, or it has left."""
        while self._unread > most:
            self._taken = asyncio.get_running_loop().create_future()
            await self._taken

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            TimeoutError: it did not come before the deadline.
            BaseException: what the answer ended with.
        """
        while not self._events:
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._news = asyncio.get_running_loop().create_future()
            await within(self._news, self._clock, self._deadline)
        event = self._events.popleft()
        self._unread -= len(event.raw)
        _wake(self._taken)
        return event


async def within(news: "asyncio.Future[None]", clock: Clock, deadline: float | None) -> None:
    """Wait for a future, which somebody else owns, until a deadline on the monotonic clock.

    Raises:
        TimeoutError: the deadline has passed.
    """
    left = None if deadline is None else max(deadline - clock.monotonic(), 0.0)
    done, _ = await asyncio.wait([news], timeout=left)
    if not done:
        raise TimeoutError(LATE)


def _wake(future: "asyncio.Future[None] | None") -> None:
    if future is not None and not future.done():
        future.set_result(None)
