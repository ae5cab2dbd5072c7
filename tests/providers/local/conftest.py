"""Children that misbehave as they are told: tiny programs in place of a model."""

import sys
from pathlib import Path

import pytest

from headgate.gate.ports import SystemClock
from headgate.providers.local.process import Process


class Counted(Process):
    """A process that can tell how often it was started."""

    def births(self) -> int:
        """How many children there were."""
        return len((Path(self._command[-1]).parent / "births").read_bytes())


@pytest.fixture
def child(tmp_path: Path):
    """Makes a process of a program's text."""
    births = tmp_path / "births"
    births.touch()

    def make(text: str) -> Counted:
        program = tmp_path / "program.py"
        program.write_text(f"with open({str(births)!r}, 'ab') as file: file.write(b'.')\n{text}")
        return Counted([sys.executable, "-I", "-S", str(program)], clock=SystemClock())

    return make
