"""Texts as vectors."""

from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.vectors import vector


def near(one, other, dimensions=1536):
    """The cosine of two texts."""
    return sum(a * b for a, b in zip(vector(one, 1536, dimensions), vector(other, 1536, dimensions), strict=True))


SIMILAR = [
    ("How do I reset my password?", "How can I reset the password of my account?"),
    ("The cat sat on the mat.", "A cat was sitting on a mat"),
    ("Payment failed for invoice 3312", "The payment of invoice 3312 has failed"),
    ("Summarise the quarterly report", "Write a summary of the report of this quarter"),
]
UNRELATED = [
    ("How do I reset my password?", "The weather in Rome is lovely in spring"),
    ("The cat sat on the mat.", "Quarterly revenue grew by eight percent"),
    ("What is the capital of France?", "Which fish is used for sushi?"),
    ("The house is on the hill and it is the best", "The dog and the man are in the car"),
]


@pytest.mark.parametrize("dimensions", [1536, 256])
def test_similar_texts_are_near(dimensions):
    """Every pair that says nearly the same is clearly nearer than every pair that does not, cut short or not."""
    near_ones = [near(*pair, dimensions) for pair in SIMILAR]
    far_ones = [near(*pair, dimensions) for pair in UNRELATED]
    assert min(near_ones) > 0.4
    assert max(abs(cosine) for cosine in far_ones) < 0.15


def test_order_and_case_and_signs_matter_little():
    """A text written otherwise is the same text."""
    assert near("Rain in Rome", "rome: RAIN in!") == pytest.approx(1)
    assert near("", "   ") == pytest.approx(1)
    assert near("🙂🙂", "🙂") == pytest.approx(1)
    assert near("🙂", "🚆") < 0.5


def test_tokens():
    """Equal numbers are near, others are not; their order matters a little."""
    assert near([1, 2, 3], [1, 2, 3]) == pytest.approx(1)
    assert 0.5 < near([1, 2, 3], [3, 2, 1]) < 0.999
    assert abs(near([1, 2, 3], [4, 5, 6])) < 0.3


@given(st.text(max_size=50) | st.lists(st.integers(0, 100_000), min_size=1, max_size=9), st.integers(1, 1536))
def test_any_text_has_unit_length(said, dimensions):
    """Whatever is said, and however much of it is wanted; the same each time."""
    found = vector(said, 1536, dimensions)
    assert len(found) == dimensions
    assert isclose(sum(number * number for number in found), 1)
    assert found == vector(said, 1536, dimensions)
