"""What every store of rates must do, whatever it is made of. In real time: a real store has no other."""

import asyncio
from contextlib import asynccontextmanager
from math import inf

import pytest

from headgate.core.limits import Demand, Limits
from headgate.gate.ports import SystemChance, SystemClock
from headgate.gate.tasks import Tasks
from headgate.stores.memory_rates import MemoryRates
from headgate.stores.rates import Grant, Rule
from headgate.stores.redis_rates import RedisRates

ONE = Demand()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.e2e)])
def rates(request):
    """One of the stores of rates, empty; to be opened inside a loop."""
    url = request.getfixturevalue("valkey").url if request.param == "redis" else None

    @asynccontextmanager
    async def opened():
        if url is None:
            yield MemoryRates(SystemClock())
            return
        tasks = Tasks()
        store = RedisRates(url, clock=SystemClock(), chance=SystemChance(), start=tasks.start)
        await store.open()
        try:
            yield store
        finally:
            await store.close()
            await tasks.close()

    return opened


def rule(name="t", burst=1.0, **limits):
    """A rule."""
    return Rule(name, Limits(**limits), burst)


def run(rates, story):
    """Run a story on a store."""

    async def inside():
        async with rates() as store:
            await story(store)

    asyncio.run(inside())


def test_a_burst_and_then_a_rate(rates):
    """A second's worth at once; then one each tenth of a second, for whoever waits as long as told."""

    async def story(store):
        ten = rule(requests_per_minute=600)
        granted = [await store.take(ten, ONE) for _ in range(10)]
        assert [grant.limited for grant in granted] == [None] * 10
        assert all(grant.wait == 0.0 and grant.permit == 0 for grant in granted)
        assert 0.8 < granted[-1].requests <= 1.0
        refused = await store.take(ten, ONE)
        assert refused.limited == "requests"
        assert 0 < refused.wait <= 0.1
        await asyncio.sleep(refused.wait)
        assert (await store.take(ten, ONE)).limited is None
        assert (await store.take(ten, ONE)).limited == "requests"

    run(rates, story)


def test_what_is_decided_at_once_counts_like_anything_else(rates):
    """Where the store knows without being asked; where it does not, nothing is taken."""

    async def story(store):
        one = rule(concurrency=1)
        grant = store.decide(one, ONE)
        decided = grant is not None
        if grant is None:
            grant = await store.take(one, ONE)
        assert (grant.limited, grant.permit > 0) == (None, True)
        assert (await store.take(one, ONE)).limited == "concurrency"
        if decided:
            assert store.decide(one, ONE).limited == "concurrency"
        store.settle(one, grant, ONE, ONE)
        assert (await store.take(one, ONE)).limited is None

    run(rates, story)


def test_many_at_once_are_decided_one_by_one(rates):
    """Concurrent takes are as many decisions."""

    async def story(store):
        ten = rule(requests_per_minute=600, concurrency=7)
        grants = await asyncio.gather(*(store.take(ten, ONE) for _ in range(20)))
        assert [grant.limited for grant in grants].count(None) == 7
        assert [grant.limited for grant in grants].count("concurrency") == 13
        assert len({grant.permit for grant in grants if grant.permit}) == 7
        assert all(grant.permit == 0 for grant in grants if grant.limited)

    run(rates, story)


def test_all_or_nothing(rates):
    """What one limit refuses takes nothing of the others, no place either."""

    async def story(store):
        limits = {"requests_per_minute": 6000, "concurrency": 2, "output_tokens_per_minute": 600}
        both = rule(**limits)
        first = await store.take(both, Demand(0, 10))
        assert first.permit
        for _ in range(3):
            assert (await store.take(both, Demand(0, 10))).limited == "tokens"
        second = await store.take(rule(requests_per_minute=6000, concurrency=2), ONE)
        assert second.limited is None
        assert second.requests <= 0.02 + 1e-6
        assert (await store.take(both, ONE)).limited == "concurrency"

    run(rates, story)


@pytest.mark.parametrize(
    ("kind", "demand"),
    [
        ("tokens_per_minute", Demand(4, 6)),
        ("input_tokens_per_minute", Demand(10, 99)),
        ("output_tokens_per_minute", Demand(99, 10)),
    ],
)
def test_tokens_are_settled(rates, kind, demand):
    """Ten tokens a second: what was not used comes back, what was used beyond is a debt that is worked off first."""

    async def story(store):
        ten = rule(**{kind: 600})
        grant = await store.take(ten, demand)
        assert (await store.take(ten, demand)).limited == "tokens"
        store.settle(ten, grant, demand, ONE)
        grant = await store.take(ten, demand)
        assert grant.limited is None
        assert 0.9 < grant.tokens <= 1.0
        store.settle(ten, grant, demand, Demand(demand.input * 10, demand.output * 10))
        assert 9 < (await store.take(ten, Demand(1, 1))).wait < 10.3

    run(rates, story)


