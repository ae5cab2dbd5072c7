"""The tables of the ledger in SQLite's SQL: what they look like, what is put into them and what is asked of them.

Decides how lines lie in tables and how sums are made; refuses to know connections and transactions (`sqlite.py`).

There is one line for each attempt, and the end of its call (`cache`, `call_…`) stands on it, too: one line a call costs
half the booking of two, and sums need no join. While `cache` is null, the call has not ended.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from headgate.core.attempt import Basis, Settled
from headgate.core.errors import BadRequestError
from headgate.stores.protocols import DIMENSIONS, Query, Usage
from headgate.stores.records import AttemptRow, Entry, ObjectRow

VERSION = 4
"""Of the tables, kept in `PRAGMA user_version`."""
PAGE = 1000
"""Rows that are read at once."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS attempts (
  day TEXT NOT NULL, call_id TEXT NOT NULL, attempt INTEGER NOT NULL, time REAL NOT NULL, operation TEXT NOT NULL,
  model_requested TEXT NOT NULL, stream INTEGER NOT NULL, key TEXT, project TEXT, user TEXT, tags TEXT, provider TEXT,
  model TEXT, dropped TEXT, model_served TEXT, service_tier TEXT, settled TEXT NOT NULL, basis TEXT,
  prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
  cache_write_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL, cost INTEGER, price_table TEXT,
  status INTEGER, error_type TEXT, latency_ms REAL, first_token_ms REAL,
  cache TEXT, call_attempts INTEGER, call_status INTEGER, call_error_type TEXT, call_latency_ms REAL,
  call_first_token_ms REAL,
  PRIMARY KEY (day, call_id, attempt)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
  id TEXT NOT NULL PRIMARY KEY, tenant TEXT, provider TEXT NOT NULL, call_id TEXT NOT NULL, time REAL NOT NULL
) WITHOUT ROWID;
"""

_ATTEMPT = tuple(name for name in AttemptRow.__struct_fields__ if name != "cache")
_END = ("cache", "call_attempts", "call_status", "call_error_type", "call_latency_ms", "call_first_token_ms")
_NO_END = (None,) * len(_END)
_KEY = "a.day, a.call_id, a.attempt"
"""The order of lines: ids of calls grow with time, so it is their order in time, and needs no index of its own."""


def _insert(table: str, columns: Sequence[str], conflict: str) -> str:
    marks = ", ".join("?" for _ in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) ON CONFLICT {conflict}"  # noqa: S608  own names


INSERT = _insert(
    "attempts",
    (*_ATTEMPT, *_END),
    f"DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _END)}"
    " WHERE attempts.cache IS NULL AND excluded.cache IS NOT NULL",
)
INSERT_OBJECT = _insert("objects", ObjectRow.__struct_fields__, "DO NOTHING")
_SELECT = ", ".join(f"a.{column}" for column in _ATTEMPT)

_encode = msgspec.json.Encoder().encode
_LAST = 250_000_000_000.0
_PART = 10**9
# Calls that have not ended are not counted as calls, nor are the gate's own, which never end.
# A sum of picodollars may be larger than 64 bits (9 million dollars): it is added up in two parts.
_SUMS = f"""
  count(DISTINCT CASE WHEN a.cache IS NOT NULL THEN a.call_id END),
  count(DISTINCT CASE WHEN a.call_status >= 400 OR a.call_error_type IS NOT NULL THEN a.call_id END),
  count(DISTINCT CASE WHEN a.cache IN ('hit', 'coalesced') THEN a.call_id END),
  coalesce(sum(a.attempt > 0), 0),
  coalesce(sum(a.prompt_tokens), 0), coalesce(sum(a.completion_tokens), 0), coalesce(sum(a.cached_tokens), 0),
  coalesce(sum(CASE WHEN a.settled <> 'unknown' THEN a.cost / {_PART} END), 0),
  coalesce(sum(CASE WHEN a.settled <> 'unknown' THEN a.cost % {_PART} END), 0),
  coalesce(sum(CASE WHEN a.settled = 'unknown' THEN a.cost / {_PART} END), 0),
  coalesce(sum(CASE WHEN a.settled = 'unknown' THEN a.cost % {_PART} END), 0),
  coalesce(sum(a.settled = 'unknown'), 0),
  coalesce(sum(a.settled = 'billed' AND a.cost IS NULL), 0)
