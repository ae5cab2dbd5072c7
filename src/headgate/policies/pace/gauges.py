"""Which targets share a limit, and where all of them are let go.

Decides that a group has one gauge, with the limits of whoever named it first, and any other target one of its own;
refuses to know what a gauge does.
"""

from weakref import WeakValueDictionary

from headgate.core.clock import Clock
from headgate.core.limits import Limits
from headgate.policies.pace.gauge import Gauge
from headgate.stores.rates import Rates


class Gauges:
    """All gauges of a gate: those of targets, for as long as anybody has them, and those that a group shares.

    Args:
        rates: the store.
        clock: tells the time.
    """

    def __init__(self, rates: Rates, clock: Clock) -> None:
        self._rates = rates
        self._clock = clock
        self._groups: dict[str, Gauge] = {}
        # By what the store knows them by. A target may be forgotten while its calls are under way: were it known by
        # two gauges then, a place that comes back to the one would wake nobody who waits for it in the other.
        self._all: WeakValueDictionary[str, Gauge] = WeakValueDictionary()
        self._stale: set[str] = set()
        """Gauges whose limits may have changed: the next who names one says what they are."""

    def of(self, target: str, limits: Limits, group: str | None) -> Gauge:
        """The gauge of a target: its own, or the one that its group shares, with the limits that were named first."""
        name = f"pace:{group or target}"
        gauge = self._all.get(name)
        if gauge is None:
            gauge = self._all[name] = Gauge(name, limits, rates=self._rates, clock=self._clock)
        elif name in self._stale:
            gauge.renew(limits)
        self._stale.discard(name)
        if group is not None:
            self._groups[group] = gauge
        return gauge

    def renew(self) -> None:
        """The configuration has changed: limits are what they are named next. What is used of them stays used."""
        self._stale = set(self._all)

    def close(self) -> None:
        """Let nobody wait any longer."""
        for gauge in [*self._all.values()]:
            gauge.close()
