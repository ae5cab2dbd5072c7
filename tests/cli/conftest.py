"""What tests of the command line share: a folder and an environment that say nothing, and a way to run commands."""

import io
import os
import sys
from typing import NamedTuple

import msgspec
import pytest

from headgate.cli import main

SETTINGS = {
    "store": "sqlite:///books.db",
    "journal": {"path": "journal"},
    "providers": {
        "p": {"type": "simulator"},
        "broken": {"type": "simulator", "max_retries": 0, "faults": [{"kind": "reset"}]},
        "cutting": {"type": "simulator", "max_retries": 0, "faults": [{"kind": "cut", "after_tokens": 3}]},
    },
    "models": {
        "gpt-6-luna": {"targets": [{"provider": "p"}]},
        "broken": {"targets": [{"provider": "broken", "model": "gpt-6-luna"}]},
        "cutting": {"targets": [{"provider": "cutting", "model": "gpt-6-luna"}]},
        "strange": {"targets": [{"provider": "p", "model": "[/b]\x1b[31mred"}]},
        "default": "gpt-6-luna",
    },
}


class Done(NamedTuple):
    """What became of a command."""

    code: int
    out: str
    said: str

    @property
    def json(self):
        """Its one line of data."""
        (line,) = self.out.splitlines()
        return msgspec.json.decode(line)


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "HEADGATE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    # The width of a table does not depend on the terminal that the tests run in.
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def headgate(monkeypatch, capsys):
    """Run `headgate` with these arguments."""

    def run(*arguments, piped=b""):
        monkeypatch.setattr(sys, "argv", ["headgate", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped)))
        with pytest.raises(SystemExit) as end:
            main()
        captured = capsys.readouterr()
        return Done(end.value.code or 0, captured.out, captured.err)

    return run


@pytest.fixture
def books(tmp_path):
    """A configuration with books on the disk, and providers that fail in different ways."""
    (tmp_path / "headgate.yaml").write_bytes(msgspec.json.encode(SETTINGS))


@pytest.fixture
def terminal(monkeypatch):
    """Make stdout a terminal, from the next command on."""

    def tell():
        monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True)

    return tell
