"""What was used and what it cost, as a Python caller sees it: dollars, not picodollars.

Decides how sums are shown; refuses to know where they come from.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

import msgspec

from headgate.core.call import NO_TAGS
from headgate.core.errors import BadRequestError
from headgate.core.money import to_usd
from headgate.stores.balance import Balance
from headgate.stores.protocols import DIMENSIONS, Query, Usage


class UsageReport(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over a part of the ledger.

    Attributes:
        calls, attempts: calls of callers, and the requests that left on their behalf.
        errors: calls that failed.
        prompt_tokens, completion_tokens, cached_tokens: of all attempts.
        cost_usd: US dollars at known prices, without `unknown_cost_usd`.
        unknown_attempts, unknown_cost_usd: attempts of which nobody can tell whether they were billed, and what they
            would cost at worst.
        unpriced_attempts: attempts that were billed at a price that is not known.
        cache_hits: calls that the cache answered.
        saved_tokens: input tokens that compression has left out.
        cache_saved_usd: US dollars that calls did not cost because the cache answered them.
        group: what this report is about, by dimension; empty for the whole.
        by: one report per group, dearest first; empty unless groups were asked for.
    """

    calls: int
    attempts: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost_usd: Decimal
    unknown_attempts: int
    unknown_cost_usd: Decimal
    unpriced_attempts: int
    cache_hits: int
    saved_tokens: int
    cache_saved_usd: Decimal
    group: Mapping[str, str | None] = {}
    by: tuple["UsageReport", ...] = ()


class BudgetReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one budget stands in one window.

    Attributes:
        name: of the budget, and of whom it is for where everybody has one (`per-user:anna`).
        window: which day, week or month, or `total`.
        limit_usd: the cap.
        spent_usd: on the books.
        lent_usd: what processes may still spend without asking, or have spent and not booked yet.
        left_usd: what nobody has spent or borrowed.
    """

    name: str
    window: str
    limit_usd: Decimal
    spent_usd: Decimal
    lent_usd: Decimal
    left_usd: Decimal


def budget_report(balance: Balance) -> BudgetReport:
    """Show how a budget stands."""
    return BudgetReport(
        name=balance.cap.name,
        window=balance.cap.window,
        limit_usd=to_usd(balance.cap.limit),
        spent_usd=to_usd(balance.spent),
        lent_usd=to_usd(balance.lent),
        left_usd=to_usd(balance.left),
    )


def query(
    since: datetime | None, until: datetime | None, by: str | Iterable[str], where: Mapping[str, str] | None
) -> Query:
    """What to ask the ledger.

    Raises:
        BadRequestError: a time has no zone, or a dimension is not known.
    """
    dimensions = (by,) if isinstance(by, str) else tuple(by)
    where = NO_TAGS if where is None else where
    for name in (*dimensions, *where):
        if name not in DIMENSIONS and not name.startswith("tag:"):
            known = ", ".join((*DIMENSIONS, "tag:NAME"))
            raise BadRequestError(f"Usage has no dimension {name!r}.", param="by", hint=f"There are: {known}.")
    return Query(since=_seconds(since, "since"), until=_seconds(until, "until"), by=dimensions, where=where)


def _seconds(moment: datetime | None, name: str) -> float | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise BadRequestError(
            f"`{name}` is {moment.isoformat()}, without a time zone.", param=name, hint="Use `datetime.now(UTC)`."
        )
    return moment.timestamp()


def report(total: Usage, groups: Iterable[Usage] = ()) -> UsageReport:
    """Show the ledger's sums."""
    return UsageReport(
        calls=total.calls,
        attempts=total.attempts,
        errors=total.errors,
        prompt_tokens=total.prompt_tokens,
        completion_tokens=total.completion_tokens,
        cached_tokens=total.cached_tokens,
        cost_usd=to_usd(total.cost),
        unknown_attempts=total.unknown_attempts,
        unknown_cost_usd=to_usd(total.unknown_cost),
        unpriced_attempts=total.unpriced_attempts,
        cache_hits=total.cache_hits,
        saved_tokens=total.saved_tokens,
        cache_saved_usd=to_usd(total.cache_saved),
        group=total.group,
        by=tuple(report(group) for group in groups),
    )
