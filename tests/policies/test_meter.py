"""Covers policies/meter.py: every caller's call ends on the books, once, as it ended."""

import asyncio

import msgspec
import pytest

from headgate.core.attempt import Attempt
from headgate.core.body import Body
from headgate.core.call import Call, Caller, Operation, Origin
from headgate.core.errors import (
    Answer,
    APIError,
    BadRequestError,
    InterruptedError,  # noqa: A004
    TimeoutError,  # noqa: A004
)
from headgate.core.reply import Event, Kind, Reply
from headgate.core.verdict import Verdict
from headgate.policies.meter import RECENT, Meter
from headgate.stores.journal import MemoryJournal
from headgate.stores.records import CallEnd, Intent
from headgate.testing import EPOCH, VirtualClock, virtual_time

CALL = Call(
    id="c",
    operation=Operation.CHAT,
    model="fast",
    body=Body(b"{}"),
    started=0.0,
    day="2027-01-15",
    caller=Caller(key="web", project="team-a"),
    user="u1",
    tags={"team": "a"},
)
WORD = Event(kind=Kind.CONTENT, text="a", size=1)
END = Event(kind=Kind.TERMINAL, finish="stop")


def metered(following, reading=None, **changes):
    """The one line that a call leaves, and the meter; errors of the call are swallowed."""
    journal = MemoryJournal()
    meter = Meter(journal, VirtualClock())
    call = msgspec.structs.replace(CALL, trail=[], **changes)

    async def story():
        try:
            reply = await meter(call, following)
            if reading is not None:
                await reading(reply)
        except (Exception, asyncio.CancelledError):  # noqa: S110, BLE001  what comes out is not what is tested
            pass

    virtual_time(story())
    [ending] = journal.read(0).records
    assert isinstance(ending, CallEnd)
    assert meter.counters.in_flight == 0
    assert meter.counters.calls == 1
    return ending, meter.counters


async def read(reply):
    """Iterate to the end."""
    async for _ in reply:
        pass


def streaming(*events, end=None):
    """A stream that says its first word after two seconds, and one more event each second."""

    async def rest():
        for event in events[1:]:
            await asyncio.sleep(1)
            yield event
        if end is not None:
            raise end

    async def following(_call):
        await asyncio.sleep(2)
        return Reply(events[:1], rest(), stream=True)

    return following


def failing(error):
    """Something below that fails after a second."""

    async def following(_call):
        await asyncio.sleep(1)
        raise error

    return following


def test_a_whole_answer():
    """How long it took, how it was cached; the number of attempts is the trail's, and their intents say who asked."""

    async def following(call):
        await asyncio.sleep(1.5)
        call.trail.append(Attempt(1, "p", "m"))
        reply = Reply([END])
        reply.cache = "miss"
        return reply

    ending, counters = metered(following)
    assert ending == CallEnd(call_id="c", attempts=1, status=200, cache="miss", latency_ms=1500.0)
    assert counters.errors == 0


def test_an_answer_without_an_attempt():
    """A call that never left says itself who asked what, and when it began."""

    async def following(_call):
        await asyncio.sleep(1.5)
        reply = Reply([END])
        reply.cache = "hit"
        return reply

    ending, _ = metered(following)
    intent = Intent(
        call_id="c",
        day="2027-01-15",
        time=EPOCH,
        operation="chat",
        model_requested="fast",
        key="web",
        project="team-a",
        user="u1",
        tags={"team": "a"},
        attempt=0,
        provider=None,
        model=None,
    )
    assert ending == CallEnd(call_id="c", attempts=0, status=200, cache="hit", latency_ms=1500.0, intent=intent)


def test_a_stream_ends_when_it_ends():
    """Latency is up to the last event, the first token when the first word was there."""
    ending, _ = metered(streaming(WORD, WORD, END), read)
    assert (ending.status, ending.error_type, ending.latency_ms, ending.first_token_ms) == (200, None, 4000.0, 2000.0)


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (BadRequestError("?"), 400, "invalid_request"),
        (TimeoutError("late"), 504, "upstream_timeout"),
        (APIError("no", answer=Answer(422, {}, b""), code="odd"), 422, "odd"),
        (asyncio.CancelledError(), 499, "cancelled"),
        (KeyError("a bug"), 500, "internal_error"),
    ],
)
def test_failures(error, status, name):
    """The status that the caller sees, and the error's code; a caller who left is 499, a bug 500."""
    ending, counters = metered(failing(error))
    assert (ending.status, ending.error_type, ending.latency_ms, ending.attempts) == (status, name, 1000.0, 0)
    assert counters.errors == 1


