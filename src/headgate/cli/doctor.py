"""`headgate doctor`: does everything that this gateway needs work, here and now?

Walks from the inside to the outside; each item passes, or fails with its cure. Unlike a start it does ask the
providers, with the same cheap request that `/health` uses.
"""

import asyncio
import platform
import sys
from collections.abc import Container
from typing import Any, NamedTuple

import msgspec
import typer

from headgate.cli.voice import FAILED, WRONG_USE, ConfigFile, Json, Simulate, configuration, put, visible
from headgate.core.errors import HeadgateError
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.problems import masked


class Item(NamedTuple):
    """One line of the walk. A cure is told only where something is wrong."""

    name: str
    good: bool
    found: str
    cure: str = ""


def doctor(config: ConfigFile = None, simulate: Simulate = False, json: Json = False) -> None:
    """Look whether configuration, store, journal and providers work."""
    items = [_python()]
    code = FAILED
    try:
        loaded = configuration(config, simulate=simulate)
    except HeadgateError as error:
        items.append(Item("configuration", good=False, found=error.message, cure=error.hint))
        code = WRONG_USE
    else:
        names = ", ".join(loaded.config.providers)
        items.append(Item("configuration", good=True, found=f"{loaded.source}, providers: {names}"))
        items += asyncio.run(_inside(loaded.config))
    for item in items:
        cure = "" if item.good else item.cure
        if json:
            put(msgspec.json.encode({**item._asdict(), "cure": cure}).decode())
            continue
        put(visible(f"{'ok   ' if item.good else 'FAIL '} {item.name}: {item.found}"))
        if cure:
            put(visible(f"      hint: {cure}"))
    if not all(item.good for item in items):
        raise typer.Exit(code)


def _python() -> Item:
    found = f"{platform.python_version()} on {platform.machine()}"
    return Item("python", good=sys.version_info >= (3, 11), found=found, cure="Use Python 3.11 or newer.")


async def _inside(config: Config) -> list[Item]:
    try:
        gate = await Gate.open(config)
    except HeadgateError as error:
        return [Item("gate", good=False, found=error.message, cure=error.hint)]
    async with gate:
        health = await gate.health()
        stores = (_store(config, health), _journal(health), *_shared(config, health))
        return [*stores, *_providers(health, gate.simulators)]


def _store(config: Config, health: dict[str, Any]) -> Item:
    store = health["store"]
    found = f"{masked(config.store)} {store['error'] or 'answers'}"
    return Item("store", good=store["status"] == "ok", found=found, cure="Look at `store` in the configuration.")


def _journal(health: dict[str, Any]) -> Item:
    journal = health["journal"]
    found = journal["error"] or "can be written"
    return Item("journal", good=journal["status"] == "ok", found=found, cure="Look at `journal.path` and its disk.")


def _shared(config: Config, health: dict[str, Any]) -> list[Item]:
    """Where it is named, for calls go on without it."""
    if config.shared == "memory://":
        return []
    shared = health["shared"]
    found = f"{masked(config.shared)} {shared.get('error') or 'answers'}"
    cure = "Look at `shared` in the configuration. Until it answers, `policies.on_shared_store_lost` says what holds."
    return [Item("shared", good=shared["status"] == "ok", found=found, cure=cure)]


def _providers(health: dict[str, Any], simulators: Container[str]) -> list[Item]:
    items = []
    for name, state in health["providers"].items():
        good = state["state"] == "ok"
        found = f"answered in {state['latency_ms']:g} ms" if good else state["error"] or state["state"]
        if name in simulators:
            found += " (simulated)"
        cure = f"Check `providers.{name}`: `base_url`, `api_key`, the way there."
        items.append(Item(f"provider {name}", good=good, found=found, cure=cure))
    return items
