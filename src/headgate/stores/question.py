"""What a report asks of the ledger: one statement that takes every part of its time from the coarsest sums that fit.

Decides how sums and lines are added up and what the answer means; refuses to know connections (`sqlite.py`,
`postgres.py`). One statement sees one state of the books.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from headgate.stores.protocols import Query, Usage
from headgate.stores.rollups import MEASURES, PART, Piece, column, facet_of, pieces
from headgate.stores.schema import Dialect
from headgate.stores.tables import Expression, between, dimension

# A call is counted where it ended: with its last attempt. One that has not ended is not counted, nor are the gate's
# own, which never end.
_LAST = "a.cache IS NOT NULL AND a.attempt = a.call_attempts"
_UNKNOWN = "a.settled = 'unknown'"


def _count(condition: str) -> str:
    return f"CASE WHEN {condition} THEN 1 ELSE 0 END"


def _money(condition: str, part: str) -> str:
    return f"CASE WHEN {condition} AND a.cost IS NOT NULL THEN a.cost {part} {PART} ELSE 0 END"


_OF_A_LINE = (
    _count(_LAST),
    _count(f"{_LAST} AND (a.call_status >= 400 OR a.call_error_type IS NOT NULL)"),
    _count(f"{_LAST} AND a.cache IN ('hit', 'coalesced')"),
    _count("a.attempt > 0"),
    "a.prompt_tokens",
    "a.completion_tokens",
    "a.cached_tokens",
    _money("a.settled <> 'unknown'", "/"),
    _money("a.settled <> 'unknown'", "%"),
    _money(_UNKNOWN, "/"),
    _money(_UNKNOWN, "%"),
    _count(_UNKNOWN),
    _count("a.settled = 'billed' AND a.cost IS NULL"),
    "a.saved_tokens",
    f"CASE WHEN {_LAST} THEN coalesce(a.saved, 0) / {PART} ELSE 0 END",
    f"CASE WHEN {_LAST} THEN coalesce(a.saved, 0) % {PART} ELSE 0 END",
)
"""`MEASURES` of a single line."""


def question(query: Query, dialect: Dialect) -> Expression:
    """The statement for the sums of each group of a query: the names of the group, then `MEASURES`.

    Raises:
        BadRequestError: there is no such dimension.
    """
    names = [*query.by, *query.where]
    for name in names:
        dimension(name, dialect)
    facet = facet_of(column(name) for name in names if name != "day")
    parts = pieces(query, facet)
    found = [_lines(query, part, dialect) for part in parts if not part.grain]
    rolled = [part for part in parts if part.grain]
    if facet is not None and rolled:
        found.append(_rolled(query, facet, rolled, dialect))
    if not found:
        # No time: no lines.
        found.append(_lines(query, Piece(0, 0.0, 0.0), dialect))
    labels = "".join(f"g{number}, " for number in range(len(query.by)))
    sums = ", ".join(f"coalesce(sum({name}), 0)" for name in MEASURES)
    group = f" GROUP BY {labels.removesuffix(', ')}" if labels else ""
    union = " UNION ALL ".join(part.sql for part in found)
    sql = f"SELECT {labels}{sums} FROM ({union}) s{group}"  # noqa: S608  own names, and marks
    return Expression(sql, tuple(value for part in found for value in part.values))


def _lines(query: Query, part: Piece, dialect: Dialect) -> Expression:
    labels, label_values = _labels(query, dialect, rolled=False)
    where, values = _where(query, dialect, rolled=False)
    during = between(part.since, part.until)
    sums = ", ".join(f"{sql} AS {name}" for sql, name in zip(_OF_A_LINE, MEASURES, strict=True))
    sql = f"SELECT {labels}{sums} FROM attempts a WHERE {during.sql}{where}"  # noqa: S608  own names, and marks
    return Expression(sql, (*label_values, *during.values, *values))


def _rolled(query: Query, facet: int, parts: Iterable[Piece], dialect: Dialect) -> Expression:
    """The sums of groups are put together first: then each group is looked up once."""
    labels, label_values = _labels(query, dialect, rolled=True)
    where, values = _where(query, dialect, rolled=True)
    day = "day, " if "day" in query.by or "day" in query.where else ""
    # The names are our own, and numbers.
    pieces = " UNION ALL ".join(
        f"SELECT {day}group_id, {', '.join(MEASURES)} FROM rollups"  # noqa: S608
        f" WHERE facet = {facet} AND grain = {part.grain} AND bucket >= {part.since:.0f} AND bucket < {part.until:.0f}"
        for part in parts
    )
    sums = ", ".join(f"sum({name}) AS {name}" for name in MEASURES)
    rolled = f"SELECT {day}group_id, {sums} FROM ({pieces}) p GROUP BY {day}group_id"  # noqa: S608
    told = ", ".join(f"r.{name}" for name in MEASURES)
    sql = f"SELECT {labels}{told} FROM ({rolled}) r JOIN rollup_groups g ON g.id = r.group_id WHERE 1 = 1{where}"  # noqa: S608
    return Expression(sql, (*label_values, *values))


def _labels(query: Query, dialect: Dialect, *, rolled: bool) -> tuple[str, list[Any]]:
    found = [dimension(name, dialect, rolled=rolled) for name in query.by]
    sql = "".join(f"{label.sql} AS g{number}, " for number, label in enumerate(found))
    return sql, [value for label in found for value in label.values]


def _where(query: Query, dialect: Dialect, *, rolled: bool) -> tuple[str, list[Any]]:
    sql, values = "", []
    for name, wanted in query.where.items():
        expression = dimension(name, dialect, rolled=rolled)
        sql += f" AND {expression.sql} = ?"
        values += [*expression.values, wanted]
    return sql, values


def answer(query: Query, found: Iterable[Sequence[Any]]) -> tuple[Usage, list[Usage]]:
    """The total, and one entry per group (none without `by`), dearest first."""
    size = len(query.by)
    # One database answers with integers, the other with decimals where they may be large.
    rows = [(row[:size], [int(figure) for figure in row[size:]]) for row in found]
    total = _usage([sum(figures) for figures in zip(*(sums for _, sums in rows), strict=True)] or [0] * len(MEASURES))
    if not size:
        return total, []
    groups = [_usage(sums, dict(zip(query.by, labels, strict=True))) for labels, sums in rows]
    groups.sort(key=lambda usage: (-usage.cost, -usage.calls, [str(label) for label in usage.group.values()]))
    return total, groups


def _usage(sums: Sequence[int], group: dict[str, str | None] | None = None) -> Usage:
    (
        calls,
        errors,
        hits,
        attempts,
        prompt,
        completion,
        cached,
        high,
        low,
        unknown_high,
        unknown_low,
        unknown,
        unpriced,
        left_out,
        saved_high,
        saved_low,
    ) = sums
    return Usage(
        group=group or {},
        calls=calls,
        attempts=attempts,
        errors=errors,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cost=high * PART + low,
        unknown_attempts=unknown,
        unknown_cost=unknown_high * PART + unknown_low,
        unpriced_attempts=unpriced,
        cache_hits=hits,
        saved_tokens=left_out,
        cache_saved=saved_high * PART + saved_low,
    )
