"""Covers policies/retry.py, in virtual time."""

import asyncio

import msgspec
import pytest

from headgate.core.attempt import Attempt
from headgate.core.body import Body
from headgate.core.call import Address, Call, Operation, Target
from headgate.core.errors import (
    Again,
    Answer,
    APIError,
    AuthenticationError,
    ContextLengthError,
    GarbledError,
    HeadgateError,
    InterruptedError,  # noqa: A004
    ModelNotFoundError,
    OverloadedError,
    QuotaError,
    RateLimitError,
    TimeoutError,  # noqa: A004
    UnreachableError,
)
from headgate.core.reply import Reply
from headgate.gate.ports import SystemChance
from headgate.policies.retry import FLOOR_PER_MINUTE, Retry, RetryBudget
from headgate.testing import VirtualClock, virtual_time

CALL = Call(
    id="1", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0, day="2027-01-15", target=Target("p", "m")
)


class Failing:
    """A target that fails in a given way, so many times, and then answers."""

    def __init__(self, *errors: HeadgateError) -> None:
        self.errors = list(errors)
        self.times: list[float] = []

    async def __call__(self, _call: Call) -> Reply:
        self.times.append(VirtualClock().monotonic())
        if self.errors:
            raise self.errors.pop(0)
        return Reply([])


def policy(**changes: float) -> Retry:
    """A retry policy with DESIGN's defaults."""
    settings = {"max_attempts": 3, "max_wait": 5.0, "patience": 600.0, "budget": 0.1, **changes}
    return Retry(**settings, clock=VirtualClock(), chance=SystemChance(seed=1))  # type: ignore[arg-type]


def sends(*errors: HeadgateError, others: int = 0, deadline: float | None = None, **changes: float) -> list[float]:
    """When the target was asked."""
    target = Failing(*errors)

    async def story():
        call = msgspec.structs.replace(CALL, others=others, deadline=deadline)
        await policy(**changes)(call, target)

    try:
        virtual_time(story())
    except HeadgateError as error:
        assert error in errors  # noqa: PT017  the last one is what comes out
    return target.times


PASSING = [
    UnreachableError("reset"),
    GarbledError("?"),
    OverloadedError("503", answer=Answer(503, {}, b"")),
    OverloadedError("408", answer=Answer(408, {}, b"")),
]


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__ + str(error))
@pytest.mark.parametrize("others", [0, 1])
def test_passing_trouble_is_asked_again(error: HeadgateError, others: int):
    """Connect errors, resets, 408, 409, 5xx and overloads: up to three sends, others or not."""
    times = sends(error, error, error, error, others=others)
    assert len(times) == 3
    assert times[1] - times[0] <= 1
    assert times[2] - times[1] <= 2


