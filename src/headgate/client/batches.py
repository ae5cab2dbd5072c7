"""`gate.batches`: many questions at half the price, within a day, by the provider's Batch API.

Decides how questions are said and answers shown in Python; refuses to know how a batch lives (`headgate.jobs.batch`)
and every rule of the gate.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from decimal import Decimal
from typing import Any, TypeVar, Unpack

import msgspec

from headgate.client.options import CHAT_ONLY, OURS, Message, Options, check, for_the_gate
from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.core.errors import BadRequestError, GarbledError
from headgate.core.money import to_usd
from headgate.core.usage import TokenUsage
from headgate.dialects.endpoints import ENDPOINTS
from headgate.dialects.openai_prompt import PROMPTS
from headgate.dialects.registry import DIALECTS
from headgate.gate.gate import Gate
from headgate.jobs.batch.jobs import LISTED, BatchJob, BatchJobs
from headgate.jobs.batch.reading import Unsent
from headgate.jobs.row import Outcome, Row

T = TypeVar("T")


class BatchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One question of a job: a prompt, a conversation, or a whole request as it would be posted.

    Attributes:
        custom_id: your name for it, unique in the job; its number, counted from 1, where there is none.
        prompt: the question.
        messages: a whole conversation instead, in the chat API's form.
        body: a request instead, as it would be posted to `url`; the job's options are not added to it.
        url: where `body` goes: `/v1/chat/completions`, `/v1/responses`, `/v1/embeddings`, …
    """

    custom_id: str | None = None
    prompt: str | None = None
    messages: Sequence[Message] | None = None
    body: Mapping[str, Any] | None = None
    url: str = "/v1/chat/completions"


class BatchResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one question.

    Attributes:
        custom_id, number: of the question; numbers count from 1, in the order in which questions were given.
        text: the answer's words; empty where there is no answer, or it has none.
        status: the HTTP status of the answer; None where there is none.
        body: the answer, an error answer included; None where there is none.
        usage: tokens.
        cost_usd: US dollars; None where a price is not known.
        error: why there is no answer to the question.
        error_class: the name of the error's class; None exactly where the question was answered; `Unsent` where it was
            not asked, or not in time, and cost nothing.
    """

    custom_id: str
    number: int
    text: str = ""
    status: int | None = None
    body: Body | None = None
    usage: TokenUsage = TokenUsage()
    cost_usd: Decimal | None = Decimal(0)
    error: str | None = None
    error_class: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether it was answered."""
        return self.error_class is None

    @property
    def raw(self) -> dict[str, Any]:
        """The provider's answer, decoded when it is first asked for; empty where there is none."""
        return {} if self.body is None else self.body.view


