"""Meter: every call of a caller is counted and written down when it has ended, whatever became of it.

Decides what a call's line in the books says; refuses to know what attempts cost (budget settles them). It is the
outermost policy, so it sees refusals too. The gate's own calls are not a caller's: their cost belongs to another call.
"""

from collections import deque
from collections.abc import Callable
from functools import partial

from headgate.core.attempt import Settled
from headgate.core.call import Call, Origin
from headgate.core.clock import Clock
from headgate.core.errors import HeadgateError
from headgate.core.policy import Handler
from headgate.core.reply import Abandoned, Reply
from headgate.stores import entries
from headgate.stores.entries import milliseconds
from headgate.stores.protocols import Journal
from headgate.stores.records import CallEnd

Tell = Callable[[Call, CallEnd], None]

RECENT = 1000
"""Calls whose latency is remembered."""
LEFT = 499
"""The status of a call whose caller left, as nginx has it."""


class Counters:
    """What this process has seen since its start. Read it; only the meter writes.

    Attributes:
        calls, errors: of callers that have ended, and those of them that failed or were left.
        in_flight: begun and not ended.
        attempts: that were made for them.
        prompt_tokens, completion_tokens: billed, reported or counted.
        cost: of known price, picodollars.
        unpriced: billed attempts whose price is not known.
        unknown: attempts whose outcome is not known.
    """

    __slots__ = (
        "_recent",
        "attempts",
        "calls",
        "completion_tokens",
        "cost",
        "errors",
        "in_flight",
        "prompt_tokens",
        "unknown",
        "unpriced",
    )

    def __init__(self) -> None:
        self.calls = self.errors = self.in_flight = self.attempts = 0
        self.prompt_tokens = self.completion_tokens = 0
        self.cost = self.unpriced = self.unknown = 0
        self._recent: deque[float] = deque(maxlen=RECENT)

    def latency_ms(self, quantile: float) -> float:
        """A quantile (0 to 1) of the latency of recent calls, in milliseconds; 0 before the first one."""
        if not self._recent:
            return 0.0
        ordered = sorted(self._recent)
        return ordered[min(int(quantile * len(ordered)), len(ordered) - 1)]

    def add(self, call: Call, latency_ms: float, *, failed: bool) -> None:
        """Count a call that has ended."""
        self.calls += 1
        self.errors += failed
        self.in_flight -= 1
        self._recent.append(latency_ms)
        for attempt in call.trail:
            self.attempts += 1
            usage = attempt.usage
            if usage is not None:
                self.prompt_tokens += usage.prompt_tokens
                self.completion_tokens += usage.completion_tokens
            if attempt.settled is Settled.UNKNOWN:
                # What budgets are charged for it is no cost yet.
                self.unknown += 1
            elif attempt.cost is None:
                # Of a call that others share, and that this caller has left, the ledger alone hears the end.
                self.unpriced += attempt.settled is not None
            else:
                self.cost += attempt.cost


class Meter:
    """The policy.

    Args:
        journal: where ends are written.
        clock: for timings.
        tell: see the attribute.

    Attributes:
        counters: of this process since its start.
        tell: told of each call that has ended, for a log.
    """

    def __init__(self, journal: Journal, clock: Clock, tell: Tell = lambda _call, _end: None) -> None:
        self.counters = Counters()
        self.tell = tell
        self._journal = journal
        self._clock = clock

    async def __call__(self, call: Call, next: Handler) -> Reply:  # noqa: A002  the field's word
        """Pass the call on, and write down how it ended."""
        if call.origin is not Origin.CALLER:
            return await next(call)
        self.counters.in_flight += 1
        try:
            reply = await next(call)
        except BaseException as error:
            self._end(call, None, None, error)
            raise
        # `next` returns at the first substantive event.
        first_token_ms = milliseconds(self._clock.monotonic() - call.started) if reply.stream else None
        reply.watch(None, partial(self._end, call, reply, first_token_ms))
        return reply

    def _end(self, call: Call, reply: Reply | None, first_token_ms: float | None, error: BaseException | None) -> None:
        """Write down how a call ended."""
        if error is None:
            status, error_type = reply.status if reply is not None else 200, None
        else:
            status, error_type = _failure(error, reply)
        took = self._clock.monotonic() - call.started
        latency_ms = milliseconds(took)
        self.counters.add(call, latency_ms, failed=error_type is not None)
        end = entries.ending(
            call,
            time=None if call.trail else self._clock.time() - took,
            status=status,
            error_type=error_type,
            cache=reply.cache if reply is not None else "off",
            latency_ms=latency_ms,
            first_token_ms=first_token_ms,
        )
        self._journal.call(end)
        self.tell(call, end)


def _failure(error: BaseException, reply: Reply | None) -> tuple[int, str | None]:
    # CancelledError and its like are no Exceptions.
    if isinstance(error, Abandoned) or not isinstance(error, Exception):
        if reply is not None and reply.finished:
            # Leaving after the answer was finished (a reader that stops at `[DONE]`) is no failure.
            return reply.status, None
        return LEFT, "cancelled"
    if isinstance(error, HeadgateError):
        return error.http_status, error.code
    return 500, "internal_error"
