"""OpenAI-shaped errors: what a provider's error says, which class that calls for, and how we say our own.

Decides the class from the HTTP status where there is one, and from the error's `code` and `type` where it came inside
a stream or with status 200. Refuses to decide what is done about it: that is for policies. What a provider says about
our credentials is never repeated: it may quote them.
"""

import re
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import msgspec

from headgate.core.errors import (
    Answer,
    APIError,
    AuthenticationError,
    ContentFilterError,
    ContextLengthError,
    GarbledError,
    GuardError,
    HeadgateError,
    ModelNotFoundError,
    OverloadedError,
    OversizeError,
    ProviderError,
    QuotaError,
    RateLimitError,
)
from headgate.dialects.openai_fields import UNREADABLE

_LONGEST_BODY = 1024 * 1024
_LONGEST_MESSAGE = 4000
_LONGEST_WORD = 200
# Longer than any wait that a provider means.
_LONGEST_WAIT = 10_000_000.0

_QUOTA = frozenset(
    (
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_hard_limit_reached",
        "billing_not_active",
    )
)
_RATE = frozenset(("rate_limit_exceeded", "rate_limit_error", "slow_down", "too_many_requests", "requests", "tokens"))
_CREDENTIALS = frozenset(
    (
        "invalid_api_key",
        "authentication_error",
        "permission_error",
        "permission_denied",
        "account_deactivated",
        "upstream_authentication",
    )
)
_MODEL = frozenset(("model_not_found", "deploymentnotfound"))
_CONTEXT = frozenset(("context_length_exceeded", "exceed_context_size_error"))
_CONTENT = frozenset(
    (
        "content_filter",
        "content_policy_violation",
        "image_content_policy_violation",
        "misalignment_policy_violation",
        "responsibleaipolicyviolation",
        "bio_policy",
        "invalid_prompt",
        "moderation_blocked",
    )
)
_REQUEST = frozenset(
    ("invalid_request_error", "data_residency_mismatch", "failed_to_download_image", "empty_image_file")
)
_REQUEST_STEMS = ("invalid_", "unsupported_", "image_")
_CONTEXT_PHRASE = re.compile(r"maximum context length|available context size", re.IGNORECASE)
# It has no name of its own: by type and code it is a rate limit, which would be waited for, and slow everybody down.
_OVERSIZE_PHRASE = re.compile(r"\s*request too large for\b", re.IGNORECASE)
_MODEL_PHRASE = re.compile(r"\b(model|deployment)\b", re.IGNORECASE)


class Facts(NamedTuple):
    """What an error object says; None for what it leaves out, lengths capped.

    Attributes:
        message: the provider's words.
        type, code, param: its names for the kind of error and the field at fault.
        status: an HTTP status that a compatible server gave as `code`.
    """

    message: str | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None
    status: int | None = None


def facts_of(error: Any) -> Facts:
    """Read a decoded error object, whatever it is: an object in OpenAI's form, or just a text."""
    if isinstance(error, str):
        return Facts(message=error[:_LONGEST_MESSAGE])
    if not isinstance(error, dict):
        return Facts()
    code = error.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else None
    message = error.get("message")
    return Facts(
        message=message[:_LONGEST_MESSAGE] if isinstance(message, str) else None,
        type=_word(error.get("type")),
        code=_word(code),
        param=_word(error.get("param")),
        status=status,
    )


def _word(value: Any) -> str | None:
    return value[:_LONGEST_WORD] if isinstance(value, str) else None


def facts_in(body: bytes) -> Facts:
    """Read the body of an error answer; without facts where it is not JSON in OpenAI's form (an HTML page, say)."""
    if len(body) > _LONGEST_BODY:
        return Facts()
    try:
        decoded = msgspec.json.decode(body)
    except UNREADABLE:
        return Facts()
    if isinstance(decoded, list) and decoded:
        # Gemini's own OpenAI-compatible address wraps its errors into a list.
        decoded = decoded[0]
    if not isinstance(decoded, dict):
        return Facts()
    return facts_of(decoded.get("error") or decoded)


def error_of(error: Any) -> APIError:
    """The error for an error object that came inside a stream, or in an answer of status 200."""
    facts = facts_of(error)
    kind = _kind_by_status(facts.status, facts) if facts.status else _kind_by_name(facts)
    return _made(kind, facts, "The provider failed while it answered", None, None)


