"""What the targets of one limit share: the queue, what the store grants, what the provider tells, and what was learned.

Decides when a call goes, and refuses one that cannot go in time; refuses to know what the call asks and how its answer
is read. Nothing runs in the background: whoever is next asks, sleeps exactly as long as it was told to (or until
something was given back), and wakes the next one when it goes or leaves. A newcomer who is before it asks instead.
"""

import asyncio
from collections.abc import Mapping
from math import inf
from typing import Any

import msgspec

from headgate.core.call import Call
from headgate.core.clock import Clock
from headgate.core.errors import DeadlineError, NoTargetError, QuotaError, RateLimitError, StoppingError
from headgate.core.limits import Demand, Limits
from headgate.policies.pace.adaptive import PAUSE, Adaptive
from headgate.policies.pace.cost import cost, roomy, weights
from headgate.policies.pace.queue import Queue, Waiter
from headgate.policies.pace.told import Ticket, Told
from headgate.stores.rates import Grant, Rates, Rule

MINUTE = 60.0
BURST = 1.0
"""Seconds' worth of each limit that may be taken at once after a rest."""
LONGEST_HOLD = 600.0
"""Seconds for which a provider's wish to be left alone is granted at most: nobody is locked out by one odd header."""
QUOTA_REST = 60.0
"""Seconds for which nothing is sent after a quota was used up; then one call tries."""
SURE = 0.5
"""Share of the tokens expected that calls are sure to use, when it is asked how long they take at least."""
DEBT = 60.0
"""Seconds' worth of a limit that one call may cost at most, whatever usage is claimed for it."""
SHORTEST = 1e-6
"""Seconds. Shorter sleeps end before a clock has moved."""
NOTHING = Demand()
_HINT = "Allow it more time, ask later, or raise `limits` if the provider allows more."


