"""A long, Zipf-shaped replay through the cache: hits are exactly the repeats, and the books show what was saved."""

import pytest

from tests.gate.test_cached import gated, zipf

pytestmark = pytest.mark.chaos


def test_twenty_thousand_requests():
    """The same story as among the fast tests, ten times as long."""
    gated(zipf(20_000))
