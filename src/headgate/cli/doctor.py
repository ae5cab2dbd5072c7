"""`headgate doctor`: does everything that this gateway needs work, here and now?

Walks from the inside to the outside; each item passes, or fails with its cure. Unlike a start it does ask the
providers, with the same cheap request that `/health` uses.
"""

import asyncio
import platform
import sys
from typing import Any, NamedTuple

import msgspec
import typer

from headgate.cli.voice import FAILED, ConfigFile, Json, Simulate, configuration, put
from headgate.core.errors import HeadgateError
from headgate.gate.gate import Gate
from headgate.gate.loaded import Loaded


class Item(NamedTuple):
    """One line of the walk."""

    name: str
    good: bool
    found: str
    cure: str = ""


def doctor(config: ConfigFile = None, simulate: Simulate = False, json: Json = False) -> None:
    """Look whether configuration, store, journal and providers work."""
    items = [_python()]
    try:
        loaded = configuration(config, simulate=simulate)
    except HeadgateError as error:
        items.append(Item("configuration", good=False, found=error.message, cure=error.hint))
    else:
        names = ", ".join(loaded.config.providers)
        items.append(Item("configuration", good=True, found=f"{loaded.source}, providers: {names}"))
        items += asyncio.run(_inside(loaded))
    for item in items:
        if json:
            put(msgspec.json.encode(item._asdict()).decode())
            continue
        put(f"{'ok   ' if item.good else 'FAIL '} {item.name}: {item.found}")
        if not item.good and item.cure:
            put(f"      hint: {item.cure}")
    if not all(item.good for item in items):
        raise typer.Exit(FAILED)


def _python() -> Item:
    found = f"{platform.python_version()} on {platform.machine()}"
    return Item("python", good=sys.version_info >= (3, 11), found=found, cure="Use Python 3.11 or newer.")


async def _inside(loaded: Loaded) -> list[Item]:
    try:
        gate = await Gate.open(loaded.config)
    except HeadgateError as error:
        return [Item("store", good=False, found=error.message, cure=error.hint)]
    async with gate:
        health = await gate.health()
        return [_store(health), _journal(health), *_providers(health, simulated=gate.simulated)]


def _store(health: dict[str, Any]) -> Item:
    store = health["store"]
    found = f"{store['kind']} {store.get('error') or 'answers'}"
    return Item("store", good=store["status"] == "ok", found=found, cure="Look at `store` in the configuration.")


def _journal(health: dict[str, Any]) -> Item:
    journal = health["journal"]
    found = journal.get("error") or "can be written"
    return Item("journal", good=journal["status"] == "ok", found=found, cure="Look at `journal.path` and its disk.")


def _providers(health: dict[str, Any], *, simulated: bool) -> list[Item]:
    items = []
    for name, state in health["providers"].items():
        good = state["state"] == "ok"
        found = f"answered in {state['latency_ms']:g} ms" if good else state["error"] or state["state"]
        if simulated:
            found += " (simulated)"
        cure = f"Check `providers.{name}`: `base_url`, `api_key`, the way there."
        items.append(Item(f"provider {name}", good=good, found=found, cure=cure))
    return items
