"""Covers jobs/batch/harvest.py: what came out of a batch is booked once, and read as often as somebody wants to."""

import msgspec

from headgate.jobs.batch.harvest import CHUNK
from headgate.jobs.batch.reading import Unsent
from headgate.stores.batches import State
from tests.jobs.batch.conftest import each, row

ROWS = [row(number) for number in range(1, 11)]


async def collected(lane, record):
    """What became of a batch's rows."""
    return sorted([one async for one in lane.harvest.collect(record)], key=_number)


def _number(one):
    return (one.row if isinstance(one, Unsent) else one).number


def test_what_is_done_can_be_read_again(stage):
    """The same outcomes and the same costs, and nothing is booked anew."""

    async def story(made):
        outcomes = await made.run(ROWS)
        (record,) = await made.records()
        booked = [line.call_id for line in await made.rows()]
        assert await collected(made.lane(), record) == sorted(outcomes, key=_number)
        assert [line.call_id for line in await made.rows()] == booked
        assert await made.records() == [record]

    stage(story, {"failing": 0.3})


def test_what_is_booked_already_is_booked_once(stage):
    """Collected anew after a death, with the money long given back: ledger and budget say the same as before."""
    budget = {"name": "all", "scope": "gateway", "limit_usd": 1, "window": "total"}

    async def story(made):
        outcomes = await made.run(ROWS)
        (record,) = await made.records()
        spent = (await made.gate.budgets())[0].spent
        over = msgspec.structs.replace(record, state=State.OVER)
        assert await made.gate.batching.book.change(record, over)
        await collected(made.lane(), over)
        assert (await made.records()) == [record]
        assert (await made.gate.budgets())[0].spent == spent
        await made.agree(outcomes)

    stage(story, budgets=[budget])


def test_rows_that_were_given_back_are_told_each_time(stage):
    """By whoever reads a job that ended at its deadline."""

    async def story(made):
        await made.start()
        deadline = made.gate.batching.clock.time() + 50
        outcomes = await made.run(ROWS, deadline=deadline)
        (record,) = await made.records()
        again = await collected(made.lane(), record)
        assert [type(one) for one in again] == [type(one) for one in sorted(outcomes, key=_number)]
        assert record.facts.unsent == sum(isinstance(one, Unsent) for one in again) > 0

    stage(story)


def test_answers_that_say_a_row_twice_count_once(stage):
    """Whatever the provider writes: the first one stands, and is the only one that is booked."""

    async def story(made):
        await made.start()
        lane = made.lane()
        shelf = made.simulator._archive._shelf
        found = []
        async for one in lane.run(each(ROWS), job="job"):
            found.append(one)  # noqa: PERF401  nothing but a list is asked for
        (record,) = await made.records()
        output = b"".join(shelf.find(record.facts.output).chunks())
        facts = msgspec.structs.replace(record.facts, output=shelf.put("batch_output", "x", [output, output]).id)
        outcomes = await collected(lane, msgspec.structs.replace(record, facts=facts))
        assert outcomes == sorted(found, key=_number)

    stage(story)


def test_many_answers_are_booked_some_at_a_time(stage):
    """More than one transaction takes, and the tally is of all of them."""

    async def story(made):
        outcomes = await made.run([row(number) for number in range(CHUNK + 7)])
        await made.agree(outcomes)
        assert (await made.records())[0].facts.answered == CHUNK + 7

    stage(story)
