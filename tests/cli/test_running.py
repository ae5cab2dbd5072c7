"""`headgate run`: its flags, its ends, and what it says."""

import json
from pathlib import Path

import pytest

from headgate.cli.running import spread
from tests.cli.conftest import SETTINGS

EXAMPLE = Path(__file__).parents[2] / "examples" / "run_input.jsonl"


@pytest.fixture
def settings(tmp_path):
    """A configuration with books that last."""
    path = tmp_path / "headgate.yaml"
    path.write_text(json.dumps(SETTINGS))
    return path


def _write(name, *rows):
    Path(name).write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def _lines(name="out.jsonl"):
    return [json.loads(line) for line in Path(name).read_bytes().splitlines()]


def _prompts(number):
    return [{"custom_id": f"c{n}", "prompt": f"Say {n}."} for n in range(number)]


def test_the_example_works_as_it_stands(headgate):
    """A prompt, a conversation, and lines of the Batch API for two endpoints; the summary is what scripts rely on."""
    done = headgate("run", str(EXAMPLE), "-o", "out.jsonl", "--simulate", "--json")
    assert done.code == 0
    assert [line["custom_id"] for line in _lines()] == ["a", "b", "c", "d"]
    assert all(line["response"]["status_code"] == 200 and line["error"] is None for line in _lines())
    assert set(_lines()[0]["headgate"]) >= {"cost_usd", "attempts", "lane", "cached", "latency_ms", "error_class"}
    found = done.json
    assert (found["rows"], found["succeeded"], found["failed"], found["rate_limited"]) == (4, 4, 0, 0)
    assert found["lanes"] == {"realtime": 4, "flex": 0, "batch": 0}
    assert float(found["cost_usd"]) == pytest.approx(sum(float(line["headgate"]["cost_usd"]) for line in _lines()))
    assert found["prompt_tokens"] == sum(line["headgate"]["prompt_tokens"] for line in _lines())
    assert {"seconds", "rows_per_second", "completion_tokens"} <= found.keys()
    assert not Path("out.jsonl.part").exists()


def test_the_lanes_and_their_prices(headgate):
    """Flex and batch cost half; `auto` makes a batch of a thousand rows, and none of fewer."""
    _write("in.jsonl", *_prompts(30))
    _write("many.jsonl", *_prompts(1000))

    def run(name, mode):
        done = headgate("run", name, "-o", f"{mode}-{name}", "--simulate", "--json", "--mode", mode)
        assert done.code == 0
        return float(done.json["cost_usd"]), done.json["lanes"]

    full, lanes = run("in.jsonl", "realtime")
    assert lanes["realtime"] == 30
    assert run("in.jsonl", "flex") == (pytest.approx(full / 2, rel=0.01), {"realtime": 0, "flex": 30, "batch": 0})
    assert run("in.jsonl", "batch") == (pytest.approx(full / 2, rel=0.01), {"realtime": 0, "flex": 0, "batch": 30})
    assert run("in.jsonl", "auto") == (pytest.approx(full), {"realtime": 30, "flex": 0, "batch": 0})
    assert run("many.jsonl", "auto")[1]["batch"] == 1000


def test_a_sheet_and_a_template(headgate):
    """Gaps are filled from columns; parameters go with each request."""
    Path("in.csv").write_text("custom_id,city\na,Paris\nb,\n")
    done = headgate(
        "run", "in.csv", "-o", "out.jsonl", "--simulate", "--template", "Describe {city}.", "--param", "max_tokens=20",
        "--as-completed",
    )  # fmt: skip
    assert done.code == 0
    assert sorted(line["custom_id"] for line in _lines()) == ["a", "b"]
    assert all(line["response"]["body"]["usage"]["completion_tokens"] <= 20 for line in _lines())
    done = headgate("run", "in.csv", "-o", "o2.jsonl", "--simulate", "--column", "city")
    assert (done.code, [line["headgate"]["error_class"] for line in _lines("o2.jsonl")]) == (
        4,
        [None, "BadRequestError"],
    )


def test_bad_rows_are_told_by_line_and_cost_nothing(headgate):
    """The others have their answers; 4 at the end."""
    big = '{"prompt": "' + "x" * 30_000_000 + '"}'
    _write("in.jsonl", *_prompts(2), "nonsense", {"custom_id": "c0", "prompt": "again"}, {"custom_id": "e"}, big)
    done = headgate("run", "in.jsonl", "-o", "out.jsonl", "--simulate", "--json")
    assert done.code == 4
    assert (done.json["succeeded"], done.json["failed"]) == (2, 4)
    codes = [line["error"] and line["error"]["code"] for line in _lines()]
    assert codes == [None, None, "invalid_json", "duplicate_custom_id", "no_prompt", "too_long"]
    assert {line["headgate"]["cost_usd"] for line in _lines()[2:]} == {"0"}
    assert "line 3 (row-3): BadRequestError: Line 3 is not a JSON object." in done.said
    assert "--retry-failed" in done.said
    again = headgate("run", "in.jsonl", "-o", "out.jsonl", "--simulate", "--json", "--retry-failed")
    assert (again.code, again.json["rows"], again.json["answered_before"]) == (4, 6, 6)


