"""Budget: every attempt that may cost money is written down before it leaves, and settled once it has ended.

Decides what an attempt cost and how sure that is; refuses to know how a target is chosen and how often it is asked.
(Caps come later: today it keeps the books.)

How an attempt ends in the books, first match:

    | what happened                                            | settled    | basis    | tokens                   |
    |----------------------------------------------------------|------------|----------|--------------------------|
    | it never was written completely, and nothing came back   | not_billed |          | none                     |
    | answered with an error status                            | not_billed |          | none                     |
    | the answer told its usage, complete or not               | billed     | reported | as told                  |
    | nobody charges for it (files, moderations, …)            | billed     | reported | as told; the cost is 0   |
    | the work goes on after the answer (batch, background)    | unknown    |          | none yet                 |
    | pictures and sound without usage                         | billed     |          | none; no price is known  |
    | a complete answer that did not tell its usage            | billed     | counted  | input and output bytes   |
    | a stream that broke or was left after its first word     | billed     | counted  | input and output bytes   |
    | a stream that was cancelled before its first word        | billed     | counted  | input bytes              |
    | anything else: timeout, reset, garbled, in-band error    | unknown    |          | none; the worst may hold |

Counting is by bytes: four of UTF-8 make a token, rounded up; the request's whole body is input, markup included. It is
marked `counted`, so that nobody takes it for the provider's word. Usage that cannot be true (negative, or beyond a
billion tokens) is taken as not told.
"""

from msgspec.structs import astuple

from headgate.catalog.prices import Prices
from headgate.core.attempt import Attempt, Basis, Settled
from headgate.core.body import Body
from headgate.core.call import FREE, UNMEASURED, Call, Operation
from headgate.core.clock import Clock
from headgate.core.errors import APIError, HeadgateError, UnpricedError
from headgate.core.policy import Handler
from headgate.core.reply import Abandoned, Event, Kind, Reply
from headgate.core.usage import TokenUsage
from headgate.stores import entries
from headgate.stores.entries import milliseconds
from headgate.stores.protocols import Journal

BYTES_PER_TOKEN = 4
MOST_TOKENS = 10**9
"""Of one attempt; what is beyond cannot be true, and its cost might not fit the ledger."""


class Budget:
    """The policy.

    Args:
        journal: where intents and outcomes are written.
        prices: what tokens cost.
        clock: for timings, and for the date of a price.
        price_list: whose prices hold at this target, by its id in the price table.
        must_know: a model whose price is not known is not asked.
    """

    def __init__(
        self, journal: Journal, prices: Prices, clock: Clock, *, price_list: str = "openai", must_know: bool = False
    ) -> None:
        self._journal = journal
        self._prices = prices
        self._clock = clock
        self._price_list = price_list
        self._must_know = must_know

    async def __call__(self, call: Call, next: Handler) -> Reply:  # noqa: A002  the field's word
        """Make one attempt.

        Raises:
            UnpricedError: nobody knows what the model costs; nothing has left.
            BacklogError: the intent cannot be written; nothing has left.
            HeadgateError: what the attempt failed with; its `attempts` are those of the whole call so far.
        """
        target = call.target
        assert target is not None, "budget stands below route"
        if self._must_know:
            self._check_price(call, target.model or call.model)
        attempt = Attempt(len(call.trail) + 1, target.provider, target.model or call.model, call.dropped)
        start = self._clock.monotonic()
        try:
            self._journal.intent(entries.intent(call, attempt, time=self._clock.time() - (start - call.started)))
        except HeadgateError as error:
            error.attempts = call.trail
            raise
        call.trail.append(attempt)
        account = _Account(self, call, attempt, start)
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

    def settle(self, call: Call, attempt: Attempt, start: float) -> None:
        """Price an attempt whose outcome is known, and write it down."""
        attempt.latency_ms = milliseconds(self._clock.monotonic() - start)
        try:
            if attempt.settled is Settled.BILLED:
                if attempt.usage is not None:
                    attempt.cost, attempt.price_table = self._prices.cost(
                        attempt.model_served or attempt.model,
                        attempt.usage,
                        at=self._clock.time(),
                        provider=self._price_list,
                        tier=attempt.service_tier,
                        asked=attempt.model,
                        kept_long=attempt.usage.cache_write_tokens > 0 and _kept_long(call),
                    )
                elif call.operation in FREE:
                    attempt.cost, attempt.price_table = 0, "free"
            elif attempt.settled is Settled.NOT_BILLED:
                attempt.cost = 0
        finally:
            # Whatever happens to the price, the outcome is on the books.
            self._journal.outcome(entries.outcome(call, attempt))


