"""`headgate eval`: a dataset asked of several models and prompts, and which of them is the better one.

Decides what the flags mean, how the result reads on a terminal, and how the command ends; refuses to know how rows are
asked, judged and compared (`apps/evals`).
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from headgate.apps.evals import Evaluation, Report, Tolerance, evaluate
from headgate.apps.evals import scorer as scorer_of
from headgate.apps.evals.page import counted, dollars, p_value, percent, verdict
from headgate.cli.progress import Watch, pace_of, shown
from headgate.cli.running import dollars_of, parameters
from headgate.cli.table import show, table
from headgate.cli.voice import (
    FAILED,
    FAILED_ROWS,
    OVER_BUDGET,
    ConfigFile,
    Json,
    LocalModel,
    Simulate,
    complain,
    configuration,
    put,
    say,
)
from headgate.core.errors import BadRequestError, OverBudgetError
from headgate.gate.ports import SystemClock
from headgate.jobs import file_job
from headgate.jobs.run import Run

LARGEST = 1_000_000
"""Bytes of a prompt's file; a larger one is a mistake."""


def run(
    dataset: Annotated[
        Path, typer.Argument(metavar="DATASET", help="Rows with what is asked and expected: JSON Lines, or `.csv`.")
    ],
    models: Annotated[str, typer.Option("--models", "-m", help="Who is asked; commas between them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for answers and reports.")],
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            "--prompts",
            "-p",
            help="A prompt with gaps, `{column}`, or files of such prompts, commas between them; may be repeated.  "
            "[default: {prompt}]",
        ),
    ] = None,
    scorer: Annotated[
        str, typer.Option("--scorer", help="exact, contains, regex, json, numeric, or python:module.function.")
    ] = "exact",
    expected: Annotated[str, typer.Option("--expected", help="The field that holds what is expected.")] = "answer",
    ignore_case: Annotated[bool, typer.Option("--ignore-case", help="Capitals do not matter.")] = False,
    tolerance: Annotated[
        str | None, typer.Option("--tolerance", help="How far a number may be off, such as 0.5 or 1%.")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", help="A parameter of every request, such as `max_tokens=100`; may be repeated."),
    ] = None,
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, help="Only so many rows, chosen by the seed.")
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", min=1, max=10_000, help="Rows at the same time.  [default: by the limits]"),
    ] = None,
    budget: Annotated[str | None, typer.Option("--budget", help="US dollars that all of it may cost.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Equal seeds give equal samples and intervals.")] = 0,
    json: Json = False,
    config: ConfigFile = None,
    simulate: Simulate = False,
    local: LocalModel = False,
) -> None:
    """Compare models and prompts on a dataset, row by row.

    Each model is asked with each prompt; variants are compared row by row. The folder gets `report.html`, `report.json`
    and `rows.jsonl`. The same command again goes on after an interruption, and judges anew without asking anew. Ends
    with 3 when the budget stops it, and with 4 when rows have failed.
    """
    wanted = Evaluation(
        dataset=dataset,
        models=[model.strip() for model in models.split(",") if model.strip()],
        prompts=_prompts(prompts or ["{prompt}"]),
        # As with `python -m`: a module of the user's lies where the user is.
        scorer=scorer_of(
            scorer,
            expected=expected,
            ignore_case=ignore_case,
            tolerance=None if tolerance is None else _tolerance(tolerance),
            folder=str(Path.cwd()),
        ),
        output=output,
        params={name: msgspec.json.decode(value) for name, value in parameters(param or []).items()},
        sample=sample,
        concurrency=concurrency,
        budget=dollars_of(budget),
        seed=seed,
    )
    loaded = configuration(config, simulate=simulate, local=local)
    clock = SystemClock()
    limits = [limit for model in wanted.models for limit in file_job.allowed(loaded.config, model)]

    def watched(run: Run, rows: int) -> AbstractAsyncContextManager[None]:
        return shown(Watch(run, total=rows, pace=pace_of(limits), budget=wanted.budget, clock=clock))

    try:
        report = asyncio.run(evaluate(loaded.config, wanted, clock=clock, watched=watched))
    except OverBudgetError as error:
        complain(error)
        raise typer.Exit(OVER_BUDGET) from None
    except KeyboardInterrupt:
        say(f"\nStopped. What was answered is in `{output}`; the same command goes on.")
        raise
    if json:
        put(msgspec.json.encode(report).decode())
    else:
        _show(report)
    _tell(report, output)
    if report.stopped is not None:
        raise typer.Exit(OVER_BUDGET if report.stopped == OverBudgetError.code else FAILED)
    if report.failed:
        raise typer.Exit(FAILED_ROWS)


