"""Every way in which a call can fail, and what follows from each: the one error table.

    HeadgateError
    ├── ConfigError                 a setting is wrong
    ├── CallerError                 the call is wrong; nothing was sent
    │   ├── BadRequestError         malformed, mistyped, duplicate, missing, or too many fields
    │   ├── InvalidKeyError         no key, an unknown one, or an expired one
    │   ├── NotAllowedError         this key may not do that
    │   ├── UnknownModelError       no route leads to that model, or it is gone
    │   ├── UnknownObjectError      no such file, batch, upload or response, or not the caller's
    │   ├── UnknownPathError        no such address
    │   ├── MethodNotAllowedError   the address exists, the method does not
    │   ├── TooLongError            the request cannot fit the model's context
    │   ├── TooLargeError           the body is over the limit
    │   ├── MediaTypeError          the body is not what the address takes, by its own account
    │   ├── LoopError               the call came back to the gate that sent it
    │   ├── IdempotencyReusedError  the `Idempotency-Key` belongs to another request
    │   └── SlowSenderError         the request did not come in time
    ├── Refused                     our own rules said no; nothing was sent
    │   ├── NoTargetError           no target of this route can take the call now
    │   ├── RestingError            the target rests after failures
    │   ├── DeadlineError           the provider's limits let the call through only after its deadline
    │   ├── TooFastError            the key has asked for more than its limits allow
    │   ├── SharedStoreError        the store of rates is away, and limits are closed meanwhile
    │   ├── OverBudgetError         a budget has too little left for what the call may cost
    │   ├── UnboundedError          nobody can tell what the call may cost at most, and a budget holds for it
    │   ├── UnpricedError           nobody knows what the model costs
    │   ├── BacklogError            the journal is full: the books come first
    │   ├── StoreError              the store is away, and the call cannot do without
    │   ├── OutcomeUnknownError     it was begun before, and what came of it cannot be given
    │   ├── GuardError              a rule of the guard blocks the words
    │   ├── GuardDownError          a rule of the guard cannot run, and does not say that this opens it
    │   └── StoppingError           the gate is shutting down
    ├── ProviderError               the provider, or the way to it, failed
    │   ├── APIError                answered with an error status
    │   │   ├── OverloadedError     408, 409, 5xx, or overload by name
    │   │   ├── ModelNotFoundError  404 for the model
    │   │   ├── ContextLengthError  400 context_length_exceeded
    │   │   ├── ContentFilterError  the provider's content policy
    │   │   ├── OversizeError       429 for a request that is more than the limit of a whole minute
    │   │   ├── RateLimitError      429
    │   │   │   └── QuotaError      429 for quota, credit or billing: waiting does not help
    │   │   └── AuthenticationError 401, 402, 403: our key, not the caller's
    │   ├── TimeoutError            silence, or a slow first token, or too long in all
    │   ├── UnreachableError        connect error, reset, or a stream that ended before its first word
    │   ├── GarbledError            an answer that cannot be read
    │   └── InterruptedError        broken after the first word
    ├── ValidationError             the model's answer does not fit the schema asked for
    │   ├── RefusalError            the model refuses to answer
    │   ├── TruncatedError          its answer was cut off at its length limit
    │   └── FilteredError           the provider's content filter cut its answer off
    └── PartialFailureError         some of many failed; carries what succeeded

Each class carries its facts, and `error_table.py` prints them as the table in `docs/reference/errors.md`. What to do
about an error is decided by policies from these facts and never from the class's name.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from headgate.core.error import Again as Again  # noqa: PLC0414  shown to others from here
from headgate.core.error import Answer as Answer  # noqa: PLC0414  shown to others from here
from headgate.core.error import HeadgateError as HeadgateError  # noqa: PLC0414  shown to others from here
from headgate.core.error import Onward as Onward  # noqa: PLC0414  shown to others from here
from headgate.core.verdict import Verdict


class ConfigError(HeadgateError):
    """A setting is wrong; the message names the file, the key, the value and the cure."""

    code = "config_error"


class CallerError(HeadgateError):
    """The call itself is wrong. Nothing was sent and nothing was spent."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class BadRequestError(CallerError):
    """A field is malformed, mistyped, duplicate or missing, or the body is not a JSON object."""


class InvalidKeyError(CallerError):
    """No key was given, or it is unknown or expired."""

    status = 401
    code = "invalid_api_key"
    hint = "Send `Authorization: Bearer hg-…` with a key of this gateway."


class NotAllowedError(CallerError):
    """The key is good, but not for this."""

    status = 403
    code = "not_allowed"


class UnknownModelError(CallerError):
    """No route leads to the model that the call asks for, or its maker has shut it down."""

    status = 404
    code = "model_not_found"


