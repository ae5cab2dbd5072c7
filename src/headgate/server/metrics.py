"""`/metrics`: how the gate stands, in the words of Prometheus.

Decides names, labels and help texts; refuses to know how anything is counted. Everything is read when somebody asks,
so that a call costs nothing here. Labels hold only what the configuration names: models that callers make up, where a
route takes any name, are one, `other`.
"""

from collections.abc import Iterator
from operator import attrgetter

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from headgate.core.money import PICO
from headgate.gate.gate import Gate
from headgate.gate.targets import Name, States

OTHER = "other"
BREAKER = {"closed": 0, "half_open": 1, "open": 2}
_TARGET = ("provider", "model")


class Metrics:
    """The page.

    Args:
        gate: what is told of.
        worker: which of several processes at one address this is; each figure is labelled with it.
    """

    def __init__(self, gate: Gate, worker: int | None = None) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Reading(gate) if worker is None else _Labelled(_Reading(gate), str(worker)))

    def page(self, accept: str) -> tuple[bytes, str]:
        """The body and its content type.

        Args:
            accept: the formats that the reader takes, as its header `Accept` says.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _Labelled(Collector):
    """The figures of one worker."""

    def __init__(self, reading: Collector, worker: str) -> None:
        self._reading = reading
        self._worker = worker

    def collect(self) -> Iterator[Metric]:
        """Every figure, as it is now in this process."""
        for metric in self._reading.collect():
            metric.samples = [one._replace(labels={**one.labels, "worker": self._worker}) for one in metric.samples]
            yield metric


class _Reading(Collector):
    """Reads the gate at each scrape."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def collect(self) -> Iterator[Metric]:
        """Every figure, as it is now."""
        now = self._gate.meter.counters
        yield CounterMetricFamily("headgate_calls", "Calls of callers that have ended.", now.calls)
        yield CounterMetricFamily("headgate_errors", "Those of them that failed or were left.", now.errors)
        yield GaugeMetricFamily("headgate_in_flight", "Calls of callers under way.", now.in_flight)
        tokens = CounterMetricFamily("headgate_tokens", "Tokens, reported or counted.", labels=["direction"])
        tokens.add_metric(["input"], now.prompt_tokens)
        tokens.add_metric(["output"], now.completion_tokens)
        yield tokens
        yield CounterMetricFamily("headgate_cost_usd", "What they cost, where it is known.", now.cost / PICO)
        targets = self._gate.targets()
        breaker = GaugeMetricFamily(
            "headgate_breaker_state", "0: closed, 1: half open, 2: open and resting.", labels=_TARGET
        )
        for name, state in self._breakers(targets).items():
            breaker.add_metric(name, state)
        yield breaker
        waiting = GaugeMetricFamily(
            "headgate_pace_waiting", "Attempts that wait for a target's limits.", labels=_TARGET
        )
        for name, number in self._waiting(targets).items():
            waiting.add_metric(name, number)
        yield waiting
        shared = self._gate.shared()
        up = int(shared["status"] == "ok")
        yield GaugeMetricFamily("headgate_shared_store_up", "Whether the store of rates answers.", up)

        yield from self._budgets()

    def _budgets(self) -> Iterator[Metric]:
        """Budgets of the configuration that are one sum, as they stood a few seconds ago."""
        alerts = self._gate.alerts
        standing = alerts.standing.items()
        for name, told, figure in (
            ("spent", "What is on the books of a budget in its window.", attrgetter("spent")),
            ("held", "What processes hold of it, or have spent and not booked yet.", attrgetter("lent")),
            ("limit", "The budget.", attrgetter("cap.limit")),
        ):
            family = GaugeMetricFamily(f"headgate_budget_{name}_usd", told, labels=["budget"])
            for budget, balance in standing:
                family.add_metric([budget], figure(balance) / PICO)
            yield family
        yield CounterMetricFamily("headgate_alerts", "Alerts that this process has told.", alerts.told)
        yield CounterMetricFamily(
            "headgate_exceeded_holds", "Attempts that cost more than was held for them.", alerts.exceeded
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

    def _label(self, name: Name) -> Name:
        return name if name in self._gate.configured else (name[0], OTHER)
