"""A store of money in its plainest form: what the real ones are compared with, and what purses are proved on."""

from collections import Counter
from collections.abc import Sequence

from headgate.core.errors import StoreError
from headgate.stores.money import Alert, Cap, Loan
from headgate.stores.treasury import shares


class Bank:
    """The store; `away` says that it cannot be asked, `mute` that it does what it is told and its answers are lost."""

    def __init__(self) -> None:
        self.booked: Counter[tuple[str, str]] = Counter()
        self.lent: Counter[tuple[str, str, str]] = Counter()
        self.had: Counter[tuple[str, str, str]] = Counter()
        self.told: set[tuple[Cap, float]] = set()
        self.asked = 0
        self.away = self.mute = False

    def total(self, cap: Cap) -> int:
        """Spent and lent."""
        key = (cap.name, cap.window)
        return self.booked[key] + sum(amount for (_, *held), amount in self.lent.items() if tuple(held) == key)

    def book(self, owner: str, cap: Cap, held: int, cost: int) -> None:
        """What the transaction that books an attempt does."""
        self.booked[cap.name, cap.window] += cost
        self.lent[owner, cap.name, cap.window] -= min(held, cost)

    async def borrow(self, owner: str, cap: Cap, least: int, wish: int, had: int = 0) -> Loan:
        self._ask()
        self._even(owner, cap, had)
        left = cap.limit - self.total(cap)
        amount = wish if left >= 8 * wish else least if left >= least else 0
        self.lent[owner, cap.name, cap.window] += amount
        if amount:
            self.had[owner, cap.name, cap.window] = had + amount
        self._answer()
        return Loan(amount, left - amount)

    async def give_back(self, owner: str, kept: Sequence[tuple[Cap, int]], done: Sequence[Cap] = ()) -> None:
        self._ask()
        for cap, had in kept:
            self._even(owner, cap, had)
        for cap in done:
            self.had[owner, cap.name, cap.window] = 0
        self._answer()

    def _even(self, owner: str, cap: Cap, had: int) -> None:
        key = (owner, cap.name, cap.window)
        self.lent[key] -= max(self.had[key] - had, 0)
        self.had[key] = min(self.had[key], had)

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

    def _answer(self) -> None:
        if self.mute:
            raise StoreError("The line to the bank is broken.")
