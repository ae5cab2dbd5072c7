"""What the rows of a batch cost: a sum set aside before it is made, a line of the ledger for each answer, the saving.

Decides which target makes a batch, how its rows are made to fit, what is lent to it, and what an answer's line says;
refuses to know the Batch API and the life of a batch (`jobs/batch`).

Money for a batch is a loan to its mark: it outlives this process, and is used up by its rows in the transaction that
books them. Rows are booked past the journal, at once: the provider keeps what was answered, so what was not booked is
read again. The name of a line follows from the provider's id of the batch and the row's, so no answer is booked twice.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from headgate.catalog.rough import rough
from headgate.core.attempt import Basis, Settled
from headgate.core.body import Body
from headgate.core.call import FREE, Call, Caller, Operation, Target
from headgate.core.clock import Chance, Clock
from headgate.core.errors import (
    Answer,
    BadRequestError,
    GarbledError,
    HeadgateError,
    NoTargetError,
    OverBudgetError,
    UnknownModelError,
    UnpricedError,
)
from headgate.core.money import show_usd
from headgate.core.usage import TokenUsage
from headgate.dialects.registry import DIALECTS
from headgate.gate import makers, stack
from headgate.gate.caps import OWN
from headgate.policies.budget.hold import BATCH, Holds, kept_long
from headgate.policies.route import ANY
from headgate.stores.batches import BatchBook, BatchRecord, Fund
from headgate.stores.jobs import JobBook
from headgate.stores.money import Cap
from headgate.stores.protocols import Ledger
from headgate.stores.records import AttemptRow, CallEnd, Entry, Intent, Outcome, Told

HAVE_BATCHES = frozenset(("openai", "simulator"))
"""Types of providers that may have a Batch API."""


class Fitted(NamedTuple):
    """A row as it is sent.

    Attributes:
        body: JSON, with the target's name of the model.
        caps: the budgets that it counts against.
        amount: picodollars that it may cost at most; 0 where no budget asks.
        tokens: of its input, about.
        user: the end user.
        kept_long: the provider keeps what it caches for twelve hours.
    """

    body: bytes
    caps: tuple[Cap, ...]
    amount: int
    tokens: int
    user: str | None
    kept_long: bool


class Answered(NamedTuple):
    """What came back for a row.

    Attributes:
        name: the provider's, or ours: what no two rows of a batch have in common.
        status: HTTP status.
        body: JSON.
        user: the end user.
    """

    name: str
    status: int
    body: bytes
    user: str | None


class Line(NamedTuple):
    """An answer as it is booked.

    Attributes:
        entry: the line.
        realtime: picodollars that it would have cost at once; None where the price is not known.
        error: what the error status stands for; None for an answer.
    """

    entry: Entry
    realtime: int | None
    error: HeadgateError | None


class Batching:
    """The accounts of batches.

    Attributes:
        book: of batches.
        jobs: the book of durable jobs.
        clock, chance: those of the gate.

    Args:
        parts: what policies are made of.
        fitted: makes a call fit its target.
        ledger: where lines and loans are.
    """

    def __init__(self, parts: stack.Parts, fitted: Callable[[Call], Awaitable[Call]], ledger: Ledger) -> None:
        self.book = BatchBook(ledger)
        self.jobs = JobBook(ledger)
        self.clock: Clock = parts.clock
        self.chance: Chance = parts.chance
        self._parts = parts
        self._fitted = fitted
        self._ledger = ledger
        self._holds: dict[str, Holds | None] = {}

    def target(self, model: str, operation: Operation) -> Target:
        """Who makes a batch for a model: the first of its targets that may have a Batch API.

        Raises:
            UnknownModelError: no route leads to the model.
            NoTargetError: none of its targets has one.
            BadRequestError: the guard judges words, and nobody could judge those of a batch.
        """
        parts = self._parts
        guard = parts.config.policies.guard
        if (guard.input or guard.output) and guard.batches == "refuse":
            message = "`policies.guard` judges what is asked and answered, and nothing judges the rows of a batch."
            hint = "Ask them at once, or set `policies.guard.batches: allow`."
            raise BadRequestError(message, code="unguarded", hint=hint)
        plan = parts.plans.get(model) or parts.plans.get(ANY)
        if plan is None:
            raise UnknownModelError(f"The model {model[:80]!r} does not exist here.", param="model")
        for target in sorted(plan.targets, key=lambda target: target.priority):
            kind = parts.config.providers[target.provider].type
            if kind in HAVE_BATCHES and parts.providers[target.provider].speaks(operation):
                return Target(target.provider, target.model or model)
        message = f"No provider of the model {model[:80]!r} has a Batch API for {operation}."
        raise NoTargetError(message, hint="Ask at once, or name a model of a provider that has one.")

    def most_enqueued(self, provider: str) -> int | None:
        """Input tokens that a model's batches may have enqueued at once; None where nobody knows."""
        return self._parts.config.providers[provider].batch_tokens

    async def fit(self, call: Call, target: Target) -> Fitted:
        """A row as it is sent: with the provider's defaults, without what the model does not take, and its worst case.

        Raises:
            HeadgateError: it cannot be sent.
        """
        if call.stream:
            raise BadRequestError("A row of a batch cannot be streamed.", param="stream", hint="Leave `stream` out.")
        model = target.model or call.model
        call = await self._fitted(msgspec.structs.replace(call, target=target))
        caps: Sequence[Cap] = ()
        amount = 0
        if (holds := self._of(target.provider)) is not None:
            call, caps, amount = holds.worst(call, model)
        self._check_price(call, target.provider, model)
        body = DIALECTS[call.operation].prepare(call.body, model=model, stream=False)
        assert isinstance(body, Body), "rows are JSON"
        tokens = rough(call.operation, body, model)
        return Fitted(body.raw, tuple(caps), amount, tokens, call.user, kept_long(call))

    async def lend(self, mark: str, funds: Sequence[Fund]) -> None:
        """Set aside what a batch may cost, under all its caps or under none. Done twice, it is as done once.

        Args:
            mark: of the batch.
            funds: how much, of each cap.

        Raises:
            OverBudgetError: a cap has too little left.
            StoreError: the store cannot be asked.
        """
        for fund in funds:
            cap = Cap(fund.cap, fund.window, self._limit(fund))
            loan = await self._ledger.borrow(mark, cap, fund.amount, fund.amount)
            if not loan.amount and fund.amount:
                await self.release(mark)
                raise OverBudgetError(
                    f"The budget {fund.cap!r} ({fund.window}) has ${show_usd(max(loan.left, 0))} left of "
                    f"${show_usd(cap.limit)}, and this batch may cost ${show_usd(fund.amount)}.",
                    left=loan.left,
                    hint="Send fewer rows, allow fewer output tokens, or have the budget raised.",
                )

    def _limit(self, fund: Fund) -> int:
        """What a cap is by today's configuration; one of a key's own is what it was."""
        caps = self._parts.caps
        limits = {cap.name: cap.limit for cap in (*caps.named(), *caps.each())}
        return limits.get(fund.cap, limits.get(fund.cap.partition(":")[0], fund.limit))

    async def release(self, mark: str) -> None:
        """Give back what is lent to a batch and not used up.

        Raises:
            StoreError: the store cannot be told.
        """
        await self._ledger.inherit(mark)

    def line(self, batch: BatchRecord, answered: Answered) -> Line:
        """What an answer costs, and how it is booked."""
        facts, operation = batch.facts, Operation(batch.facts.operation)
        began = batch.began if facts.remote_began is None else facts.remote_began
        names = tuple((fund.cap, fund.window) for fund in self._charged(batch, answered.user))
        told = Told(batch.mark, names, facts.worst, facts.worst) if names and facts.worst is not None else None
        intent = Intent(
            call_id=_call_id(facts.remote or batch.id, answered.name, began),
            attempt=1,
            day=datetime.fromtimestamp(began, UTC).date().isoformat(),
            time=began,
            operation=operation,
            model_requested=facts.asked,
            provider=batch.provider,
            model=batch.model,
            key=facts.key,
            project=facts.project,
            user=answered.user,
            tags=facts.tags,
            held=told,
        )
        error, realtime = None, None
        if answered.status >= 400:
            error = DIALECTS[operation].read_error(Answer(answered.status, {}, answered.body))
            outcome = self._unbilled(intent, answered, error)
            realtime = 0
        else:
            outcome, realtime = self._billed(batch, intent, answered)
        if names and told is None:
            # Nothing was set aside for it: what it turns out to cost is spent all the same.
            intent = msgspec.structs.replace(intent, held=Told("", names, outcome.cost or 0, 0))
        end = CallEnd(call_id=intent.call_id, attempts=1, status=answered.status, error_type=outcome.error_type)
        return Line(Entry(intent, outcome, end), realtime, error)

    def funds(self, line: AttemptRow, operation: Operation, model: str) -> tuple[Fund, ...]:
        """The budgets that rows count against which a caller has asked for by a call of its own; nothing is lent."""
        caller = Caller(key=line.key, project=line.project)
        call = Call(
            id="", operation=operation, model=model, body=Body(b"{}"), started=0.0, day="", caller=caller,
            user=line.user, tags=line.tags,
        )  # fmt: skip
        return tuple(Fund(cap.name, cap.window, cap.limit, 0) for cap in self._parts.caps(call, model))

    async def settle(self, lines: Sequence[Line]) -> None:
        """Book answers, all or none; what is booked already is passed over.

        Raises:
            Exception: what the ledger raises; nothing was booked.
        """
        await self._ledger.book([line.entry for line in lines])

    def _of(self, provider: str) -> Holds | None:
        if provider not in self._holds:
            self._holds[provider] = stack.holds(self._parts, provider)
        return self._holds[provider]

    def _check_price(self, call: Call, provider: str, model: str) -> None:
        parts = self._parts
        if call.operation in FREE or parts.config.policies.budget.unknown_price != "refuse":
            return
        if not parts.prices.known(model, at=parts.clock.time(), provider=self._price_list(provider)):
            message = f"Nobody knows what the model {model[:80]!r} costs, and `unknown_price` is `refuse`."
            raise UnpricedError(message, param="model", hint="Give it prices in `catalog.models`.")

    def _price_list(self, provider: str) -> str:
        return makers.price_list(self._parts.config.providers[provider], self._parts.prices)

    def _charged(self, batch: BatchRecord, user: str | None) -> Sequence[Fund]:
        """Which of a batch's funds an answer is charged to: those of its own user, where users have budgets."""
        if not batch.facts.users:
            return batch.facts.funds
        facts = batch.facts
        caller = Caller(key=facts.key, project=facts.project)
        call = Call(
            id="", operation=Operation(facts.operation), model=facts.asked, body=Body(b"{}"), started=0.0, day="",
            caller=caller, user=user, tags=facts.tags,
        )  # fmt: skip
        mine = {cap.name for cap in self._parts.caps(call, batch.model)}
        # A key's own budget is known to its key alone; it is every row's.
        return [fund for fund in facts.funds if fund.cap in mine or fund.cap.startswith(f"{OWN}:")]

    def _unbilled(self, intent: Intent, answered: Answered, error: HeadgateError) -> Outcome:
        return Outcome(
            call_id=intent.call_id, attempt=1, settled=Settled.NOT_BILLED, cost=0, service_tier=BATCH,
            status=answered.status, error_type=error.code[:256],
        )  # fmt: skip

    def _billed(self, batch: BatchRecord, intent: Intent, answered: Answered) -> tuple[Outcome, int | None]:
        operation = Operation(intent.operation)
        usage: TokenUsage | None = None
        served: str | None = None
        try:
            event = DIALECTS[operation].read_answer(answered.body)
            usage, served = event.usage, event.model
        except GarbledError:
            pass
        cost, table, realtime = None, None, None
        if usage is not None:
            kept = batch.facts.kept_long and usage.cache_write_tokens > 0
            cost, table = self._cost(batch, served, usage, intent.time, tier=BATCH, kept_long=kept)
            realtime, ordinary = self._cost(batch, served, usage, intent.time, tier=None, kept_long=kept)
            if cost is None and realtime is not None and self._price_list(batch.provider) == makers.MAKER:
                # The Batch API halves every price; price lists name the halves of some models only.
                cost, table = (realtime + 1) // 2, f"{ordinary}, half of it"
        elif operation in FREE:
            cost, table, realtime = 0, "free", 0
        settled, basis = Settled.BILLED, None if usage is None and operation not in FREE else Basis.REPORTED
        if cost is None and intent.held is not None:
            # A budget that was not charged for it would not hold.
            settled, basis, cost = Settled.UNKNOWN, None, intent.held.if_unknown
        tokens = usage or TokenUsage()
        return (
            Outcome(
                call_id=intent.call_id,
                attempt=1,
                settled=settled,
                basis=basis,
                prompt_tokens=tokens.prompt_tokens,
                completion_tokens=tokens.completion_tokens,
                cached_tokens=tokens.cached_tokens,
                cache_write_tokens=tokens.cache_write_tokens,
                reasoning_tokens=tokens.reasoning_tokens,
                cost=cost,
                price_table=table,
                model_served=served and served[:256].replace("\0", "?"),
                service_tier=BATCH,
                status=answered.status,
            ),
            realtime,
        )

    def _cost(
        self, batch: BatchRecord, served: str | None, usage: TokenUsage, at: float, *, tier: str | None, kept_long: bool
    ) -> tuple[int | None, str | None]:
        return self._parts.prices.cost(
            served or batch.model,
            usage,
            at=at,
            provider=self._price_list(batch.provider),
            tier=tier,
            asked=batch.model,
            kept_long=kept_long,
        )


def _call_id(batch: str, name: str, began: float) -> str:
    """Names a line for ever, and tells its moment as every call's id does."""
    digest = blake2b(msgspec.json.encode((batch, name)), digest_size=10).hexdigest()
    return f"{int(began * 1000):012x}{digest}"
