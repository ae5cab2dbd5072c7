"""The report: what was found, in a shape that scripts rely on.

Decides the figures of each variant and of each pair of them; refuses to know how rows were asked and how a report looks
(`page.py`). Fields may be added, never renamed.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import ceil
from typing import Any

import msgspec

from headgate.apps.evals import compare
from headgate.apps.evals.compare import Interval
from headgate.core.clock import Chance
from headgate.core.money import show_usd

VERSION = 1
LEVEL = 0.05
"""Of p-values: below it a difference is called one."""
LATENCIES = (0.05, 0.25, 0.5, 0.75, 0.95)


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """A model with a prompt.

    Attributes:
        name: of both.
        model: who is asked.
        prompt: the prompt's name.
        template: the prompt.
    """

    name: str
    model: str
    prompt: str
    template: str


class Judged(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one variant made of one row.

    Attributes:
        score: None where it failed.
        cost: picodollars; None where a price is not known.
        latency_ms: of the last attempt; None where none was made.
        prompt_tokens, completion_tokens: used.
        cached: the answer came from the cache.
    """

    score: float | None
    cost: int | None
    latency_ms: float | None
    prompt_tokens: int
    completion_tokens: int
    cached: bool


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of a variant.

    Attributes:
        name, model, prompt, template: the variant's.
        scored: rows with a score; `quality` is of these.
        failed: rows without an answer, or whose answer could not be judged.
        unanswered: rows that were not asked, because the run was stopped.
        quality: None where nothing was scored.
        cost_usd: of all its rows, failed ones included.
        cost_per_row_usd: of those with a known price that were not answered by the cache; None where there is none.
        unpriced: rows whose price is not known.
        cached: rows that the cache answered, at no cost and in no time.
        latency_ms: `mean`, and `p5` to `p95`, of answers that were not cached; empty where there is none.
        tokens_per_second: output tokens for each second of an answer's time.
    """

    name: str
    model: str
    prompt: str
    template: str
    scored: int
    failed: int
    unanswered: int
    quality: Interval | None
    cost_usd: str
    cost_per_row_usd: str | None
    unpriced: int
    cached: int
    latency_ms: Mapping[str, float]
    prompt_tokens: int
    completion_tokens: int
    tokens_per_second: float | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two variants on the same rows.

    Attributes:
        a, b: their names.
        rows: that both have a score for.
        left_out: rows that only one of them has a score for.
        a_better, b_better, equal: rows.
        difference: mean of `a`'s score less `b`'s.
        p, test: the chance of such a difference if there was none, and how it was found.
        p_holm: the same, corrected for the number of comparisons.
        better: the name of the better one; None where `p_holm` is not below 0.05.
    """

    a: str
    b: str
    rows: int
    left_out: int
    a_better: int
    b_better: int
    equal: int
    difference: Interval
    p: float
    test: str
    p_holm: float
    better: str | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of it.

    Attributes:
        version: of this shape.
        dataset: the file.
        created: when, in seconds since 1970-01-01 UTC.
        seed: what chance was drawn from.
        scorer: its name and its options.
        params: parameters of every request.
        rows: that were to be asked.
        bad_rows: lines that are no rows, or that nobody can judge: asked nobody, failed for every variant.
        failed: rows of variants that failed, bad ones included.
        asked: rows of variants that were answered in this run; others were before.
        seconds, rows_per_second: of this run.
        rate_limited: rate limits that were met in this run.
        ambiguous: rows of variants that were asked again because a process died while they were in flight.
        cost_usd: of everything, earlier runs of the same evaluation included.
        stopped: why not all rows were asked: an error's code; None where all were.
        variants: in the order in which they were asked for.
        comparisons: of each with each.
        level: a `p_holm` below it makes a variant the better one.
        best: variants with the highest quality, and those that are not worse by a comparison.
    """

    version: int
    dataset: str
    created: float
    seed: int
    scorer: Mapping[str, Any]
    params: Mapping[str, Any]
    rows: int
    bad_rows: int
    failed: int
    asked: int
    seconds: float
    rows_per_second: float
    rate_limited: int
    ambiguous: int
    cost_usd: str
    stopped: str | None
    variants: Sequence[Found]
    comparisons: Sequence[Comparison]
    level: float
    best: Sequence[str]


Column = Sequence[Judged | None]
"""What a variant made of each row; None where it was not asked."""


def found(variant: Variant, column: Column, *, bad: int, binary: bool, chance: Chance) -> Found:
    """The figures of a variant.

    Args:
        variant: it.
        column: its rows.
        bad: rows that were not asked because nobody could.
        binary: scores are 0 and 1 only.
        chance: draws.
    """
    rows = [one for one in column if one is not None]
    scores = [one.score for one in rows if one.score is not None]
    paid = [one.cost for one in rows if one.cost is not None and not one.cached]
    times = sorted(one.latency_ms for one in rows if one.latency_ms is not None and not one.cached)
    tokens = sum(one.completion_tokens for one in rows if one.latency_ms is not None and not one.cached)
    seconds = sum(times) / 1000
    return Found(
        name=variant.name,
        model=variant.model,
        prompt=variant.prompt,
        template=variant.template,
        scored=len(scores),
        failed=len(rows) - len(scores) + bad,
        unanswered=len(column) - len(rows),
        quality=compare.quality(scores, binary=binary, chance=chance) if scores else None,
        cost_usd=show_usd(sum(one.cost or 0 for one in rows)),
        cost_per_row_usd=show_usd(round(sum(paid) / len(paid))) if paid else None,
        unpriced=sum(one.cost is None for one in rows),
        cached=sum(one.cached for one in rows),
        latency_ms=_latencies(times),
        prompt_tokens=sum(one.prompt_tokens for one in rows),
        completion_tokens=sum(one.completion_tokens for one in rows),
        tokens_per_second=round(tokens / seconds, 3) if seconds > 0 else None,
    )


def comparisons(
    variants: Sequence[Variant], columns: Sequence[Column], *, binary: bool, chance: Chance
) -> list[Comparison]:
    """Each variant beside each other one, on the rows that both have a score for; pairs without any are left out."""
    made = []
    for one, other in combinations(range(len(variants)), 2):
        pairs = [
            (None if a is None else a.score, None if b is None else b.score)
            for a, b in zip(columns[one], columns[other], strict=True)
        ]
        differences = [a - b for a, b in pairs if a is not None and b is not None]
        if not differences:
            continue
        surprise = compare.surprise(differences, binary=binary, chance=chance)
        made.append(
            Comparison(
                a=variants[one].name,
                b=variants[other].name,
                rows=len(differences),
                left_out=sum((a is None) != (b is None) for a, b in pairs),
                a_better=sum(value > 0 for value in differences),
                b_better=sum(value < 0 for value in differences),
                equal=sum(value == 0 for value in differences),
                difference=compare.difference(differences, chance=chance),
                p=surprise.p,
                test=surprise.method,
                p_holm=1.0,
                better=None,
            )
        )
    corrected = compare.holm([comparison.p for comparison in made])
    return [_told(comparison, p) for comparison, p in zip(made, corrected, strict=True)]


def _told(comparison: Comparison, p: float) -> Comparison:
    ahead = comparison.a if comparison.difference.mean > 0 else comparison.b
    return msgspec.structs.replace(comparison, p_holm=p, better=ahead if p < LEVEL else None)


def best(variants: Sequence[Found], pairs: Sequence[Comparison]) -> list[str]:
    """The variants that may be the best one: those that no other is better than, highest quality first."""
    beaten = {pair.a if pair.better == pair.b else pair.b for pair in pairs if pair.better is not None}
    able = [variant for variant in variants if variant.quality is not None and variant.name not in beaten]
    return [variant.name for variant in sorted(able, key=lambda one: -one.quality.mean if one.quality else 0.0)]


def _latencies(times: Sequence[float]) -> dict[str, float]:
    if not times:
        return {}
    shares = {f"p{round(100 * share)}": times[max(ceil(share * len(times)) - 1, 0)] for share in LATENCIES}
    return {"mean": round(sum(times) / len(times), 3), **{name: round(value, 3) for name, value in shares.items()}}
