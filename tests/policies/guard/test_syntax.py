"""How long matches are and how they begin, held against RE2 itself."""

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from headgate.policies.guard.syntax import UnclearError, shape


@pytest.mark.parametrize(
    ("pattern", "least", "most"),
    [
        ("abc", 3, 3), ("a|bcd", 1, 3), ("a{2,5}", 2, 5), ("a{3}", 3, 3), ("a{2,}", 2, None), ("a+?", 1, None),
        (r"\bact\s{1,3}now\b", 7, 9), (r"[]a-c[:digit:]\]]x?", 1, 2), (r"\Qa.b\E", 3, 3),
        (r"\x{10FFFF}\pL\p{Greek}", 3, 3),
        ("(?i)(a(?P<n>b|cc))*", 0, None), ("(?:ab){0}", 0, 0), ("^$", 0, 0), ("a{,3}", 5, 5), ("(?i:a)(?s:.)", 2, 2),
        ("(?:a|)b", 1, 2),
    ],
)  # fmt: skip
def test_lengths(pattern, least, most):
    """The shortest and the longest match, in characters."""
    found = shape(pattern)
    assert (found.least, found.most) == (least, most)


@pytest.mark.parametrize("pattern", ["a(?i)b", r"\C", "(" * 300 + "a" + ")" * 300])
def test_what_is_not_clear_is_said(pattern):
    """Nothing is guessed."""
    with pytest.raises(UnclearError):
        shape(pattern)


PATTERNS = st.recursive(
    st.sampled_from(["a", "b", "ä", ".", "[ab]", "[^a]", r"\b", "$", "^", r"\B"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["?", "{0,2}", "{2}", "{1,3}", "*", "+?"])).map(
            lambda two: f"({two[0]}){two[1]}"
        ),
    ),
    max_leaves=6,
)  # fmt: skip


@given(pattern=PATTERNS, text=st.text("abä ", max_size=8), cut=st.integers(0, 8))
def test_whatever_goes_on_has_begun(pattern, text, cut):
    """Each match that reaches over a cut, or depends on what stands there, has begun at the cut or before."""
    found = shape(pattern)
    words = text.encode()
    at = len(text[:cut].encode())
    begun = re2.compile(rf"(?:{found.begun})\z").search(words[:at])
    start = begun.start() if begun else at
    for match in re2.compile(pattern).finditer(words):
        if match.start() < at < match.end():
            assert start <= match.start()
        assert found.most is None or len(match.group().decode()) <= found.most
        assert len(match.group().decode()) >= found.least
