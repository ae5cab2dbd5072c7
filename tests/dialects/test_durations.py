"""Covers dialects/durations.py."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.dialects.durations import go_duration
from headgate.providers.simulator import limits

SPELLED = re.compile(r"(?:(?P<h>\d+)h)?(?:(?P<m>\d+)m)?(?P<s>\d+(?:\.\d+)?)s")


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [
        (0, "0s"), (-1, "0s"), (0.0001, "1ms"), (0.012, "12ms"), (0.1 + 0.2, "300ms"), (0.9991, "1s"), (1, "1s"),
        (1.5, "1.5s"), (59.9999, "1m0s"), (60, "1m0s"), (360, "6m0s"), (3600, "1h0m0s"), (3723.5, "1h2m3.5s"),
    ],
)  # fmt: skip
def test_it_is_spelled_as_go_does(seconds: float, spelled: str):
    """OpenAI's own examples among them."""
    assert go_duration(seconds) == spelled


@given(st.floats(0, 1e6))
def test_it_is_never_too_short_and_less_than_a_millisecond_too_long(seconds: float):
    """Read back, it is the duration rounded up; the simulator, which has it from the specification as well, agrees."""
    spelled = go_duration(seconds)
    if spelled.endswith("ms"):
        read = int(spelled[:-2]) / 1000
    else:
        parts = SPELLED.fullmatch(spelled)
        assert parts is not None
        read = int(parts["h"] or 0) * 3600 + int(parts["m"] or 0) * 60 + float(parts["s"])
    assert seconds - 1e-8 <= read + 1e-9
    assert read <= seconds + 0.001001
    assert spelled == limits.go_duration(seconds)
