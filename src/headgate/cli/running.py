"""`headgate run`: a file of questions in, a file of answers out.

Decides what the flags mean and how the run ends; refuses to know how rows are read, asked and kept (`jobs/`).
"""

import asyncio
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from headgate.cli import progress
from headgate.cli.progress import Watch, pace_of, shown
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
from headgate.core.errors import BadRequestError, HeadgateError, OverBudgetError
from headgate.gate import ask
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance, SystemClock
from headgate.jobs import file_job
from headgate.jobs.file_job import Order
from headgate.jobs.in_batches import InBatches, refusal, worthwhile
from headgate.jobs.intake import Wish
from headgate.jobs.part import Part
from headgate.jobs.quote import LaneQuote, Survey, quote
from headgate.jobs.row import Lane
from headgate.jobs.run import Plan, Run
from headgate.jobs.template import Template

MANY = 100_000
"""Rows whose output takes a while to write."""
BASES = {
    "sample": "as the rows that have their answers",
    "history": "as the ledger knows the model",
    "assumed": "though nothing is known of such answers: `--sample 20` asks a few rows first, and narrows it",
}
MODES = ("auto", "realtime", "flex", "batch")


def run(
    source: Annotated[
        str,
        typer.Argument(metavar="INPUT", help="JSON Lines, or a CSV file (`.csv`); `-` reads JSON Lines from stdin."),
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where the answers go.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="For rows that name none.")] = None,
    template: Annotated[
        str | None, typer.Option("--template", "-t", help="A prompt with gaps, `{column}`, filled from each row.")
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", help="The column of a CSV file that holds the prompts.  [default: prompt]")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="The input is a CSV file, whatever its name.")] = False,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", help="A parameter of every request, such as `max_tokens=100`; may be repeated."),
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            "--mode", help="realtime; flex: half price, slower; batch: half price, within a day; auto: by size."
        ),
    ] = "realtime",
    budget: Annotated[str | None, typer.Option("--budget", help="US dollars that all of it may cost.")] = None,
    deadline: Annotated[
        str | None, typer.Option("--deadline", help="Stop asking after so long, such as `30m`; late rows fail.")
    ] = None,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="Only so many rows, spread evenly.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost and take; ask nobody.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Ask rows again that failed before.")] = False,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", min=1, max=10_000, help="Rows at the same time.  [default: by the limits]"),
    ] = None,
    as_completed: Annotated[
        bool, typer.Option("--as-completed", help="Answers in the order in which they came, not in that of the input.")
    ] = False,
    json: Json = False,
    config: ConfigFile = None,
    simulate: Simulate = False,
    local: LocalModel = False,
) -> None:
    """Answer a file of questions, each exactly once.

    As fast as the limits allow. Run the same command again to go on after an interruption: what was answered is never
    asked again. Ends with 3 when the budget stops it, and with 4 when rows have failed; each failed row's line says
    why.
    """
    is_sheet = csv or column is not None or source.lower().endswith(".csv")
    wish = Wish(
        model=model,
        template=None if template is None else Template(template),
        column=column or "prompt",
        params=parameters(param or []),
        sheet=is_sheet,
    )
    if mode not in MODES:
        raise BadRequestError(f"--mode is {mode!r}; it is one of {', '.join(MODES)}.")
    money, seconds = dollars_of(budget), None if deadline is None else deadline_of(deadline)
    if output is None and not dry_run:
        raise BadRequestError("No output is named.", hint="Write `-o FILE`; `--dry-run` needs none.")
    path = None if source == "-" else Path(source)
    loaded = configuration(config, simulate=simulate, local=local)
    with file_job.opened(path) as file:
        if mode == "auto":
            batched = None if output is None else file_job.is_batched(output)
            if batched is None:
                batched = worthwhile(file_job.length(file, sheet=is_sheet), seconds)
            mode = "batch" if batched else "realtime"
        order = Order(source=path, output=output or Path(), wish=wish, lane=Lane(mode), budget=money)
        order = with_model(order, loaded.config)
        if is_sheet and order.wish.model is None:
            hint = "Write `--model NAME`, or set `models.default` or `OPENAI_MODEL`."
            raise BadRequestError("No model is named, and no default model is set.", param="model", hint=hint)
        try:
            task = _Task(order, loaded.config, file, concurrency, seconds, sample, retry_failed, as_completed, json)
            if dry_run:
                asyncio.run(_quoted(task))
                return
            code = asyncio.run(task.done())
        except KeyboardInterrupt:
            say(f"\nStopped. What was answered is in `{order.part}`; the same command goes on.")
            raise
    if code:
        raise typer.Exit(code)


