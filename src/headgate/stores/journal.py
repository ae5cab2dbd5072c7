"""The journal: what a process writes down before and after it may have spent money.

Decides how records reach the disk and what happens when they do not; refuses to know what they mean and where they are
booked (the drain reads them back). A record is one line, written by `write(2)`: it survives the death of the process,
and with `fsync` of the machine. Nothing may leave whose intent could not be written.

An outcome is owed from its settlement until it is written: with the end of its call where that follows at once (one
system call for both), else before the event loop goes on. A process that dies in between leaves an attempt that is
`unknown`, never one that is lost. What cannot be written (disk full) stays owed, goes before anything else, and shows
in health. What was written is also kept in memory for a while (`recent.py`), so that booking need not read it back.

A journal belongs to one event loop, and is not for use from several threads.
"""

import asyncio
import errno
import os
import weakref
from collections.abc import Generator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from headgate.core.clock import Chance
from headgate.core.errors import BacklogError, ConfigError
from headgate.stores.recent import Recent
from headgate.stores.records import CallEnd, Intent, Outcome, Record
from headgate.stores.segments import (
    DeadJournal,
    Page,
    Segment,
    dead_journals,
    lock_path,
    read_page,
    segment_path,
    take_lock,
)

MEGA = 1024 * 1024
_encode = msgspec.json.Encoder().encode