class Gauge:
    """One limit: of a target, or of a group of targets.

    Args:
        name: what the store knows it by; equal names share.
        limits: what is configured.
        rates: the store.
        clock: tells the time.
    """

    def __init__(self, name: str, limits: Limits, *, rates: Rates, clock: Clock) -> None:
        self.name = name
        self._configured = limits
        self._rates = rates
        self._clock = clock
        self._queue = Queue()
        self._adaptive = Adaptive()
        self._rule: Rule | None = None
        self._scarce: Rule | None = None
        self._busy = 0
        self._number = 0
        self._held_until = 0.0
        self._quota: QuotaError | None = None
        self._quota_at = self._quota_until = 0.0
        self._closed = False
        self.counts_tokens = False
        self._told = Told(weights(limits))
        self._set_rule()

    def now(self) -> float:
        """The time, in seconds, by which tickets are dated."""
        return self._clock.monotonic()

    def at_once(self, demand: Demand) -> Ticket | None:
        """Let a call through if it is known here and now that it need not wait; None: ask `admit`."""
        if self._queue.waiting or self._quota is not None:
            return None
        now, rule = self._clock.monotonic(), self._rule
        if self._wait(demand, now):
            return None
        if rule is None:
            return self._pass(demand, now)
        rule = roomy(rule, demand)
        grant = self._rates.decide(rule, demand)
        return None if grant is None or grant.wait else self._pass(demand, now, rule, grant)

    async def admit(self, call: Call, demand: Demand) -> Ticket:
        """Wait until a call may go.

        Raises:
            DeadlineError: that would be after its deadline.
            NoTargetError: the provider's quota is used up.
            StoppingError: the gate is shutting down.
            SharedStoreError: the store is away, and limits are closed meanwhile.
        """
        self._check_quota()
        wait = None
        if not self._queue.waiting:
            ticket, wait = await self._ask(demand)
            if ticket is not None:
                return ticket
        rule = self._rule
        self._check_open()
        waiter = Waiter(call.priority, _caller(call), cost(self._scarce, demand), first=bool(call.trail))
        self._check_deadline(call, max(wait or 0.0, self._at_least(waiter, rule)))
        self._queue.add(waiter)
        admitted = False
        try:
            ticket = await self._wait_for_turn(call, waiter, demand, wait)
            admitted = True
        finally:
            self._queue.remove(waiter, admitted=admitted)
            self._wake()
        return ticket

    async def _wait_for_turn(self, call: Call, waiter: Waiter, demand: Demand, wait: float | None) -> Ticket:
        came = self._clock.monotonic()
        while True:
            head = self._queue.head()
            waiter.leads = head is waiter
            if head is not None and not waiter.leads:
                wait = inf
                if not head.leads:
                    # Who comes can make somebody else the next one: a third, who sleeps and does not know it.
                    _ring(head)
            elif wait is None:
                ticket, wait = await self._ask(demand)
                if ticket is not None:
                    return ticket
            if wait < inf:
                self._check_deadline(call, wait)
            await self._sleep(waiter, wait if call.deadline is None else min(wait, self._left(call.deadline)))
            self._check_open()
            if self._quota is not None and self._quota_at >= came:
                raise self._out_of_quota(self._quota)
            if call.deadline is not None and self._left(call.deadline) <= 0:
                raise DeadlineError(
                    f"The limits of {_known_as(self.name)} did not let the call through before its deadline.",
                    hint=_HINT,
                )
            wait = None

    async def _ask(self, demand: Demand) -> tuple[Ticket | None, float]:
        """A ticket, or the seconds after which to ask again; infinite: when something was given back."""
        now = self._clock.monotonic()
        wait = self._wait(demand, now)
        if wait:
            return None, wait
        rule = self._rule
        if rule is None:
            return self._pass(demand, now), 0.0
        rule = roomy(rule, demand)
        grant = await self._rates.take(rule, demand)
        if grant.wait:
            return None, grant.wait
        return self._pass(demand, self._clock.monotonic(), rule, grant), 0.0

    def _wait(self, demand: Demand, now: float) -> float:
        """Seconds for which the provider would not take a call, as far as we know."""
        wait = max(self._held_until - now, 0.0)
        if self._adaptive.plateau is not None:
            wait = max(wait, self._adaptive.wait(now))
        if self._told.buckets:
            if self._told.forget(now):
                self._set_rule()
            wait = max(wait, self._told.wait(demand, now))
        return wait

    def _pass(self, demand: Demand, now: float, rule: Rule | None = None, grant: Grant | None = None) -> Ticket:
        self._number += 1
        ticket = Ticket(self._number, now, demand, rule, grant)
        self._adaptive.sent(now)
        if self._told.buckets:
            self._told.take(ticket)
        self._busy += not ticket.settled
        return ticket

    def settle(self, ticket: Ticket, used: Demand | None) -> None:
        """A call has ended. Only the first time counts.

        Args:
            ticket: its ticket.
            used: the tokens that it has used; None: it has never left.
        """
        if ticket.settled:
            return
        ticket.settled = True
        self._busy -= 1
        if used is not None:
            used = self._credible(used)
        if self._told.buckets:
            self._told.correct(ticket, 0 if used is None else ticket.requests, used or NOTHING)
        if ticket.rule is not None and ticket.grant is not None:
            self._rates.settle(ticket.rule, ticket.grant, ticket.held, used)
        if self._queue.waiting:
            self._wake()

    def hear(self, ticket: Ticket, headers: Mapping[str, str]) -> None:
        """The provider has answered a call, well or not."""
        if headers and self._told.hear(headers, ticket, self._number, self._clock.monotonic()):
            self._set_rule()
        if self._queue.waiting and self._told.buckets:
            self._wake()

    def answered(self, ticket: Ticket) -> None:
        """A call was taken by the provider."""
        self._adaptive.accepted(ticket.at)
        if self._quota is not None and ticket.at > self._quota_at:
            self._quota = None

    def refused(self, ticket: Ticket, headers: Mapping[str, str], error: RateLimitError) -> None:
        """A call met the provider's limit: nothing is sent until it says so, or until its silence seems long enough."""
        now = self._clock.monotonic()
        if isinstance(error, QuotaError):
            self._quota, self._quota_at, self._quota_until = error, now, now + QUOTA_REST
            self._wake_all()
            return
        self._told.correct(ticket, 0, NOTHING)
        self.hear(ticket, headers)
        # Where headers tell what is left, nothing is learned from refusals.
        pause = PAUSE if self._told else self._adaptive.refused(ticket.at, now)
        wait = pause if error.retry_after is None else error.retry_after
        self._held_until = max(self._held_until, now + min(wait, LONGEST_HOLD))

    def state(self) -> dict[str, Any]:
        """How it stands, for `/health`; times are seconds from now."""
        now = self._clock.monotonic()
        found: dict[str, Any] = {"waiting": len(self._queue), "busy": self._busy}
        if self._held_until > now:
            found["held_for"] = round(self._held_until - now, 3)
        if self._quota is not None:
            found["quota"] = self._quota.code
        if (rate := self._adaptive.rate(now)) is not None:
            found["learned_requests_per_minute"] = round(rate * MINUTE, 1)
        if self._told.buckets:
            found["told"] = self._told.state(now)
        return found

    def renew(self, limits: Limits) -> None:
        """Hold other limits from now on; what was used of the former ones, and what was learned, stays."""
        if limits != self._configured:
            self._configured = limits
            self._told.weigh(weights(limits))
            self._set_rule()
            self._wake()

    def _set_rule(self) -> None:
        """Our own limits, lowered to what the provider tells; what it tells beyond them does not raise them."""
        limits = self._configured
        least = {}
        for name, kind in (("requests_per_minute", "requests"), ("tokens_per_minute", "tokens")):
            own, told = getattr(limits, name), self._told.limit(kind)
            if own is not None and told is not None and told < own:
                least[name] = told
        limits = msgspec.structs.replace(limits, **least)
        self.counts_tokens = limits.counts_tokens or self._told.counts_tokens
        nothing = Limits(sliding=limits.sliding, spread=limits.spread)
        self._rule = None if limits == nothing else Rule(self.name, limits, BURST)
        # What a turn costs is measured by what the provider tells, too: a call that takes half a minute of it is not
        # one like any other.
        known = msgspec.structs.replace(
            limits,
            requests_per_minute=limits.requests_per_minute or self._told.limit("requests"),
            tokens_per_minute=limits.tokens_per_minute
            or (None if limits.counts_tokens else self._told.limit("tokens")),
        )
        self._scarce = None if known == nothing else Rule(self.name, known, BURST)
        together, minutes = limits.tokens_per_minute or inf, DEBT / MINUTE
        self._most = (
            minutes * min(limits.input_tokens_per_minute or inf, together),
            minutes * min(limits.output_tokens_per_minute or inf, together),
        )

    def _credible(self, used: Demand) -> Demand:
        """Usage that no provider with these limits would have allowed is cut: one wrong figure shall stop nobody."""
        most_in, most_out = self._most
        if used.input <= most_in and used.output <= most_out:
            return used
        return Demand(int(min(used.input, most_in)), int(min(used.output, most_out)))

    def _at_least(self, waiter: Waiter, rule: Rule | None) -> float:
        """Seconds that a call will surely wait, for the calls of its caller that are before it."""
        calls, queued = self._queue.ahead(waiter)
        if rule is None or not calls:
            return 0.0
        requests = rule.limits.requests_per_minute
        surely = calls * MINUTE / requests if requests else 0.0
        return max(surely, queued * SURE if rule.limits.counts_tokens else 0.0) - BURST

    def _check_deadline(self, call: Call, wait: float) -> None:
        if call.deadline is not None and wait < inf and wait > self._left(call.deadline):
            raise _late(_known_as(self.name), wait)

    def _check_open(self) -> None:
        if self._closed:
            raise StoppingError("The gate is closed, and the provider's limits let nothing through at once.")

    def _left(self, deadline: float) -> float:
        return deadline - self._clock.monotonic()

    def _check_quota(self) -> None:
        if self._quota is None:
            return
        now = self._clock.monotonic()
        if now >= self._quota_until:
            # This one tries.
            self._quota_until = now + QUOTA_REST
            return
        raise self._out_of_quota(self._quota)

    def _out_of_quota(self, quota: QuotaError) -> NoTargetError:
        return NoTargetError(
            f"The provider's quota is used up: {quota.message}",
            code=quota.code,
            retry_after=max(self._quota_until - self._clock.monotonic(), 0.0),
            hint="Look at the provider's billing page; it is asked again by itself.",
        )

    def close(self) -> None:
        """Let nobody wait any longer."""
        self._closed = True
        self._wake_all()

    def _wake_all(self) -> None:
        for waiter in self._queue:
            _ring(waiter)

    def _wake(self) -> None:
        head = self._queue.head()
        if head is not None:
            _ring(head)

    async def _sleep(self, waiter: Waiter, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        waiter.wake = loop.create_future()
        timer = None if seconds == inf else loop.call_later(max(seconds, SHORTEST), _ring, waiter)
        try:
            await waiter.wake
        finally:
            waiter.wake = None
            if timer is not None:
                timer.cancel()


def _ring(waiter: Waiter) -> None:
    if waiter.wake is not None and not waiter.wake.done():
        waiter.wake.set_result(None)


def _caller(call: Call) -> tuple[str, str]:
    caller = call.caller
    if caller.key is not None:
        return "key", caller.key
    if caller.project is not None:
        return "project", caller.project
    return "user", call.user or ""


def _known_as(name: str) -> str:
    """The target or group, as people know it: without the word that sets its limits apart in the store."""
    return name.removeprefix("pace:")


def _late(name: str, wait: float) -> DeadlineError:
    message = f"The limits of {name} would let the call through in {wait:.3g} s, after its deadline."
    return DeadlineError(message, retry_after=wait, hint=_HINT)
