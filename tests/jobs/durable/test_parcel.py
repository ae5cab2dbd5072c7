"""Covers jobs/durable/parcel.py: rows are kept as they were understood, in stretches that a worker can hold."""

import asyncio

from headgate.jobs.durable.parcel import HEAVY, pack, parcels, size, unpack
from headgate.jobs.intake import Taken, refused
from headgate.jobs.row import Row


def stretches(rows, most, each):
    """How many rows go together."""

    async def story():
        return [len(parcel) async for parcel in parcels(each(rows), most)]

    return asyncio.run(story())


def test_rows_are_kept_as_they_are(asked):
    """Good and bad ones, in the order of the input, with their checksums."""
    rows = [*asked(2), Taken(refused(3, "row-3", "invalid_json", "no \x00 JSON"), 2**32 - 1), *asked(1, first=4)]
    assert unpack(pack(rows)) == rows


def test_a_stretch_has_so_many_rows(asked, each):
    """The last one has what is left; an empty input has none."""
    assert stretches(asked(7), 3, each) == [3, 3, 1]
    assert stretches([], 3, each) == []


def test_heavy_rows_go_in_fewer(asked, each):
    """A worker holds a stretch in memory."""
    (one,) = asked(1)
    heavy = Taken(Row(number=1, id="x", operation=one.row.operation, body=b"x" * (HEAVY // 2)), 0)
    assert stretches([heavy] * 5, 100, each) == [2, 2, 1]


def test_a_stretch_of_an_unknown_number_is_long():
    """Of a pipe nobody knows how much comes."""
    assert size(None) == size(10**9) == 10_000
