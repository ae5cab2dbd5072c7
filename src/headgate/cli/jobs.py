"""`headgate jobs`: durable jobs, given, looked at and steered from any terminal that knows the store.

Workers do them (`headgate worker`). Batches that programs have left with a provider are listed beside them. Decides
what the flags mean; refuses to know how jobs lie in the store (`stores/jobs.py`) and are done (`jobs/durable`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from headgate.cli.books import books
from headgate.cli.running import deadline_of, dollars_of, parameters, with_model
from headgate.cli.table import show as draw
from headgate.cli.table import table
from headgate.cli.voice import FAILED, FAILED_ROWS, OVER_BUDGET, ConfigFile, Json, configuration, put, say
from headgate.core.errors import BadRequestError, UnknownObjectError
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance, SystemClock
from headgate.jobs import file_job
from headgate.jobs.batch.jobs import BatchJob, BatchJobs
from headgate.jobs.durable import result
from headgate.jobs.durable.desk import Desk, Job
from headgate.jobs.durable.serving import must_last
from headgate.jobs.file_job import Order
from headgate.jobs.intake import Wish
from headgate.jobs.row import Lane
from headgate.jobs.template import Template
from headgate.stores.jobs import JobState, Settings

T = TypeVar("T")
MODES = ("realtime", "flex")
NONE = "none"
"""What takes a setting away."""

app = typer.Typer(help="Give, look at and steer jobs that outlive their terminal.")

Name = Annotated[str, typer.Argument(help="Name of the job.")]
Money = Annotated[str | None, typer.Option("--budget", help="US dollars that all of it may cost.")]
Late = Annotated[
    str | None, typer.Option("--deadline", help="From now on so long, such as `8h`; rows that are late then fail.")
]
Together = Annotated[
    str | None, typer.Option("--concurrency", help="Rows that each worker asks at the same time.  [default: by limits]")
]


@app.command()
def submit(
    source: Annotated[
        str,
        typer.Argument(metavar="INPUT", help="JSON Lines, or a CSV file (`.csv`); `-` reads JSON Lines from stdin."),
    ],
    name: Annotated[str | None, typer.Option("--name", help="What to call it.  [default: made up]")] = None,
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
    mode: Annotated[str, typer.Option("--mode", help="realtime; flex: half price, slower.")] = "realtime",
    budget: Money = None,
    deadline: Late = None,
    concurrency: Together = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Give a file of questions to whatever workers there are, and print the job's name.

    The store keeps the rows: the file is not needed any more. The same command with the same `--name` goes on with a
    job that was paused, stopped or cancelled, unless something about it has changed.
    """
    if mode not in MODES:
        hint = "`headgate run --mode batch` makes batches, which need no worker."
        raise BadRequestError(f"--mode is {mode!r}; it is one of {', '.join(MODES)}.", hint=hint)
    sheet = csv or column is not None or source.lower().endswith(".csv")
    wish = Wish(
        model=model,
        template=None if template is None else Template(template),
        column=column or "prompt",
        params=parameters(param or []),
        sheet=sheet,
    )
    path = None if source == "-" else Path(source)
    settings = Settings(
        concurrency=None if concurrency is None else _many(concurrency),
        budget=dollars_of(budget),
        deadline=None if deadline is None else _until(deadline),
    )
    loaded = configuration(config).config
    must_last(loaded)
    order = with_model(Order(source=path, output=Path(), wish=wish, lane=Lane(mode)), loaded)

    async def give(gate: Gate) -> Job:
        with file_job.opened(path) as file:
            return await _desk(gate).submit(
                file_job.rows(file, order.tiered),
                {**order.spec, "lane": str(order.lane)},
                name=name,
                number=file_job.length(file, sheet=sheet),
                settings=settings,
            )

    job = _on(loaded, give)
    if json:
        put(_line(job))
        return
    put(job.id)
    rows = f"{job.rows:,} row{'' if job.rows == 1 else 's'}"
    say(f"{rows}. `headgate worker` does them; `headgate jobs show {job.id}` tells.")


@app.command("list")
def list_(json: Json = False, config: ConfigFile = None) -> None:
    """List the latest jobs, and the latest batches that programs have left with a provider."""

    async def look(gate: Gate) -> list[Job | BatchJob]:
        found: list[Job | BatchJob] = [*await _desk(gate).list()]
        found += await BatchJobs(gate).list()
        return sorted(found, key=lambda job: job.created_at, reverse=True)

    found = _on(books(configuration(config, serving=False).config), look)
    if json:
        for job in found:
            put(_line(job))
    elif found:
        draw(table("job", ["kind", "status", "model", "rows", "answered", "failed", "cost", "begun"], _rows(found)))
    else:
        say("There are no jobs. `headgate jobs submit INPUT` gives one.")


@app.command()
def show(name: Name, json: Json = False, config: ConfigFile = None) -> None:
    """Show how a job stands."""

    async def look(gate: Gate) -> Job | BatchJob:
        try:
            return await _desk(gate).status(name)
        except UnknownObjectError as error:
            try:
                return await BatchJobs(gate).status(name)
            except UnknownObjectError:
                raise error from None

    _told(_on(books(configuration(config, serving=False).config), look), json=json)


