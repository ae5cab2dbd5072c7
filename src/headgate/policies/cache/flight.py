"""A question under way, and everybody who waits for its answer.

Decides that it is asked once, and how long: while anybody waits. It runs in a task of the gate's own, so whoever has
asked first may leave like everybody else. All that was said is here until the end, so who comes late misses nothing.
Refuses to know which questions are the same (`naming.py`), and what is kept of the answer (`cache.py`).

A refusal is for the call that was asked for alone, and so is an answer that was cut to its budget: the others ask anew.
"""

import asyncio
import builtins
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import msgspec

from headgate.core.call import NO_TAGS, Call, Operation
from headgate.core.clock import Clock
from headgate.core.errors import (
    Refused,
    StoppingError,
    TimeoutError,  # noqa: A004  the house's word
)
from headgate.core.policy import Handler
from headgate.core.reply import Event, Kind, Reply
from headgate.policies.cache.reader import Reader, own
from headgate.policies.cache.record import shown, told

MOST_BYTES = 4 * 1024 * 1024
"""Bytes of one answer that are held for those who have not read them."""
PATIENCE = 1.0
"""Seconds for which all wait for one who reads slowly, once in so many bytes."""

Start = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]


class MisfitError(Exception):
    """The answer has not the form that a caller wants."""


