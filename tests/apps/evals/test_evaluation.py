"""Evaluations from the dataset to the folder."""

import json
from decimal import Decimal

import pytest

from headgate.apps.evals import scorer
from headgate.apps.evals.evaluation import sample
from headgate.core.errors import BadRequestError, OverBudgetError

LUNA, SOL = "gpt-6-luna", "gpt-6-sol"


def lines(path):
    """The lines of a file of JSON."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_the_better_one_of_two_models_of_known_quality_is_found(evaluated, sums, settings, tmp_path):
    """On 500 rows, with what it costs; the files hold what the report says."""
    config = settings({"seed": 3, "quality": {LUNA: 0.7, SOL: 0.85}, "latency": {"first_token": 0.2, "jitter": 0.5}})
    report = evaluated(config, sums(500), models=[LUNA, SOL])
    luna, sol = report.variants
    assert luna.quality.low <= 0.7 <= luna.quality.high
    assert sol.quality.low <= 0.85 <= sol.quality.high
    (pair,) = report.comparisons
    assert (pair.rows, pair.left_out, pair.better, report.best) == (500, 0, SOL, [SOL])
    assert pair.p_holm < 0.001
    assert pair.difference.low <= -0.15 <= pair.difference.high < 0
    assert 100 <= luna.latency_ms["p5"] < luna.latency_ms["mean"] < luna.latency_ms["p95"] <= 300
    rows = lines(tmp_path / "out" / "rows.jsonl")
    assert [(row["line"], row["variant"]) for row in rows[:3]] == [(1, LUNA), (1, SOL), (2, LUNA)]
    assert sum(row["score"] for row in rows if row["variant"] == SOL) == pytest.approx(500 * sol.quality.mean)
    assert all((row["answer"] == str(row["row"]["answer"])) == (row["score"] == 1) for row in rows)
    cost = sum(Decimal(row["cost_usd"]) for row in rows)
    assert Decimal(report.cost_usd) == cost == Decimal(luna.cost_usd) + Decimal(sol.cost_usd) > 0
    told = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert (told["version"], told["best"], told["comparisons"][0]["better"]) == (1, [SOL], SOL)
    assert "<svg" in (tmp_path / "out" / "report.html").read_text()


def test_a_model_is_not_better_than_itself(evaluated, sums, settings, tmp_path):
    """Asked in two ways that make no difference, over eight seeds: nothing is found, but for one seed in twenty."""
    data, found = sums(120), 0
    for seed in range(8):
        config = settings({"seed": seed, "quality": {LUNA: 0.7}})
        prompts = {"one": "{question}", "two": "Well: {question}"}
        report = evaluated(config, data, prompts=prompts, output=tmp_path / str(seed))
        found += report.comparisons[0].better is not None
    assert found <= 1


def test_the_same_again_asks_nobody_and_another_scorer_judges_anew(evaluated, sums, settings):
    """Answers are kept; what must not change is named."""
    config = settings({"quality": {LUNA: 0.5}})
    data = sums(40)
    first = evaluated(config, data)
    again = evaluated(config, data)
    assert (first.asked, again.asked, again.variants) == (40, 0, first.variants)
    anything = evaluated(config, data, scorer=scorer("regex", expected="question"))
    assert (anything.variants[0].quality.mean, anything.cost_usd) == (0.0, first.cost_usd)
    with pytest.raises(BadRequestError, match="prompts: was"):
        evaluated(config, data, prompts={"plain": "Now: {question}"})
    with pytest.raises(BadRequestError, match="dataset: was"):
        evaluated(config, sums(41))


def test_a_sample_grows(evaluated, sums, settings, tmp_path):
    """A larger one keeps the answers of a smaller one; the seed chooses."""
    config, data = settings({"quality": {LUNA: 1.0}}), sums(60)
    few = evaluated(config, data, sample=10)
    asked = {row["line"] for row in lines(tmp_path / "out" / "rows.jsonl")}
    more = evaluated(config, data, sample=25)
    assert (few.rows, more.rows, more.variants[0].quality.mean) == (10, 25, 1.0)
    assert asked < {row["line"] for row in lines(tmp_path / "out" / "rows.jsonl")}
    assert len(lines(tmp_path / "out" / "answers.jsonl")) == 25
    assert evaluated(config, data, sample=10).rows == 10
    assert sample(60, 10, seed=0) != sample(60, 10, seed=1)


def test_rows_that_fail_are_told_and_asked_again(evaluated, sums, settings, tmp_path):
    """A status of the provider's, a line that is no row, one that nobody can judge: each with its reason."""
    data = sums(20, "no row", '{"question": "What is 1 + 1?", "answer": null}', '{"answer": 1}')
    faults = [{"kind": "status", "status": 400, "code": "odd", "model": SOL, "times": 5}]
    config = settings({"quality": {LUNA: 1.0, SOL: 1.0}, "faults": faults})
    report = evaluated(config, data, models=[LUNA, SOL])
    assert (report.rows, report.bad_rows, report.failed) == (23, 3, 3 + 3 + 5)
    assert [one.failed for one in report.variants] == [3, 8]
    assert (report.comparisons[0].rows, report.comparisons[0].left_out) == (15, 5)
    rows = lines(tmp_path / "out" / "rows.jsonl")
    codes = [row["error"]["code"] for row in rows if row["error"]]
    assert codes == ["invalid_json"] * 2 + ["missing_field"] * 4 + ["odd"] * 5
    assert all(row["score"] is None and row["error"]["message"] for row in rows if row["error"])
    better = evaluated(settings({"quality": {LUNA: 1.0, SOL: 1.0}}), data, models=[LUNA, SOL])
    assert (better.failed, better.comparisons[0].rows) == (6, 20)


