"""The book of durable jobs: what is to be done, who does which part of it, and what came of it so far.

Decides how jobs and their shards lie in tables, and who of several workers may write, in SQL that both databases speak;
refuses to know connections and transactions (`sqlite.py`, `postgres.py`), how rows are answered, and how workers find
their work (`jobs/durable`).

A shard belongs to one worker at a time. Whoever takes it gets a higher token; every later write names the token, and
changes nothing where another one has been given out since: an owner that was thought dead and wakes up cannot write.
"""

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

from headgate.stores.protocols import Statement, Tables
from headgate.stores.tables import Expression


class JobState(StrEnum):
    """How a job stands."""

    FILLING = "filling"
    """Its rows are being written down."""
    RUNNING = "running"
    """Workers do it, or may."""
    PAUSED = "paused"
    """Somebody wants nobody to go on with it for now."""
    OVER_BUDGET = "over_budget"
    """Its budget, or one that it belongs to, is used up."""
    STOPPED = "stopped"
    """It cannot go on for another reason."""
    CANCELLED = "cancelled"
    """Nobody is to go on with it."""
    DONE = "done"
    """Every row has its outcome."""

    @property
    def over(self) -> bool:
        """Whether nothing follows, unless somebody wants it."""
        return self not in {JobState.FILLING, JobState.RUNNING}


class Settings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What may be changed while a job goes on.

    Attributes:
        concurrency: rows that a worker asks at the same time; None: as many as fill the limits.
        budget: US dollars that all of it may cost.
        deadline: when answers are of no use any more, in seconds since 1970.
    """

    concurrency: int | None = None
    budget: Decimal | None = None
    deadline: float | None = None


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """What became of rows; money in picodollars."""

    succeeded: int = 0
    failed: int = 0
    cost: int = 0
    unpriced: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One job.

    Attributes:
        id: its name.
        began: when it was made, in seconds since 1970.
        state: how it stands.
        spec: what is asked of every row, in JSON; it never changes.
        settings: what may change.
        trouble: why it was stopped.
        rows, shards: how many.
        shards_done: shards of which every row has its outcome.
        at_work: shards that a worker has now.
        sums: what became of its rows, as last told.
    """

    id: str
    began: float
    state: JobState = JobState.FILLING
    spec: str
    settings: Settings = Settings()
    trouble: str | None = None
    rows: int = 0
    shards: int = 0
    shards_done: int = 0
    at_work: int = 0
    sums: Sums = Sums()


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """That a worker has a shard.

    Attributes:
        job, place: which.
        token: that every write names.
        owner: the worker.
    """

    job: str
    place: int
    token: int
    owner: str


class Due(msgspec.Struct, frozen=True):
    """A shard that is to be put into the queue, for the so many-th time."""

    job: str
    place: int
    wanted: int


