"""Bytes under names in a SQLite file, shared by the processes of one machine.

Decides how blobs lie in their table, and how much of them is kept. The file lies beside the ledger's, and is none of
it: a database has one writer at a time, and what is kept here is written with every answer, needs no flush to the disk
and may be deleted at any time, while the books must wait for nobody.

Everything happens in one thread, which also is the breaker: while the disk or another process holds it up for longer
than `PATIENCE`, nobody else waits for it. What was put first is forgotten first when there is no room; what was
claimed stays until nothing else is left to forget, because somebody counts on it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from headgate.core.clock import Clock
from headgate.core.errors import StoreError
from headgate.stores.sqlite import Connection, DatabaseError, busy, identity, scratch, transaction

T = TypeVar("T")

PATIENCE = 0.25
"""Seconds after which a file that does not answer is away."""
OPENING = 1.0
"""The same while it is not open: to make a file takes a disk longer than anything that is done with it later."""
MOST_BYTES = 256 * 1024 * 1024
"""Bytes that the file's contents may have."""
AT_ONCE = 64
"""Blobs that go together, the oldest first, when there is no room."""
TIDY_EVERY = 256
"""Writes after which what is over is looked for."""

# The value stands last: who looks for labels does not read it. `labels` is null for what was claimed.
_TABLES = (
    """
CREATE TABLE IF NOT EXISTS blobs (
  name TEXT NOT NULL UNIQUE, until REAL NOT NULL, labels TEXT, value BLOB NOT NULL
)
""",
    "CREATE INDEX IF NOT EXISTS blobs_until ON blobs (until)",
)
_GET = "SELECT value FROM blobs WHERE name = ? AND until > ?"
_PUT = "INSERT OR REPLACE INTO blobs (name, until, labels, value) VALUES (?, ?, ?, ?)"
_REPLACE = "UPDATE blobs SET value = ?, until = ? WHERE name = ? AND value = ? AND until > ?"
_REMOVE = "DELETE FROM blobs WHERE name = ? AND value = ? AND until > ?"
_OVER = "DELETE FROM blobs WHERE until <= ?"
# Row numbers grow: the smallest was put first.
_OLDEST = (
    "DELETE FROM blobs WHERE rowid IN (SELECT rowid FROM blobs WHERE labels IS NOT NULL ORDER BY rowid LIMIT ?)",
    "DELETE FROM blobs WHERE rowid IN (SELECT rowid FROM blobs ORDER BY rowid LIMIT ?)",
)
_DROP = "DELETE FROM blobs WHERE until > ? AND labels IS NOT NULL"
_WITH_LABEL = " AND instr(char(10) || labels || char(10), char(10) || ? || char(10))"
_SIZE = (
    "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
)


