"""`headgate usage`: what was used and what it cost, from the ledger."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from headgate.cli.voice import ConfigFile, Json, configuration, put, say
from headgate.core.clock import Clock
from headgate.core.errors import BadRequestError, ConfigError
from headgate.core.money import show_usd
from headgate.gate.gate import MEMORY, Gate
from headgate.gate.loaded import Loaded
from headgate.gate.ports import SystemClock
from headgate.gate.values import seconds
from headgate.stores.protocols import DIMENSIONS, Query, Usage
from headgate.stores.report import row_json, usage_json


def usage(
    by: Annotated[
        list[str] | None, typer.Option("--by", help=f"Group by {', '.join(DIMENSIONS)} or tag:NAME; may be repeated.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option("--where", help="Only these, such as model=gpt-6-luna; may be repeated.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="From when: 24h, 7d, 2026-11-01, 2026-11-01T08:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Until when, excluded; written alike.")] = None,
    rows: Annotated[bool, typer.Option("--rows", help="One line per attempt instead of sums.")] = False,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Show what was used and what it cost."""
    clock = SystemClock()
    query = Query(
        since=_moment(since, "--since", clock), until=_moment(until, "--until", clock),
        by=tuple(by or ()), where=dict(_pair(text) for text in where or ()),
    )  # fmt: skip
    loaded = configuration(config, serving=False)
    if loaded.config.store == MEMORY:
        raise ConfigError("The store is in memory: nothing is kept.", hint="Set `store: sqlite:///./headgate.db`.")
    asyncio.run(_rows(loaded, query, json=json) if rows else _sums(loaded, query, json=json))


async def _sums(loaded: Loaded, query: Query, *, json: bool) -> None:
    async with await Gate.open(loaded.config) as gate:
        total, groups = await gate.usage(query)
    if json:
        put(msgspec.json.encode(usage_json(query, total, groups)).decode())
        return
    table = Table()
    for name in (*query.by, "calls", "attempts", "errors", "tokens in", "tokens out", "cached", "cost, USD", "unknown"):
        table.add_column(name, justify="left" if name in query.by else "right")
    for group in groups:
        table.add_row(*(group.group[name] or "-" for name in query.by), *_cells(group))
    if groups:
        table.add_section()
    table.add_row(*("in all" if not n else "" for n in range(len(query.by))), *_cells(total), style="bold")
    Console().print(table)
    if total.unknown_attempts:
        say(f"{total.unknown_attempts} attempts ended in a way that nobody knows; they may have cost something.")
    if total.unpriced_attempts:
        say(f"{total.unpriced_attempts} attempts were billed at a price that is not known; they are not in the sum.")


def _cells(usage: Usage) -> tuple[str, ...]:
    figures = (usage.calls, usage.attempts, usage.errors, usage.prompt_tokens, usage.completion_tokens)
    return (*(f"{n:,}" for n in figures), f"{usage.cached_tokens:,}", show_usd(usage.cost), f"{usage.unknown_attempts}")


async def _rows(loaded: Loaded, query: Query, *, json: bool) -> None:
    encode = msgspec.json.Encoder().encode
    async with await Gate.open(loaded.config) as gate:
        async for row in gate.rows(query):
            facts = row_json(row)
            if json:
                put(encode(facts).decode())
            else:
                what = f"{facts['provider'] or '-'}/{facts['model'] or '-'}"
                tokens = f"{facts['prompt_tokens']}+{facts['completion_tokens']} tokens"
                cost = "cost unknown" if facts["cost_usd"] is None else f"${facts['cost_usd']}"
                error = f" {facts['error_type']}" if facts["error_type"] else ""
                name = f"{facts['time']} {facts['request_id']}#{facts['attempt']}"
                put(f"{name} {what} {tokens} {cost} {facts['settled']}{error}")


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or (name not in DIMENSIONS and not name.startswith("tag:")):
        raise BadRequestError(
            f"--where {text!r} is no condition.", hint=f"Write NAME=VALUE with {', '.join(DIMENSIONS)}."
        )
    return name, value


def _moment(text: str | None, option: str, clock: Clock) -> float | None:
    """A point in time: so long ago, or a date (UTC where it names no zone)."""
    if text is None:
        return None
    try:
        ago = seconds(text)
        if isinstance(ago, float):
            return clock.time() - ago
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequestError(
            f"{option} {text!r} is neither a duration nor a date.",
            hint="Write 24h, 7d, 2026-11-01 or 2026-11-01T08:00Z.",
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
