"""Covers cli/working.py: what a worker says that cannot begin. `chaos/test_jobs.py` has workers work."""

from pathlib import Path

import msgspec

from tests.cli.conftest import SETTINGS


def test_a_worker_without_a_store(headgate):
    """Books in memory keep no job: the worker ends at once."""
    Path("headgate.yaml").write_bytes(msgspec.json.encode(SETTINGS | {"store": "memory://"}))
    done = headgate("worker")
    assert done.code == 2
    assert "would forget every job" in done.said
