"""Covers stores/rollups.py: which sums a batch adds to, and which of them answer a report."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.attempt import Settled
from headgate.stores.protocols import Query
from headgate.stores.records import LARGEST, LARGEST_COUNT, Entry
from headgate.stores.rollups import (
    DAY,
    FACETS,
    HOUR,
    LAST,
    MEASURES,
    MINUTE,
    NAMES,
    Piece,
    column,
    delta,
    facet_of,
    pieces,
)

START = 1_799_971_200
"""A midnight, UTC."""


def sums(found, facet=0, grain=DAY):
    """The measures of the only group."""
    [row] = [row for row in found.rows if row[:2] == (facet, grain)]
    return dict(zip(MEASURES, row[5:], strict=True))


def test_a_line_is_added_to_every_facet_and_grain(pen):
    """To the buckets that its time lies in, under the day of its call and the names that the facet tells apart."""
    entry = Entry(pen.intent(time=START + 2 * HOUR + 3 * MINUTE + 4.5, day="2027-01-14"), pen.outcome(), pen.end())
    found = delta([entry])
    buckets = {MINUTE: START + 7380, HOUR: START + 7200, DAY: START}
    assert [row[:4] for row in found.rows] == [
        (number, grain, buckets[grain], "2027-01-14")
        for number, facet in enumerate(FACETS)
        for grain in reversed(facet.grains)
    ]
    names = [dict(zip(NAMES, group[1:], strict=True)) for group in found.groups]
    plain = {"model": "gpt-6-luna", "provider": "openai", "key": "web", "project": "team-a", "operation": "chat"}
    none = dict.fromkeys(NAMES)
    assert sorted(names, key=str) == sorted(
        [{**none, **plain}, {**none, **plain, "tags": '{"team":"a"}'},
         {**none, "key": "web", "project": "team-a", "user": "u1"}], key=str,
    )  # fmt: skip
    assert {row[4] for row in found.rows} == {group[0] for group in found.groups}
    assert all(len(group[0]) == 32 for group in found.groups)


def test_what_is_added(pen):
    """Money in two parts; a call where it ended; an unknown attempt apart."""
    lines = [
        Entry(pen.intent("a", 1), pen.outcome("a", 1, cost=0, settled=Settled.NOT_BILLED), pen.end("a", 2)),
        Entry(
            pen.intent("a", 2),
            pen.outcome("a", 2, cost=3_000_000_007, cached_tokens=4, saved_tokens=9),
            pen.end("a", 2),
        ),
        Entry(pen.intent("b"), pen.outcome("b", cost=5, settled=Settled.UNKNOWN), pen.end("b", status=502)),
        Entry(pen.intent("c"), pen.outcome("c", cost=None), pen.end("c", error_type="cancelled", status=None)),
        Entry(pen.intent("d", 0), pen.outcome("d", 0, cost=0), pen.end("d", 0, cache="hit", saved=2_000_000_003)),
        Entry(pen.intent("going"), pen.outcome("going", cost=None, settled=Settled.UNKNOWN)),
    ]
    assert sums(delta(lines)) == {
        "calls": 4, "errors": 2, "cache_hits": 1, "attempts": 5,
        "prompt_tokens": 600, "completion_tokens": 60, "cached_tokens": 4,
        "cost_high": 3, "cost_low": 7, "unknown_high": 0, "unknown_low": 5,
        "unknown_attempts": 2, "unpriced_attempts": 1, "saved_tokens": 9, "saved_high": 2, "saved_low": 3,
    }  # fmt: skip


def test_an_end_that_comes_later_adds_a_call_and_nothing_else(pen):
    """The line was added when it was booked."""
    line = Entry(pen.intent(), pen.outcome())
    ended = Entry(line.intent, line.outcome, pen.end(status=500))
    together = sums(delta([ended]))
    apart = [sums(delta([line])), sums(delta([], [ended]))]
    assert {name: apart[0][name] + apart[1][name] for name in MEASURES} == together
    assert {name for name in MEASURES if apart[1][name]} == {"calls", "errors"}


def test_no_sum_is_told_twice(pen):
    """Each key once, whatever the order of the lines; the same group has the same id everywhere."""
    lines = [
        Entry(
            pen.intent(f"c{n}", time=START + n * 50.0, user=f"u{n % 7}", tags={"b": "1", "a": str(n % 3)}),
            pen.outcome(),
        )
        for n in range(100)
    ]
    found = delta(lines)
    assert len({row[:5] for row in found.rows}) == len(found.rows)
    turned = delta(reversed(lines))
    assert [sorted(part, key=str) for part in found] == [sorted(part, key=str) for part in turned]
    turned = Entry(pen.intent(tags={"a": "1", "b": "2"}), pen.outcome())
    assert delta([turned]) == delta([Entry(pen.intent(tags={"b": "2", "a": "1"}), pen.outcome())])


def test_names_that_are_alike_are_told_apart(pen):
    """Nothing and an empty name, and the same names in other places."""
    told = [
        {"user": None}, {"user": ""}, {"user": "null"}, {"key": "x", "project": None}, {"key": None, "project": "x"},
        {"tags": {}}, {"tags": {"": ""}},
    ]  # fmt: skip
    found = delta([Entry(pen.intent(**changes), pen.outcome()) for changes in told])
    # By model 3, by tags as well 5, by user 6.
    assert len(found.groups) == len({group[0] for group in found.groups}) == 14


@pytest.mark.parametrize(
    "changes", [{"prompt_tokens": LARGEST_COUNT + 1}, {"cached_tokens": -1}, {"cost": LARGEST + 1}]
)
def test_what_would_not_leave_room_is_refused(pen, changes):
    """Else some later line, which is as it should be, would not fit its sums."""
    with pytest.raises(OverflowError, match="Attempt 1 of call c "):
        delta([Entry(pen.intent(), pen.outcome(**changes))])
    delta([Entry(pen.intent(), pen.outcome(prompt_tokens=LARGEST_COUNT, cached_tokens=1, cost=LARGEST))])


def test_the_smallest_facet_that_tells_the_names_apart():
    """Users and tags are looked at only if somebody asks for them; what no facet has is asked of the lines."""
    assert [facet_of(names) for names in ((), ("model", "key"), ("tags",), ("tags", "model"), ("user", "key"))] == [
        0, 0, 1, 1, 2,
    ]  # fmt: skip
    assert facet_of(("user", "model")) is None
    assert [column(name) for name in ("tag:x", "model")] == ["tags", "model"]


def test_whole_days_hours_and_minutes():
    """The coarsest that fit, and only what cuts a minute from the lines."""
    since, until = START - 90.5, START + 2 * DAY + HOUR + 61.0
    assert pieces(Query(since=since, until=until), 0) == [
        Piece(DAY, START, START + 2 * DAY),
        Piece(MINUTE, START - 60, START),
        Piece(0, since, START - 60),
        Piece(HOUR, START + 2 * DAY, START + 2 * DAY + HOUR),
        Piece(MINUTE, START + 2 * DAY + HOUR, START + 2 * DAY + HOUR + 60),
        Piece(0, START + 2 * DAY + HOUR + 60, until),
    ]
    assert pieces(Query(), 0) == [Piece(DAY, 0, LAST // DAY * DAY)]
    assert pieces(Query(since=5.0), None) == [Piece(0, 5.0, LAST // DAY * DAY)]
    assert pieces(Query(since=5.0, until=5.0), 0) == pieces(Query(since=-9.0, until=-5.0), 0) == []
    assert pieces(Query(since=1e300), 0) == []


@given(
    st.floats(0, 3 * DAY) | st.integers(0, 3 * DAY).map(float),
    st.floats(0, 3 * DAY) | st.integers(0, 3 * DAY).map(float),
)
def test_pieces_cover_a_time_exactly(since, until):
    """Without gaps and overlaps, in whole buckets, and less than two minutes of it are lines."""
    found = sorted(pieces(Query(since=since, until=until), 0), key=lambda piece: piece.since)
    if since >= until:
        assert found == []
        return
    assert (found[0].since, found[-1].until) == (since, until)
    assert all(one.until == next_one.since for one, next_one in pairwise(found))
    assert all(p.since % p.grain == p.until % p.grain == 0 for p in found if p.grain)
    assert sum(p.until - p.since for p in found if not p.grain) < 2 * MINUTE
    assert {p.grain for p in found} <= {0, MINUTE, HOUR, DAY}
