"""A worker: takes shards from the queue, does them one after another, and looks after those of workers that are lost.

Decides when a worker is thought dead, and when it must hold still because others may think so of it. Every worker
counts its heartbeats up in the store; whoever sees another's count stand still for `SILENT` seconds, by its own clock,
buries it: what it had is free, and its part of the queue is revived. A worker that could not tell the store for `HOLDS`
seconds that it lives sends nothing until it has; if it was buried meanwhile it gives up. So nobody compares clocks.
"""

import asyncio
import logging
import os
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import msgspec

from headgate.core.clock import Chance, Clock
from headgate.core.errors import HeadgateError, StoreError
from headgate.core.money import to_usd
from headgate.gate.config import Budget
from headgate.gate.gate import Gate
from headgate.jobs import file_job
from headgate.jobs.durable.parcel import unpack
from headgate.jobs.durable.shard import Lost, Shard
from headgate.stores.jobs import Hold, JobBook, JobRecord, JobState
from headgate.stores.protocols import Query
from headgate.stores.segments import take_lock

BEAT = 1.0
"""Seconds between two heartbeats."""
SILENT = 15.0
"""Seconds without any after which a worker is thought dead."""
HOLDS = 8.0
"""Seconds without any after which it sends nothing: others see a beat later than it was sent."""
LEAST = Decimal("0.000001")
"""US dollars that a budget has at least."""
MANY = 64
"""Shards that are put into the queue at once."""
_log = logging.getLogger("headgate.jobs")


class Queue(Protocol):
    """Where shards wait, and where it is known which worker has taken which."""

    async def put(self, job: str, place: int, wanted: int) -> None:
        """A shard is to be done. To say it again for the same `wanted` means nothing."""
        ...

    async def revive(self, worker: str) -> None:
        """What a worker had taken and not done waits again."""
        ...


class BuriedError(HeadgateError):
    """Others think that this worker is dead."""


