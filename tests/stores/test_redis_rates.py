"""Rates in a real Valkey: several processes' worth of stores in one loop, losses, restarts. The rest is the contract's.

In real time, with leases of a second or less.
"""

import asyncio
import logging
import signal
from collections import Counter
from contextlib import asynccontextmanager

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.core.errors import ConfigError, SharedStoreError
from headgate.core.limits import Demand, Limits
from headgate.gate.ports import SystemChance, SystemClock
from headgate.gate.tasks import Tasks
from headgate.stores import redis_rates
from headgate.stores.rates import Rule
from headgate.stores.redis_rates import RedisRates

pytestmark = pytest.mark.e2e

ONE = Demand()
CLOCK = SystemClock()


def rule(name="t", burst=1.0, **limits):
    """A rule."""
    return Rule(name, Limits(**limits), burst)


class Process:
    """What one process has of it: a store, and the tasks behind it."""

    def __init__(self, url, **options):
        self.tasks = Tasks()
        self.store = RedisRates(url, clock=CLOCK, chance=SystemChance(), start=self.tasks.start, **options)

    async def die(self):
        """Be gone, without a farewell."""
        await self.tasks.close()
        await self.store._courier.close()


@asynccontextmanager
async def processes(url, number, **options):
    """Several of them, closed at the end."""
    made = [Process(url, **options) for _ in range(number)]
    try:
        for each in made:
            await each.store.open()
        yield made if number > 1 else made[0]
    finally:
        for each in made:
            await each.store.close()
            await each.tasks.close()


async def until(true, seconds=5.0):
    """Wait until something is true."""
    end = CLOCK.monotonic() + seconds
    while not true():
        assert CLOCK.monotonic() < end, "not in time"
        await asyncio.sleep(0.01)


async def granted(store, wanted, demand=ONE, seconds=5.0):
    """Ask until granted, as often as told."""
    end = CLOCK.monotonic() + seconds
    while (grant := await store.take(wanted, demand)).limited is not None:
        assert CLOCK.monotonic() < end, f"not granted in time: {grant}"
        await asyncio.sleep(min(grant.wait, 0.05))
    return grant


def test_a_rate_holds_over_processes(valkey):
    """Three that take all they can, by slices and without: never more than the rate and its burst, and all of it."""
    wanted = rule(requests_per_minute=30_000)  # 500 a second
    taken = []

    async def hammer(store, pause):
        while CLOCK.monotonic() < end:
            before = CLOCK.monotonic()
            grant = await store.take(wanted, ONE)
            if grant.limited is None:
                taken.append((before, CLOCK.monotonic()))
                store.settle(wanted, grant, ONE, ONE)
                await asyncio.sleep(pause)
            else:
                await asyncio.sleep(grant.wait)

    async def story():
        nonlocal end
        async with processes(valkey.url, 3) as crowd:
            end = CLOCK.monotonic() + 1.5
            await asyncio.gather(*(hammer(each.store, pause) for each in crowd for pause in (0, 0.001, 0.02)))

    end = 0.0
    asyncio.run(story())
    assert len(taken) > 500 * 2.3
    starts = sorted(start for start, _ in taken)
    for first in range(0, len(starts), 7):
        for last in range(first, len(starts), 7):
            # What was granted in the window was asked for before its end; a slice may be a call out of step each.
            assert last - first <= (starts[last] - starts[first]) * 500 + 500 + 25


def test_far_from_the_limit_few_ask_the_store(valkey):
    """Slices are granted while more than half of the burst is left; what is taken is counted all the same."""

    async def story():
        wanted = rule(requests_per_minute=600_000)
        async with processes(valkey.url, 1) as one:
            before = valkey.ask("INFO", "commandstats")["cmdstat_evalsha"]["calls"]
            for _ in range(1000):
                grant = await one.store.take(wanted, ONE)
                assert grant.limited is None
            asked = valkey.ask("INFO", "commandstats")["cmdstat_evalsha"]["calls"] - before
            assert asked < 500
            assert 0.0 < grant.requests < 0.3
        # Closed: what was not spent is back.
        async with processes(valkey.url, 1) as other:
            assert (await other.store.take(wanted, ONE)).requests < 0.1 + 0.1 + 0.01

    asyncio.run(story())