class UnknownObjectError(CallerError):
    """There is no such file, batch, upload or response, or it belongs to somebody else: the caller cannot tell."""

    status = 404
    code = "not_found"


class UnknownPathError(CallerError):
    """The gateway has no such address."""

    status = 404
    code = "unknown_url"


class MethodNotAllowedError(CallerError):
    """The address exists, but not for this HTTP method."""

    status = 405
    code = "method_not_allowed"


class TooLongError(CallerError):
    """The request does not fit the context of the model, by our own count; it was not sent."""

    code = "context_length_exceeded"
    onward = Onward.LARGER


class TooLargeError(CallerError):
    """The body is larger than `server.max_body_mb`, or an upload than `server.max_upload_mb`."""

    status = 413
    code = "request_too_large"


class MediaTypeError(CallerError):
    """The body does not call itself what the address takes: JSON, or a form (`multipart/form-data`)."""

    status = 415
    code = "unsupported_media_type"
    hint = "Send `Content-Type: application/json`."


class LoopError(CallerError):
    """The call has passed this very gate before."""

    status = 508
    code = "loop_detected"
    hint = "A provider's `base_url` leads back to this gateway."


class IdempotencyReusedError(CallerError):
    """The `Idempotency-Key` was sent with another request."""

    status = 422
    code = "idempotency_key_reused"
    hint = "Give each request a key of its own; send it again only with exactly the same body."


class SlowSenderError(CallerError):
    """The request paused for longer than `server.header_timeout` or `server.body_timeout`, or it crawled."""

    status = 408
    code = "request_timeout"


class Refused(HeadgateError):  # noqa: N818  the house's word for "our own rules said no"
    """Our own rules said no. Nothing was sent and nothing was spent."""

    status = 429
    type = "refused"
    code = "refused"


class NoTargetError(Refused):
    """No target of this route can take the call now."""

    status = 503
    code = "no_target"
    onward = Onward.NOW


class RestingError(Refused):
    """The target has failed too often and rests; `retry_after` says for how long."""

    status = 503
    code = "target_resting"
    onward = Onward.NOW


class DeadlineError(Refused):
    """The provider's limits would let the call through only after its deadline; it was not sent."""

    status = 503
    code = "deadline_unreachable"
    onward = Onward.NOW


class TooFastError(Refused):
    """The key has asked for more than its limits allow: more calls, more tokens, or more at the same time.

    Attributes:
        headers: `x-ratelimit-*`, for the answer.
    """

    type = "rate_limit_error"
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.headers: Mapping[str, str] = headers or {}


class SharedStoreError(Refused):
    """The store of rates is away, and `policies.on_shared_store_lost` is `closed`."""

    status = 503
    code = "shared_store_unavailable"
    hint = "Look at `shared` in `/health`."


