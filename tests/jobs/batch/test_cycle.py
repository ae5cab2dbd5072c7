"""Covers jobs/batch/cycle.py: a process that dies between any two steps loses no row and pays for none twice."""

import asyncio
from collections import Counter
from contextlib import suppress

import msgspec
import pytest

from headgate.core.errors import APIError, UnreachableError
from headgate.gate.batching import Batching
from headgate.jobs.batch.cycle import LOST, Cycle
from headgate.jobs.batch.reading import Unsent
from headgate.jobs.batch.wire import Wire
from headgate.stores.batches import BatchBook, State
from tests.jobs.batch.conftest import each, row

ROWS = [row(number, user="ann" if number % 2 else None) for number in range(1, 13)]
BAD = [row(number, raw=b'{"model": "gpt-6-luna"}') for number in (20, 21)]
BUDGET = {"name": "all", "scope": "gateway", "limit_usd": 1, "window": "total"}
STEPS = {
    Wire: ("upload", "find_file", "create", "look", "cancel", "find"),
    BatchBook: ("intend", "change", "claim"),
    Batching: ("lend", "release", "settle"),
}
"""Whatever changes something outside of the process."""


class Died(BaseException):
    """The process was killed."""


class Steps:
    """Counts steps, and dies just before or just after one of them."""

    def __init__(self, monkeypatch):
        self.count = 0
        self.names = []
        self.dies = (0, "")
        for owner, names in STEPS.items():
            for name in names:
                monkeypatch.setattr(owner, name, self._counted(name, getattr(owner, name)))

    def _counted(self, name, method):
        async def step(*args, **kwargs):
            self.count += 1
            self.names.append(name)
            number, moment = self.dies
            if self.count == number and moment == "before":
                raise Died
            result = await method(*args, **kwargs)
            if self.count == number and moment == "after":
                raise Died
            return result

        return step


def collected(found, outcomes):
    """Outcomes by row, each once: what a planner keeps of those that were given before a death and after it."""
    kept = {(one.row if isinstance(one, Unsent) else one).number: one for one in found}
    for one in outcomes:
        number = (one.row if isinstance(one, Unsent) else one).number
        if number in kept:
            # Said again, it is the same.
            assert kept[number] == one
        kept[number] = one
    return kept


async def survive(made, steps, dies, deadline=None):
    """A job whose process is killed at a step, and that a second one finishes. Gives what was kept."""
    await made.start()
    until = None if deadline is None else made.gate.batching.clock.time() + deadline
    steps.count, steps.dies, steps.names = 0, dies, []
    first = []
    with suppress(Died):
        async for one in made.lane(rows=8).run(each([*ROWS, *BAD]), job="job", deadline=until):
            first.append(one)  # noqa: PERF401  those before the death count
    steps.dies = (0, "")
    kept = collected([], first)
    rest = [one for one in (*ROWS, *BAD) if one.number not in kept]
    again = await made.run(rest, limits={"rows": 8}, deadline=until)
    kept = collected(first, again)
    await made.agree(kept.values())
    served = Counter(row.custom_id for batch in made.made() for row in batch.rows[: batch.done])
    assert set(served.values()) <= {1}, "no row was answered twice"
    assert {record.state for record in await made.records()} <= {State.DONE, State.VOID}
    return kept


LIVES = {
    "whole": ({}, None),
    "expiring": ({"window": 60}, None),
    "late": ({}, 50),
    "slow lists": ({"listing": 30}, None),
}


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_death_at_any_step_loses_nothing_and_pays_nothing_twice(stage, monkeypatch, life, moment):
    """Before and after each single step of a job that is split, refused in part, goes on, and is given back."""
    batch, deadline = LIVES[life]
    steps = Steps(monkeypatch)
    number = 0
    while True:

        async def story(made, dies):
            return await survive(made, steps, dies, deadline)

        dies = (number, moment)
        kept = stage(lambda made, dies=dies: story(made, dies), batch, budgets=[BUDGET])
        assert sorted(kept) == sorted(one.number for one in (*ROWS, *BAD))
        failed = [one.number for one in kept.values() if not isinstance(one, Unsent) and not one.succeeded]
        assert set(failed) <= {20, 21}
        if number and steps.count < number:
            break
        number += 1
    assert number > 25


def test_a_batch_whose_making_was_lost_is_adopted(stage, monkeypatch):
    """The answer never came, the list is slow: it is found by its mark, and not made a second time."""

    async def story(made):
        await made.start()
        lane = made.lane()
        create = Wire.create

        async def lost(self, *args, **facts):
            await create(self, *args, **facts)
            raise UnreachableError("reset")

        with monkeypatch.context() as patch:
            patch.setattr(Wire, "create", lost)
            patch.setattr("headgate.jobs.batch.cycle._not_made", lambda _: False)
            async for _ in lane.run(each(ROWS), job="job"):
                break
        outcomes = [one async for one in made.lane().follow("job")]
        assert len(made.made()) == 1
        assert made.made()[0].asked.metadata["headgate"] == (await made.records())[0].mark
        assert {record.state for record in await made.records()} == {State.DONE}
        del outcomes

    stage(story, {"listing": 60})


@pytest.mark.parametrize(("kind", "made_twice"), [("reset", False), ("status", False)])
def test_a_provider_that_fails_while_making_is_asked_once_and_looked_at(stage, kind, made_twice):
    """The gate's own retries do not make a batch twice either."""
    fault = {"kind": kind, "times": 1}

    async def story(made):
        outcomes = await made.run(ROWS)
        await made.agree(outcomes)
        assert (len(made.made()) > 1) is made_twice

    stage(story, faults=[fault])


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
        pack = None
        async for _ in lane.run(each([]), job="empty"):
            pass
        del pack
        record = (await lane.gather(each(ROWS), job="job", deadline=None, tags={}))[0]
        file, mark = record.facts.file, record.mark
        await lane.wire.create("sim", file=file, endpoint="/v1/chat/completions", mark=mark, job="job")
        back = msgspec.structs.replace(
            record, state=State.CREATING, facts=msgspec.structs.replace(record.facts, remote=None, status=None)
        )
        assert await made.gate.batching.book.change(record, back)
        cycle = Cycle(lane.wire, made.gate.batching)
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
