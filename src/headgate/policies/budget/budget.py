"""Budget: every attempt is paid for before it leaves, written down, and settled once it has ended.

Decides in which order that happens; refuses to know what a call may cost (`hold.py`) and what an attempt did cost
(`books.py`), how a target is chosen and how often it is asked.
"""

from collections.abc import Callable, Sequence
from functools import partial

from headgate.catalog.prices import Prices
from headgate.core.attempt import Attempt, Basis, Settled
from headgate.core.call import FREE, Call, Operation, Target
from headgate.core.clock import Clock
from headgate.core.errors import HeadgateError, UnpricedError
from headgate.core.policy import Handler
from headgate.core.reply import Reply
from headgate.core.usage import TokenUsage
from headgate.policies.budget.books import Account, Thoughts
from headgate.policies.budget.hold import Held, Holds, kept_long
from headgate.policies.budget.joint import Joint
from headgate.stores import entries
from headgate.stores.entries import milliseconds
from headgate.stores.protocols import Journal


class Budget:
    """The policy.

    Args:
        journal: where intents and outcomes are written.
        prices: what tokens cost.
        clock: for timings, and for the date of a price.
        price_list: whose prices hold at this target, by its id in the price table.
        must_know: a model whose price is not known is not asked.
        holds: sets aside what a call may cost; None where there are no budgets.
        exceeded: is told of an attempt of a call that cost more than was held for it, and how much that was.
        count: is told of each attempt that is settled; of one that several calls share, once.
    """

    def __init__(
        self,
        journal: Journal,
        prices: Prices,
        clock: Clock,
        *,
        price_list: str = "openai",
        must_know: bool = False,
        holds: Holds | None = None,
        exceeded: Callable[[str, Attempt, int], None] | None = None,
        count: Callable[[Attempt], None] = lambda _: None,
    ) -> None:
        self._journal = journal
        self._prices = prices
        self._clock = clock
        self._price_list = price_list
        self._must_know = must_know
        self._holds = holds
        self._exceeded = exceeded
        self._count = count
        self._thoughts = Thoughts()

    async def __call__(self, call: Call, next: Handler) -> Reply:  # noqa: A002, C901  the field's word; in one piece
        """Make one attempt.

        Raises:
            UnpricedError: nobody knows what the model costs; nothing has left.
            OverBudgetError: a budget has too little left; nothing has left.
            UnboundedError: nobody can tell what the call may cost, and a budget wants to know; nothing has left.
            StoreError: money has to be borrowed, and the store is away; nothing has left.
            BacklogError: the intent cannot be written; nothing has left.
            HeadgateError: what the attempt failed with; its `attempts` are those of the whole call so far.
        """
        target = call.target
        assert target is not None, "budget stands below route"
        if self._must_know:
            self._check_price(call, target.model or call.model)
        if call.together is not None:
            return await self._joint(call, target, next)
        held = None
        if self._holds is not None:
            try:
                call, held = await self._holds.take(call, target.model or call.model)
            except HeadgateError as error:
                error.attempts = call.trail
                raise
        attempt = Attempt(len(call.trail) + 1, target.provider, target.model or call.model, call.dropped)
        attempt.clamped = None if held is None else held.clamped
        start = self._clock.monotonic()
        try:
            time = self._clock.time() - (start - call.started)
            self._journal.intent(entries.intent(call, attempt, time=time, held=None if held is None else held.told))
        except HeadgateError as error:
            if held is not None:
                held.settle(0)
            error.attempts = call.trail
            raise
        call.trail.append(attempt)
        account = Account(call, attempt, self._thoughts, partial(self._settle, call, attempt, start, held))
        try:
            reply = await next(call)
        except BaseException as error:
            account.failed(error)
            if isinstance(error, HeadgateError):
                error.attempts = call.trail
            raise
        if attempt.status is None:
            attempt.status = reply.status
        if call.stream:
            # `next` returns at the first substantive event.
            attempt.first_token_ms = milliseconds(self._clock.monotonic() - start)
        reply.attempts = call.trail
        account.reply = reply
        reply.watch(account.on_event, account.on_end)
        return reply

    async def _joint(self, call: Call, target: Target, next: Handler) -> Reply:  # noqa: A002  the field's word
        """The same on behalf of several calls, which are answered whole."""
        held: Sequence[Held | None] = ()
        attempt = Attempt(len(call.trail) + 1, target.provider, target.model or call.model, call.dropped)
        start = self._clock.monotonic()
        try:
            if self._holds is not None:
                call, held = await self._holds.take_each(call, attempt.model)
            joint = Joint(call, attempt, held, self._journal)
            joint.open(self._clock.time() - self._clock.monotonic())
        except HeadgateError as error:
            error.attempts = call.trail
            raise
        call.trail.append(attempt)
        account = Account(call, attempt, self._thoughts, partial(self._settle_joint, call, attempt, start, joint))
        try:
            reply = await next(call)
        except BaseException as error:
            account.failed(error)
            raise
        reply.attempts = call.trail
        account.reply = reply
        reply.watch(joint.hear)
        reply.watch(account.on_event, account.on_end)
        return reply

    def _check_price(self, call: Call, model: str) -> None:
        if call.operation in FREE or call.operation is Operation.PASSTHROUGH:
            return
        if not self._prices.known(model, at=self._clock.time(), provider=self._price_list):
            error = UnpricedError(
                f"Nobody knows what the model {model[:80]!r} costs, and `policies.budget.unknown_price` is `refuse`.",
                param="model",
                hint="Give it prices in `catalog.models`, or set `unknown_price: estimate` or `allow`.",
            )
            error.attempts = call.trail
            raise error

    def _settle(self, call: Call, attempt: Attempt, start: float, held: Held | None) -> None:
        """Price an attempt whose outcome is known, and write it down."""
        attempt.latency_ms = milliseconds(self._clock.monotonic() - start)
        try:
            if attempt.settled is Settled.BILLED:
                self._price(call, attempt, held)
            elif attempt.settled is Settled.NOT_BILLED:
                attempt.cost = 0
            if attempt.settled is Settled.UNKNOWN and held is not None:
                attempt.cost = held.told.if_unknown
        finally:
            # Whatever happens to the price, the outcome is on the books.
            if held is not None:
                held.settle(attempt.cost or 0)
                if self._exceeded is not None and (attempt.cost or 0) > held.told.amount:
                    self._exceeded(call.id, attempt, held.told.amount)
            self._journal.outcome(entries.outcome(call, attempt))
            self._count(attempt)

    def _settle_joint(self, call: Call, attempt: Attempt, start: float, joint: Joint) -> None:
        """The same for an attempt that several calls share."""
        attempt.latency_ms = milliseconds(self._clock.monotonic() - start)
        now = self._clock.time()

        def price(usage: TokenUsage) -> int | None:
            model = attempt.model_served or attempt.model
            return self._prices.cost(
                model, usage, at=now, provider=self._price_list, tier=attempt.service_tier, asked=attempt.model
            )[0]

        try:
            if attempt.settled is Settled.BILLED:
                self._price(call, attempt, None)
                if attempt.cost is None and joint.held:
                    attempt.settled, attempt.basis = Settled.UNKNOWN, None
                elif attempt.cost is not None and attempt.basis is Basis.COUNTED and joint.most is not None:
                    attempt.cost = min(attempt.cost, joint.most)
            elif attempt.settled is Settled.NOT_BILLED:
                attempt.cost = 0
        finally:
            for owner, share, amount in joint.settle(price):
                if self._exceeded is not None:
                    self._exceeded(owner.id, share, amount)
            self._count(attempt)

    def _price(self, call: Call, attempt: Attempt, held: Held | None) -> None:
        """Say what a billed attempt costs; where nobody knows, and a budget must, it is unknown instead."""
        usage = attempt.usage
        if usage is not None:
            attempt.cost, attempt.price_table = self._prices.cost(
                attempt.model_served or attempt.model,
                usage,
                at=self._clock.time(),
                provider=self._price_list,
                tier=attempt.service_tier,
                asked=attempt.model,
                kept_long=usage.cache_write_tokens > 0 and kept_long(call),
            )
            if attempt.basis is Basis.REPORTED:
                self._learn(call, usage)
            elif attempt.cost is not None and held is not None and held.sure:
                # Whatever we have counted, it cannot have cost more than the worst.
                attempt.cost = min(attempt.cost, held.told.amount)
        elif call.operation in FREE:
            attempt.cost, attempt.price_table = 0, "free"
        if attempt.cost is None and held is not None:
            # A budget that was not charged for it would not hold.
            attempt.settled, attempt.basis = Settled.UNKNOWN, None

    def _learn(self, call: Call, usage: TokenUsage) -> None:
        self._thoughts.learn(call, usage)
        if self._holds is not None:
            self._holds.learn(call, usage)
