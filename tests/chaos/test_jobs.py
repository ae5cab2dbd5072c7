"""Durable jobs whose workers are lost: every row once in the output, nothing sent again beyond the stated window.

The simulator's log is the witness: an answered row is one line, and so is each time that a row was sent again.
"""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack, contextmanager
from time import sleep

import pytest

from headgate.gate.ports import SystemClock

HEADGATE = [sys.executable, "-m", "headgate"]
CLOCK = SystemClock()
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "HEADGATE_"))}


@contextmanager
def process(folder, *words, name="log"):
    """A program of ours, ended as the kernel does."""
    with (folder / f"{name}.txt").open("wb") as log:
        running = subprocess.Popen([*HEADGATE, *words], cwd=folder, env=ENVIRONMENT, stdout=log, stderr=log)
        try:
            yield running
        finally:
            running.kill()
            running.wait()


def command(folder, *words, code=0):
    """A command, run to its end."""
    done = subprocess.run(
        [*HEADGATE, *words], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def until(true, seconds, what):
    """Wait until something has come true."""
    end = CLOCK.monotonic() + seconds
    while not true():
        assert CLOCK.monotonic() < end, f"not within {seconds} s: {what}"
        sleep(0.1)


def told(folder, name):
    """How a job stands."""
    return json.loads(command(folder, "jobs", "show", name, "--json"))


def arrived(path):
    """The simulator's log, line by line, by status."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def questions(path, rows):
    """An input."""
    path.write_text("".join(json.dumps({"custom_id": f"c{n}", "prompt": f"Question {n}."}) + "\n" for n in range(rows)))


def config(folder, port, *, store, together, shared="memory://", rpm=None):
    """A configuration in a folder of its own."""
    folder.mkdir(exist_ok=True)
    limits = {"concurrency": 4 * together} if rpm is None else {"requests_per_minute": rpm}
    provider = {
        "type": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "api_key": "sk-simulated", "limits": limits
    }  # fmt: skip
    settings = {"store": store, "shared": shared, "providers": {"p": provider}, "models": {"default": "gpt-6-luna"}}
    (folder / "headgate.yaml").write_text(json.dumps(settings))
    return folder


def check(output, rows):
    """Every row once, in the order of the input, answered."""
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["custom_id"] for line in lines] == [f"c{n}" for n in range(rows)]
    assert Counter(line["headgate"]["error_class"] for line in lines) == {None: rows}


@pytest.mark.e2e
@pytest.mark.timeout(120)
def test_one_kill(tmp_path, free_port):
    """On SQLite, in one folder: the next worker goes on at once, and no answered row is sent again."""
    port, rows, together = free_port(), 600, 10
    folder = config(tmp_path / "a", port, store="sqlite:///./books.db", together=together)
    questions(folder / "in.jsonl", rows)
    with process(tmp_path, "simulate", "--port", str(port), "--log", "arrivals.jsonl", "--first-token", "0.05"):
        name = command(folder, "jobs", "submit", "in.jsonl", "--concurrency", str(together), "--name", "nightly")
        assert name == "nightly\n"
        with process(folder, "worker", name="first"):
            until(lambda: len(arrived(tmp_path / "arrivals.jsonl")) > 200, 60, "200 questions")
        with process(folder, "worker", name="second") as worker:
            command(folder, "jobs", "output", "nightly", "-o", "out.jsonl", "--wait")
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == 0, (folder / "second.txt").read_text()
    check(folder / "out.jsonl", rows)
    again, job = len(arrived(tmp_path / "arrivals.jsonl")) - rows, told(folder, "nightly")
    assert 0 <= again <= len(job["ambiguous"]) <= together
    assert (job["status"], job["succeeded"], job["failed"]) == ("done", rows, 0)


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_a_machine_is_lost(tmp_path, free_port, postgres, valkey, record_property):
    """Two workers with separate folders share one job and one limit on Postgres and Valkey; one is killed."""
    port, rows, together, rpm = free_port(), 3000, 16, 6000
    store = postgres.schema()
    one, other = (
        config(tmp_path / name, port, store=store, together=together, shared=valkey.url, rpm=rpm)
        for name in ("one", "other")
    )
    questions(one / "in.jsonl", rows)
    log = tmp_path / "arrivals.jsonl"
    simulate = ["simulate", "--port", str(port), "--log", str(log), "--first-token", "0.1"]
    with ExitStack() as running:
        running.enter_context(process(tmp_path, *simulate, "--requests-per-minute", str(rpm)))
        command(one, "jobs", "submit", "in.jsonl", "--concurrency", str(together), "--name", "shared")
        running.enter_context(process(other, "worker", name="worker"))
        with process(one, "worker", name="worker"):
            until(lambda: told(one, "shared")["at_work"] == 2, 60, "both work")
            until(lambda: len(arrived(log)) > 1000, 60, "1000 questions")
            assert told(one, "shared")["at_work"] == 2
        command(other, "jobs", "output", "shared", "-o", "out.jsonl", "--wait")
    check(other / "out.jsonl", rows)
    sent = Counter(line["status"] for line in arrived(log))
    again, job = sum(sent.values()) - rows, told(other, "shared")
    record_property("sent again", again)
    assert (job["status"], job["succeeded"], job["shards_done"]) == ("done", rows, job["shards"])
    # In flight, and answered in the two seconds before: at the limit both workers together answer 100 a second.
    assert 0 <= again <= together + 2 * rpm / 60
    assert sent[429] == 0, "the limit did not hold"
