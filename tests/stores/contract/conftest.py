"""Every ledger that the contract is held against."""

import asyncio

import pytest

from headgate.stores.postgres import PostgresLedger
from headgate.stores.sqlite import SqliteLedger


@pytest.fixture(params=["memory", "file", pytest.param("postgres", marks=pytest.mark.e2e)])
def make_ledger(request, tmp_path):
    """Makes ledgers of one kind; all of them are the same books, but in memory."""
    address = request.getfixturevalue("database") if request.param == "postgres" else None
    made = []

    def make(**settings):
        if address is not None:
            ledger = PostgresLedger(address, **settings)
        else:
            ledger = SqliteLedger(":memory:" if request.param == "memory" else tmp_path / "headgate.db", **settings)
        made.append(ledger)
        return ledger

    make.kind = request.param
    yield make
    for ledger in made:
        asyncio.run(ledger.close())


@pytest.fixture
def ledger(make_ledger):
    """One of the implementations, empty."""
    return make_ledger()
