"""What a shard is about: a stretch of an input, as it is kept in the store until its rows have their outcomes.

Decides how many rows go together and how they are written. Lines are understood before they are kept, once and in one
place: a worker needs neither the file, nor the template, nor what the columns of a table are called.
"""

import zlib
from collections.abc import AsyncIterator, Sequence

import msgspec

from headgate.jobs.intake import Taken
from headgate.jobs.row import Outcome, Row

FEWEST, MOST = 500, 10_000
"""Rows of a shard, mostly: a worker does one at a time, and what is done of it is seen in the store."""
SHARDS = 16
"""Shards that a job of moderate size has, so that there is something to do for several workers."""
HEAVY = 16 * 1024 * 1024
"""Bytes of requests from which on a shard is full."""
_FAST = 1


class _Parcel(msgspec.Struct, array_like=True):
    rows: list[tuple[Row, int]]
    bad: list[tuple[Outcome, int]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Parcel).decode


def pack(taken: Sequence[Taken]) -> bytes:
    """Lines that were understood, as they are kept."""
    rows = [(one.row, one.mark) for one in taken if isinstance(one.row, Row)]
    bad = [(one.row, one.mark) for one in taken if isinstance(one.row, Outcome)]
    return zlib.compress(_encode(_Parcel(rows, bad)), _FAST)


def unpack(data: bytes) -> list[Taken]:
    """The same again, in the order of the input."""
    parcel = _decode(zlib.decompress(data))
    found = [Taken(row, mark) for row, mark in parcel.rows]
    found += [Taken(outcome, mark) for outcome, mark in parcel.bad]
    return sorted(found, key=lambda one: one.row.number)


def size(rows: int | None) -> int:
    """How many rows go together; None: nobody knows how many there are.

    Example:
        >>> size(100), size(50_000), size(10_000_000)
        (500, 3125, 10000)
    """
    return MOST if rows is None else min(max(rows // SHARDS, FEWEST), MOST)


async def parcels(rows: AsyncIterator[Taken], most: int) -> AsyncIterator[list[Taken]]:
    """An input in stretches of so many rows, or fewer where they are heavy."""
    held: list[Taken] = []
    weight = 0
    async for taken in rows:
        held.append(taken)
        weight += len(taken.row.body or b"")
        if len(held) >= most or weight >= HEAVY:
            yield held
            held, weight = [], 0
    if held:
        yield held
