"""`headgate keys`: who may call. It works on the store itself, whether a gateway runs or not.

A key is printed once, alone on stdout, when it is made or replaced; everything else goes to stderr.
"""

import asyncio
import getpass
import platform
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from rich import box
from rich.table import Table
from rich.text import Text

from headgate.cli.table import show
from headgate.cli.voice import FAILED, ConfigFile, Json, complain, configuration, put, say, visible
from headgate.core.errors import BadRequestError, ConfigError, UnknownObjectError
from headgate.gate import wiring
from headgate.gate.issuing import Issued, Issuer, Who
from headgate.gate.ports import SystemChance, SystemClock
from headgate.gate.values import seconds
from headgate.gate.wiring import MEMORY
from headgate.stores.keys import KeyBook

T = TypeVar("T")
SOON = "A gateway that runs knows it within five seconds."
_HEADS = ("name", "status", "project", "models", "limits", "budget", "expires", "from")

app = typer.Typer(help="Make, show, replace and revoke keys.")

Name = Annotated[str, typer.Argument(help="Name of the key.")]
Models = Annotated[str | None, typer.Option("--models", help="Names that it may ask for: a,b.  [default: all]")]
Number = int | None


@app.command()
def create(
    name: Name,
    project: Annotated[str | None, typer.Option("--project", help="The tenant that it belongs to.")] = None,
    models: Models = None,
    rpm: Annotated[Number, typer.Option("--rpm", help="Requests a minute.")] = None,
    tpm: Annotated[Number, typer.Option("--tpm", help="Tokens a minute, input and output together.")] = None,
    concurrency: Annotated[Number, typer.Option("--concurrency", help="Calls at the same time.")] = None,
    budget_usd: Annotated[str | None, typer.Option("--budget-usd", help="How much it may spend.")] = None,
    window: Annotated[
        str | None, typer.Option("--window", help="Per day, week, month or total.  [default: day]")
    ] = None,
    zone: Annotated[
        str | None, typer.Option("--time-zone", help="Where the window begins at midnight.  [default: UTC]")
    ] = None,
    expires: Annotated[str | None, typer.Option("--expires", help="Last day on which it works: 2027-06-30.")] = None,
    priority: Annotated[Number, typer.Option("--priority", help="Highest priority that it may claim, 0 to 9.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="NAME=VALUE for all its calls; may be repeated.")
    ] = None,
    passthrough: Annotated[
        list[str] | None, typer.Option("--passthrough", help="A further /v1 path that it may use; may be repeated.")
    ] = None,
    cache: Annotated[
        bool | None, typer.Option("--cache/--no-cache", help="Its answers may be kept.  [default: as the route says]")
    ] = None,
    json: Json = False,
    path: ConfigFile = None,
) -> None:
    """Make a key, and print it: once, and never again."""
    limits = {"requests_per_minute": rpm, "tokens_per_minute": tpm, "concurrency": concurrency}
    budget = {"limit_usd": budget_usd, "window": window, "time_zone": zone}
    if budget_usd is None and any(budget.values()):
        raise BadRequestError("--window and --time-zone have no effect without --budget-usd.", hint="Add it.")
    facts = _given(
        name=name,
        project=project,
        models=None if models is None else [model.strip() for model in models.split(",")],
        limits=_given(**limits) or None,
        budget=_given(**budget) or None,
        expires=expires,
        priority=priority,
        tags=_tags(tag or ()),
        passthrough=passthrough or None,
        cache=cache,
    )
    _tell(_on_the_store(path, lambda issuer: issuer.create(facts, me())), "made", json=json)


@app.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Those that were revoked, too.")] = False,
    json: Json = False,
    path: ConfigFile = None,
) -> None:
    """List keys: what they are good for, never their values."""
    found = _on_the_store(path, lambda issuer: issuer.all(revoked=every), reading=True)
    if json:
        for key in found:
            put(msgspec.json.encode(key).decode())
    elif found:
        show(_table(found))
    else:
        say("There are no keys. `headgate keys create NAME` makes one.")


