"""Covers jobs/durable/worker.py: who lives, who is buried, and who holds still because others may think it dead."""

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from decimal import Decimal

import pytest

from headgate.core.errors import StoreError
from headgate.jobs.durable.worker import BuriedError
from headgate.stores.jobs import JobState


@asynccontextmanager
async def living(here, worker):
    """A worker that lives, and takes from the queue; afterwards it is dead."""
    ending = asyncio.Event()
    tasks = [here.tasks.start(worker.run(here.line, ending), "run"), here.tasks.start(here.line.serve(worker), "serve")]
    worker.ending = ending
    try:
        yield tasks[0]
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError, BuriedError):
            await asyncio.gather(*tasks)


def died(worker):
    """What the kernel does when a process has ended."""
    os.close(worker._lock)
    worker._lock = None


def test_a_job_is_done(place, asked):
    """Shard after shard; a second look at the queue changes nothing."""

    async def story(here):
        await here.give(asked(1100), concurrency=100)
        worker = await here.worker()
        async with living(here, worker):
            job = await here.desk.wait("job")
        assert (job.status, job.succeeded, job.shards, job.shards_done) == (JobState.DONE, 1100, 3, 3)
        await worker.leave()
        assert await here.book.workers() == [(worker.name, worker._number, True)]

    place(story)


@pytest.mark.parametrize(("folder", "least", "most"), [("a", 0.0, 5.0), ("b", 14.0, 20.0)])
def test_a_lost_worker_is_buried(place, asked, folder, least, most):
    """At once by who shares its folder, and sees that its process has ended; by others when it was silent for long."""

    async def story(here):
        await here.give(asked(600), concurrency=10)
        first, second = await here.worker("a"), await here.worker(folder)
        async with living(here, first):
            await here.clock.sleep(10)
        died(first)
        began = here.clock.monotonic()
        async with living(here, second):
            while (await here.book.workers())[0][0] == first.name or len(await here.book.workers()) > 1:
                await here.clock.sleep(0.5)
            assert least <= here.clock.monotonic() - began <= most
            job = await here.desk.wait("job")
        assert (job.status, job.succeeded) == (JobState.DONE, 600)
        lines = [line async for line in here.desk.results("job")]
        assert len(lines) == len(set(lines)) == 600

    place(story)


def test_who_is_buried_gives_up(place, asked):
    """It cannot know what others have done meanwhile; no row fails by that, and its shard is due again."""

    async def story(here):
        await here.give(asked(100), concurrency=2)
        worker = await here.worker()
        async with living(here, worker) as life:
            await here.clock.sleep(3)
            await here.book.bury(worker.name, worker._number)
            with pytest.raises(BuriedError):
                await life
        assert (await here.book.find("job")).at_work == 0
        assert [due.place for due in await here.book.due(9)] == [0]
        (left,) = (here.folder / "a").glob("*.part")
        assert b"Stopping" not in left.read_bytes()

    place(story)


def test_who_cannot_be_heard_holds_still(place, asked, monkeypatch):
    """Before others may bury it, it sends nothing; it goes on when the store is back."""

    async def story(here):
        await here.give(asked(400), concurrency=1)
        worker = await here.worker()
        async with living(here, worker):
            await here.clock.sleep(5)

            async def away(*_):
                raise StoreError("The store is away.")

            with monkeypatch.context() as patch:
                patch.setattr(here.book, "beat", away)
                await here.clock.sleep(12)
                before = here.gate.meter.counters.in_flight
                held = (await here.book.find("job")).sums.succeeded
                await here.clock.sleep(10)
                assert (await here.book.find("job")).sums.succeeded == held
                assert before == 0
            await here.clock.sleep(10)
            assert (await here.book.find("job")).sums.succeeded > held

    place(story)


def test_a_worker_ends_with_what_is_in_flight(place, asked):
    """And the next one goes on, without anything being asked again."""

    async def story(here):
        await here.give(asked(100), concurrency=5)
        first = await here.worker()
        async with living(here, first) as life:
            await here.clock.sleep(8)
            first.ending.set()
            await life
        await first.leave()
        assert 0 < (await here.book.find("job")).sums.succeeded < 100
        second = await here.worker("b")
        async with living(here, second):
            job = await here.desk.wait("job")
        assert (job.status, job.succeeded, job.ambiguous) == (JobState.DONE, 100, ())

    place(story)


def test_a_budget_is_held_and_raised(place, asked):
    """It stops the job; more of it, and the job goes on."""

    async def story(here):
        await here.give(asked(100), concurrency=5, budget=Decimal("0.0001"))
        worker = await here.worker()
        async with living(here, worker):
            job = await here.desk.wait("job")
            assert job.status is JobState.OVER_BUDGET
            assert 0 < job.succeeded < 100
            assert job.cost_usd <= Decimal("0.0001")
            await here.desk.retune("job", budget=Decimal(1))
            await here.desk.resume("job")
            job = await here.desk.wait("job")
        assert (job.status, job.succeeded) == (JobState.DONE, 100)

    place(story)


def test_a_later_budget_counts_what_was_spent_before(place, asked):
    """A job that began without one stops at once where it has cost more by then."""

    async def story(here):
        await here.give(asked(200), concurrency=5)
        worker = await here.worker()
        async with living(here, worker):
            await here.clock.sleep(20)
            spent = (await here.desk.pause("job")).cost_usd
            await here.clock.sleep(5)
            await here.desk.retune("job", budget=spent / 2)
            before = (await here.desk.resume("job")).succeeded
            job = await here.desk.wait("job")
        assert spent > 0
        assert (job.status, job.succeeded) == (JobState.OVER_BUDGET, before)

    place(story)


def test_what_breaks_stops_its_job(place, asked, monkeypatch):
    """Nobody waits for it in vain; the worker lives on."""

    async def story(here):
        await here.give(asked(10))
        worker = await here.worker()

        async def broken(*_):
            raise OSError("no room")

        monkeypatch.setattr(here.book, "input", broken)
        async with living(here, worker) as life:
            job = await here.desk.wait("job")
            assert (job.status, job.error, life.done()) == (JobState.STOPPED, "no room", False)

    place(story)