class Worker:
    """The worker of this process.

    Args:
        gate: answers.
        book: of jobs.
        folder: where part files lie while they are worked on; workers of the same machine may share it.
        clock, chance: those of the process.

    Attributes:
        name: an unguessable one.
    """

    def __init__(self, gate: Gate, book: JobBook, *, folder: Path, clock: Clock, chance: Chance) -> None:
        self.name = chance.token()[:16]
        self._gate = gate
        self._config = gate.config
        self._book = book
        self._folder = folder
        self._clock = clock
        self._chance = chance
        self._number = 0
        self._beaten = clock.monotonic()
        self._budgets: dict[str, Decimal] = {}
        self._outside: dict[str, Decimal] = {}
        self._changing = asyncio.Lock()
        self._seen: dict[str, tuple[int, float]] = {}
        self._shards: dict[Hold, Shard] = {}
        self._works: dict[asyncio.Task[Any] | None, tuple[str, int]] = {}
        self._ending = False
        self._lock: int | None = None

    async def enter(self) -> None:
        """Begin to live: before anything is taken from the queue.

        Raises:
            StoreError: the store is away.
            OSError: the folder cannot be used.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        # As long as it is locked, whoever shares the folder knows that this one lives; afterwards, that it does not.
        self._lock = take_lock(self._folder / f"{self.name}.lock")
        await self._book.enter(self.name)
        self._beaten = self._clock.monotonic()

    async def run(self, queue: Queue, ending: asyncio.Event) -> None:
        """Live until the event is set, and what is in flight then is finished.

        Raises:
            BuriedError: others think that this worker is dead, and go on with what it had.
        """
        try:
            await self._live(queue, ending)
        finally:
            await self._drop()

    async def _live(self, queue: Queue, ending: asyncio.Event) -> None:
        while not (ending.is_set() and not self._works):
            if ending.is_set() and not self._ending:
                self._ending = True
                for shard in self._shards.values():
                    shard.end()
            try:
                await self.round(queue)
            except StoreError as error:
                _log.warning("The store cannot be asked about jobs: %s", error.message)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(ending.wait() if not self._ending else self._clock.sleep(BEAT / 4), BEAT)

    async def _drop(self) -> None:
        """End what is still going on, where this worker could not end in peace: before the gate closes under it."""
        dropped = dict(self._works)
        for task in dropped:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in dropped if task is not None), return_exceptions=True)
        for job, place in dropped.values():
            with suppress(StoreError):
                await self._book.want(job, place)

    async def leave(self) -> None:
        """Live no more."""
        with suppress(StoreError):
            await self._book.bury(self.name, self._number)
        if self._lock is not None:
            (self._folder / f"{self.name}.lock").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    async def round(self, queue: Queue) -> None:
        """One heartbeat, and a look at everything.

        Raises:
            BuriedError: others think that this worker is dead.
            StoreError: the store is away.
        """
        now = self._clock.monotonic()
        if not await self._book.beat(self.name, self._number + 1):
            message = "Other workers could not hear this one for a while, and go on with what it had."
            raise BuriedError(message, hint="Start it again.")
        self._number += 1
        self._beaten = now
        await self._look()
        if not self._ending:
            due = await self._book.due(MANY)
            for one in due:
                await queue.put(one.job, one.place, one.wanted)
            if due:
                await self._book.queued(due)
            await self._watch(queue)

    async def work(self, job: str, place: int) -> None:
        """Do a shard that was taken from the queue. It may be done, or in other hands: then nothing happens."""
        task = asyncio.current_task()
        self._works[task] = (job, place)
        try:
            await self._take(job, place)
        finally:
            del self._works[task]

    async def _take(self, job: str, place: int) -> None:
        if self._ending:
            await self._book.want(job, place)
            return
        hold = await self._book.claim(job, place, self.name)
        if hold is None:
            return
        while True:
            try:
                await self._done(hold)
            except StoreError as error:
                _log.warning("A part of the job %s waits for the store: %s", job, error.message)
                await self._clock.sleep(BEAT)
            else:
                return

    async def _done(self, hold: Hold) -> None:
        """Do a shard; whatever goes wrong with it beside the store stops its job."""
        try:
            await self._look()
            rows = unpack(await self._book.input(hold.job, hold.place))
            shard = self._shards[hold] = Shard(
                self._gate, self._book, hold, rows, folder=self._folder, concurrency=self._concurrency,
                allowed=self._allowed, clock=self._clock, chance=self._chance,
            )  # fmt: skip
            if self._ending:
                shard.end()
            await shard.work()
        except Lost:
            _log.warning("Another worker goes on with a part of the job %s.", hold.job)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, nobody is to wait for it in vain
            _log.exception("The job %s cannot go on.", hold.job)
            await self._book.move(hold.job, [JobState.RUNNING], JobState.STOPPED, str(error))
            await self._book.leave(hold)
        finally:
            self._shards.pop(hold, None)

    async def _look(self) -> None:
        """Know how the jobs stand, and have those obey that are being worked on."""
        running = {job.id: job for job in await self._book.running()}
        await self._cap(running)
        for hold, shard in self._shards.items():
            shard.hear(running.get(hold.job))

    async def _cap(self, running: dict[str, JobRecord]) -> None:
        """Have the gate hold every job's budget."""
        async with self._changing:
            budgets = {name: job.settings.budget for name, job in running.items() if job.settings.budget is not None}
            if budgets == self._budgets:
                return
            await self._change({name: file_job.cap(name, budget) for name, budget in budgets.items()})
            for name in budgets.keys() - self._budgets.keys():
                self._outside[name] = await self._unknown(name)
            if any(self._outside[name] for name in budgets):
                await self._change(
                    {
                        name: file_job.cap(name, max(budget - self._outside[name], LEAST))
                        for name, budget in budgets.items()
                    }
                )
            self._budgets = budgets

    async def _unknown(self, name: str) -> Decimal:
        """What a job has cost that its cap does not know of: while it had none."""
        total, _ = await self._gate.usage(Query(where={f"tag:{file_job.TAG}": name}))
        own = file_job.cap(name, LEAST).name
        known = sum(balance.spent for balance in await self._gate.budgets() if balance.cap.name == own)
        return to_usd(max(total.cost - known, 0))

    async def _change(self, caps: dict[str, Budget]) -> None:
        budgets = [*self._config.budgets, *caps.values()]
        await self._gate.change(self._config.model_copy(update={"budgets": budgets}))

    async def _watch(self, queue: Queue) -> None:
        """Bury who is silent, and revive what waits for the dead."""
        now, seen = self._clock.monotonic(), {}
        for name, beat, gone in await self._book.workers():
            if gone:
                await queue.revive(name)
                await self._book.forget(name)
            elif name != self.name:
                known = self._seen.get(name)
                seen[name] = known if known is not None and known[0] == beat else (beat, now)
                if now - seen[name][1] >= SILENT or self._fell(name):
                    _log.warning("A worker is silent; others go on with what it had.")
                    await self._book.bury(name, beat)
        self._seen = seen

    def _fell(self, name: str) -> bool:
        """Whether a worker was on this machine, and its process has ended."""
        path = self._folder / f"{name}.lock"
        if not path.exists():
            return False
        lock = take_lock(path)
        if lock is None:
            return False
        path.unlink(missing_ok=True)
        os.close(lock)
        return True

    async def _allowed(self) -> None:
        while self._clock.monotonic() - self._beaten > HOLDS:
            await self._clock.sleep(BEAT / 10)

    def _concurrency(self, job: JobRecord) -> int:
        asked = job.settings.concurrency
        model = msgspec.json.decode(job.spec).get("model")
        return asked or file_job.concurrency(file_job.allowed(self._config, model))
