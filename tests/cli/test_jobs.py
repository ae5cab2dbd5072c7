"""Covers cli/jobs.py: jobs are given and steered from any terminal. `chaos/test_jobs.py` has workers do them."""

import json
from pathlib import Path

import msgspec
import pytest

from headgate import Headgate
from tests.cli.conftest import SETTINGS


@pytest.fixture
def run(headgate):
    """Runs `headgate jobs`, where there are a configuration and an input of three rows."""
    Path("headgate.yaml").write_bytes(msgspec.json.encode(SETTINGS))
    Path("in.jsonl").write_text("".join(json.dumps({"prompt": f"{n}?"}) + "\n" for n in range(3)))

    def jobs(*words):
        return headgate("jobs", *words)

    return jobs


def test_a_job_is_given_and_shown(run):
    """Its name alone is on stdout."""
    done = run("submit", "in.jsonl", "--name", "nightly", "--budget", "2", "--concurrency", "4")
    assert (done.code, done.out) == (0, "nightly\n")
    assert "3 rows" in done.said
    shown = run("show", "nightly", "--json").json
    assert (shown["rows"], shown["status"], shown["budget_usd"], shown["concurrency"]) == (3, "running", "2", 4)
    assert "status: running" in run("show", "nightly").out
    assert "nightly" in run("list").out
    assert run("list", "--json").json["id"] == "nightly"


def test_a_job_is_steered(run):
    """And what cannot follow is refused."""
    run("submit", "in.jsonl", "--name", "nightly", "--deadline", "8h")
    assert run("pause", "nightly", "--json").json["status"] == "paused"
    changed = run("retune", "nightly", "--concurrency", "9", "--deadline", "none", "--json").json
    assert (changed["concurrency"], changed["deadline"]) == (9, None)
    assert run("resume", "nightly", "--json").json["status"] == "running"
    assert run("cancel", "nightly", "--json").json["status"] == "cancelled"
    assert run("pause", "nightly").code == 2
    assert "Nothing is to change" in run("retune", "nightly").said
    assert run("forget", "nightly").code == 0
    assert run("show", "nightly").code == 2


def test_batches_are_among_them(run):
    """They are listed, shown and ended beside jobs; a name that is neither is refused."""
    with Headgate("headgate.yaml") as gate:
        batch = gate.batches.submit(["One?"])
    assert run("list", "--json").json["id"] == batch.id
    assert "batch" in run("list").out
    assert run("show", batch.id, "--json").json["total"] == 1
    for word in ("show", "cancel"):
        assert "There is no job 'nobody'" in run(word, "nobody").said


def test_an_output_before_anything_is_done(run):
    """Has no rows, and says so."""
    run("submit", "in.jsonl", "--name", "nightly")
    done = run("output", "nightly", "-o", "out.jsonl")
    assert (done.code, Path("out.jsonl").read_text()) == (0, "")
    assert "0 of 3 rows" in done.said


def test_a_job_that_has_changed_is_refused(run):
    """The difference is shown."""
    run("submit", "in.jsonl", "--name", "nightly", "--param", "max_tokens=5")
    done = run("submit", "in.jsonl", "--name", "nightly", "--param", "max_tokens=6")
    assert done.code == 2
    assert 'params: was {"max_tokens":5}, is {"max_tokens":6}' in done.said
    assert run("submit", "in.jsonl", "--name", "nightly", "--param", "max_tokens=5").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--mode", "batch"), ("--concurrency", "0"), ("--concurrency", "many"), ("--budget", "-1"), ("--name", "a b"),
        ("--deadline", "soon"), ("--param", "x"),
    ],
)  # fmt: skip
def test_wrong_use_is_refused(run, words):
    """Before anything is written down."""
    assert run("submit", "in.jsonl", *words).code == 2
    assert "There are no jobs" in run("list").said


def test_books_in_memory_keep_no_job(run):
    """The message says what would."""
    Path("headgate.yaml").write_bytes(msgspec.json.encode(SETTINGS | {"store": "memory://"}))
    done = run("submit", "in.jsonl")
    assert done.code == 2
    assert "sqlite:///" in done.said
