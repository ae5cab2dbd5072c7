"""Covers stores/question.py: one statement for a report, and what its answer means."""

from decimal import Decimal

import pytest

from headgate.core.errors import BadRequestError
from headgate.stores.protocols import Query, Usage
from headgate.stores.question import answer, question
from headgate.stores.schema import POSTGRES, SQLITE

START = 1_799_971_200.0


def test_whole_minutes_ask_no_line():
    """What the sums know is not counted again."""
    asked = question(Query(since=START + 60, until=START + 7260, by=("model",), where={"key": "web"}), SQLITE)
    assert "attempts a" not in asked.sql
    assert "facet = 0 AND grain = 3600" in asked.sql
    assert asked.values == ("web",)


def test_a_cut_minute_is_counted():
    """Only the lines of that minute."""
    asked = question(Query(since=START, until=START + 90.5, by=("model",), where={"key": "w"}), SQLITE)
    assert asked.sql.count("attempts a") == 1
    assert asked.values == ("2027-01-14", "2027-01-15", START + 60, START + 90.5, "w", "w")
    asked = question(Query(since=START, until=START + 3660, by=("tag:a",), where={"tag:b": "1"}), SQLITE)
    assert asked.values == ("a", "2027-01-14", "2027-01-15", START + 3600, START + 3660, "b", "1", "a", "b", "1")


def test_what_no_sum_tells_apart_is_counted():
    """Users by model."""
    asked = question(Query(by=("user", "model")), SQLITE)
    assert "rollups" not in asked.sql
    assert "rollups" in question(Query(by=("user", "day")), SQLITE).sql


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES])
def test_a_name_from_outside_is_a_value(dialect):
    """Tags are asked for by a mark; what is no dimension is refused."""
    asked = question(Query(by=("tag:x' OR 1",), where={"model": "'; --"}), dialect)
    assert "OR 1" not in asked.sql
    assert "--" not in asked.sql
    assert asked.sql.count("?") == len(asked.values) == 2
    for query in (Query(by=("cost",)), Query(where={"tags": "x"}), Query(by=("1; DROP TABLE x",))):
        with pytest.raises(BadRequestError, match="no dimension"):
            question(query, dialect)


def test_no_time_is_a_question_too():
    """Whose answer is nothing."""
    assert "attempts a" in question(Query(since=5.0, until=5.0), SQLITE).sql


def test_an_answer_is_put_together():
    """Money from its parts, groups dearest first, the total from them; decimals are whole numbers."""
    rows = [
        ("a", 1, 2, 3, 4, 5, 6, 7, 0, 9, 10, 11, 12, 13, 14, 15, 16),
        ("b", *map(Decimal, (1, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0))),
    ]
    total, groups = answer(Query(by=("key",)), rows)
    assert [(usage.group, usage.cost) for usage in groups] == [({"key": "b"}, 2_000_000_001), ({"key": "a"}, 9)]
    assert groups[1] == Usage(
        group={"key": "a"}, calls=1, errors=2, cache_hits=3, attempts=4, prompt_tokens=5, completion_tokens=6,
        cached_tokens=7, cost=9, unknown_cost=10_000_000_011, unknown_attempts=12, unpriced_attempts=13,
        saved_tokens=14, cache_saved=15_000_000_016,
    )  # fmt: skip
    assert (total.group, total.calls, total.cost, total.unknown_attempts) == ({}, 2, 2_000_000_010, 12)
    assert type(groups[0].cost) is int
    assert answer(Query(by=("key",)), []) == (Usage(), [])
    assert answer(Query(), [row[1:] for row in rows[:1]])[1] == []
