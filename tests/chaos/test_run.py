"""`kill -9` of one `headgate run`, again and again: every row once in the output, no answered row sent again.

The simulator's log is the witness. A run follows from its seed; `CHAOS_SEEDS=7,8 make chaos` takes others.
"""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from time import sleep

import pytest

from headgate.gate.ports import SystemChance, SystemClock

SEEDS = [int(seed) for seed in os.environ.get("CHAOS_SEEDS", "1,2").split(",")]
HEADGATE = [sys.executable, "-m", "headgate"]
TOGETHER = 20


@contextmanager
def _simulator(folder, port):
    process = subprocess.Popen(
        [*HEADGATE, "simulate", "--port", str(port), "--log", "log.jsonl", "--first-token", "0.05"],
        cwd=folder, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _rows(path, kind):
    """The lines of a file that are whole."""
    if not path.exists():
        return []
    found = [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    return [json.loads(line) for line in found if line.startswith(kind)]


def _killed(folder, port, rows, *, seed, kills):
    """Kill a run so many times, each time after so many more of its answers; then let it end."""
    chance, clock = SystemChance(seed), SystemClock()
    (folder / "in.jsonl").write_text(
        "".join(json.dumps({"custom_id": f"c{n}", "prompt": f"Question {n}."}) + "\n" for n in range(rows))
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "HEADGATE_"))},
        "OPENAI_API_KEY": "sk-simulated",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "OPENAI_MODEL": "gpt-6-luna",
    }
    command = [*HEADGATE, "run", "in.jsonl", "-o", "out.jsonl", "--json", "--concurrency", str(TOGETHER)]
    part, answered = folder / "out.jsonl.part", 0
    for _ in range(kills):
        process = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL)
        wanted = answered + 1 + int(chance.random() * rows / (kills + 1))
        until = clock.monotonic() + 60
        while len(_rows(part, b'{"id"')) < wanted and process.poll() is None and clock.monotonic() < until:
            sleep(0.02)
        sleep(0.05 * chance.random())
        assert process.poll() is None, "the run has ended before it was killed: the test proves nothing"
        process.kill()
        process.wait()
        before = {line["custom_id"] for line in _rows(part, b'{"id"')}
        assert len(before) >= wanted
        answered = len(before)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _check(folder, summary, rows, kills):
    output = _rows(folder / "out.jsonl", b"{")
    assert [line["custom_id"] for line in output] == [f"c{n}" for n in range(rows)]
    assert all(line["response"]["status_code"] == 200 for line in output)
    assert summary["succeeded"] == rows
    assert not (folder / "out.jsonl.part").exists()
    # An answer's id follows from its question alone, so it is the provider's count that tells what was sent twice.
    sent = Counter(line["status"] for line in _rows(folder / "log.jsonl", b"{"))
    again = sum(sent.values()) - rows
    assert 0 <= again <= len(summary["ambiguous"]) <= TOGETHER * kills
    assert set(summary["ambiguous"]) <= {line["custom_id"] for line in output}


@pytest.mark.e2e
@pytest.mark.timeout(120)
def test_three_kills(tmp_path, free_port):
    """The short form, for every day."""
    port = free_port()
    with _simulator(tmp_path, port):
        summary = _killed(tmp_path, port, 400, seed=5, kills=3)
    _check(tmp_path, summary, 400, 3)
    assert summary["answered_before"] > 3


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_twenty_kills(tmp_path, free_port, seed):
    """At seeded moments of one run."""
    port = free_port()
    with _simulator(tmp_path, port):
        summary = _killed(tmp_path, port, 3000, seed=seed, kills=20)
    _check(tmp_path, summary, 3000, 20)
