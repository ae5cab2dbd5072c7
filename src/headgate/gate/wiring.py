"""From settings to parts: which provider a setting makes, and which routes it opens.

Decides how the words of the configuration become objects; refuses to know what these objects do.
"""

import ssl
from collections.abc import Mapping

from headgate.core.call import Target, Timeouts
from headgate.core.clock import Clock
from headgate.core.errors import ConfigError
from headgate.core.secret import Secret
from headgate.gate import config as settings
from headgate.policies.route import Plan
from headgate.providers.hosted import Hosted
from headgate.providers.http import HttpTransport
from headgate.providers.provider import Provider
from headgate.providers.simulator import Fault, Latency, Limits, Simulator, SimulatorTransport
from headgate.providers.transport import Transport


def plans(config: settings.Config) -> dict[str, Plan]:
    """The routes by the name that callers use. The configuration was checked: every provider exists."""
    found: dict[str, Plan] = {}
    for name, route in config.models.items():
        if isinstance(route, str):
            continue
        if route.strategy not in {"priority", "weighted"}:  # pragma: no cover  refused when the file is loaded
            raise ConfigError(f"models.{name}.strategy: {route.strategy!r} is not built yet.")
        targets = tuple(Target(t.provider, t.model, t.weight, t.priority) for t in route.targets)
        found[name] = Plan(targets, "weighted" if route.strategy == "weighted" else "priority")
    return found


def simulator(provider: settings.Provider, clock: Clock) -> Simulator:
    """The simulator that a provider of that type talks to."""
    limits = provider.limits
    return Simulator(
        clock=clock,
        seed=provider.seed,
        latency=Latency(**provider.latency.model_dump()),
        limits=Limits(**limits.model_dump(exclude={"window", "spread"})) if limits else Limits(),
        faults=[Fault(**fault.model_dump()) for fault in provider.faults],
    )


def providers(
    config: settings.Config, clock: Clock, simulators: Mapping[str, Simulator], hop: str
) -> dict[str, Provider]:
    """Every provider of the configuration, ready to be called. Nothing is connected yet."""
    return {
        name: _provider(name, provider, clock, simulators.get(name), hop) for name, provider in config.providers.items()
    }


def _provider(name: str, provider: settings.Provider, clock: Clock, simulated: Simulator | None, hop: str) -> Provider:
    timeout = provider.timeout
    transport: Transport = (
        SimulatorTransport(simulated)
        if simulated
        else HttpTransport(clock=clock, tls=_tls(name, provider.ca_bundle), proxy=provider.proxy)
    )
    return Hosted(
        name,
        transport,
        clock=clock,
        base_url=provider.base_url or "http://simulator/v1",
        api_key=provider.api_key or Secret(""),
        headers=_headers(provider),
        responses=bool(provider.responses),
        timeouts=Timeouts(
            connect=timeout.connect, first_token=timeout.first_token, silence=timeout.silence, total=timeout.total
        ),
        defaults=provider.defaults,
        simulated=simulated is not None,
        hop=hop,
    )


def _headers(provider: settings.Provider) -> dict[str, Secret]:
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
