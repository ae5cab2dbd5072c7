"""Covers stores/tables.py: the words that are said to SQLite, and what its answers mean."""

import sqlite3
from contextlib import closing

import pytest

from headgate.core.call import Operation
from headgate.core.errors import BadRequestError
from headgate.stores import tables
from headgate.stores.protocols import Query
from headgate.stores.records import Entry


@pytest.fixture
def connection():
    """An empty database with the tables."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        made.executescript(tables.SCHEMA)
        yield made


def test_a_line_is_plain_and_fits_its_columns(pen, connection):
    """What the driver would have to adapt one by one (enumerations, truth) is plain; the end stands behind."""
    intent = pen.intent(operation=Operation.RESPONSES, stream=True)
    for end in (None, pen.end(status=502, error_type="x", cache="miss", latency_ms=3.0, first_token_ms=1.0)):
        values = tables.line(Entry(intent, pen.outcome(), end))
        assert {type(value) for value in values} <= {str, int, float, type(None)}
        connection.execute(tables.INSERT, values)
        found = connection.execute(
            "SELECT call_id, operation, stream, tags, settled, basis,"
            " cache, call_attempts, call_status, call_error_type, call_latency_ms, call_first_token_ms FROM attempts"
        ).fetchall()
        about = ("c", "responses", 1, '{"team":"a"}', "billed", "reported")
        assert found == [(*about, *((None,) * 6 if end is None else ("miss", 1, 502, "x", 3.0, 1.0)))]


def test_an_answer_becomes_a_row_again(pen, connection):
    """Enumerations, truth and tags are what they were."""
    connection.execute(tables.INSERT, tables.line(Entry(pen.intent(stream=True, tags={}), pen.outcome(basis=None))))
    [row] = [tables.row(found) for found in connection.execute(*tables.page("1", (), None))]
    assert (row.stream, row.settled, row.basis, row.tags, row.cache) == (True, "billed", None, {}, "off")


def test_pages_go_on_behind_the_last_key(pen, connection):
    """By day, call and attempt."""
    for call, attempt in (("a", 1), ("a", 2), ("b", 1)):
        connection.execute(tables.INSERT, tables.line(Entry(pen.intent(call, attempt), pen.outcome(call, attempt))))
    question, values = tables.page("a.key = ?", ["web"], ("2027-01-15", "a", 1))
    found = [tables.row(found) for found in connection.execute(question, values)]
    assert [(row.call_id, row.attempt) for row in found] == [("a", 2), ("b", 1)]


def test_whole_days_are_passed_over():
    """Bounds in time bound the day, too, which stands first in the key; a time beyond the calendar is its end."""
    where, values = tables.condition(Query(since=1_800_000_000.5, until=1e300, where={"key": "web"}))
    assert where == "1 AND a.day >= ? AND a.time >= ? AND a.day <= ? AND a.time < ? AND a.key = ?"
    assert values == ["2027-01-15", 1_800_000_000.5, "9892-03-08", 1e300, "web"]


def test_a_name_from_outside_is_a_value():
    """Tags are asked for by a mark; what is no dimension is refused."""
    where, values = tables.condition(Query(where={"tag:x' OR 1": "a"}))
    assert "OR 1" not in where
    assert values == ["x' OR 1", "a"]
    question, values = tables.groups(("tag:x", "day"), "1", ["w"])
    assert question.endswith("GROUP BY g0, g1")
    assert values == ["x", "w"]
    with pytest.raises(BadRequestError, match="no dimension 'x'"):
        tables.groups(("x",), "1", ())


def test_sums_are_put_together_from_their_parts():
    """Money is added up in two parts, because 64 bits are not enough for the sum."""
    usage = tables.sums((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13), {"key": "web"})
    assert (usage.calls, usage.errors, usage.cache_hits, usage.attempts) == (1, 2, 3, 4)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (5, 6, 7)
    assert (usage.cost, usage.unknown_cost) == (8_000_000_009, 10_000_000_011)
    assert (usage.unknown_attempts, usage.unpriced_attempts, usage.group) == (12, 13, {"key": "web"})
