"""`headgate doctor --production`: the checklist of a launch, item by item.

Decides what each item wants to see and what cures it; refuses to know how drills are run and sums are made. An item
passes, fails with its cure, or cannot be judged: `no data` where nothing was called yet, `not available` where
headgate has no such feature.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from headgate.core.errors import ConfigError
from headgate.core.money import show_usd
from headgate.gate import drill
from headgate.gate.config import Config, Route
from headgate.gate.loaded import Loaded
from headgate.gate.summary import Summary
from headgate.gate.virtual import virtual_time
from headgate.policies.route import ANY

State = Literal["ok", "fail", "no data", "not available"]
DAY = 86400.0
SUCCESS, LATENCY_MS, HITS = 0.995, 2000.0, 0.7
"""What is watched for: requirement C16."""


class Item(NamedTuple):
    """One line of the checklist. A cure is told only where something is wrong."""

    part: str
    name: str
    state: State
    found: str
    cure: str = ""


def checklist(loaded: Loaded, summary: Summary | None) -> list[Item]:
    """Every item, in the order of the checklist.

    Args:
        loaded: the configuration.
        summary: what was called in the last day; None where the books could not be read.
    """
    config = loaded.config
    items = [_keys(loaded), _limits(config), _budget(config), _alerts(config)]
    with _quiet():
        items += [_breaker(config), _guard(config), _errors(config)]
    items += [_cache(config, summary), _dashboard(), _backup(config)]
    return [*items, *_watching(config, summary), *_saving(config)]


@contextmanager
def _quiet() -> Iterator[None]:
    """What a drill logs is no news."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _item(part: str, name: str, good: object, found: str, cure: str) -> Item:
    return Item(part, name, "ok" if good else "fail", found, "" if good else cure)


def _keys(loaded: Loaded) -> Item:
    """A key that came from a variable has that variable's name as its origin; one from the file has a line."""
    paths = [f"providers.{name}.api_key" for name, one in loaded.config.providers.items() if one.api_key]
    paths += ["server.admin_key"] if loaded.config.server.admin_key else []
    written = [path for path in paths if not loaded.from_environment(path)]
    cure = f"Write `{'`, `'.join(written)}` as `${{NAME}}`, and set the variable NAME where the gateway is started."
    found = f"{', '.join(written)}: written into {loaded.source}" if written else f"{len(paths)} from the environment"
    return _item("launch", "keys in the environment", not written, found, cure)


def _hosted(config: Config) -> dict[str, Any]:
    return {name: one for name, one in config.providers.items() if one.type not in {"simulator", "local"}}


def _limits(config: Config) -> Item:
    hosted = _hosted(config)
    without = [name for name, one in hosted.items() if one.limits is None]
    if not hosted:
        return Item(
            "launch",
            "limits set",
            "fail",
            "no provider but simulators and local models",
            "Configure one in `providers`.",
        )
    cure = f"Set `providers.{without[0] if without else 'NAME'}.limits`, such as `{{requests_per_minute: 1000}}`."
    found = f"{', '.join(without)}: none" if without else f"{', '.join(hosted)} have them"
    return _item("launch", "limits set", not without, found, cure)


def _budget(config: Config) -> Item:
    daily = [one for one in config.budgets if one.scope == "gateway"]
    told = ", ".join(f"{one.name}: ${one.limit_usd} a {one.window}" for one in config.budgets)
    cure = "Set `OPENAI_DAILY_BUDGET_USD`, or `budgets: [{name: all, scope: gateway, window: day, limit_usd: 100}]`."
    return _item("launch", "budget", daily, told or "none" if daily else "none for the whole gateway", cure)


def _alerts(config: Config) -> Item:
    silent = [one.name for one in config.budgets if not one.alert_at]
    if not config.budgets or silent:
        found = f"{', '.join(silent)}: no `alert_at`" if silent else "no budget that could alert"
        return Item("launch", "alerts", "fail", found, "Set `alert_at: [0.8, 1.0]` on each of `budgets`.")
    cure = "Set `alerts.webhook` to an address that somebody is woken by; until then alerts stand in log and metrics."
    return _item(
        "launch",
        "alerts",
        config.alerts.webhook,
        "posted to a webhook" if config.alerts.webhook else "only logged",
        cure,
    )


def _breaker(config: Config) -> Item:
    found = virtual_time(drill.breaker(config))
    return _item("launch", "breaker tried", found.good, found.found, "Look at `policies.breaker`.")


def _errors(config: Config) -> Item:
    found = virtual_time(drill.errors(config))
    return _item(
        "launch", "errors handled", found.good, found.found, "Look at `policies.retry`; this is a fault of headgate."
    )


def _guard(config: Config) -> Item:
    name, rules = "moderation chain tried", config.policies.guard
    moderated = any(rule.kind == "moderation" for rule in (*rules.input, *rules.output))
    if not moderated or not rules.input:
        cure = "Set `policies.guard`, such as `{input: [{kind: moderation}], output: [{kind: secrets, action: mask}]}`."
        found = "no rules for input" if not rules.input else "no moderation"
        return Item("launch", name, "fail", found, cure)
    try:
        found_ = virtual_time(drill.guard(config))
    except ConfigError as error:
        return Item("launch", name, "fail", error.message, error.hint)
    return _item("launch", name, found_.good, found_.found, "Look at `policies.guard.input`.")


