"""Covers core/errors.py: what an error says of itself, and what its caller sees."""

import traceback

import pytest

from headgate.core import errors
from headgate.core.errors import Answer, APIError, ConfigError, HeadgateError, OverloadedError


@pytest.mark.parametrize(
    ("upstream", "shown"), [(400, 400), (404, 404), (422, 422), (429, 429), (500, 502), (503, 502), (302, 502)]
)
def test_a_providers_4xx_speaks_to_the_caller(upstream: int, shown: int):
    """A 4xx passes with its own status; anything else of the provider's is a bad gateway."""
    assert APIError("no", answer=Answer(upstream, {}, b"")).http_status == shown
    assert OverloadedError("no", answer=Answer(upstream, {}, b"")).http_status == shown


@pytest.mark.parametrize(
    ("error", "shown"),
    [(APIError, 400), (OverloadedError, 502), (errors.RateLimitError, 429), (errors.QuotaError, 429),
     (errors.OversizeError, 429),
     (errors.ModelNotFoundError, 404), (errors.ContextLengthError, 400), (errors.AuthenticationError, 500)],
)  # fmt: skip
def test_an_error_inside_a_stream_has_a_status_of_its_class(error: type[APIError], shown: int):
    """Before the first word it is still an HTTP error."""
    assert error("no").http_status == shown


def test_facts_of_one_error_do_not_leak_into_its_class():
    """A code, type or hint given to one error is that error's only."""
    error = APIError("no", code="x", type="y", hint="z", param="p")
    assert (error.code, error.type, error.hint, error.param) == ("x", "y", "z", "p")
    assert (APIError.code, APIError.type, APIError.hint) == ("upstream_error", "invalid_request_error", "")
    assert HeadgateError("m").http_status == 500
    assert list(error.attempts) == []


def test_a_traceback_tells_the_cure():
    """The hint stands below it; where there is none, nothing does."""
    told = traceback.format_exception(ConfigError("No key.", hint="Set one."))
    assert "".join(told).endswith("ConfigError: No key.\nhint: Set one.\n")
    assert "hint" not in "".join(traceback.format_exception(ConfigError("No key.")))
