"""How calls ended in some time, from the lines themselves: latencies are in no sums.

Decides what is counted and added up; refuses to know what is good. A call counts where it ended: with its last
attempt.
"""

from typing import NamedTuple

import msgspec

from headgate.stores.protocols import Tables
from headgate.stores.rollups import PART
from headgate.stores.tables import between

_ENDED = "a.cache IS NOT NULL AND a.attempt = a.call_attempts"
_WELL = f"{_ENDED} AND a.call_error_type IS NULL AND a.call_status < 400"
_TOKENS = "a.prompt_tokens + a.completion_tokens"
_SUMS = f"""
SELECT coalesce(sum({_TOKENS}), 0), coalesce(sum(CASE WHEN {_WELL} THEN {_TOKENS} ELSE 0 END), 0),
  coalesce(sum(CASE WHEN a.settled <> 'unknown' THEN a.cost / {PART} ELSE 0 END), 0),
  coalesce(sum(CASE WHEN a.settled <> 'unknown' THEN a.cost % {PART} ELSE 0 END), 0)
FROM attempts a WHERE """  # noqa: S608  own names
_ENDS = """
SELECT CASE WHEN a.call_error_type IS NULL AND a.call_status >= 400 THEN 'status ' || a.call_status
  ELSE a.call_error_type END AS code, count(*), coalesce(sum(a.call_latency_ms), 0),
  sum(CASE WHEN a.cache IN ('hit', 'coalesced') THEN 1 ELSE 0 END)
FROM attempts a WHERE """
_SLOWEST = "SELECT a.call_latency_ms FROM attempts a WHERE "


class Ends(NamedTuple):
    """How many calls ended alike: in which error (None: well), how long they took in all, and how many were hits."""

    code: str | None
    calls: int
    latency_ms: float
    hits: int


class Lately(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in some time.

    Attributes:
        ends: how calls ended, the commonest first.
        cost: of known price, picodollars.
        tokens, useful_tokens: of all attempts, and of those that ended a call well.
        p95_ms: 95th percentile of the latency of calls that ended well, milliseconds; 0 without any.
    """

    ends: tuple[Ends, ...]
    cost: int
    tokens: int
    useful_tokens: int
    p95_ms: float


async def lately(tables: Tables, since: float, until: float) -> Lately:
    """What happened to the calls that began from `since` on and before `until`, seconds since 1970.

    Raises:
        StoreError: the store cannot be asked.
    """
    during = between(since, until)
    ((tokens, useful, high, low),) = await tables.read((_SUMS + during.sql, during.values))
    grouped = f"{_ENDS}{during.sql} AND {_ENDED} GROUP BY 1 ORDER BY 2 DESC, 1"
    found = await tables.read((grouped, during.values))
    ends = tuple(Ends(code, int(calls), float(took), int(hits)) for code, calls, took, hits in found)
    well = sum(end.calls for end in ends if end.code is None)
    rank = min(int(0.95 * well), well - 1)
    ranked = f"{_SLOWEST}{during.sql} AND {_WELL} ORDER BY 1 LIMIT 1 OFFSET {rank}"
    slow = await tables.read((ranked, during.values)) if well else ()
    return Lately(
        ends=ends,
        cost=int(high) * PART + int(low),
        tokens=int(tokens),
        useful_tokens=int(useful),
        p95_ms=float(slow[0][0] or 0.0) if slow else 0.0,
    )
