"""What the provider tells of its limits, kept as a model of its own buckets: an upper bound next to what is configured.

Decides when there is room for a call by the provider's own account; refuses to know queues and our own limits. An
answer's headers say how much was left when its request arrived; since then the bucket was refilled, we have sent more,
and so did strangers who share the account. How much strangers take is learned: it is what was missing, each time, from
what we had expected.

Calls go while there is room for them and a reserve (`LEAST`), which is what protects us from a stranger who wakes up.
What a bucket holds beyond that is spent over about `SPREAD` seconds, and no faster, so that a full minute's allowance
is not sent in one burst; at the target level (`TARGET`) the pace is what the refill leaves to us.

Providers are not believed blindly: what is no count of anything is passed over, what they have not repeated for
`STALE` seconds is forgotten, and a refill that strangers seem to take completely is still taken to leave us some.
"""

import re
from collections import deque
from collections.abc import Mapping
from typing import Final

from headgate.core.limits import Demand
from headgate.stores.rates import Grant, Rule

MINUTE = 60.0
LEAST, TARGET = 0.04, 0.12
"""Shares of a bucket that are never taken, and that are kept if that costs nothing."""
SPREAD = 10.0
"""Seconds in which the rest is spent."""
BURST = 1.0
"""Seconds' worth that may be sent at once."""
FULL = 0.98
"""A call that needs more than this share of the bucket goes when there is as much."""
OURS = 0.1
"""Share of the refill that is left to us, whatever strangers take."""
MEMORY = 8.0
"""Seconds after which what was learned of strangers weighs half."""
FADING = 20.0
"""The same, where no news comes."""
READ = 1.0
"""Seconds between two looks at the time until a bucket is full."""
STALE = 120.0
"""Seconds after which what was told is forgotten."""
MOST_DIGITS = 12

_REQUESTS, _TOKENS, _PROJECT = "requests", "tokens", "project-tokens"
_HEADERS: Final = tuple(
    (kind, f"x-ratelimit-limit-{kind}", f"x-ratelimit-remaining-{kind}", f"x-ratelimit-reset-{kind}")
    for kind in (_REQUESTS, _TOKENS, _PROJECT)
)
_DURATION = re.compile(
    r"(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9}(?:\.\d{1,9})?)ms)?"
)


class Ticket:
    """A call that was let through.

    Attributes:
        number: grows with every call.
        at: when it was let through.
        requests: 1; 0 once it is known that the provider did not count it.
        held: tokens that it was expected to use.
        demand: tokens that it is taken to use: as expected, then the truth.
        rule, grant: what the store has granted, if anything was asked of it.
        settled: it was given back, or there is nothing to give back.
    """

    __slots__ = ("at", "demand", "grant", "held", "number", "requests", "rule", "settled")

    def __init__(self, number: int, at: float, demand: Demand, rule: Rule | None, grant: Grant | None) -> None:
        self.number = number
        self.at = at
        self.requests = 1
        self.held = self.demand = demand
        self.rule = rule
        self.grant = grant
        self.settled = rule is None


class _Bucket:
    """One of the provider's buckets, as far as we can know it."""

    __slots__ = (
        "_at", "_known", "_level", "_missing", "_net", "_next", "_read", "_refill", "_seconds", "_sent", "_since",
        "_taken", "_weights", "limit", "text",
    )  # fmt: skip

    def __init__(self, text: str, limit: int, weights: tuple[int, int, int], since: int, now: float) -> None:
        self.text = text
        self.limit = limit
        self._weights = weights
        self._known = False
        self._level = float(limit)
        self._at = now
        # Calls up to this one are in what was told, or unknown to us.
        self._since = since
        self._sent: deque[Ticket] = deque()
        self._taken = 0
        self._refill = limit / MINUTE
        # What was missing, and the seconds over which; what the refill leaves to us, as it was found last.
        self._missing = self._seconds = 0.0
        self._net = self._refill
        self._next = 0.0
        self._read = -READ

    def amount(self, requests: int, demand: Demand) -> int:
        a, b, c = self._weights
        return a * requests + b * demand.input + c * demand.output

    def resize(self, text: str, limit: int) -> None:
        self.text = text
        self.limit = limit
        self._refill = limit / MINUTE
        self._known = False

    def hear(self, ticket: Ticket, remaining: int, full_in: str | None) -> None:
        """The provider said what was left when a call had arrived."""
        if self._known and ticket.number <= self._since:
            # Later calls have told more.
            return
        passed, sent = 0, self._sent
        while sent and sent[0].number <= ticket.number:
            one = sent.popleft()
            passed += self.amount(one.requests, one.demand)
        self._taken -= passed
        left = float(min(remaining, self.limit))
        if self._known:
            seconds = ticket.at - self._at
            expected = min(self._level + seconds * self._refill, self.limit) - passed
            kept = MEMORY / (MEMORY + seconds)
            self._missing = self._missing * kept + expected - left
            self._seconds = self._seconds * kept + seconds
        self._known = True
        self._level, self._at = left, ticket.at
        self._since = max(self._since, ticket.number)
        if ticket.at - self._read >= READ:
            self._read = ticket.at
            seconds_left = _seconds(full_in)
            if seconds_left and left < self.limit:
                # Slower than a minute's worth a minute: the allowance of a day, or a window that is not refilled.
                self._refill = min(self.limit / MINUTE, (self.limit - left) / seconds_left)

    def correct(self, ticket: Ticket, change: int) -> None:
        """A call has used more, or less, than was thought."""
        if ticket.number > self._since:
            self._taken += change

    def stale(self, now: float) -> bool:
        return now - self._at >= STALE

    def level(self, now: float) -> float:
        """What should be left."""
        age = now - self._at
        if self._missing > 0.0:
            strangers = self._missing / max(self._seconds, 1.0) * FADING / (FADING + max(age, 0.0))
            self._net = max(self._refill - strangers, OURS * self._refill)
        else:
            self._net = self._refill
        return min(self._level + age * self._net, self.limit) - self._taken

    def wait(self, amount: int, now: float) -> float:
        """Seconds until there is room for so much, or until what was told is forgotten; 0 if there is."""
        lacking = min(amount + LEAST * self.limit, FULL * self.limit) - self.level(now)
        if lacking <= 0.0 and self._next <= now:
            return 0.0
        return max(min(max(lacking / self._net, self._next - now), self._at + STALE - now), 0.0)

    def take(self, ticket: Ticket) -> None:
        """A call goes."""
        now, amount = ticket.at, self.amount(ticket.requests, ticket.demand)
        above = self.level(now) - TARGET * self.limit
        rate = max(self._net + above / SPREAD, OURS * self._refill)
        self._next = max(self._next, now - BURST) + amount / rate
        self._taken += amount
        self._sent.append(ticket)


