"""Covers policies/route/telling.py: which of two failures the caller hears of."""

import pytest

from headgate.core.errors import (
    ContextLengthError,
    DeadlineError,
    OverloadedError,
    QuotaError,
    RestingError,
    TooLongError,
    UnreachableError,
)
from headgate.policies.route.telling import telling

FAILED, LATER = OverloadedError("a"), QuotaError("b", retry_after=1)
SOON, LATE, NEVER = RestingError("c", retry_after=1), RestingError("d", retry_after=5), DeadlineError("e")
LONG, COUNTED = ContextLengthError("f"), TooLongError("g")


@pytest.mark.parametrize(
    ("earlier", "later", "told"),
    [
        (None, LATE, LATE),
        (FAILED, LATER, LATER),
        (LATER, FAILED, FAILED),
        (FAILED, SOON, FAILED),
        (NEVER, FAILED, FAILED),
        (FAILED, COUNTED, FAILED),
        (LONG, UnreachableError, UnreachableError),
        (SOON, LATE, SOON),
        (LATE, SOON, SOON),
        (SOON, NEVER, NEVER),
        (LONG, LATE, LATE),
        (LATE, COUNTED, LATE),
        (LONG, COUNTED, COUNTED),
    ],
)
def test_the_one_that_tells_more_is_told(earlier, later, told):
    """A failure before a refusal, a refusal before "too long"; the later of equals, the sooner of two waits."""
    if isinstance(later, type):
        later = told = later("x")
    assert telling(earlier, later) is told