def test_a_stream_that_breaks():
    """The error of the stream is the call's, also where an answer among several was finished before."""
    for events in ((WORD, WORD), (WORD, END)):
        ending, _ = metered(streaming(*events, end=InterruptedError("cut")), read)
        assert (ending.status, ending.error_type, ending.first_token_ms) == (502, "stream_interrupted", 2000.0)


async def leave(reply):
    """Read two events and close, twice."""
    await reply.read()
    await reply.read()
    await reply.close()
    await reply.close()


def test_a_stream_that_is_left():
    """Closed before its end: 499, once. Closed after the provider said that it is finished: no failure."""
    ending, _ = metered(streaming(WORD, WORD, END), leave)
    assert (ending.status, ending.error_type) == (499, "cancelled")
    ending, _ = metered(streaming(WORD, END, WORD), leave)
    assert (ending.status, ending.error_type) == (200, None)


def test_the_gates_own_calls_are_not_counted():
    """They belong to a caller's call, which has its own line."""
    journal = MemoryJournal()
    meter = Meter(journal, VirtualClock())

    async def following(_call):
        return Reply([END])

    virtual_time(meter(msgspec.structs.replace(CALL, origin=Origin.INTERNAL, parent="p"), following))
    assert len(journal.read(0).records) == 0
    assert meter.counters.calls == 0


@pytest.mark.parametrize("cache", ["off", "hit", "miss", "coalesced"])
def test_what_is_counted_of_a_call(cache):
    """Its latency and first word by the name that it asked for, what the cache did, and what the guard said."""
    said = Verdict(approved=True, reason="", rule="urgency", layer="words", side="input", action="flag")

    async def following(call):
        call.verdicts.extend([said, said])
        reply = await streaming(WORD, END)(call)
        reply.cache = cache
        return reply

    _, counters = metered(following, read, verdicts=[])
    model = counters.model("fast")
    assert (model.took.seconds, model.first.seconds, model.took.number) == (3.0, 2.0, 1)
    assert counters.cache == ({} if cache == "off" else {cache: 1})
    assert counters.verdicts == {("urgency", "input", "flag"): 2}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (APIError("no", code="what a provider says"), "status_400"),
        (TimeoutError("slow"), "upstream_timeout"),
        (asyncio.CancelledError(), "cancelled"),
        (RuntimeError("a fault"), "internal_error"),
    ],
)
def test_failures_are_counted_by_codes_of_ours(error, code):
    """A provider's own codes are one."""
    _, counters = metered(failing(error))
    assert counters.codes == {code: 1}


def test_calls_in_flight():
    """Counted from their beginning to the end of their stream."""

    async def story():
        meter = Meter(MemoryJournal(), VirtualClock())
        reply = await meter(msgspec.structs.replace(CALL, trail=[]), streaming(WORD, END))
        assert (meter.counters.in_flight, meter.counters.calls) == (1, 0)
        await read(reply)
        assert (meter.counters.in_flight, meter.counters.calls) == (0, 1)

    virtual_time(story())


def test_quantiles_are_of_recent_calls():
    """The last thousand; 0 before the first."""
    meter = Meter(MemoryJournal(), VirtualClock())
    assert meter.latency_ms(0.5) == 0.0

    async def story():
        for number in range(3 * RECENT):
            call = msgspec.structs.replace(CALL, trail=[], started=-number / 1000)
            await meter(call, answering)

    async def answering(_call):
        return Reply([END])

    virtual_time(story())
    assert meter.latency_ms(0.5) == pytest.approx(2.5 * RECENT)
    assert meter.latency_ms(0.95) == pytest.approx(2.95 * RECENT)
    assert meter.latency_ms(1.0) == pytest.approx(3 * RECENT - 1)
