"""Two real processes share one limit through a real Valkey."""

import asyncio

import pytest

from headgate.cli.bench.pace import SHARED_SHARE, line, promised
from headgate.cli.bench.processes import share_limit

pytestmark = pytest.mark.e2e


def test_two_processes_are_as_one(valkey):
    """Together they use what is allowed, no more and hardly less, and nobody meets a single 429."""
    outcome = asyncio.run(share_limit(valkey.url, seconds=15))
    made = promised(line("two processes", "headgate", 2, outcome), share=SHARED_SHARE, refused=0.0)
    assert made.met, made
    assert made.share < 1.02
    assert made.calls > 500
