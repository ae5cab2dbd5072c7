"""Records of CSV files."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.errors import BadRequestError
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
    """However strange its quotes are, if they are closed."""
    try:
        expected = next(csv.reader([line], strict=True))
    except csv.Error:
        # Text behind a closed quote is taken as it is; a quote that stays open is not.
        expected = None
    try:
        assert _records(line)[0][1] == expected or expected is None
    except BadRequestError:
        assert expected is None


def test_a_record_has_the_number_of_its_first_line():
    """Lines are what an editor counts."""
    assert _records('a,b\n"x\ny\nz",1\nc,d\n') == [(1, ["a", "b"]), (2, ["x\ny\nz", "1"]), (5, ["c", "d"])]


def test_a_quote_that_nobody_closes_ends_somewhere():
    """Where the record is too long; the rest is read again."""
    text = '"open\n' + "x" * 20 + "\nc,d\n"
    assert _records(text, longest=15) == [(1, None), (3, ["c", "d"])]


@pytest.mark.parametrize("text", ['a,b\n"open\nc,d', '"', 'a,"', '"a""', 'x,"a\n"",b'])
def test_a_quote_that_is_open_at_the_end_is_refused(text):
    """Else half a file would go out as one question, and be paid for."""
    with pytest.raises(BadRequestError, match="never closed"):
        _records(text)


@pytest.mark.parametrize("line", ['5" pipe,x', 'a"b,c', 'x,5"'])
def test_a_quote_inside_a_field_is_a_letter(line):
    """It opens nothing."""
    assert _records(line + "\nnext,row") == [(1, line.split(",")), (2, ["next", "row"])]


def test_a_field_may_be_long():
    """Python's own limit does not hold."""
    assert fields('"' + "x" * 200_000 + '",b') == ["x" * 200_000, "b"]
