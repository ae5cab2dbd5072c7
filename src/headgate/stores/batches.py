"""The book of batches: what jobs have made at providers, or were about to make when they were last heard of.

Decides how a batch lies in its table and how one of several processes takes it on, in SQL that both databases speak;
refuses to know connections and transactions (`sqlite.py`, `postgres.py`), the provider's API, and what follows next
(`jobs/batch`).

A batch is written down before anything of it leaves, with a mark that nobody can guess and that the provider is given
along with it: whatever happens in between, it is found by its mark, and never made twice. Every step reads a batch and
writes it back only if nobody else has changed it meanwhile. Who makes one claims it first; the claim and the limit of
tokens that may be enqueued are one step.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from headgate.core.call import NO_TAGS
from headgate.stores.protocols import Tables
from headgate.stores.tables import Expression


class State(StrEnum):
    """Where a batch stands, in our own eyes; what the provider says of it is its `status`."""

    INTENDED = "intended"
    """Nobody has its rows but who wants it, or the batch that it goes on from."""
    READY = "ready"
    """The provider has its rows."""
    CREATING = "creating"
    """It may be there, and may not: its mark tells."""
    SENT = "sent"
    """It is there."""
    OVER = "over"
    """The provider does no more for it; what it answered has still to be booked."""
    DONE = "done"
    """It is booked."""
    VOID = "void"
    """It never came to be."""


ENDED = frozenset((State.DONE, State.VOID))
"""States in which nothing follows."""


class Fund(msgspec.Struct, frozen=True, array_like=True):
    """What is lent to a batch of one budget, until its rows are booked.

    Attributes:
        cap, window, limit: which, and how much it is.
        amount: picodollars.
    """

    cap: str
    window: str
    limit: int
    amount: int


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a batch beside what it is found by.

    Attributes:
        operation: what its rows ask for.
        asked: the model as the job asked for it.
        deadline: when its answers are of no use any more, in seconds since 1970.
        key, project, tags: whose calls its rows are, for the books.
        users: its rows name end users.
        kept_long: its rows have the provider keep what it caches for twelve hours.
        rows, size: how many, and bytes.
        funds: what is lent to it.
        worst: picodollars that one of its rows may cost; None where nothing is lent.
        follows: the batch whose unanswered rows these are.
        file: the provider's id of its rows.
        remote: the provider's id of the batch.
        remote_began: when the provider has begun it, in seconds since 1970.
        status: what the provider said of it last.
        output, errors: the provider's ids of what came out of it.
        answered, failed: of its rows.
        unsent: rows that were given back.
        cost, realtime: picodollars that its rows cost, and would have cost at once; None where a price is not known.
        cancelled: somebody wants it to end.
        wait: seconds since 1970 before which nothing is tried again.
        tries: so often it was tried in vain.
        trouble: what went wrong with it as a whole.
    """

    operation: str
    asked: str
    deadline: float | None = None
    key: str | None = None
    project: str | None = None
    tags: Mapping[str, str] = NO_TAGS
    users: bool = False
    kept_long: bool = False
    rows: int = 0
    size: int = 0
    funds: tuple[Fund, ...] = ()
    worst: int | None = None
    follows: str | None = None
    file: str | None = None
    remote: str | None = None
    remote_began: float | None = None
    status: str | None = None
    output: str | None = None
    errors: str | None = None
    answered: int = 0
    failed: int = 0
    unsent: int = 0
    cost: int | None = 0
    realtime: int | None = 0
    cancelled: bool = False
    wait: float = 0.0
    tries: int = 0
    trouble: str | None = None


class BatchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One batch.

    Attributes:
        id: ours: the job's and its place in it.
        job: what it is a part of.
        place, round: which part, and how many batches have had (some of) its rows before.
        began: when it was first written down, in seconds since 1970.
        mark: what the provider is told, so that we find it there.
        state: where it stands.
        claimed: when somebody began to make it, in seconds since 1970.
        provider, model: the target.
        tokens: of input, about.
        facts: everything else.
    """

    id: str
    job: str
    place: int
    round: int = 0
    began: float
    mark: str
    state: State = State.INTENDED
    claimed: float = 0.0
    provider: str
    model: str
    tokens: int
    facts: Facts


_FIELDS = BatchRecord.__struct_fields__
_ALL = f"SELECT {', '.join(_FIELDS)} FROM batches"  # noqa: S608  own names, here and below
_ONE = f"{_ALL} WHERE id = ?"
_JOB = f"{_ALL} WHERE job = ? ORDER BY place, round, id"
_OPEN = f"{_ALL} WHERE state NOT IN ('done', 'void') ORDER BY job, place, round, id"
_LATEST = (
    f"{_ALL} WHERE job IN (SELECT job FROM batches GROUP BY job ORDER BY min(began) DESC, job LIMIT ?)"  # noqa: S608  ditto
    " ORDER BY job, place, round, id"
)
_INSERT = (
    f"INSERT INTO batches ({', '.join(_FIELDS)}) VALUES ({', '.join('?' for _ in _FIELDS)})"  # noqa: S608
    " ON CONFLICT DO NOTHING"
)
_UPDATE = (
    "UPDATE batches SET state = ?, claimed = ?, tokens = ?, facts = ?"
    " WHERE id = ? AND state = ? AND claimed = ? AND facts = ? RETURNING id"
)
_ENQUEUED = (
    "SELECT coalesce(sum(tokens), 0) FROM batches WHERE provider = ? AND model = ? AND state IN ('creating', 'sent')"
)
_CLAIM = (
    "UPDATE batches SET state = 'creating', claimed = ?, facts = ?"  # noqa: S608  ditto
    " WHERE id = ? AND state = 'ready' AND facts = ?"
    f" AND (CAST(? AS BIGINT) IS NULL OR tokens + CAST(({_ENQUEUED}) AS BIGINT) <= CAST(? AS BIGINT)) RETURNING id"
)

_MADE = "SELECT id FROM objects WHERE call_id = ? AND substr(id, 1, 5) = 'batch' ORDER BY id"

_encode = msgspec.json.Encoder(order="deterministic").encode
_facts = msgspec.json.Decoder(Facts).decode


class BatchBook:
    """The book.

    Args:
        tables: the database that it lies in.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def find(self, name: str) -> BatchRecord | None:
        """The batch of an id.

        Raises:
            StoreError: the database cannot be asked, here and below.
        """
        found = await self._tables.read(Expression(_ONE, (name,)))
        return _record(found[0]) if found else None

    async def job(self, name: str) -> list[BatchRecord]:
        """All batches of a job, in their order, each before those that went on from it."""
        return [_record(row) for row in await self._tables.read(Expression(_JOB, (name,)))]

    async def unfinished(self) -> list[BatchRecord]:
        """All batches of which something is still to be done, of any job."""
        return [_record(row) for row in await self._tables.read(Expression(_OPEN))]

    async def latest(self, jobs: int) -> list[BatchRecord]:
        """The batches of so many jobs, those that were made last."""
        return [_record(row) for row in await self._tables.read(Expression(_LATEST, (jobs,)))]

    async def made_by(self, call: str) -> list[str]:
        """The provider's ids of the batches that a call has made."""
        return [str(name) for (name,) in await self._tables.read(Expression(_MADE, (call,)))]

    async def enqueued(self, provider: str, model: str) -> int:
        """Tokens that a model's batches have enqueued, by our own count."""
        ((tokens,),) = await self._tables.read(Expression(_ENQUEUED, (provider, model)))
        return int(tokens)

    async def intend(self, record: BatchRecord) -> BatchRecord:
        """Write a batch down before anything of it leaves; gives the one of its id that is there, this or another."""
        done = Expression(_ONE, (record.id,))
        found = await self._tables.change([Expression(_INSERT, _values(record)), done])
        return _record(found[-1][0])

    async def change(self, before: BatchRecord, after: BatchRecord) -> bool:
        """Write down what has become of a batch; False where somebody else has changed it meanwhile."""
        new = (str(after.state), after.claimed, after.tokens, _encode(after.facts).decode())
        old = (before.id, str(before.state), before.claimed, _encode(before.facts).decode())
        return bool((await self._tables.change([Expression(_UPDATE, (*new, *old))]))[0])

    async def claim(self, before: BatchRecord, after: BatchRecord, most: int | None) -> bool:
        """Take a batch that is ready on, to make it; False where somebody else has, or too much is enqueued.

        Args:
            before: as it was read.
            after: `creating`, with the time of the claim.
            most: tokens that its model may have enqueued at once; None for any number.
        """
        old, new = _encode(before.facts).decode(), _encode(after.facts).decode()
        values = (after.claimed, new, before.id, old, most, before.provider, before.model, most)
        return bool((await self._tables.change([Expression(_CLAIM, values)]))[0])


def _values(record: BatchRecord) -> tuple[Any, ...]:
    return (*msgspec.structs.astuple(record)[:-1], _encode(record.facts).decode())


def _record(row: Sequence[Any]) -> BatchRecord:
    facts = dict(zip(_FIELDS, row, strict=True))
    return BatchRecord(**{**facts, "state": State(facts["state"]), "facts": _facts(facts["facts"])})
