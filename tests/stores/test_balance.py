"""Covers stores/balance.py: what follows from a balance; what is asked of a database is in the contract."""

import pytest

from headgate.stores.balance import Balance
from headgate.stores.money import Cap

CAP = Cap("all", "total", 1000, (0.5, 0.8))


def test_what_is_left_is_neither_spent_nor_lent():
    """And never less than nothing."""
    assert Balance(cap=CAP, spent=300, loans={"a": 100, "b": 50}).left == 550
    assert Balance(cap=CAP, spent=300, loans={"a": 100, "b": 50}).lent == 150
    assert Balance(cap=CAP, spent=1300).left == 0


@pytest.mark.parametrize(
    ("spent", "told", "due"), [(0, 0, False), (499, 0, False), (500, 0, True), (500, 0.5, False), (800, 0.5, True)]
)
def test_a_share_is_due_until_it_was_told(spent, told, due):
    """Each of them."""
    assert Balance(cap=CAP, spent=spent, told=told).due is due
