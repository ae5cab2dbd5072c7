"""A run through the Batch API, with those rows asked at once that no batch will answer.

Decides which rows go which way: all of them into batches, but those that failed in one before; those that the lane
gives back, because they would be late or nobody takes them, are asked at once. Refuses to know the life of a batch
(`batch/lane.py`) and of a row that is asked at once (`run.py`).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

from headgate.core.call import Operation
from headgate.core.clock import Clock
from headgate.core.errors import HeadgateError, OverBudgetError
from headgate.gate.gate import Gate
from headgate.jobs.batch.lane import BatchLane
from headgate.jobs.part import GOOD, NONE, Part
from headgate.jobs.row import Outcome, Row
from headgate.jobs.run import Run

RESERVE, LEAST_RESERVE = 0.2, 900.0
"""Share of the time until a deadline, and seconds at least, that are left for rows that no batch has answered by then:
a batch takes up to ten minutes to end."""
LEAST_ROWS = 1000
"""Rows from which on a job is one for the Batch API."""
WINDOW = 86_400.0
"""Seconds that a batch may take."""


class InBatches:
    """One run.

    Args:
        gate: everything passes it.
        run: takes rows, keeps outcomes, and asks those rows at once that are left over.
        tags: of all rows, for the books.
        concurrency: rows that are asked at once at the same time.
        deadline: seconds until answers are of no use any more; None for no such moment.
        clock: tells the time.
    """

    def __init__(
        self, gate: Gate, run: Run, *, tags: Mapping[str, str], concurrency: int, deadline: float | None, clock: Clock
    ) -> None:
        self._run = run
        self._part: Part = run.part
        self._tags = tags
        self._concurrency = concurrency
        self._clock = clock
        self._until = None
        if deadline is not None:
            self._until = clock.time() + deadline - max(deadline * RESERVE, LEAST_RESERVE)
        self._lane = BatchLane(gate)
        self._left: asyncio.Queue[Row | None] = asyncio.Queue(maxsize=concurrency)

    async def work(self) -> None:
        """Answer all rows. Cancelling it ends nothing at the provider: the same job goes on with it.

        Raises:
            BadRequestError: the input is not the one that the part file was begun with.
            HeadgateError: nothing can be done at the moment, or the part file cannot be written.
            OSError: the input cannot be read.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(self._at_once())
                await self._batched()
                for _ in range(self._concurrency):
                    await self._left.put(None)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _batched(self) -> None:
        try:
            async with aclosing(
                self._lane.run(self._rows(), job=self._part.job, deadline=self._until, tags=self._tags)
            ) as found:
                async for one in found:
                    if not isinstance(one, Outcome):
                        await self._left.put(one.row)
                    elif self._part.known(one.number) != GOOD:
                        self._run.keep(one)
        except OverBudgetError as error:
            self._run.stop(error)

    async def _rows(self) -> AsyncIterator[Row]:
        while (row := await self._run.take()) is not None:
            late = self._until is not None and self._clock.time() >= self._until
            if late or self._part.known(row.number) != NONE:
                # Or a batch of this job has it already, and it would not be sent in another one.
                await self._left.put(row)
                continue
            # What a batch has is known to the books; the part file only knows the line again.
            self._run.sent(row)
            self._part.back(row.number)
            yield row

    async def _at_once(self) -> None:
        while (row := await self._left.get()) is not None:
            if self._run.stopped is None:
                await self._run.answer(row)


def worthwhile(rows: int | None, deadline: float | None) -> bool:
    """Whether a job is one for the Batch API, where whoever gave it did not say.

    Args:
        rows: how many there are; None where nobody knows.
        deadline: seconds until answers are of no use any more.

    Example:
        >>> worthwhile(1000, None), worthwhile(999, None), worthwhile(5000, 3600.0)
        (True, False, False)
    """
    return rows is not None and rows >= LEAST_ROWS and (deadline is None or deadline >= WINDOW)


def refusal(gate: Gate, model: str | None) -> HeadgateError | None:
    """Why a model's rows cannot be batched; None where they can."""
    try:
        gate.batching.target(model or gate.default_model or "", Operation.CHAT)
    except HeadgateError as error:
        return error
    return None
