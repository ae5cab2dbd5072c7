"""The contract of the book of jobs, over every database: one owner a shard, and nothing written by a former one."""

import asyncio
from decimal import Decimal

import pytest

from headgate.stores.jobs import Due, JobBook, JobRecord, JobState, Settings, Sums


@pytest.fixture
def book(ledger):
    """A book of jobs that is empty."""
    return JobBook(ledger)


async def begun(book, shards=2):
    """A job that runs, and a worker."""
    settings = Settings(concurrency=3, budget=Decimal("0.5"), deadline=1e9)
    assert await book.make(JobRecord(id="job", began=5.0, spec='{"model":"fast"}', settings=settings))
    for place in range(shards):
        await book.put("job", place, 10, b"\x00\xff rows")
    assert await book.move("job", [JobState.FILLING], JobState.RUNNING)
    await book.enter("me")


def test_a_job_is_read_as_it_was_written(book):
    """With the sums over its shards; a second one of its name is not made."""

    async def story():
        assert await book.find("job") is None
        await begun(book)
        assert not await book.make(JobRecord(id="job", began=6.0, spec="{}"))
        hold = await book.claim("job", 0, "me")
        assert await book.tell(hold, Sums(succeeded=3, failed=1, cost=2**61), ["c\0 'x"])
        found = await book.find("job")
        assert (found.settings.budget, found.settings.concurrency, found.spec) == (
            Decimal("0.5"), 3, '{"model":"fast"}',
        )  # fmt: skip
        assert (found.rows, found.shards, found.shards_done, found.at_work) == (20, 2, 0, 1)
        assert found.sums == Sums(succeeded=3, failed=1, cost=2**61)
        assert await book.ambiguous("job") == ["c\0 'x"]
        assert await book.latest(5) == await book.running() == [found]
        assert await book.input("job", 1) == b"\x00\xff rows"

    asyncio.run(story())


def test_a_former_owner_cannot_write(book):
    """Once it is buried: not what came of the shard, nor a piece, nor its end; and it gets no other shard."""

    async def story():
        await begun(book)
        hold = await book.claim("job", 0, "me")
        assert await book.tell(hold, Sums(), [], (0, b"first"))
        assert await book.claim("job", 0, "me") is None, "it has it already"
        await book.enter("other")
        assert not await book.bury("me", 7), "it has shown life since"
        assert await book.bury("me", 0)
        assert not await book.beat("me", 1)
        assert Due("job", 0, 2) in await book.due(9)
        taken = await book.claim("job", 0, "other")
        assert taken.token == hold.token + 1
        assert not await book.tell(hold, Sums(succeeded=9), [], (5, b"late"))
        assert not await book.end(hold)
        assert not await book.leave(hold)
        await book.hand_back(hold)
        assert await book.claim("job", 1, "me") is None
        assert [piece async for piece in book.pieces("job", 0)] == [(0, b"first")]
        assert await book.tell(taken, Sums(succeeded=1), [], (5, b"next"))
        assert [piece async for piece in book.pieces("job", 0)] == [(0, b"first"), (5, b"next")]
        assert (await book.find("job")).sums.succeeded == 1
        await book.forget("me")
        assert [name for name, _, _ in await book.workers()] == ["other"]

    asyncio.run(story())


def test_a_piece_is_told_again(book):
    """Its teller did not hear that it had arrived, and knows more by now."""

    async def story():
        await begun(book)
        hold = await book.claim("job", 0, "me")
        assert await book.tell(hold, Sums(), [], (0, b"first"))
        assert await book.tell(hold, Sums(), [], (0, b"first, and more"))
        assert [piece async for piece in book.pieces("job", 0)] == [(0, b"first, and more")]

    asyncio.run(story())


def test_a_job_is_done_with_its_last_shard(book):
    """And a shard that is done is nobody's."""

    async def story():
        await begun(book)
        for place in (0, 1):
            assert (await book.find("job")).state is JobState.RUNNING
            assert await book.end(await book.claim("job", place, "me"))
            assert await book.claim("job", place, "me") is None
        assert (await book.find("job")).state is JobState.DONE
        assert await book.due(9) == []

    asyncio.run(story())


def test_what_is_due(book):
    """Each shard once, until somebody wants it again: after a pause, or after its worker has stopped."""

    async def story():
        await begun(book)
        due = await book.due(9)
        assert due == [Due("job", 0, 1), Due("job", 1, 1)]
        await book.queued(due)
        assert await book.due(9) == []
        hold = await book.claim("job", 0, "me")
        assert not await book.leave(hold), "its job runs"
        assert await book.move("job", [JobState.RUNNING], JobState.PAUSED)
        assert await book.claim("job", 1, "me") is None
        assert await book.leave(hold)
        assert not await book.move("job", [JobState.RUNNING], JobState.PAUSED)
        assert await book.move("job", [JobState.PAUSED], JobState.RUNNING)
        assert await book.due(9) == [Due("job", 0, 2), Due("job", 1, 2)]
        await book.queued(await book.due(9))
        await book.hand_back(await book.claim("job", 0, "me"))
        await book.want("job", 1)
        assert await book.due(9) == [Due("job", 0, 3), Due("job", 1, 3)]

    asyncio.run(story())


def test_a_job_is_forgotten(book):
    """With everything that came of it."""

    async def story():
        await begun(book)
        await book.tell(await book.claim("job", 0, "me"), Sums(), [], (0, b"x"))
        await book.drop("job")
        assert await book.find("job") is None
        assert [piece async for piece in book.pieces("job", 0)] == []

    asyncio.run(story())
