"""The pace that a silent provider allows: found out from its refusals alone.

Decides how many calls a second may go once calls were refused and no header explains why; refuses to know who calls.

Slower at once, faster slowly (Chiu and Jain, 1989), along a cubic curve (CUBIC, RFC 9438): after a refusal the pace
falls below the plateau, comes back to it, stays near it for a while, and then looks farther and farther for more. Only
one step down for all the calls that were under way together. The plateau is measured: a provider's allowance is used
up whenever it refuses, so the calls that it took from one refusal to another, over the time between, are what it
refills. A curve along time would refuse a slow provider's callers more often than a quick one's, so its length is
counted in calls.
"""

DROP = 0.07
"""How far below the plateau the pace falls, as a share of it; and how far above it the curve is as long after."""
LEAST_SECONDS, MOST_SECONDS = 10.0, 300.0
CALLS = 80.0
"""The time back to the plateau: so many calls' worth, within these bounds."""
FIRST_DROP, LOWEST_DROP = 0.7, 0.5
"""What is left of the pace when nothing was measured yet, and what is left of it at least."""
FORGET = 8.0
"""Once the pace may be so many times the plateau, it is not limited any more."""
LEAST_START = 5.0
"""Calls a second from which it starts at least: who sends fewer may have met a refusal by chance."""
LEAST = 0.05
"""Calls a second that are never too many."""
PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds without calls after a refusal that names no time; doubled by each refusal that follows without an answer."""


class Adaptive:
    """The pace of one target. Times are seconds on the monotonic clock.

    Attributes:
        plateau: calls a second that it comes back to; None while nothing is limited.
    """

    def __init__(self) -> None:
        self.plateau: float | None = None
        self._slowed = 0.0
        self._next = 0.0
        self._refusals = 0
        self._accepted = 0.0
        self._since = 0.0
        # What is sent while nothing is limited: in this second, and a second in the one before.
        self._count = 0
        self._from = 0.0
        self._before = 0.0

    def __bool__(self) -> bool:
        return self.plateau is not None

    def rate(self, now: float) -> float | None:
        """Calls a second that may go; None: any."""
        if self.plateau is None:
            return None
        back = self._back(self.plateau)
        found = self.plateau * (1 + DROP * ((now - self._slowed - back) / back) ** 3)
        if found > FORGET * self.plateau:
            self.plateau = None
            return None
        return found

    def wait(self, now: float) -> float:
        """Seconds until the next call may go."""
        return 0.0 if self.plateau is None else max(self._next - now, 0.0)

    def sent(self, now: float) -> None:
        """A call goes."""
        if now - self._from >= 1.0:
            self._before, self._count, self._from = self._count / (now - self._from), 0, now
        self._count += 1
        if self.plateau is not None and (rate := self.rate(now)) is not None:
            self._next = max(self._next, now) + 1 / rate

    def accepted(self, sent: float) -> None:
        """A call that was sent then was taken."""
        if sent > self._slowed:
            self._refusals = 0
        if sent > self._since:
            self._accepted += 1

    def refused(self, sent: float, now: float) -> float:
        """A call that was sent then was refused; gives the seconds for which nothing should be sent."""
        rate = self.rate(now)
        if rate is None:
            observed = max(self._before, self._count / max(now - self._from, 1.0))
            self._slow(max(observed * FIRST_DROP, LEAST_START), now)
            self._accepted, self._since = 0.0, now
        elif sent > self._slowed:
            seconds = max(now - self._since, 1e-6)
            self._slow(min(max(self._accepted / seconds, rate * LOWEST_DROP), rate), now)
            if seconds > 4 * self._back(self.plateau or rate):
                # What is long ago counts half.
                self._accepted, self._since = self._accepted / 2, now - seconds / 2
        else:
            return 0.0
        pause = min(PAUSE * 2.0**self._refusals, LONGEST_PAUSE)
        self._refusals += 1
        return pause

    def _slow(self, plateau: float, now: float) -> None:
        self.plateau = max(plateau, LEAST)
        self._slowed = now
        self._next = now

    @staticmethod
    def _back(plateau: float) -> float:
        return min(max(CALLS / plateau, LEAST_SECONDS), MOST_SECONDS)
