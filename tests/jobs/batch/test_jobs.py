"""Covers jobs/batch/jobs.py: what single batches come to, for people."""

import asyncio
from decimal import Decimal

import pytest

from headgate.core.errors import APIError, BadRequestError, OverBudgetError, UnknownObjectError
from headgate.jobs.batch.jobs import BatchJobs, BatchJobStatus
from headgate.jobs.batch.reading import Unsent
from headgate.jobs.batch.wire import Wire
from tests.jobs.batch.conftest import row

ROWS = [row(number) for number in range(1, 11)]


def test_a_job_from_its_beginning_to_its_end(stage):
    """Each state is told, counts and costs are of the whole, and the saving is as much as the cost."""

    async def story(made):
        jobs = BatchJobs(await made.start())
        job = await jobs.submit(ROWS, tags={})
        assert (job.status, job.total, job.completed, job.model) == (BatchJobStatus.VALIDATING, 10, 0, "gpt-6-luna")
        assert len(job.batches) == 1
        done = await jobs.wait(job.id)
        assert (done.status, done.completed, done.failed, done.unsent) == (BatchJobStatus.COMPLETED, 10, 0, 0)
        assert done.cost_usd == done.saved_usd == made.simulator.bill.usd() > 0
        assert await jobs.status(job.id) == done
        assert len([one async for one in jobs.results(job.id)]) == 10
        assert await jobs.wait(job.id) == done

    stage(story)


def test_another_process_takes_a_job_up(stage):
    """By its name, from the store; the latest jobs come first."""

    async def story(made):
        jobs = BatchJobs(await made.start())
        first = await jobs.submit(ROWS[:3], tags={})
        await asyncio.sleep(1)
        second = await jobs.submit(ROWS[3:], tags={})
        jobs = BatchJobs(await made.start())
        assert [job.id for job in await jobs.list()] == [second.id, first.id]
        assert [job.id for job in await jobs.list(1)] == [second.id]
        outcomes = [one async for one in jobs.results(second.id)]
        assert sorted(one.number for one in outcomes) == [4, 5, 6, 7, 8, 9, 10]

    stage(story)


def test_a_job_is_cancelled_in_the_middle(stage):
    """What was answered stays and is paid for; the rest comes back."""

    async def story(made):
        jobs = BatchJobs(await made.start())
        job = await jobs.submit(ROWS, tags={})
        await asyncio.sleep(50)
        assert (await jobs.cancel(job.id)).status is BatchJobStatus.CANCELLING
        done = await jobs.wait(job.id)
        assert done.status is BatchJobStatus.CANCELLED
        assert 0 < done.completed < 10
        assert done.completed + done.unsent == 10
        assert done.cost_usd == made.simulator.bill.usd()
        outcomes = [one async for one in jobs.results(job.id)]
        assert sum(isinstance(one, Unsent) for one in outcomes) == done.unsent
        assert await jobs.cancel(job.id) == done

    stage(story)


def test_a_deadline_ends_a_job(stage):
    """It has expired, for us."""

    async def story(made):
        jobs = BatchJobs(await made.start())
        job = await jobs.submit(ROWS, tags={}, deadline=40.0)
        done = await jobs.wait(job.id)
        assert done.status is BatchJobStatus.EXPIRED
        assert done.completed + done.unsent == 10
        assert 40 <= (done.deadline - done.created_at).total_seconds() < 41

    stage(story)


def test_a_job_that_waits_for_room_is_queued(stage):
    """Of two files one may run."""

    async def story(made):
        jobs = BatchJobs(await made.start())
        first = await jobs.submit(ROWS[:6], tags={})
        second = await jobs.submit(ROWS[6:], tags={})
        assert (first.status, second.status) == (BatchJobStatus.VALIDATING, BatchJobStatus.QUEUED)
        await jobs.wait(first.id)
        assert (await jobs.wait(second.id)).status is BatchJobStatus.COMPLETED

    stage(story, tokens=65)


def test_what_passed_by_itself_is_no_error_of_a_job(stage, monkeypatch):
    """The provider had no room at first; why rows were never asked is told."""

    async def story(made):
        jobs = BatchJobs(await made.start())
        monkeypatch.setattr(made.gate.batching, "most_enqueued", lambda _: None)
        first = await jobs.submit(ROWS[:6], tags={})
        second = await jobs.submit(ROWS[6:], tags={})
        done = await jobs.wait(second.id)
        assert "failed" in [batch.status for batch in made.made()]
        assert (done.status, done.error) == (BatchJobStatus.COMPLETED, None)
        await jobs.wait(first.id)

        async def refuse(*_args, **_facts):
            raise APIError("Not for batches.")

        monkeypatch.setattr(Wire, "create", refuse)
        job = await jobs.wait((await jobs.submit(ROWS, tags={})).id)
        assert (job.status, job.error, job.unsent) == (BatchJobStatus.FAILED, "Not for batches.", 10)

    stage(story, tokens=40)


def test_a_job_that_a_budget_has_no_room_for_leaves_nothing(stage):
    """It is refused with the sums, nothing was made, and nothing is lent."""
    budget = {"name": "all", "scope": "gateway", "limit_usd": "0.00001", "window": "total"}

    async def story(made):
        jobs = BatchJobs(await made.start())
        with pytest.raises(OverBudgetError, match="this batch may cost"):
            await jobs.submit(ROWS, tags={})
        assert made.made() == []
        (job,) = await jobs.list()
        assert (job.status, job.cost_usd) == (BatchJobStatus.CANCELLED, Decimal(0))
        assert (await made.gate.budgets())[0].lent == 0

    stage(story, budgets=[budget])


def test_wrong_use_is_told_before_anything_leaves(stage):
    """No rows, a deadline that has passed, a row that cannot be sent, a job that nobody knows."""

    async def story(made):
        jobs = BatchJobs(await made.start())
        with pytest.raises(BadRequestError, match="at least one row"):
            await jobs.submit([], tags={})
        for deadline in (0.0, -1.0, float("nan"), "12h"):
            with pytest.raises(BadRequestError, match="`deadline` is"):
                await jobs.submit(ROWS, tags={}, deadline=deadline)
        with pytest.raises(BadRequestError, match="cannot be streamed"):
            await jobs.submit([*ROWS, row(99, stream=True)], tags={})
        for ask in (jobs.status, jobs.wait, jobs.cancel):
            with pytest.raises(UnknownObjectError, match="no batch job 'nobody'"):
                await ask("nobody")
        assert await jobs.list() == []

    stage(story)