class _Account:
    """What is known of one attempt while it runs."""

    __slots__ = ("_attempt", "_budget", "_call", "_pending", "_size", "_start", "reply")

    def __init__(self, budget: Budget, call: Call, attempt: Attempt, start: float) -> None:
        self._budget = budget
        self._call = call
        self._attempt = attempt
        self._start = start
        self._size = 0
        self._pending = False
        self.reply: Reply | None = None

    def on_event(self, event: Event) -> None:
        self._size += event.size
        # Most events of a stream tell nothing else, or the model that they all tell.
        attempt = self._attempt
        if event.model is not None:
            attempt.model_served = event.model
        if event.usage is not None and _credible(event.usage):
            attempt.usage = event.usage
        if event.tier is not None:
            attempt.service_tier = event.tier
        if event.made:
            attempt.made += event.made
        if event.kind is Kind.TERMINAL:
            self._pending = event.pending

    def on_end(self, error: BaseException | None) -> None:
        attempt, call = self._attempt, self._call
        # Leaving after the answer was finished (a reader that stops at `[DONE]`) is no failure.
        if error is not None and not (_left(error) and self.reply is not None and self.reply.finished):
            attempt.error_type = _name(error)
        if isinstance(error, HeadgateError):
            error.attempts = call.trail
        # Who only asks how it stands has not begun it.
        if self._pending and (call.address is None or call.address.method == "POST"):
            self._settle(Settled.UNKNOWN, None)
        elif attempt.usage is not None or call.operation in FREE:
            self._settle(Settled.BILLED, Basis.REPORTED)
        elif call.operation in UNMEASURED:
            self._settle(Settled.BILLED, None)
        else:
            self._count(self._size)

    def failed(self, error: BaseException) -> None:
        attempt = self._attempt
        attempt.error_type = _name(error)
        operation = self._call.operation
        if _not_billed(attempt, error) or operation in FREE:
            self._settle(Settled.NOT_BILLED, None)
        elif self._call.stream and _left(error) and operation not in UNMEASURED:
            self._count(0)
        else:
            self._settle(Settled.UNKNOWN, None)

    def _count(self, size: int) -> None:
        self._attempt.usage = TokenUsage(
            prompt_tokens=-(-self._call.body.size // BYTES_PER_TOKEN),
            completion_tokens=-(-size // BYTES_PER_TOKEN),
        )
        self._settle(Settled.BILLED, Basis.COUNTED)

    def _settle(self, settled: Settled, basis: Basis | None) -> None:
        # Once: an attempt either fails before its reply, or has a reply, which ends once.
        attempt = self._attempt
        attempt.settled = settled
        attempt.basis = basis
        self._budget.settle(self._call, attempt, self._start)


def _kept_long(call: Call) -> bool:
    """Whether the request asks the provider to keep what it caches for twelve hours."""
    body = call.body
    if not isinstance(body, Body) or b"12h" not in body.raw:
        return False
    options = body.view.get("prompt_cache_options")
    return isinstance(options, dict) and options.get("ttl") == "12h"


def _not_billed(attempt: Attempt, error: BaseException) -> bool:
    if attempt.status is not None and attempt.status >= 400:
        return True
    if isinstance(error, APIError) and error.answer is not None and error.answer.status >= 400:
        return True
    return not attempt.sent and attempt.status is None


def _credible(usage: TokenUsage) -> bool:
    figures: tuple[int, ...] = astuple(usage)
    return min(figures) >= 0 and max(figures) <= MOST_TOKENS


def _left(error: BaseException) -> bool:
    """Whether the caller left: the reply was closed, or the task cancelled (CancelledError is no Exception)."""
    return isinstance(error, Abandoned) or not isinstance(error, Exception)


def _name(error: BaseException) -> str:
    if isinstance(error, HeadgateError):
        return error.code
    return "cancelled" if _left(error) else "internal_error"
