"""A run: the rows of an input, answered many at a time, each exactly once.

Decides how many are asked together, which of them are asked at all, and when it ends. Refuses to know how rows are read
(`intake.py`), kept (`part.py`) and shown: what it counts can be looked at while it goes on. A fixed number of workers
takes row after row; in memory is what they hold, whatever the length of the input.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial

import msgspec

from headgate.core.call import NO_TAGS
from headgate.core.clock import Chance, Clock
from headgate.core.errors import BadRequestError, DeadlineError, HeadgateError
from headgate.dialects.openai_fields import UNREADABLE
from headgate.gate.gate import Gate
from headgate.jobs.answering import Asked
from headgate.jobs.intake import Taken
from headgate.jobs.part import BAD, NONE, Part
from headgate.jobs.patience import Patience, Stopped
from headgate.jobs.row import Outcome, Row

_SHOWN = 5
"""Failures that are told of."""
_BREATH = 1000
"""Rows that are passed over before others get a turn."""


class _Said(msgspec.Struct):
    message: str


class _Error(msgspec.Struct):
    error: _Said


_ERROR = msgspec.json.Decoder(_Error)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a run goes.

    Attributes:
        concurrency: rows that are asked at the same time.
        max_attempts: requests that may leave on behalf of one row.
        deadline: when answers are of no use any more, on the monotonic clock.
        retry_failed: rows that failed in an earlier run are asked again.
        tags: of all calls, for the books.
        wanted: whether a row, by its number, belongs to this run; None: all do.
    """

    concurrency: int
    max_attempts: int
    deadline: float | None = None
    retry_failed: bool = False
    tags: Mapping[str, str] = NO_TAGS
    wanted: Callable[[int], bool] | None = None


class Run:
    """One run over an input.

    Args:
        gate: answers.
        rows: the input; it is read as far as there are workers to ask.
        part: keeps what becomes of them.
        plan: how it goes.
        clock: tells the time.
        chance: spreads those who wait.

    Attributes:
        part: keeps what becomes of the rows; its tally is up to date at any moment.
        answered: rows of this run that have an outcome.
        prompt_tokens, completion_tokens: used in this run.
        limited: rate limits that were met in this run.
        failures: what the first rows that failed in this run have failed with.
        ambiguous: names of rows that were asked again because nobody knows what became of them.
        stopped: why it ended before its end; None where it did not.
        trouble: what those who wait have met, while nobody is answered.
    """

    def __init__(
        self, gate: Gate, rows: AsyncIterator[Taken], part: Part, plan: Plan, *, clock: Clock, chance: Chance
    ) -> None:
        self.part = part
        self.answered = self.limited = 0
        self.prompt_tokens = self.completion_tokens = 0
        self.ambiguous: list[str] = []
        self.failures: list[str] = []
        self._gate = gate
        self._rows = rows
        self._plan = plan
        self._clock = clock
        self._patience = Patience(max_attempts=plan.max_attempts, clock=clock, chance=chance, deadline=plan.deadline)
        self._next_one = asyncio.Lock()
        # Of the rows that were taken and not sent yet: no more than there are workers.
        self._marks: dict[int, int] = {}

    @property
    def stopped(self) -> HeadgateError | None:
        """Why it ended before its end."""
        return self._patience.stopped

    @property
    def trouble(self) -> HeadgateError | None:
        """What those who wait have met, while nobody is answered."""
        return self._patience.trouble

    async def work(self) -> None:
        """Answer all rows. Cancelling it leaves nothing running; what was answered is kept.

        Raises:
            BadRequestError: the input is not the one that the part file was begun with.
            HeadgateError: the part file cannot be written.
            OSError: the input cannot be read.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._plan.concurrency):
                    group.create_task(self._work())
        except ExceptionGroup as errors:
            # Whatever ends one worker ends all; the first reason is the reason.
            raise errors.exceptions[0] from None

    def stop(self, error: HeadgateError) -> None:
        """Take no more rows; those that are being answered are finished."""
        self._patience.stop(error)

    async def _work(self) -> None:
        while (row := await self.take()) is not None:
            await self.answer(row)

    async def take(self) -> Row | None:
        """The next row that is to be asked; None where there is none. Whoever takes it says `sent`.

        Raises:
            BadRequestError: the input is not the one that the part file was begun with.
            OSError: the input cannot be read.
        """
        passed = 0
        async with self._next_one:
            while self.stopped is None:
                taken = await anext(self._rows, None)
                if taken is None:
                    return None
                row = taken.row
                if (passed := passed + 1) % _BREATH == 0:
                    await asyncio.sleep(0)
                if not self._is_wanted(taken):
                    continue
                if isinstance(row, Outcome):
                    self.keep(row)
                elif self._plan.deadline is not None and self._clock.monotonic() >= self._plan.deadline:
                    self.keep(Asked(row).failed(_late()))
                else:
                    self._marks[row.number] = taken.mark
                    return row
        return None

    def _is_wanted(self, taken: Taken) -> bool:
        number = taken.row.number
        known = self.part.known(number)
        if number in self.part.ambiguous:
            self.ambiguous.append(taken.row.id)
        before = self.part.mark(number)
        if before and before != taken.mark:
            raise _changed(number)
        if known != NONE and not (known == BAD and self._plan.retry_failed):
            return False
        return self._plan.wanted is None or self._plan.wanted(number)

    async def answer(self, row: Row) -> None:
        """Ask one row, at once, until it has its outcome.

        Raises:
            HeadgateError: the part file cannot be written.
        """
        asked = Asked(row)
        self.sent(row)
        try:
            outcome = await self._patience.ask(partial(self._once, asked))
        except Stopped:
            self.part.back(row.number)
            return
        except HeadgateError as error:
            outcome = asked.failed(error)
        self.limited += asked.limited
        self.keep(outcome)

    async def _once(self, asked: Asked) -> Outcome:
        deadline = self._plan.deadline
        left = None if deadline is None else max(deadline - self._clock.monotonic(), 0.001)
        return await asked.once(self._gate, left=left, tags=self._plan.tags)

    def sent(self, row: Row) -> None:
        """Write down that a row is about to be asked.

        Raises:
            HeadgateError: the part file cannot be written.
        """
        self.part.sent(row.number, self._marks.pop(row.number, 0))

    def keep(self, outcome: Outcome) -> None:
        """Write an outcome down, and count it.

        Raises:
            HeadgateError: the part file cannot be written.
        """
        self.part.add(outcome)
        self.answered += 1
        if not outcome.succeeded and len(self.failures) < _SHOWN:
            self.failures.append(_told(outcome))
        self.prompt_tokens += outcome.prompt_tokens
        self.completion_tokens += outcome.completion_tokens


def _told(outcome: Outcome) -> str:
    why = f"status {outcome.status}" if outcome.error is None else outcome.error.message
    if outcome.body is not None:
        # Whatever it is, it stands in the output.
        with suppress(*UNREADABLE):
            why = f"{why}: {_ERROR.decode(outcome.body).error.message}"
    return f"line {outcome.number} ({outcome.id[:80]}): {outcome.error_class}: {why[:300]}"


def _late() -> DeadlineError:
    return DeadlineError("The deadline of the run has passed; the row was not asked.")


def _changed(number: int) -> BadRequestError:
    return BadRequestError(
        f"Line {number} of the input is not what it was when the job was begun.",
        code="job_changed",
        hint="Go on with the same input (new lines may follow at its end), or name another output.",
    )
