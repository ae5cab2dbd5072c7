"""Covers core/shares.py: nothing is lost, nothing is made up, nobody gets more than there is."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.core.shares import split, split_usage
from headgate.core.usage import TokenUsage

weights = st.lists(st.integers(0, 10**9), min_size=1, max_size=30)


@given(st.integers(0, 10**18), weights)
def test_shares_add_up_to_the_sum(amount, given_):
    """To the last unit, and none is further than one unit from its exact part."""
    shares = split(amount, given_)
    assert sum(shares) == amount
    whole = sum(given_)
    if whole:
        assert all(abs(share * whole - amount * weight) < whole for share, weight in zip(shares, given_, strict=True))
    else:
        assert max(shares) - min(shares) <= 1


@given(st.integers(0, 10**6), st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 10**5)), min_size=1, max_size=20))
def test_bounds_hold_wherever_they_can(amount, members):
    """Nobody gets more than its bound, as long as all bounds together have room."""
    bounds = [bound for _, bound in members]
    shares = split(amount, [weight for weight, _ in members], bounds)
    assert sum(shares) == amount
    assert min(shares) >= 0
    if sum(bounds) >= amount:
        assert all(share <= bound for share, bound in zip(shares, bounds, strict=True))


def test_what_is_beyond_a_bound_goes_to_the_others_by_weight():
    """Not to all of them equally, and not to those who are full themselves."""
    assert split(100, [90, 6, 4], [10, 100, 100]) == [10, 54, 36]
    assert split(100, [90, 6, 4], [10, 20, 100]) == [10, 20, 70]
    assert split(100, [1, 1], [10, 10]) == [50, 50], "bounds without room bind nobody"


@st.composite
def usages(draw):
    """Usage as providers report it: kinds are parts of their whole."""
    prompt, completion = draw(st.integers(0, 10**6)), draw(st.integers(0, 10**6))
    cached = draw(st.integers(0, prompt))
    pictures = draw(st.integers(0, prompt))
    return TokenUsage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        cache_write_tokens=draw(st.integers(0, prompt - cached)),
        reasoning_tokens=draw(st.integers(0, completion)),
        prompt_image_tokens=pictures,
        prompt_audio_tokens=draw(st.integers(0, prompt - pictures)),
    )


@given(usages(), st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), min_size=1, max_size=12))
def test_tokens_add_up_and_parts_stay_parts(usage, members):
    """Each kind of token adds up; no share has more cached, written or reasoning tokens than tokens."""
    shares = split_usage(usage, [asked for asked, _ in members], [said for _, said in members])
    assert sum(shares, TokenUsage()) == usage
    for share in shares:
        assert share.cached_tokens + share.cache_write_tokens <= share.prompt_tokens
        assert share.prompt_image_tokens + share.prompt_audio_tokens <= share.prompt_tokens
        assert share.reasoning_tokens <= share.completion_tokens
