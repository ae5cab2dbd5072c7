"""The book of keys, and of what was done by hand: who may call, who changed that, and when.

Decides how keys and notes lie in their tables and what a change of them is, in SQL that both databases speak; refuses
to know connections and transactions (`sqlite.py`, `postgres.py`), and what a key is good for (the gate). A key itself
is never written down: only its SHA-256.

Every change stands in one transaction with the note of it, and takes the next number: who knows the highest number
knows whether anything has changed since, whatever the clocks of the machines say. A key that was revoked stays in the
book, and its name may be given again; no two that are valid have the same name. After a rotation the former value of a
key may be good for some time yet.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import msgspec

from headgate.core.call import NO_TAGS
from headgate.core.limits import Allowance, Limits
from headgate.stores.protocols import Tables
from headgate.stores.tables import Expression, columns


class Scope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a key is good for.

    Attributes:
        project: the tenant that it belongs to.
        models: names of models that it may ask for; None for all.
        limits: how much it may ask.
        budget: how much it may spend.
        expires: the last day on which it works (UTC).
        priority: the highest that it may claim; None for any.
        tags: of all its calls.
        passthrough: further paths below `/v1` that it may use.
        cache: answers to its calls may come from the past; None where the route says.
    """

    project: str | None = None
    models: tuple[str, ...] | None = None
    limits: Limits | None = None
    budget: Allowance | None = None
    expires: date | None = None
    priority: int | None = None
    tags: Mapping[str, str] = NO_TAGS
    passthrough: tuple[str, ...] = ()
    cache: bool | None = None


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One key, without its value.

    Attributes:
        id: never given twice.
        name: what the books call it.
        sha256: of the value, in hexadecimal digits.
        former: that of the value before the last rotation, where it is good for some time yet.
        former_until: when that ends, in seconds since 1970.
        scope: what it is good for.
        created: when it was made.
        revoked_at: when it ended; None while it has not.
    """

    id: str
    name: str
    sha256: str
    former: str | None = None
    former_until: float | None = None
    scope: Scope
    created: float
    revoked_at: float | None = None


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done by hand.

    Attributes:
        number: grows with each note; given by the book.
        time: seconds since 1970.
        actor: who.
        origin: from where.
        action: what, such as `key.create`.
        subject: to which key, budget or row.
        details: more of it; never a secret.
    """

    number: int = 0
    time: float
    actor: str
    origin: str
    action: str
    subject: str
    details: Mapping[str, Any] = {}


_KEY = KeyRecord.__struct_fields__
_NOTE = Note.__struct_fields__
_NEXT = "(SELECT coalesce(max(version), 0) + 1 FROM keys)"
_ALL = f"SELECT {columns(_KEY)} FROM keys"  # noqa: S608  own names, here and below
_LIVE = f"{_ALL} WHERE revoked_at IS NULL ORDER BY name"
_LISTED = f"{_ALL} ORDER BY name, version"
_NAMED = f"{_ALL} WHERE name = ? ORDER BY version DESC LIMIT 1"
_VERSION = "SELECT coalesce(max(version), 0) FROM keys"
_CREATE = (
    f"INSERT INTO keys ({columns(_KEY)}, version) VALUES ({', '.join('?' for _ in _KEY)}, {_NEXT})"  # noqa: S608
    " ON CONFLICT DO NOTHING"
)
_ROTATE = (
    f"UPDATE keys SET former = NULL, former_until = NULL, sha256 = ?, version = {_NEXT}"  # noqa: S608
    f" WHERE name = ? AND revoked_at IS NULL RETURNING {columns(_KEY)}"
)
_SUCCEED = _ROTATE.replace("former = NULL, former_until = NULL", "former = sha256, former_until = ?")
_REVOKE = (
    f"UPDATE keys SET revoked_at = ?, version = {_NEXT}"  # noqa: S608
    f" WHERE name = ? AND revoked_at IS NULL RETURNING {columns(_KEY)}"
)
_TELL = (
    f"INSERT INTO audit ({columns(_NOTE)})"  # noqa: S608
    f" SELECT (SELECT coalesce(max(number), 0) + 1 FROM audit), {', '.join('?' for _ in _NOTE[1:])}"
)
_TOLD = f"SELECT {columns(_NOTE)} FROM audit ORDER BY number DESC LIMIT ?"  # noqa: S608

