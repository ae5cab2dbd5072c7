"""A store of money in its plainest form: what the real ones are compared with, and what purses are proved on."""

from collections import Counter
from collections.abc import Sequence

from headgate.core.errors import StoreError
from headgate.stores.money import Alert, Cap, Loan
from headgate.stores.treasury import shares


class Bank:
    """The store; `away` says that it cannot be asked."""

    def __init__(self) -> None:
        self.booked: Counter[tuple[str, str]] = Counter()
        self.lent: Counter[tuple[str, str, str]] = Counter()
        self.told: set[tuple[Cap, float]] = set()
        self.asked = 0
        self.away = False

    def total(self, cap: Cap) -> int:
        """Spent and lent."""
        key = (cap.name, cap.window)
        return self.booked[key] + sum(amount for (_, *held), amount in self.lent.items() if tuple(held) == key)

    def book(self, owner: str, cap: Cap, held: int, cost: int) -> None:
        """What the transaction that books an attempt does."""
        self.booked[cap.name, cap.window] += cost
        self.lent[owner, cap.name, cap.window] -= min(held, cost)

    async def borrow(self, owner: str, cap: Cap, least: int, wish: int) -> Loan:
        self._ask()
        left = cap.limit - self.total(cap)
        amount = wish if left >= 8 * wish else least if left >= least else 0
        self.lent[owner, cap.name, cap.window] += amount
        return Loan(amount, left - amount)

    async def give_back(self, owner: str, amounts: Sequence[tuple[Cap, int]]) -> None:
        self._ask()
        for cap, amount in amounts:
            self.lent[owner, cap.name, cap.window] -= amount

    async def spent(self, caps: Sequence[Cap]) -> Sequence[tuple[int, int]]:
        self._ask()
        return [(spent := self.booked[cap.name, cap.window], self.total(cap) - spent) for cap in caps]

    async def alerts(self, caps: Sequence[Cap]) -> Sequence[Alert]:
        self._ask()
        found = []
        for cap, share in shares(caps):
            spent = self.booked[cap.name, cap.window]
            if spent >= share * cap.limit and (cap, share) not in self.told:
                self.told.add((cap, share))
                found.append(Alert(cap, share, spent))
        return found

    def _ask(self) -> None:
        self.asked += 1
        if self.away:
            raise StoreError("The bank is closed.")
