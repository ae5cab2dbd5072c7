"""One question and everybody who waits: slow readers, late ones, those who leave, and how much is held for them."""

import asyncio

import pytest

from headgate.core.attempt import Attempt
from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.errors import (
    InterruptedError,  # noqa: A004  the house's word
    OverloadedError,
    StoppingError,
    TooFastError,
)
from headgate.core.reply import Event, Kind, Reply
from headgate.gate.tasks import Tasks
from headgate.policies.cache import flight as module
from headgate.policies.cache.flight import Flight, MisfitError
from headgate.testing import VirtualClock, virtual_time

WORD = b"x" * 100


def call(**more):
    """A call that wants a stream."""
    return Call("c", Operation.CHAT, "m", Body(b"{}"), 0.0, "d", **{"stream": True, **more})


def speaking(words, every=0.1, fails=None):
    """A provider that says a word every so often."""
    closed = []

    async def say():
        for number in range(words):
            await VirtualClock().sleep(every)
            yield Event(kind=Kind.CONTENT, raw=WORD, text=str(number))
        if fails is not None:
            raise fails
        yield Event(kind=Kind.TERMINAL, raw=b"end")

    async def answer(call):
        call.trail.append(Attempt(1, "p", "m"))
        source = say()

        async def close():
            closed.append(VirtualClock().monotonic())
            await source.aclose()

        return Reply([Event(kind=Kind.PREAMBLE, raw=b"begin"), await anext(source)], source, close=close, stream=True)

    answer.closed = closed
    return answer


class Air:
    """Where flights are."""

    def __init__(self, most=module.MOST_BYTES):
        self.tasks = Tasks()
        self.forgotten = []
        self.landed = []
        self.most = most

    def depart(self, provider, first):
        """Begin one."""
        flight = Flight(first, clock=VirtualClock(), forget=self.forgotten.append, most=self.most)

        async def landed(flight):
            self.landed.append(flight)

        flight.depart(provider, self.tasks.start, landed)
        return flight

    def run(self, work):
        """Do it beside others."""
        return self.tasks.start(work, "reads")


async def read(flight, caller, *, leads=False, slowly=0.0):
    """Read to the end."""
    async with await flight.join(caller, leads=leads) as reply:
        found = []
        async for event in reply:
            found.append(event.raw)
            if slowly:
                await VirtualClock().sleep(slowly)
        return found


def tell(story, **how):
    """Run a story; nothing may be left afterwards."""

    async def inside():
        air = Air(**how)
        await story(air)
        await VirtualClock().sleep(0.01)
        assert not air.tasks._running

    virtual_time(inside())


def test_who_comes_late_misses_nothing():
    """What was said is given first, then what comes, as it comes."""

    async def story(air):
        flight = air.depart(speaking(10), call())
        first = air.run(read(flight, flight.call, leads=True))
        await VirtualClock().sleep(0.55)
        late = air.run(read(flight, call()))
        found = await first
        assert found == await late == [b"begin", *[WORD] * 10, b"end"]
        assert VirtualClock().monotonic() < 1.01
        assert air.landed == [flight]

    tell(story)


def test_a_slow_reader_holds_nobody_up_and_costs_no_memory():
    """What is held stays within its bounds; who is too slow for the others gets an error, the others every word."""

    async def story(air):
        flight = air.depart(speaking(200, every=0.01), call())
        quick = air.run(read(flight, flight.call, leads=True))
        slow = air.run(read(flight, call(), slowly=1.0))
        most = 0
        while not quick.done():
            await VirtualClock().sleep(0.01)
            most = max(most, sum(len(event.raw) for event in flight.events))
        assert len(await quick) == 202
        assert most <= 1000 + 200
        # It waited once, for `PATIENCE`.
        assert VirtualClock().monotonic() < 200 * 0.01 + module.PATIENCE + 0.5
        with pytest.raises(InterruptedError, match="reads so slowly"):
            await slow
        assert air.forgotten == [flight]

    tell(story, most=1000)


def test_many_who_stand_still_cost_no_more_than_one():
    """Wherever each of them has stopped, all are let go at once; who reads on loses nothing and waits once."""

    async def stop(flight, after):
        async with await flight.join(call(), leads=False) as reply:
            for _ in range(after):
                await anext(reply)
            await VirtualClock().sleep(1000)
            async for _ in reply:
                pass

    async def story(air):
        flight = air.depart(speaking(400, every=0.01), call())
        quick = air.run(read(flight, flight.call, leads=True))
        still = [air.run(stop(flight, after)) for after in range(50)]
        assert len(await quick) == 402
        assert VirtualClock().monotonic() < 400 * 0.01 + module.PATIENCE + 0.5
        for one in still:
            with pytest.raises(InterruptedError, match="reads so slowly"):
                await one

    tell(story, most=10_000)


