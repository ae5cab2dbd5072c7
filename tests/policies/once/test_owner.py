"""The owner: its lease runs as long as it has something to do, and what it owes is said."""

from headgate.core.errors import StoreError
from headgate.gate.ports import SystemChance
from headgate.gate.tasks import Tasks
from headgate.policies.once.owner import EVERY, LEASE, Owner
from headgate.stores.memory_blobs import MemoryBlobs
from headgate.testing import VirtualClock, virtual_time
from tests.policies.once.shop import Way


def test_the_lease_runs_while_there_are_calls():
    """It is there before anything is claimed, and gone soon after the last one; then it comes back."""
    clock = VirtualClock()
    store = MemoryBlobs(clock)

    async def story():
        owner = Owner(store, clock, SystemChance(), Tasks().start)
        for _ in range(2):
            await owner.enter()
            for _ in range(4):
                assert await store.get(owner.name)
                await clock.sleep(LEASE - 1)
            owner.leave()
            await clock.sleep(EVERY + 0.1)
            assert await store.get(owner.name) is None

    virtual_time(story())


def test_a_lease_that_was_lost_is_taken_again():
    """By the next beat, or by the next call."""
    clock = VirtualClock()
    store = MemoryBlobs(clock)

    async def story():
        owner = Owner(store, clock, SystemChance(), Tasks().start)
        await owner.enter()
        await store.close()
        await clock.sleep(2 * EVERY)
        assert await store.get(owner.name)

    virtual_time(story())


def test_what_is_owed_is_said_when_the_store_is_back():
    """What was said meanwhile by somebody else stays."""
    clock = VirtualClock()
    store = MemoryBlobs(clock)
    way = Way(store)

    async def story():
        owner = Owner(way, clock, SystemChance(), Tasks().start)
        await store.claim("a", b"1", 100)
        await store.claim("b", b"other", 100)
        way.away = True
        await owner.exchange("a", b"1", b"2", 100, None)
        await owner.exchange("b", b"1", b"2", 100, None)
        await clock.sleep(60)
        way.away = False
        await clock.sleep(EVERY)
        assert (await store.get("a"), await store.get("b")) == (b"2", b"other")
        await clock.sleep(EVERY)
        assert await store.get(owner.name) is None

    virtual_time(story())


def test_what_the_store_has_forgotten_is_said_all_the_same():
    """But that nothing came of it needs no word."""
    clock = VirtualClock()
    store = MemoryBlobs(clock)

    async def story():
        owner = Owner(store, clock, SystemChance(), Tasks().start)
        await owner.exchange("a", b"1", b"2", 100, None)
        await owner.exchange("b", b"1", None, 100, None)
        assert (await store.get("a"), await store.get("b")) == (b"2", None)

    virtual_time(story())


def test_what_the_store_does_not_take_is_said_short():
    """It is there, and refuses."""
    clock = VirtualClock()
    store = MemoryBlobs(clock, 1000)

    async def story():
        owner = Owner(store, clock, SystemChance(), Tasks().start)
        await store.claim("a", b"1", 100)
        await owner.exchange("a", b"1", b"2" * 2000, 100, b"short")
        await clock.sleep(3 * EVERY)
        assert await store.get("a") == b"short"

    virtual_time(story())


def test_at_the_end_all_is_said():
    """And nothing goes on."""
    clock = VirtualClock()
    store = MemoryBlobs(clock)
    way = Way(store)

    async def story():
        tasks = Tasks()
        owner = Owner(way, clock, SystemChance(), tasks.start)
        await owner.enter()
        await store.claim("a", b"1", 100)
        way.away = True
        await owner.exchange("a", b"1", b"2", 100, None)
        owner.leave()
        way.away = False
        await owner.close()
        assert (await store.get("a"), await store.get(owner.name)) == (b"2", None)
        await tasks.close()
        owner.owe("a", b"2", None, 0)
        assert not tasks._running

    virtual_time(story())


def test_without_its_store_nothing_is_begun():
    """And nothing is counted."""
    clock = VirtualClock()
    way = Way(MemoryBlobs(clock))
    way.away = True

    async def story():
        tasks = Tasks()
        owner = Owner(way, clock, SystemChance(), tasks.start)
        try:
            await owner.enter()
        except StoreError:
            assert (owner._calls, tasks._running) == (0, set())
        else:
            raise AssertionError

    virtual_time(story())
