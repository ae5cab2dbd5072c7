"""One shard in the hands of one worker: its rows are answered, and what comes of them goes into the store.

Decides what of a former owner's work is gone on with, and when the store is told. Inside, the part file rules the rows,
as in every run: an answer stands in it before anything else is done with it. Every `FLUSH` seconds the store is told
what the part file says, by the token that the worker got with the shard; whoever comes next goes on from there, so that
a machine that is lost takes no more than that with it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from headgate.core.clock import Chance, Clock
from headgate.core.errors import HeadgateError, StoppingError, StoreError
from headgate.gate.gate import Gate
from headgate.jobs.file_job import TAG, over_budget
from headgate.jobs.intake import Taken
from headgate.jobs.part import Part
from headgate.jobs.run import Plan, Run
from headgate.stores.jobs import Hold, JobBook, JobRecord, JobState, Settings, Sums

FLUSH = 2.0
"""Seconds between two tellings of the store."""
PIECE = 4 * 1024 * 1024
"""Bytes that it is told at once."""
_log = logging.getLogger("headgate.jobs")


class Lost(Exception):  # noqa: N818  no error of anybody's
    """The shard belongs to another worker."""


class Shard:
    """One shard, from its claim until it is let go.

    Args:
        gate: answers.
        book: of jobs.
        hold: that this worker has it.
        rows: what it is about.
        folder: where its part file lies while it is worked on.
        concurrency: how many rows are asked at the same time, by the settings of the job.
        allowed: returns as soon as this worker is known to be thought alive; nothing is sent before that.
        clock, chance: those of the process.
    """

    def __init__(
        self,
        gate: Gate,
        book: JobBook,
        hold: Hold,
        rows: Sequence[Taken],
        *,
        folder: Path,
        concurrency: Callable[[JobRecord], int],
        allowed: Callable[[], Awaitable[None]],
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._gate = gate
        self._book = book
        self._hold = hold
        self._rows = rows
        self._path = folder / f"{hold.job}.{hold.place}.{hold.token}.part"
        self._concurrency = concurrency
        self._allowed = allowed
        self._clock = clock
        self._chance = chance
        self._told = 0
        self._run: Run | None = None
        self._ambiguous: dict[str, None] = {}
        self._settings = Settings()
        self._signal = StoppingError("Something has changed about the job.")
        self._ending = False

    def hear(self, job: JobRecord | None) -> None:
        """What is known of the job now; None where it does not run."""
        if self._run is not None and (job is None or job.settings != self._settings):
            self._run.stop(self._signal)

    def end(self) -> None:
        """The worker ends: finish what is in flight."""
        self._ending = True
        self.hear(None)

    async def work(self) -> None:
        """Answer its rows until all have their outcomes, its job does not run, or the worker ends.

        Raises:
            Lost: it belongs to another worker.
            HeadgateError: it cannot be worked on here.
        """
        part = await self._opened()
        try:
            try:
                async with asyncio.TaskGroup() as group:
                    telling = group.create_task(self._telling(part))
                    await self._answer(part)
                    telling.cancel()
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None
        finally:
            part.close()
        # What the store knows is all of it, and nobody here needs the files any more.
        for path in self._former():
            path.unlink(missing_ok=True)

    async def _answer(self, part: Part) -> None:
        while True:
            job = await self._job()
            if self._ending:
                await self._tell(part)
                await self._book.hand_back(self._hold)
                return
            if job is None or job.state is not JobState.RUNNING:
                await self._tell(part)
                if await self._book.leave(self._hold):
                    return
                continue
            error = await self._once(part, job)
            if error is None:
                await self._tell(part)
                if not await self._book.end(self._hold):
                    raise Lost
                return
            if error is not self._signal:
                state = JobState.OVER_BUDGET if over_budget(error) else JobState.STOPPED
                await self._book.move(job.id, [JobState.RUNNING], state, error.message)

    async def _job(self) -> JobRecord | None:
        return await self._book.find(self._hold.job)

    async def _once(self, part: Part, job: JobRecord) -> HeadgateError | None:
        """Ask what is to be asked; gives why that ended before its end."""
        self._settings, deadline = job.settings, job.settings.deadline
        left = None if deadline is None else self._clock.monotonic() + deadline - self._clock.time()
        plan = Plan(
            concurrency=self._concurrency(job),
            max_attempts=self._gate.config.policies.retry.max_attempts,
            deadline=left,
            tags={**msgspec.json.decode(job.spec).get("tags", {}), TAG: job.id},
        )
        self._run = run = Run(self._gate, self._taken(), part, plan, clock=self._clock, chance=self._chance)
        if self._ending:
            run.stop(self._signal)
        try:
            await run.work()
        finally:
            self._ambiguous.update(dict.fromkeys(run.ambiguous))
            self._run = None
        return run.stopped

    async def _taken(self) -> AsyncIterator[Taken]:
        for one in self._rows:
            await self._allowed()
            yield one

    async def _telling(self, part: Part) -> None:
        while True:
            await self._clock.sleep(FLUSH)
            try:
                await self._tell(part)
            except StoreError as error:
                _log.warning("What was answered of the job %s waits for the store: %s", self._hold.job, error.message)

    async def _tell(self, part: Part) -> None:
        """Tell the store what the part file says by now.

        Raises:
            Lost: it belongs to another worker.
            StoreError: the store is away.
        """
        sums = {name: getattr(part.tally, name) for name in Sums.__struct_fields__}
        ambiguous = [*dict.fromkeys((*self._ambiguous, *(() if self._run is None else self._run.ambiguous)))]
        while True:
            piece = await asyncio.to_thread(_stretch, part.path, self._told)
            if not await self._book.tell(self._hold, Sums(**sums), ambiguous, (self._told, piece) if piece else None):
                raise Lost
            self._told += len(piece)
            if len(piece) < PIECE // 2:
                return

    async def _opened(self) -> Part:
        """The part file, with all that the store knows of it, and more where this machine knows more."""
        hold = self._hold
        known = b"".join([data async for _, data in self._book.pieces(hold.job, hold.place)])
        self._told = len(known)
        await asyncio.to_thread(_gone_on_with, self._path, self._former(), known)
        return Part.open(self._path, {"job": hold.job, "place": hold.place}, job=hold.job)

    def _former(self) -> list[Path]:
        """The part files that owners of the shard have left on this machine, the latest first.

        One may still be open: whoever has it was thought dead. So each owner has a file of its own. This one's own is
        among them, where it has tried before.
        """
        found = self._path.parent.glob(f"{self._hold.job}.{self._hold.place}.*.part")
        files = {int(path.name.split(".")[2]): path for path in found}
        return [files[token] for token in sorted(files, reverse=True) if token <= self._hold.token]


def _stretch(path: Path, start: int) -> bytes:
    """Whole lines of a file from a place on."""
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(PIECE)
        while data and b"\n" not in data and (more := file.read(PIECE)):
            data += more
    return data[: data.rfind(b"\n") + 1]


def _gone_on_with(path: Path, former: Sequence[Path], known: bytes) -> None:
    """Make a part file of what is known of it, and of what its last owner here has known beyond that."""
    for file in former:
        with suppress(FileNotFoundError):
            data = file.read_bytes()
            # Else somebody has followed that owner, and it is not what came to be.
            if data.startswith(known):
                known = data
                break
    path.write_bytes(known)