@pytest.mark.parametrize(
    "error",
    [
        QuotaError("spent"),
        AuthenticationError("401"),
        ModelNotFoundError("404"),
        ContextLengthError("long"),
        APIError("400"),
        InterruptedError("cut"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_lasting_trouble_is_not(error: HeadgateError):
    """Quota, credentials, a missing model, a bad request: the same target is never asked twice."""
    assert len(sends(error, error)) == 1


def test_a_slow_target_is_asked_again_only_when_it_is_alone():
    """No response within the attempt's time: the next target if there is one."""
    assert len(sends(TimeoutError("slow"), TimeoutError("slow"), others=1)) == 1
    assert len(sends(TimeoutError("slow"), others=0)) == 2


def test_a_rate_limit_is_waited_for():
    """The provider's wish is kept, and only ever lengthened."""
    times = sends(RateLimitError("429", retry_after=3), others=1)
    assert len(times) == 2
    assert 3 <= times[1] <= 3.3


def test_a_long_rate_limit_goes_to_the_next_target():
    """Longer than max_wait: at once to the next target; but alone, it is waited for."""
    error = RateLimitError("429", retry_after=6)
    assert len(sends(error, others=1)) == 1
    assert len(sends(error, others=0)) == 2


def test_nobody_waits_past_the_deadline():
    """A wait that would end after the deadline is not begun."""
    error = RateLimitError("429", retry_after=30)
    assert len(sends(error, deadline=29)) == 1
    assert len(sends(error, deadline=40)) == 2
    assert len(sends(error, patience=29)) == 1


def test_max_attempts_counts_sends():
    """One attempt means no retry."""
    assert len(sends(*[UnreachableError("x")] * 3, max_attempts=1)) == 1
    assert len(sends(*[UnreachableError("x")] * 9, max_attempts=5)) == 5


def test_storms_are_stopped():
    """With everything failing, retries stay at the floor plus a tenth of traffic."""
    retry = policy()
    target = Failing(*[UnreachableError("down")] * 10_000)

    async def story():
        for _ in range(1000):
            with pytest.raises(UnreachableError):
                await retry(CALL, target)

    virtual_time(story())
    retries = len(target.times) - 1000
    minutes = target.times[-1] / 60
    assert 10 <= retries <= FLOOR_PER_MINUTE * (1 + minutes) + 100


def test_a_quiet_target_keeps_its_floor():
    """Ten retries a minute are always there; after a minute there are ten again."""

    async def story():
        clock = VirtualClock()
        budget = RetryBudget(0.0, clock)
        assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]
        await clock.sleep(60)
        assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]

    virtual_time(story())


def test_traffic_earns_retries_and_forgets_them():
    """A hundred calls earn ten retries; an hour later they are gone."""

    async def story(pause: float) -> int:
        clock = VirtualClock()
        budget = RetryBudget(0.1, clock)
        budget.spend()
        for _ in range(101):
            budget.earn()
        await clock.sleep(pause)
        return sum(budget.spend() for _ in range(40))

    assert virtual_time(story(0)) == 19
    assert virtual_time(story(3600)) == 10


def test_a_long_quiet_time_pays_for_no_storm():
    """After an hour of calls without a retry, and after one with a retry at its start, what was earned of late is left.

    A tenth of what came, worth half after a minute: a tenth of 1.44 minutes of traffic, whatever came before that.
    """

    async def story(retries: int) -> int:
        clock = VirtualClock()
        budget = RetryBudget(0.1, clock)
        for _ in range(retries):
            budget.spend()
        for _ in range(36_000):
            await clock.sleep(0.1)
            budget.earn()
        return sum(budget.spend() for _ in range(10_000))

    assert virtual_time(story(0)) == pytest.approx(10 + 0.1 * 600 * 1.44, abs=2)
    assert virtual_time(story(11)) == pytest.approx(10 + 0.1 * 600 * 1.44, abs=2)


def test_every_again_is_handled():
    """There is no fifth answer to "may the same target be asked again?"."""
    assert set(Again) == {Again.YES, Again.AFTER, Again.ALONE, Again.NEVER}


def test_a_rate_limit_spends_nothing_of_the_budget():
    """A thousand calls may come back when the provider said; a thousand failures may not."""

    def come_back(error: HeadgateError) -> int:
        target = Failing(*[error] * 1000)

        async def story():
            retry = policy(budget=0.0, max_attempts=2)
            await asyncio.gather(*(retry(CALL, target) for _ in range(500)), return_exceptions=True)

        virtual_time(story())
        return len(target.times) - 500

    assert come_back(RateLimitError("429", answer=Answer(429, {}, b""), retry_after=1.0)) == 500
    assert come_back(OverloadedError("503", answer=Answer(503, {}, b""))) == 10


@pytest.mark.parametrize(
    ("sent", "status", "path", "times"),
    [(True, None, "/batches", 1), (True, 500, "/batches", 1), (True, 429, "/batches", 2), (False, None, "/batches", 2),
     (True, None, "/batches/batch_1/cancel", 2)],
)  # fmt: skip
def test_a_batch_that_may_run_is_not_begun_again(sent, status, path, times):
    """Where its answer was lost, another one would run beside it; ending one twice is the same as once."""
    attempt = Attempt(1, "openai", "")
    attempt.sent, attempt.status = sent, status
    address = Address("POST", path)
    call = msgspec.structs.replace(CALL, operation=Operation.BATCHES, address=address, trail=[attempt])
    target = Failing(*[UnreachableError("reset")] * 2)

    async def story():
        with pytest.raises(UnreachableError):
            await policy(max_attempts=2)(call, target)

    virtual_time(story())
    assert len(target.times) == times


def test_a_retry_budget_goes_on_under_other_settings():
    """What was used stays used; the share is the new one."""

    async def story():
        clock = VirtualClock()
        former = RetryBudget(0.1, clock)
        while former.spend():
            pass
        kinds = {"max_attempts": 3, "max_wait": 5, "patience": 60, "clock": clock, "chance": None}
        old, new = Retry(budget=0.1, **kinds), Retry(budget=0.5, **kinds)
        old.budget = former
        new.carry(old)
        assert not new.budget.spend()
        new.budget.earn()
        new.budget.earn()
        assert new.budget.spend()

    virtual_time(story())
