"""What the books say, in the shapes that scripts rely on (`headgate usage --json`, `--rows --json`).

Decides names and spellings only. Fields may be added freely and are never renamed.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from headgate.core.money import show_usd
from headgate.stores.balance import Balance
from headgate.stores.protocols import Query, Usage
from headgate.stores.records import AttemptRow


def iso(time: float | None) -> str | None:
    """A moment, in seconds since 1970 UTC, as ISO 8601 in UTC with milliseconds.

    Example:
        >>> iso(1_800_000_000.25)
        '2027-01-15T08:00:00.250Z'
    """
    if time is None:
        return None
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def usage_json(query: Query, total: Usage, groups: Sequence[Usage]) -> dict[str, Any]:
    """The total and its groups, as `headgate usage --json` prints them; money is decimal strings of dollars."""
    return {
        "from": iso(query.since),
        "to": iso(query.until),
        **_sums(total),
        "by": [{**usage.group, **_sums(usage)} for usage in groups],
    }


def row_json(row: AttemptRow) -> Mapping[str, Any]:
    """One attempt, as `headgate usage --rows --json` prints it; a cost that is not known is null."""
    return {
        "call_id": row.call_id,
        "attempt": row.attempt,
        "parent": row.parent,
        "request_id": f"req_{row.call_id}",
        "time": iso(row.time),
        "key": row.key,
        "project": row.project,
        "provider": row.provider,
        "model": row.model,
        "dropped": list(row.dropped),
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "cached_tokens": row.cached_tokens,
        "cache_write_tokens": row.cache_write_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "saved_tokens": row.saved_tokens,
        "cost_usd": None if row.cost is None else show_usd(row.cost),
        "settled": row.settled.value,
        "basis": row.basis.value if row.basis else None,
        "operation": row.operation,
        "model_requested": row.model_requested,
        "model_served": row.model_served,
        "user": row.user,
        "service_tier": row.service_tier,
        "price_table": row.price_table,
        "error_type": row.error_type,
        "status": row.status,
        "stream": row.stream,
        "cache": row.cache,
        "cache_saved_usd": show_usd(row.saved),
        "latency_ms": row.latency_ms,
        "first_token_ms": row.first_token_ms,
        "tags": dict(row.tags),
        "held_usd": None if row.held is None else show_usd(row.held),
        "budgets": [{"name": name, "window": window} for name, window in row.budgets],
        "resolved_by": row.resolved_by,
        "guard": [] if row.guard is None else msgspec.json.decode(row.guard),
    }


def budget_json(balance: Balance) -> Mapping[str, Any]:
    """One budget, as `headgate usage --budgets --json` prints it; `share` is the spent part of the limit."""
    cap = balance.cap
    return {
        "name": cap.name,
        "window": cap.window,
        "limit_usd": show_usd(cap.limit),
        "spent_usd": show_usd(balance.spent),
        "lent_usd": show_usd(balance.lent),
        "left_usd": show_usd(balance.left),
        "share": round(balance.spent / cap.limit, 6),
        "alert_at": list(cap.alert_at),
        "loans": [{"owner": owner, "amount_usd": show_usd(amount)} for owner, amount in sorted(balance.loans.items())],
    }


def _sums(usage: Usage) -> dict[str, Any]:
    return {
        "calls": usage.calls,
        "attempts": usage.attempts,
        "errors": usage.errors,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "cost_usd": show_usd(usage.cost),
        "unknown_attempts": usage.unknown_attempts,
        "unknown_cost_usd": show_usd(usage.unknown_cost),
        "unpriced_attempts": usage.unpriced_attempts,
        "cache_hits": usage.cache_hits,
        "saved_tokens": usage.saved_tokens,
        "cache_saved_usd": show_usd(usage.cache_saved),
    }