STEPS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["take", "take", "settle", "pass"])), max_size=60)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(story=STEPS, places=st.integers(1, 3))
def test_places_are_exact_over_processes(valkey, story, places):
    """Whoever asks and gives back in whatever order, at once or one after the other: never more at work than places."""
    valkey.settle_down()
    wanted = rule(concurrency=places)
    at_work = []
    most = 0

    async def take(who):
        nonlocal most
        grant = await who.store.take(wanted, ONE)
        if grant.limited is None:
            at_work.append((who, grant))
            most = max(most, len(at_work))

    async def inside():
        async with processes(valkey.url, 3, lease=0.6) as crowd:
            open_ = []
            for number, act in story:
                if act == "take":
                    open_.append(asyncio.create_task(take(crowd[number])))  # noqa: TID251  gathered below
                elif act == "settle" and at_work:
                    who, grant = at_work.pop(number % len(at_work))
                    who.store.settle(wanted, grant, ONE, ONE)
                else:
                    await asyncio.sleep(0.001)
            await asyncio.gather(*open_)
            while at_work:
                who, grant = at_work.pop()
                who.store.settle(wanted, grant, ONE, None)
            # All is back: as many as there are places can be had by one, and no more.
            for _ in range(places):
                await granted(crowd[0].store, wanted)
            assert (await crowd[1].store.take(wanted, ONE)).limited == "concurrency"

    asyncio.run(inside())
    assert most <= places


def test_the_dead_lose_their_places_when_their_lease_ends(valkey):
    """Nobody gets the place of a process that has died before the lease is over, and somebody does soon after."""

    async def story():
        wanted = rule(concurrency=2)
        async with processes(valkey.url, 1, lease=0.6) as living:
            dead = Process(valkey.url, lease=0.6)
            await dead.store.open()
            held = [await dead.store.take(wanted, ONE) for _ in range(2)]
            assert all(grant.permit for grant in held)
            # Alive it keeps them, for longer than a lease.
            await asyncio.sleep(0.8)
            assert (await living.store.take(wanted, ONE)).limited == "concurrency"
            await dead.die()
            died = CLOCK.monotonic()
            await granted(living.store, wanted)
            # Renewed each 0.2 s.
            assert 0.35 < CLOCK.monotonic() - died < 0.75

    asyncio.run(story())


def test_nobody_starves(valkey):
    """One place, and a process that takes it again at once: the others get their turns."""

    async def story():
        wanted = rule(concurrency=1)
        turns = Counter()

        async def work(number, store):
            while CLOCK.monotonic() < end:
                grant = await store.take(wanted, ONE)
                if grant.limited is None:
                    turns[number] += 1
                    await asyncio.sleep(0.005)
                    store.settle(wanted, grant, ONE, ONE)
                else:
                    await asyncio.sleep(grant.wait if number else 0)

        async with processes(valkey.url, 3) as crowd:
            end = CLOCK.monotonic() + 1.5
            await asyncio.gather(*(work(number, each.store) for number, each in enumerate(crowd)))
        assert min(turns.values()) >= sum(turns.values()) * 0.15, turns

    asyncio.run(story())


def test_after_a_restart_holders_come_first(own_valkey):
    """Empty or not, a store that has started anew admits nobody for a lease; who holds a place has it again."""

    async def story():
        own_valkey.start()
        own_valkey.settle_down()
        wanted = rule(concurrency=2)
        async with processes(own_valkey.url, 2, lease=1.0, lost="closed") as (one, other):
            held = await one.store.take(wanted, ONE)
            own_valkey.kill()
            own_valkey.start()
            await until(lambda: {each.store.health()["status"] for each in (one, other)} == {"away"})
            await until(lambda: {each.store.health()["status"] for each in (one, other)} == {"ok"})
            assert (await other.store.take(wanted, ONE)).limited == "store"
            wait = (await other.store.take(wanted, ONE)).wait
            assert 0.3 < wait <= 1.0
            # Rates go on.
            assert (await other.store.take(rule("r", requests_per_minute=60), ONE)).limited is None
            await asyncio.sleep(wait)
            assert (await other.store.take(wanted, ONE)).limited is None
            assert (await other.store.take(wanted, ONE)).limited == "concurrency"
            one.store.settle(wanted, held, ONE, ONE)
            await granted(other.store, wanted)

    asyncio.run(story())


def test_an_emptied_store_is_a_restarted_one(valkey):
    """`FLUSHALL` under way: the next decision about a place notices."""

    async def story():
        wanted = rule(concurrency=1)
        async with processes(valkey.url, 2, lease=0.6) as (one, other):
            held = await one.store.take(wanted, ONE)
            valkey.ask("FLUSHALL")
            assert (await other.store.take(wanted, ONE)).limited == "store"
            await asyncio.sleep(0.7)
            assert (await other.store.take(wanted, ONE)).limited == "concurrency"
            one.store.settle(wanted, held, ONE, ONE)
            await granted(other.store, wanted)

    asyncio.run(story())


