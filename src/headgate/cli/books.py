"""`headgate usage`: what was used and what it cost, from the ledger."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from headgate.cli.table import show, table
from headgate.cli.voice import ConfigFile, Json, configuration, put, say, visible
from headgate.core.clock import Clock
from headgate.core.errors import BadRequestError, ConfigError
from headgate.core.money import show_usd
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemClock
from headgate.gate.values import seconds
from headgate.gate.wiring import MEMORY
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
    path: ConfigFile = None,
) -> None:
    """Show what was used and what it cost."""
    clock = SystemClock()
    query = Query(
        since=_moment(since, "--since", clock), until=_moment(until, "--until", clock),
        by=tuple(by or ()), where=_conditions(where or ()),
    )  # fmt: skip
    if query.since is not None and query.until is not None and query.since >= query.until:
        raise BadRequestError("--until is not later than --since.", hint="Swap them.")
    config = _books(configuration(path, serving=False).config)
    asyncio.run(_rows(config, query, json=json) if rows else _sums(config, query, json=json))


def _books(config: Config) -> Config:
    """The configuration of a gate that keeps books and asks nobody."""
    if config.store == MEMORY:
        raise ConfigError("The store is in memory: nothing is kept.", hint="Set `store: sqlite:///./headgate.db`.")
    ledger, journal = Path(config.store.removeprefix("sqlite:///")), Path(config.journal.path)
    store = config.store
    if store.startswith("sqlite:///") and not ledger.exists() and not journal.exists():
        # To ask is no reason to make files, wherever one happens to be.
        say(f"Nothing is booked yet: there are neither '{ledger}' nor '{journal}'.")
        store = MEMORY
    return config.model_copy(update={"store": store, "providers": {}, "models": {}})


async def _sums(config: Config, query: Query, *, json: bool) -> None:
    async with await Gate.open(config) as gate:
        total, groups = await gate.usage(query)
    if json:
        put(msgspec.json.encode(usage_json(query, total, groups)).decode())
        return
    columns = ["calls", "attempts", "errors", "tokens\nin", "tokens\nout", "cost, USD"]
    if total.cached_tokens:
        columns.insert(4, "of it\ncached")
    if total.unknown_attempts:
        columns.append("unknown")
    rows = [[" / ".join(group.group[name] or "-" for name in query.by), *_cells(group, columns)] for group in groups]
    head = ["in all"] if query.by else []
    show(table(" / ".join(query.by), columns, rows, [*head, *_cells(total, columns)]))
    if total.unknown_attempts:
        say(f"{_attempts(total.unknown_attempts)} ended in a way that nobody knows, and may have cost something.")
    if total.unpriced_attempts:
        say(f"{_attempts(total.unpriced_attempts)} billed at a price that is not known; the sum is without.")


def _attempts(number: int) -> str:
    return "1 attempt" if number == 1 else f"{number:,} attempts"


def _cells(usage: Usage, columns: Sequence[str]) -> list[str]:
    figures = {
        "calls": f"{usage.calls:,}",
        "attempts": f"{usage.attempts:,}",
        "errors": f"{usage.errors:,}",
        "tokens\nin": f"{usage.prompt_tokens:,}",
        "tokens\nout": f"{usage.completion_tokens:,}",
        "of it\ncached": f"{usage.cached_tokens:,}",
        "cost, USD": show_usd(usage.cost),
        "unknown": f"{usage.unknown_attempts:,}",
    }
    return [figures[name] for name in columns]


async def _rows(config: Config, query: Query, *, json: bool) -> None:
    encode = msgspec.json.Encoder().encode
    async with await Gate.open(config) as gate:
        async for row in gate.rows(query):
            facts = row_json(row)
            if json:
                put(encode(facts).decode())
            else:
                what = f"{facts['provider'] or '-'}/{facts['model'] or facts['model_requested']}"
                tokens = f"{facts['prompt_tokens']}+{facts['completion_tokens']} tokens"
                cost = "cost unknown" if facts["cost_usd"] is None else f"${facts['cost_usd']}"
                error = f" {facts['error_type']}" if facts["error_type"] else ""
                name = f"{facts['time']} {facts['request_id']}#{facts['attempt']}"
                put(visible(f"{name} {what} {tokens} {cost} {facts['settled']}{error}"))


def _conditions(texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or (name not in DIMENSIONS and not name.startswith("tag:")):
            raise BadRequestError(
                f"--where {text!r} is no condition.",
                hint=f"Write NAME=VALUE with {', '.join(DIMENSIONS)} or tag:NAME.",
            )
        if name in found:
            raise BadRequestError(f"--where names {name} twice.", hint="Each name can have one value; use `--by`.")
        found[name] = value
    return found


def _moment(text: str | None, option: str, clock: Clock) -> float | None:
    """A point in time: so long ago, or a date (UTC where it names no zone)."""
    if text is None:
        return None
    try:
        if text[-1:].isalpha() and isinstance(ago := seconds(text), float):
            # Nobody keeps books from before 1970.
            return max(0.0, clock.time() - ago)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequestError(
            f"{option} {text!r} is neither a duration nor a date.",
            hint="Write 24h, 7d, 2026-11-01 or 2026-11-01T08:00Z.",
        ) from None
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
