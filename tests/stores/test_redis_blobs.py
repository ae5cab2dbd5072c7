"""Blobs in Valkey: bounded, and refused at once while the store is away."""

import asyncio
import signal
from contextlib import asynccontextmanager

import pytest

from headgate.core.errors import ConfigError, StoreError
from headgate.gate.ports import SystemClock
from headgate.gate.tasks import Tasks
from headgate.stores.courier import PATIENCE
from headgate.stores.redis_blobs import PREFIX, RedisBlobs


@asynccontextmanager
async def opened(url, **settings):
    """A store, open."""
    tasks = Tasks()
    blobs = RedisBlobs(url, clock=SystemClock(), start=tasks.start, **settings)
    await blobs.open()
    try:
        yield blobs
    finally:
        await blobs.close()
        await blobs.close()
        await tasks.close()


def tell(url, story, **settings):
    """Run a story on a store."""

    async def inside():
        async with opened(url, **settings) as blobs:
            await story(blobs)

    asyncio.run(inside())


async def until_it_is(blobs, status):
    """Wait until the store is said to be so."""
    for _ in range(500):
        if (await blobs.health())["status"] == status:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(await blobs.health())


@pytest.mark.e2e
def test_it_stays_within_its_size(valkey):
    """What would end first goes first; claims are not counted; what alone is too large is not kept at all."""

    async def story(blobs):
        assert await blobs.claim("c", b"1", 60) is None
        for number in range(20):
            await blobs.put(str(number), bytes(10_000), 60 + number)
        assert [await blobs.get(str(number)) is not None for number in range(20)] == [False] * 10 + [True] * 10
        assert await blobs.get("c") == b"1"
        assert int(valkey.ask("GET", PREFIX + "size")) == 100_000
        await blobs.put("19", bytes(100_001), 60)
        assert await blobs.get("19") is None
        assert int(valkey.ask("GET", PREFIX + "size")) == 90_000
        assert await blobs.drop() == 9
        assert valkey.ask("GET", PREFIX + "size") == b"0"

    tell(valkey.url, story, most=100_000)


@pytest.mark.e2e
def test_the_books_of_the_store_are_exact(valkey):
    """Whatever is put, put again, exchanged, removed, dropped or ends: the sizes add up, and nothing is left over."""

    async def story(blobs):
        await blobs.put("a", bytes(10), 60, ("x",))
        await blobs.put("a", bytes(20), 60, ("y",))
        await blobs.put("b", bytes(30), 60, ("x", "y"))
        await blobs.put("short", bytes(40), 0.001)
        assert await blobs.replace("a", bytes(20), bytes(5), 60)
        assert int(valkey.ask("GET", PREFIX + "size")) == 5 + 30 + 40
        await asyncio.sleep(0.05)
        await blobs.put("c", bytes(1), 60)
        assert int(valkey.ask("GET", PREFIX + "size")) == 5 + 30 + 1
        assert await blobs.drop("x") == 1
        assert await blobs.replace("c", bytes(1), None, 0)
        assert await blobs.drop("y") == 1
        assert int(valkey.ask("GET", PREFIX + "size")) == 0
        left = {key for key in valkey.ask("KEYS", "*") if key.startswith(PREFIX.encode())}
        assert left == {PREFIX.encode() + b"size"}

    tell(valkey.url, story)


@pytest.mark.e2e
def test_many_questions_travel_together(valkey):
    """A thousand at once, each with its own answer, and those who have left are left out."""

    async def story(blobs):
        await asyncio.gather(*(blobs.put(str(number), b"%d" % number, 60) for number in range(1000)))
        before = valkey.ask("INFO", "commandstats")["cmdstat_evalsha"]["calls"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await blobs.get("7")
        found = await asyncio.gather(*(blobs.get(str(number)) for number in range(1000)))
        assert found == [b"%d" % number for number in range(1000)]
        assert valkey.ask("INFO", "commandstats")["cmdstat_evalsha"]["calls"] - before == 1000

    tell(valkey.url, story)


@pytest.mark.e2e
def test_a_store_that_is_lost_keeps_nobody_waiting(own_valkey, caplog):
    """Silence: all wait for the courier's patience together, then are refused at once; it comes back by itself."""
    own_valkey.start()

    async def story(blobs):
        await blobs.put("a", b"1", 60)
        own_valkey.send(signal.SIGSTOP)
        loop = asyncio.get_running_loop()
        began = loop.time()
        found = await asyncio.gather(*(blobs.get("a") for _ in range(200)), return_exceptions=True)
        assert all(isinstance(error, StoreError) for error in found)
        assert loop.time() - began < PATIENCE + 0.5
        began = loop.time()
        with pytest.raises(StoreError, match="away: no answer within"):
            await blobs.get("a")
        assert loop.time() - began < PATIENCE / 2
        assert (await blobs.health())["status"] == "down"
        own_valkey.send(signal.SIGCONT)
        await until_it_is(blobs, "ok")
        assert await blobs.get("a") == b"1"
        own_valkey.kill()
        with pytest.raises(StoreError):
            await blobs.get("a")
        own_valkey.start()
        await until_it_is(blobs, "ok")
        assert await blobs.get("a") is None

    tell(own_valkey.url, story)
    assert sum(record.message.endswith("is back.") for record in caplog.records) == 2


def test_a_store_that_was_never_there(own_valkey):
    """It opens all the same, refuses at once, and closing it is quick."""

    async def story(blobs):
        with pytest.raises(StoreError, match="away"):
            await blobs.put("a", b"1", 60)
        assert await blobs.health() == {"status": "down", "kind": "redis", "error": blobs._away}

    tell(own_valkey.url, story)


@pytest.mark.e2e
def test_whoever_waits_when_it_is_closed_is_told(valkey):
    """Nobody waits for what will not come."""

    async def story():
        async with opened(valkey.url) as blobs:
            asking = [blobs.get("a"), blobs.close()]
            found = await asyncio.gather(*asking, return_exceptions=True)
            assert found == [None, None] or isinstance(found[0], StoreError)
            with pytest.raises(StoreError, match="closed"):
                await blobs.get("a")

    asyncio.run(story())


def test_an_address_that_is_none():
    """Said when the store is made."""
    with pytest.raises(ConfigError, match="no address of a Redis"):
        RedisBlobs("memcached://h", clock=SystemClock(), start=lambda *_: None)
