"""A job over a file: an input, an output, what is asked of every row, and the part file between them.

Decides what may be put together, what a job that goes on must have in common with its beginning, and what is said of
it in the end. Refuses to know who shows that, and how rows are answered.
"""

import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from stat import S_ISREG
from typing import Any

import msgspec

from headgate.core.errors import BadRequestError, HeadgateError, OverBudgetError
from headgate.core.money import show_usd, to_usd
from headgate.gate.config import Budget, Config, TargetSettings
from headgate.gate.config_providers import Limits
from headgate.gate.gate import Gate
from headgate.jobs.intake import Intake, Taken, Wish
from headgate.jobs.lines import PIECE, lines
from headgate.jobs.part import Part, peek
from headgate.jobs.row import Lane
from headgate.jobs.run import Run
from headgate.stores.protocols import Query

TAG = "headgate-run"
"""The tag of a job's calls; its value is the job's name."""
BATCHED, AT_ONCE = "batch", "at once"
"""How a job's rows are asked, as the part file has it."""
FEWEST, MOST = 32, 1000
"""Rows that are asked at the same time, where limits say how many fill them."""
UNTOLD = 100
"""The same where they do not say."""
SECONDS = 20.0
"""How long an answer takes at most, mostly: so many seconds' worth of requests fill a limit."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted.

    Attributes:
        source: the input; None for standard input.
        output: where the outcomes go.
        wish: what is asked of every row.
        lane: how rows are answered.
        budget: US dollars that the job may cost in all.
    """

    source: Path | None
    output: Path
    wish: Wish
    lane: Lane = Lane.REALTIME
    budget: Decimal | None = None

    @property
    def part(self) -> Path:
        """Where the part file lies."""
        return part_of(self.output)

    @property
    def tiered(self) -> Wish:
        """What is asked of every row in this lane."""
        return msgspec.structs.replace(self.wish, tier="flex") if self.lane is Lane.FLEX else self.wish

    @property
    def spec(self) -> dict[str, Any]:
        """What must not change while the job goes on."""
        wish = self.wish
        return {
            "model": wish.model,
            "template": None if wish.template is None else wish.template.text,
            "column": wish.column if wish.sheet and wish.template is None else None,
            "format": "csv" if wish.sheet else "jsonl",
            # What a batch has must not be asked a second time in another way.
            "lane": BATCHED if self.lane is Lane.BATCH else AT_ONCE,
            "params": {name: msgspec.json.decode(wish.params[name]) for name in sorted(wish.params)},
        }


def part_of(output: Path) -> Path:
    """Where the part file of an output lies."""
    return output.with_name(output.name + ".part")


@contextmanager
def opened(source: Path | None) -> Iterator[int]:
    """An input, open for reading.

    Raises:
        BadRequestError: it cannot be read.
    """
    if source is None:
        yield 0
        return
    try:
        file = os.open(source, os.O_RDONLY)
    except OSError as error:
        raise _unreadable(source, error) from None
    try:
        if source.is_dir():
            raise BadRequestError(f"The input `{source}` is a folder.", hint="Name a file, or `-` for standard input.")
        yield file
    finally:
        os.close(file)


def rows(file: int, wish: Wish) -> AsyncIterator[Taken]:
    """The rows of an input that is open; see `Intake.rows`."""
    return Intake(wish).rows(lines(file))


def length(file: int, *, sheet: bool) -> int | None:
    """How many rows a file has, near enough: its lines. None for a pipe, which nobody can read twice."""
    if not S_ISREG(os.fstat(file).st_mode):
        return None
    found, at, last = 0, 0, b"\n"
    while piece := os.pread(file, PIECE, at):
        found += piece.count(b"\n")
        at += len(piece)
        last = piece[-1:]
    return max(found + (last != b"\n") - sheet, 0)


def open_part(order: Order, *, job: str) -> Part:
    """Begin a job, or go on with it.

    Raises:
        BadRequestError: an output is there that nobody works on, or the job was begun with other settings.
    """
    if order.output.is_dir():
        raise BadRequestError(f"The output `{order.output}` is a folder.", hint="Name a file.")
    if order.source is not None and order.output.resolve() == order.source.resolve():
        raise BadRequestError("The output is the input.", hint="Name another file.")
    if order.output.exists() and not order.part.exists():
        raise BadRequestError(
            f"The output `{order.output}` exists, and no job is under way there.",
            code="output_exists",
            hint="Remove it, or name another one.",
        )
    return Part.open(order.part, order.spec, job=job)


