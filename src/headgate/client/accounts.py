"""What a Python caller asks of the books: usage, budgets, how it went lately.

Decides how the questions are called in Python; refuses to know how answers are found (`gate`) and shown (`report.py`).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from headgate.client.report import BudgetReport, UsageReport, budget_report, query, report
from headgate.core.money import to_usd
from headgate.gate.gate import Gate
from headgate.gate.summary import Summary


class SummaryReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the last minutes went.

    Attributes:
        minutes: how far it looks back.
        status: `healthy` where more than 95 % of the calls succeeded, else `degraded`; `no_data` without calls.
        reasons: why it is degraded: the commonest failures.
        calls, succeeded: of callers that ended, and those of them without an error.
        left: those of them that their callers left before the end.
        success_rate: share of the calls that succeeded, of those that were not left.
        cost_usd: of known price, US dollars.
        cost_per_success_usd: US dollars for each call that succeeded, failures paid for with them; None without any.
        latency_ms, p95_latency_ms: average and 95th percentile of the calls that succeeded, milliseconds.
        cache_hits, hit_rate: calls that the cache answered, and their share.
        token_efficiency: share of the tokens that answered a call; None where none was used.
        refusals, blocked, resting: calls that our own rules refused; of them by the guard, and because every target
            rested.
        failures: how often calls ended in each error, by code, the commonest first.
    """

    minutes: float
    status: Literal["healthy", "degraded", "no_data"]
    reasons: tuple[str, ...]
    calls: int
    succeeded: int
    left: int
    success_rate: float
    cost_usd: Decimal
    cost_per_success_usd: Decimal | None
    latency_ms: float
    p95_latency_ms: float
    cache_hits: int
    hit_rate: float
    token_efficiency: float | None
    refusals: int
    blocked: int
    resting: int
    failures: Mapping[str, int]


def _shown(summary: Summary) -> SummaryReport:
    per_success = summary.cost_per_success
    return SummaryReport(
        minutes=summary.minutes,
        status=summary.status,
        reasons=summary.reasons,
        calls=summary.calls,
        succeeded=summary.succeeded,
        left=summary.left,
        success_rate=summary.success_rate,
        cost_usd=to_usd(summary.cost),
        cost_per_success_usd=None if per_success is None else to_usd(per_success),
        latency_ms=summary.latency_ms,
        p95_latency_ms=summary.p95_ms,
        cache_hits=summary.hits,
        hit_rate=summary.hit_rate,
        token_efficiency=summary.token_efficiency,
        refusals=summary.refusals,
        blocked=summary.blocked,
        resting=summary.resting,
        failures=summary.failures,
    )


class Accounts:
    """A gate's books, as a Python caller sees them."""

    async def _ready(self) -> Gate:
        """The gate, open."""
        raise NotImplementedError

    async def usage(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        by: str | Iterable[str] = (),
        where: Mapping[str, str] | None = None,
    ) -> UsageReport:
        """What was used and what it cost, from the ledger.

        Args:
            since: from when on; with a time zone.
            until: until when, excluded; with a time zone.
            by: dimensions to group by: `model`, `provider`, `key`, `project`, `user`, `operation`, `day`, `tag:NAME`.
            where: exact matches on dimensions.

        Raises:
            BadRequestError: a time has no zone, or a dimension is not known.
        """
        asked = query(since, until, by, where)
        return report(*await (await self._ready()).usage(asked))

    async def budgets(self) -> list[BudgetReport]:
        """How every budget stands in its window of today: what is spent, what processes may still spend, what is left.

        Raises:
            StoreError: the store cannot be asked.
        """
        return [budget_report(balance) for balance in await (await self._ready()).budgets()]

    async def summary(self, minutes: float = 60) -> SummaryReport:
        """How the last minutes went: healthy or not, and why; success, cost, latency, hits.

        Raises:
            BadRequestError: it looks back less than nothing, or more than 31 days.
            StoreError: the store cannot be asked.
        """
        return _shown(await (await self._ready()).summaries.last(minutes))
