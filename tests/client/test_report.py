"""Sums of the ledger as a Python caller sees them."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from headgate.client.report import budget_report, query, report
from headgate.core.errors import BadRequestError
from headgate.stores.balance import Balance
from headgate.stores.money import Cap
from headgate.stores.protocols import Usage


def test_money_is_in_dollars():
    """Picodollars stay inside; groups are reports of their own."""
    total = Usage(calls=3, attempts=4, cost=2_500_000_000_000, unknown_attempts=1, unknown_cost=10**11)
    shown = report(total, [Usage(group={"model": "m"}, calls=3, cost=2_500_000_000_000)])
    assert (shown.calls, shown.attempts, shown.cost_usd) == (3, 4, Decimal("2.5"))
    assert (shown.unknown_attempts, shown.unknown_cost_usd) == (1, Decimal("0.1"))
    assert [(part.group, part.cost_usd) for part in shown.by] == [({"model": "m"}, Decimal("2.5"))]


def test_a_query_takes_times_with_a_zone_and_known_dimensions():
    """One dimension may be given alone."""
    asked = query(datetime(2027, 1, 15, tzinfo=UTC), None, "model", {"tag:team": "a"})
    assert (asked.since, asked.until, asked.by, asked.where) == (1799971200.0, None, ("model",), {"tag:team": "a"})
    assert query(None, None, ["model", "tag:team"], None).by == ("model", "tag:team")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((datetime(2027, 1, 15), None, (), None), "time zone"),  # noqa: DTZ001  the mistake in question
        ((None, None, "colour", None), "colour"),
        ((None, None, (), {"colour": "red"}), "colour"),
    ],
)
def test_a_wrong_query_is_refused(arguments, said):
    """A time that means another moment on another machine, and a dimension that does not exist."""
    with pytest.raises(BadRequestError, match=said) as caught:
        query(*arguments)
    assert caught.value.hint


def test_a_budget_is_in_dollars():
    """What is left is neither spent nor lent."""
    balance = Balance(cap=Cap("daily", "2027-01-15", 10**12), spent=10**11, loans={"a": 5 * 10**10})
    found = budget_report(balance)
    assert (found.name, found.window, found.limit_usd) == ("daily", "2027-01-15", Decimal(1))
    assert (found.spent_usd, found.lent_usd, found.left_usd) == (Decimal("0.1"), Decimal("0.05"), Decimal("0.85"))
