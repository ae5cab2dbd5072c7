"""The lane of the Batch API: rows of a job in, their outcomes out, whatever dies on the way.

Decides how rows are gathered into batches, how often the provider is asked how they stand, and what is waited for;
refuses to know the life of a single batch (`cycle.py`) and what else could be done with a row.

A job has a name, and who begins it again by that name goes on where it was: the same rows are given again, those that a
batch has already are not sent a second time, and outcomes that were given before may be given once more.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing

import msgspec

from headgate.core.call import ANONYMOUS, NO_TAGS, Caller
from headgate.core.error import Again
from headgate.core.errors import (
    APIError,
    BacklogError,
    BadRequestError,
    CallerError,
    DeadlineError,
    HeadgateError,
    NoTargetError,
    OverBudgetError,
    ProviderError,
    RestingError,
    SharedStoreError,
    StoreError,
    UnboundedError,
    UnpricedError,
)
from headgate.gate.gate import Gate
from headgate.jobs.batch.cycle import LOST, Cycle
from headgate.jobs.batch.harvest import Harvest
from headgate.jobs.batch.packing import Group, Limits, Pack, Packer, read_line
from headgate.jobs.batch.reading import Unsent
from headgate.jobs.batch.wire import Wire, read_again
from headgate.jobs.row import Lane, Outcome, Row, Trouble
from headgate.stores.batches import ENDED, BatchRecord, Facts, State

SHORTEST, LONGEST = 1.0, 60.0
"""Seconds between two looks at a job: they grow by half as long as nothing happens."""
BREATH = 50
"""Rows after which others get a turn."""
MOST_FAILURES = 10
"""Looks in a row that may fail of what may pass by itself."""
_PASSING = (BacklogError, DeadlineError, RestingError, SharedStoreError, StoreError)
_log = logging.getLogger("headgate.jobs")


class BatchLane:
    """The lane.

    Args:
        gate: that everything passes.
        limits: what one file may have.
        lost: seconds after which a batch that nobody can find was not made.

    Attributes:
        cycle: takes single batches on.
        harvest: collects what they came to.
        wire: the Batch API.
    """

    def __init__(self, gate: Gate, *, limits: Limits | None = None, lost: float = LOST) -> None:
        self._gate = gate
        self._book = gate.batching.book
        self._clock = gate.batching.clock
        self._limits = limits or Limits()
        self._breaths = 0
        self.wire = Wire(gate)
        self.cycle = Cycle(self.wire, gate, lost=lost)
        self.harvest = Harvest(self.wire, gate, self.cycle)

    async def run(
        self,
        rows: AsyncIterator[Row],
        *,
        job: str,
        deadline: float | None = None,
        tags: Mapping[str, str] = NO_TAGS,
        caller: Caller = ANONYMOUS,
    ) -> AsyncGenerator[Outcome | Unsent, None]:
        """Send rows in batches, and give what becomes of each, in any order.

        Leaving in the middle ends nothing at the provider: begun again by its name, the job goes on. Nobody else may
        run a job of that name at the same time.

        Args:
            rows: of the job; all of them again, or those without an outcome, where it goes on.
            job: its name.
            deadline: when outcomes are of no use any more, in seconds since 1970: what is not answered by then is
                ended at the provider and given back.
            tags: of every row, for the books.
            caller: whose rows they are, for the books and budgets.

        Raises:
            OverBudgetError: what the next batch may cost cannot be set aside, and none is under way that could free
                some of it; begun again with more, the job goes on.
            HeadgateError: nothing can be done at the moment; begun again, the job goes on.
        """
        facts = Facts(
            operation="", asked="", deadline=deadline, key=caller.key, project=caller.project,
            tags={**tags, **caller.tags},
        )  # fmt: skip
        place, known = await self._known(job)
        packer = Packer(self._limits)
        try:
            async for row in rows:
                await self._breathe()
                if row.number in known:
                    continue
                try:
                    pack = await self._pack(packer, row, facts, caller)
                except NoTargetError as error:
                    yield Unsent(row=row, reason=error.message)
                except (CallerError, UnboundedError, UnpricedError) as error:
                    if error.code == "unguarded":
                        yield Unsent(row=row, reason=error.message)
                    else:
                        yield _wrong(row, error)
                else:
                    if pack is not None:
                        place = await self._begin(pack, job, place, facts)
            for pack in packer.rest():
                place = await self._begin(pack, job, place, facts)
        finally:
            packer.close()
        async with aclosing(self.follow(job, alone=True)) as found:
            async for one in found:
                yield one

    async def gather(
        self, rows: AsyncIterator[Row], *, job: str, deadline: float | None, tags: Mapping[str, str]
    ) -> list[BatchRecord]:
        """Give the provider all rows of a new job, and have as many batches made as may be.

        Raises:
            HeadgateError: one of the rows cannot be sent in a batch, or nothing could be made; nothing runs then.
        """
        facts = Facts(operation="", asked="", deadline=deadline, tags=tags)
        packer, packs = Packer(self._limits), []
        try:
            async for row in rows:
                await self._breathe()
                full = await self._pack(packer, row, facts, ANONYMOUS)
                packs += [full] if full is not None else []
            packs += packer.rest()
            for place, pack in enumerate(packs):
                await self.cycle.begin(pack, job, place, facts)
            await self._first(await self._book.job(job))
        except HeadgateError:
            await self.undo(job)
            raise
        finally:
            packer.close()
            for pack in packs:
                pack.close()
        return await self._book.job(job)

    async def _first(self, records: list[BatchRecord]) -> None:
        """Have batches made. One that has to wait does no harm where another was made, or where waiting helps."""
        made = False
        for record in records:
            try:
                made |= (await self.cycle.advance(record)).state is not State.READY
            except HeadgateError as error:
                if not made and not _passing(error):
                    raise
                _log.warning("The batch %s waits: %s", record.id, error.message)

    async def undo(self, job: str) -> None:
        """End a job of which nothing was made yet."""
        for record in await self._book.job(job):
            if (await self.cycle.cancel(record)).state is State.READY:
                await self.cycle.advance(await self._book.find(record.id) or record)
        async with aclosing(self.follow(job)) as left:
            async for _ in left:
                pass

    async def follow(self, job: str, *, alone: bool = False) -> AsyncGenerator[Outcome | Unsent, None]:
        """Take a job on until nothing is left to do; gives what becomes of its rows from now on.

        Args:
            job: its name.
            alone: nobody else is at work on it.

        Raises:
            HeadgateError: as `run` does.
        """
        wait, failures = SHORTEST, 0
        while True:
            records = [record for record in await self._book.job(job) if record.state not in ENDED]
            if not records:
                return
            moved, failure = False, None
            if any(record.facts.cancelled for record in records):
                # One that followed another may have come later.
                records = [await self.cycle.cancel(record) for record in records]
            for record in records:
                try:
                    after = await self.cycle.advance(record, alone=alone)
                    moved |= after != record
                    if after.state is State.OVER:
                        async with aclosing(self.harvest.collect(after)) as found:
                            async for one in found:
                                yield one
                        moved = True
                except HeadgateError as error:
                    if not _bearable(error, records):
                        raise
                    failure = None if isinstance(error, OverBudgetError) else error
            failures = failures + 1 if failure is not None and not moved else 0
            if failure is not None and failures >= MOST_FAILURES:
                raise failure
            wait = SHORTEST if moved else min(wait * 1.5, LONGEST)
            await self._clock.sleep(self._until(records, wait))

    def _until(self, records: list[BatchRecord], wait: float) -> float:
        """Not all processes look at the same moment, and a deadline is not slept through."""
        now = self._clock.time()
        wait *= 0.9 + 0.2 * self._gate.batching.chance.random()
        due = [record.facts.deadline - now for record in records if record.facts.deadline is not None]
        return min([wait, *(max(left, SHORTEST / 10) for left in due if left > 0)])

    async def _known(self, job: str) -> tuple[int, set[int]]:
        """The first place that is free, and the numbers of the rows that batches of the job have."""
        place, known = 0, set[int]()
        for found in await self._book.job(job):
            place = max(place, found.place + 1)
            if found.facts.follows is not None:
                continue
            record = found
            if record.state is State.INTENDED:
                record = await self.cycle.advance(record, alone=True)
            if record.state is not State.VOID and record.facts.file is not None:
                async with aclosing(read_again(self.wire, record.provider, record.facts.file)) as lines:
                    async for line in lines:
                        if (row := read_line(line)) is not None:
                            known.add(row.number)
        return place, known

    async def _begin(self, pack: Pack, job: str, place: int, facts: Facts) -> int:
        """Have a batch made as soon as its file is full; gives the next place."""
        try:
            record = await self.cycle.begin(pack, job, place, facts)
        finally:
            pack.close()
        try:
            await self.cycle.advance(record)
        except HeadgateError as error:
            # There will be another look.
            _log.info("The batch %s waits: %s", record.id, error.message)
        return record.place + 1

    async def _breathe(self) -> None:
        """Let others have a turn: nothing else waits while rows are made to fit."""
        self._breaths += 1
        if self._breaths % BREATH == 0:
            await self._clock.sleep(0)

    async def _pack(self, packer: Packer, row: Row, facts: Facts, caller: Caller) -> Pack | None:
        call = self._gate.call(row.operation, row.body, caller=caller, tags=facts.tags, unsupported="drop")
        target = self._gate.batching.target(call.model, call.operation)
        fitted = await self._gate.batching.fit(call, target)
        group = Group(target, row.operation, call.model, fitted.kept_long)
        most = self._gate.batching.most_enqueued(target.provider)
        return packer.add(group, msgspec.structs.replace(row, body=fitted.body), fitted, tokens=most)


def _bearable(error: HeadgateError, records: Sequence[BatchRecord]) -> bool:
    """Whether to look again: it may pass by itself, or a batch that ends may free enough of a budget."""
    if isinstance(error, OverBudgetError):
        return any(record.state in {State.CREATING, State.SENT, State.OVER} for record in records)
    return _passing(error)


def _passing(error: HeadgateError) -> bool:
    """Whether it may pass by itself."""
    if isinstance(error, APIError):
        return error.again is not Again.NEVER
    return isinstance(error, (ProviderError, *_PASSING))


def _wrong(row: Row, error: HeadgateError) -> Outcome:
    code = error.code if isinstance(error, BadRequestError) else type(error).code
    return Outcome(
        id=row.id,
        number=row.number,
        lane=Lane.BATCH,
        error=Trouble(code=code, message=error.message),
        error_class=type(error).__name__,
    )
