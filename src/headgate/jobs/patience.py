"""Asking on: what could not be answered for a passing reason is asked again, later.

Decides which failures are final for one question, which pass, and which mean that nobody will be answered. Refuses to
know what is asked. It does not repeat what the gate has repeated: an attempt counts wherever it was made, and a
question that has had all its attempts has failed. But a question that was refused before it left (the target rests),
that met a rate limit, or whose target's retry budget was dry, waits and asks again: it has done nothing wrong.

Whoever waits here keeps its worker, so a provider in trouble is asked by few.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import TypeVar

from headgate.core.clock import Chance, Clock
from headgate.core.errors import (
    Again,
    AuthenticationError,
    BacklogError,
    GuardDownError,
    HeadgateError,
    ModelNotFoundError,
    NoTargetError,
    OverBudgetError,
    QuotaError,
    RestingError,
    SharedStoreError,
    StoppingError,
    StoreError,
    UnknownModelError,
)

T = TypeVar("T")

LONGEST_WAIT = 30.0
"""Seconds between two questions of the same row."""
HOPELESS, HOPELESS_AT_ONCE = 1800.0, 300.0
"""Seconds without any answer after which it is of no use to go on; the second where nobody was ever answered."""
SHUT_OUT = 20
"""Refusals of our credentials or for want of credit, one after another, that mean that nobody will be answered; and
so many that say that there is no such model, where nobody ever was."""
SHUT_OUT_AT_ONCE = 3
"""The same where nobody ever was."""

_WAITING = (BacklogError, GuardDownError, NoTargetError, RestingError, SharedStoreError, StoreError)
"""Refusals of our own that pass."""


class Stopped(Exception):  # noqa: N818  the end of a job, not an error of a row
    """Nobody will be answered any more.

    Attributes:
        error: why.
    """

    def __init__(self, error: HeadgateError) -> None:
        super().__init__(error.message)
        self.error = error


class Patience:
    """Of one job; all its questions share what is known of their chances.

    Args:
        max_attempts: requests that may leave on behalf of one question; those that met a rate limit do not count.
        clock: tells the time.
        chance: spreads those who wait.
        deadline: when answers are of no use any more, on the monotonic clock.
        hopeless: seconds without any answer after which it is of no use to go on.

    Attributes:
        stopped: why nobody is asked any more; None while somebody is.
        trouble: what was met since somebody was answered; None where it was nothing.
    """

    def __init__(
        self,
        *,
        max_attempts: int,
        clock: Clock,
        chance: Chance,
        deadline: float | None = None,
        hopeless: float = HOPELESS,
    ) -> None:
        self._max_attempts = max_attempts
        self._deadline = inf if deadline is None else deadline
        self._hopeless = hopeless
        self._clock = clock
        self._chance = chance
        self._busy = 0
        self._money: deque[asyncio.Future[None]] = deque()
        self._stop = asyncio.Event()
        self._worked = False
        self._bad_since: float | None = None
        self._shut_out = 0
        self.stopped: HeadgateError | None = None
        self.trouble: HeadgateError | None = None

    async def ask(self, once: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer, or none to be had.

        Args:
            once: asks once.

        Raises:
            HeadgateError: the question has failed.
            Stopped: nobody will be answered any more.
        """
        attempts = waits = 0
        while self.stopped is None:
            self._busy += 1
            try:
                answer = await once()
            except OverBudgetError as error:
                failure: HeadgateError = error
            except HeadgateError as error:
                failure = error
                attempts += sum(attempt.status != 429 for attempt in error.attempts)
            else:
                self._worked, self._bad_since, self._shut_out, self.trouble = True, None, 0, None
                self._pay()
                return answer
            finally:
                self._busy -= 1
            if isinstance(failure, OverBudgetError):
                await self._until_paid(failure)
                continue
            self._pay()
            if not self._passes(failure, attempts):
                raise failure
            waits += 1
            wait = self._wait(failure, waits)
            if self._clock.monotonic() + wait >= self._deadline:
                raise failure
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), wait)
        raise Stopped(self.stopped)

    def stop(self, error: HeadgateError) -> None:
        """Ask nobody any more; who is being answered is left in peace."""
        if self.stopped is None:
            self.stopped = error
            self._stop.set()
            while self._money:
                _ring(self._money.popleft())

    def _passes(self, error: HeadgateError, attempts: int) -> bool:
        """Whether a failure is worth another question; stops everybody where none is."""
        if isinstance(error, StoppingError):
            self.stop(error)
        shut = isinstance(error, AuthenticationError | QuotaError)
        waiting = isinstance(error, _WAITING)
        if isinstance(error, ModelNotFoundError | UnknownModelError) and not self._worked:
            self._shut_out += 1
            if self._shut_out >= SHUT_OUT:
                self.stop(error)
            return self.stopped is not None
        if not (shut or waiting or error.again is not Again.NEVER):
            # The row's own fault: it says nothing of the others.
            return False
        now = self._clock.monotonic()
        self._shut_out = self._shut_out + 1 if shut else 0
        if self._bad_since is None:
            self._bad_since = now
        self.trouble = error
        refusals, seconds = (SHUT_OUT, self._hopeless) if self._worked else (SHUT_OUT_AT_ONCE, HOPELESS_AT_ONCE)
        seconds = min(seconds, self._hopeless)
        if self._shut_out >= refusals or now - self._bad_since > seconds:
            self.stop(error)
        return self.stopped is not None or waiting or attempts < self._max_attempts

    def _wait(self, error: HeadgateError, waits: int) -> float:
        """Seconds until the row is asked again."""
        wait = min(2.0 ** (waits - 1), LONGEST_WAIT) * (0.5 + self._chance.random())
        return wait if error.retry_after is None else max(wait, error.retry_after * (1 + 0.1 * self._chance.random()))

    async def _until_paid(self, error: OverBudgetError) -> None:
        """Wait until somebody has been answered: the worst that it might have cost is free again then."""
        if not self._busy:
            self.stop(error)
            return
        turn = asyncio.get_running_loop().create_future()
        self._money.append(turn)
        await turn

    def _pay(self) -> None:
        """Somebody has ended who may have held money."""
        # Two, so that those who wait become fewer where there is money for all of them.
        for _ in range(2):
            if self._money:
                _ring(self._money.popleft())


def _ring(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        turn.set_result(None)
