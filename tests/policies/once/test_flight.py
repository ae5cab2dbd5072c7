"""A flight: who joins gets all of it, whenever they come."""

import pytest

from headgate.core.errors import GuardError, InterruptedError, OverloadedError  # noqa: A004  the house's word
from headgate.core.reply import Event, Kind
from headgate.core.verdict import Verdict
from headgate.policies.once.flight import Flight, of_ones_own
from headgate.policies.once.reader import Reader
from headgate.testing import VirtualClock, virtual_time


def test_who_joins_after_the_last_event_gets_all_and_the_end():
    """The outcome may not have reached the store yet."""

    async def story():
        flight, reader = Flight(b"", 10), Reader(VirtualClock())
        flight.note(Event(kind=Kind.TERMINAL, raw=b"a"))
        flight.end()
        flight.join(reader)
        assert [event.raw async for event in reader] == [b"a"]

    virtual_time(story())


def test_it_is_wanted_while_it_can_be_kept_or_somebody_reads():
    """Its own caller apart."""

    async def story():
        flight, reader = Flight(b"", 1), Reader(VirtualClock())
        assert not flight.wanted
        flight.leads = True
        assert flight.wanted
        flight.join(reader)
        flight.note(Event(kind=Kind.CONTENT, raw=b"ab"))
        assert (flight.events, flight.wanted) == (None, True)
        reader.leave()
        assert not flight.wanted

    virtual_time(story())


def test_an_error_of_ones_own():
    """The same facts, whatever they are; no attempts; and the first one keeps its own."""
    verdict = Verdict(approved=False, reason="", rule="r", layer="words", side="input", action="block")
    first = GuardError("Blocked.", verdict=verdict, hint="Say it nicely.")
    first.attempts = ["one"]
    first.__cause__ = ValueError()
    second = of_ones_own(first)
    assert isinstance(second, GuardError)
    assert second is not first
    assert (str(second), second.message, second.verdict, second.hint) == ("Blocked.", "Blocked.", verdict, first.hint)
    assert (second.attempts, first.attempts, second.__cause__) == ((), ["one"], first.__cause__)
    assert second.__notes__ == first.__notes__


def test_all_hear_of_its_failure():
    """Who waits for its begin, and who reads already."""

    async def story():
        clock, flight = VirtualClock(), Flight(b"", 10)
        reader = Reader(clock)
        flight.join(reader)
        flight.fail(OverloadedError("Down."), anew=False)
        await flight.known(clock, None)
        assert isinstance(flight.error, OverloadedError)
        with pytest.raises(OverloadedError):
            await anext(reader)

    virtual_time(story())


def test_who_reads_a_large_answer_too_slowly_is_cut_off():
    """Its bytes are kept by nobody else; who keeps up gets all of it."""

    async def story():
        clock, flight = VirtualClock(), Flight(b"", 10)
        slow, quick = Reader(clock), Reader(clock)
        flight.join(slow)
        flight.join(quick)
        for _ in range(10):
            flight.note(Event(kind=Kind.CONTENT, raw=b"four"))
            await anext(quick)
        flight.end()
        assert [event.raw async for event in quick] == []
        assert slow.unread < 20
        with pytest.raises(InterruptedError):
            [event async for event in slow]

    virtual_time(story())
