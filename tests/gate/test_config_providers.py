"""The schema of `providers`."""

import pytest
from pydantic import ValidationError

from headgate.gate.config_providers import Limits, Provider


def test_one_number_is_three_timeouts():
    """And leaves the total alone."""
    timeout = Provider.model_validate({"type": "openai", "timeout": "30s"}).timeout
    assert (timeout.connect, timeout.first_token, timeout.silence, timeout.total) == (30, 30, 30, 600)
    timeout = Provider.model_validate({"type": "openai", "timeout": {"total": 5}}).timeout
    assert (timeout.connect, timeout.total) == (5, 5)


@pytest.mark.parametrize("limits", [{"requests_per_minute": 0}, {"concurrency": -1}, {"window": "month"}])
def test_limits_that_are_none(limits):
    """Nothing can be let through by them."""
    with pytest.raises(ValidationError):
        Limits.model_validate(limits)
