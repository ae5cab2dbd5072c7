"""A process that is killed at a step of a job in batches, and another one that goes on: what both of them keep."""

from collections import Counter
from contextlib import suppress

from headgate.gate.batching import Batching
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
"""Kinds of lives: what the provider does, and the deadline."""
