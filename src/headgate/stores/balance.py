"""How budgets stand: what is spent, what is lent and to whom, of many caps by one question.

Decides what is asked, in SQL that both databases speak; refuses to know connections (`sqlite.py`, `postgres.py`) and
which budgets there are (the gate). Nothing here decides on a loan: that is asked behind a lock (`treasury.py`).
"""

from collections.abc import Mapping, Sequence
from math import ceil

import msgspec

from headgate.stores.money import Cap
from headgate.stores.protocols import Statement, Tables
from headgate.stores.tables import Expression

AT_ONCE = 400
"""Caps that are asked for in one statement: fewer than a database takes marks."""


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """How one cap stands.

    Attributes:
        cap: which.
        spent: picodollars on the books.
        loans: what processes may still spend of it or have spent and not booked yet, in picodollars by their names.
        told: the highest share of the limit that somebody was told of; 0 where nobody was.
    """

    cap: Cap
    spent: int = 0
    loans: Mapping[str, int] = {}
    told: float = 0.0

    @property
    def lent(self) -> int:
        """All loans, in picodollars."""
        return sum(self.loans.values())

    @property
    def left(self) -> int:
        """What nobody has spent or borrowed."""
        return max(self.cap.limit - self.spent - self.lent, 0)

    @property
    def due(self) -> bool:
        """Whether a share was reached that nobody was told of."""
        return any(self.told < share and self.spent >= ceil(share * self.cap.limit) for share in self.cap.alert_at)


async def balances(database: Tables, caps: Sequence[Cap]) -> list[Balance]:
    """How caps stand, in their order.

    Raises:
        StoreError: the database cannot be asked.
    """
    found: list[Balance] = []
    for first in range(0, len(caps), AT_ONCE):
        found += await _some(database, caps[first : first + AT_ONCE])
    return found


async def _some(database: Tables, caps: Sequence[Cap]) -> list[Balance]:
    keys = ", ".join("(?, ?)" for _ in caps)
    values = tuple(part for cap in caps for part in (cap.name, cap.window))
    # Marks only.
    spent = f"SELECT cap, span, amount, told FROM spent WHERE (cap, span) IN (VALUES {keys})"  # noqa: S608
    lent = f"SELECT cap, span, owner, amount FROM lent WHERE amount > 0 AND (cap, span) IN (VALUES {keys})"  # noqa: S608
    sums: dict[tuple[str, str], tuple[int, float]] = {}
    for cap, span, amount, told in await database.read(Expression(spent, values)):
        sums[cap, span] = (int(amount), float(told))
    loans: dict[tuple[str, str], dict[str, int]] = {}
    for cap, span, owner, amount in await database.read(Expression(lent, values)):
        loans.setdefault((cap, span), {})[owner] = int(amount)
    made = []
    for one in caps:
        key = (one.name, one.window)
        amount, told = sums.get(key, (0, 0.0))
        made.append(Balance(cap=one, spent=amount, told=told, loans=loans.get(key, {})))
    return made


async def named(database: Tables, name: str, window: str, most: int) -> list[str]:
    """The names of those who have a sum of their own under a budget, dearest first.

    Args:
        database: where the sums are.
        name: of the budget; theirs begin with it and a colon.
        window: which one.
        most: no more than so many.

    Raises:
        StoreError: the database cannot be asked.
    """
    return [str(cap) for cap, *_ in await database.read(_named(name, window, most))]


def _named(name: str, window: str, most: int) -> Statement:
    # Between the colon and the character that comes after it: by the order of bytes, which both keep here.
    during = "WHERE span = ? AND cap > ? AND cap < ?"
    sql = (
        f"SELECT cap, sum(amount) AS amount FROM (SELECT cap, amount FROM spent {during}"  # noqa: S608  marks only
        f" UNION ALL SELECT cap, amount FROM lent {during}) b GROUP BY cap ORDER BY 2 DESC, 1 LIMIT ?"
    )
    where = (window, f"{name}:", f"{name};")
    return Expression(sql, (*where, *where, most))
