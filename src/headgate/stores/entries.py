"""How a call is written down: from the words of `core` to the records of the journal.

Decides what of a call goes into the books and how long a text may be there; refuses to know when it is written.
Texts that callers and providers choose are clipped and made plain, so that nobody can fill the journal with one name,
or write a line into it that cannot be read back.
"""

from collections.abc import Mapping, Sequence

from headgate.core.attempt import Attempt, Settled
from headgate.core.call import NO_TAGS, Call
from headgate.core.usage import TokenUsage
from headgate.stores.records import CallEnd, CallFacts, Intent, Outcome

LONGEST = 256
"""Characters of a name, a tag or a code that are kept."""
LONGEST_ID = 1024
"""Characters of an object's id; a longer one is not written down."""

_NOTHING = TokenUsage()


def _text(value: str) -> str:
    # A lone surrogate cannot be written as UTF-8; what is no text at all (a tag from Python code) is made one.
    if type(value) is str and len(value) <= LONGEST and value.isascii():
        return value
    return str(value)[:LONGEST].encode(errors="replace").decode()


def _ids(made: Sequence[str]) -> tuple[str, ...]:
    # A clipped id would be another object's: what is no id of any provider is left out, so nobody owns it.
    return tuple(name for name in made if len(name) <= LONGEST_ID and name.isascii())


def _tags(tags: Mapping[str, str]) -> Mapping[str, str]:
    # A copy: the record waits to be booked, and the caller may change its own.
    return {_text(name): _text(value) for name, value in tags.items()} if tags else NO_TAGS


def intent(call: Call, attempt: Attempt, *, time: float) -> Intent:
    """The record of an attempt that is about to leave. `time` is the start of the call, seconds since 1970 UTC."""
    caller = call.caller
    return Intent(
        call_id=call.id,
        day=call.day,
        time=time,
        operation=call.operation,
        model_requested=_text(call.model),
        stream=call.stream,
        key=caller.key,
        project=caller.project,
        user=_text(call.user) if call.user else None,
        tags=_tags(call.tags),
        attempt=attempt.number,
        provider=attempt.provider,
        model=_text(attempt.model),
        parent=call.parent,
    )


def outcome(call: Call, attempt: Attempt) -> Outcome:
    """The record of an attempt that is settled."""
    usage = attempt.usage or _NOTHING
    served = attempt.model_served
    tier = attempt.service_tier
    return Outcome(
        call_id=call.id,
        attempt=attempt.number,
        settled=attempt.settled or Settled.UNKNOWN,
        basis=attempt.basis,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        cost=attempt.cost,
        price_table=attempt.price_table,
        model_served=_text(served) if served else None,
        service_tier=_text(tier) if tier else None,
        status=attempt.status,
        error_type=_text(attempt.error_type) if attempt.error_type else None,
        latency_ms=attempt.latency_ms,
        first_token_ms=attempt.first_token_ms,
        made=_ids(attempt.made) if attempt.made else (),
    )


def ending(
    call: Call,
    *,
    time: float,
    status: int,
    error_type: str | None,
    cache: str,
    latency_ms: float,
    first_token_ms: float | None,
) -> CallEnd:
    """The record of a caller's call that has ended. `time` is its start, seconds since 1970 UTC.

    What its intents have told already is not told again.
    """
    attempts = len(call.trail)
    return CallEnd(
        call_id=call.id,
        attempts=attempts,
        status=status,
        error_type=_text(error_type) if error_type else None,
        cache=cache,
        latency_ms=latency_ms,
        first_token_ms=first_token_ms,
        facts=None if attempts else _facts(call, time),
    )


def _facts(call: Call, time: float) -> CallFacts:
    caller = call.caller
    return CallFacts(
        call_id=call.id,
        day=call.day,
        time=time,
        operation=call.operation,
        model_requested=_text(call.model),
        stream=call.stream,
        key=caller.key,
        project=caller.project,
        user=_text(call.user) if call.user else None,
        tags=_tags(call.tags),
    )