class OverBudgetError(Refused):
    """A budget has too little left for what the call may cost.

    Attributes:
        left: picodollars that the budget has left.
    """

    code = "budget_exceeded"

    def __init__(self, message: str, *, left: int = 0, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.left = left


class UnboundedError(Refused):
    """Nobody can tell what the call may cost at most, and `policies.budget.unbounded` says not to ask then."""

    status = 403
    code = "unbounded_cost"


class UnpricedError(Refused):
    """Nobody knows what the model costs, and `policies.budget.unknown_price` says not to ask it then."""

    status = 403
    code = "unknown_price"
    onward = Onward.NOW


class BacklogError(Refused):
    """The journal has reached its backlog limit: a call that cannot be booked is not made."""

    status = 503
    code = "journal_full"
    hint = "The ledger does not drain; look at `store` in `/health`."


class StoreError(Refused):
    """The store is away, and the call needs it: to know whose an object is, or what a budget has left."""

    status = 503
    code = "store_unavailable"
    hint = "Look at `store` in `/health`."


class OutcomeUnknownError(Refused):
    """A call with this `Idempotency-Key` was begun before: nobody knows what came of it, or it is not kept."""

    status = 409
    code = "idempotency_outcome_unknown"
    hint = "The books (`headgate usage --rows`) show what became of it. To have it made anew, send a new key."


class GuardError(Refused):
    """A rule of the guard blocks the words. A blocked question costs nothing; a blocked answer is paid for.

    Attributes:
        verdict: which rule, and why.
    """

    status = 403
    code = "blocked"

    def __init__(self, message: str, *, verdict: Verdict, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.verdict = verdict


class GuardDownError(Refused):
    """A rule of the guard could not run, and its `on_failure` is `closed`."""

    status = 503
    code = "guard_unavailable"


class StoppingError(Refused):
    """The gate is shutting down and takes no new calls."""

    status = 503
    code = "stopping"


class ProviderError(HeadgateError):
    """The provider, or the way to it, failed."""

    status: ClassVar[int | None] = 502
    code = "upstream_error"
    breaker = True


class APIError(ProviderError):
    """The provider answered with an error status.

    As it stands the class means a request that the provider refuses for its content (400, 404, 422, …): nobody else
    would take it either, so it is passed on as it came.

    Attributes:
        answer: status, headers and body as the provider gave them; None for an error inside a stream.
        simulated: the simulator gave it.
    """

    simulated: bool = False
    status: ClassVar[int | None] = None
    inside: ClassVar[int] = 400
    """The status to show for an error that came inside a stream, where the provider's own status was 200."""
    type = "invalid_request_error"
    breaker = False

    def __init__(self, message: str, *, answer: Answer | None = None, type: str | None = None, **facts: Any) -> None:  # noqa: A002
        super().__init__(message, **facts)
        self.answer = answer
        if type is not None:
            self.type = type

    @property
    def http_status(self) -> int:
        """The provider's own status where it is a 4xx that speaks to the caller, else ours."""
        if self.status is not None:
            return self.status
        upstream = self.answer.status if self.answer else self.inside
        return upstream if 400 <= upstream < 500 else 502


class OverloadedError(APIError):
    """The provider is in trouble: 408, 409, 5xx, or an overload by name. Passing, by its nature."""

    inside = 502
    type = "server_error"
    again = Again.YES
    onward = Onward.THEN
    breaker = True


class ModelNotFoundError(APIError):
    """The provider does not know the model (or no longer does)."""

    inside = 404
    code = "model_not_found"
    onward = Onward.NOW


class ContextLengthError(APIError):
    """The request does not fit the model's context."""

    code = "context_length_exceeded"
    onward = Onward.LARGER


class ContentFilterError(APIError):
    """The provider's content policy refused the request."""

    code = "content_filter"


class OversizeError(APIError):
    """The request alone is more than the provider's limit of tokens a minute (429): no wait and no pace helps."""

    inside = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    onward = Onward.NOW


class RateLimitError(APIError):
    """The provider's rate limit (429). `retry_after` is the provider's wish, where it named one."""

    inside = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    again = Again.AFTER
    onward = Onward.LONGER


class QuotaError(RateLimitError):
    """Quota, credit or billing is used up (429): waiting does not help."""

    type = "insufficient_quota"
    code = "insufficient_quota"
    again = Again.NEVER
    onward = Onward.NOW


class AuthenticationError(APIError):
    """The provider refused our credentials (401, 402, 403): the gateway's fault, not the caller's."""

    status = 500
    type = "server_error"
    code = "upstream_authentication"
    hint = "Check the provider's `api_key` and account."
    onward = Onward.NOW


class TimeoutError(ProviderError):  # noqa: A001  the name that requirement T4 promises
    """Nothing came within the attempt's time."""

    status = 504
    code = "upstream_timeout"
    again = Again.ALONE
    onward = Onward.NOW


class UnreachableError(ProviderError):
    """The connection failed, was reset, or ended before the first word."""

    code = "upstream_unreachable"
    again = Again.YES
    onward = Onward.THEN


class GarbledError(ProviderError):
    """The provider's answer cannot be read."""

    code = "upstream_garbled"
    again = Again.YES
    onward = Onward.THEN


class InterruptedError(ProviderError):  # noqa: A001  the house's word
    """The stream broke after its first word. What was said stands; how it would have gone on is not known."""

    code = "stream_interrupted"


class ValidationError(HeadgateError):
    """The model's answer does not fit the schema that was asked for.

    Attributes:
        text: the answer as it came.
        problems: what does not fit: the place and why, never the value.
    """

    status = 502
    code = "invalid_output"

    def __init__(self, message: str, *, text: str = "", problems: Sequence[str] = (), **facts: Any) -> None:
        super().__init__(message, **facts)
        self.text = text
        self.problems = tuple(problems)


class RefusalError(ValidationError):
    """The model refused to answer; `text` is what it said instead."""

    code = "refusal"


class TruncatedError(ValidationError):
    """The answer was cut off at its length limit, so that no object came of it."""

    code = "truncated"
    hint = "Raise `max_tokens`, or ask for less."


class FilteredError(ValidationError):
    """The provider's content filter cut the answer off."""

    code = "content_filter"


class PartialFailureError(HeadgateError):
    """Some of many calls failed.

    Attributes:
        results: one entry per call in the order given: its result, or the error that it ended with.
    """

    status = 502
    code = "partial_failure"

    def __init__(self, message: str, *, results: Sequence[Any] = (), **facts: Any) -> None:
        super().__init__(message, **facts)
        self.results = results