class SqliteBlobs:
    """The store; see `stores.blobs.Blobs`. Nothing is opened before its first use.

    Args:
        path: of the file, which is made where there is none.
        clock: tells the time, by the calendar: processes share it.
        most: bytes that the file's contents may have.
    """

    def __init__(self, path: str | Path, clock: Clock, most: int = MOST_BYTES) -> None:
        # Absolute: the program around us may change its working directory.
        self._path = str(Path(path).absolute())
        self._clock = clock
        self._most = most
        self._thread = ThreadPoolExecutor(1, "headgate-blobs")
        self._stuck: Future[Any] | None = None
        self._connection: Connection | None = None
        self._file: tuple[int, int] | None = None
        self._writes = 0
        self._closed = False

    async def open(self) -> None:
        """Nothing is opened before its first use."""

    async def get(self, name: str) -> bytes | None:
        """What stands under a name; None where nothing does, or no longer."""
        return await self._do(_get, name, self._clock.time())

    async def put(self, name: str, value: bytes, seconds: float, labels: Sequence[str] = ()) -> None:
        """Put it there, whatever stood there before; what is larger than all that is kept is not kept."""
        if len(value) > self._most:
            await self._do(_forget, name)
        else:
            await self._do(self._put, (name, self._clock.time() + seconds, "\n".join(labels), value))

    async def claim(self, name: str, value: bytes, seconds: float) -> bytes | None:
        """Put it where nothing stands, and see what does."""
        now = self._clock.time()
        return await self._do(self._claim, name, now, (name, now + seconds, None, value))

    async def replace(self, name: str, old: bytes, new: bytes | None, seconds: float) -> bool:
        """Exchange exactly `old` for `new`."""
        now = self._clock.time()
        if new is None:
            return await self._do(_changed, _REMOVE, (name, old, now)) == 1
        return await self._do(_changed, _REPLACE, (new, now + seconds, name, old, now)) == 1

    async def drop(self, label: str | None = None) -> int:
        """Forget all that has a label, or everything that was `put`."""
        now = self._clock.time()
        if label is None:
            return await self._do(_changed, _DROP, (now,))
        return await self._do(_changed, _DROP + _WITH_LABEL, (now, label))

    async def health(self) -> Mapping[str, Any]:
        """Whether it can be used now."""
        try:
            await self._do(_get, "", 0.0)
        except StoreError as error:
            return {"status": "down", "kind": "sqlite", "error": error.message}
        return {"status": "ok", "kind": "sqlite", "error": None}

    async def close(self) -> None:
        """Close the file. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        closing = asyncio.wrap_future(self._thread.submit(self._close))
        # Whoever is stuck is not waited for.
        self._thread.shutdown(wait=False)
        await asyncio.wait((closing,), timeout=PATIENCE)

    async def _do(self, work: Callable[..., T], *args: Any) -> T:
        """Do it in the thread.

        Raises:
            StoreError: the file cannot be used, or keeps us waiting.
        """
        if self._closed:
            raise StoreError("The store of answers is closed.")
        if self._stuck is not None:
            if not self._stuck.done():
                raise self._late()
            self._stuck = None
        patience = OPENING if self._connection is None else PATIENCE
        running = self._thread.submit(partial(self._work, work, *args))
        waiting = asyncio.wrap_future(running)
        try:
            done, _ = await asyncio.wait((waiting,), timeout=patience)
        except asyncio.CancelledError:
            waiting.add_done_callback(_heard)
            raise
        if done or running.done():
            # Perhaps it is only our loop that was busy: the answer is there and waits to be read.
            return await waiting
        if not running.cancel():
            self._stuck = running
            waiting.add_done_callback(_heard)
        raise self._late()

    def _late(self) -> StoreError:
        return StoreError(f"The store of answers {self._path!r} does not answer in time.")

    # In the thread.

    def _work(self, work: Callable[..., T], *args: Any) -> T:
        try:
            if self._connection is not None and identity(self._path) != self._file:
                # Deleted or replaced: what others put into the new one, and what they drop there, counts here, too.
                self._close()
            if self._connection is None:
                self._open()
            return work(self._connection, *args)
        except DatabaseError as error:
            if not busy(error):
                # Whatever it is, a new connection may be better off.
                self._close()
            raise StoreError(f"The store of answers {self._path!r} cannot be used: {error}.") from error

    def _open(self) -> None:
        connection = scratch(self._path, PATIENCE)
        try:
            for statement in _TABLES:
                connection.execute(statement)
        except BaseException:
            connection.close()
            raise
        self._connection, self._file = connection, identity(self._path)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(DatabaseError):
                connection.close()

    def _put(self, connection: Connection, row: tuple[Any, ...]) -> None:
        connection.execute(_PUT, row)
        self._make_room(connection)

    def _claim(self, connection: Connection, name: str, now: float, row: tuple[Any, ...]) -> bytes | None:
        with transaction(connection):
            found = _get(connection, name, now)
            if found is None:
                connection.execute(_PUT, row)
        if found is None:
            self._make_room(connection)
        return found

    def _make_room(self, connection: Connection) -> None:
        self._writes += 1
        if self._writes % TIDY_EVERY == 1:
            connection.execute(_OVER, (self._clock.time(),))
        for oldest in _OLDEST:
            while connection.execute(_SIZE).fetchone()[0] > self._most:
                if not connection.execute(oldest, (AT_ONCE,)).rowcount:
                    break


def _get(connection: Connection, name: str, now: float) -> bytes | None:
    found = connection.execute(_GET, (name, now)).fetchone()
    return None if found is None else found[0]


def _changed(connection: Connection, statement: str, values: tuple[Any, ...]) -> int:
    return connection.execute(statement, values).rowcount


def _forget(connection: Connection, name: str) -> None:
    connection.execute("DELETE FROM blobs WHERE name = ?", (name,))


def _heard(future: asyncio.Future[Any]) -> None:
    # Nobody waits for it any more; its error is nobody's.
    if not future.cancelled():
        future.exception()
