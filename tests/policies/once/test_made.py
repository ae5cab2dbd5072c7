"""Calls that are made, over processes that die, fall silent and lose their store, in any interleaving."""

import asyncio
from collections import defaultdict
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.attempt import Attempt
from headgate.core.errors import HeadgateError, OverloadedError
from headgate.core.reply import Event, Kind, Reply
from headgate.policies.once.owner import LEASE
from headgate.testing import virtual_time
from tests.policies.once.shop import House, Shop

PROCESSES = 3
TIMES = st.integers(0, 60).map(lambda tenths: tenths / 2)
ASKS = st.tuples(
    st.just("ask"),
    TIMES,
    st.integers(0, PROCESSES - 1),
    st.sampled_from("ab"),
    st.sampled_from([None, 0.5, 3.0]),
    st.booleans(),
    st.sampled_from([None, 0.3, 2.0]),
)
HARMS = st.tuples(st.sampled_from(["die", "away", "deaf", "back", "silent"]), TIMES, st.integers(0, PROCESSES - 1))
HOW = st.tuples(st.sampled_from([0.0, 1.0, 7.0, 25.0]), st.sampled_from([0.0, 1.0, 7.0, 25.0]), st.booleans())


class _Tale:
    """What was asked, what was made of it, and who was told what."""

    def __init__(self, how):
        self.how = how
        self.made = defaultdict(list)
        """By key: start, end and words (None: it failed, False: its process died) of each attempt."""
        self.asked = 0
        self.dead = set()
        self.told = []

    async def answer(self, shop, house, call):
        self.asked += 1
        queue, seconds, works = self.how[self.asked % len(self.how)]
        await shop.clock.sleep(queue)
        return await house.once.leaving(call, lambda call: self._send(shop, call, seconds, works))

    async def _send(self, shop, call, seconds, works):
        entry = [shop.clock.monotonic(), None, None]
        self.made[call.idempotency_key].append(entry)
        call.trail.append(Attempt(1, "up", "m"))
        try:
            await shop.clock.sleep(seconds)
        except asyncio.CancelledError:
            entry[2] = False
            raise
        finally:
            entry[1] = shop.clock.monotonic()
        if not works:
            raise OverloadedError("Down.")
        entry[2] = call.id
        raw = call.id.encode()
        if not call.stream:
            return Reply([Event(kind=Kind.TERMINAL, raw=raw, text=call.id)])
        return Reply([Event(kind=Kind.CONTENT, raw=raw, text=call.id)], _rest(shop), stream=True)


async def _rest(shop):
    await shop.clock.sleep(0.2)
    yield Event(kind=Kind.TERMINAL, raw=b".", text=".")


async def _ask(tale, shop, house, asked):
    key, deadline, stream, patience = asked
    call = house.call(key, deadline=None if deadline is None else shop.clock.monotonic() + deadline, stream=stream)
    try:
        async with asyncio.timeout(patience):
            async with await house.handle(call) as reply:
                text = "".join([event.text async for event in reply])
                tale.told.append((key, text.removesuffix(".")))
    except (HeadgateError, TimeoutError):
        pass


async def _play(tale, shop, houses, steps):
    for step in sorted(steps, key=lambda step: step[1]):
        what, at, number, *more = step
        await shop.clock.sleep(max(at - shop.clock.monotonic(), 0))
        house = houses[number]
        if what == "ask" and house not in tale.dead:
            house.start(_ask(tale, shop, house, more))
        elif what == "die" and house not in tale.dead:
            tale.dead.add(house)
            await house.die()
        elif what == "silent":
            for task in [task for task in house.tasks._running if task.get_name() == "idempotency lease"]:
                task.cancel()
        elif house not in tale.dead:
            house.blobs.away, house.blobs.deaf = what == "away", what == "deaf"


@given(st.lists(st.one_of(ASKS, ASKS, HARMS), max_size=14), st.lists(HOW, min_size=1, max_size=5))
@settings(max_examples=200)
def test_a_call_is_made_once(steps, how):
    """No two attempts at the same time; none after an answer, nor after one that a death has cut short."""

    async def story():
        shop, tale = Shop(), _Tale(how)
        houses: list[House] = []
        for number in range(PROCESSES):
            houses.append(House(shop, lambda call, number=number: tale.answer(shop, houses[number], call)))
        await _play(tale, shop, houses, steps)
        alive = [house for house in houses if house not in tale.dead]
        for house in alive:
            house.blobs.away = house.blobs.deaf = False
        # Whoever is alive comes to an end, and keeps nothing but outcomes.
        for house in alive:
            while house.callers._running:
                await asyncio.wait(list(house.callers._running))
            await house.rest()
        await shop.clock.sleep(LEASE + 1)
        _check(tale)
        for house in houses:
            assert not house.once._board.flights
            assert not house.once._board.made
        if not tale.dead:
            assert not [name for name in shop.names() if name.startswith("once-owner")]

    virtual_time(story())


def _check(tale):
    for key, made in tale.made.items():
        for (_, end, words), (start, _, _) in pairwise(made):
            assert words is None, "made again after an answer, or after a death"
            assert end <= start, "two at the same time"
        answers = {words for *_, words in made if words}
        assert {text for told, text in tale.told if told == key} <= answers