def test_of_many_bad_rows_the_first_are_shown_and_the_others_counted(headgate):
    """A list that stops says so."""
    _write("in.jsonl", *(["nonsense"] * 7), *_prompts(1))
    done = headgate("run", "in.jsonl", "-o", "out.jsonl", "--simulate")
    assert done.code == 4
    told = [line for line in done.said.splitlines() if line.startswith("  ")]
    assert [line.partition(" (")[0] for line in told] == [*(f"  line {n}" for n in range(1, 6)), "  and 2 more"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.jsonl", "-o", "out.jsonl"], "`missing.jsonl` cannot be read"),
        (["in.jsonl"], "No output is named."),
        (["in.jsonl", "-o", "no/out.jsonl"], "`no/out.jsonl.part` cannot be written"),
        (["in.jsonl", "-o", "in.jsonl"], "The output is the input."),
        (["in.jsonl", "-o", "there.jsonl"], "`there.jsonl` exists"),
        (["in.jsonl", "-o", "out.jsonl", "--budget", "nothing"], "--budget is 'nothing'"),
        (["in.jsonl", "-o", "out.jsonl", "--budget", "-1"], "--budget is '-1'"),
        (["in.jsonl", "-o", "out.jsonl", "--budget", "nan"], "--budget is 'nan'"),
        (["in.jsonl", "-o", "out.jsonl", "--deadline", "soon"], "--deadline is 'soon'"),
        (["in.jsonl", "-o", "out.jsonl", "--mode", "quick"], "--mode is 'quick'; it is one of"),
        (["in.jsonl", "-o", "out.jsonl", "--template", "no gap"], "The template has no gap"),
        (["in.jsonl", "-o", "out.jsonl", "--param", "max_tokens"], "is not NAME=VALUE"),
        (["in.jsonl", "-o", "out.jsonl", "--param", "model=x"], "--param cannot set 'model'"),
        (["in.jsonl", "-o", "out.jsonl", "--concurrency", "0"], "Invalid value for '--concurrency'"),
        (["in.csv", "-o", "out.jsonl"], "no column 'prompt'; it has: q"),
    ],
)
def test_a_wrong_flag_or_file_stops_before_anything_is_sent(headgate, arguments, said):
    """2, what is wrong, and nothing left behind."""
    _write("in.jsonl", *_prompts(2))
    _write("there.jsonl", "precious")
    Path("in.csv").write_text("q\nx\n")
    done = headgate("run", *arguments, "--simulate")
    assert (done.code, done.out) == (2, "")
    assert said in done.said
    assert not list(Path().glob("out*"))
    assert not list(Path().glob("*.part"))


@pytest.mark.usefixtures("settings")
def test_the_budget_stops_it_and_a_higher_one_goes_on(headgate):
    """Never more is spent; 3; what was answered is not asked again; the ledger has what the output has."""
    _write("in.jsonl", *_prompts(40))
    flags = ["--param", "max_tokens=60", "--json", "--concurrency", "5"]
    first = headgate("run", "in.jsonl", "-o", "out.jsonl", "--budget", "0.0006", *flags)
    assert first.code == 3
    assert first.json["stopped"] == "budget_exceeded"
    assert 0 < float(first.json["cost_usd"]) <= 0.0006
    assert 0 < first.json["rows"] < 40
    assert len(_lines()) == first.json["rows"]
    assert "with a higher `--budget`" in first.said
    same = headgate("run", "in.jsonl", "-o", "out.jsonl", "--budget", "0.0006", *flags)
    assert (same.code, same.json["rows"]) == (3, first.json["rows"])
    rest = headgate("run", "in.jsonl", "-o", "out.jsonl", "--budget", "1", *flags)
    assert (rest.code, rest.json["rows"], rest.json["answered_before"]) == (0, 40, first.json["rows"])
    assert rest.json["ambiguous"] == []
    assert [line["custom_id"] for line in _lines()] == [f"c{n}" for n in range(40)]
    usage = headgate("usage", "--json").json
    assert (usage["cost_usd"], usage["attempts"]) == (rest.json["cost_usd"], 40)


