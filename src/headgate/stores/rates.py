"""The store of rates: how much of a limit is left, and who is at work, in one process or over many.

Decides what such a store promises; the contract suite `tests/stores/contract` runs over every implementation. It
knows no caller, no target and no queue: who may not go on yet is told when to ask again, and waits elsewhere.

Rates follow the generic cell rate algorithm (GCRA; ITU-T I.371, annex A), one cell clock ("theoretical arrival time")
per kind of limit: taking `n` units moves it ahead by `n * 60 / per_minute` seconds, and one may take while it is less
than `burst` ahead of now. It may be moved further than that by what a call turns out to have used: debt is allowed,
and is worked off before anybody else goes on.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from headgate.core.limits import Demand, Limits

MINUTE = 60.0
LEAST = 1e-6
"""Seconds that are told apart. Less is granted at once: nobody can wait so little, and rounding makes such waits up."""


class Rule(msgspec.Struct, frozen=True):
    """What is limited, and to how much.

    Attributes:
        name: whose limit it is; equal names share what is left, in every process that reaches the store.
        limits: how much. They may change from call to call; what was taken stays taken.
        burst: seconds' worth of each rate that may be taken at once after a rest; 0 spaces calls evenly.
    """

    name: str
    limits: Limits
    burst: float = 1.0


class Grant(msgspec.Struct, frozen=True, gc=False):
    """The answer to whoever asks.

    Attributes:
        wait: 0.0: granted. Else nothing was taken, and asking again before so many seconds is of no use; infinite
            where only a `settle` in this process can change that.
        permit: the place among those at work, where concurrency is limited; 0 where it is not.
        at: when it was granted, on the store's clock.
        requests, tokens: how far ahead of now the cell clocks are after this decision, in seconds: `burst` less that,
            times the rate, is what is left. Of several token limits, the one that is furthest ahead.
        limited: which limit said no: `requests`, `tokens`, `concurrency` or `store`; None where granted.
        ticket: the store's own mark on it, for `settle`.
    """

    wait: float = 0.0
    permit: int = 0
    at: float = 0.0
    requests: float = 0.0
    tokens: float = 0.0
    limited: str | None = None
    ticket: int = 0


class Rates(Protocol):
    """The store."""

    async def open(self) -> None:
        """Reach for it, once. That it is away stops nobody."""
        ...

    def decide(self, rule: Rule, demand: Demand) -> Grant | None:
        """The same as `take` where the answer is known here and now; None: `take` has to be awaited."""
        ...

    async def take(self, rule: Rule, demand: Demand) -> Grant:
        """Take one request, its tokens and a place at once, or nothing. Never waits for a limit.

        Whoever is granted calls `settle` exactly once, whatever happens.

        Raises:
            SharedStoreError: the store is away, and limits are `closed` meanwhile.
        """
        ...

    def settle(self, rule: Rule, grant: Grant, held: Demand, used: Demand | None) -> None:
        """Give the place back and correct the tokens from what was held to what was used. Never waits.

        `used=None` says that nothing has left: the request is given back as well.
        """
        ...

    def rest(self, name: str, seconds: float) -> None:
        """Hint to the other processes that a target shall rest for so long; 0 ends it. Never waits."""
        ...

    def resting(self, name: str) -> float:
        """Seconds for which another process hints that a target shall rest; 0 where none does. Never waits."""
        ...

    def health(self) -> Mapping[str, Any]:
        """`status` (`ok` or `away`), and what else is worth knowing, as `/health` shows it."""
        ...

    async def close(self) -> None:
        """Give back what this process holds."""
        ...


def steps(limits: Limits, demand: Demand) -> list[tuple[int, float]]:
    """How far each limited cell clock moves, in seconds: one request (0), tokens (1), input (2), output tokens (3)."""
    most = limits.requests_per_minute
    return _tokens(limits, demand.input, demand.output, None if most is None else (0, MINUTE / most))


def _tokens(limits: Limits, into: int, out: int, before: tuple[int, float] | None = None) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = [] if before is None else [before]
    if (most := limits.tokens_per_minute) is not None:
        found.append((1, (into + out) * MINUTE / most))
    if (most := limits.input_tokens_per_minute) is not None:
        found.append((2, into * MINUTE / most))
    if (most := limits.output_tokens_per_minute) is not None:
        found.append((3, out * MINUTE / most))
    return found


def corrections(limits: Limits, held: Demand, used: Demand | None) -> list[tuple[int, float]]:
    """How far `settle` moves them: back where less was used than held; the request only where nothing has left."""
    if used is None:
        return [(kind, -step) for kind, step in steps(limits, held)]
    into, out = used.input - held.input, used.output - held.output
    return _tokens(limits, into, out) if into or out else []


def most_in_a_minute(limits: Limits) -> int | None:
    """Calls that any sliding minute has room for. Less than one a minute is one, and the cell clock spaces them."""
    if not limits.sliding or limits.requests_per_minute is None:
        return None
    return max(int(limits.requests_per_minute), 1)
