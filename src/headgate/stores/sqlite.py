"""The ledger in SQLite: one file beside the gateway, or memory.

Decides how a database is opened, and what happens in one transaction; the only file that imports the driver (what is
said to it stands in `tables.py`; `sqlite_blobs.py` has a file of its own opened from here). A file is opened at its
first use, in one thread of its own, in WAL mode: other processes read and book at the same time. In memory there is
nothing to wait for, and no thread.

A batch is on the disk when `book` returns (`synchronous=FULL`), because the journal is deleted after that. For the same
reason nothing is booked into a file that was deleted, moved or replaced while it was open: SQLite would go on writing
where nobody looks. The journal keeps the records until the file is back, or the next start makes another.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from headgate.core.errors import ConfigError, StoreError
from headgate.stores import question, tables, treasury
from headgate.stores.money import Alert, Cap, Loan
from headgate.stores.protocols import Query, Statement, Usage
from headgate.stores.records import AttemptRow, Entry, ObjectRow, Owner
from headgate.stores.rollups import delta
from headgate.stores.schema import SQLITE, VERSION_TABLE, judge, stamped
from headgate.stores.tables import PAGE

T = TypeVar("T")
P = ParamSpec("P")

Connection = sqlite3.Connection
DatabaseError = sqlite3.Error

MEMORY = ":memory:"
BUSY_SECONDS = 10.0
"""How long another process's transaction is waited for."""

