"""What a Python caller gets back: a whole answer, or pieces of one.

Decides how a reply is shown as plain data; refuses to know how it came about.
"""

from decimal import Decimal
from typing import Any

import msgspec

from headgate.core.attempt import Attempt
from headgate.core.body import Body
from headgate.core.call import Call
from headgate.core.money import to_usd
from headgate.core.reply import Event, Reply
from headgate.core.usage import TokenUsage
from headgate.dialects.openai_prompt import OPTIONS
from headgate.dialects.openai_refusals import refused
from headgate.gate import present


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of every answer, the same for every provider and API.

    Attributes:
        model: the model that served, as it calls itself.
        provider: who answered, by its name in the configuration.
        usage: tokens.
        cost_usd: US dollars, all attempts of the call included; None where a price is not known.
        cached: it came from the cache.
        request_id: ours; the ledger and the logs know the call by it.
        attempts: how many requests left on behalf of the call.
        latency_ms: from the call to its whole answer.
        simulated: the simulator made it up.
        dropped: options that the model did not get, or not as they were given, because it does not take them.
    """

    model: str
    provider: str
    usage: TokenUsage
    cost_usd: Decimal | None
    cached: bool
    request_id: str
    attempts: int
    latency_ms: float
    simulated: bool
    dropped: tuple[str, ...] = ()


class ModelResponse(Answered, frozen=True, kw_only=True):
    """A whole answer in words, and what is known of every answer (`Answered`).

    Attributes:
        text: the words; empty where the model only called tools, or refused.
        finish_reason: why it ended: `stop`, `length`, `tool_calls`, `content_filter`, …
        body: the provider's bytes.
    """

    text: str
    finish_reason: str | None
    body: Body

    @property
    def raw(self) -> dict[str, Any]:
        """The provider's answer, decoded when it is first asked for. Treat it as read-only."""
        return self.body.view

    @property
    def refusal(self) -> str | None:
        """The model's words where it refused to answer."""
        return refused(self.raw)


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a streamed answer.

    Attributes:
        text: the words in it; empty in the last piece.
        finish: why the answer ended, in the last piece only.
        usage: tokens of the whole answer, in the last piece only.
        cost_usd: US dollars of the whole answer, in the last piece only; None where a price is not known.
        model, provider: who served, in the last piece only; as in `ModelResponse`.
        simulated: the simulator made the answer up; said in the last piece only.
        dropped: as in `ModelResponse`; said in the last piece only.
    """

    text: str = ""
    finish: str | None = None
    usage: TokenUsage | None = None
    cost_usd: Decimal | None = None
    model: str | None = None
    provider: str | None = None
    simulated: bool = False
    dropped: tuple[str, ...] = ()


def whole(call: Call, reply: Reply, event: Event, now: float) -> ModelResponse:
    """Show a whole answer in words; arguments as for `facts`."""
    told = facts(call, reply, event, now)
    return ModelResponse(text=event.text, finish_reason=event.finish, body=Body(event.raw), **told)


def facts(call: Call, reply: Reply, event: Event, now: float) -> dict[str, Any]:
    """What is known of every answer: the fields of `Answered`.

    Args:
        call: what was asked.
        reply: its reply, read to the end.
        event: the reply's one event.
        now: on the monotonic clock.
    """
    last = reply.attempts[-1] if reply.attempts else None
    return {
        "model": event.model or (last.model_served or last.model if last else call.model),
        "provider": reply.target.provider if reply.target else "",
        "usage": event.usage or (last.usage if last else None) or TokenUsage(),
        "cost_usd": cost(reply),
        "cached": reply.cache in {"hit", "coalesced"},
        "request_id": call.request_id,
        "attempts": len(reply.attempts),
        "latency_ms": round((now - call.started) * 1000, 3),
        "simulated": reply.simulated,
        "dropped": _dropped(last),
    }


def last_piece(reply: Reply, *, finish: str | None, usage: TokenUsage | None) -> Piece:
    """What is known of a streamed answer once it has ended.

    Args:
        reply: it, read to the end.
        finish: why it ended, as its events said.
        usage: its tokens, as its events said; None where the books have to tell.
    """
    last = reply.attempts[-1] if reply.attempts else None
    return Piece(
        finish=finish,
        usage=usage or (last.usage if last else None),
        cost_usd=cost(reply),
        model=last.model_served or last.model if last else None,
        provider=reply.target.provider if reply.target else None,
        simulated=reply.simulated,
        dropped=_dropped(last),
    )


def _dropped(last: Attempt | None) -> tuple[str, ...]:
    """What the last attempt went without, by the names of options."""
    return tuple(dict.fromkeys(OPTIONS.get(name, name) for name in last.dropped)) if last else ()


def cost(reply: Reply) -> Decimal | None:
    """US dollars of all attempts of an ended reply; None where a price is not known."""
    total = present.total_cost(reply.attempts)
    return None if total is None else to_usd(total)
