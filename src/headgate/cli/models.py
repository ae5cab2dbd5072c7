"""`headgate models`: the names that callers may use, or everything that is known of models."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any

import msgspec
import typer
from rich import box
from rich.table import Table
from rich.text import Text

from headgate.catalog.prices import Prices
from headgate.catalog.rates import Rates
from headgate.catalog.retirement import NEAR, SOON
from headgate.cli.table import show
from headgate.cli.voice import ConfigFile, Json, Simulate, configuration, put, say, visible
from headgate.core.clock import Clock
from headgate.core.money import show_usd
from headgate.gate import makers, wiring
from headgate.gate.config import Config
from headgate.gate.offers import Offer, Offers
from headgate.gate.ports import SystemClock
from headgate.policies.route import ANY

FIGURES = frozenset(("context", "output", "in, USD", "cached", "out"))
HEADS = ("model", "leads to", "context", "output", "in, USD", "cached", "out", "can", "retires", "successor")


def models(
    every: Annotated[bool, typer.Option("--all", help="Every model of the catalog, too.")] = False,
    json: Json = False,
    config: ConfigFile = None,
    simulate: Simulate = False,
) -> None:
    """Show models: limits, prices, abilities, last days.

    Prices are USD per million tokens of an ordinary request; of several targets the dearest, as the limits are the
    smallest. A day of retirement is marked `!` 90 days before, `!!` 30 days before, and `gone` from then on.
    """
    settings = configuration(config, simulate=simulate, serving=False).config
    clock = SystemClock()
    lines = list(_lines(settings, clock, every=every))
    if json:
        put(msgspec.json.encode({"models": lines}).decode())
        return
    if lines:
        show(_table(lines, clock))
    else:
        say("No names are configured: any goes to the first provider. `--all` shows what is known.")


def _lines(config: Config, clock: Clock, *, every: bool) -> Iterator[dict[str, Any]]:
    """The models as JSON has them: configured names first, then the catalog's that are not among them."""
    catalog, plans, now = wiring.catalog(config), wiring.plans(config), clock.time()
    prices = Prices(catalog)
    offers = Offers(plans, catalog, makers.makers(config))
    default = config.models.get("default")
    names = sorted({name for name in plans if name != ANY} | ({default} if isinstance(default, str) else set()))
    for name in names:
        offer = offers.of(name, now)
        yield _line(
            offer, [_rates(config, prices, target.provider, target.model or name, now) for target in offer.targets]
        )
    for offer in offers.known() if every else ():
        if offer.name not in names:
            known = catalog.find(offer.name)
            home = known.maker if known is not None and known.maker else "openai"
            yield _line(offer, [prices.rates(offer.name, at=now, provider=home)])


def _rates(config: Config, prices: Prices, provider: str, model: str, now: float) -> tuple[Rates, str] | None:
    home = makers.price_list(config.providers[provider], prices)
    return prices.rates(model, at=now, provider=home)


def _line(offer: Offer, found: Sequence[tuple[Rates, str] | None]) -> dict[str, Any]:
    """One model. Of several targets the dearest prices count; one without a price leaves them unknown."""
    known = [rates for rates in found if rates is not None]
    whole = bool(known) and len(known) == len(found)

    def usd(name: str) -> str | None:
        values = [getattr(rates, name) for rates, _ in known]
        return show_usd(max(values)) if whole and None not in values else None

    return {
        "name": offer.name,
        "targets": [f"{target.provider}/{target.model or offer.name}" for target in offer.targets],
        "context": offer.context,
        "max_output": offer.max_output,
        "input_usd_per_million": usd("input"),
        "cached_input_usd_per_million": usd("cached"),
        "output_usd_per_million": usd("output"),
        "price_table": ", ".join(dict.fromkeys(table for _, table in known)) if whole else None,
        "capabilities": None if offer.capabilities is None else sorted(offer.capabilities),
        "retires": None if offer.retires is None else offer.retires.isoformat(),
        "successor": offer.successor,
    }


def _table(lines: Sequence[dict[str, Any]], clock: Clock) -> Table:
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in HEADS:
        figure = head in FIGURES
        made.add_column(
            head, justify="right" if figure else "left", no_wrap=figure or head == "retires", overflow="fold"
        )
    for line in lines:
        prices = (line[f"{name}_usd_per_million"] for name in ("input", "cached_input", "output"))
        cells = [
            line["name"],
            ", ".join(line["targets"]),
            *(_tokens(line[name]) for name in ("context", "max_output")),
            *("?" if price is None else price for price in prices),
            "?" if line["capabilities"] is None else " ".join(line["capabilities"]),
            _end(line["retires"], clock),
            line["successor"] or "",
        ]
        made.add_row(*(Text(visible(cell)) for cell in cells))
    return made


def _tokens(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"


def _end(day: str | None, clock: Clock) -> str:
    """A day, marked when it is near and again when it is very near; `gone` when it is past."""
    if day is None:
        return ""
    left = (date.fromisoformat(day) - datetime.fromtimestamp(clock.time(), UTC).date()).days
    return day + (" gone" if left <= 0 else " !!" if left <= SOON else " !" if left <= NEAR else "")
