"""How an answer is read: whole, as a stream of events, or as bytes that pass as they are.

Decides how long each part may take, how much may come, and what counts as broken off. Refuses to know how bytes travel
(`transport.py`) and what they mean (`dialects/`).
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Self

from headgate.core.clock import Clock
from headgate.core.errors import (
    APIError,
    GarbledError,
    InterruptedError,  # noqa: A004  the house's word
    ProviderError,
    TimeoutError,  # noqa: A004  ditto
    UnreachableError,
)
from headgate.core.reply import Event, Kind
from headgate.dialects.dialect import StreamReader
from headgate.dialects.sse import Decoder, ServerEvent
from headgate.providers.transport import Incoming

MAX_ANSWER = 256 * 1024 * 1024
"""Bytes that a whole answer may have, and a stream before its first word."""


class Stream:
    """One stream: server-sent events in, events of the house out.

    An iterator and no generator: a generator that is left in the middle needs a task to be finished.
    """

    __slots__ = ("_clock", "_decoder", "_end", "_incoming", "_pending", "_reader", "_silence")

    def __init__(self, incoming: Incoming, reader: StreamReader, clock: Clock, silence: float, end: float) -> None:
        self._incoming = incoming
        self._reader = reader
        self._decoder = Decoder()
        self._clock = clock
        self._silence = silence
        self._end = end
        self._pending: deque[ServerEvent] = deque()

    async def begin(self, deadline: float) -> list[Event]:
        """The preamble and the first substantive event."""
        held: list[Event] = []
        size = 0
        while True:
            while self._pending:
                held.append(self._reader.read(self._pending.popleft()))
                if held[-1].kind is not Kind.PREAMBLE:
                    return held
            # Who has bytes ready at all times, comments perhaps, never waits: the limit holds for them too.
            if self._clock.monotonic() >= deadline:
                raise TimeoutError("The provider did not come to its first word in time.")
            data = await self._incoming.receive(deadline)
            size += len(data)
            if size > MAX_ANSWER:
                raise GarbledError(f"The provider sent {size} bytes before the first word.")
            self._pending.extend(self._decoder.feed(data) if data else self._decoder.end())
            if not data and not self._pending:
                raise UnreachableError("The provider ended its stream before the first word.")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event after `begin`. Errors from here on are interruptions: words were already said."""
        try:
            while not self._pending:
                now = self._clock.monotonic()
                if now >= self._end:
                    raise TimeoutError("The provider did not finish in time.")
                data = await self._incoming.receive(min(now + self._silence, self._end))
                self._pending.extend(self._decoder.feed(data) if data else self._decoder.end())
                if not data and not self._pending:
                    break
            else:
                return self._reader.read(self._pending.popleft())
        except ProviderError as error:
            self._broken(error)
        else:
            await self._ended()
        raise StopAsyncIteration

    async def pour(self, sink: Callable[[Event], bool], drained: Callable[[], Awaitable[None]]) -> None:
        """Give the rest of the events to `sink`; see `Reply.pour`. They are those of iterating, and end as it does."""
        pending, read = self._pending, self._reader.read

        def take(data: bytes) -> bool:
            wanted = True
            for event in self._decoder.feed(data):
                wanted = sink(read(event)) and wanted
            return wanted

        try:
            while pending:
                if not sink(read(pending.popleft())):
                    await drained()
            while not await self._incoming.pour(take, self._silence, self._end):
                await drained()
            for event in self._decoder.end():
                sink(read(event))
        except ProviderError as error:
            self._broken(error)
        else:
            await self._ended()

    def _broken(self, error: ProviderError) -> None:
        """What an error means after the first word: nothing, if the answer was finished and end marks are missing."""
        if not self._reader.complete:
            code = error.code if isinstance(error, APIError) else None
            raise InterruptedError(f"The stream broke after its first word: {error.message}", code=code) from error

    async def _ended(self) -> None:
        if not self._reader.complete:
            raise InterruptedError("The provider ended its stream without saying that the answer is finished.")
        await self._incoming.close()


class Pieces:
    """Bytes of any kind, piece by piece; an end before the end is an interruption."""

    __slots__ = ("_begun", "_clock", "_end", "_incoming", "_over", "_silence")

    def __init__(self, incoming: Incoming, clock: Clock, silence: float, end: float) -> None:
        self._incoming = incoming
        self._clock = clock
        self._silence = silence
        self._end = end
        self._begun = False
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next piece; the last one is empty, and the end of the answer."""
        if self._over:
            await self._incoming.close()
            raise StopAsyncIteration
        now = self._clock.monotonic()
        try:
            if now >= self._end:
                raise TimeoutError("The provider did not finish in time.")
            data = await self._incoming.receive(min(now + self._silence, self._end) if self._begun else self._end)
        except ProviderError as error:
            if not self._begun:
                raise
            raise InterruptedError(f"The answer broke off: {error.message}") from error
        self._begun = True
        self._over = not data
        return Event(kind=Kind.CONTENT if data else Kind.TERMINAL, raw=data)


async def read_whole(incoming: Incoming, deadline: float, limit: int) -> bytes:
    """The whole body.

    Raises:
        GarbledError: it is larger than the limit.
    """
    parts: list[bytes] = []
    size = 0
    while part := await incoming.receive(deadline):
        parts.append(part)
        size += len(part)
        if size > limit:
            raise GarbledError(f"The answer is larger than {limit} bytes.")
    return parts[0] if len(parts) == 1 else b"".join(parts)
