"""What the workers at one address tell each other: any of them can be asked for the figures of all.

Decides where figures lie and how fresh they are; refuses to know what they say. Each worker writes its own into a file
of its own, once a second, and whoever is asked reads those of the others. So nobody waits for a worker that is busy or
hangs, and one that has died is still told of. The file is written in place, because a file that is exchanged is written
to the disk at once on many systems; a sum says whether it was read whole.
"""

import asyncio
import os
import platform
import re
import weakref
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from headgate.core.clock import Clock
from headgate.server.figures import Figures

EVERY = 1.0
"""Seconds between two writes."""
FRESH = 10.0
"""Seconds after which a worker that has written nothing seems to hang."""
_READS = 5
_HEAD = 8
_NAME = re.compile(r"(?P<machine>[\w.-]+)-(?P<parent>\d+)-\d+")


class Told(msgspec.Struct, array_like=True):
    """What a worker has told, and when, in seconds since 1970."""

    at: float
    figures: Figures


class Beside:
    """One of the workers, beside the others.

    Args:
        folder: where the files lie.
        number: which of the workers this is, from 1.
        workers: how many there are.
        read: reads our own figures.
        clock: tells how fresh figures are.
    """

    def __init__(self, folder: Path, number: int, workers: int, read: Callable[[], Figures], clock: Clock) -> None:
        self._folder = folder
        self._number = number
        self._workers = workers
        self._read = read
        self._clock = clock
        # Who started us is the same for all of us; machines that share a folder may number their processes alike.
        self._machine = re.sub(r"[^\w.-]", "_", platform.node()) or "_"
        self._parent = os.getppid()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep()
        self._path = self._file(number)
        # It lies there for as long as this object lives, or the process.
        weakref.finalize(self, _remove, self._path, folder)

    def tell(self) -> None:
        """Write our own figures. A disk that is full costs nothing but their freshness."""
        data = msgspec.msgpack.encode(Told(self._clock.time(), self._read()))
        head = len(data).to_bytes(4) + zlib.crc32(data).to_bytes(4)
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.write(file, head + data)
            finally:
                os.close(file)
        except OSError:
            return

    def keep_telling(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write them now and once a second, for as long as the loop runs and anybody has this object."""
        _again(weakref.ref(self), loop)

    def all(self) -> dict[int, tuple[Figures, bool]]:
        """The figures of all that have told any, by number, and whether they are fresh. Our own are those of now."""
        found = {self._number: (self._read(), True)}
        now = self._clock.time()
        for number in range(1, self._workers + 1):
            told = None if number == self._number else _read(self._file(number))
            if told is not None:
                found[number] = (told.figures, now - told.at < FRESH)
        return found

    def _file(self, number: int) -> Path:
        return self._folder / f"{self._machine}-{self._parent}-{number}"

    def _sweep(self) -> None:
        """Remove what servers of this machine have left that were killed."""
        for path in self._folder.iterdir():
            name = _NAME.fullmatch(path.name)
            if name is not None and name["machine"] == self._machine and not _alive(int(name["parent"])):
                path.unlink(missing_ok=True)


def _again(weak: "weakref.ref[Beside]", loop: asyncio.AbstractEventLoop) -> None:
    beside = weak()
    if beside is not None:
        beside.tell()
        loop.call_later(EVERY, _again, weak, loop)


def _read(path: Path) -> Told | None:
    """What a file says; None where there is none, or none that can be read."""
    for _ in range(_READS):
        try:
            data = path.read_bytes()
        except OSError:
            return None
        end = _HEAD + int.from_bytes(data[:4])
        if zlib.crc32(data[_HEAD:end]) == int.from_bytes(data[4:_HEAD]) and len(data) >= end:
            try:
                return msgspec.msgpack.decode(data[_HEAD:end], type=Told)
            except msgspec.MsgspecError:
                return None
    return None


def _remove(path: Path, folder: Path) -> None:
    path.unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError:
        return  # the others are still there


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
