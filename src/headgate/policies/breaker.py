"""Breaker: a target that fails again and again is left alone for a while.

Decides whether a target may be asked now; refuses to know who else could be asked, and what an error means: its own
facts (`HeadgateError.breaker`) say whether it speaks against the target. Stands below retry, so each attempt counts.

    closed      everything passes. `failures` failed attempts within `window`, and at least half of all that ended
                there: open.
    open        nothing passes; whoever comes is told how long the rest still is. Over: half open.
    half open   `probes` attempts are let through, no more. All succeed: closed, with a clean slate. One fails: open.

A failure before the first word, or in the middle of a stream, is a failure; an answer that ended as it should is a
success. Everything else says nothing of the target, and a probe that ends so gives its place to the next one: our own
refusals, the caller's errors, rate limits, callers who leave, and whatever ends at the caller's own deadline or at a
limit that it set lower than the configuration (or anybody with a short one could have a good target rested).
What began before the state changed no longer counts.

A stream that is a probe and has spoken for as long as a rest takes the place of one that succeeded, or a long answer,
or a caller who reads it slowly, would keep everybody else from a target that is well.

The first rest takes `rest` seconds. Each failed probe makes the next one an eighth of that longer, up to a quarter in
all (20, 22.5, 25 s): an outage that lasts is asked less often, and whoever is back is found within a quarter more.

Nothing here waits and nothing runs in the background: the state follows from the clock when somebody asks. The window
is a ring of `SLOTS` counts, so an attempt is forgotten up to a sixtieth of the window early, and memory stays the same.

Between it and the wire is a queue. `look` stands below that: what was let through and had to wait, and finds the target
resting when its turn comes, is refused then, or a long queue would be sent to a dead target one by one.

Other processes are told of a rest through the store of rates, and rest as well; afterwards each sends its own probes.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from headgate.core.call import Call, Timeouts
from headgate.core.clock import Clock
from headgate.core.errors import HeadgateError, RestingError, TimeoutError  # noqa: A004  the house's word
from headgate.core.policy import Handler
from headgate.core.reply import Abandoned, Reply
from headgate.stores.rates import Rates

_log = logging.getLogger("headgate.targets")
SLOTS = 60
"""Counts that make up the window."""
STEP = 0.125
"""Share of the first rest by which each failed probe makes the next one longer."""
MOST = 0.25
"""Share of the first rest by which it grows at most."""
_LONGEST = 64


class Breaker:
    """The policy, one per target.

    Args:
        name: the target's, as other processes call it, too.
        failures: failed attempts within the window that open it.
        window: seconds that it looks back.
        rest: seconds of the first rest.
        probes: attempts that are let through after a rest.
        timeouts: the target's; whoever waits for less finds out nothing.
        rates: where other processes are told of a rest.
        clock: tells the time.
        rested: told whenever it begins a rest by what it has seen itself.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int,
        window: float,
        rest: float,
        probes: int,
        timeouts: Timeouts,
        rates: Rates,
        clock: Clock,
        rested: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._failures = failures
        self._rest = rest
        self._probes = probes
        self._timeouts = timeouts
        self._rates = rates
        self._clock = clock
        self._rested = rested
        self._window = _Window(window)
        self._until: float | None = None
        """When the rest ends or has ended; None while closed."""
        self._growth = 0.0
        self._told = False
        """Whether the rest is another process's."""
        self._turn = 0
        """Counts the changes of state: what began in an earlier turn no longer counts."""
        self._probing = 0
        """Probes under way, those of earlier turns included: the target still has them."""
        self._trying: dict[str, int] = {}
        """The same by the ids of their calls, and in which turn they began."""
        self._passed = 0
        """Probes of this turn that succeeded."""
        self._spoken: dict[str, float] = {}
        """Since when probes speak, by the ids of their calls."""
        self._answered: float | None = None
        """When it last answered as it should."""
        self._failure: tuple[float, str] | None = None
        """When it last failed, and how."""

    def carry(self, former: "Breaker") -> None:
        """Rest as long as the one before would. What failed before is forgiven: it was measured by other settings."""
        self._until, self._growth, self._told = former.resting

    @property
    def resting(self) -> tuple[float | None, float, bool]:
        """Until when, by how much longer than at first, and whether another process said so."""
        return self._until, self._growth, self._told

    async def __call__(self, call: Call, next: Handler) -> Reply:  # noqa: A002  the field's word
        """Make one attempt, if the target may be asked.

        Raises:
            RestingError: it rests; nothing was sent.
            HeadgateError: what the attempt failed with.
        """
        probe = self._enter(call)
        turn = self._turn
        try:
            reply = await next(call)
        except BaseException as error:
            self._end(call, None, turn, probe, error)
            raise
        if probe:
            self._spoken[call.id] = self._clock.monotonic()
        reply.watch(None, partial(self._end, call, reply, turn, probe))
        return reply

    def look(self, call: Call, next: Handler) -> Awaitable[Reply]:  # noqa: A002  the field's word
        """Look once more at what has waited since it was let through. A policy of its own, below the queue.

        Raises:
            RestingError: the target rests by now; nothing was sent.
        """
        if self._until is not None and self._trying.get(call.id) != self._turn:
            left = self._until - self._clock.monotonic()
            raise self._resting(call, left if left > 0 else None)
        return next(call)

    def state(self) -> Mapping[str, Any]:
        """How it stands, for health: `state` is `closed`, `open` or `half_open`.

        An open one says `until` when, in seconds since 1970. What calls have found goes with it: when the target last
        `answered`, when it last `failed`, and with which `error`.
        """
        now = self._clock.monotonic()
        self._listen(now)
        since_1970 = self._clock.time() - now
        found: dict[str, Any] = {"state": "closed" if self._until is None else "half_open"}
        if self._until is not None and now < self._until:
            found |= {"state": "open", "until": round(since_1970 + self._until, 3)}
        if self._answered is not None:
            found["answered"] = round(since_1970 + self._answered, 3)
        if self._failure is not None:
            at, code = self._failure
            found |= {"failed": round(since_1970 + at, 3), "error": code}
        return found

    def _enter(self, call: Call) -> bool:
        """Let an attempt pass; whether it is a probe."""
        if self._until is None and not self._rates.resting(self._name):
            return False
        now = self._clock.monotonic()
        self._listen(now)
        if self._until is None:
            return False
        if now < self._until:
            raise self._resting(call, self._until - now)
        if self._probing + self._passed >= self._probes:
            if self._passed + self._lasting(now) >= self._probes:
                self._succeed()
                return False
            # Whoever comes back after a probe's time finds out.
            raise self._resting(call, None)
        self._probing += 1
        self._trying[call.id] = self._turn
        return True

    def _lasting(self, now: float) -> int:
        """Probes of this turn that have spoken for as long as a rest."""
        return sum(
            self._trying.get(name) == self._turn and now - since >= self._rest for name, since in self._spoken.items()
        )

    def _listen(self, now: float) -> None:
        """Rest while another process hints so, and try the target when it no longer does."""
        hint = self._rates.resting(self._name)
        if hint > 0.0:
            if self._until is None or now >= self._until:
                self._open(now, hint, told=True)
        elif self._told:
            # Where it ended before its time, the other one has found that the target answers. We look for ourselves.
            self._told = False
            if self._until is not None:
                self._until = min(self._until, now)

    def _resting(self, call: Call, seconds: float | None) -> RestingError:
        what = f"for {seconds:.3g} s more" if seconds is not None else "while it is being tried"
        error = RestingError(f"{self._name} has failed too often and rests {what}.", retry_after=seconds)
        error.attempts = call.trail
        return error

    def _end(self, call: Call, reply: Reply | None, turn: int, probe: bool, error: BaseException | None) -> None:  # noqa: FBT001  watchers get positions
        if probe:
            self._probing -= 1
            self._trying.pop(call.id, None)
            self._spoken.pop(call.id, None)
        now = self._clock.monotonic()
        well = self._heard(call, reply, error, now)
        if well is None or turn != self._turn:
            return
        if well:
            if probe:
                self._passed += 1
                if self._passed >= self._probes:
                    self._succeed()
            else:
                self._window.add(now, failed=False)
        else:
            if probe:
                self._growth = min(self._growth + STEP, MOST)
            elif not self._window.add(now, failed=True).reaches(self._failures):
                return
            seconds = self._rest * (1.0 + self._growth)
            self._open(now, seconds)
            self._rested()
            self._rates.rest(self._name, seconds)

    def _heard(self, call: Call, reply: Reply | None, error: BaseException | None, now: float) -> bool | None:
        """Whether an attempt speaks for the target or against it; None: for neither. The last of each is known."""
        if error is None or (isinstance(error, Abandoned) and reply is not None and reply.finished):
            self._answered = now
            return True
        if isinstance(error, HeadgateError) and error.breaker and not self._impatient(call, error, now):
            # A provider's own word is shown to whoever may call: a short one, and one that can be written.
            self._failure = (now, error.code[:_LONGEST].encode(errors="replace").decode())
            return False
        return None

    def _impatient(self, call: Call, error: HeadgateError, now: float) -> bool:
        """Whether the caller's own limit ended it, and no other one."""
        if call.deadline is not None and now >= call.deadline:
            return True
        given, usual = call.timeouts, self._timeouts
        if given is None or not (isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError)):
            return False
        return (
            given.connect < usual.connect
            or given.first_token < usual.first_token
            or given.silence < usual.silence
            or given.total < usual.total
        )

    def _open(self, now: float, seconds: float, *, told: bool = False) -> None:
        why = "another process hints so" if told else "it fails again and again"
        _log.warning("%s rests for %.3g s: %s", self._name, seconds, why)
        self._until = now + seconds
        self._told = told
        self._turn += 1
        self._passed = 0

    def _succeed(self) -> None:
        _log.warning("%s answers again", self._name)
        self._rates.rest(self._name, 0.0)
        self._until = None
        self._growth = 0.0
        self._turn += 1
        self._passed = 0
        self._window.clear()


class _Window:
    """How many attempts failed and succeeded lately."""

    __slots__ = ("_at", "_bad", "_failed", "_good", "_succeeded", "_width")

    def __init__(self, seconds: float) -> None:
        self._width = seconds / SLOTS
        self._at = 0
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._bad, self._good = [0] * SLOTS, [0] * SLOTS
        self._failed = self._succeeded = 0

    def add(self, now: float, *, failed: bool) -> "_Window":
        """Count an attempt that ended now, and forget what is too old."""
        at = int(now / self._width)
        if at != self._at:
            for old in range(max(self._at, at - SLOTS) + 1, at + 1):
                slot = old % SLOTS
                self._failed -= self._bad[slot]
                self._succeeded -= self._good[slot]
                self._bad[slot] = self._good[slot] = 0
            self._at = at
        if failed:
            self._bad[at % SLOTS] += 1
            self._failed += 1
        else:
            self._good[at % SLOTS] += 1
            self._succeeded += 1
        return self

    def reaches(self, failures: int) -> bool:
        """Whether so many have failed, and at least half of all."""
        return self._failed >= failures and self._failed >= self._succeeded