def _show(report: Report) -> None:
    rows = [
        [
            one.name,
            "none" if one.quality is None else percent(one.quality.mean),
            "" if one.quality is None else f"{100 * one.quality.low:.1f} to {100 * one.quality.high:.1f}",
            dollars(one.cost_per_row_usd),
            *(f"{one.latency_ms[name]:,.0f} ms" if one.latency_ms else "none" for name in ("mean", "p95")),
            f"{one.failed:,}",
        ]
        for one in report.variants
    ]
    show(table("variant", ["quality", "95 %", "cost/row", "latency", "p95", "failed"], rows))
    if report.comparisons:
        pairs = [
            [
                f"{pair.a} - {pair.b}",
                f"{100 * pair.difference.mean:+.1f}",
                f"{100 * pair.difference.low:+.1f} to {100 * pair.difference.high:+.1f}",
                f"{pair.rows:,}",
                f"{pair.left_out:,}",
                p_value(pair.p_holm).removeprefix("= "),
            ]
            for pair in report.comparisons
        ]
        p = "p (Holm)" if len(pairs) > 1 else "p"
        show(table("difference", ["points", "95 %", "rows", "left out", p], pairs))


def _tell(report: Report, output: Path) -> None:
    for line in verdict(report):
        say(line)
    speed = f"{report.seconds:,.1f} s ({report.rows_per_second:,.1f} rows/s)"
    asked = speed if report.asked else "all were answered before, and nobody was asked"
    say(f"{counted(report)}, ${report.cost_usd}; {asked}. Report: `{output / 'report.html'}`.")
    if report.failed:
        again = "the same command asks again where nobody answered"
        say(f"{report.failed:,} failed; `{output / 'rows.jsonl'}` says why, and {again}.")
    if report.ambiguous:
        say(f"{report.ambiguous:,} rows were asked twice, because a process died while they were in flight.")
    if report.stopped is not None:
        cure = " with a higher `--budget`" if report.stopped == OverBudgetError.code else ""
        say(f"Stopped: {report.stopped}. The same command goes on{cure}.")


def _prompts(given: list[str]) -> dict[str, str]:
    """The prompts, by name: a text has a gap, and so a brace; everything else names files."""
    found: dict[str, str] = {}
    for text in given:
        if "{" in text and not text.startswith("@"):
            _add(found, f"prompt {len(found) + 1}", text)
            continue
        for path in filter(None, (part.strip().removeprefix("@") for part in text.split(","))):
            name = Path(path).stem
            _add(found, path if name in found else name, _read(path))
    return found


def _add(found: dict[str, str], name: str, text: str) -> None:
    if name in found or text in found.values():
        raise BadRequestError(f"The prompt {name!r} is given twice.", hint="Leave one of them out, or rename a file.")
    found[name] = text


def _read(path: str) -> str:
    hint = "A prompt is a text with gaps, such as `Answer briefly: {question}`, or a file that holds one."
    try:
        with Path(path).open("rb") as file:
            raw = file.read(LARGEST + 1)
        if len(raw) > LARGEST:
            raise BadRequestError(f"The prompt `{path}` has more than {LARGEST:,} bytes.", hint=hint)
        return raw.decode("utf-8-sig").rstrip("\r\n")
    except OSError as error:
        raise BadRequestError(f"The prompt `{path}` cannot be read: {error.strerror}.", hint=hint) from None
    except UnicodeDecodeError:
        raise BadRequestError(f"The prompt `{path}` is not UTF-8.", hint=hint) from None


def _tolerance(text: str) -> Tolerance:
    share = text.endswith("%")
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise BadRequestError(f"--tolerance is {text!r}; it must be a number from 0 on, such as 0.5, or 1%.")
    return Tolerance(absolute=0.0, relative=value / 100) if share else Tolerance(absolute=value)