def is_batched(output: Path) -> bool | None:
    """Whether the job that is under way at an output goes through the Batch API; None where there is no job."""
    head = peek(part_of(output))
    return None if head is None else head.spec.get("lane") == BATCHED


async def outside(config: Config, order: Order, part: Part) -> int:
    """What a job has cost before that its budget does not know of, in picodollars: earlier runs may have had none."""
    if order.budget is None or not part.tally.rows:
        return 0
    if config.store.startswith("memory:"):
        # Books in memory forget what the job has spent with the process.
        return part.tally.cost
    own = cap(part.job, order.budget)
    books = config.model_copy(update={"providers": {}, "models": {}, "keys": [], "budgets": [own]})
    async with await Gate.open(books) as gate:
        total, _ = await gate.usage(Query(where={f"tag:{TAG}": part.job}))
        known = sum(balance.spent for balance in await gate.budgets() if balance.cap.name == own.name)
    return max(total.cost - known, 0)


def budgeted(config: Config, order: Order, part: Part, before: int) -> Config:
    """A configuration in which the job can spend no more than its budget, less what was spent `outside` of it.

    Raises:
        OverBudgetError: all of it is spent.
    """
    if order.budget is None:
        return config
    spent = to_usd(before)
    if order.budget <= spent:
        message = f"The budget of ${order.budget} is spent: the job has cost ${show_usd(part.tally.cost)}."
        raise OverBudgetError(message, hint="Raise `--budget`.")
    return config.model_copy(update={"budgets": [*config.budgets, cap(part.job, order.budget - spent)]})


def cap(job: str, limit: Decimal) -> Budget:
    """The budget of a job."""
    return Budget(name=f"run {job}", scope="tag", tag=f"{TAG}={job}", window="total", limit_usd=limit, alert_at=[])


def tags(part: Part) -> Mapping[str, str]:
    """The tags of a job's calls."""
    return {TAG: part.job}


def targets(config: Config, model: str | None) -> Sequence[TargetSettings]:
    """Who answers a model; None stands for the default one."""
    route = config.models.get(model or "default", config.models.get("*"))
    if isinstance(route, str):
        route = config.models.get(route, config.models.get("*"))
    return () if route is None or isinstance(route, str) else route.targets


def first_target(config: Config, model: str | None) -> TargetSettings | None:
    """Who is asked first."""
    return min(targets(config, model), key=lambda target: target.priority, default=None)


def allowed(config: Config, model: str | None) -> list[Limits | None]:
    """What the providers allow that answer a model, each by itself; None for one of which nothing is told."""
    return [config.providers[target.provider].limits for target in targets(config, model)]


def concurrency(limits: Iterable[Limits | None]) -> int:
    """How many rows fill such limits."""
    most = 0
    for one in limits:
        if one is not None and one.concurrency is not None:
            # A few that wait, so that no place is ever empty.
            most += one.concurrency + max(4, one.concurrency // 10)
        elif one is not None and one.requests_per_minute is not None:
            most += round(one.requests_per_minute / 60 * SECONDS)
        else:
            most += UNTOLD
    return min(max(most, FEWEST), MOST) if most else UNTOLD


def summary(run: Run, *, seconds: float) -> dict[str, Any]:
    """What is said of a run that took so many seconds: a shape that scripts rely on."""
    tally, stopped = run.part.tally, run.stopped
    return {
        "rows": tally.rows,
        "succeeded": tally.succeeded,
        "failed": tally.failed,
        "cost_usd": show_usd(tally.cost),
        "seconds": round(seconds, 3),
        "rows_per_second": round(run.answered / seconds, 3) if seconds > 0 else 0.0,
        "prompt_tokens": tally.prompt_tokens,
        "completion_tokens": tally.completion_tokens,
        "rate_limited": run.limited,
        "lanes": {str(lane): number for lane, number in tally.lanes.items()},
        "answered_before": run.part.answered_before,
        "unpriced": tally.unpriced,
        "ambiguous": run.ambiguous,
        "stopped": None if stopped is None else stopped.code,
    }


def over_budget(error: HeadgateError | None) -> bool:
    """Whether a run ended for want of money."""
    return isinstance(error, OverBudgetError)


def _unreadable(source: Path, error: OSError) -> BadRequestError:
    return BadRequestError(f"The input `{source}` cannot be read: {error.strerror}.", hint="Name a file that exists.")
