"""An evaluation: a dataset, variants, a scorer and a folder; the rows go through the gate like those of any run.

Decides which questions are asked, in which order (all variants of a row one after another, so that a slow hour meets
all of them), and what lies in the folder. Refuses to know how rows are answered (`headgate.jobs.run`) and judged.

In the folder:

    answers.jsonl.part   what was asked and answered; the same evaluation goes on there, and asks no answered row again
    answers.jsonl        whole answers, in the shape of `headgate run`
    rows.jsonl           one line for each row and variant: answer, score, cost, latency, error
    report.json          the report
    report.html          the same, to be looked at

All answers are there before the first one is judged: a scorer that is mended, or another one, judges them anew at no
cost.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from headgate.apps.evals import judging, report
from headgate.apps.evals.dataset import Bad, Dataset, Example, read
from headgate.apps.evals.judging import Asked, Judgement
from headgate.apps.evals.page import page
from headgate.apps.evals.report import Report, Variant
from headgate.apps.evals.scorers import Scorer
from headgate.core.call import Operation
from headgate.core.clock import Clock
from headgate.core.errors import BadRequestError
from headgate.core.money import show_usd
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance, SystemClock
from headgate.jobs import file_job
from headgate.jobs.file_job import Order
from headgate.jobs.intake import Taken, Wish
from headgate.jobs.part import Part
from headgate.jobs.row import Row
from headgate.jobs.run import Plan, Run
from headgate.jobs.template import Template

MOST = 20
"""Variants: each is compared with each."""
ANSWERS, ROWS, JSON, PAGE = "answers.jsonl", "rows.jsonl", "report.json", "report.html"
MADE = frozenset((ANSWERS, ROWS, JSON, PAGE))

Watched = Callable[[Run, int], AbstractAsyncContextManager[None]]
"""Looks at a run of so many rows while it goes on."""

_encode = msgspec.json.Encoder().encode


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted.

    Attributes:
        dataset: a file of rows: JSON Lines, or CSV where its name ends in `.csv`.
        models: who is asked.
        prompts: templates with gaps, `{column}`, by name; each model is asked with each of them.
        scorer: judges the answers; see `scorers.make`.
        output: the folder for what comes out; made where it is missing.
        params: parameters of every request, such as `{"max_tokens": 100}`.
        sample: how many rows are asked, chosen by the seed; None for all. A larger one keeps the rows of a smaller one.
        concurrency: rows that are asked at the same time; None for as many as fill the limits.
        budget: US dollars that all of it may cost.
        seed: of the sample and of the intervals; equal seeds give equal figures.
    """

    dataset: Path
    models: Sequence[str]
    prompts: Mapping[str, str]
    scorer: Scorer
    output: Path
    params: Mapping[str, Any] = {}
    sample: int | None = None
    concurrency: int | None = None
    budget: Decimal | None = None
    seed: int = 0


async def evaluate(
    config: Config, evaluation: Evaluation, *, clock: Clock | None = None, watched: Watched | None = None
) -> Report:
    """Ask, judge, compare, and write it down.

    The same evaluation again goes on where it stopped: rows that failed are asked again, answered ones are not.

    Args:
        config: what the gate is made of, such as `AsyncHeadgate().config`.
        evaluation: what is wanted.
        clock: tells the time; None for the machine's.
        watched: looks at the run while it goes on.

    Raises:
        BadRequestError: something of it is wrong. Nothing was asked then.
        OverBudgetError: the budget was spent before.
        HeadgateError: the folder cannot be written.
    """
    clock = clock or SystemClock()
    data = await read(evaluation.dataset)
    variants = _variants(config, evaluation, data)
    asked = _asked(evaluation, data, variants)
    spec = {
        "models": list(evaluation.models),
        "prompts": dict(evaluation.prompts),
        "params": dict(evaluation.params),
        "dataset": f"{len(data.examples)} rows, checksum {data.mark:08x}",
    }
    output = evaluation.output
    part = _open(output, spec)
    try:
        begun = clock.monotonic()
        run = await _run(config, evaluation, asked, variants, part=part, clock=clock, watched=watched)
        seconds = clock.monotonic() - begun
        part.finish(output / ANSWERS, in_order=True, complete=False)
    finally:
        part.close()
    judged = judging.judge(output / ANSWERS, output / ROWS, asked, variants)
    made = _report(evaluation, asked, variants, judged, run=run, seconds=seconds, now=clock.time())
    _write(output / JSON, msgspec.json.format(_encode(made), indent=2) + b"\n")
    _write(output / PAGE, page(made, judging.worst(output / ROWS, judged)).encode(errors="replace"))
    return made


