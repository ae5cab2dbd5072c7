"""Texts that fit regular expressions."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.patterns import UnreadablePattern, matching

PATTERNS = [
    "^[A-Z]{3}-[0-9]{4}$",
    r"^\d{4}-(0[1-9]|1[0-2])$",
    r"^(?:[a-z0-9_]+\.)*[a-z]+$",
    r"^#?([a-fA-F0-9]{6}|[a-fA-F0-9]{3})$",
    r"^\+?[1-9]\d{1,14}$",
    r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
    r"a|b||c",
    r"^[]x]y?$",
    r"^[\w.-]+$",
    r"\S\W\D",
    "^é{2,3}$",
    r"^\u00e9\x41\t\.$",
    "^a{0}b{1,}c{2}?$",
    "^(a(b(c|d)*)?)+$",
    "^[a-]$",
    "",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_made_fits(pattern):
    """Over many dice, every text is found by the expression and holds it wholly where it is anchored."""
    for seed in range(200):
        made = matching(pattern, Dice(b"%d" % seed))
        assert re.search(pattern, made), made


@pytest.mark.parametrize(
    "pattern",
    ["(", "(a", "a)", "[", "[a", "a{", "a{2", "a{3,2}", "*", "a**", r"\b", r"(a)\1", "(?=a)", "\\", r"\uzz", "(" * 60],
)
def test_what_cannot_be_read_says_so(pattern):
    """Nothing else is raised, whatever the expression."""
    with pytest.raises(UnreadablePattern):
        matching(pattern, Dice(b"x"))


@given(st.text("ab01()[]{}|*+?^$\\.-,d", max_size=30))
def test_any_text_is_read_or_refused(pattern):
    """No expression makes it fail otherwise, and none makes it work for long."""
    try:
        made = matching(pattern, Dice(b"x"))
    except UnreadablePattern:
        return
    assert len(made) <= 21_000


def test_repetitions_do_not_multiply_without_end():
    """A short expression cannot ask for gigabytes."""
    with pytest.raises(UnreadablePattern):
        matching("((a{100}){100}){100}", Dice(b"x"))
