"""Jobs in batches, as people see them: one name for all batches that a set of rows has needed, and how it stands.

Decides what the states of single batches come to; refuses to know who asks, and how a batch gets from one state to the
next.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import groupby

import msgspec

from headgate.core.errors import BadRequestError, UnknownObjectError
from headgate.core.money import to_usd
from headgate.gate.gate import Gate
from headgate.jobs.batch.lane import BatchLane
from headgate.jobs.batch.reading import Unsent
from headgate.jobs.row import Outcome, Row
from headgate.stores.batches import ENDED, BatchRecord, State

PREFIX = "job_"
"""What the names of jobs begin with that are given here."""
LISTED = 20
"""Jobs that are listed."""


class BatchJobStatus(StrEnum):
    """How a job stands."""

    QUEUED = "queued"
    """Its rows are with the provider; what may be enqueued, or a budget, holds its batches back."""
    VALIDATING = "validating"
    """The provider looks at its rows."""
    IN_PROGRESS = "in_progress"
    """Rows are being answered."""
    FINALIZING = "finalizing"
    """The last rows are answered, or what was answered is still to be booked."""
    CANCELLING = "cancelling"
    """It is being ended."""
    COMPLETED = "completed"
    """Every row has its answer, or its error."""
    EXPIRED = "expired"
    """It has ended, and rows were not answered in time."""
    CANCELLED = "cancelled"
    """It was ended before all rows were answered."""
    FAILED = "failed"
    """It has ended, and rows could not be asked."""

    @property
    def over(self) -> bool:
        """Whether nothing follows."""
        return self in _OVER


_OVER = frozenset((BatchJobStatus.COMPLETED, BatchJobStatus.EXPIRED, BatchJobStatus.CANCELLED, BatchJobStatus.FAILED))
_GOING = (BatchJobStatus.IN_PROGRESS, BatchJobStatus.FINALIZING, BatchJobStatus.VALIDATING)


class BatchJob(msgspec.Struct, frozen=True, kw_only=True):
    """A set of rows on its way through the provider's Batch API.

    Attributes:
        id: ours.
        status: how it stands.
        model: that was asked for; the first one, where rows ask for several.
        created_at: when it began.
        deadline: when its answers are of no use any more.
        total, completed, failed, unsent: its rows; those answered, answered with an error, and given back, as far as
            batches have ended.
        batches: the provider's ids of its batches, in their order.
        cost_usd: US dollars of what was answered; None where a price is not known.
        saved_usd: what the same answers would have cost more at once.
        error: why rows could not be asked.
    """

    id: str
    status: BatchJobStatus
    model: str
    created_at: datetime
    deadline: datetime | None
    total: int
    completed: int
    failed: int
    unsent: int
    batches: tuple[str, ...]
    cost_usd: Decimal | None
    saved_usd: Decimal | None
    error: str | None = None


class BatchJobs:
    """The jobs of a gate.

    Args:
        gate: that everything passes.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._book = gate.batching.book
        self._lane = BatchLane(gate)

    async def submit(self, rows: Sequence[Row], *, deadline: float | None = None, tags: Mapping[str, str]) -> BatchJob:
        """Begin a job: the provider has its rows, and its batches are made as far as they may be.

        Args:
            rows: at least one, each with a number and an id of its own.
            deadline: seconds from now after which answers are of no use.
            tags: of every row, for the books.

        Raises:
            BadRequestError: there is no row, or one cannot be sent in a batch; nothing was sent.
            HeadgateError: no batch could be made; none runs.
        """
        if not rows:
            raise BadRequestError("A job needs at least one row.", param="requests")
        if deadline is not None and not (isinstance(deadline, int | float) and deadline > 0):
            message = f"`deadline` is {deadline!r}; it is a number of seconds from now, above 0."
            raise BadRequestError(message, param="deadline")
        ends = None if deadline is None else self._gate.batching.clock.time() + deadline
        name = PREFIX + self._gate.batching.chance.token()
        return _job(await self._lane.gather(_each(rows), job=name, deadline=ends, tags=tags))

    async def status(self, name: str) -> BatchJob:
        """How a job stands, by what was last heard of it; asks no provider.

        Raises:
            UnknownObjectError: there is no such job, here and below.
            StoreError: the store cannot be asked.
        """
        return _job(await self._records(name))

    async def wait(self, name: str) -> BatchJob:
        """Take a job on until it is over. Whoever begins that again goes on where it was.

        Raises:
            HeadgateError: nothing can be done at the moment.
        """
        await self._records(name)
        async with aclosing(self._lane.follow(name)) as outcomes:
            async for _ in outcomes:
                pass
        return await self.status(name)

    async def results(self, name: str) -> AsyncGenerator[Outcome | Unsent, None]:
        """What became of the rows of a job, batch by batch, in no order within one; waits for what is not over yet.

        As often as you like, as long as the provider keeps the files.

        Raises:
            HeadgateError: nothing can be done at the moment.
        """
        for record in [record for record in await self._records(name) if record.state is State.DONE]:
            async with aclosing(self._lane.harvest.collect(record)) as found:
                async for one in found:
                    yield one
        async with aclosing(self._lane.follow(name)) as later:
            async for one in later:
                yield one

    async def cancel(self, name: str) -> BatchJob:
        """Have a job ended. What was answered by then stays, and is paid for; `wait` sees to the end of it.

        Raises:
            HeadgateError: nothing can be done at the moment.
        """
        for record in await self._records(name):
            if record.state not in ENDED:
                wanted = await self._lane.cycle.cancel(record)
                if wanted.state is not State.OVER:
                    await self._lane.cycle.advance(wanted)
        return await self.status(name)

    async def list(self, limit: int = LISTED) -> Sequence[BatchJob]:
        """The jobs that began last, the latest first.

        Raises:
            StoreError: the store cannot be asked.
        """
        records = sorted(await self._book.latest(limit), key=lambda record: record.job)
        jobs = [_job([*found]) for _, found in groupby(records, key=lambda record: record.job)]
        return sorted(jobs, key=lambda job: job.created_at, reverse=True)

    async def _records(self, name: str) -> Sequence[BatchRecord]:
        records = await self._book.job(name)
        if not records:
            hint = "`batches.list()` names the latest ones."
            raise UnknownObjectError(f"There is no batch job {name[:80]!r}.", param="id", hint=hint)
        return records


