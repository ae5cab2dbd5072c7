"""Covers dialects/registry.py."""

import pytest

from headgate.core.call import Operation
from headgate.dialects.registry import DIALECTS


def test_every_operation_has_its_dialect():
    """A call can be read and prepared, whatever it asks for; nobody adds a dialect at run time."""
    assert set(DIALECTS) == set(Operation)
    assert all(dialect.operation is operation for operation, dialect in DIALECTS.items())
    with pytest.raises(TypeError):
        DIALECTS[Operation.CHAT] = None  # type: ignore[index]