def test_a_scorer_that_fails_costs_its_row_and_no_other(evaluated, sums, settings, tmp_path, monkeypatch):
    """The answer is paid for, and kept."""
    import sys

    (tmp_path / "shaky_evals.py").write_text("def f(row, answer):\n    return 1 / row['answer']\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    own = scorer("python:shaky_evals.f", expected="answer", folder=str(tmp_path))
    report = evaluated(settings({"quality": {LUNA: 1.0}}), sums(5), scorer=own)
    assert (report.variants[0].scored, report.variants[0].failed) == (4, 1)
    first = lines(tmp_path / "out" / "rows.jsonl")[0]
    assert "ZeroDivisionError" in first["error"]["message"]
    assert first["answer"] == "0"
    assert Decimal(first["cost_usd"]) > 0


def test_a_budget_stops_it_and_a_higher_one_goes_on(evaluated, sums, settings):
    """What was answered is reported; nothing is spent beyond."""
    config, data = settings({"quality": {LUNA: 0.5}}), sums(60)
    part = evaluated(config, data, budget=Decimal("0.0005"), params={"max_tokens": 60})
    assert part.stopped == OverBudgetError.code
    assert 0 < part.variants[0].scored < 60
    assert part.variants[0].unanswered == 60 - part.variants[0].scored
    assert Decimal(part.cost_usd) <= Decimal("0.0005")
    whole = evaluated(config, data, budget=Decimal(1), params={"max_tokens": 60})
    assert (whole.stopped, whole.variants[0].scored) == (None, 60)


@pytest.mark.parametrize(
    "case",
    [
        ({"models": []}, "no model"),
        ({"models": [LUNA, LUNA]}, "named twice"),
        ({"models": ["unknown"]}, "not configured"),
        ({"prompts": {"p": "no gap"}}, "no gap"),
        ({"prompts": {"p": "{nosuch}"}}, "no row of .* the field 'nosuch'"),
        ({"scorer": scorer("exact", expected="nosuch")}, "no row of .* the field 'nosuch'"),
        ({"scorer": scorer("regex", expected="answer")}, "None of 3 rows can be asked and judged"),
        ({"sample": 0}, "must be at least 1"),
        ({"prompts": {str(at): f"{at} {{question}}" for at in range(21)}}, "at most 20"),
    ],
)
def test_wrong_use_is_told_before_anything_is_asked(evaluated, sums, settings, tmp_path, case):
    """Nothing is made, either."""
    wanted, told = case
    config = settings(models={LUNA: {"targets": [{"provider": "p"}]}})
    with pytest.raises(BadRequestError, match=f"(?i){told}"):
        evaluated(config, sums(3), **wanted)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_somebody_else_s_is_left_alone(evaluated, sums, settings, tmp_path):
    """One that holds other files; one that holds only what an evaluation has made may be begun anew."""
    config, data = settings(), sums(2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("")
    with pytest.raises(BadRequestError, match="not empty"):
        evaluated(config, data)
    (tmp_path / "out" / "thesis.txt").unlink()
    evaluated(config, data)
    (tmp_path / "out" / "answers.jsonl.part").unlink()
    assert evaluated(config, data, prompts={"p": "Other: {question}"}).asked == 2
