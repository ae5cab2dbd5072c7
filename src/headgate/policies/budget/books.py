"""The books of budget: how an attempt ended, what it cost, and how sure that is.

Decides how an attempt is settled; refuses to know what was held for it and where it is written down.

How an attempt ends in the books, first match:

    | what happened                                            | settled    | basis    | tokens                   |
    |----------------------------------------------------------|------------|----------|--------------------------|
    | it never was written completely, and nothing came back   | not_billed |          | none                     |
    | answered with an error status                            | not_billed |          | none                     |
    | the answer told its usage, complete or not               | billed     | reported | as told                  |
    | nobody charges for it (files, moderations, …)            | billed     | reported | as told; the cost is 0   |
    | the same, failed; but for a batch, which may run         | not_billed |          | none                     |
    | the work goes on after the answer (batch, background)    | unknown    |          | none yet                 |
    | pictures and sound without usage                         | billed     |          | none; no price is known  |
    | a complete answer that did not tell its usage            | billed     | counted  | input, words, thoughts   |
    | a stream that broke or was left after its first word     | billed     | counted  | input, words, thoughts   |
    | a stream that was cancelled before its first word        | billed     | counted  | input, thoughts          |
    | anything else: timeout, reset, garbled, in-band error    | unknown    |          | none; the worst may hold |

Counting is by bytes: four of UTF-8 make a token, of what the model reads (`catalog/rough.py`) and of the words that
came. What it thought nobody saw: as much as answers of this target do on average, once the provider has begun to
answer. It is marked `counted`, so that nobody takes it for the provider's word. Usage that cannot be true (negative, or
beyond a billion tokens) is taken as not told.
"""

from collections.abc import Callable
from contextlib import suppress

import msgspec
from msgspec.structs import astuple

from headgate.catalog.rough import BYTES_PER_TOKEN, rough
from headgate.core.attempt import Attempt, Basis, Settled
from headgate.core.body import Body
from headgate.core.call import FREE, UNMEASURED, Call, Operation
from headgate.core.caps import caps
from headgate.core.errors import APIError, HeadgateError
from headgate.core.reply import Abandoned, Event, Kind, Reply
from headgate.core.usage import TokenUsage

MOST_TOKENS = 10**9
"""Of one attempt; what is beyond cannot be true, and its cost might not fit the ledger."""
LEARN = 0.05
"""How far one answer moves the average."""
_THINKS = frozenset((Operation.CHAT, Operation.RESPONSES))


class Thoughts:
    """How many tokens the answers of a target think, on average of the latest ones.

    Attributes:
        mean: tokens.
    """

    def __init__(self) -> None:
        self.mean: float | None = None

    def learn(self, call: Call, usage: TokenUsage) -> None:
        """Take what an answer has used. Those that were told not to think are not taken for the others."""
        thought = usage.reasoning_tokens
        # Where nobody ever thinks, nothing is looked for.
        if (thought or self.mean != 0.0) and call.operation in _THINKS and not _told_not_to(call):
            self.mean = thought if self.mean is None else self.mean + LEARN * (thought - self.mean)

    def of(self, call: Call) -> int:
        """What the answer to a call may have thought."""
        if self.mean is None or call.operation not in _THINKS or _told_not_to(call):
            return 0
        return round(self.mean)


def _told_not_to(call: Call) -> bool:
    # Whatever else may be `none` is rare, and is kept apart both when learning and when telling.
    return isinstance(call.body, Body) and b'"none"' in call.body.raw


