"""The store is in trouble, or the disk of the journal: calls go on as long as they can be booked, and nothing is lost.

The simulator's log is the witness that no call left while none could be written down.
"""

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
from collections import Counter
from contextlib import contextmanager

import pytest

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]
QUIET = ({"kind": "status", "status": 503, "rate": 0.05},)
"""Nothing upstream ends in the unknown, so that nothing else may."""


@contextmanager
def locked(path):
    """Another process writes into the ledger, and does not end."""
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
    finally:
        other.close()


@contextmanager
def small_disk(folder, size):
    """A disk of its own for a folder."""
    folder.mkdir()
    if os.geteuid():
        pytest.skip("only root may mount a disk")
    made = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(made.stderr)
    try:
        yield
    finally:
        subprocess.run(["/bin/umount", "--lazy", folder], check=True)


def codes(heard):
    """How often which status was answered; `full` for 503 `journal_full`."""
    return Counter("full" if one.refused else one.status for one in heard)


def fill(path):
    """Take the rest of the disk."""
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


async def nothing_leaves(stage, crowd, seconds=2.0):
    """Every call is refused for want of a place in the journal, and none arrives upstream."""
    await asyncio.sleep(1.5)
    arrived, heard = len(stage.arrivals()), len(crowd.heard)
    await asyncio.sleep(seconds)
    assert len(stage.arrivals()) == arrived
    found = codes(crowd.heard[heard:])
    assert found["full"] == found.total() > 50, found


async def calls_are_answered(crowd, at_least=100, seconds=20.0):
    """From now on calls succeed again."""
    before = len(crowd.heard)
    end = asyncio.get_running_loop().time() + seconds
    while codes(crowd.heard[before:])[200] < at_least:
        assert asyncio.get_running_loop().time() < end, codes(crowd.heard[before:])
        await asyncio.sleep(0.1)


def nothing_unknown(tally):
    """Neither an attempt nor a call ended in the dark."""
    assert tally.counts["unknown"] == tally.counts["crashed calls"] == 0, tally.counts


def test_a_locked_ledger_stops_no_call(stage, callers, free_port, tell):
    """Longer than a booking waits for the lock: calls are answered all the while, and all are booked afterwards."""

    async def story():
        async with stage:
            await stage.simulate(QUIET)
            gateway = await stage.serve(free_port())
            await gateway.ready()
            async with callers(1, [gateway.port], leave=0) as crowd:
                await calls_are_answered(crowd)
                with locked(stage.store):
                    for _ in range(6):
                        await calls_are_answered(crowd)
                        await asyncio.sleep(2)
                await calls_are_answered(crowd)
            assert "database is locked" in gateway.said
            # 502: the provider failed at each of the call's attempts.
            assert set(codes(crowd.heard)) <= {200, 502}
            await gateway.stop(troubled=True)
            assert stage.journals() == []
            tally = await stage.audit(crowd.heard)
            nothing_unknown(tally)
            tell("locked ledger", tally)

    asyncio.run(story())


def test_death_and_start_while_the_ledger_is_locked(stage, callers, free_port, tell):
    """A backlog of several files is adopted once the ledger comes back; until then the new gateway serves."""

    async def story():
        async with stage:
            await stage.simulate(QUIET, first_token=0.01, per_token=0.0005)
            port = free_port()
            gateway = await stage.serve(port)
            await gateway.ready()
            async with callers(2, [port], leave=0, heavy=1) as crowd:
                await calls_are_answered(crowd)
                with locked(stage.store):
                    while len(stage.journals()) < 3:
                        await calls_are_answered(crowd, 50)
                    await gateway.kill()
                    dead = stage.journals()
                    gateway = await stage.serve(port)
                    await gateway.ready()
                    await calls_are_answered(crowd)
                    assert set(stage.journals()) > set(dead)
                await asyncio.sleep(15)
                assert not set(stage.journals()) & set(dead)
            await gateway.stop(troubled=True)
            assert stage.journals() == []
            tally = await stage.audit(crowd.heard, kills=1)
            assert 0 < tally.counts["unknown"] <= 32
            tell("killed and started while locked", tally)

    asyncio.run(story())


def test_a_full_backlog_stops_every_call(stage, callers, free_port, tell):
    """503 `journal_full`, nothing leaves, and refusals do not fill the disk; then everything goes on."""

    async def story():
        async with stage:
            await stage.simulate(QUIET)
            gateway = await stage.serve(free_port(), max_backlog_mb=0.1)
            await gateway.ready()
            async with callers(3, [gateway.port], leave=0, heavy=0) as crowd:
                with locked(stage.store):
                    await nothing_leaves(stage, crowd)
                    size = stage.journal_size()
                    assert size < 100_000 + 32 * 2000
                    await nothing_leaves(stage, crowd)
                    assert stage.journal_size() == size
                    assert (await stage.get(gateway.port, "/health"))[1]["journal"]["unwritten"] > 100
                await calls_are_answered(crowd)
            await gateway.stop(troubled=True)
            assert stage.journals() == []
            tally = await stage.audit(crowd.heard)
            nothing_unknown(tally)
            tell("full backlog", tally)

    asyncio.run(story())


