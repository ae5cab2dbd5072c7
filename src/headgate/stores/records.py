"""What is written down of a call: the records of the journal, and the rows of the ledger made from them.

Field names are those of `headgate usage --rows --json`. Times are seconds since 1970 UTC; money is picodollars.
"""

from collections.abc import Mapping

import msgspec

from headgate.core.attempt import Basis, Settled
from headgate.core.call import NO_TAGS


class CallFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who asked what. The same for all attempts of a call."""

    call_id: str
    day: str
    time: float
    operation: str
    model_requested: str
    stream: bool = False
    key: str | None = None
    project: str | None = None
    user: str | None = None
    tags: Mapping[str, str] = NO_TAGS


class Intent(CallFacts, frozen=True, kw_only=True, omit_defaults=True, tag="intent"):
    """Written before an attempt leaves: from now on it may cost money.

    `parent` is the caller's call on whose behalf the gate itself asks; a call with a parent has no `CallEnd`. `tenant`
    is whose the objects are that the answer makes.
    """

    attempt: int
    provider: str
    model: str
    parent: str | None = None
    tenant: str | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="outcome"):
    """Written when an attempt is settled. `call_id` and `attempt` name its intent; `made` are ids of new objects."""

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


class CallEnd(CallFacts, frozen=True, kw_only=True, omit_defaults=True, tag="call"):
    """Written when the caller's call has ended, whatever became of it."""

    attempts: int
    status: int | None = None
    error_type: str | None = None
    cache: str = "off"
    latency_ms: float | None = None
    first_token_ms: float | None = None


Record = Intent | Outcome | CallEnd


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ledger: an intent with its outcome. Attempt 0 stands for a call that never left.

    `cache` belongs to the call: it is told when rows are read, and not booked with them.
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
    model_served: str | None = None
    service_tier: str | None = None
    settled: Settled
    basis: Basis | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost: int | None = None
    price_table: str | None = None
    status: int | None = None
    error_type: str | None = None
    latency_ms: float | None = None
    first_token_ms: float | None = None
    cache: str = "off"


class CallRow(CallFacts, frozen=True, kw_only=True):
    """One call of a caller. `error_type` is `crashed` where the process died before its end."""

    attempts: int
    status: int | None = None
    error_type: str | None = None
    cache: str = "off"
    latency_ms: float | None = None
    first_token_ms: float | None = None


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
