"""What tests of jobs share: a gate on the simulator in virtual time, and inputs."""

import json
from contextlib import asynccontextmanager

import pytest

from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance
from headgate.testing import VirtualClock


@asynccontextmanager
async def simulated(provider=None, **settings):
    """A gate whose only provider is the simulator, on the virtual clock."""
    config = Config.model_validate(
        {
            "store": "memory://",
            "providers": {"p": {"type": "simulator", **(provider or {})}},
            "models": {"default": "gpt-6-luna", "*": {"targets": [{"provider": "p"}]}},
            **settings,
        }
    )
    async with await Gate.open(config, clock=VirtualClock(), chance=SystemChance(1)) as gate:
        yield gate


@pytest.fixture
def gate_on():
    """Opens gates; see `simulated`."""
    return simulated


@pytest.fixture
def input_of(tmp_path):
    """Writes an input of rows, given as data or as text."""

    def write(rows, name="in.jsonl"):
        path = tmp_path / name
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    return write
