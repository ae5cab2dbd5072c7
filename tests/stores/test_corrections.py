"""Covers stores/corrections.py: what an id is; all else is in the contract of every ledger."""

import asyncio

import pytest

from headgate.core.errors import BadRequestError, UnknownObjectError
from headgate.stores.corrections import Corrections
from headgate.stores.sqlite import SqliteLedger


async def ask(call):
    """Look for an attempt in empty books."""
    ledger = SqliteLedger(":memory:")
    try:
        return await Corrections(ledger).attempt(call)
    finally:
        await ledger.close()


@pytest.mark.parametrize("call", ["", "req_", "call", "01a3185c5000", "zz" * 16, "f" * 32, "٣" * 32, "a\0b" * 10])
def test_what_is_no_id_is_told(call):
    """No day can be read from it."""
    with pytest.raises(BadRequestError, match="is no id of a call"):
        asyncio.run(ask(call))


@pytest.mark.parametrize("call", ["01a3185c5000" + "0" * 20, "req_01a3185c5000" + "'; DROP TABLE attempts; --"])
def test_what_could_be_one_is_looked_for(call):
    """And not found, whatever stands behind the moment."""
    with pytest.raises(UnknownObjectError, match="have no call"):
        asyncio.run(ask(call))
