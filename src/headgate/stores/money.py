"""The store of money: how much of a budget is spent, and how much of the rest each process may spend on its own.

Decides what such a store promises; the contract suite runs over every implementation. What is *spent* follows from the
ledger alone: the transaction that books an attempt adds its cost to each cap that it was held under. What is *lent* to
a process covers everything that the process has not booked yet. A loan is granted only while

    spent + all that is lent + the new loan <= limit

so that no cap is exceeded, whatever becomes of the processes. Who comes back for a loan is named by `owner`; what a
dead owner had not spent is taken back by whoever adopts its journal. Until then it counts as spent.

An answer of the store may be lost, and nobody knows then whether it has done what it was told. So owners say what they
have, and not what changes: all that they were lent of a cap, less all that they gave back, spent or not. What the store
believes to have lent beyond that, it takes back.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec


class Cap(msgspec.Struct, frozen=True):
    """A sum that must not be exceeded, in one window.

    Attributes:
        name: of the budget, and of whom it is for where each has its own; equal names share one sum.
        window: which day, week or month (`2027-01-15`, `2027-W02`, `2027-01`), or `total`.
        limit: picodollars.
        alert_at: shares of the limit at which somebody is told, ascending.
    """

    name: str
    window: str
    limit: int
    alert_at: tuple[float, ...] = ()


class Loan(NamedTuple):
    """The answer to whoever borrows.

    Attributes:
        amount: picodollars lent; 0 if there is too little.
        left: what nobody has spent or borrowed, after this loan.
    """

    amount: int
    left: int


class Alert(NamedTuple):
    """A share of a cap that was reached.

    Attributes:
        cap: which.
        share: of its limit, such as 0.8.
        spent: picodollars, when it was noticed.
    """

    cap: Cap
    share: float
    spent: int


class Money(Protocol):
    """The store."""

    async def borrow(self, owner: str, cap: Cap, least: int, wish: int, had: int = 0) -> Loan:
        """Borrow `wish` picodollars if plenty is left, `least` near the cap, and nothing if there is not so much.

        Plenty is eight times the wish. `had` is what the owner had of this cap before.

        Raises:
            StoreError: the store cannot be asked.
        """
        ...

    async def give_back(self, owner: str, kept: Sequence[tuple[Cap, int]], done: Sequence[Cap] = ()) -> None:
        """Return what was borrowed and not spent: what the owner says to have of each cap is what it keeps.

        Of caps that it is `done` with it has nothing to spend, and will begin anew by having had nothing.

        Raises:
            StoreError: the store cannot be told.
        """
        ...

    async def spent(self, caps: Sequence[Cap]) -> Sequence[tuple[int, int]]:
        """Of each cap, what is spent and what is lent, in picodollars.

        Raises:
            StoreError: the store cannot be asked.
        """
        ...

    async def alerts(self, caps: Sequence[Cap]) -> Sequence[Alert]:
        """Which of their shares have been reached. Each is told once, to one of all processes that ask.

        Raises:
            StoreError: the store cannot be asked.
        """
        ...
