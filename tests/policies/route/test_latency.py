"""Covers policies/route/latency.py, on the virtual clock."""

import asyncio
from collections import Counter
from math import exp

import msgspec
import pytest

from headgate.core.body import Body
from headgate.core.call import Call, Operation, Target
from headgate.core.errors import APIError, ContextLengthError, UnreachableError
from headgate.core.reply import Event, Kind, Reply
from headgate.gate.ports import SystemChance
from headgate.policies.route.draw import draw
from headgate.policies.route.latency import DECAY, MOST, PENALTY, Latency, Peak
from headgate.testing import VirtualClock, virtual_time

CALL = Call(id="1", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0, day="2027-01-15")
A, B, C = Target("a"), Target("b"), Target("c")


class World:
    """Targets that take so many seconds, or fail after so many, and a strategy that asks them."""

    def __init__(self, *targets: Target, **seconds: float) -> None:
        self.clock = VirtualClock()
        self.latency = Latency(self.clock)
        self.targets = targets
        self.chance = SystemChance(seed=5)
        self.seconds = seconds
        self.failing: dict[str, Exception] = {}
        self.asked: list[str] = []

    def order(self, call: Call = CALL) -> list[str]:
        """The providers in the order in which they would be asked now."""
        return [t.provider for t in self.latency.order(call, draw(self.targets, self.chance))]

    async def ask(self, call: Call = CALL, provider: str | None = None) -> Reply:
        """Ask a target, or the first in order."""
        name = provider or self.order(call)[0]
        self.asked.append(name)
        return await self.latency.ask(msgspec.structs.replace(call, target=Target(name)), self._answer)

    async def _answer(self, call: Call) -> Reply:
        assert call.target is not None
        await self.clock.sleep(self.seconds[call.target.provider])
        if error := self.failing.get(call.target.provider):
            raise error
        return Reply([Event(kind=Kind.TERMINAL)])

    async def traffic(self, calls: int, every: float) -> Counter[str]:
        """So many calls, one every so many seconds; who was asked."""
        self.asked = []
        async with asyncio.TaskGroup() as group:
            for _ in range(calls):
                group.create_task(self.ask())
                await self.clock.sleep(every)
        return Counter(self.asked)


def test_most_calls_go_to_the_quicker_target():
    """Five times as quick, nine of ten calls and more; the slower one is tried now and then."""

    async def story():
        world = World(A, B, a=0.2, b=1.0)
        return await world.traffic(2000, 0.3)

    counts = virtual_time(story())
    assert counts["a"] > 1800
    assert counts["b"] >= 5


def test_a_swap_is_noticed_within_seconds():
    """What becomes slow is left at its first slow answer; what has become quick is found by that."""

    async def story():
        world = World(A, B, a=0.2, b=2.0)
        await world.traffic(300, 0.3)
        world.seconds = {"a": 2.0, "b": 0.2}
        during = await world.traffic(40, 0.3)
        after = await world.traffic(300, 0.3)
        return during, after

    during, after = virtual_time(story())
    assert during["a"] <= 12
    assert after["b"] > 260


def test_an_idle_target_is_tried_again_before_long():
    """Whatever it took once, its estimate falls: after a few times DECAY it is asked."""

    async def story():
        world = World(A, B, a=0.2, b=30.0)
        await world.ask(provider="b")
        world.seconds["b"] = 0.1
        start = world.clock.monotonic()
        while world.order()[0] != "b":
            await world.ask()
            await world.clock.sleep(0.3)
        return world.clock.monotonic() - start, await world.traffic(200, 0.3)

    seconds, counts = virtual_time(story())
    assert DECAY < seconds < 6 * DECAY
    assert counts["b"] > 130


def test_of_many_targets_two_are_drawn_and_the_others_follow_by_load():
    """The slowest is first only where both that were drawn are slower still; behind the first, the quicker goes on."""

    async def story():
        world = World(A, B, C, a=0.1, b=0.5, c=2.5)
        for name in "abc":
            await world.ask(provider=name)
        return Counter("".join(world.order()) for _ in range(600))

    counts = virtual_time(story())
    assert set(counts) == {"abc", "bac"}
    # `a` is one of the two in two draws of three.
    assert 350 < counts["abc"] < 450


