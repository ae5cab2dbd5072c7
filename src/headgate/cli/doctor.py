"""`headgate doctor`: does everything that this gateway needs work, here and now?

Walks from the inside to the outside; each item passes, or fails with its cure. Unlike a start it does ask the
providers, with the same cheap request that `/health` uses.
"""

import asyncio
import platform
import sys
from collections.abc import Container
from typing import Annotated, Any, NamedTuple

import msgspec
import typer

from headgate.cli.production import checklist
from headgate.cli.voice import FAILED, WRONG_USE, ConfigFile, Json, Simulate, configuration, put, visible
from headgate.core.errors import HeadgateError
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.loaded import Loaded
from headgate.gate.problems import masked
from headgate.gate.summary import Summary


class Item(NamedTuple):
    """One line of the walk. A cure is told only where something is wrong."""

    name: str
    good: bool
    found: str
    cure: str = ""
    state: str = "ok"


def doctor(
    config: ConfigFile = None,
    simulate: Simulate = False,
    production: Annotated[
        bool, typer.Option("--production", help="Walk the checklist of a launch, item by item.")
    ] = False,
    json: Json = False,
) -> None:
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
        if production:
            items += _production(loaded)
    for item in items:
        cure = "" if item.good else item.cure
        if json:
            state = item.state if item.good else "fail"
            put(msgspec.json.encode({**item._asdict(), "cure": cure, "state": state}).decode())
            continue
        mark = "FAIL " if not item.good else "ok   " if item.state == "ok" else "-    "
        put(visible(f"{mark} {item.name}: {item.found}"))
        if cure:
            put(visible(f"      hint: {cure}"))
    if not all(item.good for item in items):
        raise typer.Exit(code)


def _production(loaded: Loaded) -> list[Item]:
    """The checklist. What cannot be judged fails nothing."""
    try:
        summary = asyncio.run(_lately(loaded.config))
    except HeadgateError:
        summary = None
    found = checklist(loaded, summary)
    marked = [(one, "" if one.state in {"ok", "fail"} else f"{one.state}: ") for one in found]
    return [
        Item(f"{one.part}: {one.name}", one.state != "fail", mark + one.found, one.cure, one.state)
        for one, mark in marked
    ]  # fmt: skip


async def _lately(config: Config) -> Summary:
    async with await Gate.open(config) as gate:
        return await gate.summaries.last(24 * 60)


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
