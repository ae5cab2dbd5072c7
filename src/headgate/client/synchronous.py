"""`Headgate`: the same gate for programs that wait.

Every method runs `AsyncHeadgate`'s method of the same name on a loop thread of its own; nothing is decided here.
"""

import contextlib
import functools
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any, Concatenate, ParamSpec, Self, Unpack

from headgate.client.asynchronous import AsyncHeadgate
from headgate.client.batches import Batches
from headgate.client.http import Client, sync_client
from headgate.client.jobs import Jobs
from headgate.client.loop import LoopThread
from headgate.client.openai_config import OpenAIConfig
from headgate.client.options import Options
from headgate.client.response import ModelResponse, Piece
from headgate.core.errors import HeadgateError, StoppingError
from headgate.gate.config import Config
from headgate.gate.shapes import T, Wanted
from headgate.gate.structured import Partial

P = ParamSpec("P")


def _waiting(
    method: Callable[Concatenate[AsyncHeadgate, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate["Headgate", P], T]:
    """The synchronous twin of a method."""

    def wait(self: "Headgate", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._thread.run(method(self._gate, *args, **kwargs))

    return functools.update_wrapper(wait, method)


class Headgate:
    """A gate in this process; arguments as for `AsyncHeadgate`.

    Opened at first use, or by `with`. It may be used from many threads at once, and inside a running event loop (which
    it blocks while it waits). A process that was forked after the first use needs one of its own.

    Example:
        >>> with Headgate(simulate=True) as gate:
        ...     gate.generate_response("Name a city in France.").model
        'gpt-6-luna'
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Mapping[str, Any] | Config | OpenAIConfig | None = None,
        *,
        simulate: bool = False,
        api_key: str | None = None,
        base_url: str | None = None,
        model: str | None = None,
    ) -> None:
        self._gate = AsyncHeadgate(config, simulate=simulate, api_key=api_key, base_url=base_url, model=model)
        self._thread = LoopThread()
        self.batches = Batches(self._gate.batches, self._thread.run, self._each)
        """Many questions at half the price, within a day; see `AsyncBatches`."""
        self.jobs = Jobs(self._gate.jobs, self._thread.run, self._each)
        """Many questions that workers ask, whatever becomes of this program; see `AsyncJobs`."""

    @property
    def config(self) -> Config:
        """What this gate is made of: final, with every default filled in."""
        return self._gate.config

    generate_response = _waiting(AsyncHeadgate.generate_response)
    parse = _waiting(AsyncHeadgate.parse)
    batch_generate = _waiting(AsyncHeadgate.batch_generate)
    estimate = _waiting(AsyncHeadgate.estimate)
    combine = _waiting(AsyncHeadgate.combine)
    embed = _waiting(AsyncHeadgate.embed)
    moderate = _waiting(AsyncHeadgate.moderate)
    image = _waiting(AsyncHeadgate.image)
    usage = _waiting(AsyncHeadgate.usage)
    budgets = _waiting(AsyncHeadgate.budgets)
    summary = _waiting(AsyncHeadgate.summary)
    models = _waiting(AsyncHeadgate.models)
    health = _waiting(AsyncHeadgate.health)

    def stream(self, prompt: str | None = None, **options: Unpack[Options]) -> Iterator[Piece]:
        """Ask a model and get its answer piece by piece; see `AsyncHeadgate.stream`.

        Leaving the loop early closes the provider's connection; so does the iterator's `close`.

        Args:
            prompt: the question; or give `messages`.
            **options: see `Options`.
        """
        return self._each(self._gate.stream(prompt, **options))

    def batch_stream(
        self, prompts: Iterable[str], *, concurrency: int | None = None, **options: Unpack[Options]
    ) -> Iterator[ModelResponse | HeadgateError]:
        """Ask a model prompts that may never end; see `AsyncHeadgate.batch_stream`.

        Leaving the loop early ends the calls in flight; so does the iterator's `close`. Prompts are taken on the
        thread of the gate: they must not wait for long.

        Args:
            prompts: the questions.
            concurrency: how many calls may run at the same time; None for as many as fill the limits.
            **options: of each call; see `Options`.
        """
        return self._each(self._gate.batch_stream(prompts, concurrency=concurrency, **options))

    def stream_parse(
        self,
        into: Wanted[T],
        prompt: str | None = None,
        *,
        strict: bool = True,
        repairs: int = 1,
        **options: Unpack[Options],
    ) -> Iterator[Partial[T]]:
        """Ask a model for an object and see it grow; see `AsyncHeadgate.stream_parse`.

        Leaving the loop early closes the provider's connection; so does the iterator's `close`.

        Args:
            into: what is asked for.
            prompt: the question; or give `messages`.
            strict: the provider holds the model to the schema.
            repairs: how often a model whose answer does not fit is told so and asked again.
            **options: see `Options`.
        """
        return self._each(self._gate.stream_parse(into, prompt, strict=strict, repairs=repairs, **options))

    def _each(self, pieces: AsyncGenerator[T, None]) -> Iterator[T]:
        async def following() -> T | None:
            return await anext(pieces, None)

        async def ending() -> None:
            await pieces.aclose()

        try:
            while (piece := self._thread.run(following())) is not None:
                yield piece
        finally:
            # A gate that was closed first has ended everything that it held.
            with contextlib.suppress(StoppingError):
                self._thread.run(ending())

    def http_client(self) -> Client:
        """A client for `openai.OpenAI`, whose calls then pass this gate; see `AsyncHeadgate.http_client`."""
        return sync_client(self._gate.exchange, self._thread.run)

    def close(self) -> None:
        """Take no more calls, book everything, close every connection, end the thread. Safe to call twice."""
        try:
            if self._thread.started:
                self._thread.run(self._gate.aclose())
        finally:
            self._thread.close()

    def __enter__(self) -> Self:
        self._thread.run(self._gate.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
