"""Covers stores/tables.py: what is put into the tables, and how lines are read."""

import sqlite3
from contextlib import closing

import pytest

from headgate.core.call import Operation
from headgate.core.errors import BadRequestError
from headgate.stores import tables
from headgate.stores.protocols import Query
from headgate.stores.records import Entry
from headgate.stores.schema import POSTGRES, SQLITE, stamped


@pytest.fixture
def connection():
    """An empty database with the tables."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        for statement in stamped(SQLITE):
            made.execute(statement)
        yield made


def test_a_line_is_plain_and_fits_its_columns(pen, connection):
    """What the driver would have to adapt one by one (enumerations, truth) is plain; the end stands behind."""
    intent = pen.intent(operation=Operation.RESPONSES, stream=True)
    end = pen.end(status=502, error_type="x", cache="miss", latency_ms=3.0, first_token_ms=1.0, guard="[]", saved=7)
    told = ("miss", 1, 502, "x", 3.0, 1.0, "[]", 7)
    for call, last, stands in (("a", None, (None,) * 8), ("b", end, told)):
        values = tables.line(Entry(pen.intent(call), pen.outcome(call), last))
        assert {type(value) for value in values} <= {str, int, float, type(None)}
        connection.execute(tables.INSERT, values)
        asked = f"SELECT {tables.columns(tables.END)} FROM attempts WHERE call_id = ?"  # noqa: S608  own names
        assert connection.execute(asked, (call,)).fetchall() == [stands]
    values = tables.line(Entry(intent, pen.outcome()))
    connection.execute(tables.INSERT, values)
    found = connection.execute("SELECT call_id, operation, stream, tags, settled, basis FROM attempts").fetchall()
    assert found[-1] == ("c", "responses", 1, '{"team":"a"}', "billed", "reported")


def test_an_end_is_booked_once(pen, connection):
    """On the line that has none."""
    line = Entry(pen.intent(), pen.outcome())
    connection.execute(tables.INSERT, tables.line(line))
    changed = [
        connection.execute(tables.UPDATE, (*tables.ending(pen.end(status=status)), *tables.key(line))).rowcount
        for status in (200, 500)
    ]
    assert changed == [1, 0]
    assert connection.execute("SELECT call_status FROM attempts").fetchall() == [(200,)]


def test_an_answer_becomes_a_row_again(pen, connection):
    """Enumerations, truth and tags are what they were."""
    connection.execute(tables.INSERT, tables.line(Entry(pen.intent(stream=True, tags={}), pen.outcome(basis=None))))
    [row] = [tables.row(found) for found in connection.execute(*tables.page(Query(), SQLITE, None))]
    assert (row.stream, row.settled, row.basis, row.tags, row.cache) == (True, "billed", None, {}, "off")


def test_pages_go_on_behind_the_last_key(pen, connection):
    """By day, call and attempt."""
    for call, attempt in (("a", 1), ("a", 2), ("b", 1)):
        connection.execute(tables.INSERT, tables.line(Entry(pen.intent(call, attempt), pen.outcome(call, attempt))))
    query = Query(where={"key": "web"})
    first, *_ = [tables.row(found) for found in connection.execute(*tables.page(query, SQLITE, None))]
    found = [tables.row(found) for found in connection.execute(*tables.page(query, SQLITE, first))]
    assert [(row.call_id, row.attempt) for row in found] == [("a", 2), ("b", 1)]


def test_whole_days_are_passed_over():
    """Bounds in time bound the day, too; a call may have begun the day before. Beyond the calendar is its end."""
    asked = tables.page(Query(since=1_800_000_000.5, until=1e300, where={"key": "web"}), SQLITE, None)
    assert 'a.day >= ? AND a.day <= ? AND a.time >= ? AND a.time < ? AND a."key" = ?' in asked.sql
    assert asked.values == ("2027-01-14", "9892-03-08", 1_800_000_000.5, 1e300, "web")


def test_a_line_of_the_day_before_is_found(pen, connection):
    """Its call began before midnight, and its attempt left after it."""
    midnight = 1_799_971_200.0
    intent = pen.intent(day="2027-01-14", time=midnight + 3)
    connection.execute(tables.INSERT, tables.line(Entry(intent, pen.outcome())))
    assert len(connection.execute(*tables.page(Query(since=midnight), SQLITE, None)).fetchall()) == 1


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES])
def test_a_name_from_outside_is_a_value(dialect):
    """Tags are asked for by a mark; what is no dimension is refused."""
    asked = tables.page(Query(where={"tag:x' OR 1": "a"}), dialect, None)
    assert "OR 1" not in asked.sql
    assert asked.values == ("x' OR 1", "a")
    with pytest.raises(BadRequestError, match="no dimension 'x'"):
        tables.dimension("x", dialect)
    with pytest.raises(BadRequestError, match="no dimension 'tags'"):
        tables.dimension("tags", dialect, rolled=True)