class AsyncBatches:
    """The jobs of an `AsyncHeadgate`: its `batches`.

    Args:
        ready: gives the gate, opened if need be.
    """

    def __init__(self, ready: Callable[[], Awaitable[Gate]]) -> None:
        self._ready = ready
        self._jobs: tuple[Gate, BatchJobs] | None = None

    async def submit(
        self, requests: Iterable[str | BatchRequest], *, deadline: float | None = None, **options: Unpack[Options]
    ) -> BatchJob:
        """Begin a job. It goes on at the provider whatever becomes of this program; `wait` and `results` take it up.

        Args:
            requests: prompts, or whatever a `BatchRequest` can say.
            deadline: seconds from now after which answers are of no use: what is not answered by then is ended, costs
                nothing, and comes back as `Unsent`.
            **options: of every prompt and conversation; see `Options`. `timeout` and `images` are not for batches.

        Raises:
            BadRequestError: an argument is wrong, or a question cannot be asked so; nothing was sent.
            NoTargetError: no provider of the model has a Batch API.
            OverBudgetError: a budget has less than the job may cost; nothing runs.
            HeadgateError: the provider did not take it; nothing runs.
        """
        check_batchable(requests, options)
        gate = await self._ready()
        rows = rows_of(gate, requests, options)
        jobs = await self._all()
        return await jobs.submit(rows, deadline=deadline, tags=for_the_gate(options)["tags"])

    async def status(self, job: str | BatchJob) -> BatchJob:
        """How a job stands, by what was last heard of it: whoever waits for it asks the provider.

        Raises:
            UnknownObjectError: there is no such job, here and below.
        """
        return await (await self._all()).status(_name(job))

    async def wait(self, job: str | BatchJob) -> BatchJob:
        """Wait until a job is over, and book what was answered. Another program may go on with it by its id.

        Raises:
            HeadgateError: nothing can be done at the moment; the job goes on, and can be waited for again.
        """
        return await (await self._all()).wait(_name(job))

    async def results(self, job: str | BatchJob) -> AsyncGenerator[BatchResult, None]:
        """What became of each question, in no order, as soon as its batch is over; waits for the rest.

        Raises:
            HeadgateError: as `wait` does.
        """
        async with aclosing((await self._all()).results(_name(job))) as found:
            async for one in found:
                yield result_of(one)

    async def cancel(self, job: str | BatchJob) -> BatchJob:
        """Have a job ended. What was answered by then is kept and paid for; `wait` or `results` see to the end of it.

        Raises:
            HeadgateError: the provider cannot be asked.
        """
        return await (await self._all()).cancel(_name(job))

    async def list(self, limit: int = LISTED) -> Sequence[BatchJob]:
        """The jobs that began last, the latest first, whichever program began them in this store."""
        return await (await self._all()).list(limit)

    async def _all(self) -> BatchJobs:
        gate = await self._ready()
        if self._jobs is None or self._jobs[0] is not gate:
            self._jobs = (gate, BatchJobs(gate))
        return self._jobs[1]


class Batches:
    """The jobs of a `Headgate`: its `batches`. Methods as those of `AsyncBatches`.

    Args:
        batches: of the gate inside.
        run: runs a coroutine, and waits for its outcome.
        each: makes an iterator of an asynchronous one.
    """

    def __init__(
        self,
        batches: AsyncBatches,
        run: Callable[[Any], Any],
        each: Callable[[AsyncGenerator[BatchResult, None]], Iterator[BatchResult]],
    ) -> None:
        self._batches = batches
        self._run = run
        self._each = each

    def submit(
        self, requests: Iterable[str | BatchRequest], *, deadline: float | None = None, **options: Unpack[Options]
    ) -> BatchJob:
        """Begin a job; see `AsyncBatches.submit`."""
        return self._done(self._batches.submit(requests, deadline=deadline, **options))

    def status(self, job: str | BatchJob) -> BatchJob:
        """How a job stands; see `AsyncBatches.status`."""
        return self._done(self._batches.status(job))

    def wait(self, job: str | BatchJob) -> BatchJob:
        """Wait until a job is over; see `AsyncBatches.wait`."""
        return self._done(self._batches.wait(job))

    def results(self, job: str | BatchJob) -> Iterator[BatchResult]:
        """What became of each question; see `AsyncBatches.results`."""
        return self._each(self._batches.results(job))

    def cancel(self, job: str | BatchJob) -> BatchJob:
        """Have a job ended; see `AsyncBatches.cancel`."""
        return self._done(self._batches.cancel(job))

    def list(self, limit: int = LISTED) -> Sequence[BatchJob]:
        """The jobs that began last; see `AsyncBatches.list`."""
        return self._done(self._batches.list(limit))

    def _done(self, work: Awaitable[T]) -> T:
        done: T = self._run(work)
        return done


def _name(job: str | BatchJob) -> str:
    return job if isinstance(job, str) else job.id


def check_batchable(requests: object, options: Options) -> None:
    """See that questions can be asked later, by somebody else.

    Raises:
        BadRequestError: an option is not for that, or the questions are a single string.
    """
    check(options, Options)
    for name in ("images", "timeout", "priority", "idempotency_key"):
        if options.get(name) is not None:
            raise BadRequestError(f"`{name}` is not for batches and jobs.", param=name)
    if isinstance(requests, str):
        message = "`requests` is a string; it takes a list of prompts."
        raise BadRequestError(message, param="requests", hint="Ask a single one with `generate_response`.")