def _variants(config: Config, evaluation: Evaluation, data: Dataset) -> list[Variant]:
    models, prompts = evaluation.models, evaluation.prompts
    if not models or not prompts:
        raise BadRequestError("There is no model, or no prompt.", hint="Name at least one of each.")
    if len(set(models)) < len(models):
        twice = next(model for model in models if models.count(model) > 1)
        raise BadRequestError(f"The model {twice!r} is named twice.", param="models")
    if len(models) * len(prompts) > MOST:
        number = len(models) * len(prompts)
        message = f"{len(models)} models and {len(prompts)} prompts are {number} variants; at most {MOST} are compared."
        raise BadRequestError(message)
    if evaluation.sample is not None and evaluation.sample < 1:
        raise BadRequestError(f"`sample` is {evaluation.sample}; it must be at least 1.", param="sample")
    for model in models:
        if not file_job.targets(config, model):
            hint = "`headgate models` lists those that are."
            raise BadRequestError(f"The model {model!r} is not configured.", param="models", hint=hint)
    for name, text in prompts.items():
        for gap in Template(text).names:
            data.require(gap, f"the prompt {name!r} asks for")
    if (field := evaluation.scorer.field) is not None:
        data.require(field, "holds what is expected")
    alone = len(prompts) == 1
    return [
        Variant(name=model if alone else f"{model} / {name}", model=model, prompt=name, template=text)
        for model in models
        for name, text in prompts.items()
    ]


def _asked(evaluation: Evaluation, data: Dataset, variants: Sequence[Variant]) -> list[Asked]:
    """The rows that are asked about, each ready to be asked and judged, or with the reason why it is not."""
    templates = [Template(variant.template) for variant in variants]
    asked = []
    for place in sample(len(data.examples), evaluation.sample, seed=evaluation.seed):
        example = data.examples[place]
        try:
            if example.bad is not None:
                raise example.bad
            judge = evaluation.scorer.judge(example.line, example.values())
            for template in templates:
                prompt(template, example)
        except Bad as bad:
            asked.append(Asked(place, example, None, bad))
        else:
            asked.append(Asked(place, example, judge, None))
    if all(one.bad is not None for one in asked):
        first = asked[0].bad
        raise BadRequestError(f"None of {len(asked)} rows can be asked and judged. {first.message if first else ''}")
    return asked


def sample(total: int, wanted: int | None, *, seed: int) -> list[int]:
    """Which rows are asked about, in their order.

    Example:
        >>> few, more = sample(100, 3, seed=1), sample(100, 5, seed=1)
        >>> len(few), set(few) < set(more), sample(2, None, seed=1)
        (3, True, [0, 1])
    """
    if wanted is None or wanted >= total:
        return list(range(total))
    draw = SystemChance(seed).random
    keys = [draw() for _ in range(total)]
    return sorted(sorted(range(total), key=keys.__getitem__)[:wanted])


def prompt(template: Template, example: Example) -> str:
    """What is asked about a row.

    Raises:
        Bad: a gap stays empty, or all of it.
    """
    text = template.fill({name: example.text(name) for name in template.names})
    if not text.strip():
        raise Bad("no_prompt", f"The prompt of line {example.line} is empty.")
    return text


