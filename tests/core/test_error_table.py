"""Covers core/error_table.py: the one table, row by row."""

import pytest

from headgate.core import errors
from headgate.core.error_table import table, tree

EXPECTED = """
HeadgateError | 500 | server_error | internal_error | never | never | no
ConfigError | 500 | server_error | config_error | never | never | no
CallerError | 400 | invalid_request_error | invalid_request | never | never | no
BadRequestError | 400 | invalid_request_error | invalid_request | never | never | no
InvalidKeyError | 401 | invalid_request_error | invalid_api_key | never | never | no
NotAllowedError | 403 | invalid_request_error | not_allowed | never | never | no
UnknownModelError | 404 | invalid_request_error | model_not_found | never | never | no
UnknownObjectError | 404 | invalid_request_error | not_found | never | never | no
UnknownPathError | 404 | invalid_request_error | unknown_url | never | never | no
MethodNotAllowedError | 405 | invalid_request_error | method_not_allowed | never | never | no
TooLongError | 400 | invalid_request_error | context_length_exceeded | never | yes, to a larger context | no
TooLargeError | 413 | invalid_request_error | request_too_large | never | never | no
MediaTypeError | 415 | invalid_request_error | unsupported_media_type | never | never | no
LoopError | 508 | invalid_request_error | loop_detected | never | never | no
IdempotencyReusedError | 422 | invalid_request_error | idempotency_key_reused | never | never | no
SlowSenderError | 408 | invalid_request_error | request_timeout | never | never | no
Refused | 429 | refused | refused | never | never | no
NoTargetError | 503 | refused | no_target | never | at once | no
RestingError | 503 | refused | target_resting | never | at once | no
DeadlineError | 503 | refused | deadline_unreachable | never | at once | no
TooFastError | 429 | rate_limit_error | rate_limit_exceeded | never | never | no
SharedStoreError | 503 | refused | shared_store_unavailable | never | never | no
OverBudgetError | 429 | refused | budget_exceeded | never | never | no
UnboundedError | 403 | refused | unbounded_cost | never | never | no
UnpricedError | 403 | refused | unknown_price | never | at once | no
BacklogError | 503 | refused | journal_full | never | never | no
StoreError | 503 | refused | store_unavailable | never | never | no
OutcomeUnknownError | 409 | refused | idempotency_outcome_unknown | never | never | no
GuardError | 403 | refused | blocked | never | never | no
GuardDownError | 503 | refused | guard_unavailable | never | never | no
StoppingError | 503 | refused | stopping | never | never | no
ProviderError | 502 | server_error | upstream_error | never | never | yes
APIError | 4xx | invalid_request_error | upstream_error | never | never | no
OverloadedError | 4xx | server_error | upstream_error | yes | then | yes
ModelNotFoundError | 4xx | invalid_request_error | model_not_found | never | at once | no
ContextLengthError | 4xx | invalid_request_error | context_length_exceeded | never | yes, to a larger context | no
ContentFilterError | 4xx | invalid_request_error | content_filter | never | never | no
OversizeError | 4xx | rate_limit_error | rate_limit_exceeded | never | at once | no
RateLimitError | 4xx | rate_limit_error | rate_limit_exceeded | after Retry-After | LONGER | no
QuotaError | 4xx | insufficient_quota | insufficient_quota | never | at once | no
AuthenticationError | 500 | server_error | upstream_authentication | never | at once | no
TimeoutError | 504 | server_error | upstream_timeout | only if no other target | at once | yes
UnreachableError | 502 | server_error | upstream_unreachable | yes | then | yes
GarbledError | 502 | server_error | upstream_garbled | yes | then | yes
InterruptedError | 502 | server_error | stream_interrupted | never | never | yes
ValidationError | 502 | server_error | invalid_output | never | never | no
RefusalError | 502 | server_error | refusal | never | never | no
TruncatedError | 502 | server_error | truncated | never | never | no
FilteredError | 502 | server_error | content_filter | never | never | no
PartialFailureError | 502 | server_error | partial_failure | never | never | no
"""


def rows() -> list[tuple[str, ...]]:
    """The expectation as rows."""
    found = [tuple(cell.strip() for cell in line.split("|")) for line in EXPECTED.strip().splitlines()]
    words = {"4xx": "the provider's 4xx, else 502", "LONGER": str(errors.Onward.LONGER)}
    return [tuple(words.get(cell, cell) for cell in row) for row in found]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_row(row: tuple[str, ...]):
    """Each class has the facts that DESIGN's tables promise."""
    assert row in [tuple(found) for found in table()]


def test_the_table_is_complete():
    """No class is missing from the expectation, and the tree in the docstring draws each of them."""
    names = [error.__name__ for error in tree() if error.__module__.startswith("headgate.core.")]
    assert names == [row[0] for row in rows()]
    assert all(name in (errors.__doc__ or "") for name in names)
