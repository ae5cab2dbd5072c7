"""How the processes are told; that they share a limit is shown end to end."""

import asyncio
import sys
from asyncio.subprocess import PIPE

import pytest

from headgate.cli.bench.processes import _config, _line
from headgate.core.errors import HeadgateError
from headgate.gate.config import Config


def test_their_configuration():
    """One account at the simulator's address, one store, and the limit as it is."""
    config = Config.model_validate(_config("bench-1", "memory://", "http://127.0.0.1:9", 600))
    assert config.providers["bench-1"].base_url == "http://127.0.0.1:9/v1"
    assert config.providers["bench-1"].limits.requests_per_minute == 600
    assert config.shared == "memory://"


def test_a_line_for_a_line():
    """A process answers; one that ends instead is an error."""
    program = "import sys; sys.stdout.write(sys.stdin.readline())"

    async def tell():
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdin=PIPE, stdout=PIPE)
        first = await _line(process, b"1")
        with pytest.raises(HeadgateError, match="has ended before"):
            await _line(process, b"2")
        await process.wait()
        return first

    assert asyncio.run(tell()) == b"1\n"
