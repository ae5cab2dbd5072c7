"""How the two public price sources compare: genai-prices, which prices are read from, and LiteLLM's table.

Decides which figures of both mean the same and how a difference is told; refuses to decide who is right: the report
says which figure the house uses.
"""

from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import NamedTuple

from headgate.catalog.models import Facts
from headgate.catalog.published import Published
from headgate.catalog.rates import Figures
from tools.litellm import Entry, Table, usd_per_million

TIERS = {"standard": "", "batch": "_batches", "flex": "_flex", "priority": "_priority"}
"""How LiteLLM's keys end for each service tier."""
FIGURES = {
    "input": "input_cost_per_token",
    "cached": "cache_read_input_token_cost",
    "write": "cache_creation_input_token_cost",
    "output": "output_cost_per_token",
    "image_in": "input_cost_per_image_token",
    "audio_in": "input_cost_per_audio_token",
    "image_out": "output_cost_per_image_token",
    "audio_out": "output_cost_per_audio_token",
}
"""Our figures by LiteLLM's keys."""
STEPS = {200_000: "_above_200k_tokens", 272_000: "_above_272k_tokens"}
NONE = "none"


class Difference(NamedTuple):
    """One line of the report."""

    model: str
    tier: str
    figure: str
    genai: str
    litellm: str


@cache
def published() -> Published:
    """The data of genai-prices."""
    found = Published()
    found.load()
    return found


@cache
def contexts(maker: str) -> frozenset[int]:
    """Every context that genai-prices knows of a maker's models."""
    from genai_prices.data import providers  # noqa: PLC0415  takes a second

    home = next(provider for provider in providers if provider.id == maker)
    return frozenset(model.context_window for model in home.models if model.context_window)


def differences(maker: str, name: str, entry: Entry, minute: int) -> Iterator[Difference]:
    """Where the two sources say different things of one model; one that says nothing at all of a tier is passed over.

    LiteLLM repeats no figure for a step at which it does not change; a figure that only one source has is told.
    """
    for tier, end in TIERS.items():
        theirs = published().figures(maker, name, minute=minute, tier=None if tier == "standard" else tier)
        if theirs is None or entry.get(f"input_cost_per_token{end}") is None:
            continue
        for above in sorted({0, *(step.above for step in theirs), *_steps(entry, end)}):
            step = next(step for step in theirs if step.above <= above)
            place = tier if not above else f"{tier}, above {above // 1000}k"
            for figure, key in FIGURES.items():
                if figure == "output" and entry.get("mode") == "embedding":
                    continue
                one = getattr(step, figure)
                other = usd_per_million(entry, f"{key}{STEPS.get(above, '')}{end}")
                if above and other is None:
                    other = usd_per_million(entry, f"{key}{end}")
                if one != other and not _same(step, figure, other, entry, end):
                    yield Difference(name, place, figure, _show(one), _show(other))


def _steps(entry: Entry, end: str) -> set[int]:
    return {above for above, word in STEPS.items() if f"input_cost_per_token{word}{end}" in entry}


def _same(step: Figures, figure: str, other: Decimal | None, entry: Entry, end: str) -> bool:
    """Whether two figures mean the same though they differ: what has none of its own costs what it replaces."""
    one = getattr(step, figure)
    if figure == "output" and other is None:
        # LiteLLM calls what a model draws by its own name only.
        return bool(one == usd_per_million(entry, f"{FIGURES['image_out']}{end}"))
    instead = "output" if figure.endswith("_out") else "input"
    mine = getattr(step, instead) if one is None else one
    yours = usd_per_million(entry, f"{FIGURES[instead]}{end}") if other is None else other
    return bool(figure not in {"input", "output"} and mine == yours)


def _show(value: Decimal | None) -> str:
    return NONE if value is None else f"{value.normalize():f}"


def report(table: Table, facts: Facts) -> str:
    """The report, in Markdown."""
    minute = facts.date.toordinal() * 1440 - _EPOCH
    found: list[Difference] = []
    compared, alone = 0, []
    for (maker, name), entry in sorted(table.entries.items()):
        if entry.get("input_cost_per_token") is None or name.startswith("ft:"):
            continue
        if published().figures(maker, name, minute=minute, tier=None) is None:
            alone.append(f"`{name}`")
            continue
        compared += 1
        found += differences(maker, name, entry, minute)
    only = [f"`{name}`" for name in _priced_elsewhere(table, facts)]
    return _PAGE.format(
        date=facts.date,
        genai=facts.sources["genai-prices"],
        litellm=table.version,
        compared=compared,
        equal=compared - len({line.model for line in found}),
        rows="".join(f"| `{line.model}` | {' | '.join(line[1:])} |\n" for line in found),
        alone=", ".join(alone) or "none",
        only=", ".join(only) or "none",
        ours="".join(_ours(facts, minute)),
    )


def _priced_elsewhere(table: Table, facts: Facts) -> Iterator[str]:
    """Models of OpenAI's that only genai-prices has, as far as the catalog has them at all."""
    for name, model in facts.models.items():
        if model.maker == "openai" and (model.maker, name) not in table.entries and name not in facts.prices:
            yield name


def _ours(facts: Facts, minute: int) -> Iterator[str]:
    for name, line in facts.prices.items():
        step = line.tiers["standard"][-1]
        theirs = published().figures("openai", name, minute=minute, tier=None)
        other = NONE if theirs is None else f"{_show(theirs[-1].input)} / {_show(theirs[-1].output)}"
        yield f"| `{name}` | {_show(step.input)} / {_show(step.output)} | {other} | {line.source} |\n"


_EPOCH = 719_163 * 1440
"""Minutes from the first day of the calendar to 1970."""

_PAGE = """# How the public price sources compare

Written by `make catalog`; not by hand. Prices of {date}, USD per million tokens: genai-prices {genai}, from which the
gate reads prices, against the table in LiteLLM {litellm}. Whoever finds out that one of them is wrong puts the right
figure into `tools/catalog.yaml`, which wins, or into `catalog.models` of a configuration.

{compared} models have a price in both sources; {equal} of them agree in every figure of every tier that both know.

## Where they differ

A tier that only one source knows is not compared. "none" is no figure of its own.

| model | tier | figure | genai-prices | LiteLLM |
| --- | --- | --- | --- | --- |
{rows}
The gate uses the figures of genai-prices, except for the following models.

## Prices that the gate's own data file brings

Input / output, USD per million tokens in the ordinary tier.

| model | used | genai-prices | from |
| --- | --- | --- | --- |
{ours}
## Only in LiteLLM's table

Without a price in genai-prices, and so without one here: {alone}.

## Known to the catalog, not in LiteLLM's table

{only}.
"""
