"""Retry: the same target once more.

Decides whether, and after which wait, a failed attempt is repeated at the same target. Refuses to know other targets
(but for how many remain) and what an attempt costs. Wraps the await only: it can never repeat words already said.

Delays without the provider's own wish are "full jitter" (Marc Brooker, "Exponential Backoff and Jitter", AWS
Architecture Blog, 2015): uniform between 0 and 1, 2, 4 … s. A `Retry-After` is only ever lengthened.

The retry budget is Finagle's idea (`RetryBudget`): retries may be a share of traffic, plus a floor for quiet times. It
stops storms at a target that is in trouble. A rate limit is no trouble, and pace, below, keeps everybody from storming
it: coming back when the provider said costs nothing of the budget.
"""

from headgate.core.call import Call, Operation
from headgate.core.clock import Chance, Clock
from headgate.core.errors import Again, HeadgateError
from headgate.core.policy import Handler
from headgate.core.reply import Reply

FLOOR_PER_MINUTE = 10.0
"""Retries that are always allowed."""
_BEGINS = ("POST", "/batches")
JITTER = 0.1
"""Share by which a provider's own wish is lengthened, at most."""


class RetryBudget:
    """How many retries a target may see: a share of its calls, and never less than `FLOOR_PER_MINUTE`.

    Args:
        share: retries per call, 0 to 1.
        clock: for the floor, and for forgetting: what was earned is worth half after a minute.
    """

    def __init__(self, share: float, clock: Clock) -> None:
        self.share = share
        self._clock = clock
        self._floor = FLOOR_PER_MINUTE
        self._earned = 0.0
        self._at: float | None = None

    def earn(self) -> None:
        """A call has come."""
        self._fade()
        self._earned += self.share

    def spend(self) -> bool:
        """Take one retry, if there is one."""
        self._fade()
        if self._floor >= 1:
            self._floor -= 1
        elif self._earned >= 1:
            self._earned -= 1
        else:
            return False
        return True

    def _fade(self) -> None:
        # With each call, not with each retry: a quiet day must not pay for a storm, nor a retry that is long ago cost
        # what was earned since.
        now = self._clock.monotonic()
        minutes = 0.0 if self._at is None else (now - self._at) / 60
        self._at = now
        self._floor = min(FLOOR_PER_MINUTE, self._floor + minutes * FLOOR_PER_MINUTE)
        self._earned *= 0.5**minutes


class Retry:
    """The policy, one per target.

    Args:
        max_attempts: sends of one call to this target, the first included.
        max_wait: seconds to wait at most while another target exists.
        patience: seconds that one wait of a call without a deadline may take.
        budget: share of traffic that may be retries.
        clock: waits.
        chance: jitter.
    """

    def __init__(
        self, *, max_attempts: int, max_wait: float, patience: float, budget: float, clock: Clock, chance: Chance
    ) -> None:
        self._max_attempts = max_attempts
        self._max_wait = max_wait
        self._patience = patience
        self.budget = RetryBudget(budget, clock)
        self._clock = clock
        self._chance = chance

    def carry(self, former: "Retry") -> None:
        """Go on with the retry budget of the one before."""
        share, self.budget = self.budget.share, former.budget
        self.budget.share = share

    async def __call__(self, call: Call, next: Handler) -> Reply:  # noqa: A002  the field's word
        """Ask the target until it answers, or until asking again is of no use.

        Raises:
            HeadgateError: what the last attempt failed with.
        """
        self.budget.earn()
        sends = 0
        while True:
            sends += 1
            try:
                return await next(call)
            except HeadgateError as error:
                if error.again is Again.NEVER or sends >= self._max_attempts or _begun(call):
                    raise
                wait = self._wait(error, call, sends)
                if wait is None or not (error.again is Again.AFTER or self.budget.spend()):
                    raise
            await self._clock.sleep(wait)

    def _wait(self, error: HeadgateError, call: Call, sends: int) -> float | None:
        """Seconds until the next attempt; None where the next target, or the caller, is better served at once."""
        if error.again is Again.ALONE and call.others:
            return None
        if error.retry_after is None:
            wait = self._chance.random() * 2.0 ** (sends - 1)
        else:
            wait = error.retry_after * (1 + JITTER * self._chance.random())
            if call.others and error.retry_after > self._max_wait:
                return None
        if call.deadline is None:
            return wait if wait <= self._patience else None
        return wait if self._clock.monotonic() + wait < call.deadline else None


def _begun(call: Call) -> bool:
    """Whether a batch may run, of which the answer was lost: asking again would run, and charge for, a second one."""
    address = call.address
    if call.operation is not Operation.BATCHES or address is None or (address.method, address.path) != _BEGINS:
        return False
    last = call.trail[-1] if call.trail else None
    return last is not None and last.sent and (last.status is None or last.status >= 500)