def error_from(answer: Answer) -> ProviderError:
    """The error for an answer whose status is not 2xx."""
    status = answer.status
    if status < 400:
        return GarbledError(
            f"The provider answered with a redirect (status {status}).",
            hint="Check the provider's `base_url`: it leads elsewhere.",
        )
    facts = facts_in(answer.body)
    kind = _kind_by_status(status, facts)
    wait = retry_after(answer) if kind in (RateLimitError, OverloadedError) else None
    return _made(kind, facts, f"The provider answered with status {status}", answer, wait)


def _made(kind: type[APIError], facts: Facts, what: str, answer: Answer | None, wait: float | None) -> APIError:
    if kind is AuthenticationError:
        # Neither the words nor the body: both may quote a piece of the key.
        bare = answer and answer._replace(body=b"")
        return kind(f"{what}: it does not accept our credentials.", answer=bare)
    message = f"{what}: {facts.message}" if facts.message else f"{what} and gave no reason that can be read."
    return kind(message, answer=answer, type=facts.type, code=facts.code, param=facts.param, retry_after=wait)


def _kind_by_status(status: int, facts: Facts) -> type[APIError]:
    names = _names(facts)
    if status in {401, 402, 403}:
        return AuthenticationError
    if status in {408, 409} or status >= 500:
        return OverloadedError
    if names & _QUOTA:
        return QuotaError
    if status == 429:
        return OversizeError if _OVERSIZE_PHRASE.match(facts.message or "") else RateLimitError
    if status == 404:
        known = names & _MODEL or facts.param == "model" or _MODEL_PHRASE.search(facts.message or "")
        return ModelNotFoundError if known else APIError
    return _kind_of_refusal(facts, names) or APIError


def _kind_by_name(facts: Facts) -> type[APIError]:
    names = _names(facts)
    for known, kind in (
        (_QUOTA, QuotaError),
        (_RATE, RateLimitError),
        (_CREDENTIALS, AuthenticationError),
        (_MODEL, ModelNotFoundError),
    ):
        if names & known:
            return kind
    refusal = _kind_of_refusal(facts, names)
    if refusal is not None:
        return refusal
    if names & _REQUEST or any(name.startswith(_REQUEST_STEMS) for name in names):
        return APIError
    # The request had been accepted: what failed afterwards is trouble at the provider.
    return OverloadedError


def _kind_of_refusal(facts: Facts, names: frozenset[str]) -> type[APIError] | None:
    if names & _CONTEXT or _CONTEXT_PHRASE.search(facts.message or ""):
        return ContextLengthError
    return ContentFilterError if names & _CONTENT else None


def _names(facts: Facts) -> frozenset[str]:
    return frozenset(name.lower() for name in (facts.code, facts.type) if name)


def retry_after(answer: Answer) -> float | None:
    """The seconds that the provider asks us to wait, from `retry-after-ms` or `retry-after`; None if it does not say.

    A date counts from the same answer's own `date`, so that no clock is read; without one it is ignored.

    Example:
        >>> retry_after(Answer(429, {"retry-after-ms": "1500", "retry-after": "2"}, b""))
        1.5
    """
    headers = answer.headers
    wait = _number(headers.get("retry-after-ms"))
    if wait is not None:
        return wait / 1000
    named = headers.get("retry-after")
    wait = _number(named)
    if wait is not None or not named:
        return wait
    try:
        wait = (parsedate_to_datetime(named) - parsedate_to_datetime(headers.get("date", ""))).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return wait if 0 <= wait <= _LONGEST_WAIT else None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    # Written so that NaN fails it.
    return number if 0 <= number <= _LONGEST_WAIT else None


def error_object(error: HeadgateError) -> dict[str, Any]:
    """Our own error as the object that OpenAI's clients expect under `error`; the message tells the cure as well.

    What the guard blocks has its verdict beside that, as `guard`.
    """
    message = f"{error.message}\n\nhint: {error.hint}" if error.hint else error.message
    facts: dict[str, Any] = {"message": message, "type": error.type, "param": error.param, "code": error.code}
    return facts | {"guard": error.verdict} if isinstance(error, GuardError) else facts
