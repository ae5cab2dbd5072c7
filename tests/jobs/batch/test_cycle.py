"""Covers jobs/batch/cycle.py: a process that dies between any two steps loses no row and pays for none twice.

Here it dies at the first step of each kind; `tests/chaos/test_batches.py` has it die at every single one.
"""

import asyncio

import msgspec
import pytest

from headgate.core.errors import APIError, UnreachableError
from headgate.jobs.batch.cycle import LOST, Cycle
from headgate.jobs.batch.reading import Unsent
from headgate.jobs.batch.wire import Wire
from headgate.providers.simulator import SimulatorTransport
from headgate.stores.batches import State
from tests.jobs.batch.conftest import each
from tests.jobs.batch.deaths import BAD, BUDGET, ROWS, Steps, survive


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_death_at_a_step_of_each_kind_loses_nothing_and_pays_nothing_twice(stage, monkeypatch, moment):
    """Intent, upload, claim, loan, making, looking, booking, giving back: before the first of each, and after it."""
    steps = Steps(monkeypatch)

    def story(dies):
        return stage(lambda made: survive(made, steps, dies), budgets=[BUDGET])

    whole = story((0, moment))
    first = {name: number for number, name in reversed([*enumerate(steps.names, 1)])}
    assert first.keys() == {"intend", "upload", "change", "claim", "lend", "create", "look", "settle", "release"}
    assert {one.number for one in whole.values() if not one.succeeded} == {20, 21}
    for number in first.values():
        kept = story((number, moment))
        assert sorted(kept) == sorted(one.number for one in (*ROWS, *BAD))
        assert not any(isinstance(one, Unsent) for one in kept.values())


@pytest.mark.parametrize("listing", [0, 60])
def test_a_batch_whose_making_was_lost_is_adopted(stage, monkeypatch, listing):
    """It was made and the connection broke, the list is slow: found by its mark, not made again, neither by retries."""
    send, lost = SimulatorTransport.send, []

    async def losing(self, outgoing, **facts):
        incoming = await send(self, outgoing, **facts)
        if outgoing.method == "POST" and outgoing.url.endswith("/batches") and not lost:
            lost.append(outgoing)
            await incoming.close()
            raise UnreachableError("The connection was reset.")
        return incoming

    monkeypatch.setattr(SimulatorTransport, "send", losing)

    async def story(made):
        outcomes = await made.run(ROWS)
        assert len(lost) == 1
        assert len(made.made()) == 1
        (record,) = await made.records()
        assert made.made()[0].asked.metadata["headgate"] == record.mark
        await made.agree(outcomes)
        assert len(outcomes) == len(ROWS)

    stage(story, {"listing": listing})


def test_a_batch_that_is_nowhere_is_made_when_it_must_be_in_lists(stage, monkeypatch):
    """Not before: the list may be slow."""

    async def story(made):
        await made.start()
        clock = made.gate.batching.clock
        create, tries = Wire.create, []

        async def never(self, *args, **facts):
            tries.append(clock.time())
            if len(tries) == 1:
                error = UnreachableError("gone")
                error.attempts = ()
                raise error
            return await create(self, *args, **facts)

        monkeypatch.setattr(Wire, "create", never)
        monkeypatch.setattr("headgate.jobs.batch.cycle._not_made", lambda _: False)
        outcomes = await made.run(ROWS)
        await made.agree(outcomes)
        assert LOST <= tries[1] - tries[0] < LOST + 61

    stage(story)


def test_a_batch_that_was_made_twice_is_ended_once(stage):
    """Should it ever happen: the first is taken on, the other one ended."""

    async def story(made):
        await made.start()
        lane = made.lane()
        record = (await lane.gather(each(ROWS), job="job", deadline=None, tags={}))[0]
        file, mark = record.facts.file, record.mark
        await lane.wire.create("sim", file=file, endpoint="/v1/chat/completions", mark=mark, job="job")
        back = msgspec.structs.replace(
            record, state=State.CREATING, facts=msgspec.structs.replace(record.facts, remote=None, status=None)
        )
        assert await made.gate.batching.book.change(record, back)
        cycle = Cycle(lane.wire, made.gate)
        after = await cycle.advance(back)
        first, second = made.made()
        assert (after.state, after.facts.remote) == (State.SENT, first.id)
        assert second.status in {"cancelling", "cancelled"}
        await asyncio.sleep(20)

    stage(story)


def test_what_a_provider_will_never_make_is_given_back(stage, monkeypatch):
    """Its reason is told with each row; nothing is lent any more."""

    async def refuse(*_args, **_facts):
        error = APIError("This model is not available for batches.")
        raise error

    async def story(made):
        monkeypatch.setattr(Wire, "create", refuse)
        outcomes = await made.run(ROWS)
        assert {one.reason for one in outcomes} == {"This model is not available for batches."}
        await made.agree(outcomes)

    stage(story, budgets=[BUDGET])
