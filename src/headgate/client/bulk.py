"""What a Python caller asks of many prompts at once.

Decides how that is called in Python; refuses to know how calls are made (`asynchronous.py`), run together (`batch.py`),
asked again (`headgate.jobs.patience`) and what they will cost (`headgate.jobs.quote`).
"""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from functools import partial
from typing import Unpack

from headgate.client import asking, batch
from headgate.client.openai_config import BatchConfig
from headgate.client.options import Options
from headgate.client.response import ModelResponse
from headgate.core.body import Body
from headgate.core.errors import BadRequestError, HeadgateError
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance, SystemClock
from headgate.jobs.file_job import allowed
from headgate.jobs.file_job import concurrency as fitting
from headgate.jobs.patience import Patience, Stopped
from headgate.jobs.quote import Quote, Survey, quote
from headgate.jobs.row import Row

HOPELESS = 60.0
"""Seconds without any answer after which calls that could be asked again fail instead: somebody waits for them."""

Ask = Callable[[str], Awaitable[ModelResponse]]


class Bulk:
    """The part of `AsyncHeadgate` that asks many prompts."""

    _batch: BatchConfig

    async def _ready(self) -> Gate:
        raise NotImplementedError  # AsyncHeadgate has it

    async def _whole(self, prompt: str | None, options: Options) -> ModelResponse:
        raise NotImplementedError  # ditto

    async def batch_generate(
        self,
        prompts: Iterable[str],
        *,
        concurrency: int | None = None,
        progress: bool | None = None,
        **options: Unpack[Options],
    ) -> list[ModelResponse]:
        """Ask a model many prompts; results come in the order of the prompts.

        A call that cannot be answered for a passing reason (its target rests, its retry budget is dry, a rate limit)
        is asked again, unless it has a `timeout` of its own. Cancelling leaves nothing running.

        Args:
            prompts: the questions.
            concurrency: how many calls may run at the same time; None for as many as fill the limits.
            progress: show it: a bar on a terminal and in notebooks with `tqdm`, lines on stderr elsewhere.
            **options: of each call; see `Options`.

        Raises:
            PartialFailureError: calls failed; its `results` hold what succeeded and the errors, in order.
            BadRequestError: `concurrency` is less than 1, `prompts` is a single one, or one key is to name them all.
        """
        gate = await self._ready()
        together = self._together(gate, concurrency, options)
        asked = batch.checked(prompts, options, together)
        shown = self._batch.progress if progress is None else progress
        results = await batch.all_of(asked, self._asking(gate, options), concurrency=together, progress=shown)
        return batch.or_raise(results)

    async def batch_stream(
        self,
        prompts: Iterable[str] | AsyncIterable[str],
        *,
        concurrency: int | None = None,
        **options: Unpack[Options],
    ) -> AsyncGenerator[ModelResponse | HeadgateError, None]:
        """Ask a model prompts that may never end; results come in their order, errors in place of results.

        Prompts are taken as results are: whoever takes results slowly slows the prompts down. Leaving the loop early
        ends the calls in flight as soon as the iterator is dropped; `contextlib.aclosing` does it at a place of your
        choice.

        Args:
            prompts: the questions; an asynchronous iterator may wait for the next one.
            concurrency: how many calls may run at the same time; None for as many as fill the limits.
            **options: of each call; see `Options`.

        Raises:
            BadRequestError: as `batch_generate` does.

        Example:
            >>> import asyncio
            >>> from headgate import AsyncHeadgate
            >>> async def main():
            ...     async with AsyncHeadgate(simulate=True) as gate:
            ...         return [reply.finish_reason async for reply in gate.batch_stream(["One.", "Two."])]
            >>> asyncio.run(main())
            ['stop', 'stop']
        """
        gate = await self._ready()
        together = self._together(gate, concurrency, options)
        if isinstance(prompts, str):
            batch.checked(prompts, options)
        batch.checked((), options, together)
        results = batch.each_of(prompts, self._asking(gate, options), concurrency=together)
        try:
            async for result in results:
                yield result
        finally:
            await results.aclose()

    async def estimate(
        self, prompts: Iterable[str], *, concurrency: int | None = None, **options: Unpack[Options]
    ) -> Quote:
        """What prompts would cost, and how long they would take at the current limits. Asks nobody.

        Input tokens are counted. How long answers will be is taken from what the ledger knows of the model, else from
        experience; the interval of the cost says how sure that is.

        Args:
            prompts: the questions.
            concurrency: how many calls would run at the same time; None for as many as fill the limits.
            **options: of each call; see `Options`.

        Raises:
            BadRequestError: as `batch_generate` does.
        """
        gate = await self._ready()
        together = self._together(gate, concurrency, options)
        survey = Survey(gate.default_model)
        for number, prompt in enumerate(batch.checked(prompts, options, together), 1):
            call = await asking.call(gate, prompt, options, {})
            assert isinstance(call.body, Body), "words travel in JSON"
            survey.add(Row(number=number, id=f"row-{number}", operation=call.operation, body=call.body.raw))
        return await quote(gate, survey, concurrency=together, clock=SystemClock())

    def _together(self, gate: Gate, concurrency: int | None, options: Options) -> int:
        given = self._batch.concurrency if concurrency is None else concurrency
        return fitting(allowed(gate.config, options.get("model"))) if given is None else given

    def _asking(self, gate: Gate, options: Options) -> Ask:
        ask = partial(self._once, options)
        if options.get("timeout") is not None:
            return ask
        patience = Patience(
            max_attempts=gate.config.policies.retry.max_attempts,
            clock=SystemClock(),
            chance=SystemChance(),
            hopeless=HOPELESS,
        )

        async def patiently(prompt: str) -> ModelResponse:
            try:
                return await patience.ask(partial(ask, prompt))
            except Stopped as stopped:
                raise stopped.error from None

        return patiently

    async def _once(self, options: Options, prompt: str) -> ModelResponse:
        if not isinstance(prompt, str):
            message = f"A prompt is of the type {type(prompt).__name__}, not a string."
            raise BadRequestError(message, code="invalid_type", param="prompts")
        return await self._whole(prompt, options)