class Account:
    """What is known of one attempt while it runs.

    Args:
        call: on whose behalf.
        attempt: what happened is noted on it.
        thoughts: of the target.
        settled: called once, when its outcome is known.

    Attributes:
        reply: the answer, once it has begun.
    """

    __slots__ = ("_attempt", "_call", "_pending", "_settled", "_size", "_thoughts", "reply")

    def __init__(self, call: Call, attempt: Attempt, thoughts: Thoughts, settled: Callable[[], None]) -> None:
        self._call = call
        self._attempt = attempt
        self._thoughts = thoughts
        self._settled = settled
        self._size = 0
        self._pending = False
        self.reply: Reply | None = None

    def on_event(self, event: Event) -> None:
        """Take what an event tells."""
        self._size += event.size
        # Most events of a stream tell nothing else, or the model that they all tell.
        attempt = self._attempt
        if event.model is not None:
            attempt.model_served = event.model
        if event.usage is not None and _credible(event.usage):
            attempt.usage = event.usage
        if event.tier is not None:
            attempt.service_tier = event.tier
        if event.made:
            attempt.made += event.made
        if event.kind is Kind.TERMINAL:
            self._pending = event.pending

    def on_end(self, error: BaseException | None) -> None:
        """The reply has ended."""
        attempt, call = self._attempt, self._call
        # Leaving after the answer was finished (a reader that stops at `[DONE]`) is no failure.
        if error is not None and not (_left(error) and self.reply is not None and self.reply.finished):
            attempt.error_type = _name(error)
        if isinstance(error, HeadgateError):
            error.attempts = call.trail
        # Who only asks how it stands has not begun it, and what is booked elsewhere is not unknown here.
        begun = call.address is None or call.address.method == "POST"
        if self._pending and begun and not call.prepaid:
            self._settle(Settled.UNKNOWN, None)
        elif attempt.usage is not None or call.operation in FREE:
            self._settle(Settled.BILLED, Basis.REPORTED)
        elif call.operation in UNMEASURED:
            self._settle(Settled.BILLED, None)
        else:
            self._count(self._size)

    def failed(self, error: BaseException) -> None:
        """There was no reply."""
        attempt = self._attempt
        attempt.error_type = _name(error)
        operation = self._call.operation
        if _not_billed(attempt, error) or (operation in FREE and not _begins(self._call)):
            self._settle(Settled.NOT_BILLED, None)
        elif self._call.stream and _left(error) and operation not in UNMEASURED:
            self._count(0)
        else:
            self._settle(Settled.UNKNOWN, None)

    def _count(self, size: int) -> None:
        attempt, call = self._attempt, self._call
        most, said = _cap(call), -(-size // BYTES_PER_TOKEN)
        thought = 0 if attempt.status is None else min(self._thoughts.of(call), max(most - said, 0))
        attempt.usage = TokenUsage(
            prompt_tokens=rough(call.operation, call.body, attempt.model),
            completion_tokens=min(said + thought, most),
            reasoning_tokens=thought,
        )
        self._settle(Settled.BILLED, Basis.COUNTED)

    def _settle(self, settled: Settled, basis: Basis | None) -> None:
        # Once: an attempt either fails before its reply, or has a reply, which ends once.
        attempt = self._attempt
        attempt.settled = settled
        attempt.basis = basis
        self._settled()


def _cap(call: Call) -> int:
    """How long an answer may be; what is no number bounds nothing."""
    if isinstance(call.body, Body):
        with suppress(HeadgateError, msgspec.MsgspecError, ValueError, RecursionError):
            found = caps(call.body)
            if found.output is not None:
                return found.output * found.choices
    return MOST_TOKENS


def _not_billed(attempt: Attempt, error: BaseException) -> bool:
    if attempt.status is not None and attempt.status >= 400:
        return True
    if isinstance(error, APIError) and error.answer is not None and error.answer.status >= 400:
        return True
    return not attempt.sent and attempt.status is None


def _begins(call: Call) -> bool:
    """Whether a batch may run after it, whatever was answered, that nobody has set anything aside for."""
    address = call.address
    begins = address is not None and (address.method, address.path) == ("POST", "/batches")
    return call.operation is Operation.BATCHES and begins and not call.prepaid


def _credible(usage: TokenUsage) -> bool:
    # One sign and one length tell of all of them, where they are small.
    bits = (
        usage.prompt_tokens
        | usage.completion_tokens
        | usage.cached_tokens
        | usage.cache_write_tokens
        | usage.reasoning_tokens
        | usage.prompt_image_tokens
        | usage.prompt_audio_tokens
        | usage.completion_image_tokens
        | usage.completion_audio_tokens
    )
    return bits >= 0 and (bits <= MOST_TOKENS or max(astuple(usage)) <= MOST_TOKENS)


def _left(error: BaseException) -> bool:
    """Whether the caller left: the reply was closed, or the task cancelled (CancelledError is no Exception)."""
    return isinstance(error, Abandoned) or not isinstance(error, Exception)


def _name(error: BaseException) -> str:
    if isinstance(error, HeadgateError):
        return error.code
    return "cancelled" if _left(error) else "internal_error"
