"""`POST /generate` and `POST /generate-stream`: a prompt in, words out (requirement F7).

Decides what a request may say and what an answer says. The same router stands in the gateway and in users'
applications; who asks, and what those who ask may know, is decided by whoever serves it (`Asking`).
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json

from headgate.apps.events import Events, connected
from headgate.apps.failures import to_callers
from headgate.core.call import ANONYMOUS, Call, Caller, Operation
from headgate.core.errors import ConfigError, HeadgateError
from headgate.core.money import show_usd
from headgate.core.reply import Reply
from headgate.core.usage import TokenUsage
from headgate.core.wish import Wish
from headgate.dialects.openai_prompt import PROMPTS
from headgate.gate import present
from headgate.gate.gate import Gate

LONGEST_PROMPT = 5000
MOST_TOKENS = 2000
MOST_BODY = 256 * 1024
"""Bytes of a request: a prompt of 5000 characters has at most 60,000, however it is escaped."""
CACHED = Wish(on=True)
"""What is asked twice costs once."""
_FEWEST = 16
"""The least that the Responses API takes as a limit of its answer."""


class Prompt(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    prompt: str = Field(min_length=1, max_length=LONGEST_PROMPT, description="the question")
    max_tokens: int = Field(MOST_TOKENS, ge=1, le=MOST_TOKENS, description="the longest answer, in tokens")
    temperature: float | None = Field(None, ge=0, le=2, description="how freely the model chooses (default: its own)")


class Answer(BaseModel):
    """What the model said, and what it took."""

    content: str = Field(description="the words")
    tokens_used: int = Field(description="tokens of prompt and answer")
    cost: str | None = Field(description="US dollars, as a decimal number; null where the price is not known")


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and by which gate.

    Attributes:
        gate: answers.
        gateway: the caller is one of the gateway, who may know who answered and why nobody did.
        model: whom to ask; None for the default model.
        caller: the holder of a key.
        user: the end user, for the books.
        wishes: what is asked for beside: `tags`, `timeout`, …, as `Gate.call` takes it. Answers may come from the
            cache unless its `cache` says otherwise.
    """

    gate: Gate
    gateway: bool = False
    model: str | None = None
    caller: Caller = ANONYMOUS
    user: str | None = None
    wishes: Mapping[str, Any] = {}

    def call(self, prompt: Prompt, *, stream: bool = False) -> Call:
        """The call that a prompt becomes.

        Raises:
            HeadgateError: it cannot be one.
        """
        if self.model is None and self.gate.default_model is None:
            hint = "Set `apps.generate.model`, `models.default` or `OPENAI_MODEL`."
            raise ConfigError("`/generate` has no model to ask.", hint=hint)
        responds = prompt.max_tokens >= _FEWEST and self.gate.speaks(self.model, Operation.RESPONSES)
        operation = Operation.RESPONSES if responds else Operation.CHAT
        options = {"model": self.model, "user": self.user, "stream": stream, **prompt.model_dump(exclude={"prompt"})}
        raw = msgspec.json.encode(PROMPTS[operation](prompt.prompt, options))
        wishes = {"cache": CACHED, **self.wishes}
        return self.gate.call(operation, raw, caller=self.caller, unsupported="drop", **wishes)

    @contextmanager
    def telling(self, call: Call | None = None) -> Iterator[None]:
        """Tell callers of the gateway what fails inside. Users of an application are told by the application.

        Raises:
            Failed: a call failed.
            HeadgateError: the same, for an application.
        """
        try:
            yield
        except HeadgateError as error:
            if not self.gateway:
                raise
            raise to_callers(error, "" if call is None else call.request_id) from error

    def headers(self, call: Call, reply: Reply) -> dict[str, str]:
        """What whoever asks is told beside the answer."""
        if not self.gateway:
            return {"x-headgate-simulated": "1"} if reply.simulated else {}
        headers = present.reply_headers(call, reply)
        del headers["content-type"]
        return headers


Who = Callable[..., Awaitable[Asking]]
"""A dependency that tells who asks."""


def router(who: Who) -> APIRouter:
    """The two routes."""
    routes = APIRouter(tags=["apps"], route_class=_Strict)
    By = Annotated[Asking, Depends(who)]  # noqa: N806  a type

    @routes.post("/generate", summary="Words", description="Asks a model.", max_body_size=MOST_BODY)
    async def generate(prompt: Prompt, request: Request, response: Response, asking: By) -> Answer:
        with asking.telling():
            call = asking.call(prompt)
        with asking.telling(call):
            async with connected(request.receive), await asking.gate(call) as reply:
                event = await reply.read()
        response.headers.update(asking.headers(call, reply))
        usage = event.usage or (reply.attempts[-1].usage if reply.attempts else None) or TokenUsage()
        cost = present.total_cost(reply.attempts)
        return Answer(content=event.text, tokens_used=usage.total_tokens, cost=None if cost is None else show_usd(cost))

    @routes.post(
        "/generate-stream",
        summary="Words, as they come",
        description='Events `{"content": …, "type": "content"}`, then `{"type": "done"}`; where the answer breaks, '
        '`{"type": "error", "message": …}` instead of that.',
        max_body_size=MOST_BODY,
        response_class=Events,
        status_code=200,
    )
    async def generate_stream(prompt: Prompt, asking: By) -> Response:
        with asking.telling():
            call = asking.call(prompt, stream=True)

        async def words() -> AsyncGenerator[str, None]:
            with asking.telling(call):
                async with await asking.gate(call) as reply:
                    # Nothing has been sent before the first word.
                    events.headers.update(asking.headers(call, reply))
                    async for event in reply:
                        yield event.text

        events = Events(words())
        return events

    return routes


class _Strict(APIRoute):
    """A route whose body is JSON as the RFC has it: Python also reads `NaN` and half characters, and then fails."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, behind a look at the body."""
        answer = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            try:
                from_json(await request.body() or b"null", allow_inf_nan=False)
            except ValueError as error:
                facts = {"type": "json_invalid", "loc": ("body",), "msg": f"Invalid JSON: {error}", "input": {}}
                raise RequestValidationError([facts]) from None
            return await answer(request)

        return strictly