class FileJournal:
    """The journal in a folder.

    Attributes:
        token: names this process's files; another one after a fork, "" before the first record.
    """

    def __init__(
        self,
        path: str | Path,
        chance: Chance,
        *,
        fsync: bool = False,
        max_backlog: int = 1024 * MEGA,
        segment: int = 16 * MEGA,
    ) -> None:
        """Make a journal; nothing is written before `open`, or the first record.

        Args:
            path: the folder, made if it is missing.
            chance: draws the token.
            fsync: also survive a power cut, at the price of a disk write per attempt.
            max_backlog: undrained bytes beyond which no intent is taken.
            segment: bytes after which a new file is begun.
        """
        self.token = ""
        # Absolute: the program around us may change its working directory.
        self._folder = Path(path).absolute()
        self._chance = chance
        self._fsync = fsync
        self._max_backlog = max_backlog
        self._segment_size = segment
        self._reset()
        # A child must neither write into its parent's file nor hold its parent's lock.
        me = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forked(me))

    def _reset(self) -> None:
        self.token = ""
        self._lock = self._file = -1
        self._segments: list[Segment] = []
        self._recent = Recent()
        self._numbers = 0
        self._end = self._booked = 0
        # Lines, and the records in them.
        self._owed: list[bytes] = []
        self._owing: list[Record] = []
        self._paying: asyncio.AbstractEventLoop | None = None
        self._unwritten = 0
        self._error: str | None = None
        self._closed = False

    def open(self) -> None:
        """Make the folder and take the lock, so that a wrong path is known at start.

        Raises:
            ConfigError: the folder cannot be made, or not be written to.
        """
        try:
            if self._lock < 0:
                self._begin()
        except OSError as error:
            message = f"The journal cannot be kept in '{self._folder}': {error.strerror}."
            raise ConfigError(message, hint="Let `journal.path` name a writable folder.") from None

    def intent(self, record: Intent) -> None:
        """Write down that an attempt is about to leave.

        Raises:
            BacklogError: too much waits to be booked, or the record cannot be written; the call must not be made.
        """
        line = _encode(record) + b"\n"
        if self._end - self._booked + len(line) > self._max_backlog:
            message = f"The journal holds {self.backlog} bytes that are not booked yet (limit {self._max_backlog})."
            raise BacklogError(message)
        try:
            self._append(line, record)
        except OSError as error:
            self._error = self._trouble(error)
            message = f"The journal cannot be written: {error.strerror}."
            raise BacklogError(message, hint="Look at the disk that `journal.path` is on.") from error

    def outcome(self, record: Outcome) -> None:
        """Write down how an attempt ended, soon. Never fails: what cannot be written is owed."""
        self._owed.append(_encode(record) + b"\n")
        self._owing.append(record)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._pay()  # outside a loop there is no soon
            return
        if self._paying is not loop:
            # One look for all calls that end in this turn of the loop, whoever pays first.
            self._paying = loop
            loop.call_soon(self._pay_soon)

    def call(self, record: CallEnd) -> None:
        """Write down how a call ended. Never fails: what cannot be written is owed.

        A call that never left is passed over, and counted, while no call could leave: else a crowd that is refused
        would fill disk and memory all the same.
        """
        line = _encode(record) + b"\n"
        if not record.attempts and (self._error or self._end - self._booked + len(line) > self._max_backlog):
            self._unwritten += 1
            return
        self._owed.append(line)
        self._owing.append(record)
        self._pay()

    @property
    def backlog(self) -> int:
        """Bytes that are written and not booked yet."""
        return self._end - self._booked if self._segments else 0

    def flush(self) -> None:
        """Try again to write what is owed.

        Raises:
            OSError: it still cannot be written.
        """
        try:
            self._append(b"")
        except OSError as error:
            self._error = self._trouble(error)
            raise

    def read(self, after: int) -> Page:
        """The records that begin at a position; an empty page at the end.

        Raises:
            OSError: a file cannot be read.
        """
        page = self._recent.take(after)
        if page is None:
            page = read_page(self._segments, after)
            # From the end on, memory is as good as the file again.
            self._recent.restart(self._end, keep=page.end == self._end)
        return page

    def release(self, *, booked: int, needed: int) -> None:
        """Everything before `booked` is in the ledger; nothing before `needed` will be asked for again."""
        self._booked = booked
        while len(self._segments) > 1 and self._segments[0].end <= needed:
            self._segments[0].discard()
            del self._segments[0]

    def dead(self) -> Generator[DeadJournal, None, None]:
        """The journals that dead processes left in this folder, each locked until the next one is asked for."""
        return dead_journals(self._folder)

    def close(self, *, needed: int) -> None:
        """Stop writing. If nothing is needed any more, no file stays behind; else the next process adopts them."""
        self._closed = True
        self._close_file()
        if self._lock < 0:
            return
        if not self._owed and all(segment.end <= needed for segment in self._segments):
            for segment in self._segments:
                segment.discard()
            lock_path(self._folder, self.token).unlink(missing_ok=True)
        self._segments = []
        os.close(self._lock)
        self._lock = -1

    def health(self) -> Mapping[str, Any]:
        """How it does: `{"kind": "file", "backlog_bytes": …, "owed": …, "unwritten": …, "error": …}`.

        `owed` are records that wait to be written, `unwritten` calls that never left and were passed over.
        """
        return {
            "kind": "file",
            "backlog_bytes": self.backlog,
            "owed": len(self._owed),
            "unwritten": self._unwritten,
            "error": self._error,
        }

    def _pay_soon(self) -> None:
        self._paying = None
        self._pay()

    def _pay(self) -> None:
        if not self._owed:
            return
        try:
            self._append(b"")
        except OSError as error:
            self._error = self._trouble(error)

    def _trouble(self, error: OSError) -> str:
        return f"{error.strerror} ({self._folder})"

    def _append(self, line: bytes, intent: Intent | None = None) -> None:
        records = self._owing
        if records:
            # The order of writing is the order of events.
            line = b"".join((*self._owed, line))
        if line:
            start = self._end
            self._write(line, sync=self._fsync and intent is not None)
            if intent is not None:
                records.append(intent)
            self._recent.add(records, start, self._end)
            records.clear()
            self._owed.clear()
        self._error = None

    def _write(self, line: bytes, *, sync: bool) -> None:
        if self._file < 0 or self._segments[-1].size >= self._segment_size:
            self._next_segment()
        segment = self._segments[-1]
        try:
            if os.write(self._file, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if sync:
                os.fsync(self._file)
        except OSError:
            # Half a line must not be continued by the next one: cut it off, or leave the file to itself.
            try:
                os.ftruncate(self._file, segment.size)
            except OSError:
                self._close_file()
            raise
        segment.size += len(line)
        self._end += len(line)

    def _next_segment(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, "the journal is closed")
        if self._lock < 0:
            self._begin()
        path = segment_path(self._folder, self.token, self._numbers)
        self._recent.turn()
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._close_file()
        self._file = opened
        self._numbers += 1
        self._segments.append(Segment(path, self._segments[-1].end if self._segments else 0))
        if self._fsync:
            folder = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _begin(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            token = self._chance.token()
            # Somebody who adopts may lock the new file before we do, and removes it then: take another name.
            lock = take_lock(lock_path(self._folder, token))
            if lock is not None:
                break
        self.token, self._lock = token, lock

    def _close_file(self) -> None:
        if self._file >= 0:
            with suppress(OSError):
                os.close(self._file)
        self._file = -1


def _forked(journal: "weakref.ref[FileJournal]") -> None:
    me = journal()
    if me is None:
        return
    me._close_file()  # noqa: SLF001  it is this module's own
    if me._lock >= 0:  # noqa: SLF001
        os.close(me._lock)  # noqa: SLF001
    me._reset()  # noqa: SLF001


class MemoryJournal:
    """The journal of a gate whose books are in memory too: both end with the process."""

    def __init__(self, *, max_backlog: int = 100_000) -> None:
        """Make a journal. `max_backlog` counts records."""
        self.token = "memory"  # noqa: S105  a name
        self._records: list[Record] = []
        self._start = 0
        self._unwritten = 0
        self._max_backlog = max_backlog

    def open(self) -> None:
        """Nothing to open."""

    def intent(self, record: Intent) -> None:
        """Keep that an attempt is about to leave.

        Raises:
            BacklogError: too much waits to be booked; the call must not be made.
        """
        if len(self._records) >= self._max_backlog:
            message = f"The journal holds {len(self._records)} records that are not booked yet."
            raise BacklogError(message)
        self._records.append(record)

    def outcome(self, record: Outcome) -> None:
        """Keep how an attempt ended."""
        self._records.append(record)

    def call(self, record: CallEnd) -> None:
        """Keep how a call ended. One that never left is passed over, and counted, while no call could leave."""
        if not record.attempts and len(self._records) >= self._max_backlog:
            self._unwritten += 1
            return
        self._records.append(record)

    def flush(self) -> None:
        """Nothing is ever owed."""

    def read(self, after: int) -> Page:
        """The records that begin at a position; an empty page at the end."""
        first = after - self._start
        records = self._records[first : first + 500]
        return Page(records, after + len(records))

    def release(self, *, booked: int, needed: int) -> None:
        """Everything before `booked` is in the ledger; records are not needed after that."""
        del needed
        del self._records[: booked - self._start]
        self._start = booked

    def dead(self) -> Generator[DeadJournal, None, None]:
        """Nobody leaves a journal in memory."""
        yield from ()

    def close(self, *, needed: int) -> None:
        """Nothing to close."""

    def health(self) -> Mapping[str, Any]:
        """How it does: `{"kind": "memory", "backlog_records": …, "owed": 0, "unwritten": …, "error": None}`."""
        return {
            "kind": "memory",
            "backlog_records": len(self._records),
            "owed": 0,
            "unwritten": self._unwritten,
            "error": None,
        }
