"""Patterns are found in time that only grows with the text; those of no use are refused."""

import pytest

from headgate.policies.guard.engine import BadPatternError, Engine, Found, Pattern, check


def test_places_are_bytes_and_patterns_do_not_see_each_other():
    """Each pattern finds its own, from left to right."""
    engine = Engine([Pattern("a", "ä+"), Pattern("b", "äb")], bounded=True)
    words = "xääb ä".encode()
    assert list(engine.find(words)) == [Found(1, 5, 0), Found(7, 9, 0), Found(3, 6, 1)]


def test_a_check_may_take_less_or_nothing():
    """What it takes is found; where it takes nothing, the search goes on behind the first character."""
    engine = Engine([Pattern("n", "[0-9]{2,4}", lambda found: 2 if found.startswith(b"7") else 0)], bounded=True)
    assert list(engine.find(b"1278")) == [Found(2, 4, 0)]


@pytest.mark.parametrize(
    ("pattern", "bounded", "reason"),
    [
        ("(a", False, "RE2 does not take it"),
        (r"(a)\1", False, "RE2 does not take it"),
        ("(?=a)", False, "RE2 does not take it"),
        ("a*", False, "empty text"),
        (r"\b", False, "empty text"),
        ("a+", True, "no greatest length"),
        ("a(?i)b", True, "cannot be told"),
    ],
)
def test_a_pattern_of_no_use_is_refused_with_the_reason(pattern, bounded, reason):
    """RE2's own words, or ours."""
    with pytest.raises(BadPatternError, match=reason.replace("(", r"\(")):
        check(pattern, bounded=bounded)


def test_hundreds_of_rules_and_hostile_texts():
    """Patterns that other engines take years for: the test would not end. `bench/guard.py` tells the figures."""
    patterns = [Pattern(str(n), rf"\bword{n}[a-z]{{1,8}}\s{{0,2}}(?:end|stop)\b") for n in range(299)]
    engine = Engine([*patterns, Pattern("evil", r"(?:a|a){1,30}(?:a|aa){1,20}!")], bounded=True)
    assert not engine.finds(b"the quick brown word17 fox " * 7_500)
    assert [one.pattern for one in engine.find(b"word17x end " * 3)] == [17] * 3
    hostile = b"a" * 100_000
    assert not engine.finds(hostile)
    assert engine.begun(hostile) >= len(hostile) - 70


def test_what_stands_before_is_seen_by_edges_only():
    """A text that was cut does not begin anew."""
    engine = Engine([Pattern("a", "^b"), Pattern("b", r"\bc")], bounded=True)
    assert list(engine.find(b"bc", 0)) == [Found(0, 1, 0)]
    assert list(engine.find(b"xbc", 1)) == []
    assert list(engine.find(b"x c", 1)) == [Found(2, 3, 1)]
    assert engine.anchored
