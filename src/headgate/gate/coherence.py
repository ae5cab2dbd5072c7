"""Whether the settings fit together.

Decides what no single setting can tell: names that must exist, things that need each other, settings that would be
without effect where they stand. Refuses to know where settings were written and which of them are usable today.
"""

from collections.abc import Iterator
from decimal import Decimal
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from headgate.catalog.models import CAPABILITIES, Catalog
from headgate.gate.config import Config, Route
from headgate.gate.config_providers import Provider
from headgate.gate.guarding import senseless
from headgate.gate.problems import Path, Problem, nearest, shown
from headgate.providers.simulator.models import MODELS as SIMULATED

ANY = "*"
"""The route of every name that has none of its own."""
DEFAULT = "default"
"""The entry of `models` that names the model of a call that names none."""

_HOSTED_ONLY = ("api_key", "base_url", "headers", "organization", "project", "proxy", "ca_bundle")
_SIMULATOR_ONLY = ("seed", "latency", "limit_headers", "faults", "batch", "background", "quality")
_LOCAL_ONLY = ("model_file",)
_FOREIGN = {
    "simulator": (*_HOSTED_ONLY, *_LOCAL_ONLY),
    "local": (*_HOSTED_ONLY, *_SIMULATOR_ONLY),
}
_WHOSE = ("project", "key", "user", "model", "tag")
LEAST_USD, MOST_USD = Decimal("0.000000000001"), 9_000_000
"""Of a budget: a picodollar, and what 64 bits of them have room for."""
_THE_CALLS = ("model", "stream", "stream_options")
_STORES = ("sqlite:///", "postgresql://", "memory://")
_SHARED = ("memory://", "redis://", "rediss://", "unix://")


def routes(config: Config) -> dict[str, Route]:
    """The names that have a route of their own in the configuration."""
    return {name: route for name, route in config.models.items() if isinstance(route, Route)}


def auth(config: Config) -> Literal["none", "keys"]:
    """Who may call: what the configuration says, else anybody on loopback and holders of a key elsewhere."""
    return config.server.auth or ("none" if is_loopback(config.server.host) else "keys")


def incoherent(config: Config) -> list[Problem]:
    """What does not fit together."""
    parts = (
        _stores, _server, _providers, _models, _keys, _keys_models, _budgets, _alerts, _catalog, senseless, _apps,
    )  # fmt: skip
    return [problem for part in parts for problem in part(config)]


def idle(config: Config) -> list[str]:
    """Settings that are allowed and have no effect where they stand, one sentence each."""
    found = [
        f"`providers.{name}.{part}` has no effect without `providers.{name}.model`."
        for name, provider in config.providers.items()
        for part in ("priority", "weight")
        if provider.model is None and part in provider.model_fields_set
    ]
    if config.keys and auth(config) == "none":
        found.append("`keys` are not asked for: `server.auth` is `none`, the default on a loopback address.")
    if config.alerts.secret and not config.alerts.webhook:
        found.append("`alerts.secret` has no effect without `alerts.webhook`.")
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _server(config: Config) -> Iterator[Problem]:
    if "*" in config.server.cors.origins and auth(config) == "none":
        yield Problem(
            path=("server", "cors", "origins"),
            text="is `*`, and nobody is asked for a key: any page that somebody visits could spend money.",
            hint="Name the origins, or set `server.auth: keys`.",
        )


def _stores(config: Config) -> Iterator[Problem]:
    store, shared = config.store, config.shared
    path = store.removeprefix("sqlite:///") if store.startswith("sqlite:///") else None
    if not store.startswith(_STORES) or path == "" or (store.startswith("memory://") and store != "memory://"):
        text = f"is {shown(store)}, but must be `sqlite:///path`, `postgresql://…` or `memory://`."
        yield Problem(path=("store",), text=text)
    if not shared.startswith(_SHARED) or (shared.startswith("memory://") and shared != "memory://"):
        yield Problem(path=("shared",), text=f"is {shown(shared)}, but must be `memory://` or `redis://…`.")
    elif shared != "memory://" and not _leads_somewhere(shared):
        hint = "It looks like `redis://user:password@host:6379/0` (a `/` in the password is `%2F`), or `unix:///path`."
        yield Problem(path=("shared",), text=f"is {shown(shared)}, which is no address of a Redis.", hint=hint)
    if config.server.workers > 1 and {store, shared} & {"memory://", "sqlite:///:memory:"}:
        yield Problem(
            path=("server", "workers"),
            text=f"is {config.server.workers}, but the processes could not share `memory://`.",
            hint="Set `shared` and `store` to something that more than one process can reach.",
        )


