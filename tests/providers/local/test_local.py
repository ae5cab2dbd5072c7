"""The provider in front of the process: who is asked, how long calls wait, what a new process means."""

import asyncio

import msgspec
import pytest

from headgate.core.attempt import Attempt
from headgate.core.body import Body
from headgate.core.call import Call, Operation, Target, Timeouts
from headgate.core.errors import TimeoutError, UnreachableError  # noqa: A004  the house's word
from headgate.core.reply import Event, Kind, Reply
from headgate.core.secret import Secret
from headgate.providers.local.local import Local
from headgate.providers.local.process import Address
from headgate.providers.provider import Health
from headgate.testing import VirtualClock, virtual_time

ONE, TWO = Address(1001, Secret("one")), Address(1002, Secret("two"))


class Child:
    """A process in virtual time: it listens at the addresses given, each after `seconds` of starting."""

    def __init__(self, *addresses, seconds=0.0):
        self.addresses = list(addresses)
        self.seconds = seconds
        self.address = None
        self.deadlines = []
        self.closed = 0

    async def start(self, deadline):
        self.deadlines.append(deadline)
        if self.address is not None:
            return self.address
        if not self.addresses:
            message = "it crashed"
            raise UnreachableError(message)
        left = deadline - VirtualClock().monotonic()
        await asyncio.sleep(min(left, self.seconds))
        if left < self.seconds:
            message = "still being started"
            raise TimeoutError(message)
        self.address = self.addresses.pop(0)
        return self.address

    async def close(self):
        self.closed += 1


class Speaker:
    """What talks to one process; it notes the calls."""

    def __init__(self, at):
        self.at = at
        self.calls = []
        self.closed = 0

    async def __call__(self, call):
        self.calls.append(call)
        return Reply([Event(kind=Kind.TERMINAL, text=f"from {self.at.port}")])

    async def health(self):
        return Health(state="ok", latency_ms=1.0)

    async def models(self):
        return ["smollm2-135m-instruct"]

    async def close(self):
        self.closed += 1


def provider(child, made=None):
    """The provider; speakers are noted in `made`."""
    made = [] if made is None else made

    def speaker(at):
        made.append(Speaker(at))
        return made[-1]

    return Local("local", child, speaker, clock=VirtualClock(), timeouts=Timeouts())


def call(**facts):
    """A call as budget hands it on."""
    asked = Call(id="1", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0.0, day="2027-01-15")
    asked.trail.append(Attempt(1, "local", "m"))
    return msgspec.structs.replace(asked, target=Target("local"), **facts)


async def text(asked):
    """What an answer says."""
    async with await asked as reply:
        return (await reply.read()).text


def test_it_can_be_asked_to_chat_and_for_nothing_else():
    """What llama.cpp's server has besides is not what OpenAI promises."""
    assert [operation for operation in Operation if provider(Child()).speaks(operation)] == [Operation.CHAT]
    assert not provider(Child()).simulated


def test_the_first_call_starts_the_process_and_later_ones_find_it():
    """One process, one speaker; a call that did not have to wait is passed on as it is."""

    async def story():
        made = []
        local = provider(child := Child(ONE, seconds=2), made)
        assert await text(local(call())) == "from 1001"
        second = call()
        assert await text(local(second)) == "from 1001"
        assert (len(child.deadlines), len(made)) == (1, 1)
        assert made[0].calls[1] is second

    virtual_time(story())


@pytest.mark.parametrize(
    ("facts", "deadline"),
    [
        ({}, 600.0),
        ({"stream": True}, 30.0),
        ({"deadline": 7.0}, 7.0),
        ({"stream": True, "deadline": 7.0}, 7.0),
        ({"stream": True, "timeouts": Timeouts(first_token=3.0)}, 3.0),
        ({"timeouts": Timeouts(total=4.0, first_token=3.0)}, 4.0),
    ],
)
def test_a_call_waits_for_the_process_as_long_as_for_its_first_word(facts, deadline):
    """The start is part of the attempt: its limits hold, and the deadline."""

    async def story():
        local = provider(child := Child(ONE, seconds=3600))
        with pytest.raises(TimeoutError):
            await local(call(**facts))
        assert (child.deadlines, VirtualClock().monotonic()) == ([deadline], deadline)

    virtual_time(story())


def test_what_was_spent_on_the_start_is_not_given_again():
    """The attempt's total counts from its beginning, not from when the process was there."""

    async def story():
        made = []
        local = provider(Child(ONE, seconds=10), made)
        await text(local(call()))
        assert made[0].calls[0].deadline == 600.0

    virtual_time(story())


def test_a_new_process_gets_a_new_speaker():
    """Its port and its key are others; the connections to the old one are closed."""

    async def story():
        made = []
        local = provider(child := Child(ONE, TWO), made)
        await text(local(call()))
        child.address = None
        assert await text(local(call())) == "from 1002"
        assert [(speaker.at, speaker.closed) for speaker in made] == [(ONE, 1), (TWO, 0)]

    virtual_time(story())


def test_health_asks_the_process_and_never_raises():
    """It starts one for that; a process that cannot be started is unreachable, with the reason."""

    async def story():
        healthy = provider(Child(ONE))
        assert (await healthy.health(), await healthy.models()) == (
            Health(state="ok", latency_ms=1.0),
            ["smollm2-135m-instruct"],
        )
        broken = provider(Child())
        assert await broken.health() == Health(state="unreachable", error="it crashed")
        slow = provider(child := Child(ONE, seconds=9))
        assert await slow.health() == Health(state="unreachable", error="still being started")
        assert child.deadlines == [5.0]

    virtual_time(story())


def test_closing_closes_both():
    """The process and the connections to it; a provider that was never asked has none."""

    async def story():
        made = []
        local = provider(child := Child(ONE), made)
        await text(local(call()))
        await local.close()
        assert (child.closed, made[0].closed) == (1, 1)
        await provider(unused := Child()).close()
        assert unused.closed == 1

    virtual_time(story())
