"""Names that are taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.catalog.names import LONGEST, spellings


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("gpt-6-luna", "gpt-6-luna"),
        ("o3-mini-2025-01-31", "o3-mini"),
        ("openai/gpt-6-luna", "gpt-6-luna"),
        ("openrouter/openai/gpt-5.4-2026-03-05", "gpt-5.4"),
        ("ft:gpt-4.1-mini:acme::x", "gpt-4.1-mini"),
        ("ft:gpt-4.1-mini-2025-04-14:acme:name:id:ckpt-step-9", "gpt-4.1-mini"),
        ("openai/ft:gpt-4.1-mini:acme::x", "gpt-4.1-mini"),
        ("claude-opus-5-5-20261021", "claude-opus-5-5"),
        ("claude-opus-5-5@20261021", "claude-opus-5-5"),
        ("models/gemini-4-argon", "gemini-4-argon"),
        ("gpt-4-0613", "gpt-4"),
        # Not dates, and nobody's prefixes.
        ("gpt-6-lunar", "gpt-6-lunar"),
        ("gpt-4-9999", "gpt-4-9999"),
        ("gpt-4-2026-19-42", "gpt-4-2026-19-42"),
        ("someone/gpt-6-luna", "someone/gpt-6-luna"),
        ("gpt-6-luna/x", "gpt-6-luna/x"),
        ("ft:", ""),
        ("-2026-03-05", "-2026-03-05"),
        ("", ""),
    ],
)
def test_the_last_spelling_is_the_base(name, base):
    """Without who serves it, without its date, without its tuning; what only looks like that stays whole."""
    found = list(spellings(name))
    assert found[0] == name
    assert found[-1] == base


def test_a_tuned_model_is_looked_for_as_tuned_first():
    """It has prices of its own, under its base's name with and without a date."""
    assert list(spellings("ft:gpt-4o-2024-08-06:acme::x")) == [
        "ft:gpt-4o-2024-08-06:acme::x", "ft:gpt-4o-2024-08-06", "ft:gpt-4o", "gpt-4o-2024-08-06", "gpt-4o",
    ]  # fmt: skip


def test_a_name_that_is_too_long_has_no_spelling():
    """Nobody makes such names; nothing is searched in them."""
    assert list(spellings("x" * LONGEST)) == ["x" * LONGEST]
    assert list(spellings("openai/" * LONGEST + "gpt-4o")) == []


@given(st.text(max_size=300))
def test_any_name_has_few_spellings(name):
    """Whatever a caller sends: no exception, at most five, the name itself first."""
    found = list(spellings(name))
    assert len(found) <= 6
    assert not found or found[0] == name
