"""Who is next: by priority, fair between callers, and nobody starves.

Decides an order; refuses to know what is waited for and how. Higher priorities go first, but one admission in
`ONE_IN` goes to a lower one while any waits there: to the one that was served longest ago. Within a priority, callers
take turns by cost ("start-time fair queueing", Goyal, Vin and Cheng, 1996): each caller has a start tag, the lowest is
next, and being admitted moves it ahead by the cost. The virtual time at which newcomers start grows with the work that
is done, divided by the callers who wait, so that no stream of newcomers holds back who was there before.

Every step costs O(log n) of the callers who wait, not of the calls.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from heapq import heappop, heappush, heapreplace
from itertools import count

ONE_IN = 10
"""Of so many admissions, one goes to a lower priority."""
LOWEST, HIGHEST = 0, 9
_SPARE = 64
"""Callers without calls that a priority remembers before it looks whether it still has to."""


class _Flow:
    """The calls of one caller at one priority, oldest first."""

    __slots__ = ("cost", "queued", "start", "waiters")

    def __init__(self) -> None:
        self.waiters: OrderedDict[Waiter, None] = OrderedDict()
        self.start = 0.0
        self.cost = 0.0
        self.queued = False


class Waiter:
    """A call that waits.

    Attributes:
        priority: 0 to 9; 9 goes first.
        caller: who waits.
        cost: what its admission costs its caller; more than 0.
        first: it goes before the other calls of its caller.
        wake: done when it shall look again; None while it does not sleep.
        leads: it has asked as the one who is next, and sleeps for as long as it was told to.
    """

    __slots__ = ("caller", "cost", "first", "flow", "leads", "priority", "wake")

    def __init__(self, priority: int, caller: Hashable, cost: float, *, first: bool = False) -> None:
        self.priority = min(max(priority, LOWEST), HIGHEST)
        self.caller = caller
        self.cost = cost
        self.first = first
        self.flow: _Flow | None = None
        self.leads = False
        self.wake: asyncio.Future[None] | None = None


class _Level:
    """The calls of one priority."""

    __slots__ = ("active", "clock", "flows", "heap", "served", "waiting")

    def __init__(self) -> None:
        self.flows: dict[Hashable, _Flow] = {}
        self.heap: list[tuple[float, int, _Flow]] = []
        self.clock = 0.0
        self.active = 0
        self.waiting = 0
        self.served = 0

    def next(self, numbers: Iterator[int]) -> Waiter | None:
        heap = self.heap
        while heap:
            start, _, flow = heap[0]
            if not flow.waiters:
                heappop(heap)
                flow.queued = False
            elif start < flow.start:
                heapreplace(heap, (flow.start, next(numbers), flow))
            else:
                return next(iter(flow.waiters))
        return None

    def tidy(self) -> None:
        """Forget callers without calls, whose turn would not be later than a newcomer's."""
        if not self.waiting:
            self.flows, self.heap, self.clock = {}, [], 0.0
        elif len(self.flows) > 2 * self.active + _SPARE:
            self.flows = {
                caller: flow
                for caller, flow in self.flows.items()
                if flow.waiters or flow.queued or flow.start > self.clock
            }


class Queue:
    """The queue. Iterating gives those who wait in no promised order.

    Attributes:
        waiting: how many there are, as `len` tells, too.

    Example:
        >>> queue, many, one = Queue(), [Waiter(5, "a", 1.0) for _ in range(3)], Waiter(5, "b", 1.0)
        >>> for waiter in [*many, one]:
        ...     queue.add(waiter)
        >>> order = []
        >>> while (waiter := queue.head()) is not None:
        ...     queue.remove(waiter, admitted=True)
        ...     order.append(waiter.caller)
        >>> order
        ['a', 'b', 'a', 'a']
    """

    def __init__(self) -> None:
        self._levels = [_Level() for _ in range(HIGHEST + 1)]
        self._numbers = count()
        self.waiting = 0
        self._passed = 0
        self._served = 0

    def __len__(self) -> int:
        return self.waiting

    def __iter__(self) -> Iterator[Waiter]:
        for level in self._levels:
            for flow in level.flows.values():
                yield from flow.waiters

    def ahead(self, waiter: Waiter) -> tuple[int, float]:
        """How many calls are surely admitted before one that is to be added, and what they cost: its caller's own."""
        flow = self._levels[waiter.priority].flows.get(waiter.caller)
        return (0, 0.0) if flow is None or waiter.first else (len(flow.waiters), flow.cost)

    def add(self, waiter: Waiter) -> None:
        """Add one."""
        level = self._levels[waiter.priority]
        flow = level.flows.get(waiter.caller)
        if flow is None:
            flow = level.flows[waiter.caller] = _Flow()
        if not flow.waiters:
            level.active += 1
        flow.waiters[waiter] = None
        if waiter.first:
            flow.waiters.move_to_end(waiter, last=False)
        flow.cost += waiter.cost
        if not flow.queued:
            flow.queued = True
            flow.start = max(flow.start, level.clock)
            heappush(level.heap, (flow.start, next(self._numbers), flow))
        waiter.flow = flow
        level.waiting += 1
        self.waiting += 1

    def remove(self, waiter: Waiter, *, admitted: bool) -> None:
        """Take one out, wherever it stands. Only who is admitted has had a turn."""
        flow, level = waiter.flow, self._levels[waiter.priority]
        assert flow is not None, "it was added"
        del flow.waiters[waiter]
        flow.cost = flow.cost - waiter.cost if flow.waiters else 0.0
        if admitted:
            self._served += 1
            lower = any(below.waiting for below in self._levels[: waiter.priority])
            higher = any(above.waiting for above in self._levels[waiter.priority + 1 :])
            # Who goes before a higher one has had the turn of all lower ones, or their number would make it longer.
            self._passed = self._passed + 1 if lower and not higher else 0
            level.served = self._served
            level.clock = max(level.clock, flow.start) + waiter.cost / level.active
            flow.start += waiter.cost
        if not flow.waiters:
            level.active -= 1
        level.waiting -= 1
        self.waiting -= 1
        level.tidy()

    def head(self) -> Waiter | None:
        """Who is next; None if nobody waits."""
        if not self.waiting:
            return None
        waiting = [level for level in self._levels if level.waiting]
        level = waiting[-1]
        if self._passed >= ONE_IN - 1 and len(waiting) > 1:
            level = min(waiting[:-1], key=lambda lower: lower.served)
        return level.next(self._numbers)