def _leads_somewhere(shared: str) -> bool:
    """Whether an address has a port and a database that can be; the driver takes others for the usual ones."""
    try:
        parts = urlsplit(shared)
        if parts.scheme == "unix":
            return parts.hostname is None and len(parts.path) > 1
        return parts.port != 0 and not parts.path.strip("/").strip("0123456789")
    except ValueError:
        return False


def _providers(config: Config) -> Iterator[Problem]:
    for name, provider in config.providers.items():
        if not name or not name.isascii() or not name.isprintable() or " " in name:
            text = "is not a name for a provider: it travels in a header."
            yield Problem(path=("providers", name), text=text, hint="Use letters, digits, `-`, `_` and `.`.")
        for part in [part for part in _THE_CALLS if part in provider.defaults]:
            text = "is decided by each call; a default would contradict it."
            yield Problem(path=("providers", name, "defaults", part), text=text, hint="Leave it out.")
        for model in [model for model in provider.quality if model not in SIMULATED]:
            text = f"names {shown(model)}, which no model of the simulator is called."
            yield Problem(path=("providers", name, "quality"), text=text, hint=nearest(model, SIMULATED))
        for part in _foreign(provider):
            text = f"has no effect on a provider of type `{provider.type}`."
            yield Problem(path=("providers", name, part), text=text, hint="Leave it out.")


def _foreign(provider: Provider) -> list[str]:
    foreign = _FOREIGN.get(provider.type, (*_SIMULATOR_ONLY, *_LOCAL_ONLY))
    found = [part for part in foreign if part in provider.model_fields_set]
    # `responses: false` is what it is.
    return [*found, "responses"] if provider.type == "local" and provider.responses else found


def _models(config: Config) -> Iterator[Problem]:
    known = routes(config)
    for name, route in config.models.items():
        if isinstance(route, str) and name != DEFAULT:
            text = "must be a mapping with `targets`; only `default` is a name."
            yield Problem(path=("models", name), text=text)
    for name, route in known.items():
        for number, target in enumerate(route.targets):
            if target.provider not in config.providers:
                at: Path = ("models", name, "targets", number, "provider")
                text = f"is {shown(target.provider)}, but there is no such provider."
                yield Problem(path=at, text=text, hint=nearest(target.provider, config.providers) or _list(config))
    default = config.models.get(DEFAULT)
    short = {provider.model for provider in config.providers.values()}
    # Without routes of its own the configuration gets `*`, which takes any name.
    if isinstance(default, str) and known and ANY not in known and default not in {*known, *short}:
        hint = nearest(default, known) or "Name an entry of `models`, or add one named `*`."
        yield Problem(
            path=("models", DEFAULT), text=f"is {shown(default)}, but no such model is configured.", hint=hint
        )


def _names(config: Config) -> set[str] | None:
    """The names that may be asked for; None where any may."""
    known = routes(config)
    short = {provider.model for provider in config.providers.values() if provider.model}
    return {*known, *short, *([DEFAULT] if short else [])} if known and ANY not in known else None


def _keys_models(config: Config) -> Iterator[Problem]:
    names = _names(config)
    for number, key in enumerate(config.keys):
        for index, name in enumerate(key.models or ()):
            at: Path = ("keys", number, "models", index)
            if name == ANY:
                hint = "Leave `models` out: the key may then ask for all of them."
                yield Problem(path=at, text="is no model.", hint=hint)
            elif names is not None and name not in names:
                text = f"is {shown(name)}, but no such model is configured."
                yield Problem(path=at, text=text, hint=nearest(name, names) or "Name an entry of `models`.")


def _apps(config: Config) -> Iterator[Problem]:
    name, names = config.apps.generate.model, _names(config)
    if name is not None and names is not None and name not in names:
        text = f"is {shown(name)}, but no such model is configured."
        hint = nearest(name, names) or "Name an entry of `models`."
        yield Problem(path=("apps", "generate", "model"), text=text, hint=hint)


