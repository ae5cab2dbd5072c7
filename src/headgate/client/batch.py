"""Many calls at once, a bounded number at a time, results in the order of the questions.

Decides how many run together, and what happens when some fail. Refuses to know what a call is:
pacing, retry and budgets are the gate's.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

from headgate.client.options import Options, check
from headgate.client.progress import bar
from headgate.core.errors import BadRequestError, HeadgateError, PartialFailureError
from headgate.gate.tasks import Tasks

Q = TypeVar("Q")
A = TypeVar("A")

AHEAD = 4
"""Questions that are taken for each that may be asked: so many may wait behind one that takes long."""


def checked(prompts: Iterable[str], options: Options, concurrency: int = 1) -> list[str]:
    """The prompts of many calls.

    Raises:
        BadRequestError: it is a single one or no list, one of them is no text, there is no such option or none for
            many, or none may be asked.
    """
    # Said once, of all: not as many times as there are prompts.
    check(options, Options)
    if isinstance(prompts, str):
        # A string is an iterable of its letters, each of which would be a call that costs.
        message = "`prompts` is a string; it takes a list of prompts."
        raise BadRequestError(message, param="prompts", hint="Ask a single one with `generate_response`.")
    if not isinstance(prompts, Iterable):
        message = f"`prompts` is of the type {type(prompts).__name__}; it takes a list of prompts."
        raise BadRequestError(message, code="invalid_type", param="prompts")
    if options.get("messages") is not None:
        message = "`messages` is one conversation, and these are many prompts."
        raise BadRequestError(message, param="messages", hint="Ask it with `generate_response`.")
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
    with bar(len(questions), shown=progress) as tell:

        async def work() -> None:
            for place, question in waiting:
                try:
                    results[place] = await ask(question)
                except HeadgateError as error:
                    results[place] = error
                tell(results[place])

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


async def each_of(
    questions: Iterable[Q] | AsyncIterable[Q], ask: Callable[[Q], Awaitable[A]], *, concurrency: int
) -> AsyncGenerator[A | HeadgateError, None]:
    """Ask questions that may never end; results come in their order, an error of the house in place of its result.

    No more than `AHEAD` times as many questions are taken as may be asked together, so whoever takes results slowly
    slows the questions down. Leaving early ends the calls in flight.
    """
    tasks = Tasks()
    running, ahead = asyncio.Semaphore(concurrency), asyncio.Semaphore(AHEAD * concurrency)
    asked: asyncio.Queue[asyncio.Task[A | HeadgateError] | Exception | None] = asyncio.Queue()

    async def one(question: Q) -> A | HeadgateError:
        async with running:
            try:
                return await ask(question)
            except HeadgateError as error:
                return error

    async def feed() -> None:
        end = None
        try:
            async for question in _taken(questions):
                await ahead.acquire()
                asked.put_nowait(tasks.start(one(question), "a question of many"))
        except Exception as error:  # noqa: BLE001  whoever takes the results gets it
            end = error
        asked.put_nowait(end)

    tasks.start(feed(), "questions")
    try:
        while (task := await asked.get()) is not None:
            if isinstance(task, Exception):
                raise task
            yield await task
            ahead.release()
    finally:
        await tasks.close()


async def _taken(questions: Iterable[Q] | AsyncIterable[Q]) -> AsyncIterator[Q]:
    if isinstance(questions, AsyncIterable):
        async for question in questions:
            yield question
        return
    for question in questions:
        yield question