def _routes(config: Config) -> dict[str, Route]:
    return {name: one for name, one in config.models.items() if not isinstance(one, str)}


def _cached(config: Config) -> dict[str, float]:
    """The routes whose answers are kept, and for how many seconds."""
    general = config.policies.cache
    own = {name: route.cache for name, route in _routes(config).items()}
    return {
        name: general.ttl if cache is None or cache.ttl is None else cache.ttl
        for name, cache in own.items()
        if (general.enabled if cache is None else cache.enabled)
    }


def _cache(config: Config, summary: Summary | None) -> Item:
    cached = _cached(config)
    rate = "" if summary is None or not summary.calls else f"; {summary.hit_rate:.1%} of a day's calls were hits"
    found = f"on for {', '.join(cached)}{rate}" if cached else "off"
    return _item(
        "launch", "cache", cached, found, "Set `cache: true` on a route of `models`, or `policies.cache.enabled`."
    )


def _dashboard() -> Item:
    return Item("launch", "dashboard", "not available", "headgate has no dashboard yet; `/metrics` and `/health` stand")


def _backup(config: Config) -> Item:
    alone = [name for name, one in _routes(config).items() if len({target.provider for target in one.targets}) < 2]
    which = f"`models.{alone[0]}.targets`" if alone else "`targets`"
    cure = f"Add a target of another provider to {which}, with a higher `priority` number."
    names = ", ".join("any other name" if name == ANY else name for name in alone)
    return _item("launch", "backup provider", not alone, f"{names}: none" if alone else "every route has one", cure)


def _watching(config: Config, summary: Summary | None) -> list[Item]:
    names = (
        "success rate", "average latency", "daily cost", "cache hit rate", "token efficiency", "refusal rate",
        "breaker activations",
    )  # fmt: skip
    if summary is None or not summary.calls:
        why = "the books cannot be read" if summary is None else "no calls in the last day"
        return [Item("watching", name, "no data", why) for name in names]
    cost = f"${show_usd(summary.cost)} in a day"
    cap = next((one for one in config.budgets if one.scope == "gateway" and one.window == "day"), None)
    seen: Callable[[str, object, str, str], Item] = lambda *facts: _item("watching", *facts)  # noqa: E731  a shorter name
    return [
        seen("success rate", summary.success_rate > SUCCESS, f"{summary.success_rate:.2%}, wanted > {SUCCESS:.1%}",
             "`headgate usage --rows --since 24h` tells what failed; a second target in a route answers instead."),
        seen("average latency", summary.latency_ms < LATENCY_MS, f"{summary.latency_ms:,.0f} ms, wanted below 2 s",
             "Stream, ask a smaller model, or set `strategy: latency` on the route."),
        seen("daily cost", cap is not None, cost if cap is None else f"{cost} of ${cap.limit_usd}",
             "Set a budget with `window: day`."),
        seen("cache hit rate", summary.hit_rate > HITS, f"{summary.hit_rate:.1%}, wanted more than {HITS:.0%}",
             "Set `cache` on routes whose questions repeat. Where few repeat, less is fine."),
        Item("watching", "token efficiency", "ok", f"{summary.token_efficiency or 0:.1%} of tokens answered a call"),
        Item("watching", "refusal rate", "ok", f"{summary.refusals:,} refused of {summary.calls:,} calls"),
        seen("breaker activations", not summary.resting, f"{summary.resting:,} calls found every target resting; "
             "all rests: `headgate_breaker_rests_total` at `/metrics`",
             "`/health` says which rest; another provider in the route answers meanwhile."),
    ]  # fmt: skip


def _saving(config: Config) -> list[Item]:
    routes = _routes(config)
    combined = [name for name, one in routes.items() if one.combine is not None]
    compressed = [name for name, one in routes.items() if one.compress is not None]
    cheap = [name for name, one in routes.items() if one.strategy == "cost"]
    several = len({target.model for one in routes.values() for target in one.targets}) > 1
    retry = config.policies.retry
    kept = max(_cached(config).values(), default=0.0)

    def saved(name: str, good: object, found: str, cure: str) -> Item:
        return _item("saving", name, good, found, cure)

    return [
        saved("batching", combined, f"combined by {', '.join(combined)}" if combined else "no route combines calls",
              "Set `combine: true` on routes with many small calls; `headgate run --mode batch` halves bulk."),
        saved("cache of a day or more", kept >= DAY, f"{kept / 3600:g} h" if kept else "off",
              "Switch the cache on, with `policies.cache.ttl: 24h` or more."),
        saved("cheaper models for simple tasks", cheap or several, f"by cost: {', '.join(cheap)}" if cheap
              else "routes lead to several models" if several else "one model answers everything",
              "Give simple tasks a route of their own to a smaller model, or set `strategy: cost`."),
        saved("prompt compression", compressed, f"on for {', '.join(compressed)}" if compressed else "off",
              "Set `compress: true` on a route."),
        saved("smart retry", retry.max_attempts > 1 and retry.budget <= 0.2,
              f"{retry.max_attempts} attempts, at most {retry.budget:.0%} of traffic",
              "Set `policies.retry: {max_attempts: 3, budget: 0.1}`."),
        Item("saving", "A/B tests of prompts", "not available", "headgate has no experiments yet"),
    ]  # fmt: skip
