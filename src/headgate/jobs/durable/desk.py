"""The desk: where durable jobs are given, looked at and steered, whoever does the work.

Decides what a job is called, what may be done with one as it stands, and what a job of the same name must have in
common with the one that is there. Everything it does is in the store: no worker needs to be near, or running.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zlib import crc32

import msgspec

from headgate.core.clock import Chance, Clock
from headgate.core.errors import BadRequestError, UnknownObjectError
from headgate.core.money import to_usd
from headgate.jobs.durable import result
from headgate.jobs.durable.parcel import pack, parcels, size
from headgate.jobs.intake import Taken
from headgate.jobs.part import differences
from headgate.stores.jobs import JobBook, JobRecord, JobState, Settings

PREFIX = "run_"
"""What the names of jobs begin with that are given here."""
LISTED = 20
"""Jobs that are listed."""
UNSET = Settings()
"""Nothing is said of what may be changed later."""
LOOK = 1.0
"""Seconds between two looks at a job that is waited for."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HALTED = (JobState.PAUSED, JobState.OVER_BUDGET, JobState.STOPPED, JobState.CANCELLED)
_OPEN = (JobState.RUNNING, JobState.PAUSED, JobState.OVER_BUDGET, JobState.STOPPED)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A durable job, as it stands.

    Attributes:
        id: its name.
        status: how it stands.
        model: that was asked for; None for the default one.
        created_at: when it began.
        rows: how many it has.
        succeeded, failed: of them, as workers have last told; they do every two seconds.
        cost_usd: US dollars of these, where prices are known.
        unpriced: rows whose price is not known.
        prompt_tokens, completion_tokens: that they used.
        shards, shards_done: its parts, and those of which every row has its outcome.
        at_work: shards that a worker has now.
        concurrency: rows that each worker asks at the same time; None: as many as fill the limits.
        budget_usd: what all of it may cost.
        deadline: when its answers are of no use any more.
        ambiguous: names of rows that were asked again, because a worker was lost while they were in flight.
        error: why it was stopped.
    """

    id: str
    status: JobState
    model: str | None
    created_at: datetime
    rows: int
    succeeded: int
    failed: int
    cost_usd: Decimal
    unpriced: int
    prompt_tokens: int
    completion_tokens: int
    shards: int
    shards_done: int
    at_work: int
    concurrency: int | None = None
    budget_usd: Decimal | None = None
    deadline: datetime | None = None
    ambiguous: tuple[str, ...] = ()
    error: str | None = None


class Desk:
    """The desk of a store.

    Args:
        book: of jobs.
        clock, chance: those of the process.
    """

    def __init__(self, book: JobBook, *, clock: Clock, chance: Chance) -> None:
        self._book = book
        self._clock = clock
        self._chance = chance

    async def submit(
        self,
        rows: AsyncIterator[Taken],
        spec: Mapping[str, Any],
        *,
        name: str | None = None,
        number: int | None = None,
        settings: Settings = UNSET,
    ) -> Job:
        """Give a job; workers may begin when all its rows are written down.

        A job of the same name goes on if it is the same one: same rows, model, prompt and parameters.

        Args:
            rows: what it asks.
            spec: what is asked of every row, in words that a difference can be shown in.
            name: its name; None for one that is made up.
            number: of rows, about; None where nobody knows.
            settings: what may be changed later.

        Raises:
            BadRequestError: there is another job of this name, or no row; nothing is done.
            StoreError: the store cannot be asked, here and below.
        """
        if name is not None and not _NAME.fullmatch(name):
            hint = "Letters, digits, `_` and `-`, at most 64 of them."
            raise BadRequestError(f"A job cannot be called {name[:80]!r}.", param="name", hint=hint)
        name = name or PREFIX + self._chance.token()[:12]
        before = await self._book.find(name)
        if before is not None and before.state is not JobState.FILLING:
            return await self._again(before, rows, spec, settings)
        # Whoever wrote down half of it is gone.
        await self._book.drop(name)
        await self._book.make(JobRecord(id=name, began=self._clock.time(), spec=_text(spec, 0, 0), settings=settings))
        place = found = mark = 0
        async for parcel in parcels(rows, size(number)):
            await self._book.put(name, place, len(parcel), pack(parcel))
            place, found, mark = place + 1, found + len(parcel), _marked(parcel, mark)
        if not found:
            await self._book.drop(name)
            raise BadRequestError("The input has no rows.", param="input")
        await self._book.specify(name, _text(spec, found, mark))
        await self._book.move(name, [JobState.FILLING], JobState.RUNNING)
        return await self.status(name)

    async def _again(
        self, before: JobRecord, rows: AsyncIterator[Taken], spec: Mapping[str, Any], settings: Settings
    ) -> Job:
        found = mark = 0
        async for taken in rows:
            found, mark = found + 1, _marked([taken], mark)
        was, now = msgspec.json.decode(before.spec), msgspec.json.decode(_text(spec, found, mark))
        if changes := differences(was, now):
            message = f"The job {before.id!r} was given with other settings:{changes}"
            hint = "Give it as it was to go on, or name another one."
            raise BadRequestError(message, code="job_changed", param="name", hint=hint)
        if settings != UNSET:
            await self._book.tune(before.id, settings)
        return await self.resume(before.id) if before.state in _HALTED else await self.status(before.id)

    async def status(self, name: str) -> Job:
        """How a job stands.

        Raises:
            UnknownObjectError: there is no such job, here and below.
        """
        record = await self._record(name)
        return _job(record, await self._book.ambiguous(name))

    async def list(self, limit: int = LISTED) -> Sequence[Job]:
        """The jobs that began last, the latest first."""
        return [_job(record) for record in await self._book.latest(limit)]

    async def wait(self, name: str) -> Job:
        """Wait until nothing follows: it is done, or was stopped, paused or cancelled."""
        while not (await self._record(name)).state.over:
            await self._clock.sleep(LOOK)
        return await self.status(name)

    async def pause(self, name: str) -> Job:
        """Have nobody go on with a job for now; rows in flight are finished.

        Raises:
            BadRequestError: it does not run.
        """
        return await self._moved(name, [JobState.RUNNING], JobState.PAUSED)

    async def resume(self, name: str) -> Job:
        """Go on with a job that was paused, stopped or cancelled.

        Raises:
            BadRequestError: it was none of that.
        """
        return await self._moved(name, _HALTED, JobState.RUNNING)

    async def cancel(self, name: str) -> Job:
        """End a job; rows in flight are finished, and what was answered stays.

        Raises:
            BadRequestError: it is over.
        """
        return await self._moved(name, _OPEN, JobState.CANCELLED)

    async def retune(self, name: str, **changes: Any) -> Job:
        """Change a job's `concurrency`, `budget` or `deadline`, at once where it runs; None takes one away.

        Raises:
            BadRequestError: it is done.
        """
        record = await self._record(name)
        if record.state is JobState.DONE:
            raise BadRequestError(f"The job {name!r} is done.", hint="`headgate jobs output` writes what came of it.")
        await self._book.tune(name, msgspec.structs.replace(record.settings, **changes))
        return await self.status(name)

    async def results(self, name: str) -> AsyncGenerator[bytes, None]:
        """The lines of the output in the order of the input, one for each row that has its outcome by now."""
        async for found in result.lines(self._book, await self._record(name)):
            for line in found:
                yield line

    async def forget(self, name: str) -> None:
        """Take a job that is over, and all that came of it, out of the store.

        Raises:
            BadRequestError: it runs.
        """
        record = await self._record(name)
        if not record.state.over:
            raise BadRequestError(f"The job {name!r} is {record.state}.", hint="Cancel it first.")
        await self._book.drop(name)

    async def _moved(self, name: str, before: Sequence[JobState], after: JobState) -> Job:
        if not await self._book.move(name, before, after):
            record = await self._record(name)
            if record.state is not after:
                raise BadRequestError(f"The job {name!r} is {record.state}: it cannot become {after}.")
        return await self.status(name)

    async def _record(self, name: str) -> JobRecord:
        record = await self._book.find(name)
        if record is None:
            hint = "`headgate jobs list` names the latest ones."
            raise UnknownObjectError(f"There is no job {name[:80]!r}.", param="id", hint=hint)
        return record


def _marked(parcel: Sequence[Taken], mark: int) -> int:
    """A checksum of an input, a stretch further."""
    for taken in parcel:
        mark = crc32(b"%d %d" % (taken.row.number, taken.mark), mark)
    return mark


def _text(spec: Mapping[str, Any], rows: int, mark: int) -> str:
    return msgspec.json.encode({**spec, "rows": rows, "checksum": f"{mark:08x}"}).decode()


def _job(record: JobRecord, ambiguous: Sequence[str] = ()) -> Job:
    settings, sums = record.settings, record.sums
    deadline = settings.deadline
    return Job(
        id=record.id,
        status=record.state,
        model=msgspec.json.decode(record.spec).get("model"),
        created_at=datetime.fromtimestamp(record.began, UTC),
        rows=record.rows,
        succeeded=sums.succeeded,
        failed=sums.failed,
        cost_usd=to_usd(sums.cost),
        unpriced=sums.unpriced,
        prompt_tokens=sums.prompt_tokens,
        completion_tokens=sums.completion_tokens,
        shards=record.shards,
        shards_done=record.shards_done,
        at_work=record.at_work,
        concurrency=settings.concurrency,
        budget_usd=settings.budget,
        deadline=None if deadline is None else datetime.fromtimestamp(deadline, UTC),
        ambiguous=tuple(ambiguous),
        error=record.trouble,
    )