@pytest.mark.parametrize("end", ["room again", "kill"])
def test_a_full_disk_stops_every_call(stage, callers, free_port, tell, end):
    """503, nothing leaves; answers in flight are booked when there is room, or as `unknown` after a death."""

    async def story():
        with small_disk(stage.journal, "1m"):
            async with stage:
                await stage.simulate(QUIET)
                port = free_port()
                gateway = await stage.serve(port)
                await gateway.ready()
                async with callers(4, [port], leave=0, heavy=0) as crowd:
                    await calls_are_answered(crowd)
                    ballast = stage.journal / "ballast"
                    with pytest.raises(OSError, match="No space"):
                        fill(ballast)
                    await nothing_leaves(stage, crowd)
                    if end == "kill":
                        await gateway.kill()
                        ballast.unlink()
                        gateway = await stage.serve(port)
                    else:
                        ballast.unlink()
                    await calls_are_answered(crowd)
                await gateway.stop(troubled=end != "kill")
                assert stage.journals() == []
                tally = await stage.audit(crowd.heard, kills=int(end == "kill"), owed=end == "kill")
                if end == "kill":
                    assert 0 < tally.counts["unknown"] <= 32
                else:
                    nothing_unknown(tally)
                tell(f"full disk, {end}", tally)

    asyncio.run(story())


def test_a_disk_that_the_journal_fills(stage, callers, free_port, until, tell):
    """While the ledger is away the journal takes the whole disk; once the ledger is back, booking makes room."""

    async def story():
        with small_disk(stage.journal, "24m"):
            async with stage:
                await stage.simulate(QUIET, first_token=0.01, per_token=0.0005)
                gateway = await stage.serve(free_port())
                await gateway.ready()
                async with callers(5, [gateway.port], leave=0, heavy=1) as crowd:
                    with locked(stage.store):
                        await until(lambda: codes(crowd.heard[-32:])["full"], "a full disk", 60)
                        # The next round of booking begins with outcomes that cannot be written.
                        await until(lambda: "is locked" in gateway.said, "a booking that gave up", 30)
                        await nothing_leaves(stage, crowd)
                        assert stage.journal_size() > 23_000_000
                    await calls_are_answered(crowd, seconds=60)
                await gateway.stop(troubled=True)
                assert stage.journals() == []
                tally = await stage.audit(crowd.heard)
                nothing_unknown(tally)
                tell("disk filled by the journal", tally)

    asyncio.run(story())


def test_no_file_may_grow(stage, callers, free_port, tell):
    """A limit on the size of files (as in some containers) is as good as a full disk; no root is needed to show it."""

    async def story():
        async with stage:
            await stage.simulate(QUIET)
            gateway = await stage.serve(free_port())
            await gateway.ready()
            async with callers(6, [gateway.port], leave=0, heavy=0) as crowd:
                await calls_are_answered(crowd)
                _, hard = resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE)
                resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (4096, hard))
                await nothing_leaves(stage, crowd)
                resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
                await calls_are_answered(crowd)
            await gateway.stop(troubled=True)
            assert stage.journals() == []
            tally = await stage.audit(crowd.heard)
            nothing_unknown(tally)
            tell("no file may grow", tally)

    asyncio.run(story())


@pytest.mark.parametrize("instead", ["a folder", "nothing", "another file"])
def test_the_ledger_is_taken_away(stage, callers, free_port, tell, instead):
    """Its file is moved under the running gateway: calls go on, nothing is booked elsewhere; then it is back."""

    async def story():
        async with stage:
            await stage.simulate(QUIET)
            gateway = await stage.serve(free_port())
            await gateway.ready()
            aside = stage.folder / "aside.db"
            async with callers(7, [gateway.port], leave=0) as crowd:
                await calls_are_answered(crowd)
                stage.store.rename(aside)
                if instead == "a folder":
                    stage.store.mkdir()
                elif instead == "another file":
                    stage.store.touch()
                await calls_are_answered(crowd)
                await asyncio.sleep(3)
                await calls_are_answered(crowd)
                if instead == "a folder":
                    stage.store.rmdir()
                aside.replace(stage.store)
                await calls_are_answered(crowd)
            assert "moved" in gateway.said
            await gateway.stop(troubled=True)
            assert stage.journals() == []
            tally = await stage.audit(crowd.heard)
            nothing_unknown(tally)
            tell(f"ledger replaced by {instead}", tally)

    asyncio.run(story())


def test_the_ledger_is_deleted(stage, callers, free_port):
    """The running gateway books nothing into a file that nobody can see; the next start makes a new one for it."""

    async def story():
        async with stage:
            await stage.simulate(QUIET)
            gateway = await stage.serve(free_port())
            await gateway.ready()
            async with callers(8, [gateway.port], leave=0) as crowd:
                await calls_are_answered(crowd)
                for path in stage.folder.glob("books.db*"):
                    path.unlink()
                await asyncio.sleep(1.5)
                before = {arrival["client_request_id"] for arrival in stage.arrivals()}
                await calls_are_answered(crowd)
                await asyncio.sleep(1.5)
            gateway.send(signal.SIGTERM)
            assert await gateway.process.wait() == 0
            assert "deleted, moved or replaced" in gateway.said
            assert len(stage.journals()) == 2
            tally = await stage.audit()
            assert stage.journals() == []
            nothing_unknown(tally)
            after = {arrival["client_request_id"] for arrival in stage.arrivals()} - before
            assert len(after) >= 100
            assert after <= tally.booked

    asyncio.run(story())
