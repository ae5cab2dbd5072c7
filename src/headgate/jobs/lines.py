"""The lines of a file, or of a pipe that may never end.

Decides where a line ends and which is too long to be held; refuses to know what stands in it. Only a line feed ends a
line: that is what JSON Lines says. At most one line and one piece of the file are in memory.
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterator

LONGEST = 20 * 1024 * 1024
"""Bytes of one row. Pictures may be in it; a longer one is a mistake."""
PIECE = 256 * 1024
"""Bytes that are read at once."""
_MARK = b"\xef\xbb\xbf"
"""What some editors put before the first line."""


async def lines(file: int, *, longest: int = LONGEST) -> AsyncIterator[tuple[int, bytes | None]]:
    """The lines, numbered from 1, without their ends; None in place of one that is too long.

    Args:
        file: a descriptor that is open for reading: a file's, or that of a pipe. Waiting for a pipe blocks nobody.
        longest: bytes that a line may have.

    Raises:
        OSError: it cannot be read.
    """
    number = size = 0
    waiting: list[bytes] = []
    async for piece in _pieces(file):
        *ended, rest = piece.split(b"\n")
        for end in ended:
            number += 1
            size += len(end)
            waiting.append(end)
            yield number, _joined(waiting, size, longest)
            waiting.clear()
            size = 0
        size += len(rest)
        if size > longest:
            waiting.clear()
        elif rest:
            waiting.append(rest)
    if size:
        yield number + 1, _joined(waiting, size, longest)


def _joined(waiting: list[bytes], size: int, longest: int) -> bytes | None:
    if size > longest:
        return None
    return waiting[0] if len(waiting) == 1 else b"".join(waiting)


async def _pieces(file: int) -> AsyncIterator[bytes]:
    plain = stat.S_ISREG(os.fstat(file).st_mode)
    first = True
    while True:
        if not plain:
            await _readable(file)
        piece = os.read(file, PIECE)
        if not piece:
            return
        yield piece.removeprefix(_MARK) if first else piece
        first = False


async def _readable(file: int) -> None:
    """Wait until a pipe, a terminal or a socket has something to read, or has ended."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    try:
        loop.add_reader(file, lambda: None if ready.done() else ready.set_result(None))
    except PermissionError:
        return  # a device that is always ready (`/dev/null`)
    try:
        await ready
    finally:
        loop.remove_reader(file)
