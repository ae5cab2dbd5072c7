"""The purse: what this process may spend of each cap without asking the store of money again.

Decides when to borrow, how much, and when to give back; refuses to know which caps hold for a call and what a call may
cost. A hold is taken from all its caps at once or from none, without a round trip as long as enough was borrowed: a
64th of the cap at a time, and near it exactly what one hold lacks. What was not used for a while goes back, so that
other processes find it.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from headgate.core.clock import Clock
from headgate.core.errors import OverBudgetError, StoreError
from headgate.core.money import show_usd
from headgate.stores.money import Cap, Loan, Money

PART = 64
"""Which part of a cap is borrowed at once, while there is plenty."""
INTERVAL = 1.0
"""Seconds after which what was not used goes back."""
LINGER = 60
"""Intervals for which a purse that is not used is remembered."""
_log = logging.getLogger("headgate.stores")

Start = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]


class _Purse:
    """Of one cap.

    `lent` is what we have of it, spent sums taken off; `held` what calls in flight may cost of that; `had` all that we
    were lent less all that we gave back, which is what the store is told; `unsure` says that an answer of the store was
    lost, so that it has to be told again; `waiting` how many calls wait for more.
    """

    __slots__ = ("borrowing", "cap", "had", "held", "idle", "lent", "unsure", "waiting")

    def __init__(self, cap: Cap) -> None:
        self.cap = cap
        self.lent = self.held = self.had = self.waiting = 0
        self.unsure = False
        self.idle = 0
        """Looks since something was held."""
        self.borrowing: asyncio.Task[Loan | StoreError] | None = None

    @property
    def free(self) -> int:
        return self.lent - self.held


class Hold:
    """A sum that is set aside under several caps, by being made. `settle` it exactly once.

    Attributes:
        amount: picodollars.
        caps: under which it is held.
    """

    __slots__ = ("_purses", "amount")

    def __init__(self, purses: Sequence[_Purse], amount: int) -> None:
        self._purses = purses
        self.amount = amount
        for purse in purses:
            purse.held += amount
            purse.idle = 0

    @property
    def caps(self) -> tuple[Cap, ...]:
        """Under which it is held."""
        return tuple(purse.cap for purse in self._purses)

    def settle(self, cost: int) -> None:
        """Set the sum free, but for what was spent. What is beyond the hold is spent without ever having been lent."""
        for purse in self._purses:
            purse.held -= self.amount
            purse.lent -= min(cost, self.amount)


class Purses:
    """All purses of one process.

    Args:
        money: the store.
        owner: names this process to the store: the token of its journal. After a fork it is another one.
        start: runs a coroutine in the background and owns it.
        clock: for the rhythm in which unused sums go back.
    """

    def __init__(self, money: Money, owner: Callable[[], str], start: Start, clock: Clock) -> None:
        self.owner = ""
        self._money = money
        self._owner = owner
        self._start = start
        self._clock = clock
        self._purses: dict[tuple[str, str], _Purse] = {}
        # What we say of what we have must arrive in the order in which it came about.
        self._telling = asyncio.Lock()

    async def hold(self, caps: Sequence[Cap], amount: int) -> Hold:
        """Set a sum aside under each of the caps.

        Raises:
            OverBudgetError: a cap has too little left.
            StoreError: more has to be borrowed, and the store cannot be asked.
        """
        purses = self._of(caps)
        while short := [purse for purse in purses if purse.lent - purse.held < amount]:
            await self._borrow(short[0], amount)
        return Hold(purses, amount)

    def at_once(self, caps: Sequence[Cap], amount: int) -> Hold | None:
        """The same where all of it was borrowed before; None: `hold` has to be awaited."""
        purses = self._of(caps)
        for purse in purses:
            if purse.lent - purse.held < amount:
                return None
        return Hold(purses, amount)

    def _of(self, caps: Sequence[Cap]) -> list[_Purse]:
        owner = self._owner()
        if owner != self.owner:
            # What the parent of a fork has borrowed is not ours.
            self.owner = owner
            self._purses.clear()
        return [self._purse(cap) for cap in caps]

    def _purse(self, cap: Cap) -> _Purse:
        purse = self._purses.get((cap.name, cap.window))
        if purse is None:
            purse = self._purses[cap.name, cap.window] = _Purse(cap)
        elif purse.cap.limit != cap.limit:
            # The configuration has changed; what is lent stays lent.
            purse.cap = cap
        # Nobody forgets it while a call waits for another one.
        purse.idle = 0
        return purse

    async def _borrow(self, purse: _Purse, amount: int) -> None:
        """Try to have so much. What somebody else is borrowing is waited for: it may be enough."""
        mine = purse.borrowing is None
        if purse.borrowing is None:
            # Its own task: a caller who leaves while the store answers must not lose what was lent.
            purse.borrowing = self._start(self._fetch(purse, amount - purse.free), "borrow")
        purse.waiting += 1
        try:
            loan = await asyncio.shield(purse.borrowing)
        finally:
            purse.waiting -= 1
        if isinstance(loan, StoreError):
            raise StoreError(loan.message)
        if mine and not loan.amount and purse.free < amount:
            cap, left = purse.cap, max(loan.left + purse.free, 0)
            raise OverBudgetError(
                f"The budget {cap.name!r} ({cap.window}) has ${show_usd(left)} left of "
                f"${show_usd(cap.limit)}, and this call may cost ${show_usd(amount)}.",
                left=left,
                hint="Allow fewer output tokens, wait for the next window, or have the budget raised.",
            )

    async def _fetch(self, purse: _Purse, least: int) -> Loan | StoreError:
        wish = max(least, purse.cap.limit // PART)
        try:
            async with self._telling:
                loan = await self._money.borrow(self.owner, purse.cap, least, wish, purse.had)
                purse.lent += loan.amount
                purse.had += loan.amount
        except StoreError as error:
            purse.unsure = True
            return error
        finally:
            purse.borrowing = None
        return loan

    def caps(self) -> list[Cap]:
        """Under which something was held of late."""
        return [purse.cap for purse in self._purses.values()]

    async def tend(self) -> None:
        """Give back, for ever, what was not used since the last look. The caller owns the task."""
        while True:
            await self._clock.sleep(INTERVAL)
            await self.give_back(idle=True)

    async def give_back(self, *, idle: bool = False) -> None:
        """Give back what no call in flight may cost; `idle`: only where nothing was held since the last time."""
        for purse in self._purses.values():
            purse.idle += 1
        asked = next((purse for purse in self._purses.values() if self._due(purse, idle=idle)), None)
        if asked is None:
            return
        try:
            # While the store is away, what was borrowed stays with this process: it can still be spent.
            await self._money.spent([asked.cap])
            async with self._telling:
                await self._return(idle=idle)
        except StoreError:
            _log.warning("The store of money is away; what was borrowed goes back when it is there again.")

    def _due(self, purse: _Purse, *, idle: bool) -> bool:
        if (idle and purse.idle < 2) or purse.waiting or purse.borrowing is not None:
            return False
        return purse.unsure or purse.free > 0 or self._done(purse)

    def _done(self, purse: _Purse) -> bool:
        return purse.idle > LINGER and not (purse.held or purse.lent)

    async def _return(self, *, idle: bool) -> None:
        due = {name: purse for name, purse in self._purses.items() if self._due(purse, idle=idle)}
        for purse in due.values():
            # Whether the store hears it or not, nobody has it from here on, and never two.
            purse.had -= purse.free
            purse.lent -= purse.free
            purse.unsure = True
        done = {name: purse for name, purse in due.items() if self._done(purse)}
        kept = [(purse.cap, purse.had) for purse in due.values()]
        await self._money.give_back(self.owner, kept, [purse.cap for purse in done.values()])
        for name, purse in due.items():
            purse.unsure = False
            if name in done and not purse.borrowing and not purse.waiting and not purse.held:
                del self._purses[name]
