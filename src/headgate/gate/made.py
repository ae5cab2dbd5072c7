"""All of a gate that its configuration decides, made at once and exchanged as a whole.

Decides what is made of a configuration, and what of the one before goes on: simulators and connections whose settings
are the same, what policies have learned of their targets. Refuses to know what outlasts every configuration (the
books, the rates, the clock: `Ground`), and when configurations change.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from headgate.catalog.abilities import Abilities
from headgate.catalog.prices import Prices
from headgate.catalog.tokens import Tokens
from headgate.core.attempt import Attempt
from headgate.core.clock import Chance, Clock
from headgate.core.errors import ConfigError
from headgate.gate import caching, makers, stack, wiring
from headgate.gate.batching import Batching
from headgate.gate.caps import Caps
from headgate.gate.config import Config
from headgate.gate.issuing import Issuer
from headgate.gate.offers import Offers
from headgate.gate.targets import configured
from headgate.gate.tasks import Start
from headgate.policies.meter import Meter
from headgate.policies.once.once import Once
from headgate.policies.pace.gauges import Gauges
from headgate.policies.route import Plan
from headgate.providers.provider import Provider
from headgate.providers.simulator import Simulator
from headgate.stores.blobs import Blobs
from headgate.stores.journal import FileJournal, MemoryJournal
from headgate.stores.keys import KeyBook
from headgate.stores.protocols import Ledger
from headgate.stores.purse import Purses
from headgate.stores.rates import Rates

STAYING = ("store", "shared", "journal", "retention_days", "apps", "alerts")
"""Sections that a gate cannot change while it runs."""
STAYING_OF_SERVER = {"admin_key"}
"""What of `server` can change."""


class Ground(NamedTuple):
    """What outlasts every configuration of a gate."""

    clock: Clock
    chance: Chance
    journal: FileJournal | MemoryJournal
    ledger: Ledger
    keys: KeyBook
    tokens: Tokens
    meter: Meter
    once: Once
    blobs: Blobs
    purses: Purses
    rates: Rates
    gauges: Gauges
    start: Start
    instance: str
    exceeded: Callable[[str, Attempt, int], None]


class Made:
    """What was made of one configuration.

    Args:
        config: the configuration.
        prices: what its models cost, loaded.
        ground: what outlasts it.
        former: what was made of the one before.

    Raises:
        ConfigError: something that it names cannot be used.
    """

    def __init__(self, config: Config, prices: Prices, ground: Ground, former: "Made | None" = None) -> None:
        same = frozenset[str]() if former is None else _same(former.config, config)
        self.config: Config = config
        self.simulators: Mapping[str, Simulator] = {
            name: former.simulators[name] if former and name in same else wiring.simulator(provider, ground.clock)
            for name, provider in config.providers.items()
            if provider.type == "simulator"
        }
        going_on = {name: former.providers[name] for name in same} if former else {}
        self.providers: Mapping[str, Provider] = wiring.providers(
            config, ground.clock, self.simulators, ground.instance, going_on
        )
        self.plans: Mapping[str, Plan] = wiring.plans(config)
        self.default = _default_model(config)
        self.configured = configured(self.plans, self.default)
        self.offers = Offers(self.plans, prices.catalog, makers.makers(config))
        self.caps = Caps(config.budgets, ground.clock)
        self.issuer = Issuer(config, ground.keys, ground.clock, ground.chance)
        self.cache = caching.cache(config, ground.blobs, ground.clock, ground.start, ground.journal)
        if former is not None:
            self.cache.carry(former.cache)
        parts = stack.Parts(
            config=config,
            clock=ground.clock,
            chance=ground.chance,
            journal=ground.journal,
            prices=prices,
            catalog=prices.catalog,
            tokens=ground.tokens,
            providers=self.providers,
            plans=self.plans,
            configured=self.configured,
            abilities=Abilities(prices.catalog, makers.makers(config)),
            meter=ground.meter,
            once=ground.once,
            cache=self.cache,
            owners=ground.ledger.owners,
            caps=self.caps,
            purses=ground.purses,
            rates=ground.rates,
            gauges=ground.gauges,
            exceeded=ground.exceeded,
            start=ground.start,
        )
        self.stack: stack.Stack = stack.Stack(parts, None if former is None else former.stack)
        self.batching = Batching(parts, self.stack.fitted, ground.ledger)

    def left(self, after: "Made") -> list[tuple[Provider, float]]:
        """The providers that a later configuration does not go on with, and how many seconds their answers may take."""
        return [
            (provider, self.config.providers[name].timeout.total)
            for name, provider in self.providers.items()
            if after.providers.get(name) is not provider
        ]


def prices(config: Config) -> Prices:
    """What the models of a configuration cost; to be loaded."""
    return Prices(wiring.catalog(config), unknown=config.policies.budget.unknown_price or "allow")


def journal(config: Config, chance: Chance) -> FileJournal | MemoryJournal:
    """The journal that a configuration names."""
    if config.store == wiring.MEMORY:
        return MemoryJournal()
    return FileJournal(
        Path(config.journal.path),
        chance=chance,
        fsync=config.journal.fsync,
        max_backlog=int(config.journal.max_backlog_mb * 1_000_000),
    )


def check_staying(before: Config, after: Config) -> None:
    """See that nothing changes that cannot change while the gate runs.

    Raises:
        ConfigError: something does; the message names it.
    """
    changed = [name for name in STAYING if getattr(before, name) != getattr(after, name)]
    old, new = before.server.model_dump(exclude=STAYING_OF_SERVER), after.server.model_dump(exclude=STAYING_OF_SERVER)
    changed += [f"server.{name}" for name in old if old[name] != new[name]]
    held = (
        ("policies.on_shared_store_lost", before.policies.on_shared_store_lost, after.policies.on_shared_store_lost),
        ("policies.idempotency", before.policies.idempotency, after.policies.idempotency),
        ("policies.cache.max_mb", before.policies.cache.max_mb, after.policies.cache.max_mb),
    )
    changed += [name for name, was, would_be in held if was != would_be]
    if changed:
        names = ", ".join(f"`{name}`" for name in changed)
        raise ConfigError(
            f"{names} cannot change while the gateway runs; everything stays as it was.", hint="Start it anew."
        )


def _same(before: Config, after: Config) -> frozenset[str]:
    """The providers whose settings are the same."""
    return frozenset(name for name, one in after.providers.items() if before.providers.get(name) == one)


def _default_model(config: Config) -> str | None:
    default = config.models.get("default")
    return default if isinstance(default, str) else "default" if default is not None else None
