"""One caller in a flight: gets the events as they come, from the first one on, at its own speed.

Decides how long a caller waits, by its own deadline, and how an event looks to it. Refuses to know how many others wait
and where the events come from.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol, Self

import msgspec

from headgate.core.call import Call
from headgate.core.clock import Clock
from headgate.core.errors import (
    HeadgateError,
    InterruptedError,  # noqa: A004  the house's word
    TimeoutError,  # noqa: A004  ditto
)
from headgate.core.reply import Drained, Event, Sink
from headgate.dialects.openai_replay_responses import echoing_event


class Log(Protocol):
    """What has come so far.

    Attributes:
        events: from `first` on.
        first: the number of the first event that is still here.
        begun: something was said.
        over: no more comes.
        error: what it ended with.
    """

    events: list[Event]
    first: int
    begun: bool
    over: bool
    error: BaseException | None

    def moved(self) -> None:
        """A reader has gone on."""
        ...


class Reader:
    """One caller's place in what comes.

    Args:
        log: what comes.
        call: the caller's own.
        clock: tells the time.
        leads: it is on behalf of this call that was asked.

    Attributes:
        at: the number of the next event.
        again: this flight will not do: ask anew.
        dropped: it was too slow for the others.
        echo: what the answer shall repeat of this call; None: what it repeats already.
    """

    __slots__ = ("_clock", "_log", "_news", "again", "at", "call", "dropped", "echo", "leads")

    def __init__(self, log: Log, call: Call, clock: Clock, *, leads: bool) -> None:
        self._log = log
        self._clock = clock
        self._news: asyncio.Future[None] | None = None
        self.call = call
        self.leads = leads
        self.at = 0
        self.again = False
        self.dropped = False
        self.echo: Mapping[str, Any] | None = None

    def tell(self) -> None:
        """There is news."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            InterruptedError: it was too slow, or its deadline has passed.
            HeadgateError: what the flight ended with.
        """
        while True:
            if self._here():
                return self._next()
            if self._log.over:
                if self._log.error is not None:
                    raise own(self._log.error)
                raise StopAsyncIteration
            await self.wait()

    async def pour(self, sink: Sink, drained: Drained) -> None:
        """Give the rest of the events to `sink`; see `Reply.pour`."""
        while True:
            while self._here():
                if not sink(self._next()):
                    await drained()
            if self._log.over:
                if self._log.error is not None:
                    raise own(self._log.error)
                return
            await self.wait()

    def held(self) -> list[Event]:
        """The events up to the first substantive one, or all."""
        found = []
        while self._here():
            event = self._next()
            found.append(event)
            if event.kind:
                break
        return found

    def _here(self) -> bool:
        if self.dropped:
            raise InterruptedError("The caller reads so slowly that others would have had to wait for it.")
        return self.at < self._log.first + len(self._log.events)

    def _next(self) -> Event:
        event = self._log.events[self.at - self._log.first]
        self.at += 1
        self._log.moved()
        if event.hidden and self.call.usage_wanted:
            event = msgspec.structs.replace(event, hidden=False)
        if self.echo is not None:
            event = msgspec.structs.replace(event, raw=echoing_event(event.raw, self.echo))
        return event

    async def wait(self) -> None:
        """Wait for news.

        Raises:
            TimeoutError: the caller's deadline has passed before the first word.
            InterruptedError: it has passed after it.
        """
        loop = asyncio.get_running_loop()
        deadline, timer = self.call.deadline, None
        news = self._news = loop.create_future()
        if deadline is not None:
            left = deadline - self._clock.monotonic()
            if left <= 0:
                raise self._late()
            timer = loop.call_later(left, self.tell)
        try:
            await news
        finally:
            self._news = None
            if timer is not None:
                timer.cancel()

    def _late(self) -> HeadgateError:
        late = TimeoutError("There was no answer before the caller's deadline.")
        if not self.at:
            return late
        error = InterruptedError("The answer did not end before the caller's deadline.")
        error.__cause__ = late
        return error


def own(error: BaseException) -> BaseException:
    """An error of one's own, of what happened to all: whoever gets it writes on it."""
    if not isinstance(error, HeadgateError):
        return error
    mine = type(error).__new__(type(error), *error.args)
    mine.__dict__.update(error.__dict__)
    mine.attempts = ()
    mine.__cause__ = error
    return mine
