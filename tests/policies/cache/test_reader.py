"""One caller in a flight: what it sees, how long it waits, and whose errors it gets."""

import asyncio
import json

import pytest

from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.errors import (
    InterruptedError,  # noqa: A004  the house's word
    OverBudgetError,
    OverloadedError,
    TimeoutError,  # noqa: A004  ditto
    TooFastError,
)
from headgate.core.reply import Event, Kind
from headgate.core.usage import TokenUsage
from headgate.policies.cache.reader import Reader, own
from headgate.testing import VirtualClock, virtual_time


class Log:
    """What comes, put there by hand."""

    def __init__(self, *events):
        self.events = list(events)
        self.first = 0
        self.begun = self.over = False
        self.error = None
        self.moves = 0

    def moved(self):
        """Somebody has gone on."""
        self.moves += 1


def event(raw=b"x", kind=Kind.CONTENT, **more):
    """An event."""
    return Event(kind=kind, raw=raw, **more)


def reader(log, **more):
    """A caller in it."""
    call = Call("c", Operation.CHAT, "m", Body(b"{}"), 0.0, "d", stream=True, **more)
    return Reader(log, call, VirtualClock(), leads=False)


def test_what_is_here_is_given_and_what_comes_is_waited_for():
    """In order, to the end; whoever holds the events is told of each step."""

    async def story():
        log = Log(event(b"1"), event(b"2"))
        mine = reader(log)
        found = [(await anext(mine)).raw, (await anext(mine)).raw]
        rest = asyncio.gather(*[anext(mine)])
        await VirtualClock().sleep(1)
        assert not rest.done()
        log.events.append(event(b"3"))
        mine.tell()
        mine.tell()
        found += [(await rest)[0].raw]
        log.over = True
        assert found == [b"1", b"2", b"3"]
        assert log.moves == 3
        assert [one async for one in mine] == []

    virtual_time(story())


def test_it_pours():
    """At once what is here; a sink that is full is waited for."""

    async def story():
        log = Log(event(b"1"), event(b"2"))
        mine, sunk, waits = reader(log), [], []

        async def drained():
            waits.append(len(sunk))

        def sink(one):
            sunk.append(one.raw)
            return len(sunk) != 2

        pouring = asyncio.gather(mine.pour(sink, drained))
        await VirtualClock().sleep(1)
        assert sunk == [b"1", b"2"]
        log.events.append(event(b"3"))
        log.over, log.error = True, OverloadedError("Broken.")
        mine.tell()
        with pytest.raises(OverloadedError):
            await pouring
        assert (sunk, waits) == ([b"1", b"2", b"3"], [2])

    virtual_time(story())


def test_the_beginning_ends_with_the_first_word():
    """Preamble and all; the rest is for later."""

    async def story():
        mine = reader(Log(event(b"p", Kind.PREAMBLE), event(b"1"), event(b"2")))
        assert [one.raw for one in mine.held()] == [b"p", b"1"]
        assert mine.at == 2
        assert [one.raw for one in reader(Log(event(b"p", Kind.PREAMBLE))).held()] == [b"p"]

    virtual_time(story())


def test_a_deadline_is_its_own():
    """Before the first word it is a timeout, after it an interruption; who is told in time does not notice."""

    async def story():
        mine = reader(Log(), deadline=VirtualClock().monotonic() + 1)
        with pytest.raises(TimeoutError, match="deadline"):
            await anext(mine)
        assert VirtualClock().monotonic() == 1.0
        late = reader(Log(event()), deadline=VirtualClock().monotonic() + 1)
        await anext(late)
        with pytest.raises(InterruptedError, match="deadline") as caught:
            await anext(late)
        assert isinstance(caught.value.__cause__, TimeoutError)

    virtual_time(story())


def test_who_was_too_slow_is_told():
    """At its next step."""

    async def story():
        mine = reader(Log(event()))
        mine.dropped = True
        with pytest.raises(InterruptedError, match="slowly"):
            await anext(mine)

    virtual_time(story())


def test_each_sees_its_own():
    """The usage, if it asked for it; in a response, what it has told itself."""

    async def story():
        hidden = event(b"u", Kind.TRAILER, usage=TokenUsage(), hidden=True)
        assert (await anext(reader(Log(hidden)))).hidden
        assert not (await anext(reader(Log(hidden), usage_wanted=True))).hidden
        assert hidden.hidden
        facts = {"type": "response.created", "response": {"id": "r", "user": "another"}}
        begun = event(b"data: " + json.dumps(facts).encode() + b"\n\n")
        mine = reader(Log(begun))
        mine.echo = {"user": "me"}
        assert b"another" not in (await anext(mine)).raw
        assert b"another" in begun.raw

    virtual_time(story())


@pytest.mark.parametrize(
    "error",
    [
        OverloadedError("Broken.", retry_after=3.0),
        TooFastError("No.", headers={"a": "b"}, retry_after=1.0),
        OverBudgetError("No.", hint="Wait."),
    ],
)
def test_an_error_of_ones_own(error):
    """Says the same, and nobody else writes on it."""
    error.attempts = ["an attempt"]
    mine = own(error)
    assert mine is not error
    assert type(mine) is type(error)
    assert (mine.message, mine.hint, mine.retry_after) == (error.message, error.hint, error.retry_after)
    assert (list(mine.attempts), error.attempts) == ([], ["an attempt"])
    assert mine.__cause__ is error
    bug = ValueError("x")
    assert own(bug) is bug
