"""How many calls have ended, shown while the others go on.

Decides where it is shown: a bar on a terminal, `tqdm` in a notebook that has it, lines elsewhere. Always on stderr.
Refuses to know what the calls are.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from headgate.client.response import Answered

LINE_SECONDS = 10.0
"""Seconds between two lines where nothing can be drawn."""

Tell = Callable[[object], None]
"""Takes the result of a call that has ended, or its error."""


class Sum:
    """What has ended.

    Attributes:
        done, failed: calls, and those of them without an answer.
        cost: dollars of known price.
    """

    def __init__(self) -> None:
        self.done = self.failed = 0
        self.cost = Decimal(0)

    def add(self, result: object) -> None:
        """Count one."""
        self.done += 1
        self.failed += isinstance(result, Exception)
        if isinstance(result, Answered):
            self.cost += result.cost_usd or 0

    def __str__(self) -> str:
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"${self.cost:.4f}{failed}"


@contextmanager
def bar(total: int | None, *, shown: bool) -> Iterator[Tell]:
    """Show the progress of calls.

    Args:
        total: how many there will be; None where nobody knows.
        shown: whether to show anything.
    """
    if not shown:
        yield lambda _: None
        return
    sum_ = Sum()
    if in_notebook():
        with _in_notebook(total, sum_) as tell:
            yield tell
    elif sys.stderr.isatty():
        with _drawn(total, sum_) as tell:
            yield tell
    else:
        with _written(total, sum_) as tell:
            yield tell


def in_notebook() -> bool:
    """Whether this is a notebook, and one with `tqdm`."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell" and find_spec("tqdm") is not None


@contextmanager
def _in_notebook(total: int | None, sum_: Sum) -> Iterator[Tell]:
    with import_module("tqdm.auto").tqdm(total=total, unit="call") as drawn:

        def tell(result: object) -> None:
            sum_.add(result)
            drawn.set_postfix_str(str(sum_), refresh=False)
            drawn.update(1)

        yield tell


@contextmanager
def _drawn(total: int | None, sum_: Sum) -> Iterator[Tell]:
    from rich.console import Console  # noqa: PLC0415  who shows no bar does not pay for one
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[sum]}"))
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("calls", total=total, sum="")

        def tell(result: object) -> None:
            sum_.add(result)
            progress.update(task, advance=1, sum=str(sum_))

        yield tell


@contextmanager
def _written(total: int | None, sum_: Sum) -> Iterator[Tell]:
    loop = asyncio.get_running_loop()
    at = loop.time()
    of = "" if total is None else f" of {total:,}"

    def say() -> None:
        sys.stderr.write(f"{sum_.done:,}{of} calls, {sum_}\n")
        sys.stderr.flush()

    def tell(result: object) -> None:
        nonlocal at
        sum_.add(result)
        if loop.time() - at >= LINE_SECONDS:
            at = loop.time()
            say()

    yield tell
    say()
