"""How a call that failed is told to whoever asked an application: a status, a sentence, sometimes `Retry-After`.

Decides what may be said to whom, in FastAPI's own shape (`{"detail": …}`). There are two readers:

- `to_users`: those of somebody's application (requirement F3). They know neither its provider nor its budgets, so what
  a provider or a policy said is never repeated: each kind of failure has its own words here. Only what is wrong with
  their own request is told as it is.
- `to_callers`: those of the gateway, who hold its keys. They get what `/v1` would tell them.
"""

import logging
import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from fastapi import HTTPException

from headgate.core import errors
from headgate.core.errors import HeadgateError
from headgate.dialects.openai_errors import error_object
from headgate.gate import present

log = logging.getLogger("headgate")

RETRY_AFTER = 60
"""Seconds to wait where a limit was met and nobody said how long."""
UNEXPECTED = "The application failed unexpectedly."
_NUMBER = re.compile(r"(?<![\w.,:/-])(?:\d{1,3}(?:,\d{3})+|\d{2,12})(?![\w:/-]|[.,]\d)")
"""A number that stands by itself: no piece of an address, a date or a name."""


class Failed(HTTPException):
    """A call that failed, as its answer."""


class _Told(NamedTuple):
    """What is said of a kind of failure. Without a status, the error's own; without words, its own message."""

    status: int | None
    words: str | None


_LATER = "Try again later."
_TOLD: Mapping[type[BaseException], _Told] = {
    HeadgateError: _Told(500, UNEXPECTED),
    errors.CallerError: _Told(None, None),
    errors.Refused: _Told(None, f"The model cannot be asked now. {_LATER}"),
    errors.TooFastError: _Told(429, f"There were too many requests. {_LATER}"),
    errors.OverBudgetError: _Told(429, f"The application's budget for models is used up. {_LATER}"),
    errors.UnboundedError: _Told(403, "The application does not allow this: nobody can tell what it may cost."),
    errors.UnpricedError: _Told(403, "The application does not allow this: nobody can tell what it costs."),
    errors.GuardError: _Told(403, "A rule of the application blocks these words."),
    errors.ProviderError: _Told(502, f"The model provider failed. {_LATER}"),
    errors.APIError: _Told(502, "The model provider refuses the request."),
    errors.OverloadedError: _Told(502, f"The model provider is in trouble. {_LATER}"),
    errors.ModelNotFoundError: _Told(502, "The model provider does not have this model."),
    errors.ContextLengthError: _Told(400, "The request is too long for the model."),
    errors.ContentFilterError: _Told(502, "The model provider's rules do not allow the content of this request."),
    errors.OversizeError: _Told(429, "The request is more than the model provider takes in a minute: shorten it."),
    errors.RateLimitError: _Told(429, f"The model provider has had too many requests. {_LATER}"),
    errors.QuotaError: _Told(429, "The application's quota with the model provider is used up."),
    errors.AuthenticationError: _Told(401, "The model provider does not accept the application's credentials."),
    errors.TimeoutError: _Told(504, f"The model provider did not answer in time. {_LATER}"),
    errors.UnreachableError: _Told(503, f"The model provider cannot be reached. {_LATER}"),
    errors.GarbledError: _Told(502, f"The model provider's answer cannot be read. {_LATER}"),
    errors.InterruptedError: _Told(502, "The answer broke off: this is not all of it. Try again."),
    errors.ValidationError: _Told(502, "The model's answer does not have the form that was asked for. Try again."),
    errors.RefusalError: _Told(502, "The model refuses to answer."),
    errors.PartialFailureError: _Told(502, "Some of the answers failed. Try again."),
}


def to_users(error: HeadgateError) -> Failed:
    """What the users of an application are told.

    Example:
        >>> failed = to_users(errors.RateLimitError("Organization org-1 at https://api…: 3 RPM", retry_after=6.5))
        >>> failed.status_code, failed.detail, failed.headers
        (429, 'The model provider has had too many requests. Try again later.', {'Retry-After': '7'})
    """
    told = next(_TOLD[kind] for kind in type(error).__mro__ if kind in _TOLD)
    status = told.status or error.http_status
    words = told.words or error.message
    if isinstance(error, errors.ContextLengthError):
        words = _with_numbers(words, error.message)
    if status == 500:
        log.error("a call failed: %s", error.message, exc_info=error)
    wait = error.retry_after if error.retry_after is not None else RETRY_AFTER if status == 429 else None
    return Failed(status, words, None if wait is None else {"Retry-After": str(math.ceil(wait))})


def _with_numbers(words: str, said: str) -> str:
    """Add both numbers, where the provider names them: it says more, and that is not for everybody."""
    found = sorted({int(number.replace(",", "")) for number in _NUMBER.findall(said)})
    # What does not fit is more than what would.
    return f"{words} It has {found[-1]} tokens; {found[0]} would fit." if len(found) == 2 else words


def to_callers(error: HeadgateError, request_id: str = "") -> Failed:
    """What callers of the gateway are told: status, words and headers as on `/v1`."""
    status, headers, _ = present.error_answer(error, request_id)
    del headers["content-type"]
    if not request_id:
        # The server names one to every answer that has none.
        del headers["x-request-id"]
    if isinstance(error, errors.InvalidKeyError):
        headers["www-authenticate"] = "Bearer"
    return Failed(status, error_object(error)["message"], headers)
