"""The files of a journal: their names, their locks, and how lines are read back from them.

A process owns `TOKEN.lock`, locked as long as it lives, and writes `TOKEN-NUMBER.jsonl`, one record a line. The token
is drawn by chance for each start, so names never come back, as process ids do. Positions are bytes since the first
segment.

Refuses to know what the records mean. A last line that is cut off is no fault: whoever wrote it was stopped in the
middle. A line that cannot be read elsewhere is passed over, and its file is kept aside as `.bad` instead of deleted.
"""

import fcntl
import os
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from headgate.stores.records import CallEnd, Intent, Outcome, Record, sound

PAGE = 128 * 1024
"""Bytes that are read at once: few enough to be decoded within about a millisecond."""

_decoder = msgspec.json.Decoder(Intent | Outcome | CallEnd)


class Page(NamedTuple):
    """Some records, in the order of writing.

    Attributes:
        records: what could be read.
        end: the position after them.
        bad: lines that could not be read.
    """

    records: Sequence[Record]
    end: int
    bad: int = 0


class Segment:
    """One file of a journal: where it starts in the journal, how many bytes of it count, and if a line is bad."""

    __slots__ = ("bad", "path", "size", "start")

    def __init__(self, path: Path, start: int, size: int = 0) -> None:
        self.path = path
        self.start = start
        self.size = size
        self.bad = False

    @property
    def end(self) -> int:
        """The position after its last byte."""
        return self.start + self.size

    def discard(self) -> None:
        """Delete the file; keep it aside if a line of it could not be read."""
        with suppress(FileNotFoundError):
            if self.bad:
                self.path.rename(self.path.with_suffix(".bad"))
            else:
                self.path.unlink()


def segment_path(folder: Path, token: str, number: int) -> Path:
    """Where a segment lies."""
    return folder / f"{token}-{number:08d}.jsonl"


def lock_path(folder: Path, token: str) -> Path:
    """Where the lock of a journal lies."""
    return folder / f"{token}.lock"


def take_lock(path: Path) -> int | None:
    """Lock a file without waiting: its descriptor, or None if somebody else holds it or has just removed it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return descriptor
    os.close(descriptor)
    return None


def read_page(segments: Sequence[Segment], after: int) -> Page:
    """The records that begin at a position, at most about `PAGE` bytes of them; an empty page at the end.

    Raises:
        OSError: a file cannot be read. One that has gone counts as a bad line instead: waiting would not bring it back.
    """
    segment = next((segment for segment in segments if after < segment.end), None)
    if segment is None:
        return Page((), after)
    offset = max(after - segment.start, 0)
    data = _read(segment, offset, PAGE)
    cut = data.rfind(b"\n") + 1
    while not cut and offset + len(data) < segment.size and data:
        data = _read(segment, offset, 2 * len(data))
        cut = data.rfind(b"\n") + 1
    records: list[Record] = []
    bad = 0
    for line in data[:cut].split(b"\n"):
        record = _decode(line) if line else None
        if record is not None:
            records.append(record)
        elif line:
            bad += 1
    end = segment.start + offset + cut
    if offset + len(data) >= segment.size:
        end = segment.end
        tail = _decode(data[cut:])
        if tail is not None:
            records.append(tail)
    elif not cut:
        # The file is gone, or shorter than what was written to it.
        end = segment.end
        bad += 1
    segment.bad = segment.bad or bad > 0
    return Page(records, end, bad)


def _read(segment: Segment, offset: int, limit: int) -> bytes:
    try:
        with segment.path.open("rb") as file:
            file.seek(offset)
            return file.read(min(limit, segment.size - offset))
    except FileNotFoundError:
        return b""


def _decode(line: bytes) -> Record | None:
    try:
        record = _decoder.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return None
    # What no ledger could book must not stand in the way of what follows it.
    return record if sound(record) else None


class DeadJournal:
    """The journal of a process that is no more, locked by us while we book what it left.

    Attributes:
        token: which process it was.
        whole: its first piece is still there.
    """

    def __init__(self, folder: Path, token: str) -> None:
        self.token = token
        self._lock_path = lock_path(folder, token)
        self._segments: list[Segment] = []
        start = 0
        for path in sorted(folder.glob(f"{token}-*.jsonl")):
            segment = Segment(path, start, path.stat().st_size)
            self._segments.append(segment)
            start = segment.end
        self.whole = not self._segments or self._segments[0].path == segment_path(folder, token, 0)

    def read(self, after: int) -> Page:
        """The records that begin at a position; see `read_page`."""
        return read_page(self._segments, after)

    def discard(self) -> None:
        """Delete it: everything in it has been booked."""
        for segment in self._segments:
            segment.discard()
        self._lock_path.unlink(missing_ok=True)


def dead_journals(folder: Path) -> Generator[DeadJournal, None, None]:
    """Every journal in a folder that nobody holds, one after the other, each locked until the next one is asked for."""
    tokens = {path.stem for path in folder.glob("*.lock")}
    tokens |= {path.stem.rpartition("-")[0] for path in folder.glob("*.jsonl")}
    for token in sorted(tokens - {""}):
        lock = take_lock(lock_path(folder, token))
        if lock is None:
            continue
        try:
            yield DeadJournal(folder, token)
        finally:
            os.close(lock)