"""
_FROM = "FROM attempts a"


class _Expression(NamedTuple):
    """SQL for a dimension, and the values for its marks."""

    sql: str
    values: tuple[str, ...] = ()


def line(entry: Entry) -> Sequence[Any]:
    """The values for `INSERT`."""
    # Spelled out in the order of the columns, and enumerations and truth made plain: this runs once per attempt.
    intent, outcome, end = entry.intent, entry.outcome, entry.end
    basis, tags = outcome.basis, intent.tags
    return (
        intent.call_id,
        intent.attempt,
        intent.day,
        intent.time,
        str(intent.operation),
        intent.model_requested,
        1 if intent.stream else 0,
        intent.key,
        intent.project,
        intent.user,
        _encode(tags).decode() if tags else None,
        intent.provider,
        intent.model,
        ",".join(intent.dropped) or None,
        outcome.model_served,
        outcome.service_tier,
        str(outcome.settled),
        None if basis is None else str(basis),
        outcome.prompt_tokens,
        outcome.completion_tokens,
        outcome.cached_tokens,
        outcome.cache_write_tokens,
        outcome.reasoning_tokens,
        outcome.cost,
        outcome.price_table,
        outcome.status,
        outcome.error_type,
        outcome.latency_ms,
        outcome.first_token_ms,
        *(
            _NO_END
            if end is None
            else (end.cache, end.attempts, end.status, end.error_type, end.latency_ms, end.first_token_ms)
        ),
    )


def page(where: str, values: Sequence[Any], last: Sequence[Any] | None) -> tuple[str, Sequence[Any]]:
    """The question for a page of lines in their order, after the key of the last one that is known."""
    if last is not None:
        where, values = f"{where} AND ({_KEY}) > (?, ?, ?)", [*values, *last]
    return f"SELECT {_SELECT}, coalesce(a.cache, 'off') {_FROM} WHERE {where} ORDER BY {_KEY} LIMIT {PAGE}", values


def row(found: Sequence[Any]) -> AttemptRow:
    """An answer to `page`."""
    facts = dict(zip((*_ATTEMPT, "cache"), found, strict=True))
    facts["stream"] = bool(facts["stream"])
    facts["tags"] = msgspec.json.decode(facts["tags"]) if facts["tags"] else {}
    facts["dropped"] = tuple(facts["dropped"].split(",")) if facts["dropped"] else ()
    facts["settled"] = Settled(facts["settled"])
    facts["basis"] = Basis(facts["basis"]) if facts["basis"] else None
    return AttemptRow(**facts)


def total(where: str) -> str:
    """The question for the sums of everything."""
    return f"SELECT {_SUMS} {_FROM} WHERE {where}"


def groups(by: Sequence[str], where: str, values: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    """The question for the sums of each group: the names of the group stand before them.

    Raises:
        BadRequestError: there is no such dimension.
    """
    expressions = [_dimension(name) for name in by]
    labels = ", ".join(f"{expression.sql} AS g{number}" for number, expression in enumerate(expressions))
    keys = ", ".join(f"g{number}" for number in range(len(by)))
    given = [value for expression in expressions for value in expression.values]
    return f"SELECT {labels}, {_SUMS} {_FROM} WHERE {where} GROUP BY {keys}", [*given, *values]


def sums(found: Sequence[Any], group: Mapping[str, str | None]) -> Usage:
    """An answer to `total` or, without the names of its group, to `groups`."""
    calls, errors, hits, attempts, prompt, completion, cached, high, low, worst_high, worst_low, unknown, unpriced = (
        found
    )
    return Usage(
        group=group,
        calls=calls,
        attempts=attempts,
        errors=errors,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cost=high * _PART + low,
        unknown_attempts=unknown,
        unknown_cost=worst_high * _PART + worst_low,
        unpriced_attempts=unpriced,
        cache_hits=hits,
    )


def condition(query: Query) -> tuple[str, list[Any]]:
    """Which lines are asked for, as a condition and the values for its marks.

    Raises:
        BadRequestError: there is no such dimension.
    """
    terms = ["1"]
    values: list[Any] = []
    if query.since is not None:
        # The day stands first in the key: whole days are passed over without a look.
        terms.append("a.day >= ? AND a.time >= ?")
        values += [_day(query.since), query.since]
    if query.until is not None:
        terms.append("a.day <= ? AND a.time < ?")
        values += [_day(query.until), query.until]
    for name, wanted in query.where.items():
        expression = _dimension(name)
        terms.append(f"{expression.sql} = ?")
        values += [*expression.values, wanted]
    return " AND ".join(terms), values


def _day(time: float) -> str:
    # A time beyond the calendar is as good as its end.
    return datetime.fromtimestamp(min(max(time, 0.0), _LAST), UTC).date().isoformat()


def _dimension(name: str) -> _Expression:
    if name.startswith("tag:"):
        return _Expression("(SELECT value FROM json_each(a.tags) WHERE key = ?)", (name[4:],))
    if name == "model":
        # A call that never left asked no model of anybody.
        return _Expression("coalesce(a.model, a.model_requested)")
    if name in DIMENSIONS:
        return _Expression(f"a.{name}")
    hint = f"Dimensions are {', '.join(DIMENSIONS)} and `tag:NAME`."
    message = f"Usage has no dimension {name!r}."
    raise BadRequestError(message, code="unknown_dimension", param="by", hint=hint)
