"""The ledger in Postgres: one database for any number of gateways.

Decides how connections are kept, and what happens in one transaction; the only file that imports the driver (what is
said to the database stands in `tables.py` and `question.py`). Connections are made when they are needed, and again when
they are lost: a database that is away stops nobody, the journal keeps what was spent. There are three, so that neither
a long report nor a large batch keeps waiting who asks whose an object is.

A batch is copied into a table of its own connection and booked from there behind a lock, so batches of all gateways
come one after the other, and each line is news to exactly one of them. It is on the disk when `book` returns, because
the journal is deleted after that. Lines lie in one partition per day, made when the first line of a day comes.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from math import ceil
from typing import Any

import msgspec
import psycopg
from psycopg import AsyncConnection, sql

from headgate.core.errors import ConfigError, StoreError
from headgate.core.secret import Secret
from headgate.stores import question, tables, treasury
from headgate.stores.money import Alert, Cap, Loan
from headgate.stores.protocols import Query, Statement, Usage
from headgate.stores.records import AttemptRow, Entry, ObjectRow, Owner
from headgate.stores.rollups import delta
from headgate.stores.schema import POSTGRES, VERSION_TABLE, judge, stamped
from headgate.stores.tables import ADDED, GROUP, KEY, LINE, PAGE, SUMS, columns

CONNECT_SECONDS = 5
"""How long a connection may take to be made."""
ASK_SECONDS, BOOK_SECONDS, REPORT_SECONDS = 5.0, 60.0, 300.0
"""How long the owners of objects, a batch and a page of a report are waited for."""

_HOPELESS = ("does not exist", "authentication failed", "no password supplied", "no pg_hba.conf entry")
"""What errors say at connecting that waiting does not cure; Postgres gives them no codes there."""
# Tables of the connection take in what is new; `LIKE` gives them the same columns in the same order. What is booked is
# deleted from them: to empty a table at each commit takes longer than to book a batch. That is done now and then.
_BEGIN = f"""
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL synchronous_commit = on;
CREATE TEMPORARY TABLE IF NOT EXISTS new_attempts (LIKE attempts);
CREATE TEMPORARY TABLE IF NOT EXISTS new_groups (LIKE rollup_groups);
CREATE TEMPORARY TABLE IF NOT EXISTS new_rollups (LIKE rollups);
{POSTGRES.lock};
"""
_EMPTY = b"TRUNCATE new_attempts, new_groups, new_rollups"
_EMPTY_EVERY = 10
"""Batches."""
# Own names throughout.
_INSERT = f"""
WITH new AS (DELETE FROM new_attempts RETURNING *)
INSERT INTO attempts SELECT * FROM new ON CONFLICT DO NOTHING RETURNING {columns(KEY)}
"""  # noqa: S608
_ADD = f"""
WITH new AS (DELETE FROM new_groups RETURNING *)
INSERT INTO rollup_groups SELECT * FROM new ON CONFLICT DO NOTHING;
WITH new AS (DELETE FROM new_rollups RETURNING *)
INSERT INTO rollups SELECT * FROM new ON CONFLICT {ADDED};
"""  # noqa: S608
_LOCKED = f"{treasury.LOOK} FOR UPDATE"
_log = logging.getLogger("headgate.stores")


class _Line:
    """One connection, used by one at a time. Where anything failed it is given up, and with it what it had begun."""

    def __init__(self, conninfo: Secret, seconds: float) -> None:
        self._conninfo = conninfo
        self._seconds = seconds
        self._lock = asyncio.Lock()
        self._connection: AsyncConnection | None = None
        self.closed = False

    @asynccontextmanager
    async def use(self) -> AsyncIterator[AsyncConnection]:
        """The connection, for one thing that must be done in time.

        Raises:
            StoreError: the database is away, or did not do it.
        """
        try:
            async with asyncio.timeout(self._seconds), self._lock:
                try:
                    yield await self._connected()
                except BaseException:
                    # What was broken off may still be going on there; nobody waits for it any more.
                    await self._drop()
                    raise
        except TimeoutError:
            raise StoreError(f"Postgres did not answer within {self._seconds:g} s.") from None
        except psycopg.Error as error:
            # What stands behind the first line may quote a row.
            told, *_ = str(error).splitlines() or [type(error).__name__]
            raise StoreError(f"Postgres: {told}") from None

    async def _connected(self) -> AsyncConnection:
        if self.closed:
            raise StoreError("The ledger is closed.")
        if self._connection is None or self._connection.broken or self._connection.closed:
            self._connection = None
            self._connection = await _connect(self._conninfo)
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def close(self) -> None:
        """Give the connection back. Safe to call twice."""
        self.closed = True
        await self._drop()


class PostgresLedger:
    """The books in one Postgres database.

    Args:
        conninfo: `postgresql://user:password@host:port/database`, or what else libpq takes.
        keep_days: for so many days lines are kept, and the sums that tell users and tags apart; None for ever.
    """

    def __init__(self, conninfo: str, *, keep_days: int | None = None) -> None:
        """Name a database. Nothing is connected yet."""
        # Whoever reports a failure with its variables does not tell the password.
        self._conninfo = Secret(conninfo)
        self._keep_days = keep_days
        self._booking = _Line(self._conninfo, BOOK_SECONDS)
        self._reporting = _Line(self._conninfo, REPORT_SECONDS)
        self._asking = _Line(self._conninfo, ASK_SECONDS)
        self._ready = False
        self._days: set[str] = set()
        self._forgetting = False
        self._batches = 0

    async def book(self, entries: Sequence[Entry], objects: Sequence[ObjectRow] = ()) -> None:
        """Book lines in one transaction; what is booked already is passed over, but for the end of a call.

        Raises:
            ConfigError: the database cannot be used.
            StoreError: it is away; nothing of the batch was booked.
            OverflowError: a figure is larger than the books have room for.
        """
        async with self._on(self._booking) as connection:
            if not entries and not objects:
                return
            try:
                await connection.execute(_BEGIN.encode())
                await self._book(connection, _merged(entries))
                await _book_objects(connection, objects)
                await connection.execute("COMMIT")
            except BaseException:
                # Perhaps what was made is not there after all, or somebody else has taken it away.
                self._days.clear()
                raise
            if self._forgetting and self._keep_days is not None:
                self._forgetting = not await _forget(connection, self._keep_days)

    async def owners(self, ids: Sequence[str]) -> Mapping[str, Owner]:
        """Whose objects these are; what is not booked is not among them, and nobody's.

        Raises:
            StoreError: the database cannot be asked.
        """
        # What is not ASCII is no id, and perhaps no text that the driver takes.
        known = [name for name in ids if name.isascii() and "\0" not in name]
        async with self._answering() as connection:
            cursor = await connection.execute("SELECT id, tenant, provider FROM objects WHERE id = ANY(%s)", [known])
            return {name: Owner(tenant, provider) for name, tenant, provider in await cursor.fetchall()}

    async def borrow(self, owner: str, cap: Cap, least: int, wish: int, had: int = 0) -> Loan:
        """Lend a process a part of what a cap has left; see `money.Money`."""
        key = (cap.name, cap.window)
        async with self._answering() as connection, connection.transaction():
            spent = await _value(connection, _LOCKED, key)
            if spent is None:
                await connection.execute(*_said(tables.Expression(treasury.BEGIN, key)))
                spent = await _value(connection, _LOCKED, key)
            await connection.execute(*_said(tables.Expression(treasury.EVEN, treasury.evened(owner, cap, had))))
            lent = await _value(connection, treasury.OUT, key)
            loan = treasury.lend(cap, spent, lent, least, wish)
            if loan.amount:
                lending = tables.Expression(treasury.LEND, (owner, *key, loan.amount, had + loan.amount))
                await connection.execute(*_said(lending))
        return loan

    async def give_back(self, owner: str, kept: Sequence[tuple[Cap, int]], done: Sequence[Cap] = ()) -> None:
        """Take back what was lent and not spent; see `money.Money`."""
        in_order = sorted(kept, key=lambda one: (one[0].name, one[0].window))
        async with self._answering() as connection, connection.transaction():
            await _many(connection, treasury.EVEN, [treasury.evened(owner, cap, had) for cap, had in in_order])
            await _many(connection, treasury.FORGET, sorted((owner, cap.name, cap.window) for cap in done))
            await connection.execute(*_said(tables.Expression(treasury.TIDY, (owner,))))

    async def spent(self, caps: Sequence[Cap]) -> Sequence[tuple[int, int]]:
        """Of each cap, what is spent and what is lent; see `money.Money`."""
        found = []
        async with self._answering() as connection:
            for cap in caps:
                key = (cap.name, cap.window)
                spent = await _value(connection, treasury.LOOK, key)
                found.append((spent or 0, await _value(connection, treasury.OUT, key)))
        return found

    async def alerts(self, caps: Sequence[Cap]) -> Sequence[Alert]:
        """Which shares have been reached and were not told of; see `money.Money`."""
        found = []
        async with self._answering() as connection:
            for cap, share in treasury.shares(caps):
                asked = (share, cap.name, cap.window, share, ceil(share * cap.limit))
                spent = await _value(connection, treasury.TELL, asked)
                if spent is not None:
                    found.append(Alert(cap, share, spent))
        return found

    async def inherit(self, owner: str) -> None:
        """End the loans of an owner of whom everything is booked.

        Raises:
            StoreError: the database cannot be told.
        """
        async with self._answering() as connection:
            await connection.execute(*_said(tables.Expression(treasury.INHERIT, (owner,))))

    async def read(self, statement: Statement) -> Sequence[Sequence[Any]]:
        """The rows that a question has; see `protocols.Tables`."""
        async with self._answering() as connection:
            return await _rows(connection, statement)

    async def change(self, statements: Sequence[Statement]) -> Sequence[Sequence[Sequence[Any]]]:
        """Do all of it or nothing; see `protocols.Tables`."""
        async with self._answering() as connection, connection.transaction():
            await connection.execute(POSTGRES.lock.encode())
            return [await _rows(connection, statement) for statement in statements]

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[AsyncConnection]:
        """The connection of those for whom a call waits."""
        try:
            async with self._on(self._asking) as connection:
                yield connection
        except ConfigError as error:
            raise StoreError(f"The store cannot be asked: {error}") from error

    async def usage(self, query: Query) -> tuple[Usage, list[Usage]]:
        """The total, and one entry per group, dearest first.

        A call counts where it ended: in the group of its last attempt.

        Raises:
            BadRequestError: there is no such dimension.
            ConfigError: the database cannot be used.
            StoreError: it is away.
        """
        asked = question.question(query, POSTGRES)
        async with self._on(self._reporting) as connection:
            # To compile a report takes longer than to answer it.
            await connection.execute("BEGIN READ ONLY; SET LOCAL jit = off")
            cursor = await connection.execute(*_said(asked))
            found = await cursor.fetchall()
            await connection.execute("COMMIT")
        return question.answer(query, found)

    async def rows(self, query: Query) -> AsyncIterator[AttemptRow]:
        """The attempts, oldest first, read in pages; `by` is not looked at.

        Raises:
            BadRequestError: there is no such dimension.
            ConfigError: the database cannot be used.
            StoreError: it is away.
        """
        last: AttemptRow | None = None
        while True:
            asked = tables.page(query, POSTGRES, last)
            async with self._on(self._reporting) as connection:
                cursor = await connection.execute(*_said(asked))
                page = [tables.row(found) for found in await cursor.fetchall()]
            for row in page:
                yield row
            if len(page) < PAGE:
                return
            last = page[-1]

    async def health(self) -> Mapping[str, Any]:
        """`{"status": "ok" | "down", "kind": "postgres", "error": …}`; never raises."""
        try:
            async with self._on(self._asking) as connection:
                await connection.execute("SELECT 1 FROM attempts LIMIT 1")
        except (ConfigError, StoreError) as error:
            return {"status": "down", "kind": "postgres", "error": error.message}
        return {"status": "ok", "kind": "postgres", "error": None}

    async def close(self) -> None:
        """Give the connections back. Safe to call twice."""
        for line in (self._booking, self._reporting, self._asking):
            await line.close()

    @asynccontextmanager
    async def _on(self, line: _Line) -> AsyncIterator[AsyncConnection]:
        async with line.use() as connection:
            if not self._ready:
                await self._prepare(connection)
            yield connection

    async def _prepare(self, connection: AsyncConnection) -> None:
        """Make the tables of an empty database, or carry older ones over."""
        if judge(await _revision(connection), f"postgresql://{connection.info.host}/{connection.info.dbname}"):
            from headgate.stores.migrate import carry_over  # noqa: PLC0415  it takes a second to import

            await asyncio.to_thread(carry_over, POSTGRES, "psycopg", partial(psycopg.connect, self._conninfo.reveal()))
        self._ready = True

    async def _book(self, connection: AsyncConnection, entries: Mapping[tuple[str, str, int], Entry]) -> None:
        if not entries:
            return
        await _copy(connection, "new_attempts", LINE, map(tables.line, entries.values()))
        days = {day for day, _, _ in entries}
        for day in sorted(days - self._days):
            self._forgetting |= await _make_room(connection, day)
            self._days.add(day)
        # While the database works, so do we: nearly always, all of it is news.
        adding = asyncio.get_running_loop().run_in_executor(None, delta, entries.values())
        news = set(await (await connection.execute(_INSERT.encode())).fetchall())
        groups, sums = await adding
        if len(news) < len(entries):
            ends = await _end(connection, [entry for key, entry in entries.items() if key not in news and entry.end])
            groups, sums = delta([entries[key] for key in news], ends)
        await _copy(connection, "new_groups", GROUP, groups)
        await _copy(connection, "new_rollups", SUMS, sums)
        await connection.execute(_ADD.encode())
        spent, returned = treasury.charges([entries[key] for key in news])
        await _many(connection, treasury.SPEND, spent)
        await _many(connection, treasury.RETURN, returned)
        self._batches += 1
        if self._batches % _EMPTY_EVERY == 0:
            await connection.execute(_EMPTY)


async def _connect(conninfo: Secret) -> AsyncConnection:
    try:
        # Statements are few and large, and a pooler between us and the database may not keep them.
        return await AsyncConnection.connect(
            conninfo.reveal(), autocommit=True, prepare_threshold=None, connect_timeout=CONNECT_SECONDS
        )
    except psycopg.ProgrammingError:
        # What it says may hold the password.
        message = "`store` is no address that Postgres understands."
        raise ConfigError(message, hint="Write `postgresql://user:password@host:5432/database`.") from None
    except psycopg.OperationalError as error:
        text = str(error).strip()
        if any(words in text for words in _HOPELESS):
            hint = "Make the database and the role that `store` names, or change `store`."
            raise ConfigError(f"The store cannot be used: {text}", hint=hint) from None
        raise


async def _revision(connection: AsyncConnection) -> str:
    """Of the tables; an empty database gets those of today."""
    if not await _is_there(connection, VERSION_TABLE):
        # Of several gateways that start at once, one makes the tables and the others wait.
        await connection.execute(f"BEGIN; {POSTGRES.lock}".encode())
        if not await _is_there(connection, VERSION_TABLE):
            for statement in stamped(POSTGRES):
                await connection.execute(statement.encode())
        await connection.execute("COMMIT")
    # An empty one is how alembic says that no revision was run.
    return await _one(connection, f"SELECT version_num FROM {VERSION_TABLE}".encode()) or ""  # noqa: S608  own name


async def _is_there(connection: AsyncConnection, table: str) -> bool:
    # Asked of the catalog as of a table: `to_regclass` may answer from before we had the lock.
    asked = (
        b"SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        b" WHERE n.nspname = current_schema() AND c.relname = %s"
    )
    return bool(await _one(connection, asked, [table]))


async def _one(connection: AsyncConnection, asked: bytes, values: Sequence[Any] | None = None) -> Any:
    row = await (await connection.execute(asked, values)).fetchone()
    return row[0] if row is not None else None


def _merged(entries: Sequence[Entry]) -> dict[tuple[str, str, int], Entry]:
    """Each line once: the first one stands, and takes the end of its call from a later one if it has none."""
    found: dict[tuple[str, str, int], Entry] = {}
    for entry in entries:
        key = tables.key(entry)
        first = found.setdefault(key, entry)
        if first.end is None and entry.end is not None:
            found[key] = Entry(first.intent, first.outcome, entry.end)
    return found


async def _copy(connection: AsyncConnection, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    statement = f"COPY {table} ({columns(names)}) FROM STDIN".encode()
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for number, row in enumerate(rows):
            await copy.write_row(row)
            if number % 100 == 99:
                # Nobody's call waits until all is written.
                await asyncio.sleep(0)


async def _make_room(connection: AsyncConnection, day: str) -> bool:
    """Make the partition of a day; False if it is there. It is made apart: attaching it stops nobody who reads."""
    name = f"attempts_{day.replace('-', '')}"
    if await _is_there(connection, name):
        return False
    table = sql.Identifier(name)
    await connection.execute(sql.SQL("CREATE TABLE {} (LIKE attempts)").format(table))
    attach = sql.SQL("ALTER TABLE attempts ATTACH PARTITION {} FOR VALUES IN ({})")
    await connection.execute(attach.format(table, sql.Literal(day)))
    return True


async def _forget(connection: AsyncConnection, days: int) -> bool:
    """Drop the partitions of old days, and what else tells of single users; False if somebody is reading them."""
    try:
        await connection.execute(f"BEGIN; SET LOCAL lock_timeout = '2s'; {POSTGRES.lock}".encode())
        # Its own clock: that of a gateway which is a year ahead would cost a year of books.
        first = await _one(connection, b"SELECT (current_date - %s::int)::text", [days])
        asked = (
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'attempts'::regclass AND c.relname < %s"
        )
        cursor = await connection.execute(asked, [f"attempts_{first.replace('-', '')}"])
        for (name,) in await cursor.fetchall():
            await connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
        for statement in tables.FORGET:
            await connection.execute(*_said(tables.Expression(statement, (first,) * statement.count("?"))))
        await connection.execute("COMMIT")
    except psycopg.errors.LockNotAvailable:
        await connection.execute("ROLLBACK")
        _log.warning("Old days cannot be forgotten now: somebody reads the ledger. It will be tried again.")
        return False
    return True


async def _end(connection: AsyncConnection, entries: Sequence[Entry]) -> list[Entry]:
    """Book the ends of calls on lines that are there; which of them were news."""
    statement, _ = _said(tables.Expression(tables.UPDATE))
    values = [(*tables.ending(entry.end), *tables.key(entry)) for entry in entries if entry.end is not None]
    news = []
    async with connection.cursor() as cursor:
        for entry, told in zip(entries, values, strict=True):
            await cursor.execute(statement, told)
            if cursor.rowcount:
                news.append(entry)
    return news


async def _book_objects(connection: AsyncConnection, objects: Sequence[ObjectRow]) -> None:
    if objects:
        statement, _ = _said(tables.Expression(tables.INSERT_OBJECT))
        async with connection.cursor() as cursor:
            await cursor.executemany(statement, [msgspec.structs.astuple(thing) for thing in objects])


async def _many(connection: AsyncConnection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        async with connection.cursor() as cursor:
            said, _ = _said(tables.Expression(statement))
            await cursor.executemany(said, [_said(tables.Expression("", row))[1] for row in rows])


async def _value(connection: AsyncConnection, statement: str, values: tuple[Any, ...]) -> Any:
    return await _one(connection, *_said(tables.Expression(statement, values)))


async def _rows(connection: AsyncConnection, statement: Statement) -> Sequence[Sequence[Any]]:
    cursor = await connection.execute(*_said(tables.Expression(*statement)))
    return [] if cursor.description is None else await cursor.fetchall()


def _said(asked: tables.Expression) -> tuple[bytes, Sequence[Any]]:
    """A statement with the driver's marks. Texts that no line can have are made ones that the driver takes."""
    values = [
        value.replace("\0", "?").encode(errors="replace").decode() if isinstance(value, str) else value
        for value in asked.values
    ]
    return asked.sql.replace("%", "%%").replace("?", "%s").encode(), values
