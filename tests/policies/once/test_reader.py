"""A reader: events in order, the end, and its own deadline."""

import asyncio

import pytest

from headgate.core.errors import TimeoutError  # noqa: A004  the house's word
from headgate.core.reply import Event, Kind
from headgate.gate.tasks import Tasks
from headgate.policies.once.reader import Reader
from headgate.testing import VirtualClock, virtual_time


def event(word):
    """An event."""
    return Event(kind=Kind.CONTENT, raw=word.encode())


def test_it_reads_what_comes_and_then_the_end():
    """What came before it looked, and what comes while it waits."""
    clock = VirtualClock()

    async def write(reader):
        await clock.sleep(1)
        reader.give(event("b"))
        await clock.sleep(1)
        reader.end()

    async def story():
        reader, tasks = Reader(clock), Tasks()
        reader.give(event("a"))
        tasks.start(write(reader), "writer")
        assert [one.raw async for one in reader] == [b"a", b"b"]
        assert (reader.unread, clock.monotonic()) == (0, 2)

    virtual_time(story())


def test_an_error_comes_after_what_was_said():
    """Words are not lost by it."""

    async def story():
        reader = Reader(VirtualClock())
        reader.give(event("a"))
        reader.end(ValueError("b"))
        reader.end()
        assert (await anext(reader)).raw == b"a"
        with pytest.raises(ValueError, match="b"):
            await anext(reader)

    virtual_time(story())


@pytest.mark.parametrize("deadline", [3.0, -1.0])
def test_it_gives_up_at_its_deadline(deadline):
    """Not before and not after; one that has passed is over at once."""
    clock = VirtualClock()

    async def story():
        with pytest.raises(TimeoutError):
            await anext(Reader(clock, deadline))
        assert clock.monotonic() == max(deadline, 0)

    virtual_time(story())


def test_who_has_left_is_waited_for_by_nobody():
    """And is given nothing any more."""

    async def story():
        reader, tasks = Reader(VirtualClock()), Tasks()
        reader.give(event("abc"))
        waiting = tasks.start(reader.caught_up(2), "writer")
        await asyncio.sleep(0)
        assert not waiting.done()
        await reader.close()
        await waiting
        reader.give(event("d"))
        assert reader.unread == 0

    virtual_time(story())
