"""Many calls at once, a bounded number at a time, results in the order of the questions.

Decides how many run together, how progress is shown, and what happens when some fail. Refuses to know what a call is:
pacing, retry and budgets are the gate's.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from headgate.client.options import Options
from headgate.core.errors import BadRequestError, HeadgateError, PartialFailureError

Q = TypeVar("Q")
A = TypeVar("A")


def checked(prompts: Iterable[str], options: Options, concurrency: int = 1) -> list[str]:
    """The prompts of many calls.

    Raises:
        BadRequestError: it is a single one, one of them is no text, one key is to name them all, or none may be asked.
    """
    if isinstance(prompts, str):
        # A string is an iterable of its letters, each of which would be a call that costs.
        message = "`prompts` is a string; it takes a list of prompts."
        raise BadRequestError(message, param="prompts", hint="Ask a single one with `generate_response`.")
    if options.get("idempotency_key") is not None:
        message = "`idempotency_key` names one call, and these are many."
        raise BadRequestError(message, param="idempotency_key", hint="Ask each with `generate_response`.")
    if concurrency < 1:
        raise BadRequestError(f"`concurrency` is {concurrency}; it must be at least 1.", param="concurrency")
    found = list(prompts)
    for place, prompt in enumerate(found):
        if not isinstance(prompt, str):
            message = f"Prompt {place} is of the type {type(prompt).__name__}, not a string."
            raise BadRequestError(message, code="invalid_type", param="prompts")
    return found


async def all_of(
    questions: Iterable[Q], ask: Callable[[Q], Awaitable[A]], *, concurrency: int, progress: bool
) -> list[A | HeadgateError]:
    """Ask every question; an error of the house takes the place of its result.

    Any other exception ends everything at once: it is a mistake in the program, not of a call.
    """
    questions = list(questions)
    results: dict[int, A | HeadgateError] = {}
    # One iterator for all workers: each question is taken exactly once, and nothing waits that need not.
    waiting = iter(enumerate(questions))
    with _bar(len(questions), shown=progress) as tell:

        async def work() -> None:
            for place, question in waiting:
                try:
                    results[place] = await ask(question)
                except HeadgateError as error:
                    results[place] = error
                tell()

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(concurrency, len(questions))):
                workers.create_task(work())
    return [results[place] for place in range(len(questions))]


def or_raise(results: list[A | HeadgateError]) -> list[A]:
    """The results, if none of them is an error.

    Raises:
        PartialFailureError: some are; its `results` hold everything, in order.
    """
    good = [result for result in results if not isinstance(result, HeadgateError)]
    if len(good) < len(results):
        first = next(result for result in results if isinstance(result, HeadgateError))
        raise PartialFailureError(
            f"{len(results) - len(good)} of {len(results)} calls failed; the first error: {first.message}",
            results=results,
            hint="The error's `results` hold what succeeded, in order.",
        )
    return good


@contextmanager
def _bar(total: int, *, shown: bool) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal's stderr; elsewhere nothing."""
    if not (shown and sys.stderr.isatty()):
        yield lambda: None
        return
    from rich.console import Console  # noqa: PLC0415  who shows no bar does not pay for one
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn  # noqa: PLC0415  ditto

    with Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("calls", total=total)
        yield lambda: progress.advance(task)
