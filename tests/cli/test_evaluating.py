"""`headgate eval`: its flags, its ends, and what it says."""

import json
from pathlib import Path

import pytest

LUNA, SOL = "gpt-6-luna", "gpt-6-sol"


@pytest.fixture(autouse=True)
def _practice():
    provider = {"type": "simulator", "quality": {LUNA: 0.5, SOL: 1.0}}
    Path("headgate.yaml").write_text(
        json.dumps(
            {"store": "sqlite:///b.db", "providers": {"p": provider}, "models": {"*": {"targets": [{"provider": "p"}]}}}
        )
    )
    rows = [{"question": f"What is {at} + 2?", "answer": at + 2} for at in range(40)]
    Path("d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("terse.txt").write_text("{question} Be terse.\n")
    Path("long.txt").write_text("{question} Be long.\n")


def test_two_models_are_compared(headgate):
    """A table of each, a table of the difference, a sentence, and where the report is."""
    done = headgate("eval", "d.jsonl", "-m", f"{LUNA},{SOL}", "-p", "{question}", "-o", "out")
    assert done.code == 0
    for words in (LUNA, "100.0 %", "difference", "left out", "0.0001"):
        assert words in done.out
    assert f"{SOL} is better than {LUNA} by" in done.said
    assert "Report: `out/report.html`." in done.said
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "answers.jsonl", "answers.jsonl.part", "report.html", "report.json", "rows.jsonl"
    ]  # fmt: skip
    again = headgate("eval", "d.jsonl", "-m", f"{LUNA},{SOL}", "-p", "{question}", "-o", "out")
    assert "nobody was asked" in again.said


def test_json_is_the_report(headgate):
    """The same on stdout as in the folder; prompts are named by their files."""
    done = headgate("eval", "d.jsonl", "-m", SOL, "-p", "terse.txt,@long.txt", "-p", "{question}?", "-o", "o", "--json",
                    "--sample", "10", "--seed", "4", "--scorer", "numeric", "--tolerance", "1%")  # fmt: skip
    assert (done.code, done.json) == (0, json.loads(Path("o/report.json").read_bytes()))
    found = done.json
    assert [one["name"] for one in found["variants"]] == [f"{SOL} / {name}" for name in ("terse", "long", "prompt 3")]
    assert found["variants"][0]["template"] == "{question} Be terse."
    assert (found["rows"], found["seed"], len(found["comparisons"])) == (10, 4, 3)
    assert found["scorer"]["tolerance"] == {"absolute": 0.0, "relative": 0.01}


def test_how_it_ends(headgate):
    """4 with failed rows, 3 when the budget stops it; a higher budget goes on."""
    with Path("d.jsonl").open("a") as file:
        file.write("no row\n")
    asked = ("eval", "d.jsonl", "-m", LUNA, "-p", "{question}", "-o", "o", "--param", "max_tokens=50")
    done = headgate(*asked, "--budget", "0.0003")
    assert done.code == 3
    assert "The same command goes on with a higher `--budget`" in done.said
    done = headgate(*asked, "--budget", "1", "--json")
    assert (done.code, done.json["stopped"], done.json["failed"], done.json["variants"][0]["scored"]) == (
        4,
        None,
        1,
        40,
    )
    assert "1 failed; `o/rows.jsonl` says why" in done.said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-p", "none.txt"), "`none.txt` cannot be read"),
        (("-p", "terse.txt", "-p", "terse.txt"), "given twice"),
        (("-p", "{question}", "--scorer", "bleu"), "no scorer 'bleu'"),
        (("-p", "{question}", "--expected", "x"), "has the field 'x'"),
        (("-p", "{question}", "--scorer", "numeric", "--tolerance", "x"), "--tolerance is 'x'"),
        (("-p", "{question}", "--scorer", "numeric", "--tolerance", "nan"), "--tolerance is 'nan'"),
        (("-p", "{question}", "--budget", "0"), "--budget is '0'"),
        (("-p", "{question}", "--param", "model=x"), "--param cannot set 'model'"),
        ((), "the field 'prompt'"),
    ],
)
def test_wrong_use(headgate, arguments, told):
    """It ends with 2, says why, and has asked nobody."""
    done = headgate("eval", "d.jsonl", "-m", LUNA, "-o", "o", *arguments)
    assert (done.code, done.out) == (2, "")
    assert told in done.said
    assert not Path("o").exists()


def test_prompts_that_cannot_be(headgate):
    """Too long, or no UTF-8."""
    Path("large.txt").write_text("{question}" * 200_000)
    Path("latin.txt").write_bytes(b"{question} \xe9")
    for name, told in [("large.txt", "more than 1,000,000 bytes"), ("latin.txt", "is not UTF-8")]:
        done = headgate("eval", "d.jsonl", "-m", LUNA, "-o", "o", "-p", name)
        assert done.code == 2
        assert told in done.said


def test_a_function_beside_the_dataset(headgate):
    """It is found in the folder where the command runs."""
    Path("judge_here.py").write_text("def near(row, answer):\n    return abs(int(answer) - row['answer']) <= 9\n")
    done = headgate("eval", "d.jsonl", "-m", LUNA, "-p", "{question}", "-o", "o", "--scorer", "python:judge_here.near",
                    "--json")  # fmt: skip
    assert (done.code, done.json["variants"][0]["quality"]["mean"]) == (0, 1.0)