@pytest.mark.parametrize("mode", ["open", "closed", "share"])
def test_without_the_store(own_valkey, caplog, mode):
    """Silent, not gone: noticed in time, then nobody waits; declared limits; places held are asserted when it is back.

    Two processes share two places; one was taken before, and one by each mode's rules while the store was away.
    """
    wanted = rule(concurrency=2, requests_per_minute=60_000)

    async def story():
        own_valkey.start()
        own_valkey.settle_down()
        async with processes(own_valkey.url, 2, lease=1.0, lost=mode) as (one, other):
            await until(lambda: one.store.health()["processes"] == other.store.health()["processes"] == 2)
            before = await one.store.take(wanted, ONE)
            own_valkey.send(signal.SIGSTOP)
            asked = CLOCK.monotonic()
            outcome = await asyncio.gather(other.store.take(wanted, ONE), return_exceptions=True)
            assert 0.2 < CLOCK.monotonic() - asked < 0.6
            told = other.store.health()
            assert (told["status"], told["mode"], told["processes"]) == ("away", mode, 2)
            assert told["since"] <= CLOCK.time()
            asked = CLOCK.monotonic()
            if mode == "closed":
                assert isinstance(outcome[0], SharedStoreError)
                with pytest.raises(SharedStoreError):
                    await other.store.take(wanted, ONE)
                during = []
            elif mode == "open":
                during = [outcome[0], *[await other.store.take(wanted, ONE) for _ in range(3)]]
                assert {grant.limited for grant in during} == {None}
            else:
                during = outcome
                assert during[0].limited is None
                assert (await other.store.take(wanted, ONE)).limited == "concurrency"
                await until(lambda: one.store.health()["status"] == "away")
                # Its one place is taken, by the call that the store let through.
                assert (await one.store.take(wanted, ONE)).limited == "concurrency"
            assert CLOCK.monotonic() - asked < 1.5
            own_valkey.send(signal.SIGCONT)
            await until(lambda: {each.store.health()["status"] for each in (one, other)} == {"ok"})
            at_work = 1 + len(during)
            for _ in range(2 - at_work):
                await granted(one.store, wanted)
            await asyncio.sleep(0.5)  # the place of the take that was under way is free again
            assert (await one.store.take(wanted, ONE)).limited == "concurrency"
            assert own_valkey.ask("ZCARD", "headgate:{t}:permits") == max(at_work, 2)
            one.store.settle(wanted, before, ONE, ONE)
            for grant in during:
                other.store.settle(wanted, grant, ONE, ONE)
            await until(lambda: own_valkey.ask("ZCARD", "headgate:{t}:permits") == max(2 - at_work, 0))

    with caplog.at_level(logging.WARNING, "headgate.stores"):
        asyncio.run(story())
    assert f". Until it is back, `policies.on_shared_store_lost: {mode}` holds." in caplog.text
    assert ".. " not in caplog.text
    assert "is back." in caplog.text


def test_what_was_taken_without_the_store_is_not_its_business(own_valkey):
    """Settlements go where the grant was made: neither store counts what the other granted, and each debt once."""
    wanted = rule(tokens_per_minute=6000)  # 100 a second

    async def story():
        own_valkey.start()
        async with processes(own_valkey.url, 1, lost="share") as one:
            stored = await one.store.take(wanted, Demand(10, 0))
            own_valkey.send(signal.SIGSTOP)
            local = await one.store.take(wanted, Demand(50, 0))
            assert local.limited is None
            assert one.store.health()["status"] == "away"
            one.store.settle(wanted, stored, Demand(10, 0), Demand(1010, 0))  # waits for the store
            own_valkey.send(signal.SIGCONT)
            await until(lambda: one.store.health()["status"] == "ok")
            one.store.settle(wanted, local, Demand(50, 0), Demand(100_000, 0))
            refused = await one.store.take(wanted, Demand(10, 0))
            assert refused.limited == "tokens"
            assert 8 < refused.wait < 10.2

    asyncio.run(story())


def test_away_at_start(own_valkey, caplog):
    """It opens at once, is away, and finds the store when it comes."""

    async def story():
        opened = CLOCK.monotonic()
        async with processes(own_valkey.url, 1, processes=2, lease=0.3) as one:
            assert CLOCK.monotonic() - opened < 1.0
            assert one.store.health()["status"] == "away"
            assert one.store.health()["processes"] == 2
            # Half of two a second.
            wanted = rule(requests_per_minute=120)
            assert (await one.store.take(wanted, ONE)).limited is None
            assert (await one.store.take(wanted, ONE)).limited == "requests"
            own_valkey.start()
            await until(lambda: one.store.health()["status"] == "ok")
            assert (await one.store.take(wanted, ONE)).limited is None

    asyncio.run(story())
    assert "cannot be reached" in caplog.text


