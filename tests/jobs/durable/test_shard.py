"""Covers jobs/durable/shard.py: what a former owner left is gone on with, and nobody writes who was followed."""

import asyncio

import pytest

from headgate.jobs.durable.shard import Lost, Shard
from headgate.stores.jobs import JobState, Sums


async def begun(here, rows, owner="me", **settings):
    """A job whose only shard an owner has."""
    if await here.book.find("job") is None:
        await here.give(rows, **{"concurrency": 2, **settings})
    await here.book.enter(owner)
    return await here.book.claim("job", 0, owner)


def shard(here, hold, rows, folder="a"):
    """A shard in the hands of its owner."""

    async def at_once():
        pass

    (here.folder / folder).mkdir(exist_ok=True)
    return Shard(
        here.gate, here.book, hold, rows, folder=here.folder / folder, concurrency=lambda job: job.settings.concurrency,
        allowed=at_once, clock=here.clock, chance=here.chance,
    )  # fmt: skip


async def output(here):
    """The names of the rows that have outcomes, in their order."""
    return [line.split(b'"custom_id":"')[1].split(b'"')[0].decode() async for line in here.desk.results("job")]


def test_all_rows_are_answered_and_told(place, asked):
    """And nothing stays on this machine."""
    rows = asked(10)

    async def story(here):
        await shard(here, await begun(here, rows), rows).work()
        job = await here.desk.status("job")
        assert (job.status, job.succeeded, job.failed, job.shards_done) == (JobState.DONE, 10, 0, 1)
        assert job.cost_usd > 0
        assert await output(here) == [f"c{n}" for n in range(1, 11)]
        assert list((here.folder / "a").iterdir()) == []

    place(story)


@pytest.mark.parametrize(("folder", "fewer"), [("a", 0), ("b", 1)])
def test_a_lost_worker_is_followed(place, asked, folder, fewer):
    """On its own machine nothing is lost that was answered; on another one at most what was not told yet."""
    rows = asked(20)

    async def story(here):
        first = here.tasks.start(shard(here, await begun(here, rows), rows).work(), "work")
        await here.clock.sleep(4.5)
        first.cancel()
        await asyncio.wait([first])
        told = (await here.book.find("job")).sums.succeeded
        (left,) = (here.folder / "a").iterdir()
        answered = left.read_bytes().count(b'"batch_req_')
        assert 0 < told <= answered < 20
        await here.book.bury("me", 0)
        second = shard(here, await begun(here, rows, "other"), rows, folder)
        await second.work()
        assert await output(here) == [f"c{n}" for n in range(1, 21)]
        sums = (await here.book.find("job")).sums
        assert sums.succeeded == 20
        ambiguous = await here.book.ambiguous("job")
        assert len(ambiguous) == 2 if not fewer else len(ambiguous) <= 2

    place(story)


def test_a_file_that_did_not_come_to_be_is_not_gone_on_with(place, asked):
    """This machine once had the shard; another one has gone on with it in another way."""
    rows = asked(4)

    async def story(here):
        hold = await begun(here, rows)
        (here.folder / "a").mkdir()
        (here.folder / "a" / "job.0.0.part").write_bytes(b'{"headgate_run":9}\n')
        await here.book.tell(hold, Sums(), [], (0, b'{"headgate_run":1,"job":"job","spec":{"job":"job","place":0}}\n'))
        await shard(here, hold, rows).work()
        assert await output(here) == ["c1", "c2", "c3", "c4"]

    place(story)


def test_who_was_followed_stops(place, asked):
    """As soon as it tells the store something, and what it tells changes nothing."""
    rows = asked(20)

    async def story(here):
        hold = await begun(here, rows)
        work = here.tasks.start(shard(here, hold, rows).work(), "work")
        await here.clock.sleep(3)
        before = (await here.book.find("job")).sums
        await here.book.bury("me", 0)
        await begun(here, rows, "other")
        with pytest.raises(Lost):
            await work
        assert (await here.book.find("job")).sums == before

    place(story)


def test_a_job_pauses_and_goes_on(place, asked):
    """What is in flight is finished, and the shard is free; nothing is asked again."""
    rows = asked(12)

    async def story(here):
        one = shard(here, await begun(here, rows), rows)
        work = here.tasks.start(one.work(), "work")
        await here.clock.sleep(2.5)
        await here.desk.pause("job")
        one.hear(None)
        await work
        job = await here.desk.status("job")
        assert (job.status, job.at_work) == (JobState.PAUSED, 0)
        assert 0 < job.succeeded < 12
        await here.desk.resume("job")
        await shard(here, await begun(here, rows), rows, "b").work()
        job = await here.desk.status("job")
        assert (job.status, job.succeeded, job.ambiguous) == (JobState.DONE, 12, ())

    place(story)


def test_settings_change_while_it_goes_on(place, asked):
    """Four at a time instead of one: it hears of it, and ends sooner."""
    rows = asked(40)

    async def story(here):
        one = shard(here, await begun(here, rows, concurrency=1), rows)
        began = here.clock.monotonic()
        work = here.tasks.start(one.work(), "work")
        await here.clock.sleep(3.5)
        await here.desk.retune("job", concurrency=20)
        one.hear(await here.book.find("job"))
        await work
        assert here.clock.monotonic() - began < 12
        assert (await here.book.find("job")).sums.succeeded == 40

    place(story)


def test_a_worker_that_ends_hands_its_shard_on(place, asked):
    """It is due again at once."""
    rows = asked(12)

    async def story(here):
        one = shard(here, await begun(here, rows), rows)
        await here.book.queued(await here.book.due(9))
        work = here.tasks.start(one.work(), "work")
        await here.clock.sleep(1.5)
        one.end()
        await work
        assert [(due.job, due.place) for due in await here.book.due(9)] == [("job", 0)]

    place(story)


def test_a_budget_stops_its_job(place, asked):
    """And says so."""
    rows = asked(30)

    async def story(here):
        await shard(here, await begun(here, rows), rows).work()
        job = await here.desk.status("job")
        assert job.status is JobState.OVER_BUDGET
        assert "budget" in job.error
        assert 0 < job.succeeded < 30

    place(story, budgets=[{"name": "all", "scope": "gateway", "window": "total", "limit_usd": "0.00003"}])