_SUMS = Sums.__struct_fields__
_ADDED = ", ".join(f"CAST(coalesce(sum(s.{name}), 0) AS BIGINT)" for name in _SUMS)
_ALL = (
    "SELECT j.id, j.began, j.state, j.spec, j.settings, j.trouble,"  # noqa: S608  own names, here and below
    " CAST(coalesce(sum(s.rows), 0) AS BIGINT), count(s.place), CAST(coalesce(sum(s.done), 0) AS BIGINT),"
    f" count(s.owner), {_ADDED} FROM jobs j LEFT JOIN job_shards s ON s.job = j.id"
)
_GROUP = " GROUP BY j.id, j.began, j.state, j.spec, j.settings, j.trouble"
_ONE = f"{_ALL} WHERE j.id = ?{_GROUP}"
_LATEST = f"{_ALL}{_GROUP} ORDER BY j.began DESC, j.id LIMIT ?"
_RUNNING = f"{_ALL} WHERE j.state = 'running'{_GROUP} ORDER BY j.began, j.id"
_INSERT = (
    "INSERT INTO jobs (id, began, state, spec, settings) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id"
)
_MORE = "".join(", 0" for _ in _SUMS)
_INSERT_SHARD = (
    f"INSERT INTO job_shards (job, place, done, token, wanted, queued, rows, {', '.join(_SUMS)}, ambiguous, input)"  # noqa: S608
    f" VALUES (?, ?, 0, 0, 0, 0, ?{_MORE}, '[]', ?)"
)
_MOVE = "UPDATE jobs SET state = ?, trouble = ? WHERE id = ? AND state IN ({}) RETURNING id"
_WANT = (
    "UPDATE job_shards SET wanted = wanted + 1 WHERE job = ? AND done = 0 AND owner IS NULL"
    " AND EXISTS (SELECT 1 FROM jobs WHERE id = ? AND state = 'running')"
)
_WANT_ONE = "UPDATE job_shards SET wanted = wanted + 1 WHERE job = ? AND place = ? AND done = 0 AND owner IS NULL"
_TUNE = "UPDATE jobs SET settings = ? WHERE id = ?"
_SPECIFY = "UPDATE jobs SET spec = ? WHERE id = ?"
_DUE = (
    "SELECT s.job, s.place, s.wanted FROM job_shards s JOIN jobs j ON j.id = s.job"
    " WHERE j.state = 'running' AND s.done = 0 AND s.owner IS NULL AND s.queued < s.wanted"
    " ORDER BY j.began, s.job, s.place LIMIT ?"
)
_QUEUED = "UPDATE job_shards SET queued = ? WHERE job = ? AND place = ? AND queued < ?"
_ALIVE = "SELECT 1 FROM job_workers WHERE id = ? AND gone = 0"
_CLAIM = (
    "UPDATE job_shards SET token = token + 1, owner = ? WHERE job = ? AND place = ? AND done = 0 AND owner IS NULL"  # noqa: S608
    f" AND EXISTS (SELECT 1 FROM jobs WHERE id = ? AND state = 'running') AND EXISTS ({_ALIVE}) RETURNING token"
)
_MINE = " WHERE job = ? AND place = ? AND token = ? AND owner = ?"
_HELD = f"SELECT 1 FROM job_shards{_MINE}"  # noqa: S608
_TELL = f"UPDATE job_shards SET {', '.join(f'{name} = ?' for name in _SUMS)}, ambiguous = ?{_MINE} RETURNING place"  # noqa: S608
_PIECE = (
    f"INSERT INTO job_pieces (job, place, start, data) SELECT ?, ?, ?, ? WHERE EXISTS ({_HELD})"
    # Whoever was not told that it is there tells it again, and more.
    " ON CONFLICT (job, place, start) DO UPDATE SET data = excluded.data"
)
_END = f"UPDATE job_shards SET done = 1, owner = NULL, input = ?{_MINE} RETURNING place"  # noqa: S608
_ALL_DONE = (
    "UPDATE jobs SET state = 'done' WHERE id = ? AND state = 'running'"
    " AND NOT EXISTS (SELECT 1 FROM job_shards WHERE job = ? AND done = 0)"
)
_LEAVE = (
    f"UPDATE job_shards SET owner = NULL{_MINE}"  # noqa: S608
    " AND EXISTS (SELECT 1 FROM jobs WHERE id = ? AND state <> 'running') RETURNING place"
)
_HAND_BACK = f"UPDATE job_shards SET owner = NULL, wanted = wanted + 1{_MINE}"  # noqa: S608
_BEAT = "UPDATE job_workers SET beat = ? WHERE id = ? AND gone = 0 RETURNING id"
_BURY = "UPDATE job_workers SET gone = 1 WHERE id = ? AND beat = ? RETURNING id"
_FREE = (
    "UPDATE job_shards SET owner = NULL, wanted = wanted + 1 WHERE owner = ?"
    " AND EXISTS (SELECT 1 FROM job_workers WHERE id = ? AND gone = 1)"
)
_TABLES = ("job_pieces", "job_shards")