def test_what_never_left_takes_nothing(rates):
    """Request, tokens, place and minute are given back."""

    async def story(store):
        every = rule(burst=60.0, requests_per_minute=1, tokens_per_minute=10, concurrency=1, sliding=True)
        for _ in range(3):
            grant = await store.take(every, Demand(5, 5))
            assert grant.limited is None
            store.settle(every, grant, Demand(5, 5), None)

    run(rates, story)


def test_more_than_the_burst_goes_from_rest(rates):
    """A call that alone is more than a second's worth is not refused for ever."""

    async def story(store):
        small = rule(tokens_per_minute=60)
        assert (await store.take(small, Demand(30, 30))).limited is None
        assert 59 < (await store.take(small, Demand(0, 1))).wait <= 60

    run(rates, story)


def test_never_more_in_a_sliding_minute(rates):
    """The minute slides: where the burst would allow more, the log does not."""

    async def story(store):
        three = rule(burst=120.0, requests_per_minute=3, sliding=True)
        for _ in range(3):
            assert (await store.take(three, ONE)).limited is None
            await asyncio.sleep(0.01)
        refused = await store.take(three, ONE)
        assert refused.limited == "requests"
        assert 59 < refused.wait < 60

    run(rates, story)


def test_spread(rates):
    """Evenly spaced: no burst at all."""

    async def story(store):
        even = rule(requests_per_minute=1200, spread=True)
        assert (await store.take(even, ONE)).limited is None
        refused = await store.take(even, ONE)
        assert 0.03 < refused.wait <= 0.05
        await asyncio.sleep(refused.wait)
        assert (await store.take(even, ONE)).limited is None

    run(rates, story)


def test_places_are_exact(rates):
    """Never more than the limit at work; a place that is given back is free at once."""

    async def story(store):
        two = rule(concurrency=2)
        first, second = await store.take(two, ONE), await store.take(two, ONE)
        assert first.permit != second.permit
        refused = await store.take(two, ONE)
        assert (refused.limited, refused.permit) == ("concurrency", 0)
        assert 0 < refused.wait <= inf
        for grant in (first, second):
            store.settle(two, grant, ONE, Demand(7, 7))
            again = await store.take(two, ONE)
            assert again.limited is None
            assert (await store.take(two, ONE)).limited == "concurrency"

    run(rates, story)


def test_limits_may_change(rates):
    """What was taken stays taken under another limit of the same name."""

    async def story(store):
        assert (await store.take(rule(requests_per_minute=60), ONE)).limited is None
        assert 0.9 < (await store.take(rule(requests_per_minute=60), ONE)).wait <= 1.0
        assert 0.85 < (await store.take(rule(requests_per_minute=600, burst=0.1), ONE)).wait <= 1.0
        held = await store.take(rule("c", concurrency=1), ONE)
        assert (await store.take(rule("c", concurrency=2), ONE)).limited is None
        assert (await store.take(rule("c", concurrency=1), ONE)).limited == "concurrency"
        store.settle(rule("c", concurrency=2), held, ONE, ONE)
        assert (await store.take(rule("c", concurrency=2), ONE)).limited is None

    run(rates, story)


def test_names_are_apart(rates):
    """Names that look alike, are endless, or could not even be written down are different limits."""

    async def story(store):
        names = ["a", "a ", "A", "}", "{}", "a}:permits", "", "\0", "\ud800", "\ud801", "ä", "x" * 5000, "x" * 5001]
        for name in names:
            assert (await store.take(rule(name, concurrency=1), ONE)).limited is None
        for name in names:
            assert (await store.take(rule(name, concurrency=1), ONE)).limited == "concurrency"
            store.rest(name, 1)
            store.resting(name)

    run(rates, story)


def test_a_settlement_of_nothing_known(rates):
    """What the store has forgotten is settled without harm."""

    async def story(store):
        every = rule("never-seen", requests_per_minute=60, tokens_per_minute=60)
        store.settle(every, Grant(), Demand(5, 5), ONE)
        assert (await store.take(every, ONE)).limited is None

    run(rates, story)


def test_who_leaves_while_asking_takes_nothing(rates):
    """A take that is cancelled at any moment gives back what it was granted."""

    async def story(store):
        ten = rule(concurrency=10)
        for turns in range(30):
            tasks = [asyncio.create_task(store.take(ten, ONE)) for _ in range(10)]  # noqa: TID251  ended here
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Grant) and outcome.limited is None:
                    store.settle(ten, outcome, ONE, None)
            await asyncio.sleep(0.005)
        grants = [await store.take(ten, ONE) for _ in range(11)]
        assert [grant.limited for grant in grants] == [None] * 10 + ["concurrency"]

    run(rates, story)


def test_it_is_well(rates):
    """Health says so."""

    async def story(store):
        assert store.health()["status"] == "ok"
        assert store.health()["type"] in {"memory", "redis"}

    run(rates, story)
