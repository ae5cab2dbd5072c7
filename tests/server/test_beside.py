"""Covers server/beside.py: what workers tell each other, whatever becomes of them."""

import asyncio
import os
import zlib

import msgspec
import pytest

from headgate.core.counts import Counts
from headgate.server.beside import EVERY, FRESH, Beside
from headgate.server.figures import Figures
from headgate.testing import VirtualClock, virtual_time

NOBODY = 2**22
"""A process id that no system gives."""


def figures(calls=0):
    """What a process tells."""
    counts = Counts()
    for _ in range(calls):
        counts.model("m").took.at_once()
    return Figures(
        counts=counts, breakers={("p", "m"): 2}, waiting={}, limits={("p", "m", "requests"): (10.0, 5.0)},
        shared_up=True, store_up=False, journal_up=True, backlog=None, alerts=0, exceeded=0, version="1",
        generation="g", process={"process_cpu_seconds_total": 1.5},
    )  # fmt: skip


def beside(folder, number, read=figures, workers=2):
    """One of the workers."""
    return Beside(folder, number, workers, read, VirtualClock())


def on_time(story):
    """Run a story in made-up time."""

    async def whole():
        return await story()

    return virtual_time(whole())


def test_each_knows_what_the_others_have_told(tmp_path):
    """Its own figures are those of now."""

    async def story():
        calls = 1
        one, two = beside(tmp_path / "f", 1, lambda: figures(calls)), beside(tmp_path / "f", 2, lambda: figures(7))
        assert one.all() == {1: (figures(1), True)}
        two.tell()
        one.tell()
        calls = 2
        assert one.all() == {1: (figures(2), True), 2: (figures(7), True)}
        assert two.all() == {1: (figures(1), True), 2: (figures(7), True)}

    on_time(story)


def test_they_are_written_once_a_second_for_as_long_as_anybody_wants_them(tmp_path):
    """The file goes with who wrote it, and the folder with the last of them."""

    async def story():
        loop, folder = asyncio.get_running_loop(), tmp_path / "f"
        numbers = iter(range(100))
        one, two = beside(folder, 1, lambda: figures(next(numbers))), beside(folder, 2)
        one.keep_telling(loop)
        await asyncio.sleep(3.5 * EVERY)
        found = two.all()[1][0].counts.calls
        del one
        gone = two.all()
        await asyncio.sleep(2 * EVERY)
        del two
        return found, gone, next(numbers), folder.exists()

    assert on_time(story) == (3, {2: (figures(), True)}, 4, False)


def test_one_that_hangs_is_told_of_and_said_to(tmp_path):
    """Its last figures stay: a sum of all does not fall."""

    async def story():
        one, two = beside(tmp_path, 1), beside(tmp_path, 2, lambda: figures(7))
        two.tell()
        await asyncio.sleep(FRESH - 0.1)
        before = one.all()[2]
        await asyncio.sleep(0.1)
        return before, one.all()[2]

    assert on_time(story) == ((figures(7), True), (figures(7), False))


def test_shorter_figures_after_longer_ones(tmp_path):
    """What stands behind them in the file is not read."""

    async def story():
        one, two = beside(tmp_path, 1), beside(tmp_path, 2, lambda: long[-1])
        long = [figures(), msgspec.structs.replace(figures(7), version="x" * 500)]
        two.tell()
        long.pop()
        two.tell()
        return one.all()[2][0]

    assert on_time(story) == figures()


@pytest.mark.parametrize("data", [b"", b"\0", b"\xff" * 8, bytes(8), b"\0\0\0\1" + zlib.crc32(b"x").to_bytes(4) + b"x"])
def test_what_cannot_be_read_is_left_out(tmp_path, data):
    """Half a file, another one's, or that of another version."""

    async def story():
        one, two = beside(tmp_path, 1), beside(tmp_path, 2)
        two._path.write_bytes(data)
        return one.all()

    assert on_time(story) == {1: (figures(), True)}


def test_a_full_disk_stops_nobody(tmp_path):
    """The figures get old; nothing else happens."""

    async def story():
        one = beside(tmp_path / "f", 1)
        one._path.mkdir()
        one.tell()
        one._path.rmdir()

    on_time(story)


def test_what_killed_servers_have_left_is_removed(tmp_path):
    """Of this machine, and only where nobody lives who may want it."""

    async def story():
        one = beside(tmp_path, 1)
        machine = one._path.name.rsplit("-", 2)[0]
        mine, dead = f"{machine}-{os.getppid()}-3", f"{machine}-{NOBODY}-1"
        others = f"elsewhere-{NOBODY}-1"
        for name in (mine, dead, others, "notes.txt"):
            (tmp_path / name).write_bytes(b"")
        two = beside(tmp_path, 2)
        left = {path.name for path in tmp_path.iterdir()}
        del one, two
        return left == {mine, others, "notes.txt"}

    assert on_time(story)
