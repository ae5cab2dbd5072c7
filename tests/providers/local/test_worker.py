"""The child process itself, with a stand-in for the library (the real one answers in `tests/e2e/test_local.py`)."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

LIBRARY = """
import os, sys, types
class CommonParams:
    def __init__(self):
        self.model, self.cpuparams = types.SimpleNamespace(), types.SimpleNamespace()
class Server:
    listening_address = "http://127.0.0.1:4321"
    def __init__(self, params):
        if params.model.path == "broken":
            raise RuntimeError("no such model")
        print("chatter of the library")
        os.write(1, b"chatter of its native part\\n")
        shown = {**vars(params), "model": params.model.path, "cpuparams": params.cpuparams.n_threads}
        sys.stderr.write(repr(shown) + "\\n")
"""


@contextmanager
def worker(folder, *, model="m.gguf"):
    """A worker, as the gate starts it; killed in the end."""
    (folder / "xllamacpp.py").write_text(LIBRARY)
    command = [sys.executable, "-P", "-m", "headgate.providers.local.worker", "--model", model, "--name", "tiny"]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def test_it_announces_port_and_key_and_nothing_else(tmp_path):
    """One line on stdout, whatever the library prints; the key is that which the server demands, and 256 bits."""
    with worker(tmp_path) as process:
        line = process.stdout.readline()
        assert (match := re.fullmatch(r'headgate-local \{"port":4321,"key":"([0-9a-f]{64})"\}\n', line))
        assert process.stdout.read() == ""
        process.stdin.close()
        assert process.wait(20) == 0
        said = process.stderr.read()
    assert "chatter of the library" in said
    assert "chatter of its native part" in said
    assert f"'api_keys': ['{match[1]}']" in said
    for setting in ("'hostnames': ['127.0.0.1']", "'port': 0", "'n_ctx': 4096", "'n_parallel': 2", "'ui': False"):
        assert setting in said
    assert "'model': 'm.gguf'" in said
    assert "'model_alias': {'tiny'}" in said


def test_each_one_has_its_own_key(tmp_path):
    """A key that was seen once opens nothing later."""
    lines = []
    for _ in range(2):
        with worker(tmp_path) as process:
            lines.append(process.stdout.readline())
    assert lines[0] != lines[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_for_the_group_are_not_for_it(tmp_path, number):
    """Ctrl-C in a terminal reaches the child as well; it goes on until the gate has finished its answers."""
    with worker(tmp_path) as process:
        process.stdout.readline()
        process.send_signal(number)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
        process.stdin.close()
        assert process.wait(20) == 0


def test_a_model_that_cannot_be_served_ends_it(tmp_path):
    """No announcement; the reason is the last thing that it says."""
    with worker(tmp_path, model="broken") as process:
        assert process.stdout.read() == ""
        assert process.wait(20) == 1
        assert process.stderr.read() == "'broken' cannot be served: no such model\n"
