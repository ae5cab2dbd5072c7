"""Covers stores/treasury.py: what lines cost their caps, and which loans are granted."""

import pytest

from headgate.stores.money import Cap, Loan
from headgate.stores.records import Entry, Told
from headgate.stores.treasury import charges, lend, shares

CAP = Cap("all", "total", 1000)


@pytest.fixture
def line(pen):
    """A line that was held under caps."""

    def make(cost, held, *caps, owner="me"):
        told = Told(owner, caps, held, held) if caps else None
        return Entry(pen.intent(held=told), pen.outcome(cost=cost))

    return make


def test_a_batch_is_added_up(line):
    """By cap, and by loan; a cost beyond the hold is spent, but was never lent."""
    a, b = ("a", "total"), ("b", "day")
    found = charges(
        [line(10, 50, b, a), line(70, 50, a), line(5, 50, b, owner="you"), line(0, 50, a), line(None, 9, a)]
    )
    assert found.spent == [("a", "total", 80), ("b", "day", 15)]
    assert found.returned == [(60, "me", "a", "total"), (10, "me", "b", "day"), (5, "you", "b", "day")]


def test_lines_without_budgets_cost_nobody(line):
    """Most of them."""
    assert charges([line(10, 0), line(None, 0)]) == ([], [])


@pytest.mark.parametrize(
    ("spent", "lent", "least", "wish", "loan"),
    [
        (0, 0, 5, 100, Loan(100, 900)),
        (0, 200, 5, 100, Loan(100, 700)),
        (100, 101, 5, 100, Loan(5, 794)),
        (990, 5, 5, 5, Loan(5, 0)),
        (990, 5, 6, 6, Loan(0, 5)),
        (1200, 0, 1, 1, Loan(0, -200)),
    ],
)
def test_a_loan_depends_on_what_is_left(spent, lent, least, wish, loan):
    """The wish while eight of them are left, then the least, then nothing; never more than is left."""
    assert lend(CAP, spent, lent, least, wish) == loan


def test_lower_shares_are_told_first():
    """However they were written."""
    cap = Cap("all", "total", 10, (1.0, 0.5))
    assert list(shares([CAP, cap])) == [(cap, 0.5), (cap, 1.0)]