_encode = msgspec.json.Encoder().encode
_scope = msgspec.json.Decoder(Scope).decode


class KeyBook:
    """The book.

    Args:
        tables: the database that it lies in.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def version(self) -> int:
        """The number of the last change.

        Raises:
            StoreError: the database cannot be asked.
        """
        ((version,),) = await self._tables.read(Expression(_VERSION))
        return int(version)

    async def keys(self, *, revoked: bool = False) -> list[KeyRecord]:
        """Every key that was not revoked (or that was, too), by name.

        Raises:
            StoreError: the database cannot be asked.
        """
        return [_key(row) for row in await self._tables.read(Expression(_LISTED if revoked else _LIVE))]

    async def find(self, name: str) -> KeyRecord | None:
        """The key of a name: the valid one, else the last that was.

        Raises:
            StoreError: the database cannot be asked.
        """
        return _first(await self._tables.read(Expression(_NAMED, (name,))))

    async def create(self, key: KeyRecord, note: Note) -> bool:
        """Write a new key down; False where a valid one has its name.

        Raises:
            StoreError: the database cannot be told.
        """
        values = (*msgspec.structs.astuple(key)[:5], _encode(key.scope).decode(), key.created, key.revoked_at)
        done = Expression("SELECT id FROM keys WHERE id = ?", (key.id,))
        found = await self._tables.change([Expression(_CREATE, values), only_if(note, done), done])
        return bool(found[-1])

    async def rotate(self, name: str, sha256: str, note: Note, *, until: float | None = None) -> KeyRecord | None:
        """Give a key another value; None where there is no such key.

        Args:
            name: of the key.
            sha256: of the new value.
            note: of it.
            until: how long the value of today is good yet, in seconds since 1970; None ends it now.

        Raises:
            StoreError: the database cannot be told.
        """
        change = Expression(_ROTATE, (sha256, name)) if until is None else Expression(_SUCCEED, (until, sha256, name))
        done = Expression("SELECT id FROM keys WHERE sha256 = ?", (sha256,))
        return _first((await self._tables.change([change, only_if(note, done)]))[0])

    async def revoke(self, name: str, note: Note) -> KeyRecord | None:
        """End a key, its former value included; None where there is no such key.

        Raises:
            StoreError: the database cannot be told.
        """
        # The note is written first, while the key is still there to tell whether it will be.
        live = Expression("SELECT id FROM keys WHERE name = ? AND revoked_at IS NULL", (name,))
        change = Expression(_REVOKE, (note.time, name))
        return _first((await self._tables.change([only_if(note, live), change]))[1])

    async def tell(self, note: Note) -> None:
        """Write down what was done to something else than a key.

        Raises:
            StoreError: the database cannot be told.
        """
        await self._tables.change([Expression(_TELL, _values(note))])

    async def notes(self, limit: int = 100) -> list[Note]:
        """What was done by hand, the newest first.

        Raises:
            StoreError: the database cannot be asked.
        """
        found = await self._tables.read(Expression(_TOLD, (limit,)))
        return [
            Note(**{**dict(zip(_NOTE, row, strict=True)), "details": msgspec.json.decode(row[-1])}) for row in found
        ]


def _key(row: Sequence[Any]) -> KeyRecord:
    facts = dict(zip(_KEY, row, strict=True))
    return KeyRecord(**{**facts, "scope": _scope(facts["scope"])})


def _first(rows: Sequence[Sequence[Any]]) -> KeyRecord | None:
    return _key(rows[0]) if rows else None


def only_if(note: Note, found: Expression) -> Expression:
    """What writes a note down if a question has an answer: in one transaction with what it tells of."""
    return Expression(f"{_TELL} WHERE EXISTS ({found.sql})", (*_values(note), *found.values))


def _values(note: Note) -> tuple[Any, ...]:
    return (*msgspec.structs.astuple(note)[1:-1], _encode(note.details).decode())