class Flight:
    """One question. `depart` begins it.

    Args:
        call: who has asked first.
        clock: for deadlines.
        forget: told when nobody may join any more.
        most: bytes that are held.

    Attributes:
        events: what was said, from number `first` on.
        begun, over, error: see `reader.Log`.
        inner: the answer.
        shut: there was more than is held: it is not kept.
        left_at: so many attempts had been made when the first caller left; None where it stayed.
        landed: it is kept, or will not be.
    """

    def __init__(self, call: Call, *, clock: Clock, forget: Callable[["Flight"], None], most: int = MOST_BYTES) -> None:
        self.call = call
        self._clock = clock
        self._forget = forget
        self._most = most
        self._readers: dict[Reader, None] = {}
        self._size = 0
        self._space: asyncio.Event | None = None
        self._task: asyncio.Task[Any] | None = None
        self.events: list[Event] = []
        self.first = 0
        self.begun = False
        self.over = False
        self.error: BaseException | None = None
        self.inner: Reply | None = None
        self.shut = False
        self.left_at: int | None = None
        self.landed = False

    def depart(self, next: Handler, start: Start, landed: Callable[["Flight"], Coroutine[Any, Any, None]]) -> None:  # noqa: A002
        """Ask. Awaits `landed` after the end, whatever it was."""
        self._task = start(self._run(next, landed), "cached call")

    @property
    def cost(self) -> int | None:
        """What asking again would cost, in picodollars; None where nobody knows."""
        return self.call.trail[-1].cost if self.call.trail else None

    async def join(self, call: Call, *, leads: bool) -> Reply | None:
        """Wait for the answer; None: ask anew.

        Raises:
            MisfitError: there is one, in another form.
            TimeoutError: the caller's deadline has passed.
            HeadgateError: what it ended with.
        """
        reader = Reader(self, call, self._clock, leads=leads)
        self._readers[reader] = None
        try:
            while not self._ready(reader):
                await reader.wait()
            if reader.again:
                await self.leave(reader)
                return None
            if self.over and self.error is not None and not self.begun:
                raise self.error if leads else own(self.error)
            assert self.inner is not None, "it was begun, or it failed"
            if call.stream and self.inner.stream:
                return self._streamed(reader, self.inner)
            return await self._whole(reader, self.inner)
        except BaseException:
            await self.leave(reader)
            raise

    def _ready(self, reader: Reader) -> bool:
        if reader.again or self.over:
            reader.again = reader.again or not (self.begun or reader.leads or self._concerns(reader))
            return True
        return self.begun and reader.call.stream and self.inner is not None and self.inner.stream

    def _concerns(self, reader: Reader) -> bool:
        """Whether the error that it failed with is this caller's, too."""
        if isinstance(self.error, TimeoutError):
            return reader.call.timeouts == self.call.timeouts
        return not isinstance(self.error, Refused)

    def _streamed(self, reader: Reader, inner: Reply) -> Reply:
        if reader.call.operation is Operation.RESPONSES and (mine := told(reader.call)) != told(self.call):
            reader.echo = mine
        reply = Reply(
            reader.held(),
            reader,
            close=partial(self.leave, reader),
            pour=reader.pour,
            stream=True,
            status=inner.status,
            headers=inner.headers if reader.leads else NO_TAGS,
            target=inner.target,
        )
        # First of all watchers: the attempt is settled before the call is.
        reply.watch(None, partial(self._ended, reader))
        return self._told(reply, reader, inner)

    async def _whole(self, reader: Reader, inner: Reply) -> Reply:
        if self.error is not None:
            raise own(self.error)
        if not inner.stream and not reader.call.stream and (reader.leads or told(reader.call) == told(self.call)):
            held = list(self.events)
        else:
            whole = None if inner.stream else self.events[0].raw
            found = shown(whole, [event.raw for event in self.events], reader.call, told(self.call))
            if found is None or self.shut:
                raise MisfitError
            held = found
        await self.leave(reader)
        reply = Reply(
            held,
            stream=reader.call.stream,
            status=inner.status,
            headers=inner.headers if reader.leads else NO_TAGS,
            target=inner.target,
        )
        if not reader.leads:
            reader.call.saved.append(self.cost or 0)
        return self._told(reply, reader, inner)

    def _told(self, reply: Reply, reader: Reader, inner: Reply) -> Reply:
        reply.simulated = inner.simulated
        reply.cache = "miss" if reader.leads else "coalesced"
        if reader.leads:
            reply.attempts = self.call.trail
        return reply

    def _ended(self, reader: Reader, outcome: BaseException | None) -> None:
        if outcome is None:
            if not reader.leads:
                reader.call.saved.append(self.cost or 0)
        elif self._only(reader) and self.inner is not None:
            self.inner.abandon()

    def _only(self, reader: Reader) -> bool:
        """Whether nobody else waits for words that are still to come."""
        finished = self.inner is not None and self.inner.finished
        return not self.over and not finished and list(self._readers) == [reader]

    async def leave(self, reader: Reader) -> None:
        """A caller has enough. When the last one leaves, nobody is asked any more."""
        if reader not in self._readers:
            return
        last = self._only(reader)
        del self._readers[reader]
        if self.over:
            return
        if reader.leads:
            self.left_at = len(self.call.trail)
        if not last:
            self.moved()
            return
        self._forget(self)
        assert self._task is not None, "it has departed"
        self._task.cancel()
        await asyncio.wait([self._task])

    # In the task.

    async def _run(self, next: Handler, landed: Callable[["Flight"], Coroutine[Any, Any, None]]) -> None:  # noqa: A002
        try:
            # Each caller has a deadline of its own.
            call = msgspec.structs.replace(self.call, deadline=None, usage_wanted=False)
            async with await next(call) as reply:
                self.inner = reply
                if any(attempt.clamped is not None for attempt in self.call.trail):
                    self._alone()
                await reply.pour(self._take, self._room)
                self._end(None)
        except BaseException as error:
            cancelled = not isinstance(error, Exception)
            self._end(StoppingError("The gate is shutting down; the answer was cut off.") if cancelled else error)
            if cancelled:
                raise
        finally:
            await landed(self)

    def _end(self, error: BaseException | None) -> None:
        if not self.over:
            self.over, self.error = True, error
            if error is not None:
                self._forget(self)
            self._tell()

    def _alone(self) -> None:
        """This answer is for the first caller only."""
        self.shut = True
        self._forget(self)
        for reader in self._readers:
            reader.again = not reader.leads
        self._tell()

    def _tell(self) -> None:
        for reader in self._readers:
            reader.tell()

    def _take(self, event: Event) -> bool:
        self.events.append(event)
        self._size += len(event.raw)
        self.begun = self.begun or event.kind is not Kind.PREAMBLE
        if self.begun:
            self._tell()
        # A whole answer is here already, however large it is.
        return self._size <= self._most or self.inner is None or not self.inner.stream

    async def _room(self) -> None:
        """There is more than is held: wait for those who have not read it, but not for one among many."""
        if not self.shut:
            # Who joined now would miss the beginning, and who wants all of it at once can never have it.
            self.shut = True
            self._forget(self)
            for reader in self._readers:
                reader.again = not reader.call.stream
            self._tell()
        self._space = asyncio.Event()
        self.moved()
        try:
            while self._size > self._most and self._readers:
                try:
                    async with asyncio.timeout(PATIENCE if len(self._readers) > 1 else None):
                        await self._space.wait()
                except builtins.TimeoutError:
                    self._drop()
                    self.moved()
        finally:
            self._space = None

    def _drop(self) -> None:
        """Wait no longer for those who are far behind: for all at once, or each in turn would hold up the others."""
        behind, unread = self.first + len(self.events), 0
        while unread * 2 < self._most and behind > self.first:
            behind -= 1
            unread += len(self.events[behind - self.first].raw)
        quickest = max(self._readers, key=lambda reader: reader.at)
        for reader in list(self._readers):
            if reader.at <= behind and reader is not quickest:
                del self._readers[reader]
                reader.dropped = True
                reader.tell()

    def moved(self) -> None:
        """Somebody has read on, or left: what all have read goes, where room is wanted."""
        if self._space is None:
            return
        read = min((reader.at for reader in self._readers), default=self.first) - self.first
        if read > 0:
            self._size -= sum(len(event.raw) for event in self.events[:read])
            del self.events[:read]
            self.first += read
        if self._size <= self._most:
            self._space.set()
