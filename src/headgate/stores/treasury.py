"""What budgets are made of in both databases: sums that are spent, sums that are lent, and what a batch adds to them.

Decides when a loan is granted and what a line costs its caps; refuses to know connections and transactions. Marks for
values are `?`. Who lends has locked the cap's row in `spent`, and who books comes to it last and in order, so that
neither waits for the other for long, or for ever.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from headgate.stores.money import Cap, Loan
from headgate.stores.records import Entry

PLENTY = 8
"""So many wishes must be left for one to be granted."""

BEGIN = "INSERT INTO spent (cap, span, amount, told) VALUES (?, ?, 0, 0) ON CONFLICT DO NOTHING"
"""Makes the row of a cap that is new."""
LOOK = "SELECT amount FROM spent WHERE cap = ? AND span = ?"
"""What is spent; with the database's own lock behind it."""
OUT = "SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) FROM lent WHERE cap = ? AND span = ?"
"""What is lent."""
LEND = (
    "INSERT INTO lent (owner, cap, span, amount, had) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (owner, cap, span) DO UPDATE SET amount = lent.amount + excluded.amount, had = excluded.had"
)
EVEN = "UPDATE lent SET amount = amount + ? - had, had = ? WHERE owner = ? AND cap = ? AND span = ? AND had > ?"
"""Takes back what an owner does not have by its own account; said twice, it does nothing more."""
RETURN = "UPDATE lent SET amount = amount - ? WHERE owner = ? AND cap = ? AND span = ?"
"""Turns into spent what was lent."""
FORGET = "UPDATE lent SET had = 0 WHERE owner = ? AND cap = ? AND span = ?"
"""For an owner who begins anew with a cap; what it has spent of it may still have to be booked."""
TIDY = "DELETE FROM lent WHERE owner = ? AND amount <= 0"
INHERIT = "DELETE FROM lent WHERE owner = ?"
"""Ends the loans of an owner of whom everything is booked."""
MOST = 2**62
"""Picodollars of one sum, 4.6 million dollars, beyond which nothing more is added: a provider that reports nonsense
must not keep the books from being written."""
SPEND = (
    "INSERT INTO spent (cap, span, amount, told) VALUES (?, ?, ?, 0) ON CONFLICT (cap, span) DO UPDATE SET amount ="  # noqa: S608
    f" CASE WHEN spent.amount > {MOST} - excluded.amount THEN {MOST} ELSE spent.amount + excluded.amount END"
)
TELL = "UPDATE spent SET told = ? WHERE cap = ? AND span = ? AND told < ? AND amount >= ? RETURNING amount"
"""Whether a share of a cap is reached and nobody has told of it: the one who gets an answer does."""


class Charges(NamedTuple):
    """What a batch of lines costs.

    Attributes:
        spent: values for `SPEND`, in the order of the key.
        returned: values for `RETURN`, in the order of the key.
    """

    spent: list[tuple[str, str, int]]
    returned: list[tuple[int, str, str, str]]


def charges(news: Iterable[Entry]) -> Charges:
    """What lines that were not booked before cost the caps that they were held under.

    A line costs what its outcome says: its price, or what was said at the time to be charged where nobody knows. Of
    the loan as much is used up; a cost beyond what was held is spent without ever having been lent.
    """
    spent: Counter[tuple[str, str]] = Counter()
    returned: Counter[tuple[str, str, str]] = Counter()
    for entry in news:
        held, cost = entry.intent.held, entry.outcome.cost
        if held is None or not cost:
            continue
        for cap in held.caps:
            spent[cap] += cost
            returned[held.owner, *cap] += min(cost, held.amount)
    return Charges(
        [(*cap, min(amount, MOST)) for cap, amount in sorted(spent.items())],
        [(amount, *loan) for loan, amount in sorted(returned.items())],
    )


def evened(owner: str, cap: Cap, had: int) -> tuple[int, int, str, str, str, int]:
    """Values for `EVEN`."""
    return had, had, owner, cap.name, cap.window, had


def lend(cap: Cap, spent: int, lent: int, least: int, wish: int) -> Loan:
    """Decide on a loan."""
    left = cap.limit - spent - lent
    amount = wish if left >= PLENTY * wish else least if left >= least else 0
    return Loan(amount, left - amount)


def shares(caps: Iterable[Cap]) -> Iterator[tuple[Cap, float]]:
    """The shares that somebody wants to be told of, lower ones first."""
    for cap in caps:
        for share in sorted(cap.alert_at):
            yield cap, share
