"""`/metrics`: how the gate stands, in the words of Prometheus.

Decides names, labels and help texts, which docs/watching.md lists; refuses to know how anything is counted
(`figures.py`). Everything is read when somebody asks, so that a page costs a call nothing. Of several workers at one
address each tells of all of them (`beside.py`).
"""

import asyncio
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import accumulate
from operator import attrgetter
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from headgate.core.clock import Clock
from headgate.core.counts import BOUNDS, Counts, Spread
from headgate.core.money import PICO
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemClock
from headgate.server.beside import Beside
from headgate.server.figures import Figures, Reader

Labels = tuple[str, ...]
_TARGET = ("provider", "model")
_KINDS: dict[str, Any] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}
_MARKS = [*(f"{bound:g}" if bound < 1 else f"{bound:.1f}" for bound in BOUNDS), "+Inf"]


class Metrics:
    """The page.

    Args:
        gate: what is told of.
        worker: which of several processes at one address this is; figures are labelled with whose they are. It tells
            the others from then on, where a loop runs.
        clock: tells how fresh the figures of the others are.
    """

    def __init__(self, gate: Gate, worker: int | None = None, *, clock: Clock | None = None) -> None:
        beside = None
        reader = Reader(gate, partial(_process, ProcessCollector(registry=None)))
        if worker is not None:
            folder = Path(gate.config.journal.path, "figures")
            beside = Beside(folder, worker, gate.config.server.workers, reader.read, clock or SystemClock())
            beside.keep_telling(asyncio.get_running_loop())
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Page(gate, reader, beside))

    def page(self, accept: str) -> tuple[bytes, str]:
        """The body and its content type.

        Args:
            accept: the formats that the reader takes, as its header `Accept` says.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


def _process(collector: Collector) -> dict[str, float]:
    """The system's own figures of this process; nothing where it has none."""
    samples = [one for family in collector.collect() for one in family.samples]
    return {one.name: one.value for one in samples if math.isfinite(one.value)}


class _Family:
    """One metric of all processes that are told of.

    Args:
        kind: `counter`, `gauge` or `histogram`.
        name: its name, without `headgate_` and `_total`.
        told: its help text.
        labels: the names of its labels.
        among: whether there are several processes.
    """

    def __init__(self, kind: str, name: str, told: str, labels: Labels, *, among: bool) -> None:
        own = ("worker",) if among else ()
        self.metric: Any = _KINDS[kind](f"headgate_{name}", told, labels=(*labels, *own))

    def add(self, worker: Labels, found: Any) -> None:
        """What one process tells: one figure, or figures by labels."""
        figures: Mapping[Any, Any] = found if isinstance(found, Mapping) else {(): found}
        for labels, figure in figures.items():
            names = ((labels,) if isinstance(labels, str) else labels) + worker
            if isinstance(figure, Spread):
                buckets = [*zip(_MARKS, accumulate(figure.counts), strict=True)]
                self.metric.add_metric(names, buckets, sum_value=figure.seconds)
            else:
                self.metric.add_metric(names, figure)


class _Page(Collector):
    """Reads at each scrape."""

    def __init__(self, gate: Gate, reader: Reader, beside: Beside | None) -> None:
        self._gate = gate
        self._reader = reader
        self._beside = beside

    def collect(self) -> Iterator[Metric]:
        """Every figure, as it is now."""
        if self._beside is None:
            yield from _told({(): self._reader.read()})
        else:
            all_ = self._beside.all()
            yield from _told({(str(number),): figures for number, (figures, _) in sorted(all_.items())})
            told = "Whether a worker has told of itself lately."
            up = GaugeMetricFamily("headgate_worker_up", told, labels=["worker"])
            for number, (_, fresh) in sorted(all_.items()):
                up.add_metric([str(number)], int(fresh))
            yield up
        yield from self._budgets()

    def _budgets(self) -> Iterator[Metric]:
        """Budgets of the configuration that are one sum, as they stood a few seconds ago: of all processes."""
        standing = self._gate.alerts.standing.items()
        for name, told, figure in (
            ("spent", "What is on the books of a budget in its window.", attrgetter("spent")),
            ("held", "What processes hold of it, or have spent and not booked yet.", attrgetter("lent")),
            ("limit", "The budget.", attrgetter("cap.limit")),
        ):
            family = GaugeMetricFamily(f"headgate_budget_{name}_usd", told, labels=["budget"])
            for budget, balance in standing:
                family.add_metric([budget], figure(balance) / PICO)
            yield family


def _told(processes: Mapping[Labels, Figures]) -> Iterator[Metric]:
    """The metrics of processes."""
    each = {worker: _figures(figures) for worker, figures in processes.items()}
    among = any(each)
    for kind, name, told, labels in _NAMES:
        family = _Family(kind, name, told, labels, among=among)
        for worker, figures in each.items():
            if figures[name] is not None:
                family.add(worker, figures[name])
        yield family.metric
    yield from _processes(processes, among=among)


