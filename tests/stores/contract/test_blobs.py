"""What every store of blobs must do, whatever it is made of. In real time: a real store has no other."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from headgate.gate.ports import SystemClock
from headgate.gate.tasks import Tasks
from headgate.stores.memory_blobs import MemoryBlobs
from headgate.stores.redis_blobs import RedisBlobs
from headgate.stores.sqlite_blobs import SqliteBlobs

SHORT = 0.02
"""Seconds; waited for three times as long."""


@pytest.fixture(params=["memory", "sqlite", pytest.param("redis", marks=pytest.mark.e2e)])
def blobs(request, tmp_path):
    """Makes a store of one kind, empty; to be opened inside a loop."""
    url = request.getfixturevalue("valkey").url if request.param == "redis" else None

    @asynccontextmanager
    async def opened():
        tasks = Tasks()
        if url is not None:
            store = RedisBlobs(url, clock=SystemClock(), start=tasks.start)
        elif request.param == "sqlite":
            store = SqliteBlobs(tmp_path / "b", SystemClock())
        else:
            store = MemoryBlobs(SystemClock())
        await store.open()
        try:
            yield store
        finally:
            await store.close()
            await tasks.close()

    opened.kind = request.param
    return opened


def run(blobs, story):
    """Run a story on a store."""

    async def inside():
        async with blobs() as store:
            await story(store)

    asyncio.run(inside())


def test_what_is_put_is_found_until_it_is_over(blobs):
    """Any bytes under any name; what is put again stands instead, with its own time."""

    async def story(store):
        assert await store.get("a") is None
        for name, value in (("a", b""), ("ä/\n{}%_*", bytes(range(256)) * 100), ("b", b"1")):
            await store.put(name, value, 60)
            assert await store.get(name) == value
        await store.put("b", b"2", 60)
        await store.put("a", b"2", SHORT)
        await asyncio.sleep(SHORT * 3)
        assert await store.get("a") is None
        assert await store.get("b") == b"2"

    run(blobs, story)


def test_one_claims(blobs):
    """Of many that claim a name one gets it, and all others see what stands there; when it is over, the next."""

    async def story(store):
        seen = await asyncio.gather(*(store.claim("a", b"%d" % number, 60) for number in range(20)))
        (mine,) = [number for number, found in enumerate(seen) if found is None]
        assert [found for found in seen if found is not None] == [b"%d" % mine] * 19
        assert await store.get("a") == b"%d" % mine
        assert await store.claim("b", b"1", SHORT) is None
        await asyncio.sleep(SHORT * 3)
        assert await store.claim("b", b"2", 60) is None
        assert await store.claim("b", b"3", 60) == b"2"
        await store.put("c", b"put", 60)
        assert await store.claim("c", b"1", 60) == b"put"

    run(blobs, story)


def test_exactly_what_was_seen_is_exchanged(blobs):
    """Once, and with a time of its own; nothing stands in for something else."""

    async def story(store):
        assert not await store.replace("a", b"", b"1", 60)
        assert await store.claim("a", b"0", 60) is None
        seen = await asyncio.gather(*(store.replace("a", b"0", b"%d" % number, 60) for number in range(1, 20)))
        assert sum(seen) == 1
        assert await store.get("a") == b"%d" % (seen.index(True) + 1)
        assert not await store.replace("a", b"0", None, 60)
        assert await store.replace("a", b"%d" % (seen.index(True) + 1), None, 60)
        assert await store.get("a") is None
        assert await store.claim("a", b"again", 60) is None
        assert await store.replace("a", b"again", b"short", SHORT)
        await asyncio.sleep(SHORT * 3)
        assert await store.get("a") is None
        assert not await store.replace("a", b"short", b"1", 60)

    run(blobs, story)


def test_labels_are_forgotten_together(blobs):
    """What has a label goes, once, and it is told how many; claims go by no label, and not with everything."""

    async def story(store):
        await store.put("a", b"1", 60, ["tag:x=1", "model:m"])
        await store.put("b", b"1", 60, ("model:m",))
        await store.put("c", b"1", 60, ("model:m2", "tag:x=1%"))
        await store.put("d", b"1", 60)
        await store.put("over", b"1", SHORT, ("model:m",))
        await asyncio.sleep(SHORT * 3)
        assert await store.claim("e", b"1", 60) is None
        assert await store.drop("model") == 0
        assert await store.drop("tag:x=1") == 1
        assert await store.get("a") is None
        assert await store.drop("model:m") == 1
        assert [await store.get(name) for name in "bcde"] == [None, b"1", b"1", b"1"]
        await store.put("b", b"2", 60)
        assert await store.drop("model:m") == 0, "what is put again has the labels that it was put with"
        assert await store.get("b") == b"2"
        await store.put("f", b"1", SHORT, ("model:m2",))
        await asyncio.sleep(SHORT * 3)
        assert await store.claim("f", b"mine", 60) is None
        assert await store.drop() == 3
        assert [await store.get(name) for name in "bcdef"] == [None, None, None, b"1", b"mine"]
        assert await store.drop() == 0

    run(blobs, story)


def test_it_says_how_it_stands(blobs):
    """In the words that all stores use."""

    async def story(store):
        assert dict(await store.health()) == {"status": "ok", "kind": blobs.kind, "error": None}

    run(blobs, story)
