"""Alerts: somebody is told when a budget is used up to a share, or an attempt has cost more than was held for it.

Decides when the books are looked at and what is told; refuses to know how a message travels (`webhook.py`). Each share
is told once in its window, by one of all processes: the store says whose it is. It is looked at every `INTERVAL`, and
once more when the gate closes, so no call waits for any of it. What was told to nobody because a process died in
between is in the books: `headgate usage --budgets`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

from headgate.core.attempt import Attempt
from headgate.core.clock import Clock
from headgate.core.errors import StoreError
from headgate.core.money import show_usd
from headgate.gate.webhook import Webhook
from headgate.stores.balance import Balance, balances
from headgate.stores.money import Alert, Cap
from headgate.stores.protocols import Ledger

INTERVAL = 5.0
"""Seconds between two looks."""
FAREWELL = 3.0
"""Seconds that the webhook has, when the gate closes, for what still waits."""
_log = logging.getLogger("headgate")


class Alerts:
    """Watches budgets.

    Args:
        ledger: the books.
        named: the caps of budgets that are one sum, as they are now: they are looked at even if nobody calls.
        used: the caps under which something was held of late.
        webhook: where messages go besides the log; None for nowhere.
        clock: for the rhythm.

    Attributes:
        standing: how the named caps stood at the last look, by the name of the budget.
        store_up: whether the books could be read at the last look.
        told: shares that this process has told of.
        exceeded: attempts of this process that cost more than was held for them.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        named: Callable[[], Sequence[Cap]],
        used: Callable[[], Sequence[Cap]],
        webhook: Webhook | None,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._named = named
        self._used = used
        self._webhook = webhook
        self._clock = clock
        self._over: list[tuple[str, int]] = []
        self._watching = False
        self.standing: Mapping[str, Balance] = {}
        self.store_up = True
        self.told = self.exceeded = 0

    def over(self, call: str, attempt: Attempt, held: int) -> None:
        """An attempt of a call has cost more than was held for it; it is told with the others of its interval."""
        self.exceeded += 1
        self._over.append((f"{call}#{attempt.number}", (attempt.cost or 0) - held))

    async def watch(self) -> None:
        """Look for ever. The caller owns the task."""
        self._watching = True
        while True:
            await self.look()
            await self._clock.sleep(INTERVAL)

    async def look(self) -> None:
        """Look once. A store that is away is asked again the next time; the drain tells of it."""
        self._tell_excess()
        self.store_up = (await self._ledger.health())["status"] == "ok"
        named = self._named()
        caps = {(cap.name, cap.window): cap for cap in (*self._used(), *named)}
        try:
            found = {(one.cap.name, one.cap.window): one for one in await balances(self._ledger, list(caps.values()))}
            self.standing = {cap.name: found[cap.name, cap.window] for cap in named}
            due = [one.cap for one in found.values() if one.due]
            for alert in await self._ledger.alerts(due) if due else ():
                self._tell(alert)
        except StoreError:
            return

    async def close(self) -> None:
        """Look for the last time, when everything is booked, and have told what waits. Safe to call twice."""
        if self._watching:
            await self.look()
        if self._webhook is not None:
            await self._webhook.close(FAREWELL)

    def _tell(self, alert: Alert) -> None:
        cap, self.told = alert.cap, self.told + 1
        _log.warning(
            "The budget %r (%s) has reached %g %% of its $%s: $%s are spent.",
            cap.name, cap.window, 100 * alert.share, show_usd(cap.limit), show_usd(alert.spent),
        )  # fmt: skip
        if self._webhook is not None:
            facts = {
                "budget": cap.name,
                "window": cap.window,
                "share": alert.share,
                "limit_usd": show_usd(cap.limit),
                "spent_usd": show_usd(alert.spent),
            }
            self._webhook.tell("budget.reached", facts)

    def _tell_excess(self) -> None:
        if not self._over:
            return
        over, self._over = self._over, []
        (first, _), total = over[0], sum(amount for _, amount in over)
        _log.warning(
            "Attempts that cost more than was held for them: %d, by $%s in all, the first one %s. "
            "`headgate usage --exceeded` lists them.",
            len(over), show_usd(total), first,
        )  # fmt: skip
        if self._webhook is not None:
            facts = {"attempts": len(over), "excess_usd": show_usd(total), "first": first}
            self._webhook.tell("hold.exceeded", facts)
