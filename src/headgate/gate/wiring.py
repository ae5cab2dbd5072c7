"""From settings to parts: which provider a setting makes, and which routes it opens.

Decides how the words of the configuration become objects; refuses to know what these objects do.
"""

import ssl
import sys
from collections.abc import Mapping
from pathlib import Path

from headgate.catalog.models import Catalog, Own
from headgate.core.call import Target, Timeouts
from headgate.core.clock import Chance, Clock
from headgate.core.errors import ConfigError
from headgate.core.limits import Limits
from headgate.core.secret import Secret
from headgate.gate import config as settings
from headgate.gate import config_providers as settings_of
from headgate.gate.tasks import Start
from headgate.gate.usable import OPENAI
from headgate.gate.webhook import Webhook
from headgate.policies.once.made import Settings
from headgate.policies.once.once import Once
from headgate.policies.route import Plan
from headgate.providers.hosted import Hosted
from headgate.providers.http import HttpTransport
from headgate.providers.local.local import Local
from headgate.providers.local.model import check
from headgate.providers.local.process import Address, Process
from headgate.providers.provider import Provider
from headgate.providers.simulator import Batch, Fault, Latency, Simulator, SimulatorTransport
from headgate.providers.simulator import Limits as Allowed
from headgate.providers.transport import Transport
from headgate.stores.blobs import Blobs
from headgate.stores.memory_blobs import MOST_BYTES, MemoryBlobs
from headgate.stores.memory_rates import MemoryRates
from headgate.stores.protocols import Ledger
from headgate.stores.rates import Rates
from headgate.stores.sqlite import SqliteLedger
from headgate.stores.sqlite_blobs import SqliteBlobs

MEMORY = "memory://"
"""The store of a gate that keeps nothing."""
SQLITE = "sqlite:///"
ANSWERS = "-answers"
"""What the name of the file of answers ends with, beside that of the ledger."""
_NONE: Mapping[str, Provider] = {}


def ledger(store: str, keep_days: int | None = None) -> Ledger:
    """The books that a setting names, and for how long they keep single attempts. Nothing is opened yet.

    Raises:
        ConfigError: it names a Postgres, and what speaks to one is not installed.
    """
    if not store.startswith("postgresql://"):
        return SqliteLedger(":memory:" if store == MEMORY else store.removeprefix("sqlite:///"), keep_days=keep_days)
    try:
        from headgate.stores.postgres import PostgresLedger  # noqa: PLC0415  an extra
    except ImportError as error:
        message = f"`store` names a Postgres, but its driver cannot be loaded: {error}."
        raise ConfigError(message, hint="Run `pip install 'headgate[postgres]'`.") from None
    return PostgresLedger(store, keep_days=keep_days)


def plans(config: settings.Config) -> dict[str, Plan]:
    """The routes by the name that callers use. The configuration was checked: every provider exists."""
    found: dict[str, Plan] = {}
    for name, route in config.models.items():
        if isinstance(route, str):
            continue
        targets = tuple(Target(t.provider, t.model, t.weight, t.priority) for t in route.targets)
        found[name] = Plan(targets, route.strategy)
    return found


def limits(allowed: settings_of.Limits) -> Limits:
    """What a provider or a key allows, in the house's words."""
    return Limits(
        requests_per_minute=allowed.requests_per_minute,
        tokens_per_minute=allowed.tokens_per_minute,
        input_tokens_per_minute=allowed.input_tokens_per_minute,
        output_tokens_per_minute=allowed.output_tokens_per_minute,
        concurrency=allowed.concurrency,
        sliding=allowed.window == "sliding",
        spread=allowed.spread,
    )


def rates(config: settings.Config, clock: Clock, chance: Chance, start: Start) -> Rates:
    """The store of rates. Nothing is connected yet.

    Args:
        config: what is wanted.
        clock: tells the time.
        chance: names this process.
        start: starts what goes on behind the scenes.

    Raises:
        ConfigError: its driver is not installed, or its address is none.
    """
    if config.shared == "memory://":
        return MemoryRates(clock)
    try:
        from headgate.stores.redis_rates import RedisRates  # noqa: PLC0415  an extra, which few need
    except ImportError as error:
        message = f"`shared` names a Redis, and the package {error.name!r}, which talks to it, is not installed."
        raise ConfigError(message, hint="`pip install 'headgate[redis]'`, or set `shared: memory://`.") from None
    return RedisRates(
        config.shared,
        clock=clock,
        chance=chance,
        start=start,
        lost=config.policies.on_shared_store_lost,
        processes=config.server.workers,
    )


def blobs(config: settings.Config, clock: Clock, start: Start) -> Blobs:
    """The store of answers: shared by machines, by the processes of this one, or by nobody. Nothing is opened yet."""
    most = int(config.policies.cache.max_mb * 1_000_000)
    if config.shared != MEMORY:
        from headgate.stores.redis_blobs import RedisBlobs  # noqa: PLC0415  an extra; `rates` says if it is missing

        return RedisBlobs(config.shared, clock=clock, start=start, most=most)
    if config.store.startswith(SQLITE):
        return SqliteBlobs(config.store.removeprefix(SQLITE) + ANSWERS, clock, most)
    return MemoryBlobs(clock, min(most, MOST_BYTES))


