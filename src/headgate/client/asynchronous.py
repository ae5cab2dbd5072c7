"""`AsyncHeadgate`: the gate for asynchronous programs.

Decides what a call looks like in Python and when the gate inside is opened and closed. Refuses to know threads (that is
`synchronous.py`), HTTP (`http.py`) and every rule of the gate.
"""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Literal, Self, Unpack, cast, overload

import msgspec

from headgate.client import asking, batch, combining, drawing, embedding, moderation, response, structured
from headgate.client.accounts import Accounts
from headgate.client.batches import AsyncBatches
from headgate.client.bulk import Bulk
from headgate.client.configuration import loaded
from headgate.client.drawing import ImageResponse
from headgate.client.embedding import EmbeddingResponse
from headgate.client.exchange import Exchange
from headgate.client.http import AsyncClient, Client, async_client, sync_client
from headgate.client.jobs import AsyncJobs
from headgate.client.loop import wait_for
from headgate.client.moderation import ModerationResponse
from headgate.client.openai_config import BatchConfig, OpenAIConfig
from headgate.client.options import Options, Wishes, check, for_the_gate
from headgate.client.picture import Picture
from headgate.client.response import ModelResponse, Piece
from headgate.core.body import Body
from headgate.core.call import Call, Operation, Origin
from headgate.core.errors import HeadgateError, StoppingError
from headgate.core.together import Combining
from headgate.core.usage import TokenUsage
from headgate.dialects.openai_refusals import refused
from headgate.gate.config import Config
from headgate.gate.gate import MODERATION, Gate
from headgate.gate.ports import SystemChance, SystemClock
from headgate.gate.shapes import Said, T, Wanted
from headgate.gate.structured import Draft, Partial, Question, answer

log = logging.getLogger("headgate")


