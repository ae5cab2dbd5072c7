"""Every ledger that the contract is held against."""

import asyncio

import pytest

from headgate.stores.sqlite import SqliteLedger


@pytest.fixture(params=["memory", "file"])
def ledger(request, tmp_path):
    """One of the implementations, empty."""
    made = SqliteLedger(":memory:" if request.param == "memory" else tmp_path / "headgate.db")
    yield made
    asyncio.run(made.close())
