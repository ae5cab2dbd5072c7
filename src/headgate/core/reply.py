"""A reply: the answer on its way back, always a sequence of events.

Decides how an answer is iterated, watched, ended and closed; refuses to know dialects and connections. A whole answer
is a stream of one event. `await next(call)` returns a Reply whose first *substantive* event is already here (it is
held, with the preamble before it), so that retry and fallback wrap the await and can never repeat words already said.

A policy that only wants to know calls `watch`; a policy that wants other events builds a new Reply around the old one.
`close` must be called on every path, iterated or not; `async with reply:` does it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from enum import IntEnum
from types import TracebackType
from typing import Self

import msgspec

from headgate.core.attempt import Attempt
from headgate.core.call import NO_TAGS, Target
from headgate.core.usage import TokenUsage


class Kind(IntEnum):
    """What an event is for."""

    PREAMBLE = 0
    """Nothing was said yet: role chunk, `response.created`, empty delta, comment."""
    CONTENT = 1
    """Text, reasoning, a tool call's fragment or a refusal."""
    TERMINAL = 2
    """The provider says that the answer is finished (a finish reason, `response.completed`, a whole answer)."""
    TRAILER = 3
    """After the end: usage, `[DONE]`."""


class Event(msgspec.Struct, kw_only=True):
    """One event of a reply.

    Attributes:
        kind: what it is for.
        raw: the bytes for a caller who speaks the provider's dialect: a body, or one SSE event with its blank line.
        text: the visible text in it.
        size: UTF-8 bytes of output in it, visible or not: text, reasoning, refusal, tool arguments.
        finish: the reason why the answer ended, in the chat dialect's words (`stop`, `length`, `tool_calls`, …).
        usage: tokens, where the event tells them.
        model: the model that served, where the event tells it.
        tier: the service tier used, where the event tells it.
        hidden: not meant for this caller (the usage chunk that only we asked for).
        made: ids of the objects that the provider says it has made and keeps.
        pending: the work goes on after this answer: what it will cost is not known yet.
    """

    kind: Kind
    raw: bytes = b""
    text: str = ""
    size: int = 0
    finish: str | None = None
    usage: TokenUsage | None = None
    model: str | None = None
    tier: str | None = None
    hidden: bool = False
    made: tuple[str, ...] = ()
    pending: bool = False


class Abandoned(Exception):  # noqa: N818  not an error: the end that a caller chose
    """The reply was closed before its end."""


OnEvent = Callable[[Event], None]
OnEnd = Callable[[BaseException | None], None]
Sink = Callable[[Event], bool]
"""Takes an event; False if it wants no more for now."""
Drained = Callable[[], Awaitable[None]]
"""Waits until a sink wants more."""


class Reply:
    """The answer to a call.

    Attributes:
        stream: whether it came as a stream of events (else it is one whole event).
        status: the HTTP status of the answer.
        headers: the provider's headers that may be shown to the caller, lower-case.
        attempts: what was tried, oldest first; the last one is still open while the reply is not ended.
        target: who answered.
        finished: the provider has said that the answer is finished, whatever became of it after that.
        cache: `off`, `hit`, `miss` or `coalesced`.
        simulated: the simulator made it up.
    """

    __slots__ = (
        "_close",
        "_ended",
        "_held",
        "_next",
        "_on_end",
        "_on_event",
        "_outcome",
        "_pour",
        "_source",
        "attempts",
        "cache",
        "finished",
        "headers",
        "simulated",
        "status",
        "stream",
        "target",
    )

    def __init__(
        self,
        held: Sequence[Event],
        source: AsyncIterator[Event] | None = None,
        *,
        close: Callable[[], Awaitable[None]] | None = None,
        pour: Callable[[Sink, Drained], Awaitable[None]] | None = None,
        stream: bool = False,
        status: int = 200,
        headers: Mapping[str, str] = NO_TAGS,
        target: Target | None = None,
    ) -> None:
        """Make a reply.

        Args:
            held: the events that are already here, the first substantive one last.
            source: the events still to come; None when `held` is all.
            close: gives back what the source holds (its connection); called once, by `close`.
            pour: gives the events of the source to a sink, where it can do so without anybody waiting for each.
            stream: whether it came as a stream.
            status: HTTP status.
            headers: what may be shown of the provider's headers.
            target: who answered.
        """
        self._held = held
        self._next = 0
        self._source = source
        self._close = close
        self._pour = pour
        self._on_event: list[OnEvent] = []
        self._on_end: list[OnEnd] = []
        self._ended = source is None
        self._outcome: BaseException | None = None
        self.finished = False
        for event in held:
            if event.kind is Kind.TERMINAL:
                self.finished = True
        self.stream = stream
        self.status = status
        self.headers = headers
        self.attempts: Sequence[Attempt] = ()
        self.target = target
        self.cache = "off"
        self.simulated = False

    def watch(self, on_event: OnEvent | None = None, on_end: OnEnd | None = None) -> None:
        """Be told of every event, and once of the end.

        Both are called at once for what is already here. `on_end` gets None for a complete answer, `Abandoned` when
        the reply was closed before its end, else the error that iteration raises. Watchers added first are told first;
        they must neither block nor raise.
        """
        if on_event is not None:
            for event in self._held:
                on_event(event)
            if not self._ended:
                self._on_event.append(on_event)
        if on_end is not None:
            if self._ended:
                on_end(self._outcome)
            else:
                self._on_end.append(on_end)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._next < len(self._held):
            event = self._held[self._next]
            self._next += 1
            return event
        if self._ended or self._source is None:
            raise StopAsyncIteration
        try:
            event = await self._source.__anext__()
        except StopAsyncIteration:
            self._end(None)
            raise
        except BaseException as error:
            self._end(error)
            raise
        if event.kind is Kind.TERMINAL:
            self.finished = True
        for told in self._on_event:
            told(event)
        return event

    async def pour(self, sink: Sink, drained: Drained) -> None:
        """Give all events to a sink that takes them at once, in the moment in which they come.

        The same events and the same end as by iterating. It is cheaper: where the source can, no task has to wake up
        for an event.

        Args:
            sink: takes an event.
            drained: awaited after `sink` has said that it wants no more for now.

        Raises:
            HeadgateError: what iterating would raise.
        """
        if self._pour is None or self._ended:
            async for event in self:
                if not sink(event):
                    await drained()
            return
        while self._next < len(self._held):
            self._next += 1
            if not sink(self._held[self._next - 1]):
                await drained()
        watchers = self._on_event

        def take(event: Event) -> bool:
            if event.kind is Kind.TERMINAL:
                self.finished = True
            for told in watchers:
                told(event)
            return sink(event)

        try:
            await self._pour(take, drained)
        except BaseException as error:
            self._end(error)
            raise
        self._end(None)

    async def read(self) -> Event:
        """The one event of a whole answer."""
        return await self.__anext__()

    def _end(self, outcome: BaseException | None) -> None:
        if not self._ended:
            self._ended = True
            self._outcome = outcome
            # A watcher often knows the reply: without forgetting it, every call would wait for the garbage collector.
            watchers, self._on_end, self._on_event = self._on_end, [], []
            for told in watchers:
                told(outcome)

    def abandon(self) -> None:
        """End the reply for its watchers, wherever it is. What it holds is given back by `close`, which is to follow.

        For a reply around another one: what is inside has to be settled before whoever is outside looks at it.
        """
        self._end(Abandoned())

    async def close(self) -> None:
        """End the reply, wherever it is, and give back everything it holds. Safe to call twice."""
        self._end(Abandoned())
        closing, self._close = self._close, None
        if closing is not None:
            await closing()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
