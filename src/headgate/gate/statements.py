"""What the holder of a key is told of its own use: what was spent, what is left, what is allowed.

Decides what a caller may know: its own sums and those of its project, never anybody else's. Refuses to know how it asks
and how that is answered. Statements are made one at a time and told again for `AGE`: whoever asks all the time costs no
more than whoever asks once a second.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from headgate.core.call import Caller
from headgate.core.clock import Clock
from headgate.core.errors import NotAllowedError
from headgate.core.money import show_usd
from headgate.gate.caps import Caps
from headgate.gate.key_wish import told_limits
from headgate.stores.money import Cap, Money
from headgate.stores.protocols import Query, Usage
from headgate.stores.report import usage_json

AGE = 1.0
"""Seconds for which a statement is told again."""
MOST = 1024
"""Statements that are remembered."""


class Statements:
    """The statements of one gate.

    Args:
        usage: asks the books, everything that has ended by now included.
        money: knows what is left of budgets.
        caps: knows which budgets a caller has.
        clock: tells how old a statement is.
    """

    def __init__(
        self, usage: Callable[[Query], Awaitable[tuple[Usage, list[Usage]]]], money: Money, caps: Caps, clock: Clock
    ) -> None:
        self._usage = usage
        self._money = money
        self._caps = caps
        self._clock = clock
        self._lock = asyncio.Lock()
        self._told: dict[str, tuple[float, Mapping[str, Any]]] = {}

    async def of(self, caller: Caller) -> Mapping[str, Any]:
        """The statement of a caller, for JSON; money is decimal strings of dollars.

        Raises:
            NotAllowedError: nobody is asked for a key here, so the caller may be anybody.
            StoreError: the store cannot be asked.
        """
        if caller.key is None:
            hint = "`headgate usage` tells whoever runs the gateway what was used."
            raise NotAllowedError("Nobody needs a key here, so there is no usage of one.", hint=hint)
        async with self._lock:
            found = self._told.get(caller.key)
            if found is None or self._clock.monotonic() - found[0] >= AGE:
                if len(self._told) >= MOST:
                    self._told.clear()
                found = self._told[caller.key] = (self._clock.monotonic(), await self._made(caller, caller.key))
            return found[1]

    async def _made(self, caller: Caller, key: str) -> Mapping[str, Any]:
        query = Query(where={"key": key})
        total, _ = await self._usage(query)
        caps = self._caps.of(caller)
        sums = await self._money.spent(caps) if caps else ()
        facts = usage_json(query, total, ())
        return {
            "object": "usage",
            "key": key,
            "project": caller.project,
            "models": None if caller.models is None else sorted(caller.models),
            "limits": None if caller.limits is None else told_limits(caller.limits),
            "budgets": [_left(cap, *sum_) for cap, sum_ in zip(caps, sums, strict=True)],
            "usage": {name: value for name, value in facts.items() if name not in {"from", "to", "by"}},
        }


def _left(cap: Cap, spent: int, lent: int) -> dict[str, str]:
    """How a budget stands. What calls that run now may cost is held."""
    return {
        "name": cap.name,
        "window": cap.window,
        "limit_usd": show_usd(cap.limit),
        "spent_usd": show_usd(spent),
        "held_usd": show_usd(lent),
        "left_usd": show_usd(max(cap.limit - spent - lent, 0)),
    }