@pytest.mark.usefixtures("settings")
def test_a_budget_counts_what_was_spent_before_there_was_one(headgate):
    """A run without one, and then two with one: all of them together never cost more."""
    _write("in.jsonl", *_prompts(20))
    flags = ["run", "in.jsonl", "-o", "out.jsonl", "--param", "max_tokens=50", "--json"]
    first = headgate(*flags, "--sample", "10")
    assert first.code == 0
    cap = float(first.json["cost_usd"]) * 1.3
    second = headgate(*flags, "--budget", f"{cap:.9f}")
    assert (second.code, second.json["stopped"]) == (3, "budget_exceeded")
    assert float(first.json["cost_usd"]) <= float(second.json["cost_usd"]) <= cap
    third = headgate(*flags, "--budget", f"{cap:.9f}")
    assert (third.code, third.json["cost_usd"]) == (3, second.json["cost_usd"])
    assert headgate(*flags, "--budget", "1").code == 0


@pytest.mark.usefixtures("settings")
def test_a_sheet_without_a_model_asks_nobody(headgate):
    """Its rows cannot name one: that is wrong use, told before anything is begun."""
    Path("in.csv").write_text("city\nParis\n")
    settings = Path("headgate.yaml").read_text()
    Path("headgate.yaml").write_text("providers: {p: {type: simulator}}")
    done = headgate("run", "in.csv", "-o", "out.jsonl", "--template", "Say {city}")
    assert (done.code, done.said.splitlines()[0]) == (2, "error: No model is named, and no default model is set.")
    assert not Path("out.jsonl.part").exists()
    Path("headgate.yaml").write_text(settings)


def test_a_budget_that_is_spent_is_spent(headgate):
    """Books in memory forget what a job has cost; its part file does not."""
    _write("in.jsonl", *_prompts(20))
    flags = ["run", "in.jsonl", "-o", "out.jsonl", "--simulate", "--json"]
    first = headgate(*flags, "--sample", "10")
    again = headgate(*flags, "--budget", first.json["cost_usd"])
    assert (first.code, again.code) == (0, 3)
    assert f"the job has cost ${first.json['cost_usd']}" in again.said


def test_other_settings_are_refused_with_the_difference(headgate):
    """A job goes on as it was begun."""
    _write("in.jsonl", *_prompts(20))
    first = headgate("run", "in.jsonl", "-o", "out.jsonl", "--simulate", "--sample", "3", "--json")
    assert (first.code, first.json["rows"], len(_lines())) == (0, 3, 3)
    other = headgate("run", "in.jsonl", "-o", "out.jsonl", "--simulate", "--model", "gpt-5.4-mini", "--param", "seed=1")
    assert other.code == 2
    assert '\n  model: was "gpt-6-luna", is "gpt-5.4-mini"\n' in other.said
    assert '\n  params: was {}, is {"seed":1}\n' in other.said
    rest = headgate("run", "in.jsonl", "-o", "out.jsonl", "--simulate", "--json")
    assert (rest.code, rest.json["rows"], rest.json["answered_before"]) == (0, 20, 3)


@pytest.mark.usefixtures("settings")
def test_a_dry_run_asks_nobody(headgate):
    """Tokens, and per lane what it costs and takes; a sample narrows it."""
    _write("in.jsonl", *_prompts(200), "nonsense")
    done = headgate("run", "in.jsonl", "--dry-run", "--json")
    assert done.code == 0
    assert (done.json["rows"], done.json["bad_rows"], done.json["basis"]) == (200, 1, "assumed")
    assert set(done.json["lanes"]) == {"realtime", "flex", "batch"}
    assert done.json["lanes"]["realtime"]["low_usd"] < done.json["lanes"]["realtime"]["high_usd"]
    assert headgate("usage", "--json").json["attempts"] == 0
    headgate("run", "in.jsonl", "-o", "out.jsonl", "--sample", "20")
    done = headgate("run", "in.jsonl", "-o", "out.jsonl", "--dry-run", "--json")
    assert done.json["basis"] == "sample"
    shown = headgate("run", "in.jsonl", "--dry-run")
    assert "nine times of ten" in shown.out
    assert "Nothing was sent." in shown.said


def test_a_provider_that_shuts_us_out_ends_it(headgate, settings):
    """1, with the reason; nothing is left that would stand in the way of the next try."""
    data = json.loads(json.dumps(SETTINGS))
    data["providers"]["p"]["faults"] = [{"kind": "status", "status": 401}]
    settings.write_text(json.dumps(data))
    _write("in.jsonl", *_prompts(100))
    done = headgate("run", "in.jsonl", "-o", "out.jsonl", "--json", "--concurrency", "2")
    assert (done.code, done.out) == (1, "")
    assert "hint: Check the provider's `api_key`" in done.said
    assert not list(Path().glob("out*"))


def test_which_rows_are_a_sample():
    """Spread over the input; of a pipe, the first ones."""
    wanted = spread(3, 9)
    assert [number for number in range(1, 10) if wanted(number)] == [1, 4, 7]
    assert all(spread(9, 3)(number) for number in range(1, 10))
    assert [number for number in range(1, 10) if spread(2, None)(number)] == [1, 2]