class AsyncHeadgate(Accounts, Bulk):
    """A gate in this process.

    The configuration is read and checked at once; nothing is opened before the first use, or `async with`. An instance
    belongs to the event loop that it is first used on.

    Args:
        config: a file, or the settings themselves as a mapping, a `Config` that was loaded, or an `OpenAIConfig`. None:
            the file that `HEADGATE_CONFIG` names, else `headgate.yaml` here, else the environment (`OPENAI_API_KEY`,
            …) alone.
        simulate: put the simulator in place of the configured providers.
        api_key: takes the place of `OPENAI_API_KEY`.
        base_url: takes the place of `OPENAI_BASE_URL`.
        model: the model of a call that names none.

    Raises:
        ConfigError: the configuration is wrong, or names no provider that can be used (no key is set).

    Example:
        >>> async def main():
        ...     async with AsyncHeadgate(simulate=True) as gate:
        ...         return (await gate.generate_response("Name a city in France.")).model
        >>> asyncio.run(main())
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
        found = loaded(config, simulate=simulate, api_key=api_key, base_url=base_url, model=model)
        if not isinstance(config, Config):
            # Whoever has loaded a `Config` was told then.
            for warning in found.warnings:
                log.warning(warning)
        self.config: Config = found.config
        """What this gate is made of: final, with every default filled in."""
        self._batch = config.batch if isinstance(config, OpenAIConfig) else BatchConfig()
        self._clock = SystemClock()
        self._opening = asyncio.Lock()
        self._gate: Gate | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self.exchange = Exchange(self._ready)
        self.batches = AsyncBatches(self._ready)
        """Many questions at half the price, within a day; see `AsyncBatches`."""
        self.jobs = AsyncJobs(self._ready)
        """Many questions that workers ask, whatever becomes of this program; see `AsyncJobs`."""

    async def _ready(self) -> Gate:
        """The gate inside, opened at first use.

        Raises:
            StoppingError: it was closed.
            RuntimeError: it belongs to another event loop.
            ConfigError: the store or the journal cannot be used.
        """
        if self._closed:
            raise StoppingError("This gate is closed.", hint="Make a new one; a closed gate stays closed.")
        loop = asyncio.get_running_loop()
        if self._gate is None:
            async with self._opening:
                if self._gate is None and not self._closed:
                    self._loop = loop
                    self._gate = await Gate.open(self.config, clock=self._clock)
            return await self._ready()
        if loop is not self._loop:
            message = "This AsyncHeadgate was opened on another event loop. Make one for each loop, or use Headgate."
            raise RuntimeError(message)
        return self._gate

    async def __aenter__(self) -> Self:
        await self._ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Take no more calls, book everything, close every connection. Safe to call twice."""
        self._closed = True
        async with self._opening:
            gate, self._gate = self._gate, None
        if gate is not None:
            await gate.close()

    async def generate_response(self, prompt: str | None = None, **options: Unpack[Options]) -> ModelResponse:
        """Ask a model and wait for its whole answer.

        The Responses API is used where every target of the model has it, chat completions otherwise. Every model takes
        the same options; `dropped` of the answer names those that this one could not be given as they are.

        Args:
            prompt: the question; or give `messages`.
            **options: see `Options`.

        Raises:
            BadRequestError: an argument is wrong.
            ProviderError: every target failed; see `headgate.types` for the kinds.
        """
        return await self._whole(prompt, options)

    async def stream(self, prompt: str | None = None, **options: Unpack[Options]) -> AsyncGenerator[Piece, None]:
        """Ask a model and get its answer piece by piece.

        The last piece has no text, but says how the answer ended, who served it and what it cost. Leaving the loop
        early closes the provider's connection as soon as the iterator is dropped; `contextlib.aclosing` does it at a
        place of your choice.

        Args:
            prompt: the question; or give `messages`.
            **options: see `Options`.

        Raises:
            InterruptedError: the stream broke after its first word; what was said stands, but more was to come.
            HeadgateError: as `generate_response` does, before the first piece.
        """
        gate, call = await self._call(prompt, options, stream=True)
        finish: str | None = None
        usage: TokenUsage | None = None
        async with await gate(call) as reply:
            async for event in reply:
                finish, usage = event.finish or finish, event.usage or usage
                if event.text:
                    yield Piece(text=event.text)
            yield response.last_piece(reply, finish=finish, usage=usage)

    async def parse(
        self,
        into: Wanted[T],
        prompt: str | None = None,
        *,
        strict: bool = True,
        repairs: int = 1,
        **options: Unpack[Options],
    ) -> T:
        """Ask a model for an object.

        Args:
            into: a Pydantic model, or any type that Pydantic knows (a dataclass, `list[City]`, a union …); or a JSON
                schema, which gives plain data.
            prompt: the question; or give `messages`.
            strict: the provider holds the model to the schema. What a strict schema cannot say is refused, by its
                place; with False the schema goes as it is, and only the answer is validated.
            repairs: how often a model whose answer does not fit is told so and asked again, 0 to 5.
            **options: see `Options`.

        Raises:
            BadRequestError: this cannot be asked for; nothing was sent.
            RefusalError, TruncatedError, FilteredError: the model refused, or its answer was cut off.
            ValidationError: the answer does not fit; `text` is what it said, `problems` why.
            HeadgateError: as `generate_response` does.
        """
        gate = await self._ready()
        question = await structured.question(gate, into, prompt, options, strict=strict, repairs=repairs)
        return await answer(question, self._said)

    async def stream_parse(
        self,
        into: Wanted[T],
        prompt: str | None = None,
        *,
        strict: bool = True,
        repairs: int = 1,
        **options: Unpack[Options],
    ) -> AsyncGenerator[Partial[T], None]:
        """Ask a model for an object and see it grow.

        What comes is plain data, not validated; the last one (`done`) is the object itself. Where the answer does not
        fit, the repaired one is the last: it may differ from what was seen before.

        Args:
            into: as for `parse`, and so are the others.
            prompt: the question; or give `messages`.
            strict: the provider holds the model to the schema.
            repairs: how often a model whose answer does not fit is told so and asked again.
            **options: see `Options`.

        Raises:
            HeadgateError: as `parse` and `stream` do.
        """
        gate = await self._ready()
        question = await structured.question(gate, into, prompt, options, strict=strict, repairs=repairs)
        call = await self._send(question, None, stream=True)
        draft = Draft(wrapped=question.shape.wrapped)
        async with await gate(call) as reply:
            async for event in reply:
                if draft.grows(event):
                    yield Partial(value=draft.value)
        yield Partial(value=await answer(question, self._said, (call, draft.said)), done=True)

    async def _send(self, question: Question[Any], parent: Call | None, **more: object) -> Call:
        _, call = await self._call(question.prompt, cast("Options", question.options), schema=question.schema, **more)
        if parent is None:
            return call
        return msgspec.structs.replace(call, origin=Origin.INTERNAL, parent=parent.id, deadline=parent.deadline)

    async def _said(self, question: Question[Any], parent: Call | None) -> tuple[Call, Said]:
        call = await self._send(question, parent)
        async with await (await self._ready())(call) as reply:
            event = await reply.read()
            return call, Said(event.text, event.finish, refused(Body(event.raw).view))

    async def combine(
        self, prompts: Iterable[str], *, items: int = 10, seconds: float = 2.0, **options: Unpack[Options]
    ) -> list[ModelResponse | HeadgateError]:
        """Ask a model small questions, several in one call; what each gets is its own answer, or its own error.

        Args:
            prompts: the questions; results come in their order.
            items: so many make one call, 1 to 50.
            seconds: how long the first of them waits for others, of whatever `combine` of this gate; 0 to 60.
            **options: of each; see `Options`. With `images`, `stop`, `seed` or `store` each question is asked alone.

        Raises:
            BadRequestError: an argument is wrong.
        """
        how = combining.how(items, seconds)
        (await self._ready()).combining()
        return await combining.all_of(prompts, options, lambda prompt: self._whole(prompt, options, how), how)

    async def embed(
        self,
        texts: str | Sequence[str],
        *,
        model: str = embedding.MODEL,
        dimensions: int | None = None,
        **wishes: Unpack[Wishes],
    ) -> EmbeddingResponse:
        """Turn texts into vectors: the nearer two of them, the more alike the texts.

        As many texts as you like: what one request cannot take is split into several.

        Args:
            texts: one, or many.
            model: whom to ask.
            dimensions: how many numbers a vector has; None for the model's own number.
            **wishes: see `Wishes`.

        Raises:
            BadRequestError: an argument is wrong.
            PartialFailureError: some of several requests failed; its `results` hold the answers of the others, and
                the errors, in the order of the texts.
            ProviderError: the only request failed.
        """
        check(wishes, Wishes)
        portions = list(embedding.portions(embedding.checked(texts)))
        gate = await self._ready()
        user = wishes.get("user")

        def call(number: int, portion: Sequence[str]) -> Call:
            body = embedding.request(portion, model, dimensions=dimensions, user=user)
            return gate.call(Operation.EMBEDDINGS, asking.written(body), **for_the_gate(wishes, number))

        # All are made now, so that the time that each one has ends at the same moment.
        asked = [(portion, call(number, portion)) for number, portion in enumerate(portions)]

        async def answer(one: tuple[Sequence[str], Call]) -> EmbeddingResponse:
            return embedding.read(*await self._answer(gate, one[1]), number=len(one[0]))

        if len(asked) == 1:
            return await answer(asked[0])
        results = await batch.all_of(asked, answer, concurrency=embedding.AT_ONCE, progress=False)
        return embedding.joined(batch.or_raise(results))

    async def moderate(
        self,
        input: moderation.Input,  # noqa: A002  OpenAI's word
        *,
        model: str = MODERATION,
        **wishes: Unpack[Wishes],
    ) -> ModerationResponse:
        """Have texts or pictures judged: hate, violence, self-harm, and more categories.

        Args:
            input: a text, several texts, or the parts (text and pictures) of one input.
            model: whom to ask.
            **wishes: see `Wishes`.

        Raises:
            BadRequestError: an argument is wrong.
            ProviderError: every target failed.
        """
        check(wishes, Wishes)
        number = moderation.number_of(input)
        gate = await self._ready()
        call = gate.call(
            Operation.MODERATIONS, asking.written({"model": model, "input": input}), **for_the_gate(wishes)
        )
        # The API has no word for the user; our books have.
        call = msgspec.structs.replace(call, user=wishes.get("user"))
        return moderation.read(*await self._answer(gate, call), number=number)

    async def image(
        self,
        prompt: str,
        *,
        model: str = drawing.MODEL,
        size: str | None = None,
        quality: str | None = None,
        n: int = 1,
        background: str | None = None,
        output_format: str | None = None,
        edit: Picture | Sequence[Picture] | None = None,
        **wishes: Unpack[Wishes],
    ) -> ImageResponse:
        """Have a picture drawn, or changed.

        Args:
            prompt: what it shall show.
            model: whom to ask.
            size: such as `1024x1024`; None leaves it to the model, as for the following ones.
            quality: `low`, `medium`, `high`, `auto`.
            n: how many pictures.
            background: `transparent`, `opaque`, `auto`.
            output_format: `png`, `jpeg`, `webp`.
            edit: the picture to be changed, or several to be put together: bytes, or a `pathlib.Path`.
            **wishes: see `Wishes`.

        Raises:
            BadRequestError: an argument is wrong.
            ProviderError: every target failed.
        """
        check(wishes, Wishes)
        given = {
            "model": model, "prompt": prompt, "n": n, "size": size, "quality": quality, "background": background,
            "output_format": output_format, "user": wishes.get("user"),
        }  # fmt: skip
        fields = {name: value for name, value in given.items() if value is not None}
        gate = await self._ready()
        if edit is None:
            call = gate.call(Operation.IMAGES, asking.written(fields), **for_the_gate(wishes))
        else:
            pictures = [edit] if isinstance(edit, bytes | str | os.PathLike) else edit
            form = await drawing.form(fields, pictures, SystemChance().token())
            call = gate.call(Operation.IMAGE_EDITS, form, **for_the_gate(wishes))
        return drawing.read(*await self._answer(gate, call))

    async def _answer(self, gate: Gate, call: Call) -> tuple[bytes, dict[str, Any]]:
        """The bytes of a whole answer, and what is known of it."""
        async with await gate(call) as reply:
            event = await reply.read()
            return event.raw, response.facts(call, reply, event, self._clock.monotonic())

    async def _whole(self, prompt: str | None, options: Options, how: Combining | None = None) -> ModelResponse:
        gate, call = await self._call(prompt, options)
        call = call if how is None else msgspec.structs.replace(call, combining=how)
        async with await gate(call) as reply:
            return response.whole(call, reply, await reply.read(), self._clock.monotonic())

    async def _call(self, prompt: str | None, options: Options, **more: object) -> tuple[Gate, Call]:
        gate = await self._ready()
        return gate, await asking.call(gate, prompt, options, more)

    @overload
    def http_client(self, *, sync: Literal[False] = ...) -> AsyncClient: ...

    @overload
    def http_client(self, *, sync: Literal[True]) -> Client: ...

    def http_client(self, *, sync: bool = False) -> AsyncClient | Client:
        """A client for the official OpenAI SDK, whose calls then pass this gate.

        Serves every address of the gateway below `/v1`, whatever the host. Timeouts are honoured as on a wire (see
        `headgate.client.http`). Closing the client, or the SDK, does not close the gate. The SDK's key goes nowhere.

        Args:
            sync: give a client for `openai.OpenAI`, to be used in other threads than this gate's event loop.

        Example:
            >>> from openai import AsyncOpenAI
            >>> async def main():
            ...     async with AsyncHeadgate(simulate=True) as gate:
            ...         openai = AsyncOpenAI(api_key="unused", http_client=gate.http_client())
            ...         messages = [{"role": "user", "content": "Hello"}]
            ...         return (await openai.chat.completions.create(model="gpt-6-luna", messages=messages)).model
            >>> asyncio.run(main())
            'gpt-6-luna'
        """
        return sync_client(self.exchange, self._from_another_thread) if sync else async_client(self.exchange)

    def _from_another_thread(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise StoppingError("This gate is not open yet.", hint="Open it with `async with`.")
        return wait_for(work, self._loop)

    async def models(self) -> list[str]:
        """The names that calls may ask for, beside any name that the route `*` takes."""
        return (await self._ready()).models()

    async def health(self) -> dict[str, Any]:
        """The state of providers and stores, as the gateway's `/health` shows it. Asks each provider cheaply."""
        return await (await self._ready()).health()
