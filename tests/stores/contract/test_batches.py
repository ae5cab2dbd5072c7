"""The contract of the book of batches, over every database: written down once, taken on by one, limits held."""

import asyncio

import msgspec
import pytest

from headgate.stores.batches import BatchBook, BatchRecord, Facts, Fund, State
from headgate.stores.records import ObjectRow

FACTS = Facts(
    operation="chat",
    asked="fast",
    deadline=1_800_000_000.25,
    tags={"team": "ünï'; DROP", "a": "b"},
    funds=(Fund("all", "2027-01", 2**62, 5),),
    cost=None,
    trouble="a NUL \0 and a quote '",
)


@pytest.fixture
def book(ledger):
    """A book of batches that is empty."""
    return BatchBook(ledger)


def batch(job="job", place=0, **changes):
    """A batch that was just thought of."""
    facts = {
        "id": f"{job}/{place}", "job": job, "place": place, "began": float(place), "mark": f"{job}{place}",
        "provider": "openai", "model": "gpt-6-luna", "tokens": 10, "facts": Facts(operation="chat", asked="fast"),
    }  # fmt: skip
    return BatchRecord(**{**facts, **changes})


def moved(record, state, **facts):
    """The same batch, further on."""
    return msgspec.structs.replace(record, state=state, facts=msgspec.structs.replace(record.facts, **facts))


def test_a_batch_is_read_as_it_was_written(book):
    """Everything that is known of it."""

    async def story():
        made = batch(facts=FACTS)
        assert await book.find("job/0") is None
        assert await book.intend(made) == made
        assert await book.find("job/0") == made
        assert await book.job("job") == await book.unfinished() == await book.latest(1) == [made]

    asyncio.run(story())


def test_who_comes_second_is_told_of_the_first(book):
    """An intent of the same id, after a crash perhaps, finds the mark that is there."""

    async def story():
        first = await book.intend(batch())
        assert await book.intend(batch(mark="another")) == first

    asyncio.run(story())


def test_who_knows_an_older_state_changes_nothing(book):
    """Of two that go on from the same reading, one does."""

    async def story():
        made = await book.intend(batch())
        ready = moved(made, State.READY, file="file-1")
        assert await book.change(made, ready)
        assert not await book.change(made, moved(made, State.VOID))
        assert not await book.change(moved(ready, State.READY, file="file-2"), moved(ready, State.VOID))
        assert await book.find("job/0") == ready

    asyncio.run(story())


def test_one_of_many_claims_a_batch(book):
    """Though all ask at the same moment."""

    async def story():
        made = moved(batch(), State.READY)
        await book.intend(made)

        def claim(moment):
            after = msgspec.structs.replace(moved(made, State.CREATING), claimed=float(moment))
            return book.claim(made, after, None)

        assert sorted(await asyncio.gather(*map(claim, range(1, 6)))) == [False, False, False, False, True]
        assert (await book.find("job/0")).state is State.CREATING

    asyncio.run(story())


def test_no_more_is_enqueued_than_a_model_may_have(book):
    """What is being made and what runs counts, of this provider and model; what is over does not."""

    async def story():
        made = [moved(batch(place=place), State.READY) for place in range(3)]
        other = moved(batch("other", model="gpt-6-sol"), State.READY)
        for record in (*made, other):
            await book.intend(record)

        async def claimed(record, most):
            return await book.claim(record, moved(record, State.CREATING), most)

        assert not await claimed(made[0], 9)
        assert await claimed(made[0], 20)
        assert await claimed(made[1], 20)
        assert not await claimed(made[2], 20)
        assert await claimed(other, 10)
        assert await book.enqueued("openai", "gpt-6-luna") == 20
        sent = moved(made[0], State.SENT)
        assert await book.change(moved(made[0], State.CREATING), sent)
        assert not await claimed(made[2], 20)
        assert await book.change(sent, moved(sent, State.OVER))
        assert await claimed(made[2], 20)

    asyncio.run(story())


def test_what_a_call_has_made_is_found_by_it(book, ledger):
    """Its batches, not its files, nor what others have made."""

    async def story():
        made = [("batch_1", "c1"), ("batch_2", "c1"), ("file-1", "c1"), ("batch_3", "c2")]
        await ledger.book(
            [], [ObjectRow(id=name, tenant=None, provider="p", call_id=call, time=1.0) for name, call in made]
        )
        assert await book.made_by("c1") == ["batch_1", "batch_2"]
        assert await book.made_by("c3") == []

    asyncio.run(story())


def test_the_latest_jobs_are_listed_whole(book):
    """By when they began; what is done is not among the unfinished."""

    async def story():
        old = [await book.intend(batch("old", place, began=1.0 + place)) for place in range(2)]
        new = [await book.intend(moved(batch("new", place, began=50.0), State.DONE)) for place in range(2)]
        assert await book.latest(1) == new
        assert sorted(record.id for record in await book.latest(9)) == ["new/0", "new/1", "old/0", "old/1"]
        assert await book.unfinished() == old

    asyncio.run(story())