def test_scripts_that_the_server_has_forgotten(valkey):
    """`SCRIPT FLUSH`: loaded again, and the decision is made all the same."""

    async def story():
        async with processes(valkey.url, 1) as one:
            valkey.ask("SCRIPT", "FLUSH")
            assert (await one.store.take(rule(requests_per_minute=60), ONE)).limited is None
            assert (await one.store.take(rule(requests_per_minute=60), ONE)).limited == "requests"
            assert one.store.health()["status"] == "ok"

    asyncio.run(story())


def test_a_key_of_somebody_else(valkey):
    """What cannot be read is a store that cannot be used, not a call that hangs."""

    async def story():
        async with processes(valkey.url, 1, lost="closed") as one:
            valkey.ask("RPUSH", "headgate:{t}:clocks", "x")
            with pytest.raises(SharedStoreError):
                await one.store.take(rule(requests_per_minute=60), ONE)
            assert "WRONGTYPE" in one.store.health()["error"]

    asyncio.run(story())


def test_hints_reach_the_others(valkey):
    """What one hints the others hear with their next heartbeat, not itself; 0 ends it."""

    async def story():
        async with processes(valkey.url, 2, lease=0.3) as (one, other):
            one.store.rest("p/m", 30)
            await until(lambda: other.store.resting("p/m") > 29)
            assert one.store.resting("p/m") == 0
            assert other.store.resting("p/other") == 0
            other.store.rest("p/m", 0)
            await until(lambda: other.store.resting("p/m") == 0)
            one.store.rest("p/m", 0.2)
            await until(lambda: other.store.resting("p/m") > 0)
            await until(lambda: other.store.resting("p/m") == 0)

    asyncio.run(story())


def test_who_closes_is_gone(valkey):
    """Places and the name of the process go at once; closing twice is fine, and then nobody waits for anything."""

    async def story():
        wanted = rule(concurrency=1)
        async with processes(valkey.url, 2) as (one, other):
            await until(lambda: one.store.health()["processes"] == 2)
            assert (await other.store.take(wanted, ONE)).permit
            await other.store.close()
            await other.store.close()
            assert valkey.ask("ZCARD", "headgate:processes") == 1
            assert (await one.store.take(wanted, ONE)).limited is None
            async with asyncio.timeout(1):
                await other.store.take(wanted, ONE)

    asyncio.run(story())


def test_nothing_stays_for_ever(valkey):
    """Each key but one ends by itself, not before what it says has ended."""

    async def story():
        every = rule(requests_per_minute=60, tokens_per_minute=60, concurrency=1, sliding=True, burst=60)
        async with processes(valkey.url, 1) as one:
            grant = await one.store.take(every, Demand(100, 0))
            one.store.settle(rule(tokens_per_minute=60), msgspec.structs.replace(grant, permit=0), ONE, Demand(7000, 0))
            one.store.rest("x", 10)
            assert (await one.store.take(every, ONE)).limited == "concurrency"
            left = {name.decode(): valkey.ask("PTTL", name) / 1000 for name in valkey.ask("KEYS", "*")}
        assert left.pop("headgate:run") < 0
        assert left.pop("headgate:{t}:clocks") > 3600 + 7000
        assert set(left) == {
            "headgate:{t}:log", "headgate:{t}:permits", "headgate:{t}:waiting",
            "headgate:processes", "headgate:resting",
        }  # fmt: skip
        assert all(3500 < seconds < 3700 for seconds in left.values())

    asyncio.run(story())


def test_names_without_end(valkey, monkeypatch):
    """This process remembers so many names; who holds a place is among them."""
    monkeypatch.setattr(redis_rates, "MOST_NAMES", 20)

    async def story():
        async with processes(valkey.url, 1) as one:
            held = await one.store.take(rule("held", concurrency=1), ONE)
            for number in range(100):
                await one.store.take(rule(f"made-up-{number}", requests_per_minute=1), ONE)
            assert len(one.store._known) <= 20
            assert not any(known.asking for known in one.store._known.values())
            one.store.settle(rule("held", concurrency=1), held, ONE, ONE)
            assert (await one.store.take(rule("held", concurrency=1), ONE)).limited is None

    asyncio.run(story())


@pytest.mark.parametrize("url", ["redis://h:port", "http://h", "redis://h/x?db=y"])
def test_an_address_that_is_none(url):
    """It is known at once, and the message says what one looks like."""
    with pytest.raises(ConfigError) as error:
        Process(url)
    assert "redis://user:password@host" in error.value.hint


def test_credentials_are_nowhere(own_valkey):
    """A wrong password is told as such, without the password."""

    async def story():
        own_valkey.start()
        async with processes(own_valkey.url.replace("unix://", "unix://user:hunter2@"), 1) as one:
            assert one.store.health()["status"] == "away"
            assert "hunter2" not in str(one.store.health())

    asyncio.run(story())