@app.command("show")
def show_(name: Name, json: Json = False, path: ConfigFile = None) -> None:
    """Show what a key is good for."""
    found = _on_the_store(path, lambda issuer: issuer.show(name), reading=True)
    if json:
        put(msgspec.json.encode(found).decode())
        return
    for field, value in found.items():
        if value not in (None, [], {}):
            put(visible(f"{field:<13} {_said(value)}"))


@app.command()
def rotate(
    name: Name,
    grace: Annotated[
        str | None, typer.Option("--grace", help="For so long the former value works, too: 1h.  [default: not at all]")
    ] = None,
    json: Json = False,
    path: ConfigFile = None,
) -> None:
    """Give a key a new value, and print it: once, and never again."""
    wait = _duration(grace)
    _tell(_on_the_store(path, lambda issuer: issuer.rotate(name, me(), grace=wait)), "replaced", json=json)


@app.command()
def revoke(name: Name, json: Json = False, path: ConfigFile = None) -> None:
    """End a key."""
    stored = _on_the_store(path, lambda issuer: issuer.revoke(name, me()))
    say(f"The key {name!r} is revoked. {SOON}")
    if json:
        put(msgspec.json.encode(stored).decode())


def _on_the_store(path: Path | None, work: Callable[[Issuer], Awaitable[T]], *, reading: bool = False) -> T:
    """Do something with the keys of the store that the configuration names."""
    config = configuration(path, serving=False).config
    if config.store == MEMORY:
        raise ConfigError("The store is in memory: no key is kept.", hint="Set `store: sqlite:///./headgate.db`.")
    store = config.store
    if reading and store.startswith("sqlite:///") and not Path(store.removeprefix("sqlite:///")).exists():
        # To ask is no reason to make files, wherever one happens to be.
        store = MEMORY

    async def story() -> T:
        ledger = wiring.ledger(store)
        try:
            return await work(Issuer(config, KeyBook(ledger), SystemClock(), SystemChance()))
        finally:
            await ledger.close()

    try:
        return asyncio.run(story())
    except UnknownObjectError as error:
        # Nothing is wrong with the command: there is no such key.
        complain(error)
        raise typer.Exit(FAILED) from None


def me() -> Who:
    """Who sits here."""
    return Who(getpass.getuser(), f"command line on {platform.node()}")


def _tell(issued: Issued, done: str, *, json: bool) -> None:
    for warning in issued.warnings:
        say(f"warning: {warning}")
    name, value = issued.record.name, issued.value.reveal()
    say(f"The key {name!r} is {done}. Keep it now: nobody can show it again. {SOON}")
    put(msgspec.json.encode({"key": value, **issued.told}).decode() if json else value)


def _given(**facts: Any) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _tags(texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or name in found:
            raise BadRequestError(
                f"--tag {text!r} is no tag, or stands twice.", hint="Write NAME=VALUE, each name once."
            )
        found[name] = value
    return found


def _duration(text: str | None) -> float:
    try:
        return 0.0 if text is None else float(str(seconds(text)))
    except ValueError:
        raise BadRequestError(f"--grace {text!r} is no duration.", hint="Write 30m, 1h, 7d.") from None


def _table(keys: Sequence[Mapping[str, Any]]) -> Table:
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in _HEADS:
        made.add_column(head, overflow="fold")
    for key in keys:
        cells = [key["source"] if head == "from" else key[head] for head in _HEADS]
        made.add_row(*(Text(visible(_said(cell))) for cell in cells))
    return made


def _said(value: Any) -> str:
    """A value in words."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, dict):
        if "limit_usd" in value:
            zone = "" if value["time_zone"] == "UTC" else f" ({value['time_zone']})"
            return f"${value['limit_usd']} {value['window']}{zone}"
        return ", ".join(f"{name}={one}" for name, one in value.items())
    return str(value)
