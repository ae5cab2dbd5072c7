"""What is written down of a call: the records of the journal, and the rows of the ledger made from them.

Field names are those of `headgate usage --rows --json`. Times are seconds since 1970 UTC; money is picodollars. Records
hold no cycles and wait in thousands to be booked, so the garbage collector does not look at them (`gc=False`). `Intent`
and `Outcome` are made by position on the hot path, which takes a seventh of the time that names take.
"""

from collections.abc import Mapping

import msgspec

from headgate.core.attempt import Basis, Settled
from headgate.core.call import NO_TAGS


class Told(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, array_like=True):
    """What was set aside for an attempt, in picodollars.

    Attributes:
        owner: the process that borrowed it.
        caps: name and window of each budget that it counts against.
        amount: the worst case.
        if_unknown: what is charged if nobody ever learns how the attempt ended.
    """

    owner: str
    caps: tuple[tuple[str, str], ...]
    amount: int
    if_unknown: int


class Intent(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="intent"):
    """Written before an attempt leaves: from now on it may cost money. It also says who asked what.

    `parent` is the caller's call on whose behalf the gate itself asks; a call with a parent has no `CallEnd`. A call
    that never left has attempt 0, without a target. `dropped` names parameters that the model did not get. `held` is
    there where budgets apply.
    """

    call_id: str
    attempt: int
    day: str
    time: float
    operation: str
    model_requested: str
    provider: str | None
    model: str | None
    stream: bool = False
    key: str | None = None
    project: str | None = None
    user: str | None = None
    tags: Mapping[str, str] = NO_TAGS
    parent: str | None = None
    dropped: tuple[str, ...] = ()
    held: Told | None = None


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, tag="outcome"):
    """Written when an attempt is settled. `call_id` and `attempt` name its intent; `made` are ids of new objects.

    `saved_tokens` of its prompt were not billed, because compression had left them out.
    """

    call_id: str
    attempt: int
    settled: Settled
    basis: Basis | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int | None = None
    price_table: str | None = None
    model_served: str | None = None
    service_tier: str | None = None
    status: int | None = None
    error_type: str | None = None
    latency_ms: float | None = None
    first_token_ms: float | None = None
    made: tuple[str, ...] = ()
    saved_tokens: int = 0


class CallEnd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag="call"):
    """Written when the caller's call has ended, whatever became of it.

    Who asked what has been told by its intents; a call that never left brings its `intent` along. `error_type` is
    `crashed` where the process died before the end. `guard` is what the guard said, as JSON; `saved` what the answer
    did not cost because it came from the past, or was another's too, in picodollars.
    """

    call_id: str
    attempts: int
    status: int | None = None
    error_type: str | None = None
    cache: str = "off"
    latency_ms: float | None = None
    first_token_ms: float | None = None
    intent: Intent | None = None
    guard: str | None = None
    saved: int = 0


Record = Intent | Outcome | CallEnd

LARGEST = 2**63 - 1
"""What a ledger has room for in a number."""
LARGEST_COUNT = 2**40 - 1
"""What it has room for in a number of tokens: of eight million such attempts, the sum still fits."""


def sound(record: Record) -> bool:
    """Whether a ledger can book it: figures neither negative nor larger than it has room for, and texts without NUL."""
    texts = [value for value in msgspec.structs.astuple(record) if isinstance(value, str)]
    if isinstance(record, Intent):
        texts += [*record.tags, *record.tags.values()]
    if "\0" in "".join(texts):
        return False
    try:
        # One sign and one length tell of all of them.
        if isinstance(record, Outcome):
            figures = record.attempt | (record.cost or 0) | (record.status or 0)
            tokens = (
                record.prompt_tokens
                | record.completion_tokens
                | record.cached_tokens
                | record.cache_write_tokens
                | record.reasoning_tokens
                | record.saved_tokens
            )
            if not 0 <= tokens <= LARGEST_COUNT:
                return False
        elif isinstance(record, Intent):
            figures = record.attempt | 0
        elif record.intent is not None and not sound(record.intent):
            return False
        else:
            figures = record.attempts | (record.status or 0) | record.saved
    except TypeError:
        return False
    return 0 <= figures <= LARGEST


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of the ledger as it is booked: an attempt that is settled, and the end of its call once that is known.

    A call's end stands on every line of the call.
    """

    intent: Intent
    outcome: Outcome
    end: CallEnd | None = None


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ledger as it is read: an attempt, and what the cache did for its call.

    `parent` is the call on whose behalf the gate itself asked. Attempt 0 stands for a call that never left.
    `budgets` are name and window of those that it was charged to, `held` what was set aside for it. `resolved_by` is
    who said how it had ended, where nobody knew. `guard` is what the guard said of the call: a list of verdicts, as
    JSON. `saved` is what the call did not cost because of the cache.
    """

    call_id: str
    attempt: int
    day: str
    time: float
    operation: str
    model_requested: str
    stream: bool
    key: str | None
    project: str | None
    user: str | None
    tags: Mapping[str, str]
    provider: str | None
    model: str | None
    dropped: tuple[str, ...] = ()
    parent: str | None = None
    model_served: str | None = None
    service_tier: str | None = None
    settled: Settled
    basis: Basis | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    saved_tokens: int = 0
    cost: int | None = None
    price_table: str | None = None
    status: int | None = None
    error_type: str | None = None
    latency_ms: float | None = None
    first_token_ms: float | None = None
    budgets: tuple[tuple[str, str], ...] = ()
    held: int | None = None
    resolved_by: str | None = None
    cache: str = "off"
    guard: str | None = None
    saved: int = 0


class ObjectRow(msgspec.Struct, frozen=True, kw_only=True):
    """One object that an answer made at a provider (`resp_…`, `file-…`, `batch_…`), and whose it is."""

    id: str
    tenant: str | None
    provider: str
    call_id: str
    time: float


class Owner(msgspec.Struct, frozen=True):
    """Whose an object is: the tenant that made it (None: somebody without a key), and the provider that has it."""

    tenant: str | None
    provider: str