def _list(config: Config) -> str:
    return f"There are: {', '.join(config.providers)}." if config.providers else "Add it under `providers`."


def _keys(config: Config) -> Iterator[Problem]:
    for part in ("name", "sha256"):
        seen: dict[str, int] = {}
        for number, key in enumerate(config.keys):
            first = seen.setdefault(getattr(key, part), number)
            if first != number:
                text = f"is the same as `keys[{first}].{part}`."
                yield Problem(path=("keys", number, part), text=text, hint="Each key has its own.")
    for number, key in enumerate(config.keys):
        if key.limits is not None and key.limits.group is not None:
            text = "has no effect on a key: its limits are for all models together."
            yield Problem(path=("keys", number, "limits", "group"), text=text, hint="Leave it out.")
    # More of them may come at any time, where they are kept.
    if auth(config) == "keys" and not config.keys and config.store == "memory://":
        host = config.server.host
        asks = (
            f"asks callers of {host!r} for a key"
            if "auth" in config.server.model_fields_set
            else f"is `keys` by default for {host!r}, which is not loopback"
        )
        yield Problem(
            path=("server", "auth"),
            text=f"{asks}, but there are no `keys`, and `store` keeps none.",
            hint="Set `store` and run `headgate keys create`, or add one under `keys`, or set `server.auth: none`.",
        )


def _budgets(config: Config) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for number, budget in enumerate(config.budgets):
        first = seen.setdefault(budget.name, number)
        if first != number:
            text = f"is the same as `budgets[{first}].name`."
            yield Problem(path=("budgets", number, "name"), text=text, hint="Each budget has its own.")
        if not budget.name or ":" in budget.name or budget.name == "key" or not budget.name.isprintable():
            text = (
                f"is {shown(budget.name)}: a colon stands between a budget and whose it is, and `key` is the keys' own."
            )
            yield Problem(path=("budgets", number, "name"), text=text, hint="Give it another name, without a colon.")
        for part in [part for part in _WHOSE if part != budget.scope and getattr(budget, part) is not None]:
            text = f"has no effect on a budget whose `scope` is `{budget.scope}`."
            yield Problem(path=("budgets", number, part), text=text, hint="Leave it out, or set `scope` to it.")
        if budget.scope == "tag" and not (budget.tag or "").partition("=")[0]:
            text = "is missing: the budget would be nobody's."
            hint = "Write `name=value`, or `name` for a sum for each value."
            yield Problem(path=("budgets", number, "tag"), text=text, hint=hint)
        if not LEAST_USD <= budget.limit_usd <= MOST_USD:
            text = f"is {budget.limit_usd}, but must be between {LEAST_USD} and {MOST_USD:,}."
            yield Problem(path=("budgets", number, "limit_usd"), text=text)
        if not _is_zone(budget.time_zone):
            text = f"is {shown(budget.time_zone)}, and no such time zone is known."
            hint = "Write it as `Europe/Berlin`; where the system knows none, `pip install tzdata`."
            yield Problem(path=("budgets", number, "time_zone"), text=text, hint=hint)


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        return False
    return True


def _alerts(config: Config) -> Iterator[Problem]:
    address = config.alerts.webhook.reveal()
    try:
        parts = urlsplit(address)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and " " not in address
    except ValueError:
        sound = False
    if address and not sound:
        # It may hold a token, so it is not repeated.
        hint = "Write it as https://hooks.example.com/alerts."
        yield Problem(path=("alerts", "webhook"), text="is no address.", hint=hint)


def _catalog(config: Config) -> Iterator[Problem]:
    known = Catalog()
    for name, model in config.catalog.models.items():
        if model.base is not None and known.shipped(model.base) is None:
            hint = nearest(model.base, known.facts.models) or "`headgate models --all` lists those that are known."
            text = f"is {shown(model.base)}, but nothing is known of such a model."
            yield Problem(path=("catalog", "models", name, "base"), text=text, hint=hint)
        for number, capability in enumerate(model.capabilities):
            if capability not in CAPABILITIES:
                at: Path = ("catalog", "models", name, "capabilities", number)
                hint = nearest(capability, CAPABILITIES) or f"There are: {', '.join(sorted(CAPABILITIES))}."
                yield Problem(path=at, text=f"is {shown(capability)}, which is no capability.", hint=hint)
