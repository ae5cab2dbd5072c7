"""`headgate usage`: what was used and what it cost, and how budgets stand, from the ledger."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from headgate.cli.sheet import line
from headgate.cli.table import show, table
from headgate.cli.voice import ConfigFile, Json, configuration, put, say, visible, write
from headgate.core.errors import BadRequestError, ConfigError
from headgate.core.money import show_usd
from headgate.gate import usage_query
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemClock
from headgate.gate.values import seconds
from headgate.gate.wiring import MEMORY
from headgate.stores.protocols import DIMENSIONS, Query, Usage
from headgate.stores.report import budget_json, row_json, usage_json

Shape = Literal["people", "json", "csv"]


_SHARES = {"success_rate", "hit_rate", "token_efficiency"}

app = typer.Typer()


@app.callback(invoke_without_command=True)
def usage(
    context: typer.Context,
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
    unknown: Annotated[bool, typer.Option("--unknown", help="Only attempts whose outcome nobody knows.")] = False,
    exceeded: Annotated[
        bool, typer.Option("--exceeded", help="Only attempts that cost more than was held for them.")
    ] = False,
    budgets: Annotated[bool, typer.Option("--budgets", help="How budgets stand, instead.")] = False,
    summary: Annotated[bool, typer.Option("--summary", help="How it went lately, instead: healthy or not.")] = False,
    last: Annotated[str, typer.Option("--last", help="How far --summary looks back.")] = "60m",
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    path: ConfigFile = None,
) -> None:
    """Show what was used and what it cost."""
    if context.invoked_subcommand is not None:
        return
    if sum([unknown, exceeded, budgets, summary]) + (rows and (budgets or summary)) > 1:
        text = "--unknown, --exceeded, --budgets and --summary exclude each other."
        raise BadRequestError(text, hint="Choose one of them.")
    shape: Shape = "json" if json else "csv" if csv else "people"
    if json and csv:
        raise BadRequestError("--json and --csv exclude each other.", hint="Choose one of them.")
    clock = SystemClock()
    query = usage_query.query(
        by=by or (),
        where=where or (),
        since=since,
        until=until,
        only="unknown" if unknown else "exceeded" if exceeded else None,
        clock=clock,
        called="--{}".format,
    )
    config = books(configuration(path, serving=False).config)
    if summary:
        asyncio.run(_summary(config, _minutes(last), shape))
    elif budgets:
        asyncio.run(_budgets(config, shape))
    elif rows or query.only is not None:
        asyncio.run(_rows(config, query, shape))
    else:
        asyncio.run(_sums(config, query, shape))


def books(config: Config) -> Config:
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


async def _sums(config: Config, query: Query, shape: Shape) -> None:
    async with await Gate.open(config) as gate:
        total, groups = await gate.usage(query)
    facts = usage_json(query, total, groups)
    if shape == "json":
        put(msgspec.json.encode(facts).decode())
        return
    if shape == "csv":
        sums = {name: value for name, value in facts.items() if name not in {"from", "to", "by"}}
        write(line([*query.by, *sums]))
        for group in facts["by"] if query.by else [sums]:
            write(line(group.values()))
        return
    columns = ["calls", "attempts", "errors", "tokens\nin", "tokens\nout", "cost, USD"]
    if total.saved_tokens:
        columns.insert(4, "tokens\nsaved")
    if total.cached_tokens:
        columns.insert(4, "of it\ncached")
    if total.cache_hits:
        columns += ["from\ncache", "saved, USD"]
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
        "tokens\nsaved": f"{usage.saved_tokens:,}",
        "cost, USD": show_usd(usage.cost),
        "from\ncache": f"{usage.cache_hits:,}",
        "saved, USD": show_usd(usage.cache_saved),
        "unknown": f"{usage.unknown_attempts:,}",
    }
    return [figures[name] for name in columns]


async def _rows(config: Config, query: Query, shape: Shape) -> None:
    encode = msgspec.json.Encoder().encode
    head = shape == "csv"
    async with await Gate.open(config) as gate:
        async for row in gate.rows(query):
            facts = row_json(row)
            if head:
                write(line(facts))
                head = False
            if shape == "json":
                put(encode(facts).decode())
            elif shape == "csv":
                write(line(facts.values()))
            else:
                what = f"{facts['provider'] or '-'}/{facts['model'] or facts['model_requested']}"
                tokens = f"{facts['prompt_tokens']}+{facts['completion_tokens']} tokens"
                cost = "cost unknown" if facts["cost_usd"] is None else f"${facts['cost_usd']}"
                error = f" {facts['error_type']}" if facts["error_type"] else ""
                name = f"{facts['time']} {facts['request_id']}#{facts['attempt']}"
                kept = f" {facts['cache']}" if facts["cache"] not in {None, "off", "miss"} else ""
                saved = f", saved ${facts['cache_saved_usd']}" if row.saved else ""
                put(visible(f"{name} {what} {tokens} {cost} {facts['settled']}{kept}{saved}{error}"))


async def _budgets(config: Config, shape: Shape) -> None:
    async with await Gate.open(config) as gate:
        found = await gate.budgets()
    facts = [budget_json(balance) for balance in found]
    if shape == "json":
        put(msgspec.json.encode({"budgets": facts}).decode())
    elif shape == "csv":
        for number, one in enumerate(facts):
            if not number:
                write(line(one))
            write(line(one.values()))
    elif not facts:
        say("There are no budgets: neither `budgets` in the configuration nor keys with one.")
    else:
        names = ("window", "limit_usd", "spent_usd", "lent_usd", "left_usd")
        heads = ("window", "limit,\nUSD", "spent,\nUSD", "lent,\nUSD", "left,\nUSD", "spent")
        show(table("budget", heads, [
            [one["name"], *(one[name] for name in names), f"{one['share']:.1%}"] for one in facts
        ]))  # fmt: skip


def _minutes(last: str) -> float:
    try:
        if isinstance(ago := seconds(last if last[-1:].isalpha() else f"{last}m"), float):
            return ago / 60
    except ValueError:
        pass
    raise BadRequestError(f"--last {last!r} is no duration.", hint="Write 60m, 24h or 7d.")


async def _summary(config: Config, minutes: float, shape: Shape) -> None:
    async with await Gate.open(config) as gate:
        facts = (await gate.summaries.last(minutes)).facts()
    if shape == "json":
        put(msgspec.json.encode(facts).decode())
        return
    plain = {name: "; ".join(map(str, value)) if isinstance(value, list) else value for name, value in facts.items()}
    plain["failures"] = ", ".join(f"{code} {count}" for code, count in facts["failures"].items())
    if shape == "csv":
        write(line(plain))
        write(line(plain.values()))
        return
    for name, value in plain.items():
        shown = f"{value:.1%}" if name in _SHARES and value is not None else value
        put(visible(f"{name.replace('_', ' '):<22}{'-' if shown in {None, ''} else shown}"))
