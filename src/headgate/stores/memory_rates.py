"""Rates in the memory of one process.

Decides by arithmetic alone: nothing here waits. Nothing is leased either, because whoever holds a place dies together
with the store. Refuses to know who asks.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

from headgate.core.clock import Clock
from headgate.core.limits import Demand, Limits
from headgate.stores.rates import Grant, Rule

MINUTE = 60.0
MOST_NAMES = 10_000
"""Names that are remembered; beyond that, those that rest are forgotten. Callers can make names up."""


class _State:
    """What is known of one name."""

    __slots__ = ("busy", "clocks", "log")

    def __init__(self) -> None:
        # The cell clocks: requests, tokens, input tokens, output tokens.
        self.clocks = [0.0, 0.0, 0.0, 0.0]
        self.busy = 0
        self.log: deque[float] = deque()

    def rests(self, now: float) -> bool:
        """Whether forgetting it would change nothing."""
        return not self.busy and max(self.clocks) <= now and not (self.log and self.log[-1] + MINUTE > now)


class MemoryRates:
    """The store; see `stores.rates.Rates`.

    Args:
        clock: tells the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: dict[str, _State] = {}
        self._permits = 0

    async def take(self, rule: Rule, demand: Demand) -> Grant:
        """Take one request, its tokens and a place at once, or nothing."""
        now = self._clock.monotonic()
        state = self._states.get(rule.name) or self._begin(rule.name, now)
        limits, clocks = rule.limits, state.clocks
        permit = 0
        if limits.concurrency is not None:
            if state.busy >= limits.concurrency:
                return self._grant(state, now, inf, limited="concurrency")
            permit = self._permits + 1
        wait, limited = 0.0, None
        burst = 0.0 if limits.spread else rule.burst
        steps = list(_steps(limits, demand))
        for kind, step in steps:
            # A step longer than the burst may be taken from rest, else it could never be taken.
            found = clocks[kind] - now - max(burst - step, 0.0)
            if found > wait:
                wait, limited = found, "tokens" if kind else "requests"
        if limits.sliding and (found := _window(state.log, limits, now)) > wait:
            wait, limited = found, "requests"
        if limited is not None:
            return self._grant(state, now, wait, limited=limited)
        for kind, step in steps:
            clocks[kind] = max(clocks[kind], now) + step
        if permit:
            self._permits = permit
            state.busy += 1
        if limits.sliding:
            state.log.append(now)
        return self._grant(state, now, 0.0, permit=permit)

    def settle(self, rule: Rule, grant: Grant, held: Demand, used: Demand | None) -> None:
        """Give the place back and correct the tokens."""
        state = self._states.get(rule.name) or self._begin(rule.name, self._clock.monotonic())
        if grant.permit:
            state.busy -= 1
        correct = Demand(-held.input, -held.output) if used is None else _less(used, held)
        for kind, step in _steps(rule.limits, correct):
            if kind:
                state.clocks[kind] += step
            elif used is None:
                state.clocks[0] -= step
        if used is None and rule.limits.sliding and grant.at in state.log:
            state.log.remove(grant.at)

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

    def _begin(self, name: str, now: float) -> _State:
        if len(self._states) >= MOST_NAMES:
            self._states = {known: state for known, state in self._states.items() if not state.rests(now)}
        state = self._states[name] = _State()
        return state

    def _grant(self, state: _State, now: float, wait: float, *, permit: int = 0, limited: str | None = None) -> Grant:
        requests, *tokens = state.clocks
        return Grant(wait, permit, now, max(requests - now, 0.0), max(*tokens, now) - now, limited)


def _steps(limits: Limits, demand: Demand) -> Iterator[tuple[int, float]]:
    """How far each limited cell clock moves: one request, and the tokens."""
    if limits.requests_per_minute is not None:
        yield 0, MINUTE / limits.requests_per_minute
    if limits.tokens_per_minute is not None:
        yield 1, (demand.input + demand.output) * MINUTE / limits.tokens_per_minute
    if limits.input_tokens_per_minute is not None:
        yield 2, demand.input * MINUTE / limits.input_tokens_per_minute
    if limits.output_tokens_per_minute is not None:
        yield 3, demand.output * MINUTE / limits.output_tokens_per_minute


def _less(used: Demand, held: Demand) -> Demand:
    return Demand(used.input - held.input, used.output - held.output)


def _window(log: deque[float], limits: Limits, now: float) -> float:
    """Seconds until the sliding minute has room for one more call."""
    most = limits.requests_per_minute
    if most is None:
        return 0.0
    while log and log[0] + MINUTE <= now:
        log.popleft()
    return 0.0 if len(log) < most else log[len(log) - int(most)] + MINUTE - now