@app.command()
def pause(name: Name, json: Json = False, config: ConfigFile = None) -> None:
    """Have nobody go on with a job for now; rows in flight are finished."""
    _steered(config, lambda desk: desk.pause(name), json=json)


@app.command()
def resume(name: Name, json: Json = False, config: ConfigFile = None) -> None:
    """Go on with a job that was paused, stopped or cancelled."""
    _steered(config, lambda desk: desk.resume(name), json=json)


@app.command()
def retune(
    name: Name,
    concurrency: Together = None,
    budget: Money = None,
    deadline: Late = None,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Change a job's settings, at once where it runs; `none` takes one away."""
    changes: dict[str, Any] = {}
    if concurrency is not None:
        changes["concurrency"] = None if concurrency == NONE else _many(concurrency)
    if budget is not None:
        changes["budget"] = None if budget == NONE else dollars_of(budget)
    if deadline is not None:
        changes["deadline"] = None if deadline == NONE else _until(deadline)
    if not changes:
        raise BadRequestError("Nothing is to change.", hint="Name --concurrency, --budget or --deadline.")
    _steered(config, lambda desk: desk.retune(name, **changes), json=json)


@app.command()
def cancel(name: Name, json: Json = False, config: ConfigFile = None) -> None:
    """End a job, or have a batch ended at its provider; what was answered stays."""
    loaded = configuration(config).config
    must_last(loaded)

    async def end(gate: Gate) -> Job | BatchJob:
        desk = _desk(gate)
        try:
            return await desk.cancel(name)
        except UnknownObjectError as error:
            try:
                return await BatchJobs(gate).cancel(name)
            except UnknownObjectError:
                raise error from None

    _told(_on(loaded, end), json=json)


@app.command()
def output(
    name: Name,
    target: Annotated[Path, typer.Option("--output", "-o", help="Where the answers go.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job is over.")] = False,
    json: Json = False,
    config: ConfigFile = None,
) -> None:
    """Write what came of a job so far, in the order of its input; see `headgate run` for its lines.

    Ends with 3 when its budget has stopped the job, with 4 when rows have failed, and with 1 when it was stopped.
    """

    async def write(gate: Gate) -> tuple[Job, int]:
        desk, book = _desk(gate), gate.batching.jobs
        job = await (desk.wait(name) if wait else desk.status(name))
        record = await book.find(job.id)
        assert record is not None, "it was found"
        return job, await result.write(book, record, target)

    job, number = _on(books(configuration(config, serving=False).config), write)
    if json:
        put(_line(job))
    say(f"{number:,} of {job.rows:,} rows are in `{target}`; the job is {job.status}.")
    if job.error is not None:
        say(f"It was stopped: {job.error}")
    if job.status is JobState.OVER_BUDGET:
        raise typer.Exit(OVER_BUDGET)
    if job.status is JobState.STOPPED:
        raise typer.Exit(FAILED)
    if job.failed:
        raise typer.Exit(FAILED_ROWS)


@app.command()
def forget(name: Name, config: ConfigFile = None) -> None:
    """Take a job that is over out of the store, with all that came of it; its costs stay in the books."""

    async def drop(gate: Gate) -> None:
        await _desk(gate).forget(name)

    _on(books(configuration(config, serving=False).config), drop)
    say(f"The job {name!r} is forgotten.")


def _steered(config: Path | None, steer: Callable[[Desk], Awaitable[Job]], *, json: bool) -> None:
    async def do(gate: Gate) -> Job:
        return await steer(_desk(gate))

    _told(_on(books(configuration(config, serving=False).config), do), json=json)


def _on(config: Config, work: Callable[[Gate], Awaitable[T]]) -> T:
    async def do() -> T:
        async with await Gate.open(config) as gate:
            return await work(gate)

    return asyncio.run(do())


def _desk(gate: Gate) -> Desk:
    return Desk(gate.batching.jobs, clock=SystemClock(), chance=SystemChance())


def _line(job: Job | BatchJob) -> str:
    return msgspec.json.encode(job).decode()


def _rows(found: list[Job | BatchJob]) -> list[list[str]]:
    return [
        [
            job.id, "rows" if isinstance(job, Job) else "batch", str(job.status), job.model or "default",
            f"{job.rows if isinstance(job, Job) else job.total:,}",
            f"{job.succeeded if isinstance(job, Job) else job.completed:,}", f"{job.failed:,}",
            "unknown" if job.cost_usd is None else f"${job.cost_usd:,.4f}", f"{job.created_at:%Y-%m-%d %H:%M}",
        ]
        for job in found
    ]  # fmt: skip


def _told(job: Job | BatchJob, *, json: bool) -> None:
    if json:
        put(_line(job))
        return
    for fact, value in msgspec.to_builtins(job).items():
        if fact == "ambiguous" and value:
            put(f"{fact}: {len(value):,} rows were asked again: {', '.join(value[:20])}{' …' if value[20:] else ''}")
        elif value not in (None, (), [], ""):
            put(f"{fact}: {value:,}" if isinstance(value, int) else f"{fact}: {value}")


def _many(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 10_000:
        raise BadRequestError(f"--concurrency is {text!r}; it must be a number from 1 to 10000.")
    return int(text)


def _until(text: str) -> float:
    return SystemClock().time() + deadline_of(text)
