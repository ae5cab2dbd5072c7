"""Limits while the shared store is away: what each process does by itself.

Decides by the declared mode: `open` grants everything, `closed` refuses at once, `share` allows each process its part.
Rates are divided by the number of processes that were alive when the store was last seen. Places are dealt out: with
10 places and 3 processes the first by name gets 4, the others 3, so that the sum is the limit; a process that gets none
waits until the store is back. Places that a process had from the store count against its own, while they last: the
sum exceeds the limit only by calls that were under way when the store was lost.
"""

from typing import Literal, NamedTuple

import msgspec

from headgate.core.clock import Clock
from headgate.core.errors import SharedStoreError
from headgate.core.limits import Demand, Limits
from headgate.stores.memory_rates import MemoryRates
from headgate.stores.rates import Grant, Rule

Mode = Literal["open", "closed", "share"]
LOOK_AGAIN = 0.5
"""Seconds after which whoever waits for a place asks again: the store may be back."""


class Among(NamedTuple):
    """This process among those that share a store.

    Attributes:
        processes: how many there are.
        rank: how many of them stand before this one.
    """

    processes: int = 1
    rank: int = 0


class Alone:
    """What decides in place of the store.

    Args:
        mode: as declared.
        clock: tells the time.
    """

    def __init__(self, mode: Mode, clock: Clock) -> None:
        self.mode = mode
        self._clock = clock
        self._rates = MemoryRates(clock)

    def take(self, rule: Rule, demand: Demand, among: Among, held: int) -> Grant:
        """Decide.

        Args:
            rule: the whole limit.
            demand: what is wanted.
            among: who else shares it.
            held: places of the rule that this process has from the store.

        Raises:
            SharedStoreError: the mode is `closed`.
        """
        if self.mode == "closed":
            message = "The shared store of limits is away, and limits are closed meanwhile."
            raise SharedStoreError(message, retry_after=1.0)
        if self.mode == "open":
            return Grant(at=self._clock.monotonic())
        part = _part(rule, among, held)
        if part.limits.concurrency == 0:
            return Grant(LOOK_AGAIN, limited="concurrency" if held else "store")
        grant = self._rates.decide(part, demand)
        return msgspec.structs.replace(grant, wait=LOOK_AGAIN) if grant.limited == "concurrency" else grant

    def settle(self, rule: Rule, grant: Grant, held: Demand, used: Demand | None, among: Among) -> None:
        """Correct what was granted here."""
        if self.mode == "share":
            self._rates.settle(_part(rule, among, 0), grant, held, used)


def _part(rule: Rule, among: Among, held: int) -> Rule:
    limits, (processes, rank) = rule.limits, among
    places = limits.concurrency
    if places is not None:
        places = max(places // processes + (rank < places % processes) - held, 0)
    if processes == 1 and places == limits.concurrency:
        return rule
    return msgspec.structs.replace(
        rule,
        limits=Limits(
            requests_per_minute=_divided(limits.requests_per_minute, processes),
            tokens_per_minute=_divided(limits.tokens_per_minute, processes),
            input_tokens_per_minute=_divided(limits.input_tokens_per_minute, processes),
            output_tokens_per_minute=_divided(limits.output_tokens_per_minute, processes),
            concurrency=places,
            sliding=limits.sliding,
            spread=limits.spread,
        ),
    )


def _divided(rate: float | None, processes: int) -> float | None:
    return None if rate is None else rate / processes
