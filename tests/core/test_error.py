"""Covers core/error.py: what every error says of itself."""

import traceback

from headgate.core.error import Again, HeadgateError, Onward


def test_as_it_stands_an_error_is_ours_and_final():
    """500, nobody asks again, nobody else is asked, and no target rests for it."""
    error = HeadgateError("It broke.")
    assert (error.http_status, error.type, error.code) == (500, "server_error", "internal_error")
    assert (error.again, error.onward, error.breaker, error.hint) == (Again.NEVER, Onward.NEVER, False, "")
    assert (error.param, error.retry_after, error.attempts) == (None, None, ())


def test_the_cure_stands_below_the_traceback():
    """Where whoever gets one looks for it."""
    error = HeadgateError("It broke.", hint="Mend it.")
    assert traceback.format_exception_only(error)[-1].strip() == "hint: Mend it."
