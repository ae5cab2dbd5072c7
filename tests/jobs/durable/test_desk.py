"""Covers jobs/durable/desk.py: what a job of the same name must have in common, and what may follow which state."""

import pytest

from headgate.core.errors import BadRequestError, UnknownObjectError
from headgate.stores.jobs import JobState, Settings


def test_a_job_is_given(place, asked):
    """Its rows are in the store, and workers may begin."""

    async def story(here):
        job = await here.give(asked(1200), concurrency=7)
        assert (job.status, job.rows, job.shards, job.concurrency) == (JobState.RUNNING, 1200, 3, 7)
        assert (await here.desk.list())[0].id == "job"
        assert len(await here.book.due(9)) == 3

    place(story)


@pytest.mark.parametrize("name", ["", "a b", "a.1", "../x", "x" * 65])
def test_a_bad_name_is_refused(place, asked, name):
    """Names become names of files."""

    async def story(here):
        with pytest.raises(BadRequestError, match="cannot be called"):
            await here.give(asked(1), name=name)

    place(story)


def test_an_empty_input_is_refused(place):
    """And leaves nothing."""

    async def story(here):
        with pytest.raises(BadRequestError, match="no rows"):
            await here.give([])
        assert await here.desk.list() == []

    place(story)


def test_the_same_job_goes_on(place, asked):
    """A halted one runs again, with new settings; one that runs is left in peace."""

    async def story(here):
        await here.give(asked(3))
        await here.desk.pause("job")
        job = await here.give(asked(3), concurrency=2)
        assert (job.status, job.concurrency, job.rows) == (JobState.RUNNING, 2, 3)
        assert (await here.give(asked(3))).concurrency == 2

    place(story)


def test_another_job_of_its_name_is_refused(place, asked, each):
    """The difference is shown: another model, other rows."""

    async def story(here):
        await here.give(asked(3))
        with pytest.raises(BadRequestError, match="other settings") as refusal:
            await here.desk.submit(each(asked(4)), {"model": "other"}, name="job")
        assert 'model: was not set, is "other"' in refusal.value.message
        assert "rows: was 3, is 4" in refusal.value.message
        assert (await here.desk.status("job")).rows == 3

    place(story)


def test_half_a_job_begins_anew(place, asked):
    """Whoever wrote it down has died."""

    async def story(here):
        async def half():
            for one in asked(1):
                yield one
            raise EOFError

        with pytest.raises(EOFError):
            await here.desk.submit(half(), {"model": None}, name="job", settings=Settings())
        assert (await here.give(asked(2))).rows == 2

    place(story)


def test_what_may_follow(place, asked):
    """Twice the same is no error; what cannot be is one."""

    async def story(here):
        desk = here.desk
        await here.give(asked(1))
        with pytest.raises(BadRequestError, match="is running"):
            await desk.forget("job")
        assert (await desk.pause("job")).status is (await desk.pause("job")).status is JobState.PAUSED
        assert (await desk.cancel("job")).status is JobState.CANCELLED
        with pytest.raises(BadRequestError, match="cannot become paused"):
            await desk.pause("job")
        assert (await desk.resume("job")).status is JobState.RUNNING
        await here.book.enter("me")
        await here.book.end(await here.book.claim("job", 0, "me"))
        for steer in (desk.pause, desk.resume, desk.cancel, desk.retune):
            with pytest.raises(BadRequestError, match="is done"):
                await steer("job")
        await desk.forget("job")
        with pytest.raises(UnknownObjectError):
            await desk.status("job")

    place(story)