def once(config: settings.Config, blobs: Blobs, clock: Clock, chance: Chance, start: Start) -> Once:
    """What makes calls once that carry an `Idempotency-Key`."""
    return Once(blobs, idempotency(config), clock=clock, chance=chance, start=start)


def idempotency(config: settings.Config) -> Settings:
    """What is chosen of them."""
    chosen = config.policies.idempotency
    return Settings(keep=chosen.keep, most=int(chosen.max_answer_mb * 1e6), on_store_lost=chosen.on_store_lost)


def webhook(config: settings.Config, clock: Clock, chance: Chance, start: Start) -> Webhook | None:
    """Whom alerts are told to; None where nobody is named. Nothing is connected yet."""
    alerts = config.alerts
    if not alerts.webhook:
        return None
    return Webhook(
        alerts.webhook, alerts.secret, transport=HttpTransport(clock=clock), clock=clock, chance=chance, start=start
    )


def catalog(config: settings.Config) -> Catalog:
    """What is known of models, the user's own facts included. Nothing is read yet."""
    return Catalog(
        {
            name: Own(
                base=own.base,
                input=own.input_usd_per_million,
                cached=own.cached_input_usd_per_million,
                output=own.output_usd_per_million,
                context=own.context,
                max_output=own.max_output,
                # An empty list says that it can do nothing; silence says nothing.
                capabilities=frozenset(own.capabilities) if "capabilities" in own.model_fields_set else None,
            )
            for name, own in config.catalog.models.items()
        }
    )


def simulator(provider: settings_of.Provider, clock: Clock) -> Simulator:
    """The simulator that a provider of that type talks to."""
    allowed = provider.limits.model_dump(exclude={"window", "spread"}) if provider.limits else {}
    return Simulator(
        clock=clock,
        seed=provider.seed,
        latency=Latency(**provider.latency.model_dump()),
        limits=Allowed(**allowed, headers=provider.limit_headers),
        faults=[Fault(**fault.model_dump()) for fault in provider.faults],
        batch=Batch(**provider.batch.model_dump(), tokens=provider.batch_tokens),
        background=provider.background,
        quality=provider.quality,
    )


def providers(
    config: settings.Config,
    clock: Clock,
    simulators: Mapping[str, Simulator],
    hop: str,
    going_on: Mapping[str, Provider] = _NONE,
) -> dict[str, Provider]:
    """Every provider of the configuration, ready to be called; those that go on, as they are. Nothing is connected."""
    return {
        name: going_on.get(name) or _provider(name, provider, clock, simulators.get(name), hop)
        for name, provider in config.providers.items()
    }


def _provider(
    name: str, provider: settings_of.Provider, clock: Clock, simulated: Simulator | None, hop: str
) -> Provider:
    def hosted(transport: Transport, base_url: str, api_key: Secret) -> Hosted:
        return Hosted(
            name,
            transport,
            clock=clock,
            base_url=base_url,
            api_key=api_key,
            headers=_headers(provider),
            responses=bool(provider.responses),
            timeouts=timeouts(provider),
            simulated=simulated is not None,
            hop=hop,
        )

    if provider.type == "local":

        def speaker(at: Address) -> Hosted:
            return hosted(HttpTransport(clock=clock), f"http://127.0.0.1:{at.port}/v1", at.key)

        process = Process(_worker(name, provider), clock=clock)
        return Local(name, process, speaker, clock=clock, timeouts=timeouts(provider))
    key = provider.api_key or Secret("")
    if simulated:
        return hosted(SimulatorTransport(simulated), "http://simulator/v1", key)
    transport = HttpTransport(clock=clock, tls=_tls(name, provider.ca_bundle), proxy=provider.proxy)
    return hosted(transport, provider.base_url or OPENAI, key)


def timeouts(provider: settings_of.Provider) -> Timeouts:
    """How long one attempt at a provider may take."""
    timeout = provider.timeout
    return Timeouts(
        connect=timeout.connect, first_token=timeout.first_token, silence=timeout.silence, total=timeout.total
    )


def _worker(name: str, provider: settings_of.Provider) -> list[str]:
    """The command of the child process that runs a model.

    Raises:
        ConfigError: there is no model file, or nothing that runs it.
    """
    assert provider.model_file is not None, "loading fills it in"
    assert provider.model is not None, "ditto"
    check(f"providers.{name}", Path(provider.model_file))
    # `-P`: what happens to lie in the folder that we were started in is not what we want to import.
    module = [sys.executable, "-P", "-m", "headgate.providers.local.worker"]
    return [*module, "--model", provider.model_file, "--name", provider.model]


def _headers(provider: settings_of.Provider) -> dict[str, Secret]:
    headers = {name.lower(): value for name, value in provider.headers.items()}
    if provider.organization:
        headers["openai-organization"] = Secret(provider.organization)
    if provider.project:
        headers["openai-project"] = Secret(provider.project)
    return headers


def _tls(name: str, ca_bundle: str | None) -> ssl.SSLContext | None:
    """The certificate authorities to trust; None for the system's."""
    if ca_bundle is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca_bundle)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"providers.{name}.ca_bundle: {ca_bundle!r} cannot be read: {error}.",
            hint="Name a PEM file of certificate authorities.",
        ) from None
