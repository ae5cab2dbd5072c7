"""The ledger in SQLite: one file beside the gateway, or memory.

Decides how rows lie in tables and how sums are asked for; the only file that imports the driver. A file is opened at
its first use, in one thread of its own, in WAL mode: other processes read and book at the same time. In memory there
is nothing to wait for, and no thread.

A batch is on the disk when `book` returns (`synchronous=FULL`), because the journal is deleted after that. For the same
reason nothing is booked into a file that was deleted, moved or replaced while it was open: SQLite would go on writing
where nobody looks. The journal keeps the records until the file is back, or the next start makes another.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import msgspec

from headgate.core.attempt import Basis, Settled
from headgate.core.errors import BadRequestError, ConfigError
from headgate.stores.protocols import DIMENSIONS, Query, Usage
from headgate.stores.records import AttemptRow, CallRow, ObjectRow, Owner

T = TypeVar("T")
P = ParamSpec("P")

VERSION = 2
"""Of the tables, kept in `PRAGMA user_version`."""
PAGE = 1000
"""Rows that are read at once."""
MEMORY = ":memory:"
BUSY_SECONDS = 10.0
"""How long another process's transaction is waited for."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
  day TEXT NOT NULL, call_id TEXT NOT NULL, time REAL NOT NULL, operation TEXT NOT NULL, model_requested TEXT NOT NULL,
  stream INTEGER NOT NULL, key TEXT, project TEXT, user TEXT, tags TEXT, attempts INTEGER NOT NULL, status INTEGER,
  error_type TEXT, cache TEXT NOT NULL, latency_ms REAL, first_token_ms REAL,
  PRIMARY KEY (day, call_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (
  day TEXT NOT NULL, call_id TEXT NOT NULL, attempt INTEGER NOT NULL, time REAL NOT NULL, operation TEXT NOT NULL,
  model_requested TEXT NOT NULL, stream INTEGER NOT NULL, key TEXT, project TEXT, user TEXT, tags TEXT, provider TEXT,
  model TEXT, model_served TEXT, service_tier TEXT, settled TEXT NOT NULL, basis TEXT, prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, cache_write_tokens INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL, cost INTEGER, price_table TEXT, status INTEGER, error_type TEXT, latency_ms REAL,
  first_token_ms REAL,
  PRIMARY KEY (day, call_id, attempt)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
  id TEXT NOT NULL PRIMARY KEY, tenant TEXT, provider TEXT NOT NULL, call_id TEXT NOT NULL, time REAL NOT NULL
) WITHOUT ROWID;
"""


class _Expression(NamedTuple):
    """SQL for a dimension, and the values for its marks."""

    sql: str
    values: tuple[str, ...] = ()


_CALL = tuple(CallRow.__struct_fields__)
_ATTEMPT = tuple(name for name in AttemptRow.__struct_fields__ if name != "cache")
_CALL_TAGS = _CALL.index("tags")
_ATTEMPT_TAGS = _ATTEMPT.index("tags")
_HOPELESS = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CORRUPT}
"""Errors at opening that waiting does not cure."""
_KEY = "a.day, a.call_id, a.attempt"
"""The order of rows: ids of calls grow with time, so it is their order in time, and needs no index of its own."""


def _insert(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" for _ in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608  own names


_INSERT_CALL = _insert("calls", _CALL)
_INSERT_ATTEMPT = _insert("attempts", _ATTEMPT)
_INSERT_OBJECT = _insert("objects", ObjectRow.__struct_fields__)
_SELECT = ", ".join(f"a.{column}" for column in _ATTEMPT)

_LAST = 250_000_000_000.0
_PART = 10**9
# `c` is empty for calls that have not ended, and for the gate's own: neither are counted as calls.
# A sum of picodollars may be larger than 64 bits (9 million dollars): it is added up in two parts.
_SUMS = f"""
  count(DISTINCT c.call_id),
  count(DISTINCT CASE WHEN c.status >= 400 OR c.error_type IS NOT NULL THEN c.call_id END),
  count(DISTINCT CASE WHEN c.cache IN ('hit', 'coalesced') THEN c.call_id END),
  coalesce(sum(a.attempt > 0), 0),
  coalesce(sum(a.prompt_tokens), 0), coalesce(sum(a.completion_tokens), 0), coalesce(sum(a.cached_tokens), 0),
  coalesce(sum(CASE WHEN a.settled <> 'unknown' THEN a.cost / {_PART} END), 0),
  coalesce(sum(CASE WHEN a.settled <> 'unknown' THEN a.cost % {_PART} END), 0),
  coalesce(sum(CASE WHEN a.settled = 'unknown' THEN a.cost / {_PART} END), 0),
  coalesce(sum(CASE WHEN a.settled = 'unknown' THEN a.cost % {_PART} END), 0),
  coalesce(sum(a.settled = 'unknown'), 0),
  coalesce(sum(a.settled = 'billed' AND a.cost IS NULL), 0)
"""
_FROM = "FROM attempts a LEFT JOIN calls c ON c.day = a.day AND c.call_id = a.call_id"


class SqliteLedger:
    """The books in one SQLite database.

    Example:
        >>> import asyncio
        >>> async def calls():
        ...     ledger = SqliteLedger(":memory:")
        ...     total, _ = await ledger.usage(Query())
        ...     await ledger.close()
        ...     return total.calls
        >>> asyncio.run(calls())
        0
    """

    def __init__(self, path: str | Path) -> None:
        """Name a file, or `:memory:`. Nothing is opened yet."""
        # Absolute: the program around us may change its working directory.
        self._path = MEMORY if str(path) == MEMORY else str(Path(path).absolute())
        self._thread = None if self._path == MEMORY else ThreadPoolExecutor(1, "headgate-ledger")
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._closed = False

    async def open(self) -> None:
        """Open the database and make its tables, so that a wrong path is known at start.

        Raises:
            ConfigError: the path cannot be used, or belongs to a newer headgate, or to another program.
        """
        await self._do(lambda _: None)

    async def book(
        self, calls: Sequence[CallRow], attempts: Sequence[AttemptRow], objects: Sequence[ObjectRow] = ()
    ) -> None:
        """Book rows in one transaction; what is booked already is passed over.

        Raises:
            ConfigError: the database cannot be used.
            sqlite3.Error: it is away, busy or full; nothing of the batch was booked.
        """
        await self._do(_book, calls, attempts, objects)

    async def owners(self, ids: Sequence[str]) -> Mapping[str, Owner]:
        """Whose objects these are; what is not booked is not among them, and nobody's.

        Raises:
            ConfigError: the database cannot be used.
            sqlite3.Error: it is away or busy.
        """
        return await self._do(_owners, ids)

    async def usage(self, query: Query) -> tuple[Usage, list[Usage]]:
        """The total, and one entry per group, dearest first.

        A call that asked several models or providers counts in the group of each of them, but once in the total.

        Raises:
            BadRequestError: there is no such dimension.
            ConfigError: the database cannot be used.
        """
        where, values = _where(query)
        by = [_dimension(name) for name in query.by]
        return await self._do(_usage, where, values, query.by, by)

    async def rows(self, query: Query) -> AsyncIterator[AttemptRow]:
        """The attempts, oldest first, read in pages; `by` is not looked at.

        Raises:
            BadRequestError: there is no such dimension.
            ConfigError: the database cannot be used.
        """
        where, values = _where(query)
        last: tuple[Any, ...] | None = None
        while True:
            page = await self._do(_page, where, values, last)
            for row in page:
                yield row
            if len(page) < PAGE:
                return
            row = page[-1]
            last = (row.day, row.call_id, row.attempt)

    async def health(self) -> Mapping[str, Any]:
        """`{"status": "ok" | "down", "kind": "sqlite", "error": …}`; never raises."""
        try:
            await self._do(lambda connection: connection.execute("SELECT 1 FROM attempts LIMIT 1").fetchone())
        except (ConfigError, sqlite3.Error, RuntimeError) as error:
            return {"status": "down", "kind": "sqlite", "error": str(error)}
        return {"status": "ok", "kind": "sqlite", "error": None}

    async def close(self) -> None:
        """Close the database. Safe to call twice."""
        if self._thread is None:
            self._close()
        elif not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
            self._thread.shutdown()

    async def _do(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        todo = partial(self._work, work, *args, **kwargs)
        if self._thread is None:
            return todo()
        return await asyncio.get_running_loop().run_in_executor(self._thread, todo)

    def _work(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._connection is None:
            self._connection = _connect(self._path)
            self._file = _identity(self._path)
        elif _identity(self._path) != self._file:
            message = f"The store 'sqlite:///{self._path}' was deleted, moved or replaced while it was open."
            raise ConfigError(message, hint="Put the file back, or restart headgate: nothing is lost until then.")
        return work(self._connection, *args, **kwargs)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _identity(path: str) -> tuple[int, int] | None:
    """Which file lies at a path: device and inode; None where there is none, or no file is meant."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _connect(path: str) -> sqlite3.Connection:
    if path != MEMORY and not Path(path).parent.is_dir():
        message = f"The store 'sqlite:///{path}' lies in a folder that does not exist."
        raise ConfigError(message, hint=f"Make the folder '{Path(path).parent}', or change `store`.")
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > VERSION:
            message = f"The store 'sqlite:///{path}' was written by a newer headgate (tables {found}, known {VERSION})."
            raise ConfigError(message, hint="Upgrade headgate, or name another file in `store`.")
        if 0 < found < VERSION:
            message = f"The store 'sqlite:///{path}' was written by an older headgate (tables {found}, now {VERSION})."
            raise ConfigError(
                message, hint="Name another file in `store`: tables of trial versions are not carried on."
            )
        if not found:
            # IMMEDIATE: of several processes that start at once, one makes the tables and the others wait.
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        connection.execute("PRAGMA synchronous = FULL")
        _use_wal(connection)
    except BaseException as error:
        if connection is not None:
            connection.close()
        code = error.sqlite_errorcode & 0xFF if isinstance(error, sqlite3.Error) else None
        if code not in _HOPELESS:
            raise
        message = f"The store 'sqlite:///{path}' cannot be used: {error}."
        raise ConfigError(message, hint="Let `store` name a writable file that headgate made, or a new one.") from None
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        # Another process is in the file at this moment. It switches the file, or the next start does.
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise


def _book(
    connection: sqlite3.Connection,
    calls: Sequence[CallRow],
    attempts: Sequence[AttemptRow],
    objects: Sequence[ObjectRow],
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(_INSERT_CALL, map(_call_values, calls))
        connection.executemany(_INSERT_ATTEMPT, map(_attempt_values, attempts))
        if objects:
            connection.executemany(_INSERT_OBJECT, map(msgspec.structs.astuple, objects))
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors (disk full).
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _owners(connection: sqlite3.Connection, ids: Sequence[str]) -> Mapping[str, Owner]:
    owners = {}
    for name in ids:
        # What is not ASCII is no id, and perhaps no text that the driver takes.
        if name.isascii():
            found = connection.execute("SELECT tenant, provider FROM objects WHERE id = ?", (name,)).fetchone()
            if found is not None:
                owners[name] = Owner(*found)
    return owners


def _call_values(row: CallRow) -> Sequence[Any]:
    values = list(msgspec.structs.astuple(row))
    values[_CALL_TAGS] = msgspec.json.encode(row.tags).decode() if row.tags else None
    return values


def _attempt_values(row: AttemptRow) -> Sequence[Any]:
    values = list(msgspec.structs.astuple(row)[: len(_ATTEMPT)])
    values[_ATTEMPT_TAGS] = msgspec.json.encode(row.tags).decode() if row.tags else None
    return values


def _page(
    connection: sqlite3.Connection, where: str, values: Sequence[Any], last: Sequence[Any] | None
) -> list[AttemptRow]:
    if last is not None:
        where, values = f"{where} AND ({_KEY}) > (?, ?, ?)", [*values, *last]
    query = f"SELECT {_SELECT}, coalesce(c.cache, 'off') {_FROM} WHERE {where} ORDER BY {_KEY} LIMIT {PAGE}"
    return [_row(found) for found in connection.execute(query, values)]


def _row(found: Sequence[Any]) -> AttemptRow:
    facts = dict(zip((*_ATTEMPT, "cache"), found, strict=True))
    facts["stream"] = bool(facts["stream"])
    facts["tags"] = msgspec.json.decode(facts["tags"]) if facts["tags"] else {}
    facts["settled"] = Settled(facts["settled"])
    facts["basis"] = Basis(facts["basis"]) if facts["basis"] else None
    return AttemptRow(**facts)


def _usage(
    connection: sqlite3.Connection, where: str, values: Sequence[Any], names: Sequence[str], by: Sequence[_Expression]
) -> tuple[Usage, list[Usage]]:
    # One transaction: the groups belong to the same state of the books as the total.
    connection.execute("BEGIN")
    try:
        total = connection.execute(f"SELECT {_SUMS} {_FROM} WHERE {where}", values).fetchone()
        groups: list[Usage] = []
        if by:
            labels = ", ".join(f"{expression.sql} AS g{number}" for number, expression in enumerate(by))
            keys = ", ".join(f"g{number}" for number in range(len(by)))
            given = [value for expression in by for value in expression.values]
            query = f"SELECT {labels}, {_SUMS} {_FROM} WHERE {where} GROUP BY {keys}"
            for found in connection.execute(query, [*given, *values]):
                group = dict(zip(names, found, strict=False))
                groups.append(_sums(found[len(by) :], group))
    finally:
        connection.execute("COMMIT")
    groups.sort(key=lambda usage: (-usage.cost, -usage.calls, [str(label) for label in usage.group.values()]))
    return _sums(total, {}), groups


def _sums(found: Sequence[Any], group: Mapping[str, str | None]) -> Usage:
    calls, errors, hits, attempts, prompt, completion, cached, high, low, worst_high, worst_low, unknown, unpriced = (
        found
    )
    return Usage(
        group=group,
        calls=calls,
        attempts=attempts,
        errors=errors,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cost=high * _PART + low,
        unknown_attempts=unknown,
        unknown_cost=worst_high * _PART + worst_low,
        unpriced_attempts=unpriced,
        cache_hits=hits,
    )


def _where(query: Query) -> tuple[str, list[Any]]:
    terms = ["1"]
    values: list[Any] = []
    if query.since is not None:
        # The day stands first in the key: whole days are passed over without a look.
        terms.append("a.day >= ? AND a.time >= ?")
        values += [_day(query.since), query.since]
    if query.until is not None:
        terms.append("a.day <= ? AND a.time < ?")
        values += [_day(query.until), query.until]
    for name, wanted in query.where.items():
        expression = _dimension(name)
        terms.append(f"{expression.sql} = ?")
        values += [*expression.values, wanted]
    return " AND ".join(terms), values


def _day(time: float) -> str:
    # A time beyond the calendar is as good as its end.
    return datetime.fromtimestamp(min(max(time, 0.0), _LAST), UTC).date().isoformat()


def _dimension(name: str) -> _Expression:
    if name.startswith("tag:"):
        return _Expression("(SELECT value FROM json_each(a.tags) WHERE key = ?)", (name[4:],))
    if name == "model":
        # A call that never left asked no model of anybody.
        return _Expression("coalesce(a.model, a.model_requested)")
    if name in DIMENSIONS:
        return _Expression(f"a.{name}")
    hint = f"Dimensions are {', '.join(DIMENSIONS)} and `tag:NAME`."
    message = f"Usage has no dimension {name!r}."
    raise BadRequestError(message, code="unknown_dimension", param="by", hint=hint)
