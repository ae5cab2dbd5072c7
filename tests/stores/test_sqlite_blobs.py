"""Blobs in a file: shared by processes, bounded, and never in anybody's way."""

import asyncio
import sqlite3
import stat

import pytest

from headgate.core.errors import StoreError
from headgate.gate.ports import SystemClock
from headgate.stores import sqlite_blobs
from headgate.stores.sqlite_blobs import PATIENCE, SqliteBlobs


def tell(path, story, most=sqlite_blobs.MOST_BYTES):
    """Run a story on a file."""

    async def inside():
        blobs = SqliteBlobs(path, SystemClock(), most)
        try:
            await story(blobs)
        finally:
            await blobs.close()

    asyncio.run(inside())


def test_processes_share_a_file(tmp_path):
    """What one puts the other finds, and what one drops is gone for the other; it outlives both."""

    async def story(blobs):
        other = SqliteBlobs(tmp_path / "b", SystemClock())
        await blobs.put("a", b"1", 60, ("x",))
        assert await other.get("a") == b"1"
        assert await other.claim("c", b"2", 60) is None
        assert await blobs.claim("c", b"3", 60) == b"2"
        assert await other.drop("x") == 1
        assert await blobs.get("a") is None
        await other.close()
        await other.close()
        with pytest.raises(StoreError, match="closed"):
            await other.get("a")

    async def later(blobs):
        assert await blobs.get("c") == b"2"

    tell(tmp_path / "b", story)
    tell(tmp_path / "b", later)
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600


def test_it_stays_within_its_size(tmp_path):
    """What was put first goes first, claims last; what alone is too large is not kept at all."""

    async def story(blobs):
        assert await blobs.claim("c", b"1", 60) is None
        for number in range(100):
            await blobs.put(str(number), bytes(10_000), 60)
        assert await blobs.get("0") is None
        assert await blobs.get("99") == bytes(10_000)
        assert await blobs.get("c") == b"1"
        await blobs.put("99", bytes(600_000), 60)
        assert await blobs.get("99") is None
        for number in range(100):
            assert await blobs.claim(f"c{number}", bytes(10_000), 60) is None
        assert await blobs.get("c") is None
        assert await blobs.get("c99") == bytes(10_000)

    tell(tmp_path / "b", story, most=500_000)
    assert (tmp_path / "b").stat().st_size < 2 * 500_000


def test_what_is_over_is_deleted(tmp_path, monkeypatch):
    """Every so many writes, whether anything was put or only claimed."""
    monkeypatch.setattr(sqlite_blobs, "TIDY_EVERY", 3)

    async def story(blobs):
        await blobs.put("a", b"1", 0.0)
        await blobs.claim("b", b"1", 0.0)
        await blobs.claim("c", b"1", 60)
        await blobs.claim("d", b"1", 60)
        with sqlite3.connect(tmp_path / "b") as connection:
            assert [name for (name,) in connection.execute("SELECT name FROM blobs ORDER BY name")] == ["c", "d"]
        connection.close()

    tell(tmp_path / "b", story)


def test_a_file_that_was_deleted_is_made_anew(tmp_path):
    """Nobody goes on with a file that the others do not see."""

    async def story(blobs):
        await blobs.put("a", b"1", 60)
        (tmp_path / "b").unlink()
        other = SqliteBlobs(tmp_path / "b", SystemClock())
        await other.put("b", b"2", 60)
        assert await blobs.get("a") is None
        assert await blobs.get("b") == b"2"
        await other.close()

    tell(tmp_path / "b", story)


@pytest.mark.parametrize("broken", ["no folder", "no database"])
def test_a_file_that_cannot_be_used(tmp_path, broken):
    """Says so each time, and works again when it can be used."""
    path = tmp_path / "f" / "b"
    if broken == "no database":
        path.parent.mkdir()
        path.write_bytes(b"something else, which is long enough to be read as a header" * 10)

    async def story(blobs):
        for _ in range(2):
            with pytest.raises(StoreError, match="cannot be used"):
                await blobs.put("a", b"1", 60)
        assert (await blobs.health())["status"] == "down"
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        await blobs.put("a", b"1", 60)
        assert await blobs.get("a") == b"1"

    tell(path, story)


def test_nobody_waits_for_one_who_is_stuck(tmp_path):
    """Whoever finds the file held up by another waits for `PATIENCE` at most, all together; then it goes on."""

    async def story(blobs):
        await blobs.put("a", b"1", 60)
        connection = sqlite3.connect(tmp_path / "b", isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        loop = asyncio.get_running_loop()
        began = loop.time()
        puts = [blobs.put(str(number), b"2", 60) for number in range(20)]
        found = await asyncio.gather(*puts, return_exceptions=True)
        assert all(isinstance(error, StoreError) for error in found)
        assert loop.time() - began < 4 * PATIENCE, "all of them together, not one after the other"
        connection.execute("ROLLBACK")
        connection.close()
        for _ in range(100):
            await asyncio.sleep(PATIENCE / 10)
            if (await blobs.health())["status"] == "ok":
                break
        assert await blobs.get("a") == b"1"

    tell(tmp_path / "b", story)


def test_whoever_leaves_is_not_waited_for(tmp_path):
    """A cancelled question does no harm, and its error is nobody's."""

    async def story(blobs):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await blobs.get("a")
        with pytest.raises(StoreError):
            await blobs.get("a")

    tell(tmp_path / "nowhere" / "b", story)
