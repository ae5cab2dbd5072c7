"""The figures of variants and pairs."""

import pytest

from headgate.apps.evals.report import Judged, Variant, best, comparisons, found
from headgate.gate.ports import SystemChance


def variant(name):
    """A variant."""
    return Variant(name=name, model=name, prompt="p", template="{q}")


def judged(score, **facts):
    """What came of a row."""
    usual = {"cost": 2_000_000, "latency_ms": 100.0, "prompt_tokens": 10, "completion_tokens": 5, "cached": False}
    return Judged(score=score, **{**usual, **facts})


def test_the_figures_of_a_variant():
    """Failures are counted and paid for, but have no quality; cached rows say nothing of cost and time."""
    column = [
        judged(1.0), judged(0.0, latency_ms=300.0), judged(None, cost=1_000_000, latency_ms=200.0), None,
        judged(1.0, cached=True, cost=0, latency_ms=None), judged(1.0, cost=None, latency_ms=400.0),
    ]  # fmt: skip
    one = found(variant("a"), column, bad=2, binary=True, chance=SystemChance(0))
    assert (one.scored, one.failed, one.unanswered, one.cached, one.unpriced) == (4, 3, 1, 1, 1)
    assert (one.quality.mean, one.quality.method) == (0.75, "wilson")
    assert (one.cost_usd, one.cost_per_row_usd) == ("0.000005", "0.000001666667")
    assert one.latency_ms == {"mean": 250.0, "p5": 100.0, "p25": 100.0, "p50": 200.0, "p75": 300.0, "p95": 400.0}
    assert (one.prompt_tokens, one.completion_tokens, one.tokens_per_second) == (50, 25, 20.0)


def test_a_variant_of_which_nothing_is_known():
    """It has no figures, rather than zeros."""
    one = found(variant("a"), [None, None], bad=0, binary=True, chance=SystemChance(0))
    assert (one.quality, one.cost_per_row_usd, one.latency_ms, one.tokens_per_second) == (None, None, {}, None)


def test_rows_that_failed_on_one_side_are_left_out_and_counted():
    """Both or none; a row that failed on both sides is not even that."""
    a = [judged(1.0)] * 8 + [judged(None), judged(None), judged(1.0)]
    b = [judged(0.0)] * 8 + [judged(1.0), judged(None), None]
    (pair,) = comparisons([variant("a"), variant("b")], [a, b], binary=True, chance=SystemChance(0))
    assert (pair.rows, pair.left_out, pair.a_better, pair.b_better, pair.equal) == (8, 2, 8, 0, 0)
    assert (pair.difference.mean, pair.p, pair.test) == (1.0, 2 / 2**8, "mcnemar_exact")
    assert (pair.p_holm, pair.better) == (pair.p, "a")
    assert comparisons([variant("a"), variant("b")], [[None], [judged(1.0)]], binary=True, chance=SystemChance(0)) == []


def test_several_comparisons_are_corrected():
    """What one comparison would prove, three do not: of equal findings none stands that a third of them would."""
    rows = [judged(1.0)] * 7, [judged(0.0)] * 7, [judged(0.0)] * 7
    pairs = comparisons([variant(name) for name in "abc"], rows, binary=True, chance=SystemChance(0))
    assert [pair.p for pair in pairs] == [pytest.approx(1 / 64), pytest.approx(1 / 64), 1.0]
    assert [pair.p_holm for pair in pairs] == [pytest.approx(3 / 64), pytest.approx(3 / 64), 1.0]
    assert [pair.better for pair in pairs] == ["a", "a", None]
    few = [column[:6] for column in rows]
    pairs = comparisons([variant(name) for name in "abc"], few, binary=True, chance=SystemChance(0))
    assert [(pair.p < 0.05, pair.better) for pair in pairs] == [(True, None), (True, None), (False, None)]


def test_the_best_are_those_that_nobody_beats():
    """Highest quality first."""
    columns = [[judged(score)] * 9 for score in (0.0, 0.5, 0.6)]
    variants = [variant(name) for name in "abc"]
    pairs = comparisons(variants, columns, binary=False, chance=SystemChance(0))
    made = [
        found(one, column, bad=0, binary=False, chance=SystemChance(0))
        for one, column in zip(variants, columns, strict=True)
    ]
    assert {pair.test for pair in pairs} == {"randomisation"}
    assert best(made, pairs) == ["c"]
    assert best(made, pairs[:1]) == ["c", "b"]