def test_calls_in_flight_count():
    """A burst is spread over targets that are equally quick, and over those of which nothing is known."""

    async def story():
        fresh = World(A, B, C, a=1.0, b=1.0, c=1.0)
        spread = await fresh.traffic(90, 0.0)
        known = await fresh.traffic(90, 0.0)
        pair = World(A, B, a=1.0, b=1.0)
        return spread, known, await pair.traffic(10, 0.0)

    *bursts, pair = virtual_time(story())
    for counts in bursts:
        assert all(20 <= counts[name] <= 40 for name in "abc")
    assert pair == {"a": 5, "b": 5}


def test_a_stream_is_in_flight_until_it_ends():
    """The first word is timed, and the call counts until the reply is closed, on every path."""

    async def story():
        world = World(A, B, a=1.0, b=1.1)

        async def events():
            while True:
                yield Event(kind=Kind.CONTENT)

        async def streams(_call):
            await world.clock.sleep(1)
            return Reply([Event(kind=Kind.CONTENT)], events(), stream=True)

        reply = await world.latency.ask(msgspec.structs.replace(CALL, target=A), streams)
        await world.ask(provider="b")
        busy = world.order()
        await reply.close()
        return busy, world.order(), world.latency._peaks["a", "m", False].outstanding

    busy, idle, outstanding = virtual_time(story())
    assert (busy, idle, outstanding) == (["b", "a"], ["a", "b"], 0)


def test_streams_and_whole_answers_are_apart():
    """A long answer says nothing of the time to a stream's first word."""

    async def story():
        world = World(A, B, a=9.0, b=1.0)
        stream = msgspec.structs.replace(CALL, stream=True)
        await world.ask(provider="a")
        await world.ask(provider="b")
        world.seconds = {"a": 0.1, "b": 0.4}
        await world.ask(stream, "a")
        await world.ask(stream, "b")
        return world.order(), world.order(stream)

    assert virtual_time(story()) == (["b", "a"], ["a", "b"])


def test_a_quick_failure_is_no_quick_answer():
    """It counts as PENALTY; a request that is bad everywhere counts for nothing."""

    async def story():
        world = World(A, B, a=0.001, b=1.0)
        await world.ask(provider="b")
        found = []
        for error in (APIError("400"), ContextLengthError("long"), UnreachableError("reset")):
            world.failing = {"a": error}
            with pytest.raises(type(error)):
                await world.ask(provider="a")
            found.append(round(world.latency._peaks["a", "m", False].estimate(world.clock.monotonic()), 3))
        return found, world.order()

    assert virtual_time(story()) == ([0, 0, PENALTY], ["b", "a"])


def test_a_call_that_was_left_took_at_least_so_long():
    """A target that hangs does not look quick because nobody waits for it; its place is given back."""

    async def story():
        world = World(A, a=1.0)
        await world.ask()
        world.seconds["a"] = 1000.0
        found = []
        for seconds in (0.5, 7):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(world.ask())
                await world.clock.sleep(seconds)
                task.cancel()
            found.append(world.latency._peaks["a", "m", False].estimate(world.clock.monotonic()))
        return found, world.latency._peaks["a", "m", False].outstanding

    found, outstanding = virtual_time(story())
    assert found == [pytest.approx(exp(-0.5 / DECAY)), 7.0]
    assert outstanding == 0


def test_a_peak_counts_at_once_and_goes_slowly():
    """The average moves by the time that has passed, and never above what was seen."""
    peak = Peak(0.0)
    peak.observe(0.0, 1.0)
    peak.observe(0.1, 4.0)
    assert peak.estimate(0.1) == 4.0
    peak.observe(0.2, 1.0)
    assert 3.97 < peak.estimate(0.2) < 4.0
    peak.observe(0.2 + 3 * DECAY, 1.0)
    assert 1.0 <= peak.estimate(0.2 + 3 * DECAY) < 1.2


def test_made_up_names_do_not_fill_the_memory():
    """The oldest is forgotten."""

    async def story():
        world = World(A, B, a=0.0, b=0.0)
        for number in range(MOST):
            world.order(msgspec.structs.replace(CALL, model=f"n{number}"))
        return len(world.latency._peaks), ("a", "n0", False) in world.latency._peaks

    assert virtual_time(story()) == (MOST, False)