def _job(records: Sequence[BatchRecord]) -> BatchJob:
    first, facts = records[0], [record.facts for record in records]
    roots = [record.facts for record in records if record.facts.follows is None and record.state is not State.VOID]
    cost = _sum([one.cost for one in facts])
    realtime = _sum([one.realtime for one in facts])
    deadline = first.facts.deadline
    return BatchJob(
        id=first.job,
        status=_status(records),
        model=first.facts.asked,
        created_at=datetime.fromtimestamp(min(record.began for record in records), UTC),
        deadline=None if deadline is None else datetime.fromtimestamp(deadline, UTC),
        total=sum(one.rows for one in roots),
        completed=sum(one.answered for one in facts),
        failed=sum(one.failed for one in facts),
        unsent=sum(one.unsent for one in facts),
        batches=tuple(one.remote for one in facts if one.remote is not None),
        cost_usd=None if cost is None else to_usd(cost),
        saved_usd=None if cost is None or realtime is None else to_usd(realtime - cost),
        error=next((one.trouble for one in facts if one.trouble is not None), None),
    )


def _sum(figures: Sequence[int | None]) -> int | None:
    known = [figure for figure in figures if figure is not None]
    return sum(known) if len(known) == len(figures) else None


def _status(records: Sequence[BatchRecord]) -> BatchJobStatus:
    going = [record for record in records if record.state not in ENDED]
    cancelled = any(record.facts.cancelled for record in records)
    if not going:
        return _ended(records, cancelled=cancelled)
    if cancelled:
        return BatchJobStatus.CANCELLING
    told = {record.facts.status for record in going if record.state is State.SENT}
    over = any(record.state is State.OVER for record in going)
    found = [status for status in _GOING if status in told]
    return found[0] if found else BatchJobStatus.FINALIZING if over else BatchJobStatus.QUEUED


def _ended(records: Sequence[BatchRecord], *, cancelled: bool) -> BatchJobStatus:
    left = [record.facts for record in records if record.facts.unsent]
    if all(record.state is State.VOID for record in records) or any(one.trouble for one in left):
        return BatchJobStatus.FAILED
    if not left:
        return BatchJobStatus.COMPLETED
    return BatchJobStatus.CANCELLED if cancelled else BatchJobStatus.EXPIRED


async def _each(rows: Sequence[Row]) -> AsyncIterator[Row]:
    for row in rows:
        yield row
