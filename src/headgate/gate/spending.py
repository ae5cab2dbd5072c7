"""How budgets stand, and what is put right by hand: outcomes that nobody knew, loans that nobody gives back.

Decides which budgets are shown and whose loans may be ended; refuses to know how that lies in tables. Whatever is
changed is written down with the name of who did it.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from headgate.core.call import Caller
from headgate.core.clock import Clock
from headgate.core.errors import BadRequestError, UnknownObjectError
from headgate.core.money import show_usd
from headgate.gate.caps import OWN, Caps
from headgate.gate.issuing import Who
from headgate.stores.balance import Balance, balances, named
from headgate.stores.corrections import Corrections, details
from headgate.stores.keys import KeyBook, Note
from headgate.stores.money import Cap
from headgate.stores.protocols import Ledger
from headgate.stores.records import AttemptRow

MOST = 1000
"""Sums of one budget that are shown, where everybody has one: the dearest."""


class Spending:
    """The budgets of one gate.

    Args:
        ledger: the books.
        keys: may have budgets of their own.
        caps: knows the budgets of the configuration.
        booked: books everything that has ended in this process.
        owner: by which name this process borrows.
        journals: the folder where journals lie.
        clock: for the time of a note.
    """

    def __init__(
        self,
        ledger: Ledger,
        keys: KeyBook,
        caps: Caps,
        *,
        booked: Callable[[], Awaitable[None]],
        owner: Callable[[], str],
        journals: Path,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._caps = caps
        self._booked = booked
        self._owner = owner
        self._journals = journals
        self._clock = clock
        self._corrections = Corrections(ledger)

    async def budgets(self) -> list[Balance]:
        """How every budget stands in its window of today: those of the configuration, then those of keys.

        Of a budget that everybody has, the sums of those who have spent anything, dearest first.

        Raises:
            StoreError: the store cannot be asked.
        """
        await self._booked()
        caps = self._caps.named()
        for each in self._caps.each():
            found = await named(self._ledger, each.name, each.window, MOST)
            caps += [Cap(name, each.window, each.limit, each.alert_at) for name in found]
        for key in await self._keys.keys():
            own = f"{OWN}:{key.name}"
            caps += [cap for cap in self._caps.of(Caller(key=key.name, budget=key.scope.budget)) if cap.name == own]
        return await balances(self._ledger, caps)

    async def resolve(self, call: str, number: int | None, cost: int | None, who: Who) -> AttemptRow:
        """Say how an attempt has ended, of which nobody knew. Gives its line as it is now.

        Args:
            call: its id, or the `request_id` that its caller was given.
            number: of the attempt; may be left out where only one is unknown.
            cost: picodollars that it was billed at; None if it was not billed.
            who: says so.

        Raises:
            BadRequestError: it is known already, or it is not clear which one is meant.
            UnknownObjectError: it is not on the books.
            StoreError: the store cannot be told.
        """
        await self._booked()
        row = await self._corrections.attempt(call, number)
        note = self._note(who, "usage.resolve", f"{row.call_id}#{row.attempt}", details(row, cost))
        return await self._corrections.resolve(row, cost, note)

    async def end_loans(self, owner: str, who: Who) -> list[tuple[str, str, int]]:
        """End the loans of a process that will not come back: budget, window and picodollars of each.

        Args:
            owner: the name of its journal.
            who: says so.

        Raises:
            BadRequestError: its journal lies here, so it lives, or whoever starts next ends them.
            UnknownObjectError: nobody of that name has borrowed anything.
            StoreError: the store cannot be told.
        """
        if owner == self._owner() or any(name.startswith(owner) for name in self._files()):
            raise BadRequestError(
                f"The journal of {owner!r} lies in {str(self._journals)!r}: it is not lost.",
                hint="While its process runs, it gives back what it does not use; after that the next start does.",
            )
        loans = await self._corrections.loans(owner)
        if not loans:
            raise UnknownObjectError(
                f"Nobody named {owner[:80]!r} has borrowed anything.", hint="`headgate usage --budgets` tells who has."
            )
        told = {"loans": [[name, window, show_usd(amount)] for name, window, amount in loans]}
        await self._corrections.end_loans(owner, self._note(who, "loans.end", owner, told))
        return loans

    def _files(self) -> list[str]:
        # What could not be read is kept aside for ever.
        return [path.name for path in self._journals.glob("*") if path.suffix != ".bad"]

    def _note(self, who: Who, action: str, subject: str, facts: Mapping[str, Any]) -> Note:
        return Note(
            time=self._clock.time(), actor=who.actor, origin=who.origin, action=action, subject=subject,
            details=facts,
        )  # fmt: skip