def test_a_slow_reader_who_is_alone_is_waited_for():
    """As without a cache: the provider waits, and every word arrives."""

    async def story(air):
        flight = air.depart(speaking(100, every=0.001), call())
        found = await read(flight, flight.call, leads=True, slowly=0.1)
        assert len(found) == 102
        assert flight.shut
        assert flight.first > 80

    tell(story, most=1000)


def test_a_large_whole_answer_arrives():
    """However much is held for streams: it is here already, and nobody waits for room."""

    async def answer(_call):
        return Reply([Event(kind=Kind.TERMINAL, raw=bytes(5000))])

    async def story(air):
        flight = air.depart(answer, call(stream=False))
        assert await read(flight, flight.call, leads=True) == [bytes(5000)]

    tell(story, most=1000)


def test_who_wants_all_of_a_long_stream_asks_for_itself():
    """It can never have it from a flight that holds a part: it is told so, even where nobody else is left."""

    async def story(air):
        flight = air.depart(speaking(100, every=0.01), call())
        first = air.run(read(flight, flight.call, leads=True))
        other = air.run(flight.join(call(stream=False), leads=False))
        assert await other is None
        assert len(await first) == 102
        flight = air.depart(speaking(100, every=0.01), call())
        first = air.run(read(flight, flight.call, leads=True))
        alone = air.run(flight.join(call(stream=False), leads=False))
        await VirtualClock().sleep(0.02)
        first.cancel()
        assert await alone is None
        assert VirtualClock().monotonic() < 2

    tell(story, most=1000)


def test_the_last_one_closes_the_door():
    """While anybody is left it goes on; then the provider's connection is closed, before whoever leaves is gone."""

    async def story(air):
        provider = speaking(100)
        flight = air.depart(provider, call())
        readers = [air.run(read(flight, flight.call, leads=True)), air.run(read(flight, call()))]
        await VirtualClock().sleep(0.35)
        readers[0].cancel()
        await VirtualClock().sleep(0.35)
        assert provider.closed == []
        assert flight.left_at == 1
        readers[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await readers[1]
        assert provider.closed == [pytest.approx(0.7)]
        assert air.forgotten
        assert flight.landed is False
        assert air.landed == [flight]

    tell(story)


def test_an_unread_reply_is_a_reader_too():
    """Closing it is leaving."""

    async def story(air):
        provider = speaking(100)
        flight = air.depart(provider, call())
        reply = await flight.join(flight.call, leads=True)
        await reply.close()
        await reply.close()
        assert provider.closed == [pytest.approx(0.1)]

    tell(story)


def test_a_refusal_is_the_first_ones():
    """The others shall ask anew."""

    async def refuse(_call):
        await VirtualClock().sleep(0.1)
        raise TooFastError("No.", headers={}, retry_after=1.0)

    async def story(air):
        flight = air.depart(refuse, call())
        joining = [flight.join(flight.call, leads=True), flight.join(call(), leads=False)]
        refused, again = await asyncio.gather(*joining, return_exceptions=True)
        assert isinstance(refused, TooFastError)
        assert again is None
        assert air.forgotten == [flight]

    tell(story)


def test_a_break_is_told_to_each():
    """In an error of its own, after the words that were said; who comes then gets them, too."""

    async def story(air):
        flight = air.depart(speaking(3, fails=OverloadedError("Broken.")), call())
        waiting = [air.run(read(flight, flight.call, leads=True)), air.run(read(flight, call()))]
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert [str(error) for error in found] == ["Broken."] * 2
        assert found[0] is not found[1]
        assert air.forgotten == [flight]

    tell(story)


def test_an_answer_in_another_form_only():
    """A stream that nobody understands is no whole answer: that caller has to ask for itself."""

    async def story(air):
        flight = air.depart(speaking(3), call())
        first = air.run(read(flight, flight.call, leads=True))
        with pytest.raises(MisfitError):
            await flight.join(call(stream=False), leads=False)
        assert len(await first) == 5

    tell(story)


def test_a_gate_that_closes_tells_everybody():
    """Nobody waits for what will not come."""

    async def story(air):
        flight = air.depart(speaking(100), call())
        reply = await flight.join(flight.call, leads=True)
        await air.tasks.close()
        with pytest.raises(StoppingError):
            _ = [event async for event in reply]
        await reply.close()

    tell(story)
