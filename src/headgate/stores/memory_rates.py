"""Rates in the memory of one process.

Decides by arithmetic alone: nothing here waits. Nothing is leased either, because whoever holds a place dies together
with the store. Refuses to know who asks.
"""

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Mapping
from math import inf
from typing import Any

from headgate.core.clock import Clock
from headgate.core.limits import Demand
from headgate.stores.rates import LEAST, MINUTE, Grant, Rule, corrections, most_in_a_minute, steps

MOST_NAMES = 10_000
"""Names that are remembered. Callers can make names up: beyond that, what was not asked for longest is forgotten."""
_LOOK = 8
"""The most names that one newcomer may look at to find one that can go."""


class _State:
    """What is known of one name."""

    __slots__ = ("busy", "clocks", "log")

    def __init__(self) -> None:
        # The cell clocks: requests, tokens, input tokens, output tokens.
        self.clocks = [0.0, 0.0, 0.0, 0.0]
        self.busy = 0
        self.log: deque[float] = deque()


class MemoryRates:
    """The store; see `stores.rates.Rates`.

    Args:
        clock: tells the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # By when they were asked for; who holds a place is never forgotten.
        self._states: OrderedDict[str, _State] = OrderedDict()
        self._permits = 0

    async def open(self) -> None:
        """It is always here."""

    async def take(self, rule: Rule, demand: Demand) -> Grant:
        """Take one request, its tokens and a place at once, or nothing."""
        return self.decide(rule, demand)

    def decide(self, rule: Rule, demand: Demand) -> Grant:
        """The same without an await: nothing here waits."""
        now = self._clock.monotonic()
        state = self._states.get(rule.name)
        if state is None:
            state = self._begin(rule.name)
        else:
            self._states.move_to_end(rule.name)
        limits, clocks = rule.limits, state.clocks
        if limits.concurrency is not None and state.busy >= limits.concurrency:
            return _grant(state, now, inf, limited="concurrency")
        wait, limited = 0.0, None
        burst = 0.0 if limits.spread else rule.burst
        moves = steps(limits, demand)
        for kind, step in moves:
            # A step longer than the burst may be taken from rest, else it could never be taken.
            found = clocks[kind] - now - (burst - step if step < burst else 0.0)
            if found > wait and found > LEAST:
                wait, limited = found, "tokens" if kind else "requests"
        most = most_in_a_minute(limits) if limits.sliding else None
        if most is not None and (found := _window(state.log, most, now)) > wait:
            wait, limited = max(found, LEAST), "requests"
        if limited is not None:
            return _grant(state, now, wait, limited=limited)
        for kind, step in moves:
            clock = clocks[kind]
            clocks[kind] = (clock if clock > now else now) + step  # noqa: FURB136  half the time of `max`
        permit = 0
        if limits.concurrency is not None:
            permit = self._permits = self._permits + 1
            state.busy += 1
        if most is not None:
            state.log.append(now)
        return _grant(state, now, 0.0, permit=permit)

    def settle(self, rule: Rule, grant: Grant, held: Demand, used: Demand | None) -> None:
        """Give the place back and correct the tokens."""
        state = self._states.get(rule.name)
        if state is None:
            return  # forgotten: there is nothing to correct, and whoever has a place is not forgotten
        if grant.permit:
            state.busy -= 1
        for kind, step in corrections(rule.limits, held, used):
            state.clocks[kind] += step
        if used is None and state.log:
            index = bisect_left(state.log, grant.at)
            if index < len(state.log) and state.log[index] == grant.at:
                del state.log[index]

    def rest(self, name: str, seconds: float) -> None:
        """There is no other process to tell."""

    def resting(self, name: str) -> float:  # noqa: ARG002  the protocol's
        """No other process tells us anything."""
        return 0.0

    def health(self) -> Mapping[str, Any]:
        """It is always here."""
        return {"status": "ok", "type": "memory"}

    async def close(self) -> None:
        """Nothing is held that would not go with us."""

    def _begin(self, name: str) -> _State:
        # A few looks at most, however many there are: who holds a place goes to the end and stays.
        for _ in range(_LOOK):
            if len(self._states) < MOST_NAMES:
                break
            oldest, state = self._states.popitem(last=False)
            if state.busy:
                self._states[oldest] = state
        state = self._states[name] = _State()
        return state


def _grant(state: _State, now: float, wait: float, *, permit: int = 0, limited: str | None = None) -> Grant:
    requests, together, into, out = state.clocks
    tokens = max(together, into, out)
    return Grant(
        wait, permit, now, requests - now if requests > now else 0.0, tokens - now if tokens > now else 0.0, limited
    )


def _window(log: deque[float], most: int, now: float) -> float:
    """Seconds until the sliding minute has room for one more call."""
    while log and log[0] + MINUTE <= now:
        log.popleft()
    return 0.0 if len(log) < most else log[len(log) - most] + MINUTE - now
