"""Every operation has its dialect, found by name and by path."""

import pytest

from headgate.core.call import Operation
from headgate.dialects.registry import BY_PATH, DIALECTS


def test_every_operation_has_a_dialect():
    """No operation is without one, and each dialect knows which it serves."""
    assert set(DIALECTS) == set(Operation)
    assert all(dialect.operation is operation for operation, dialect in DIALECTS.items())


def test_paths():
    """The same dialects are found by their paths, and the list cannot be changed."""
    assert {path: dialect.operation for path, dialect in BY_PATH.items()} == {
        "/chat/completions": Operation.CHAT,
        "/responses": Operation.RESPONSES,
    }
    assert all(BY_PATH[dialect.path] is dialect for dialect in DIALECTS.values())
    with pytest.raises(TypeError):
        BY_PATH["/other"] = None  # type: ignore[index]