class _Task:
    """One run, from the part file to the summary."""

    def __init__(
        self,
        order: Order,
        config: Config,
        file: int,
        concurrency: int | None,
        seconds: float | None,
        sample: int | None,
        retry_failed: bool,  # noqa: FBT001  made in one place
        as_completed: bool,  # noqa: FBT001  ditto
        json: bool,  # noqa: FBT001  ditto
    ) -> None:
        self.order = order
        self.config = config
        self.file = file
        self.limits = file_job.allowed(config, order.wish.model)
        self.concurrency = concurrency or file_job.concurrency(self.limits)
        self.seconds = seconds
        self.sample = sample
        self.retry_failed = retry_failed
        self.as_completed = as_completed
        self.json = json
        self.clock, self.chance = SystemClock(), SystemChance()

    async def done(self) -> int:
        """Do it; the exit code."""
        part = file_job.open_part(self.order, job=self.chance.token())
        try:
            return await self._run(part)
        except OverBudgetError as error:
            complain(error)
            return OVER_BUDGET
        finally:
            part.close()

    async def _run(self, part: Part) -> int:
        clock, order = self.clock, self.order
        if part.answered_before:
            say(f"Going on with `{order.part}`: {part.answered_before:,} rows have their answers.")
        total = file_job.length(self.file, sheet=order.wish.sheet)
        start = clock.monotonic()
        plan = Plan(
            concurrency=self.concurrency,
            max_attempts=self.config.policies.retry.max_attempts,
            deadline=None if self.seconds is None else start + self.seconds,
            retry_failed=self.retry_failed,
            tags=file_job.tags(part),
            wanted=None if self.sample is None else spread(self.sample, total),
        )
        before = await file_job.outside(self.config, order, part)
        async with await Gate.open(file_job.budgeted(self.config, order, part, before), clock=clock) as gate:
            run = Run(gate, file_job.rows(self.file, order.tiered), part, plan, clock=clock, chance=self.chance)
            watch = Watch(run, total=total, pace=pace_of(self.limits), budget=order.budget, clock=clock)
            if order.lane is Lane.BATCH and (error := refusal(gate, order.wish.model)) is not None:
                raise error
            work = run.work
            if order.lane is Lane.BATCH:
                work = InBatches(
                    gate, run, tags=plan.tags, concurrency=self.concurrency, deadline=self.seconds, clock=clock
                ).work
            async with shown(watch):
                await work()
        complete = run.stopped is None and self.sample is None and not part.tally.failed
        if part.tally.rows > MANY:
            say(f"{part.tally.rows:,} rows, finalizing: the output is being written.")
        if _in_vain(run, order):
            part.discard()
            assert run.stopped is not None, "else it is not in vain"
            raise run.stopped
        part.finish(order.output, in_order=not self.as_completed, complete=complete)
        self._tell(run, clock.monotonic() - start)
        if run.stopped is not None:
            return OVER_BUDGET if file_job.over_budget(run.stopped) else FAILED
        return FAILED_ROWS if part.tally.failed else 0

    def _tell(self, run: Run, seconds: float) -> None:
        tally, facts = run.part.tally, file_job.summary(run, seconds=seconds)
        if self.json:
            put(msgspec.json.encode(facts).decode())
        each = facts["rows_per_second"]
        say(
            f"{tally.succeeded:,} rows answered, {tally.failed:,} failed, ${facts['cost_usd']}; {run.answered:,} of "
            f"them in {seconds:,.1f} s ({each:,.1f} rows/s, {run.limited:,} rate limits met). "
            f"Output: `{self.order.output}`."
        )
        for failure in run.failures:
            say(f"  {failure}")
        if run.failures and (more := tally.failed - len(run.failures)) > 0:
            say(f"  and {more:,} more")
        if run.ambiguous:
            say(f"{len(run.ambiguous):,} rows were asked twice, because a process died while they were in flight.")
        if run.stopped is not None:
            say()
            complain(run.stopped)
            say(f"\nThe rest waits: the same command goes on{_cure(run.stopped)}.")
        elif self.sample is not None:
            say("This was a sample; the same command without `--sample` goes on with the rest.")
        elif tally.failed:
            say("Each failed row's line says why; the same command with `--retry-failed` asks them again.")