_encode = msgspec.json.Encoder().encode
_settings = msgspec.json.Decoder(Settings).decode
_names = msgspec.json.Decoder(list[str]).decode


class JobBook:
    """The book. Every method may raise `StoreError`: the database is away.

    Args:
        tables: the database that it lies in.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def make(self, record: JobRecord) -> bool:
        """Write a job down that has no shards yet; False where there is one of its name."""
        values = (record.id, record.began, str(record.state), record.spec, _encode(record.settings).decode())
        return bool(await self._change(Expression(_INSERT, values)))

    async def put(self, job: str, place: int, rows: int, data: bytes) -> None:
        """Write a shard of a job down."""
        await self._change(Expression(_INSERT_SHARD, (job, place, rows, data)))

    async def find(self, name: str) -> JobRecord | None:
        """The job of a name."""
        found = await self._tables.read(Expression(_ONE, (name,)))
        return _record(found[0]) if found else None

    async def latest(self, limit: int) -> list[JobRecord]:
        """The jobs that began last, the latest first."""
        return [_record(row) for row in await self._tables.read(Expression(_LATEST, (limit,)))]

    async def running(self) -> list[JobRecord]:
        """The jobs that workers do, or may, the oldest first."""
        return [_record(row) for row in await self._tables.read(Expression(_RUNNING))]

    async def ambiguous(self, name: str) -> list[str]:
        """Names of a job's rows that were asked again, because nobody knows what became of them."""
        sql = "SELECT ambiguous FROM job_shards WHERE job = ? AND ambiguous <> '[]' ORDER BY place"
        return [one for (text,) in await self._tables.read(Expression(sql, (name,))) for one in _names(text)]

    async def move(self, name: str, before: Sequence[JobState], after: JobState, trouble: str | None = None) -> bool:
        """Change a job's state if it is one of those; False where it is none of them.

        A job that runs from then on has its shards put into the queue again.
        """
        marks = ", ".join("?" for _ in before)
        moved = Expression(_MOVE.format(marks), (str(after), trouble, name, *map(str, before)))
        more = [Expression(_WANT, (name, name))] if after is JobState.RUNNING else []
        return bool((await self._tables.change([moved, *more]))[0])

    async def specify(self, name: str, spec: str) -> None:
        """Say what is asked of a job's rows, when they are written down."""
        await self._change(Expression(_SPECIFY, (spec, name)))

    async def tune(self, name: str, settings: Settings) -> None:
        """Change what may be changed."""
        await self._change(Expression(_TUNE, (_encode(settings).decode(), name)))

    async def drop(self, name: str) -> None:
        """Forget a job, and all that came of it."""
        gone = [Expression(f"DELETE FROM {table} WHERE job = ?", (name,)) for table in _TABLES]  # noqa: S608
        await self._tables.change([*gone, Expression("DELETE FROM jobs WHERE id = ?", (name,))])

    async def due(self, limit: int) -> list[Due]:
        """Shards that are to be put into the queue."""
        return [Due(*row) for row in await self._tables.read(Expression(_DUE, (limit,)))]

    async def queued(self, due: Sequence[Due]) -> None:
        """They are in the queue."""
        await self._tables.change([Expression(_QUEUED, (one.wanted, one.job, one.place, one.wanted)) for one in due])

    async def want(self, job: str, place: int) -> None:
        """Whoever took a shard from the queue does not do it."""
        await self._change(Expression(_WANT_ONE, (job, place)))

    async def claim(self, job: str, place: int, owner: str) -> Hold | None:
        """Take a shard; None where it is done, somebody has it, its job does not run, or the taker is buried."""
        found = await self._change(Expression(_CLAIM, (owner, job, place, job, owner)))
        return Hold(job=job, place=place, token=int(found[0][0]), owner=owner) if found else None

    async def input(self, job: str, place: int) -> bytes:
        """What a shard is about."""
        sql = "SELECT input FROM job_shards WHERE job = ? AND place = ?"
        return bytes((await self._tables.read(Expression(sql, (job, place))))[0][0])

    async def tell(
        self, hold: Hold, sums: Sums, ambiguous: Sequence[str], piece: tuple[int, bytes] | None = None
    ) -> bool:
        """What came of a shard so far, and a further piece of its part file; False where it belongs to another.

        Args:
            hold: the shard.
            sums: of all its rows so far.
            ambiguous: names of its rows that were asked again.
            piece: where it begins in the file, and the piece.
        """
        mine = _mine(hold)
        statements = [Expression(_TELL, (*msgspec.structs.astuple(sums), _encode(ambiguous).decode(), *mine))]
        if piece is not None:
            statements.append(Expression(_PIECE, (hold.job, hold.place, *piece, *mine)))
        return bool((await self._tables.change(statements))[0])

    async def pieces(self, job: str, place: int) -> AsyncIterator[tuple[int, bytes]]:
        """The pieces of a shard's part file that were told, in their order, each with where it begins."""
        sql = "SELECT start, data FROM job_pieces WHERE job = ? AND place = ? AND start > ? ORDER BY start LIMIT 1"
        last = -1
        while found := await self._tables.read(Expression(sql, (job, place, last))):
            last = int(found[0][0])
            yield last, bytes(found[0][1])

    async def end(self, hold: Hold) -> bool:
        """Every row of a shard has its outcome; False where it belongs to another."""
        ended = Expression(_END, (b"", *_mine(hold)))
        return bool((await self._tables.change([ended, Expression(_ALL_DONE, (hold.job, hold.job))]))[0])

    async def leave(self, hold: Hold) -> bool:
        """Let a shard go whose job does not run; False where it runs again, or the shard belongs to another."""
        return bool(await self._change(Expression(_LEAVE, (*_mine(hold), hold.job))))

    async def hand_back(self, hold: Hold) -> None:
        """Let a shard go that others are to go on with."""
        await self._change(Expression(_HAND_BACK, _mine(hold)))

    async def enter(self, worker: str) -> None:
        """A worker begins."""
        sql = "INSERT INTO job_workers (id, beat, gone) VALUES (?, 0, 0) ON CONFLICT DO NOTHING"
        await self._change(Expression(sql, (worker,)))

    async def beat(self, worker: str, number: int) -> bool:
        """A worker is alive; False where others think it dead."""
        return bool(await self._change(Expression(_BEAT, (number, worker))))

    async def workers(self) -> list[tuple[str, int, bool]]:
        """All workers: name, number of the last beat, and whether it is gone."""
        found = await self._tables.read(Expression("SELECT id, beat, gone FROM job_workers ORDER BY id"))
        return [(str(name), int(beat), bool(gone)) for name, beat, gone in found]

    async def bury(self, worker: str, beat: int) -> bool:
        """A worker is gone, and what it had is due again; False where it has shown life since, or was buried before.

        Args:
            worker: which.
            beat: the number of its last beat.
        """
        found = await self._tables.change([Expression(_BURY, (worker, beat)), Expression(_FREE, (worker, worker))])
        return bool(found[0])

    async def forget(self, worker: str) -> None:
        """Nothing waits any more for a worker that is gone."""
        await self._change(Expression("DELETE FROM job_workers WHERE id = ? AND gone = 1", (worker,)))

    async def _change(self, statement: Statement) -> Sequence[Sequence[Any]]:
        return (await self._tables.change([statement]))[0]


def _mine(hold: Hold) -> tuple[Any, ...]:
    return (hold.job, hold.place, hold.token, hold.owner)


def _record(row: Sequence[Any]) -> JobRecord:
    name, began, state, spec, settings, trouble, rows, shards, done, at_work, *sums = row
    return JobRecord(
        id=name, began=began, state=JobState(state), spec=spec, settings=_settings(settings), trouble=trouble,
        rows=int(rows), shards=int(shards), shards_done=int(done), at_work=int(at_work),
        sums=Sums(**{name: int(value) for name, value in zip(_SUMS, sums, strict=True)}),
    )  # fmt: skip
