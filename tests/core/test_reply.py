"""Covers core/reply.py."""

from collections.abc import AsyncIterator

import pytest

from headgate.core.reply import Abandoned, Event, Kind, Reply
from headgate.testing import virtual_time

A, B, C = (Event(kind=Kind.CONTENT, text=name) for name in "abc")


class Source:
    """Events, then an end or an error."""

    def __init__(self, *events: Event, error: Exception | None = None) -> None:
        self.events = list(events)
        self.error = error
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if self.events:
            return self.events.pop(0)
        if self.error:
            raise self.error
        raise StopAsyncIteration

    async def close(self) -> None:
        self.closed += 1


class Log:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.ends: list[BaseException | None] = []

    def on(self, reply: Reply) -> "Log":
        reply.watch(lambda event: self.said.append(event.text), self.ends.append)
        return self


def test_a_whole_answer_has_ended_before_it_is_read():
    """Watchers of a whole answer hear of the event and of the end at once."""
    reply = Reply([A])
    log = Log().on(reply)
    assert (log.said, log.ends) == (["a"], [None])

    async def story():
        assert await reply.read() is A
        assert [event async for event in reply] == []
        await reply.close()

    virtual_time(story())
    assert log.ends == [None]


def test_held_events_come_first_and_once():
    """Iteration gives what is held and then what comes; each watcher sees each event once."""
    source = Source(B, C)
    reply = Reply([A], source, close=source.close, stream=True)
    early = Log().on(reply)

    async def story():
        assert [event.text async for event in reply] == ["a", "b", "c"]
        late = Log().on(reply)
        assert late.ends == [None]
        await reply.close()
        await reply.close()

    virtual_time(story())
    assert (early.said, early.ends, source.closed) == (["a", "b", "c"], [None], 1)


def test_an_error_is_an_end():
    """The error of iteration reaches the watchers and the reader, once."""
    source = Source(error=ValueError("broken"))
    reply = Reply([A], source, close=source.close, stream=True)
    log = Log().on(reply)

    async def story():
        async with reply:
            assert (await reply.__anext__()) is A
            with pytest.raises(ValueError, match="broken"):
                await reply.__anext__()
            with pytest.raises(StopAsyncIteration):
                await reply.__anext__()

    virtual_time(story())
    assert [type(end) for end in log.ends] == [ValueError]
    assert source.closed == 1


def test_closing_early_is_an_end_too():
    """A reply that nobody iterates gives its connection back and tells its watchers."""
    source = Source(B)
    reply = Reply([A], source, close=source.close, stream=True)
    log = Log().on(reply)
    virtual_time(reply.close())
    assert [type(end) for end in log.ends] == [Abandoned]
    assert source.closed == 1


def test_an_abandoned_reply_still_has_to_be_closed():
    """Its watchers are told at once, and once; what it holds is given back by closing."""
    source = Source(B)
    reply = Reply([A], source, close=source.close, stream=True)
    log = Log().on(reply)
    reply.abandon()
    assert ([type(end) for end in log.ends], source.closed) == ([Abandoned], 0)
    virtual_time(reply.close())
    assert (len(log.ends), source.closed) == (1, 1)


def test_watchers_are_told_in_the_order_in_which_they_came():
    """The innermost policy settles first."""
    told: list[str] = []
    source = Source()
    reply = Reply([A], source, stream=True)
    reply.watch(on_end=lambda _: told.append("inner"))
    reply.watch(on_end=lambda _: told.append("outer"))
    virtual_time(reply.close())
    assert told == ["inner", "outer"]


def test_a_reply_knows_when_it_is_finished():
    """From the terminal event on, held or to come; what follows changes nothing."""
    end, trailer = Event(kind=Kind.TERMINAL), Event(kind=Kind.TRAILER)
    assert Reply([A, end]).finished
    reply = Reply([A], Source(end, trailer), stream=True)

    async def story():
        states = [reply.finished]
        async for _ in reply:
            states.append(reply.finished)  # noqa: PERF401  the state changes with each event
        return states

    assert virtual_time(story()) == [False, False, True, True]


class Fountain(Source):
    """A source that pours as well."""

    async def pour(self, sink, drained) -> None:
        async for event in self:
            if not sink(event):
                await drained()


@pytest.mark.parametrize("pours", [True, False])
@pytest.mark.parametrize("error", [None, ValueError("broken")])
def test_pouring_gives_what_iterating_gives(pours: bool, error: Exception | None):
    """Held events first, each once; watchers are told of all, and of the end; a sink that is full is waited for."""
    source = Fountain(B, C, error=error)
    reply = Reply([A], source, close=source.close, pour=source.pour if pours else None, stream=True)
    log = Log().on(reply)
    taken: list[str] = []
    waits: list[int] = []

    def sink(event: Event) -> bool:
        taken.append(event.text)
        return event is not B

    async def drained() -> None:
        waits.append(len(taken))

    async def story():
        if error is None:
            await reply.pour(sink, drained)
        else:
            with pytest.raises(ValueError, match="broken"):
                await reply.pour(sink, drained)

    virtual_time(story())
    assert (taken, waits) == (["a", "b", "c"], [2])
    assert (log.said, log.ends) == (["a", "b", "c"], [error])


def test_pouring_knows_when_it_is_finished():
    """A terminal event on its way makes the reply finished; a reply that was closed pours nothing."""
    end = Event(kind=Kind.TERMINAL)
    source = Fountain(B, end)
    reply = Reply([A], source, pour=source.pour, stream=True)
    seen: list[bool] = []

    def sink(_: Event) -> bool:
        seen.append(reply.finished)
        return True

    async def story():
        await reply.pour(sink, reply.close)
        await reply.close()
        await reply.pour(sink, reply.close)

    virtual_time(story())
    assert seen == [False, False, True]