def _in_vain(run: Run, order: Order) -> bool:
    """Whether nothing is worth keeping: it was stopped, and nobody was ever answered, nor may have been."""
    part = run.part
    return (
        run.stopped is not None
        and not file_job.over_budget(run.stopped)
        and order.lane is not Lane.BATCH
        and not (part.tally.succeeded or part.tally.cost or part.ambiguous)
    )


def spread(sample: int, total: int | None) -> Any:
    """Which rows, by number, are a sample: spread evenly over the input; the first ones of a pipe.

    Example:
        >>> wanted = spread(2, 10)
        >>> [number for number in range(1, 12) if wanted(number)]
        [1, 6]
    """
    if total is None or sample >= total:
        return lambda number: total is not None or number <= sample
    chosen = frozenset(number * total // sample + 1 for number in range(sample))
    return chosen.__contains__


async def _quoted(task: "_Task") -> None:
    """Say what it would cost and take."""
    order, config = task.order, task.config
    survey = Survey(order.wish.model)
    await survey.read(file_job.rows(task.file, order.wish))
    tally = None
    if order.output.name and order.part.exists():
        part = file_job.open_part(order, job="")
        tally = part.tally
        part.close()
    async with await Gate.open(config, clock=task.clock) as gate:
        found = await quote(gate, survey, concurrency=task.concurrency, clock=task.clock, tally=tally, lane=order.lane)
    if task.json:
        put(msgspec.json.encode(found).decode())
        return
    rows = [
        [str(lane), f"${one.cost_usd:,.4f}", f"${one.low_usd:,.4f} to ${one.high_usd:,.4f}", _takes(lane, one)]
        for lane, one in found.lanes.items()
    ]
    show(table("lane", ["cost", "nine times of ten", "time"], rows))
    bad = f" {found.bad_rows:,} lines are no rows and would fail." if found.bad_rows else ""
    free = f" Nobody knows the price of {found.unpriced_rows:,} rows." if found.unpriced_rows else ""
    tokens = f"about {found.prompt_tokens:,} tokens in and {found.completion_tokens:,} out"
    say(f"{found.rows:,} rows, {tokens}, {BASES[found.basis]}.{bad}{free} Nothing was sent.")


def _takes(lane: Lane, one: LaneQuote) -> str:
    if lane is Lane.BATCH:
        return "up to 24 h"
    return "no limit is known" if one.seconds is None else f"{progress.time(one.seconds)}"


def with_model(order: Order, config: Config) -> Order:
    """The same order with the model that rows are asked of which name none."""
    if order.wish.model is not None:
        return order
    default = config.models.get("default")
    name = default if isinstance(default, str) else None if default is None else "default"
    return msgspec.structs.replace(order, wish=msgspec.structs.replace(order.wish, model=name))


def _cure(error: HeadgateError) -> str:
    return ", with a higher `--budget`" if file_job.over_budget(error) else ""


def dollars_of(text: str | None) -> Decimal | None:
    """A budget as it was written.

    Raises:
        BadRequestError: it is no sum above 0.
    """
    if text is None:
        return None
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        raise BadRequestError(f"--budget is {text!r}; it must be US dollars above 0, such as 5 or 0.25.")
    return amount


def deadline_of(text: str) -> float:
    """A deadline as it was written, in seconds.

    Raises:
        BadRequestError: it is no duration of at most seven days.
    """
    try:
        return ask.deadline(text)
    except BadRequestError:
        raise BadRequestError(
            f"--deadline is {text!r}; it must be a duration of at most seven days.", hint="Write `30s`, `45m` or `8h`."
        ) from None


def parameters(given: list[str]) -> dict[str, bytes]:
    """Parameters of requests as they were written, `NAME=VALUE`, in JSON by name.

    Raises:
        BadRequestError: one is written otherwise, or is not for everybody to set.
    """
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadRequestError(f"--param {text!r} is not NAME=VALUE.", hint="Write `--param max_tokens=100`.")
        if name in {"model", "messages", "stream"}:
            raise BadRequestError(f"--param cannot set {name!r}.", hint="There is `--model`; rows bring messages.")
        try:
            msgspec.json.decode(value)
            found[name] = value.encode()
        except msgspec.DecodeError:
            # A word is a text; whoever means another thing writes it in JSON.
            found[name] = msgspec.json.encode(value)
    return found
