"""`gate.jobs`: many questions that workers ask, so that they are answered whatever becomes of this program.

Decides how such questions are said and answers shown in Python; refuses to know how jobs lie in the store, and who does
them (`headgate.jobs.durable`, `headgate worker`).
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from decimal import Decimal
from typing import Any, TypedDict, TypeVar, Unpack
from zlib import crc32

from headgate.client.batches import BatchRequest, BatchResult, check_batchable, result_of, rows_of
from headgate.client.options import OURS, Options, for_the_gate
from headgate.core.errors import BadRequestError
from headgate.gate.gate import Gate
from headgate.jobs.durable import result
from headgate.jobs.durable.desk import LISTED, Desk, Job
from headgate.jobs.durable.serving import must_last
from headgate.jobs.intake import Taken
from headgate.jobs.row import Row
from headgate.stores.jobs import Settings

T = TypeVar("T")


class Changes(TypedDict, total=False):
    """What may be changed of a job: each None takes the setting away.

    Attributes:
        concurrency: rows that each worker asks at the same time.
        budget: US dollars that all of it may cost.
        deadline: seconds from now after which answers are of no use.
    """

    concurrency: int | None
    budget: Decimal | str | int | None
    deadline: float | None


class AsyncJobs:
    """The durable jobs of an `AsyncHeadgate`: its `jobs`. They lie in the store; `headgate worker` does them.

    Args:
        ready: gives the gate, opened if need be.
    """

    def __init__(self, ready: Callable[[], Awaitable[Gate]]) -> None:
        self._ready = ready

    async def submit(
        self,
        requests: Iterable[str | BatchRequest],
        *,
        name: str | None = None,
        concurrency: int | None = None,
        budget: Decimal | str | int | None = None,
        deadline: float | None = None,
        **options: Unpack[Options],
    ) -> Job:
        """Give a job to whatever workers there are.

        A job of the same name goes on if it asks the same questions in the same way.

        Args:
            requests: prompts, or whatever a `BatchRequest` can say.
            name: what to call it; None for a name that is made up.
            concurrency: questions that each worker asks at the same time; None for as many as fill the limits.
            budget: US dollars that all of it may cost.
            deadline: seconds from now after which answers are of no use: what was not asked by then fails.
            **options: of every prompt and conversation; see `Options`. `timeout` and `images` are not for jobs.

        Raises:
            BadRequestError: an argument is wrong, or a job of this name asks something else; nothing is done.
            ConfigError: the store is in memory, and would not keep a job.
        """
        check_batchable(requests, options)
        gate = await self._ready()
        must_last(gate.config)
        given = _changes(gate, {"concurrency": concurrency, "budget": budget, "deadline": deadline})
        rows = rows_of(gate, requests, options)
        params = {key: value for key, value in options.items() if key not in OURS and key != "model"}
        spec = {"model": options.get("model"), "params": params, "tags": for_the_gate(options)["tags"]}
        return await self._desk(gate).submit(
            _taken(rows), spec, name=name, number=len(rows), settings=Settings(**given)
        )

    async def status(self, job: str | Job) -> Job:
        """How a job stands, as workers have last told.

        Raises:
            UnknownObjectError: there is no such job, here and below.
        """
        return await self._desk(await self._ready()).status(_name(job))

    async def list(self, limit: int = LISTED) -> Sequence[Job]:
        """The jobs that began last, the latest first, whichever program gave them."""
        return await self._desk(await self._ready()).list(limit)

    async def wait(self, job: str | Job) -> Job:
        """Wait until a job is done, or was stopped, paused or cancelled."""
        return await self._desk(await self._ready()).wait(_name(job))

    async def results(self, job: str | Job) -> AsyncGenerator[BatchResult, None]:
        """What became of each question that has its outcome by now, in their order."""
        async with aclosing(self._desk(await self._ready()).results(_name(job))) as lines:
            async for line in lines:
                yield result_of(result.read(line))

    async def pause(self, job: str | Job) -> Job:
        """Have nobody go on with a job for now; questions in flight are finished.

        Raises:
            BadRequestError: it does not run.
        """
        return await self._desk(await self._ready()).pause(_name(job))

    async def resume(self, job: str | Job) -> Job:
        """Go on with a job that was paused, stopped or cancelled.

        Raises:
            BadRequestError: it was none of that.
        """
        return await self._desk(await self._ready()).resume(_name(job))

    async def cancel(self, job: str | Job) -> Job:
        """End a job; questions in flight are finished, and what was answered stays.

        Raises:
            BadRequestError: it is done.
        """
        return await self._desk(await self._ready()).cancel(_name(job))

    async def retune(self, job: str | Job, **changes: Unpack[Changes]) -> Job:
        """Change a job's settings, at once where it runs.

        Args:
            job: which.
            **changes: see `Changes`; None takes a setting away.

        Raises:
            BadRequestError: it is done, or a value is wrong.
        """
        gate = await self._ready()
        return await self._desk(gate).retune(_name(job), **_changes(gate, changes))

    @staticmethod
    def _desk(gate: Gate) -> Desk:
        return Desk(gate.batching.jobs, clock=gate.batching.clock, chance=gate.batching.chance)


class Jobs:
    """The durable jobs of a `Headgate`: its `jobs`. Methods as those of `AsyncJobs`.

    Args:
        jobs: of the gate inside.
        run: runs a coroutine, and waits for its outcome.
        each: makes an iterator of an asynchronous one.
    """

    def __init__(
        self,
        jobs: AsyncJobs,
        run: Callable[[Any], Any],
        each: Callable[[AsyncGenerator[BatchResult, None]], Iterator[BatchResult]],
    ) -> None:
        self._jobs = jobs
        self._run = run
        self._each = each

    def submit(
        self,
        requests: Iterable[str | BatchRequest],
        *,
        name: str | None = None,
        concurrency: int | None = None,
        budget: Decimal | str | int | None = None,
        deadline: float | None = None,
        **options: Unpack[Options],
    ) -> Job:
        """Give a job to whatever workers there are; see `AsyncJobs.submit`."""
        return self._done(
            self._jobs.submit(requests, name=name, concurrency=concurrency, budget=budget, deadline=deadline, **options)
        )

    def status(self, job: str | Job) -> Job:
        """How a job stands; see `AsyncJobs.status`."""
        return self._done(self._jobs.status(job))

    def list(self, limit: int = LISTED) -> Sequence[Job]:
        """The jobs that began last; see `AsyncJobs.list`."""
        return self._done(self._jobs.list(limit))

    def wait(self, job: str | Job) -> Job:
        """Wait until nothing follows; see `AsyncJobs.wait`."""
        return self._done(self._jobs.wait(job))

    def results(self, job: str | Job) -> Iterator[BatchResult]:
        """What became of each question; see `AsyncJobs.results`."""
        return self._each(self._jobs.results(job))

    def pause(self, job: str | Job) -> Job:
        """Have nobody go on with a job; see `AsyncJobs.pause`."""
        return self._done(self._jobs.pause(job))

    def resume(self, job: str | Job) -> Job:
        """Go on with a job; see `AsyncJobs.resume`."""
        return self._done(self._jobs.resume(job))

    def cancel(self, job: str | Job) -> Job:
        """End a job; see `AsyncJobs.cancel`."""
        return self._done(self._jobs.cancel(job))

    def retune(self, job: str | Job, **changes: Unpack[Changes]) -> Job:
        """Change a job's settings; see `AsyncJobs.retune`."""
        return self._done(self._jobs.retune(job, **changes))

    def _done(self, work: Awaitable[T]) -> T:
        done: T = self._run(work)
        return done


def _name(job: str | Job) -> str:
    return job if isinstance(job, str) else job.id


def _changes(gate: Gate, changes: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(changes)
    if unknown := sorted(set(found) - set(Changes.__annotations__)):
        raise BadRequestError(f"A job has no setting {unknown[0]!r}.", param=unknown[0])
    for name, value in changes.items():
        if value is None:
            continue
        try:
            number = Decimal(value)
        except (ArithmeticError, TypeError, ValueError):
            number = Decimal(0)
        if not number.is_finite() or number <= 0 or (name == "concurrency" and not isinstance(value, int)):
            raise BadRequestError(f"`{name}` is {value!r}; it must be a number above 0.", param=name)
        if name == "budget":
            found[name] = number
        elif name == "deadline":
            found[name] = gate.batching.clock.time() + float(number)
    return found


async def _taken(rows: Iterable[Row]) -> AsyncIterator[Taken]:
    for row in rows:
        yield Taken(row, crc32(row.body))