def rows_of(gate: Gate, requests: Iterable[str | BatchRequest], options: Options) -> list[Row]:
    """Questions as rows of a job.

    Raises:
        BadRequestError: one cannot be asked so, or two have the same name.
    """
    chatting = any(options.get(name) is not None for name in CHAT_ONLY)
    responds = not chatting and gate.speaks(options.get("model"), Operation.RESPONSES)
    operation = Operation.RESPONSES if responds else Operation.CHAT
    words = {name: value for name, value in options.items() if name not in OURS}
    rows: dict[str, Row] = {}
    for number, asked in enumerate(requests, 1):
        request = BatchRequest(prompt=asked) if isinstance(asked, str) else asked
        name = str(number) if request.custom_id is None else request.custom_id
        if name in rows:
            raise BadRequestError(f"Two requests have the `custom_id` {name[:80]!r}.", param="custom_id")
        kind, body = _body(request, name, operation, words)
        rows[name] = Row(number=number, id=name, operation=kind, body=_json(body))
    return list(rows.values())


def _body(
    request: BatchRequest, name: str, operation: Operation, words: Mapping[str, object]
) -> tuple[Operation, Mapping[str, object]]:
    if sum(given is not None for given in (request.prompt, request.messages, request.body)) != 1:
        message = f"The request {name[:80]!r} needs exactly one of `prompt`, `messages` and `body`."
        raise BadRequestError(message, code="missing_field", param="prompt")
    if request.body is None:
        more = {} if request.messages is None else {"messages": request.messages}
        return operation, PROMPTS[operation](request.prompt or "", {**words, **more})
    posted = ENDPOINTS.get(request.url.removeprefix("/v1"), {}).get("POST")
    if posted is None or not posted.plain:
        message = f"The `url` {request.url[:80]!r} of the request {name[:80]!r} is none that a batch can ask."
        raise BadRequestError(message, param="url", hint="Such as `/v1/chat/completions` or `/v1/embeddings`.")
    return posted.operation, request.body


def _json(body: Mapping[str, object]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except (TypeError, ValueError) as error:
        raise BadRequestError(f"A request cannot be written as JSON: {error}.", code="invalid_json") from None


def result_of(found: Outcome | Unsent) -> BatchResult:
    """What became of a row, as Python shows it."""
    if isinstance(found, Unsent):
        return BatchResult(
            custom_id=found.row.id, number=found.row.number, error=f"It was not asked: {found.reason}.",
            error_class="Unsent",
        )  # fmt: skip
    text, usage, error = "", TokenUsage(), None
    if found.error is not None:
        error = found.error.message
    elif found.body is not None and found.succeeded:
        text, usage = _said(found.body)
    elif found.body is not None:
        error = _error(found.body)
    return BatchResult(
        custom_id=found.id,
        number=found.number,
        text=text,
        status=found.status,
        body=None if found.body is None else Body(found.body),
        usage=usage,
        cost_usd=None if found.cost is None else to_usd(found.cost),
        error=error,
        error_class=found.error_class,
    )


class _Kind(msgspec.Struct):
    object: str = ""


_KIND = msgspec.json.Decoder(_Kind)


def _said(body: bytes) -> tuple[str, TokenUsage]:
    """The words and the tokens of an answer, whichever operation it is of."""
    try:
        kind = _KIND.decode(body).object
        operation = Operation.RESPONSES if kind == "response" else Operation.CHAT
        event = DIALECTS[operation if kind in {"response", "chat.completion"} else Operation.EMBEDDINGS].read_answer(
            body
        )
    except (GarbledError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "", TokenUsage()
    return event.text, event.usage or TokenUsage()


class _Failure(msgspec.Struct):
    message: str = ""


class _Failed(msgspec.Struct):
    error: _Failure


_FAILED = msgspec.json.Decoder(_Failed)


def _error(body: bytes) -> str:
    try:
        return _FAILED.decode(body).error.message
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "The provider does not say why."
