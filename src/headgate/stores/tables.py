"""What is put into the tables of the ledger, and how its lines are read, in SQL that both databases speak.

Decides which values a line has, which lines a query means and what its dimensions are called; refuses to know
connections and transactions (`sqlite.py`, `postgres.py`), sums (`question.py`), and how tables are made (`schema.py`).
Marks for values are `?`.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from headgate.core.attempt import Basis, Settled
from headgate.core.errors import BadRequestError
from headgate.stores.protocols import DIMENSIONS, Query
from headgate.stores.records import AttemptRow, CallEnd, Entry, ObjectRow
from headgate.stores.rollups import DAY, LAST, MEASURES, NAMES
from headgate.stores.schema import Dialect

PAGE = 1000
"""Rows that are read at once."""

_ATTEMPT = tuple(name for name in AttemptRow.__struct_fields__ if name not in {"cache", "guard", "saved"})
END = ("cache", "call_attempts", "call_status", "call_error_type", "call_latency_ms", "call_first_token_ms", "guard",
       "saved")  # fmt: skip
"""The columns that tell of the end of a line's call."""
_NO_END = (None,) * len(END)
_ROLLUP = ("facet", "grain", "bucket", "day", "group_id")
_KEY = "a.day, a.call_id, a.attempt"
"""The order of lines: ids of calls grow with time, so it is their order in time, and needs no index of its own."""
KEY = ("day", "call_id", "attempt")
"""What no two lines have in common."""
LINE = (*_ATTEMPT, *END)
"""The columns of a line, in the order of `line`."""


def columns(names: Iterable[str]) -> str:
    """Names of columns as SQL takes them."""
    # `user` is a word of SQL.
    return ", ".join(f'"{name}"' for name in names)


def _insert(table: str, names: Sequence[str], conflict: str) -> str:
    marks = ", ".join("?" for _ in names)
    return f"INSERT INTO {table} ({columns(names)}) VALUES ({marks}) ON CONFLICT {conflict}"  # noqa: S608  own names


INSERT = _insert("attempts", LINE, "DO NOTHING")
UPDATE = (
    f"UPDATE attempts SET {', '.join(f'{name} = ?' for name in END)}"  # noqa: S608  own names
    " WHERE day = ? AND call_id = ? AND attempt = ? AND cache IS NULL"
)
"""Books the end of a call on a line that has none; the values are `(*ending(…), *key(…))`."""
INSERT_OBJECT = _insert("objects", ObjectRow.__struct_fields__, "DO NOTHING")
GROUP = ("id", *NAMES)
"""The columns of a group of sums."""
INSERT_GROUP = _insert("rollup_groups", GROUP, "DO NOTHING")
SUMS = (*_ROLLUP, *MEASURES)
"""The columns of sums."""
_MORE = ", ".join(f"{name} = rollups.{name} + excluded.{name}" for name in MEASURES)
ADDED = f"({', '.join(_ROLLUP)}) DO UPDATE SET {_MORE}"
"""What becomes of sums that are there."""
ADD = _insert("rollups", SUMS, ADDED)
FORGET = (
    "DELETE FROM rollups WHERE facet > 0 AND day < ?",
    "DELETE FROM rollup_groups WHERE id IN (SELECT id FROM rollup_groups EXCEPT SELECT group_id FROM rollups)",
)
"""What goes with the lines of old days: the sums that tell users and tags apart, and names without sums."""
_ONLY = {"unknown": "a.settled = 'unknown'", "exceeded": "a.cost > a.held"}
_SELECTED = (*_ATTEMPT, "guard", "saved")
_SELECT = ", ".join("CAST(a.tags AS TEXT)" if name == "tags" else f'a."{name}"' for name in _SELECTED)

_encode = msgspec.json.Encoder().encode
_budgets = msgspec.json.Decoder(tuple[tuple[str, str], ...]).decode


class Expression(NamedTuple):
    """SQL, and the values for its marks."""

    sql: str
    values: tuple[Any, ...] = ()


def only_if(insert: str, values: Sequence[Any], found: Expression) -> Expression:
    """An `INSERT` of one row that does nothing unless a question has an answer."""
    head, _, rest = insert.partition("VALUES (")
    marks, _, conflict = rest.partition(")")
    return Expression(f"{head}SELECT {marks} WHERE EXISTS ({found.sql}){conflict}", (*values, *found.values))


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
        intent.parent,
        outcome.model_served,
        outcome.service_tier,
        str(outcome.settled),
        None if basis is None else str(basis),
        outcome.prompt_tokens,
        outcome.completion_tokens,
        outcome.cached_tokens,
        outcome.cache_write_tokens,
        outcome.reasoning_tokens,
        outcome.saved_tokens,
        outcome.cost,
        outcome.price_table,
        outcome.status,
        outcome.error_type,
        outcome.latency_ms,
        outcome.first_token_ms,
        None if intent.held is None else _encode(intent.held.caps).decode(),
        None if intent.held is None else intent.held.amount,
        None,
        *(_NO_END if end is None else ending(end)),
    )


