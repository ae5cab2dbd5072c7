"""Meter: every call of a caller is counted and written down when it has ended, whatever became of it.

Decides what a call's line in the books says; refuses to know what attempts cost (budget settles them). It is the
outermost policy, so it sees refusals too. The gate's own calls are not a caller's: their cost belongs to another call.
"""

from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from typing import Self

from headgate.core.call import Call, Origin
from headgate.core.clock import Clock
from headgate.core.counts import CANCELLED, Counts, Name, count
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


class Meter:
    """The policy.

    Args:
        journal: where ends are written.
        clock: for timings.
        tell: see the attribute.

    Attributes:
        counters: of this process since its start; other policies count their own there.
        journal: where ends are written.
        tell: told of each call that has ended, for a log.
    """

    def __init__(self, journal: Journal, clock: Clock, tell: Tell = lambda _call, _end: None) -> None:
        self.counters = Counts()
        self.journal = journal
        self.tell = tell
        self._clock = clock
        self._recent: deque[float] = deque(maxlen=RECENT)

    def knowing(self, models: Collection[str], targets: Collection[Name]) -> Self:
        """The same, with these names in the configuration; others are counted as one."""
        self.counters.know(models, targets)
        return self

    def latency_ms(self, quantile: float) -> float:
        """A quantile (0 to 1) of the latency of recent calls, in milliseconds; 0 before the first one."""
        if not self._recent:
            return 0.0
        ordered = sorted(self._recent)
        return ordered[min(int(quantile * len(ordered)), len(ordered) - 1)]

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
        end = entries.ending(
            call,
            time=None if call.trail else self._clock.time() - took,
            status=status,
            error_type=error_type,
            cache=reply.cache if reply is not None else "off",
            latency_ms=latency_ms,
            first_token_ms=first_token_ms,
        )
        self._count(call, took, end)
        self.journal.call(end)
        self.tell(call, end)

    def _count(self, call: Call, took: float, end: CallEnd) -> None:
        counters = self.counters
        counters.in_flight -= 1
        model = counters.model(call.model)
        model.took.add(took)
        if end.first_token_ms is not None:
            model.first.add(end.first_token_ms / 1e3)
        if end.error_type is not None:
            count(counters.codes, end.error_type, end.status)
        if end.cache != "off":
            counters.cache[end.cache] = counters.cache.get(end.cache, 0) + 1
        if call.verdicts:
            for verdict in call.verdicts:
                said = (verdict.rule, verdict.side, verdict.action)
                counters.verdicts[said] = counters.verdicts.get(said, 0) + 1
        self._recent.append(took * 1e3)


def _failure(error: BaseException, reply: Reply | None) -> tuple[int, str | None]:
    # CancelledError and its like are no Exceptions.
    if isinstance(error, Abandoned) or not isinstance(error, Exception):
        if reply is not None and reply.finished:
            # Leaving after the answer was finished (a reader that stops at `[DONE]`) is no failure.
            return reply.status, None
        return LEFT, CANCELLED
    if isinstance(error, HeadgateError):
        return error.http_status, error.code
    return 500, "internal_error"
