"""The quickest target first, as far as the latest calls tell.

Decides by Finagle's "peak EWMA" (its `PeakEwma` load metric): the time to the reply is averaged with a weight that
decays with time, a longer one than the average replaces it at once, and the estimate of a target that nobody asks
falls until it is tried again. A target's load is that estimate times the calls it would have with this one. Of two
targets that were drawn by weight the one with the lesser load is asked ("the power of two choices", Mitzenmacher,
1996: never all callers at once at the target that happens to look best); the others follow in the order of their load.

What fails is slow: it counts as `PENALTY` at least, however quickly it failed. What would fail everywhere (a bad
request) tells nothing. Streams and whole answers are apart: the first word of one comes long before the end of the
other. Calls that come more seldom than once in some `DECAY` leave nothing to go by, and are spread.
"""

from functools import partial
from math import exp

from headgate.core.call import Call, Target
from headgate.core.clock import Clock
from headgate.core.errors import HeadgateError, Onward
from headgate.core.policy import Handler
from headgate.core.reply import Reply

DECAY = 20.0
"""Seconds in which an estimate falls to a third (1/e)."""
PENALTY = 5.0
"""Seconds that a failure takes, at least; and a first call whose end nobody knows yet."""
MOST = 1024
"""Targets whose times are remembered. Where a route takes any name, callers can make models up."""


class Peak:
    """The estimate of one target.

    Attributes:
        outstanding: calls that have not ended.
    """

    __slots__ = ("_at", "_seconds", "outstanding")

    def __init__(self, now: float) -> None:
        self.outstanding = 0
        self._seconds = 0.0
        self._at = now

    def estimate(self, now: float) -> float:
        """Seconds to the reply; less with time, and 0 before the first."""
        return self._seconds * exp((self._at - now) / DECAY)

    def load(self, now: float) -> float:
        """What another call has to expect here."""
        seconds = self.estimate(now)
        if not seconds and self.outstanding:
            return PENALTY * self.outstanding
        return seconds * (self.outstanding + 1)

    def observe(self, now: float, seconds: float) -> None:
        """A call has taken so long."""
        kept = exp((self._at - now) / DECAY)
        faded = self._seconds * kept
        self._seconds = seconds if seconds >= faded else faded + seconds * (1 - kept)
        self._at = now


class Latency:
    """The strategy.

    Args:
        clock: tells how long calls take.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._peaks: dict[tuple[str, str, bool], Peak] = {}

    def order(self, call: Call, drawn: list[Target]) -> list[Target]:
        """Targets of the same priority in the order in which they shall be asked.

        Args:
            call: the question.
            drawn: the targets as they were drawn by weight; at least one.
        """
        if len(drawn) == 1:
            return drawn
        now = self._clock.monotonic()
        loads = [(self._peak(call, target).load(now), target) for target in drawn]
        first = min(loads[:2], key=_load)
        loads.remove(first)
        loads.sort(key=_load)
        return [first[1], *(target for _, target in loads)]

    async def ask(self, call: Call, next: Handler) -> Reply:  # noqa: A002  the field's word
        """Ask a target, and remember how long it took.

        Raises:
            HeadgateError: what it failed with.
        """
        assert call.target is not None, "one was picked"
        peak = self._peak(call, call.target)
        start = self._clock.monotonic()
        peak.outstanding += 1
        try:
            reply = await next(call)
        except BaseException as error:
            peak.outstanding -= 1
            self._failed(peak, start, error)
            raise
        now = self._clock.monotonic()
        peak.observe(now, now - start)
        reply.watch(None, partial(_ended, peak))
        return reply

    def _failed(self, peak: Peak, start: float, error: BaseException) -> None:
        now = self._clock.monotonic()
        took = now - start
        if not isinstance(error, HeadgateError):
            # The caller has left: it would have taken longer than that.
            if took > peak.estimate(now):
                peak.observe(now, took)
        elif error.onward not in {Onward.NEVER, Onward.LARGER}:
            peak.observe(now, max(took, PENALTY))

    def _peak(self, call: Call, target: Target) -> Peak:
        name = (target.provider, target.model or call.model, call.stream)
        found = self._peaks.get(name)
        if found is None:
            while len(self._peaks) >= MOST:
                del self._peaks[next(iter(self._peaks))]
            found = self._peaks[name] = Peak(self._clock.monotonic())
        return found


def _ended(peak: Peak, _error: BaseException | None) -> None:
    peak.outstanding -= 1


def _load(entry: tuple[float, Target]) -> float:
    return entry[0]
