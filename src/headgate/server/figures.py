"""What one process has to tell at `/metrics`, as plain figures that can travel to another process.

Decides what is read, and where; refuses to know how it is named and shown (`metrics.py`). Everything is read when
somebody asks. Names are those of the configuration: targets that callers make up, where a route takes any name, are
one, `other`.
"""

from collections.abc import Callable, Iterator
from importlib.metadata import version

import msgspec

from headgate.core.counts import OTHER, Counts, Name
from headgate.gate.gate import Gate
from headgate.gate.loaded import generation
from headgate.gate.targets import States

BREAKER = {"closed": 0, "half_open": 1, "open": 2}


class Figures(msgspec.Struct, kw_only=True):
    """The figures of one process.

    Attributes:
        counts: what it has counted since its start.
        breakers: the state of each target's breaker, as `BREAKER` has it; of all the others the worst.
        waiting: attempts in the queue of each target.
        limits: what headers of providers told last: the limit and what is left of it, by provider, model and kind.
        shared_up, store_up, journal_up: whether the store of rates answers, the ledger answered at the last look, and
            the journal can be written.
        backlog: bytes of journal that are not booked yet; None where it is in memory.
        alerts, exceeded: see `Alerts`.
        version, generation: of headgate and of the configuration.
        process: the system's own figures of the process, by the names that Prometheus gives them.
    """

    counts: Counts
    breakers: dict[Name, int]
    waiting: dict[Name, int]
    limits: dict[tuple[str, str, str], tuple[float, float]]
    shared_up: bool
    store_up: bool
    journal_up: bool
    backlog: int | None
    alerts: int
    exceeded: int
    version: str
    generation: str
    process: dict[str, float]


class Reader:
    """Reads a gate.

    Args:
        gate: what is told of.
        process: asks the system about this process.
    """

    def __init__(self, gate: Gate, process: Callable[[], dict[str, float]]) -> None:
        self._gate = gate
        self._process = process
        self._version = version("headgate")
        self._config, self._generation = gate.config, generation(gate.config)

    def read(self) -> Figures:
        """Every figure, as it is now."""
        gate = self._gate
        if gate.config is not self._config:
            self._config, self._generation = gate.config, generation(gate.config)
        targets, journal = gate.targets(), gate.meter.journal.health()
        return Figures(
            counts=gate.meter.counters,
            breakers=self._breakers(targets),
            waiting=self._waiting(targets),
            limits=dict(self._limits(targets)),
            shared_up=gate.shared()["status"] == "ok",
            store_up=gate.alerts.store_up,
            journal_up=journal["error"] is None,
            backlog=journal.get("backlog_bytes"),
            alerts=gate.alerts.told,
            exceeded=gate.alerts.exceeded,
            version=self._version,
            generation=self._generation,
            process=self._process(),
        )

    def _breakers(self, targets: States) -> dict[Name, int]:
        """The state of each; of all the others the worst. What was not asked yet is closed."""
        found = {name: 0 for name in sorted(self._gate.configured) if name[1]}
        for name, policies in targets.items():
            if "breaker" in policies:
                label = self._label(name)
                found[label] = max(found.get(label, 0), BREAKER[policies["breaker"]["state"]])
        return found

    def _waiting(self, targets: States) -> dict[Name, int]:
        found: dict[Name, int] = {}
        for name, policies in targets.items():
            if "pace" in policies:
                label = self._label(name)
                found[label] = found.get(label, 0) + policies["pace"]["waiting"]
        return found

    def _limits(self, targets: States) -> Iterator[tuple[tuple[str, str, str], tuple[float, float]]]:
        """Of targets that the configuration names."""
        for name, policies in targets.items():
            if name in self._gate.configured:
                for kind, told in policies.get("pace", {}).get("told", {}).items():
                    yield (*name, kind), (told["limit"], told["left"])

    def _label(self, name: Name) -> Name:
        return name if name in self._gate.configured else (name[0], OTHER)
