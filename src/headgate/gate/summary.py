"""How it went lately, in a few figures: the summary of the last minutes, from the books (requirement C8).

Decides what healthy means and which figures tell it; refuses to know how they are printed. A call counts where it
ended. What our own rules refused and what callers did wrong are errors like all others, and are told apart. Calls that
their callers left are nobody's failure: they are counted, and neither succeeded nor failed.
"""

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec

from headgate.core import errors
from headgate.core.clock import Clock
from headgate.core.counts import CANCELLED
from headgate.core.errors import BadRequestError
from headgate.core.money import to_usd
from headgate.stores.lately import Lately, lately
from headgate.stores.protocols import Tables

HEALTHY = 0.95
"""Share of calls that succeed above which all is well."""
MOST_MINUTES = 60 * 24 * 31
RESTING = errors.RestingError.code
_OWN = frozenset(
    kind.code
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.Refused) and kind is not errors.Refused
)


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The summary of some minutes.

    Attributes:
        minutes: how far it looks back.
        status: `healthy`, `degraded` (see `reasons`), or `no_data` where nothing was called.
        reasons: why it is degraded: the commonest failures, with how often each was met.
        calls, succeeded: of callers that ended, and those of them without an error.
        left: those of them that their callers left before the end.
        cost: of known price, picodollars.
        latency_ms, p95_ms: average and 95th percentile of the calls that succeeded, milliseconds.
        hits: calls that the cache answered.
        tokens: of all attempts, in and out.
        useful_tokens: those of attempts that ended a call well.
        failures: how often calls ended in each error, by code, the commonest first.
    """

    minutes: float
    status: Literal["healthy", "degraded", "no_data"]
    reasons: tuple[str, ...] = ()
    calls: int = 0
    succeeded: int = 0
    left: int = 0
    cost: int = 0
    latency_ms: float = 0.0
    p95_ms: float = 0.0
    hits: int = 0
    tokens: int = 0
    useful_tokens: int = 0
    failures: Mapping[str, int] = {}

    @property
    def success_rate(self) -> float:
        """Share of the calls that succeeded, of those that were not left; 0 without any."""
        stayed = self.calls - self.left
        return self.succeeded / stayed if stayed else 0.0

    @property
    def hit_rate(self) -> float:
        """Share of the calls that the cache answered."""
        return self.hits / self.calls if self.calls else 0.0

    @property
    def cost_per_success(self) -> int | None:
        """Picodollars for each call that succeeded, failures paid for with them; None where none did."""
        return self.cost // self.succeeded if self.succeeded else None

    @property
    def token_efficiency(self) -> float | None:
        """Share of the tokens that answered a call; the others were used by attempts that came to nothing."""
        return self.useful_tokens / self.tokens if self.tokens else None

    @property
    def refusals(self) -> int:
        """Calls that our own rules refused."""
        return sum(count for code, count in self.failures.items() if code in _OWN)

    @property
    def blocked(self) -> int:
        """Calls that the guard refused."""
        return self.failures.get(errors.GuardError.code, 0)

    @property
    def resting(self) -> int:
        """Calls that failed because every target was resting. How often targets rested is in no books."""
        return self.failures.get(RESTING, 0)

    def facts(self) -> dict[str, Any]:
        """As scripts get it: dollars to 4 places, milliseconds to 2, shares to 4."""
        per_success = self.cost_per_success
        efficiency = self.token_efficiency
        return {
            "minutes": self.minutes,
            "status": self.status,
            "reasons": list(self.reasons),
            "calls": self.calls,
            "succeeded": self.succeeded,
            "left": self.left,
            "success_rate": round(self.success_rate, 4),
            "cost_usd": _dollars(self.cost),
            "cost_per_success_usd": None if per_success is None else _dollars(per_success),
            "latency_ms": round(self.latency_ms, 2),
            "p95_latency_ms": round(self.p95_ms, 2),
            "cache_hits": self.hits,
            "hit_rate": round(self.hit_rate, 4),
            "tokens": self.tokens,
            "token_efficiency": None if efficiency is None else round(efficiency, 4),
            "refusals": self.refusals,
            "blocked": self.blocked,
            "resting": self.resting,
            "failures": dict(self.failures),
        }


def _dollars(cost: int) -> str:
    return str(to_usd(cost).quantize(Decimal("0.0001")))


class Summaries:
    """Makes summaries.

    Args:
        tables: the books.
        booked: books what this process has settled.
        clock: tells which minutes are the last ones.
    """

    def __init__(self, tables: Tables, booked: Callable[[], Awaitable[None]], clock: Clock) -> None:
        self._tables = tables
        self._booked = booked
        self._clock = clock

    async def last(self, minutes: float = 60) -> Summary:
        """The summary of the last minutes, by when calls began.

        Raises:
            BadRequestError: it looks back less than nothing, or more than a month.
            StoreError: the store cannot be asked.
        """
        if not 0 < minutes <= MOST_MINUTES:
            text = f"A summary of {minutes:g} minutes is none."
            raise BadRequestError(text, param="minutes", hint=f"Ask for up to {MOST_MINUTES} minutes (31 days).")
        await self._booked()
        now = self._clock.time()
        # What begins in this very moment is of the last minutes, too.
        return _summary(minutes, await lately(self._tables, now - minutes * 60, now + 1))


def _summary(minutes: float, seen: Lately) -> Summary:
    calls = sum(end.calls for end in seen.ends)
    succeeded = sum(end.calls for end in seen.ends if end.code is None)
    failures = {end.code: end.calls for end in seen.ends if end.code is not None}
    left = failures.pop(CANCELLED, 0)
    stayed = calls - left
    took = sum(end.latency_ms for end in seen.ends if end.code is None)
    well = not stayed or succeeded > HEALTHY * stayed
    reasons = [f"{count} ended in {code}" for code, count in list(failures.items())[:3]]
    return Summary(
        minutes=minutes,
        status="no_data" if not stayed else "healthy" if well else "degraded",
        reasons=() if well else (f"{succeeded / stayed:.1%} of {stayed} calls succeeded", *reasons),
        calls=calls,
        succeeded=succeeded,
        left=left,
        cost=seen.cost,
        latency_ms=took / succeeded if succeeded else 0.0,
        p95_ms=seen.p95_ms,
        hits=sum(end.hits for end in seen.ends),
        tokens=seen.tokens,
        useful_tokens=seen.useful_tokens,
        failures=failures,
    )
