"""One attempt on behalf of several calls: each has its own lines in the books and its own share of the cost.

Decides how the outcome of an attempt is split: tokens by what each call weighs in it, the cost by what each one's
tokens cost, and never more than was set aside for it as long as all together have room. The shares add up to the whole,
to the last picodollar. Refuses to know how calls were put together, and what an attempt costs.

A call's own attempt is copied from the one that was made: same target, same end, its share of usage and cost. Who has
left pays all the same; from then on, its lines are those of a call of the gate's own on its behalf, because its own has
ended in the books.
"""

from collections.abc import Callable, Sequence

import msgspec

from headgate.core.attempt import Attempt, Settled
from headgate.core.call import Call, Origin
from headgate.core.reply import Event
from headgate.core.shares import split, split_usage
from headgate.core.together import Together
from headgate.core.usage import TokenUsage
from headgate.policies.budget.hold import Held
from headgate.stores import entries
from headgate.stores.protocols import Journal

_COPIED = (
    "sent", "status", "headers", "upstream_request_id", "model_served", "service_tier", "settled", "basis",
    "error_type", "latency_ms",
)  # fmt: skip


class Joint:
    """The lines of one attempt.

    Args:
        call: that was put together.
        whole: the attempt that is made.
        held: what is set aside for each; empty where nothing is.
        journal: where intents and outcomes are written.

    Attributes:
        held: a budget has to be charged for it, whatever it cost.
        most: what all of them have set aside, if that is the worst case of all; else None.
    """

    def __init__(self, call: Call, whole: Attempt, held: Sequence[Held | None], journal: Journal) -> None:
        assert call.together is not None, "whoever makes it has looked"
        held = held or [None] * len(call.together.calls)
        sure = [one.told.amount for one in held if one is not None and one.sure]
        self.held = any(one is not None for one in held)
        self.most = sum(sure) if len(sure) == len(held) else None
        self._answer = ""
        self._together: Together = call.together
        self._whole = whole
        self._held = held
        self._journal = journal
        saved = split(call.saved_tokens, call.together.asked)
        self._calls = [_owner(call, at, member, saved[at]) for at, member in enumerate(call.together.calls)]
        self._attempts: list[Attempt] = []

    def open(self, beginning: float) -> None:
        """Write down that it is about to leave, for each of them.

        Args:
            beginning: of the monotonic clock, in seconds since 1970.

        Raises:
            BacklogError: it cannot be written; what is held is free again, and those that were written have not left.
        """
        whole = self._whole
        try:
            for call, held in zip(self._calls, self._held, strict=True):
                attempt = Attempt(len(call.trail) + 1, whole.provider, whole.model, whole.dropped)
                told = None if held is None else held.told
                self._journal.intent(entries.intent(call, attempt, time=beginning + call.started, held=told))
                # Whoever leaves in the meantime has asked, as far as anybody knows.
                attempt.sent = True
                call.trail.append(attempt)
                self._attempts.append(attempt)
        except BaseException:
            whole.settled, whole.cost = Settled.NOT_BILLED, 0
            self.settle(lambda _: None)
            raise

    def hear(self, event: Event) -> None:
        """Take the words of the answer: they say whose it is, part by part."""
        self._answer += event.text

    def settle(self, price: Callable[[TokenUsage], int | None]) -> list[tuple[Call, Attempt, int]]:
        """Write down how it ended, for each of them; gives those that cost more than was held, and how much that was.

        Args:
            price: what tokens cost; it only says which share is how large.
        """
        whole = self._whole
        try:
            self._share(price)
        except BaseException:
            # Whatever happens to the shares, the outcome is on the books: nobody knows what it is, then.
            whole.settled, whole.basis = Settled.UNKNOWN, None
            self._share(price)
            raise
        finally:
            exceeded = []
            for at, held in enumerate(self._held):
                attempt = self._attempts[at] if at < len(self._attempts) else None
                cost = 0 if attempt is None else attempt.cost or 0
                if held is not None:
                    held.settle(cost)
                if attempt is None:
                    continue
                for name in _COPIED:
                    setattr(attempt, name, getattr(whole, name))
                self._journal.outcome(entries.outcome(self._calls[at], attempt))
                if held is not None and cost > held.told.amount:
                    exceeded.append((self._calls[at], attempt, held.told.amount))
        return exceeded

    def _share(self, price: Callable[[TokenUsage], int | None]) -> None:
        whole, attempts = self._whole, self._attempts
        if whole.settled is Settled.UNKNOWN:
            for attempt, held in zip(attempts, self._held, strict=True):
                attempt.cost = None if held is None else held.told.if_unknown
            return
        usage = whole.usage
        if usage is None:
            for attempt in attempts:
                attempt.cost = whole.cost
            return
        shares = split_usage(usage, self._together.asked, self._together.said(self._answer))
        for attempt, share in zip(attempts, shares, strict=True):
            attempt.usage = share
        if whole.cost is None:
            return
        weights = [price(share) or 0 for share in shares]
        for attempt, cost in zip(attempts, split(whole.cost, weights, self._bounds(whole)), strict=True):
            attempt.cost = cost
            attempt.price_table = f"{whole.price_table}, one of {len(attempts)}"

    def _bounds(self, whole: Attempt) -> list[int] | None:
        """What each may pay at most; None where an estimate was held: it bounds nothing."""
        assert whole.cost is not None, "whoever asks has looked"
        if any(held is not None and not held.sure for held in self._held):
            return None
        return [whole.cost if held is None else held.told.amount for held in self._held]


def _owner(whole: Call, at: int, member: Call, saved: int) -> Call:
    """In whose name the share of a call is written down."""
    assert whole.together is not None, "it is one of its calls"
    found = msgspec.structs.replace(member, dropped=whole.dropped, saved_tokens=saved)
    if member.id not in whole.together.left:
        return found
    # Of the same form as any id of ours, and with a trail of its own: nobody waits for it.
    name = f"{whole.id[:24]}{len(whole.trail):04x}{at:04x}"
    return msgspec.structs.replace(found, id=name, origin=Origin.INTERNAL, parent=member.id, trail=[])
