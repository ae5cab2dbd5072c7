"""What became of a provider's limits, judged by the simulator's own log.

Decides by arithmetic alone; refuses to know who called and how. The log is the only witness: neither the gate nor the
SDK is asked how well it did.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec

from headgate.providers.simulator import Arrival, Limits

MINUTE = 60.0
SETTLING = 15.0
"""Seconds after a change for which nobody is blamed: a change is learned by meeting it."""
RATES: tuple[str, ...] = (
    "requests_per_minute", "tokens_per_minute", "input_tokens_per_minute", "output_tokens_per_minute",
)  # fmt: skip
CONCURRENCY = "concurrency"


class Span(NamedTuple):
    """What was allowed from a moment on, in seconds of the log's clock."""

    since: float
    limits: Limits


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement.

    Attributes:
        shares: how much of what was allowed was used, by limit; what strangers used was not allowed to us.
        binding: the limit that was used most; empty where there was none.
        calls: ours that were admitted.
        refused: 429s of limits that we met. A call that met three counts three times, so that the shares below are
            never less than the shares of calls that met one.
        refused_share: 429s per admitted call.
        settled_share: the same outside `SETTLING` after a change.
        peak: the most calls in flight, strangers' included.
    """

    shares: dict[str, float]
    binding: str
    calls: int
    refused: int
    refused_share: float
    settled_share: float
    peak: int

    @property
    def share(self) -> float:
        """How much of the binding limit was used; 0 where there was none."""
        return self.shares.get(self.binding, 0.0)


def judge(
    log: Sequence[Arrival],
    allowed: Sequence[Span],
    *,
    start: float,
    end: float,
    changes: Sequence[float] = (),
    ours: Callable[[Arrival], bool] = lambda _: True,
) -> Verdict:
    """Judge what happened in an interval.

    Args:
        log: what arrived, oldest first.
        allowed: the limits, oldest first; the first ones hold before as well.
        start: of the interval, in seconds of the log's clock.
        end: ditto.
        changes: when something changed, limits or strangers.
        ours: tells our arrivals from those of strangers at the same account. Places are counted together.

    Raises:
        ValueError: the interval has no length, or nothing says what is allowed.
    """
    if not start < end or not allowed:
        message = f"Nothing to judge from {start} to {end} with {len(allowed)} limits."
        raise ValueError(message)
    seen = [one for one in log if start <= one.time < end]
    mine = [one for one in seen if ours(one)]
    shares = {}
    for limit in (*RATES, CONCURRENCY):
        total = _total(allowed, limit, start, end)
        if total is None:
            continue
        if limit == CONCURRENCY:
            used, others = _held(log, end) - _held(log, start), 0.0
        else:
            total /= MINUTE
            used = sum(_taken(one, limit) for one in mine)
            others = sum(_taken(one, limit) for one in seen) - used
        shares[limit] = used / (total - others) if total > others else 0.0
    settled = [one for one in mine if not any(at <= one.time < at + SETTLING for at in changes)]
    return Verdict(
        shares=shares,
        binding=max(shares, key=lambda limit: shares[limit], default=""),
        calls=sum(map(_admitted, mine)),
        refused=sum(one.limited is not None for one in mine),
        refused_share=_refused(mine),
        settled_share=_refused(settled),
        peak=max((one.busy for one in seen), default=0),
    )


def _total(allowed: Sequence[Span], limit: str, start: float, end: float) -> float | None:
    """What a limit is worth over an interval, times a second; None where it does not hold throughout."""
    total = 0.0
    for since, until, limits in _stretches(allowed, start, end):
        value = getattr(limits, limit)
        if value is None:
            return None
        total += value * (until - since)
    return total


def _stretches(allowed: Sequence[Span], start: float, end: float) -> Iterator[tuple[float, float, Limits]]:
    """The parts of an interval in which nothing changes."""
    borders = [start, *(span.since for span in allowed[1:]), end]
    for span, (since, until) in zip(allowed, pairwise(borders), strict=True):
        low, high = max(since, start), min(until, end)
        if low < high:
            yield low, high, span.limits


def _taken(one: Arrival, limit: str) -> int:
    if not _admitted(one):
        return 0
    match limit:
        case "requests_per_minute":
            return 1
        case "input_tokens_per_minute":
            return one.prompt_tokens
        case "output_tokens_per_minute":
            return one.completion_tokens
    return one.prompt_tokens + one.completion_tokens


def _admitted(one: Arrival) -> bool:
    """It took its share of the limits; only what was understood and admitted has tokens."""
    return one.prompt_tokens + one.completion_tokens > 0


def _held(log: Sequence[Arrival], at: float) -> float:
    """The meter of calls in flight at a moment: read at each arrival, and even between two of them."""
    before = after = None
    for one in log:
        if one.model is None:
            continue
        if one.time > at:
            after = one
            break
        before = one
    if before is None:
        return 0.0
    if after is None:
        return before.held
    return before.held + (after.held - before.held) * (at - before.time) / (after.time - before.time)


def _refused(arrivals: Sequence[Arrival]) -> float:
    admitted = sum(map(_admitted, arrivals))
    refused = sum(one.limited is not None for one in arrivals)
    return refused / admitted if admitted else float(refused > 0)