def ending(end: CallEnd) -> tuple[Any, ...]:
    """The values of a call's end on its lines."""
    return (
        end.cache, end.attempts, end.status, end.error_type, end.latency_ms, end.first_token_ms, end.guard, end.saved,
    )  # fmt: skip


def key(entry: Entry) -> tuple[str, str, int]:
    """What no two lines have in common."""
    intent = entry.intent
    return intent.day, intent.call_id, intent.attempt


def page(query: Query, dialect: Dialect, last: AttemptRow | None) -> Expression:
    """The question for a page of lines in their order, after the last one that is known.

    Raises:
        BadRequestError: there is no such dimension.
    """
    terms = ["1 = 1"]
    values: list[Any] = []
    if query.since is not None or query.until is not None:
        during = between(query.since or 0.0, LAST if query.until is None else query.until)
        terms.append(during.sql)
        values += during.values
    if query.only is not None:
        terms.append(_ONLY[query.only])
    for name, wanted in query.where.items():
        expression = dimension(name, dialect)
        terms.append(f"{expression.sql} = ?")
        values += [*expression.values, wanted]
    if last is not None:
        # The first term follows from the second, which whole days are not passed over by.
        terms.append(f"a.day >= ? AND ({_KEY}) > (?, ?, ?)")
        values += [last.day, last.day, last.call_id, last.attempt]
    where = " AND ".join(terms)
    # The names are our own.
    sql = f"SELECT {_SELECT}, coalesce(a.cache, 'off') FROM attempts a WHERE {where} ORDER BY {_KEY} LIMIT {PAGE}"  # noqa: S608
    return Expression(sql, tuple(values))


def lines_of(call_id: str, days: Sequence[str]) -> Expression:
    """The question for the lines of a call that began on one of some days."""
    marks = ", ".join("?" for _ in days)
    sql = (
        f"SELECT {_SELECT}, coalesce(a.cache, 'off') FROM attempts a"  # noqa: S608  own names
        f" WHERE a.day IN ({marks}) AND a.call_id = ? ORDER BY {_KEY}"
    )
    return Expression(sql, (*days, call_id))


def row(found: Sequence[Any]) -> AttemptRow:
    """An answer to `page` or `lines_of`."""
    facts = dict(zip((*_SELECTED, "cache"), found, strict=True))
    facts["stream"] = bool(facts["stream"])
    facts["saved"] = facts["saved"] or 0
    facts["tags"] = msgspec.json.decode(facts["tags"]) if facts["tags"] else {}
    facts["dropped"] = tuple(facts["dropped"].split(",")) if facts["dropped"] else ()
    facts["budgets"] = _budgets(facts["budgets"]) if facts["budgets"] else ()
    facts["settled"] = Settled(facts["settled"])
    facts["basis"] = Basis(facts["basis"]) if facts["basis"] else None
    return AttemptRow(**facts)


def between(since: float, until: float) -> Expression:
    """The lines of a time, the end excluded.

    The day stands first in the key, so whole days are passed over without a look. A line stands under the day on which
    its call began, which may be the day before.
    """
    return Expression(
        "a.day >= ? AND a.day <= ? AND a.time >= ? AND a.time < ?", (_day(since - DAY), _day(until), since, until)
    )


def dimension(name: str, dialect: Dialect, *, rolled: bool = False) -> Expression:
    """What a dimension is of a line, or of sums and their group.

    Raises:
        BadRequestError: there is no such dimension.
    """
    table = "g" if rolled else "a"
    if name.startswith("tag:"):
        return Expression(dialect.tag.format(table), (name[4:],))
    if name == "model" and not rolled:
        # A call that never left asked no model of anybody.
        return Expression("coalesce(a.model, a.model_requested)")
    if name == "day" and rolled:
        return Expression("r.day")
    if name in DIMENSIONS:
        return Expression(f'{table}."{name}"')
    hint = f"Dimensions are {', '.join(DIMENSIONS)} and `tag:NAME`."
    message = f"Usage has no dimension {name!r}."
    raise BadRequestError(message, code="unknown_dimension", param="by", hint=hint)


def _day(time: float) -> str:
    # A time beyond the calendar is as good as its end.
    return datetime.fromtimestamp(min(max(time, 0.0), LAST), UTC).date().isoformat()