_NAMES: tuple[tuple[str, str, str, Labels], ...] = (
    ("counter", "calls", "Calls of callers that have ended.", ("model",)),
    ("counter", "errors", "Those of them that failed, were refused or were left.", ("code",)),
    ("gauge", "in_flight", "Calls of callers under way.", ()),
    ("histogram", "latency_seconds", "From a call to its end.", ("model",)),
    ("histogram", "first_token_seconds", "From a call to the first word of its stream.", ("model",)),
    ("counter", "cache", "Calls by what the cache did for them.", ("result",)),
    ("counter", "guard_verdicts", "What rules of the guard said.", ("rule", "side", "action")),
    ("counter", "attempts", "Attempts that have ended, by how they are settled.", (*_TARGET, "settled")),
    ("counter", "attempt_errors", "Those of them that failed.", (*_TARGET, "code")),
    ("histogram", "attempt_seconds", "From an attempt's leaving to its end.", _TARGET),
    ("histogram", "queue_wait_seconds", "What attempts waited for the limits of their target.", _TARGET),
    ("counter", "fallbacks", "Calls that went on from a target to another one.", _TARGET),
    ("counter", "tokens", "Tokens, reported or counted.", (*_TARGET, "direction")),
    ("counter", "cost_usd", "What attempts cost, where it is known.", _TARGET),
    ("counter", "unpriced_attempts", "Billed attempts whose price is not known.", _TARGET),
    ("gauge", "breaker_state", "0: closed, 1: half open, 2: open and resting.", _TARGET),
    ("counter", "breaker_rests", "How often a target failed too often and was left alone.", _TARGET),
    ("gauge", "pace_waiting", "Attempts that wait for a target's limits.", _TARGET),
    ("gauge", "limit", "The limit that the provider's headers tell.", (*_TARGET, "kind")),
    ("gauge", "limit_left", "What should be left of it now.", (*_TARGET, "kind")),
    ("gauge", "shared_store_up", "Whether the store of rates answers.", ()),
    ("gauge", "store_up", "Whether the ledger answered a few seconds ago.", ()),
    ("gauge", "journal_up", "Whether the journal can be written.", ()),
    ("gauge", "journal_backlog_bytes", "Journal that is not booked yet.", ()),
    ("counter", "alerts", "Alerts that were told.", ()),
    ("counter", "exceeded_holds", "Attempts that cost more than was held for them.", ()),
    ("gauge", "info", "1; its labels say what runs.", ("version", "generation")),
)


def _figures(now: Figures) -> dict[str, Any]:
    """What one process tells, by the names of `_NAMES`: a figure, figures by labels, or None for nothing."""
    return {
        **_counted(now.counts),
        "breaker_state": now.breakers,
        "pace_waiting": now.waiting,
        "limit": {name: limit for name, (limit, _) in now.limits.items()},
        "limit_left": {name: left for name, (_, left) in now.limits.items()},
        "shared_store_up": int(now.shared_up),
        "store_up": int(now.store_up),
        "journal_up": int(now.journal_up),
        "journal_backlog_bytes": now.backlog,
        "alerts": now.alerts,
        "exceeded_holds": now.exceeded,
        "info": {(now.version, now.generation): 1},
    }


def _counted(counts: Counts) -> dict[str, Any]:
    models, targets = sorted(counts.models.items()), sorted(counts.targets.items())
    return {
        "calls": {name: one.took.number for name, one in models},
        "errors": counts.codes,
        "in_flight": counts.in_flight,
        "latency_seconds": {name: one.took for name, one in models},
        "first_token_seconds": {name: one.first for name, one in models},
        "cache": counts.cache,
        "guard_verdicts": counts.verdicts,
        "attempts": {
            (*name, settled): getattr(one, settled)
            for name, one in targets
            for settled in ("billed", "not_billed", "unknown")
        },
        "attempt_errors": {(*name, code): number for name, one in targets for code, number in one.codes.items()},
        "attempt_seconds": {name: one.took for name, one in targets},
        "queue_wait_seconds": {name: one.waited for name, one in targets},
        "fallbacks": {name: one.fallbacks for name, one in targets},
        "tokens": {
            (*name, direction): number
            for name, one in targets
            for direction, number in (("input", one.prompt_tokens), ("output", one.completion_tokens))
        },
        "cost_usd": {name: one.cost / PICO for name, one in targets},
        "unpriced_attempts": {name: one.unpriced for name, one in targets},
        "breaker_rests": {name: one.rests for name, one in targets},
    }


def _processes(processes: Mapping[Labels, Figures], *, among: bool) -> Iterable[Metric]:
    """The system's own figures of processes, by the names that they have everywhere."""
    names = dict.fromkeys(name for figures in processes.values() for name in figures.process)
    for name in names:
        kind = _KINDS["counter" if name.endswith("_total") else "gauge"]
        told = name.removesuffix("_total").replace("_", " ").capitalize() + "."
        family = kind(name.removesuffix("_total"), told, labels=["worker"] if among else [])
        for worker, figures in processes.items():
            if name in figures.process:
                family.add_metric(worker, figures.process[name])
        yield family