_HOPELESS = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CORRUPT}
"""Errors at opening that waiting does not cure."""


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

    def __init__(self, path: str | Path, *, keep_days: int | None = None) -> None:
        """Name a file, or `:memory:`. Nothing is opened yet.

        Args:
            path: of the file.
            keep_days: for so many days lines are kept, and the sums that tell users and tags apart; None for ever.
        """
        self._keep_days = keep_days
        self._days: set[str] = set()
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

    async def book(self, entries: Sequence[Entry], objects: Sequence[ObjectRow] = ()) -> None:
        """Book lines in one transaction; what is booked already is passed over, but for the end of a call.

        Raises:
            ConfigError: the database cannot be used.
            sqlite3.Error: it is away, busy or full; nothing of the batch was booked.
        """
        await self._do(_book, entries, objects)
        if self._keep_days is not None and not (days := {entry.intent.day for entry in entries}) <= self._days:
            await self._do(_forget, self._keep_days)
            self._days |= days

    async def owners(self, ids: Sequence[str]) -> Mapping[str, Owner]:
        """Whose objects these are; what is not booked is not among them, and nobody's.

        Raises:
            StoreError: the database cannot be asked.
        """
        return await self._ask(_owners, ids)

    async def borrow(self, owner: str, cap: Cap, least: int, wish: int, had: int = 0) -> Loan:
        """Lend a process a part of what a cap has left; see `money.Money`."""
        return await self._ask(_borrow, owner, cap, least, wish, had)

    async def give_back(self, owner: str, kept: Sequence[tuple[Cap, int]], done: Sequence[Cap] = ()) -> None:
        """Take back what was lent and not spent; see `money.Money`."""
        await self._ask(_give_back, owner, kept, done)

    async def spent(self, caps: Sequence[Cap]) -> Sequence[tuple[int, int]]:
        """Of each cap, what is spent and what is lent; see `money.Money`."""
        return await self._ask(_spent, caps)

    async def alerts(self, caps: Sequence[Cap]) -> Sequence[Alert]:
        """Which shares have been reached and were not told of; see `money.Money`."""
        return await self._ask(_alerts, caps)

    async def inherit(self, owner: str) -> None:
        """End the loans of an owner of whom everything is booked.

        Raises:
            StoreError: the database cannot be told.
        """
        await self._ask(lambda connection: connection.execute(treasury.INHERIT, (owner,)))

    async def read(self, statement: Statement) -> Sequence[Sequence[Any]]:
        """The rows that a question has; see `protocols.Tables`."""
        return await self._ask(lambda connection: connection.execute(*statement).fetchall())

    async def change(self, statements: Sequence[Statement]) -> Sequence[Sequence[Sequence[Any]]]:
        """Do all of it or nothing; see `protocols.Tables`."""
        return await self._ask(_change, statements)

    async def usage(self, query: Query) -> tuple[Usage, list[Usage]]:
        """The total, and one entry per group, dearest first.

        A call counts where it ended: in the group of its last attempt.

        Raises:
            BadRequestError: there is no such dimension.
            ConfigError: the database cannot be used.
        """
        return await self._do(_usage, query, question.question(query, SQLITE))

    async def rows(self, query: Query) -> AsyncIterator[AttemptRow]:
        """The attempts, oldest first, read in pages; `by` is not looked at.

        Raises:
            BadRequestError: there is no such dimension.
            ConfigError: the database cannot be used.
        """
        last: AttemptRow | None = None
        while True:
            page = await self._do(_page, tables.page(query, SQLITE, last))
            for row in page:
                yield row
            if len(page) < PAGE:
                return
            last = page[-1]

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

    async def _ask(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what a call waits for."""
        try:
            return await self._do(work, *args, **kwargs)
        except (ConfigError, sqlite3.Error) as error:
            raise StoreError(f"The store cannot be asked: {error}") from error

    async def _do(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        todo = partial(self._work, work, *args, **kwargs)
        if self._thread is None:
            return todo()
        return await asyncio.get_running_loop().run_in_executor(self._thread, todo)

    def _work(self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._connection is None:
            self._connection = _connect(self._path)
            self._file = identity(self._path)
        elif identity(self._path) != self._file:
            message = f"The store 'sqlite:///{self._path}' was deleted, moved or replaced while it was open."
            raise ConfigError(message, hint="Put the file back, or restart headgate: nothing is lost until then.")
        return work(self._connection, *args, **kwargs)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def scratch(path: str, busy_seconds: float) -> Connection:
    """A database of what may be lost, in a file of its own: a power cut may take the latest of it, and spoils nothing.

    Args:
        path: of the file, which is made where there is none.
        busy_seconds: how long another process's transaction is waited for.

    Raises:
        DatabaseError: it cannot be used.
    """
    _make_private(path)
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
    try:
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def busy(error: DatabaseError) -> bool:
    """Whether another process is in the way at this moment, and nothing else is wrong."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF == sqlite3.SQLITE_BUSY


def identity(path: str) -> tuple[int, int] | None:
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
        if path != MEMORY:
            _make_private(path)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        if judge(_revision(connection, path), f"sqlite:///{path}"):
            from headgate.stores.migrate import carry_over  # noqa: PLC0415  it takes a second to import

            carry_over(SQLITE, "", partial(sqlite3.connect, path, timeout=BUSY_SECONDS, isolation_level=None))
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


def _revision(connection: sqlite3.Connection, path: str) -> str:
    """Of the tables; an empty database gets those of today."""
    if connection.execute("PRAGMA user_version").fetchone()[0]:
        message = f"The store 'sqlite:///{path}' was written by a trial version of headgate, or by another program."
        raise ConfigError(message, hint="Name another file in `store`: tables of trial versions are not carried on.")
    there = ("SELECT 1 FROM sqlite_master WHERE name = ?", (VERSION_TABLE,))
    if connection.execute(*there).fetchone() is None:
        # Of several processes that start at once, one makes the tables and the others wait.
        with transaction(connection):
            if connection.execute(*there).fetchone() is None:
                for statement in stamped(SQLITE):
                    connection.execute(statement)
    # An empty one is how alembic says that no revision was run.
    found = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608  own name
    return found[0] if found is not None else ""


def _make_private(path: str) -> None:
    """Make the file, if there is none, so that only its owner reads who asked what, and when.

    SQLite gives the files beside it the same mode. One that is there keeps its own, and is not even opened here:
    closing it would drop this process's locks on it. What cannot be made is told by SQLite.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _use_wal(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        # Another process is in the file at this moment. It switches the file, or the next start does.
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """All of it or nothing; nobody else writes meanwhile."""
    if connection.in_transaction:
        # What broke off could not even be taken back then.
        connection.execute("ROLLBACK")
    connection.execute(SQLITE.lock)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors (disk full).
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _book(connection: sqlite3.Connection, entries: Sequence[Entry], objects: Sequence[ObjectRow]) -> None:
    if not entries and not objects:
        return
    with transaction(connection):
        news, ends = [], []
        for entry in entries:
            if connection.execute(tables.INSERT, tables.line(entry)).rowcount:
                news.append(entry)
            elif entry.end is not None:
                values = (*tables.ending(entry.end), *tables.key(entry))
                if connection.execute(tables.UPDATE, values).rowcount:
                    ends.append(entry)
        groups, sums = delta(news, ends)
        connection.executemany(tables.INSERT_GROUP, groups)
        connection.executemany(tables.ADD, sums)
        connection.executemany(tables.INSERT_OBJECT, map(msgspec.structs.astuple, objects))
        spent, returned = treasury.charges(news)
        connection.executemany(treasury.SPEND, spent)
        connection.executemany(treasury.RETURN, returned)


def _forget(connection: sqlite3.Connection, days: int) -> None:
    """Delete the lines of old days, and what else tells of single users."""
    with transaction(connection):
        first = connection.execute("SELECT date('now', ?)", (f"-{days} days",)).fetchone()[0]
        for statement in ("DELETE FROM attempts WHERE day < ?", *tables.FORGET):
            connection.execute(statement, (first,) * statement.count("?"))


def _owners(connection: sqlite3.Connection, ids: Sequence[str]) -> Mapping[str, Owner]:
    owners = {}
    for name in ids:
        # What is not ASCII is no id, and perhaps no text that the driver takes.
        if name.isascii():
            found = connection.execute("SELECT tenant, provider FROM objects WHERE id = ?", (name,)).fetchone()
            if found is not None:
                owners[name] = Owner(*found)
    return owners


def _borrow(  # noqa: PLR0917  those of `borrow`, by position
    connection: sqlite3.Connection, owner: str, cap: Cap, least: int, wish: int, had: int
) -> Loan:
    with transaction(connection):
        connection.execute(treasury.EVEN, treasury.evened(owner, cap, had))
        ((spent, lent),) = _spent(connection, [cap])
        loan = treasury.lend(cap, spent, lent, least, wish)
        if loan.amount:
            connection.execute(treasury.LEND, (owner, cap.name, cap.window, loan.amount, had + loan.amount))
    return loan


def _give_back(
    connection: sqlite3.Connection, owner: str, kept: Sequence[tuple[Cap, int]], done: Sequence[Cap]
) -> None:
    with transaction(connection):
        connection.executemany(treasury.EVEN, [treasury.evened(owner, cap, had) for cap, had in kept])
        connection.executemany(treasury.FORGET, [(owner, cap.name, cap.window) for cap in done])
        connection.execute(treasury.TIDY, (owner,))


def _spent(connection: sqlite3.Connection, caps: Sequence[Cap]) -> Sequence[tuple[int, int]]:
    found = []
    for cap in caps:
        key = (cap.name, cap.window)
        spent = connection.execute(treasury.LOOK, key).fetchone()
        found.append((spent[0] if spent else 0, connection.execute(treasury.OUT, key).fetchone()[0]))
    return found


def _alerts(connection: sqlite3.Connection, caps: Sequence[Cap]) -> Sequence[Alert]:
    found = []
    for cap, share in treasury.shares(caps):
        asked = (share, cap.name, cap.window, share, ceil(share * cap.limit))
        for (spent,) in connection.execute(treasury.TELL, asked).fetchall():
            found.append(Alert(cap, share, spent))
    return found


def _change(connection: sqlite3.Connection, statements: Sequence[Statement]) -> Sequence[Sequence[Sequence[Any]]]:
    with transaction(connection):
        return [connection.execute(*statement).fetchall() for statement in statements]


def _page(connection: sqlite3.Connection, asked: tables.Expression) -> list[AttemptRow]:
    return [tables.row(found) for found in connection.execute(*asked)]


def _usage(connection: sqlite3.Connection, query: Query, asked: tables.Expression) -> tuple[Usage, list[Usage]]:
    return question.answer(query, connection.execute(*asked))
