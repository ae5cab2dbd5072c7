"""The Python door in real processes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "python_door.py"

pytestmark = pytest.mark.e2e


def _environment():
    return {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "HEADGATE_"))}


def _run(tmp_path, *arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", *map(str, arguments)],
        cwd=tmp_path,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_the_example_runs_as_it_stands(tmp_path):
    """No key, no file: it says what its comments promise, shows its progress, and leaves nothing on the disk."""
    run = _run(tmp_path, EXAMPLE)
    assert run.returncode == 0, run.stderr
    assert re.fullmatch(r"100 of 100 calls, \$0\.\d+\n", run.stderr)
    lines = run.stdout.splitlines()
    assert " gpt-6-luna simulator " in lines[0]
    assert lines[0].endswith(" False")
    count, cost = next(line for line in lines if line.startswith("100 ")).split()
    assert (count, float(cost) > 0) == ("100", True)
    assert lines[-1]
    assert list(tmp_path.iterdir()) == []


def test_a_gate_that_nobody_closed_does_not_hold_the_program(tmp_path):
    """Neither an idle one nor one with a stream that was left in the middle."""
    script = """
from headgate import Headgate
gate = Headgate({"store": "memory://", "providers": {"p": {"type": "simulator", "latency": {"per_token": 1}}}})
stream = gate.stream("Tell me everything.", model="gpt-6-luna")
print(bool(next(stream).text))
"""
    run = _run(tmp_path, "-c", script)
    assert (run.stdout, run.returncode) == ("True\n", 0)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_a_waiting_program(tmp_path):
    """The interrupt arrives at once, and the gate closes in an orderly way."""
    script = """
from headgate import Headgate
silent = {"type": "simulator", "faults": [{"kind": "silence"}]}
with Headgate({"store": "memory://", "providers": {"p": silent}}) as gate:
    print("waiting", flush=True)
    try:
        gate.generate_response("Hi", model="gpt-6-luna")
    except KeyboardInterrupt:
        print(gate.usage().unknown_attempts, flush=True)
print("closed", flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, env=_environment(), stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout.readline() == "waiting\n"
        time.sleep(0.5)
        program.send_signal(signal.SIGINT)
        assert program.communicate(timeout=20)[0] == "1\nclosed\n"
    assert program.returncode == 0
