"""Who is told what of a failure."""

import pytest

from headgate.apps.failures import RETRY_AFTER, UNEXPECTED, to_callers, to_users
from headgate.core import errors
from headgate.core.error_table import tree
from headgate.core.errors import HeadgateError
from headgate.core.verdict import Verdict

SAID = "sk-1234 at https://api.example.com: organization org-9 has 3 RPM"
STATUSES = {
    errors.AuthenticationError: 401,
    errors.RateLimitError: 429,
    errors.QuotaError: 429,
    errors.OversizeError: 429,
    errors.TimeoutError: 504,
    errors.UnreachableError: 503,
    errors.APIError: 502,
    errors.OverloadedError: 502,
    errors.ModelNotFoundError: 502,
    errors.ContentFilterError: 502,
    errors.GarbledError: 502,
    errors.InterruptedError: 502,
    errors.ProviderError: 502,
    errors.ContextLengthError: 400,
    errors.TooLongError: 400,
    errors.BadRequestError: 400,
    errors.UnknownModelError: 404,
    errors.OverBudgetError: 429,
    errors.TooFastError: 429,
    errors.RestingError: 503,
    errors.StoppingError: 503,
    errors.GuardError: 403,
    errors.ValidationError: 502,
    errors.ConfigError: 500,
    HeadgateError: 500,
}


def failure(kind, **facts):
    """An error of a kind, with a message full of secrets."""
    if issubclass(kind, errors.GuardError):
        facts["verdict"] = Verdict(approved=False, reason="r", rule="r", layer="words", side="input", action="block")
    return kind(SAID, **facts)


@pytest.mark.parametrize("kind", STATUSES)
def test_the_status_of_each_kind(kind):
    """The matrix, row by row; 429 always says how long to wait."""
    failed = to_users(failure(kind))
    assert failed.status_code == STATUSES[kind]
    assert failed.headers == ({"Retry-After": str(RETRY_AFTER)} if failed.status_code == 429 else None)


@pytest.mark.parametrize("kind", [*tree()])
def test_nothing_that_others_said_is_repeated(kind):
    """Only what is wrong with the request itself is told in its own words."""
    words = to_users(failure(kind)).detail
    if issubclass(kind, errors.CallerError):
        assert words == SAID
    else:
        assert words.endswith(".")
        assert not {"sk-1234", "example", "org-9", "RPM"} & set(words.replace(":", " ").split())
        assert (words == UNEXPECTED) == (kind in {HeadgateError, errors.ConfigError})


@pytest.mark.parametrize(("wait", "told"), [(None, "60"), (0, "0"), (6.2, "7"), (90, "90")])
def test_retry_after_is_the_provider_s_in_whole_seconds(wait, told):
    """Rounded up; 60 where nobody said."""
    assert to_users(failure(errors.RateLimitError, retry_after=wait)).headers == {"Retry-After": told}


def test_a_known_wait_is_told_with_other_statuses_too():
    """A target that rests says for how long."""
    failed = to_users(failure(errors.RestingError, retry_after=12))
    assert (failed.status_code, failed.headers) == (503, {"Retry-After": "12"})


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("maximum context length is 8,192 tokens, you asked for 9001", "It has 9001 tokens; 8192 would fit."),
        ("9001 tokens > 8192 tokens", "It has 9001 tokens; 8192 would fit."),
        ("prompt is too long", ""),
        ("at most 8192 tokens", ""),
        ("8192, 9001 or 70000", ""),
        ("10.0.0.7:80 says at most 8192", ""),
        ("gpt-35 as of 2026-11-20 takes 8192", ""),
        ("9" * 40 + " and 8192", ""),
    ],
)
def test_both_numbers_are_told_where_the_provider_names_two(said, told):
    """And nothing else of what it says."""
    words = to_users(errors.ContextLengthError(said)).detail
    assert words == f"The request is too long for the model. {told}".strip()


def test_what_is_unexpected_is_logged(caplog):
    """Whoever runs the application can find out; whoever uses it cannot."""
    to_users(failure(errors.ConfigError))
    (record,) = caplog.records
    assert record.exc_info is not None
    to_users(failure(errors.TimeoutError))
    assert len(caplog.records) == 1


def test_callers_of_the_gateway_are_told_what_v1_tells_them():
    """Status, words, the cure, and who was asked."""
    failed = to_callers(failure(errors.RateLimitError, retry_after=1.5, hint="Wait."), "req_1")
    assert (failed.status_code, failed.detail) == (429, f"{SAID}\n\nhint: Wait.")
    assert failed.headers["retry-after"] == "2"
    assert failed.headers["x-request-id"] == "req_1"
    assert "content-type" not in failed.headers
    refused = to_callers(failure(errors.InvalidKeyError))
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "x-request-id" not in refused.headers
    assert to_callers(failure(errors.AuthenticationError)).status_code == 500
