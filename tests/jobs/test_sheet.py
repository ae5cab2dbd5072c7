"""Records of CSV files."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.jobs.sheet import fields, records
from headgate.testing import virtual_time


def _records(text, **options):
    async def story():
        async def source():
            for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
                yield number, line.encode()

        return [
            (number, None if record is None else fields(record.decode()))
            async for number, record in records(source(), **options)
        ]

    return virtual_time(story())


FIELD = st.text(st.sampled_from('ab ,"\n'), max_size=6)


@given(st.lists(st.lists(FIELD, min_size=2, max_size=3), min_size=1, max_size=5))
def test_what_pythons_csv_writes_is_read_back(rows):
    """Quotes, commas and line ends in fields included."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    assert [found for _, found in _records(out.getvalue())] == rows


@given(st.text(st.sampled_from('a,"'), min_size=1, max_size=12))
def test_a_line_is_split_as_pythons_csv_splits_it(line):
    """However strange its quotes are, if they are closed on it."""
    found = _records(line)
    if len(found) == 1 and found[0][1] is not None:
        assert found[0][1] == next(csv.reader([line]))


def test_a_record_has_the_number_of_its_first_line():
    """Lines are what an editor counts."""
    assert _records('a,b\n"x\ny\nz",1\nc,d\n') == [(1, ["a", "b"]), (2, ["x\ny\nz", "1"]), (5, ["c", "d"])]


def test_a_quote_that_nobody_closes_ends_somewhere():
    """Where the record is too long; the rest is read again."""
    text = '"open\n' + "x" * 20 + "\nc,d\n"
    assert _records(text, longest=15) == [(1, None), (3, ["c", "d"])]
    assert _records('a\n"open\nb') == [(1, ["a"]), (2, ["open\nb"])]


@pytest.mark.parametrize("line", ['5" pipe,x', 'a"b,c', 'x,5"'])
def test_a_quote_inside_a_field_is_a_letter(line):
    """It opens nothing."""
    assert _records(line + "\nnext,row") == [(1, line.split(",")), (2, ["next", "row"])]


def test_a_field_may_be_long():
    """Python's own limit does not hold."""
    assert fields('"' + "x" * 200_000 + '",b') == ["x" * 200_000, "b"]
