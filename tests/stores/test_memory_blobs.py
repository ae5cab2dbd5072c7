"""Blobs in memory: how much is kept, and who goes first."""

import pytest

from headgate.core.errors import StoreError
from headgate.stores.memory_blobs import OVERHEAD, MemoryBlobs
from headgate.testing import VirtualClock, virtual_time


def tell(story, most=10 * (OVERHEAD + 10)):
    """Run a story on a store with room for ten small things."""

    async def inside():
        blobs = MemoryBlobs(VirtualClock(), most)
        await story(blobs)

    virtual_time(inside())


def test_what_was_used_longest_ago_goes_first():
    """Reading counts as using; bytes never exceed what is allowed."""

    async def story(blobs):
        for number in range(10):
            await blobs.put(str(number), b"123456789", 60)
        assert blobs.size == 10 * (OVERHEAD + 10)
        assert await blobs.get("0") == b"123456789"
        await blobs.put("x", b"123456789", 60)
        assert blobs.size == 10 * (OVERHEAD + 10)
        assert await blobs.get("1") is None
        assert await blobs.get("0") == b"123456789"

    tell(story)


def test_what_was_claimed_outlives_what_was_put():
    """Somebody counts on a claim; where there is nothing else, the oldest claim goes."""

    async def story(blobs):
        assert await blobs.claim("c", b"123456789", 60) is None
        for number in range(20):
            await blobs.put(str(number), b"123456789", 60)
        assert await blobs.get("c") == b"123456789"
        for number in range(10):
            assert await blobs.claim(f"{number}x", b"12345678", 60) is None
        assert await blobs.get("19") is None
        assert await blobs.get("c") is None
        assert blobs.size == 10 * (OVERHEAD + 10)

    tell(story)


def test_what_is_larger_than_everything_is_not_kept():
    """It throws nothing out either; a claim of it is refused, since nobody could rely on it."""

    async def story(blobs):
        await blobs.put("a", b"1", 60)
        await blobs.put("b", b"x" * 10_000, 60)
        with pytest.raises(StoreError, match="10000 bytes"):
            await blobs.claim("c", b"x" * 10_000, 60)
        assert await blobs.get("b") is await blobs.get("c") is None
        assert await blobs.get("a") == b"1"
        assert await blobs.claim("d", b"1", 60) is None
        with pytest.raises(StoreError, match="10000 bytes"):
            await blobs.replace("d", b"1", b"x" * 10_000, 60)
        assert await blobs.get("d") == b"1"
        assert await blobs.replace("d", b"1", None, 60)
        await blobs.put("a", b"x" * 10_000, 60)
        assert await blobs.get("a") is None, "what stood there before is not what was put last"
        assert blobs.size == 0

    tell(story)


def test_what_is_over_takes_no_room():
    """What has ended is gone when somebody asks for it, or when there is no room."""

    async def story(blobs):
        await blobs.put("a", b"1", 1)
        await VirtualClock().sleep(1)
        assert await blobs.get("a") is None
        assert blobs.size == 0
        await blobs.put("b", b"1", 1)
        await blobs.close()
        assert blobs.size == 0
        assert await blobs.health() == {"status": "ok", "kind": "memory", "error": None}

    tell(story)