def _open(output: Path, spec: Mapping[str, Any]) -> Part:
    path = file_job.part_of(output / ANSWERS)
    try:
        output.mkdir(parents=True, exist_ok=True)
        strange = not path.exists() and any(file.name not in MADE for file in output.iterdir())
    except OSError as error:
        message = f"The folder `{output}` cannot be used: {error.strerror}."
        raise BadRequestError(message, hint="Name another one.") from None
    if strange:
        message = f"The folder `{output}` is not empty, and no evaluation is under way there."
        raise BadRequestError(message, code="output_exists", hint="Name another one.")
    return Part.open(path, spec, job=SystemChance().token())


async def _run(
    config: Config,
    evaluation: Evaluation,
    asked: Sequence[Asked],
    variants: Sequence[Variant],
    *,
    part: Part,
    clock: Clock,
    watched: Watched | None,
) -> Run:
    limits = [limit for model in evaluation.models for limit in file_job.allowed(config, model)]
    plan = Plan(
        concurrency=evaluation.concurrency or file_job.concurrency(limits),
        max_attempts=config.policies.retry.max_attempts,
        retry_failed=True,
        tags=file_job.tags(part),
    )
    order = Order(source=None, output=evaluation.output / ANSWERS, wish=Wish(), budget=evaluation.budget)
    rows = sum(one.bad is None for one in asked) * len(variants)
    before = await file_job.outside(config, order, part)
    async with await Gate.open(file_job.budgeted(config, order, part, before), clock=clock) as gate:
        run = Run(gate, _rows(asked, variants, evaluation.params), part, plan, clock=clock, chance=SystemChance())
        async with watched(run, rows) if watched else nullcontext():
            await run.work()
    return run


async def _rows(asked: Sequence[Asked], variants: Sequence[Variant], params: Mapping[str, Any]) -> AsyncIterator[Taken]:
    templates = [Template(variant.template) for variant in variants]
    for one in asked:
        if one.bad is not None:
            continue
        for place, (variant, template) in enumerate(zip(variants, templates, strict=True)):
            messages = [{"role": "user", "content": prompt(template, one.example)}]
            body = _encode({**params, "model": variant.model, "messages": messages})
            number = one.place * len(variants) + place + 1
            row = Row(number=number, id=f"{one.example.line}/{place + 1}", operation=Operation.CHAT, body=body)
            yield Taken(row, crc32(body))


def _report(
    evaluation: Evaluation,
    asked: Sequence[Asked],
    variants: Sequence[Variant],
    judged: Judgement,
    *,
    run: Run,
    seconds: float,
    now: float,
) -> Report:
    chance = SystemChance(evaluation.seed)
    scorer = evaluation.scorer
    bad = sum(one.bad is not None for one in asked)
    binary = scorer.binary
    found = [
        report.found(variant, column, bad=bad, binary=binary, chance=chance)
        for variant, column in zip(variants, judged.columns, strict=True)
    ]
    pairs = report.comparisons(variants, judged.columns, binary=binary, chance=chance)
    return Report(
        version=report.VERSION,
        dataset=str(evaluation.dataset),
        created=round(now, 3),
        seed=evaluation.seed,
        scorer=scorer.told,
        params=evaluation.params,
        rows=len(asked),
        bad_rows=bad,
        failed=sum(one.failed for one in found),
        asked=run.answered,
        seconds=round(seconds, 3),
        rows_per_second=round(run.answered / seconds, 3) if seconds > 0 else 0.0,
        rate_limited=run.limited,
        ambiguous=len(run.ambiguous),
        cost_usd=show_usd(run.part.tally.cost),
        stopped=None if run.stopped is None else run.stopped.code,
        variants=found,
        comparisons=pairs,
        level=report.LEVEL,
        best=report.best(found, pairs),
    )


def _write(path: Path, text: bytes) -> None:
    with judging.writing(path) as file:
        file.write(text)
