"""Processes that share places through a real Valkey: one is killed, the store is killed; never more than declared."""

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headgate.gate.ports import SystemClock

CLOCK = SystemClock()
WORKER = Path(__file__).with_name("rates_worker.py")
LEASE = 1.0


class Worker:
    """A process with callers, and what it said."""

    def __init__(self, process):
        self.process = process
        self.said = []
        self.speaks = asyncio.Event()

    async def listen(self):
        async for line in self.process.stdout:
            sign, time = line.split()
            self.said.append((float(time), sign.decode()))
            self.speaks.set()

    def events(self, died=None):
        """What it said; a process that was killed gives its places back one lease after its death."""
        found = sorted(self.said)
        left = sum({"+": 1, "-": -1}.get(sign, 0) for _, sign in found)
        return found + [(died, "-")] * left if died else found


@asynccontextmanager
async def working(url, mode, places, work, number=2):
    """Several at work, killed at the end."""
    workers = []
    async with asyncio.TaskGroup() as group:
        try:
            for _ in range(number):
                process = await asyncio.create_subprocess_exec(
                    sys.executable, str(WORKER), url, mode, str(LEASE), str(places), str(work),
                    stdout=asyncio.subprocess.PIPE,
                )  # fmt: skip
                workers.append(Worker(process))
                group.create_task(workers[-1].listen())
            async with asyncio.timeout(20):
                for each in workers:
                    await each.speaks.wait()
            yield workers
        finally:
            for each in workers:
                if each.process.returncode is None:
                    each.process.kill()
                await each.process.wait()


def most_at_work(events, since=0.0):
    """The highest number of places that were taken at one time, and of places taken since a time."""
    at_work = most = taken = 0
    # At the same moment, what is given back comes first: it was over before the store was told.
    for time, sign in sorted(events, key=lambda event: (event[0], event[1] == "+")):
        at_work += {"+": 1, "-": -1}.get(sign, 0)
        if time >= since:
            most = max(most, at_work)
            taken += sign == "+"
    return most, taken


async def _one_is_killed(valkey, kills):
    places = 4
    valkey.settle_down()
    for _ in range(kills):
        async with working(valkey.url, "closed", places, 0.05) as (one, other):
            await asyncio.sleep(1.5)
            one.process.kill()
            await one.process.wait()
            died = CLOCK.time()
            await asyncio.sleep(LEASE + 1.0)
            # Exact until the lease is over: what the dead one had is nobody's.
            most, _ = most_at_work([*one.events(died + LEASE * 0.6), *other.events()])
            assert most <= places
            most, taken = most_at_work(other.events(), since=died + LEASE + 0.3)
            assert most == places
            assert taken > 5
        await asyncio.sleep(LEASE)


@pytest.mark.e2e
@pytest.mark.timeout(60)
def test_one_of_two_is_killed(valkey):
    """`kill -9`: the other has all places after the lease, and never more in between."""
    asyncio.run(_one_is_killed(valkey, 1))


@pytest.mark.chaos
@pytest.mark.timeout(120)
def test_one_of_two_is_killed_again_and_again(valkey):
    """The same, at length."""
    asyncio.run(_one_is_killed(valkey, 8))


async def _the_store_is_killed(valkey, mode, away):
    places = 4
    valkey.start()
    valkey.settle_down()
    async with working(valkey.url, mode, places, 0.03) as workers:

        def events():
            return [event for each in workers for event in each.events()]

        async def look(since, seconds):
            await asyncio.sleep(seconds)
            # As far as all have been heard: a pipe may be behind another.
            heard = min(each.said[-1][0] for each in workers)
            return most_at_work([event for event in events() if event[0] <= heard], since)

        # Both know of each other by now.
        most, taken = await look(0.0, 2.5)
        assert (most, taken > 50) == (places, True)
        valkey.kill()
        # Places that the store had granted are over soon.
        lost = CLOCK.time() + 0.4
        most, taken = await look(lost, 0.4 + away)
        if mode == "closed":
            assert taken == 0
            assert sum(sign == "!" for time, sign in events() if time > lost) > 20
        elif mode == "share":
            assert most == places
            assert taken > away * 50
        else:
            assert most == 2 * (places + 2)
            assert taken > away * 200
        valkey.start()
        back = CLOCK.time()
        # Found within a second; then nobody for a lease, and then as ever.
        most, taken = await look(back + 1.3, LEASE + 2.5)
        assert most == places
        assert taken > 50
        quiet = [time for time, sign in events() if sign == "+" and back < time < back + 1.0 + LEASE]
        gaps = [after - before for before, after in zip(sorted(quiet), sorted(quiet)[1:], strict=False)]
        assert mode == "closed" or max(gaps, default=LEASE) > LEASE * 0.7 or back + LEASE * 1.9 > max(quiet)


@pytest.mark.e2e
@pytest.mark.timeout(60)
def test_the_store_is_killed(own_valkey):
    """Killed under load and started again, empty: shares hold meanwhile, and the whole limit afterwards."""
    asyncio.run(_the_store_is_killed(own_valkey, "share", 1.5))


@pytest.mark.chaos
@pytest.mark.timeout(120)
@pytest.mark.parametrize("mode", ["open", "closed", "share"])
def test_the_store_is_away_for_long(own_valkey, mode):
    """Twenty seconds, in each mode."""
    asyncio.run(_the_store_is_killed(own_valkey, mode, 20.0))
