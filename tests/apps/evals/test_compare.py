"""Intervals and tests: held against what is known of the scores."""

import math
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.apps.evals import compare
from headgate.gate.ports import SystemChance


def drawn(chance, share, size):
    """Scores of a variant that is right so often."""
    return [float(chance.random() < share) for _ in range(size)]


def pairs(chance, one, other, size=200):
    """Differences of two variants."""
    return [a - b for a, b in zip(drawn(chance, one, size), drawn(chance, other, size), strict=True)]


def test_the_true_difference_lies_in_the_interval_nineteen_times_of_twenty(monkeypatch):
    """Of 200 datasets at least 180 times, for the bootstrap and for Wilson's interval; not always, either."""
    monkeypatch.setattr(compare, "DRAWS", 400)  # as many as an interval needs whose digits nobody reads
    chance = SystemChance(11)
    found = [compare.difference(pairs(chance, 0.8, 0.7, 120), chance=chance) for _ in range(200)]
    assert {interval.method for interval in found} == {"bootstrap"}
    assert 180 <= sum(one.low <= 0.1 <= one.high for one in found) < 200
    shares = [compare.quality(drawn(chance, 0.9, 60), binary=True, chance=chance) for _ in range(200)]
    assert 180 <= sum(one.low <= 0.9 <= one.high for one in shares) < 200


def test_no_difference_is_found_where_there_is_none_more_often_than_it_may():
    """Of 400 comparisons of a variant with its like at most one in twenty, but for chance; better ones are found."""
    chance = SystemChance(5)

    def found(one, other, *, binary, times):
        return sum(
            compare.surprise(pairs(chance, one, other, 100), binary=binary, chance=chance).p < 0.05
            for _ in range(times)
        )

    assert found(0.7, 0.7, binary=True, times=400) <= 30
    assert found(0.7, 0.7, binary=False, times=60) <= 8
    assert found(0.9, 0.6, binary=True, times=50) >= 45


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_sum(better, worse):
    """As counted with whole numbers; the same from either side."""
    size, least = better + worse, min(better, worse)
    exact = min(1.0, 2 * sum(math.comb(size, k) for k in range(least + 1)) / 2**size)
    assert compare.mcnemar(better, worse) == pytest.approx(exact, rel=1e-9)
    assert compare.mcnemar(better, worse) == compare.mcnemar(worse, better)


def test_large_numbers():
    """Thousands of rows that differ are no trouble; from `LARGE` rows on the normal limit serves."""
    assert compare.mcnemar(30_000, 30_500) == pytest.approx(0.0424, abs=0.001)
    assert 0 <= compare.mcnemar(0, 50_000) < 1e-300
    chance = SystemChance(1)
    values = [chance.random() - 0.49 for _ in range(compare.LARGE)]
    interval = compare.difference(values, chance=chance)
    assert (interval.method, interval.mean) == ("normal", fmean(values))
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * math.sqrt(1 / 12 / compare.LARGE), rel=0.05)
    assert compare.surprise(values, binary=False, chance=chance).method == "normal"
    assert compare.surprise([0.5] * compare.LARGE, binary=False, chance=chance).p == 0
    assert compare.surprise([0.0] * compare.LARGE, binary=False, chance=chance).p == 1


def test_the_randomisation_test_agrees_with_counting():
    """With five rows all sign patterns can be counted: two of 32 are as extreme."""
    found = compare.surprise([0.5, 0.2, 0.9, 0.1, 0.3], binary=False, chance=SystemChance(3))
    assert (found.method, found.p) == ("randomisation", pytest.approx(2 / 32, abs=0.015))


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_only_raises_and_keeps_the_order(values):
    """Each p-value becomes no smaller, at most 1, and none overtakes another."""
    found = compare.holm(values)
    assert all(p <= corrected <= 1 for p, corrected in zip(values, found, strict=True))
    ranked = [corrected for _, corrected in sorted(zip(values, found, strict=True))]
    assert ranked == sorted(ranked)
    if values:
        assert min(found) == pytest.approx(min(1.0, min(values) * len(values)))


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=50))
def test_a_share_s_interval_stays_within_bounds(scores):
    """It holds the mean, reaches neither below 0 nor above 1, and always has a width."""
    found = compare.quality(scores, binary=True, chance=SystemChance(0))
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert found.high > found.low


def test_equal_seeds_give_equal_intervals():
    """And others differ a little."""
    values = [0.1 * (at % 7) for at in range(50)]
    one, same, other = (compare.difference(values, chance=SystemChance(seed)) for seed in (1, 1, 2))
    assert one == same != other
