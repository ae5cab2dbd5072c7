"""How a call is written down: from the words of `core` to the records of the journal.

Decides what of a call goes into the books and how long a text may be there; refuses to know when it is written.
Texts that callers and providers choose are clipped and made plain, so that nobody can fill the journal with one name,
or write a line into it that cannot be read back.
"""

from collections.abc import Mapping, Sequence

import msgspec

from headgate.core.attempt import Attempt, Settled
from headgate.core.call import NO_TAGS, Call
from headgate.core.usage import TokenUsage
from headgate.core.verdict import Verdict
from headgate.stores.records import CallEnd, Intent, Outcome, Told

LONGEST = 256
"""Characters of a name, a tag or a code that are kept."""
LONGEST_ID = 1024
"""Characters of an object's id; a longer one is not written down."""

_NOTHING = TokenUsage()


def _text(value: str) -> str:
    # A lone surrogate cannot be written as UTF-8, and Postgres knows no NUL; what is no text at all (a tag from Python
    # code) is made one.
    if type(value) is str and len(value) <= LONGEST and value.isascii() and "\0" not in value:
        return value
    return str(value)[:LONGEST].replace("\0", "?").encode(errors="replace").decode()


def _ids(made: Sequence[str]) -> tuple[str, ...]:
    # A clipped id would be another object's: what is no id of any provider is left out, so nobody owns it.
    return tuple(name for name in made if len(name) <= LONGEST_ID and name.isascii() and "\0" not in name)


def _tags(tags: Mapping[str, str]) -> Mapping[str, str]:
    # A copy: the record waits to be booked, and the caller may change its own.
    return {_text(name): _text(value) for name, value in tags.items()} if tags else NO_TAGS


def milliseconds(seconds: float) -> float:
    """A duration as it is written down: in milliseconds, to the nearest microsecond.

    Example:
        >>> milliseconds(0.0123456)
        12.346
    """
    # A third of what `round` takes.
    return int(seconds * 1e6 + 0.5) / 1e3


def intent(call: Call, attempt: Attempt | None, *, time: float, held: Told | None = None) -> Intent:
    """The record of an attempt that is about to leave, or (None) of a call that never left.

    `time` is the start of the call, seconds since 1970 UTC.
    """
    caller, shown = call.caller, call.shown
    number, provider, model = (
        (0, None, None) if attempt is None else (attempt.number, attempt.provider, _text(attempt.model))
    )
    # By position, in the order of the fields: see `records.py`.
    return Intent(
        call.id,
        number,
        call.day,
        time,
        call.operation,
        _text(shown.model),
        provider,
        model,
        call.stream,
        caller.key,
        caller.project,
        _text(shown.user) if shown.user else None,
        _tags(shown.tags),
        call.parent,
        call.dropped,
        held,
    )


def outcome(call: Call, attempt: Attempt) -> Outcome:
    """The record of an attempt that is settled."""
    usage = attempt.usage or _NOTHING
    served, tier, error_type = attempt.model_served, attempt.service_tier, attempt.error_type
    # By position, in the order of the fields: see `records.py`.
    return Outcome(
        call.id,
        attempt.number,
        attempt.settled or Settled.UNKNOWN,
        attempt.basis,
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        attempt.cost,
        attempt.price_table,
        _text(served) if served else None,
        _text(tier) if tier else None,
        attempt.status,
        _text(error_type) if error_type else None,
        attempt.latency_ms,
        attempt.first_token_ms,
        _ids(attempt.made) if attempt.made else (),
        call.saved_tokens if attempt.settled is Settled.BILLED else 0,
    )


def ending(
    call: Call,
    *,
    time: float | None,
    status: int,
    error_type: str | None,
    cache: str,
    latency_ms: float,
    first_token_ms: float | None,
) -> CallEnd:
    """The record of a caller's call that has ended.

    `time` is its start, seconds since 1970 UTC; None where an intent has told it.
    """
    return CallEnd(
        call_id=call.id,
        attempts=len(call.trail),
        status=status,
        error_type=_text(error_type) if error_type else None,
        cache=cache,
        latency_ms=latency_ms,
        first_token_ms=first_token_ms,
        intent=None if time is None else intent(call, None, time=time),
        guard=_verdicts(call.verdicts) if call.verdicts else None,
        saved=sum(call.saved) if call.saved else 0,
    )


def _verdicts(verdicts: Sequence[Verdict]) -> str:
    # A rule may have hundreds of patterns: each rule's first word is enough for the books.
    first = {(one.side, one.rule): one for one in reversed(verdicts)}
    return msgspec.json.encode(list(first.values())[::-1]).decode().replace("\\u0000", "?")