class Told:
    """All that a provider tells of one account's limits for a model.

    Attributes:
        buckets: by kind; empty where nothing is told.

    Args:
        weights: what the headers that speak of tokens count: input, output.
    """

    def __init__(self, weights: tuple[int, int] = (1, 1)) -> None:
        self._weights = (0, *weights)
        self.buckets: dict[str, _Bucket] = {}

    def __bool__(self) -> bool:
        return bool(self.buckets)

    def weigh(self, weights: tuple[int, int]) -> None:
        """Count tokens so from now on."""
        self._weights = (0, *weights)

    @property
    def counts_tokens(self) -> bool:
        """Whether any of it is about tokens."""
        return _TOKENS in self.buckets or _PROJECT in self.buckets

    def limit(self, kind: str) -> int | None:
        """How many `requests` or `tokens` a minute it allows."""
        bucket = self.buckets.get(kind)
        return None if bucket is None else bucket.limit

    def hear(self, headers: Mapping[str, str], ticket: Ticket, since: int, now: float) -> bool:
        """Read the headers of an answer; whether a limit is not what it was.

        Args:
            headers: by lower-case name.
            ticket: of the call that it answers.
            since: number of the latest call.
            now: the time.
        """
        changed = False
        for kind, limited, left, full_in in _HEADERS:
            text = headers.get(limited)
            if text is None:
                continue
            bucket = self.buckets.get(kind)
            if bucket is None or bucket.text != text:
                limit = _count(text)
                if not limit:
                    continue
                changed = True
                if bucket is None:
                    weights = (1, 0, 0) if kind == _REQUESTS else self._weights
                    bucket = self.buckets[kind] = _Bucket(text, limit, weights, since, now)
                else:
                    bucket.resize(text, limit)
            remaining = _count(headers.get(left))
            if remaining is not None:
                bucket.hear(ticket, remaining, headers.get(full_in))
        return changed

    def forget(self, now: float) -> bool:
        """Drop what was not repeated for long; whether there was anything."""
        if not any(bucket.stale(now) for bucket in self.buckets.values()):
            return False
        stale = [kind for kind, bucket in self.buckets.items() if bucket.stale(now)]
        for kind in stale:
            del self.buckets[kind]
        return True

    def wait(self, demand: Demand, now: float) -> float:
        """Seconds until there is room for a call."""
        wait = 0.0
        for bucket in self.buckets.values():
            wait = max(wait, bucket.wait(bucket.amount(1, demand), now))
        return wait

    def take(self, ticket: Ticket) -> None:
        """A call goes."""
        ticket.settled = False
        for bucket in self.buckets.values():
            bucket.take(ticket)

    def correct(self, ticket: Ticket, requests: int, used: Demand) -> None:
        """What a call uses is known better."""
        for bucket in self.buckets.values():
            before = bucket.amount(ticket.requests, ticket.demand)
            bucket.correct(ticket, bucket.amount(requests, used) - before)
        ticket.requests, ticket.demand = requests, used

    def state(self, now: float) -> dict[str, dict[str, float]]:
        """Limit and what should be left, by kind."""
        return {
            kind: {"limit": bucket.limit, "left": round(bucket.level(now), 1)} for kind, bucket in self.buckets.items()
        }


def _count(text: str | None) -> int | None:
    """A number of requests or tokens; None if it is none."""
    if text is None or len(text) > MOST_DIGITS or not (text.isascii() and text.isdigit()):
        return None
    return int(text)


def _seconds(text: str | None) -> float | None:
    """A duration as Go prints it; None if it is none.

    Example:
        >>> _seconds("6m0s"), _seconds("12ms"), _seconds("1h2m3.5s"), _seconds("soon")
        (360.0, 0.012, 3723.5, None)
    """
    found = _DURATION.fullmatch(text) if text and len(text) <= 2 * MOST_DIGITS else None
    if found is None:
        return None
    hours, minutes, seconds, ms = (float(part) if part else 0.0 for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + ms / 1000
