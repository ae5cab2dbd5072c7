"""What is asked again, and when nobody is asked any more."""

import asyncio

import pytest

from headgate.core.attempt import Attempt
from headgate.core.errors import (
    AuthenticationError,
    BadRequestError,
    ModelNotFoundError,
    NoTargetError,
    OverBudgetError,
    OverloadedError,
    RateLimitError,
    RestingError,
    TimeoutError,  # noqa: A004  the house's word
)
from headgate.gate.ports import SystemChance
from headgate.jobs.patience import HOPELESS, HOPELESS_AT_ONCE, SHUT_OUT, Patience, Stopped
from headgate.testing import VirtualClock, virtual_time


def _patience():
    return Patience(max_attempts=3, clock=VirtualClock(), chance=SystemChance(1))


def _left(error, *statuses):
    """The error after so many attempts that left."""
    error.attempts = []
    for number, status in enumerate(statuses, 1):
        attempt = Attempt(number, "p", "m")
        attempt.status = status
        error.attempts.append(attempt)
    return error


def _said(*answers):
    """A question that is answered so, one after the other; the last one for ever."""
    left = list(answers)
    asked = []

    async def once():
        asked.append(VirtualClock().monotonic())
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return once, asked


def _ask(*answers, patience=None):
    async def story():
        once, asked = _said(*answers)
        mine = patience or _patience()
        try:
            return await mine.ask(once), asked
        except Exception as error:  # noqa: BLE001  it is what is looked at
            return error, asked

    return virtual_time(story())


def test_a_dry_retry_budget_is_no_failure():
    """The gate gave up after one of three attempts: the row comes back, until its own attempts are used up."""
    dry = [_left(OverloadedError("busy"), 503) for _ in range(3)]
    assert _ask(dry[0], dry[1], "yes")[0] == "yes"
    error, asked = _ask(*dry)
    assert isinstance(error, OverloadedError)
    assert len(asked) == 3


def test_what_the_gate_has_tried_enough_is_not_tried_again():
    """Three attempts are three attempts, whoever made them."""
    error, asked = _ask(_left(TimeoutError("late"), None, None, None))
    assert isinstance(error, TimeoutError)
    assert len(asked) == 1


def test_a_rate_limit_is_nobodys_fault():
    """However often it is met, the row is asked again, not before the provider wants it."""
    limited = [_left(RateLimitError("slow down", retry_after=7), 429, 429, 429) for _ in range(5)]
    answer, asked = _ask(*limited, "yes")
    assert answer == "yes"
    assert asked[1] - asked[0] >= 7


def test_a_target_that_rests_is_waited_for():
    """Nothing has left, so nothing counts."""
    answer, asked = _ask(*[_left(RestingError("rests", retry_after=12)) for _ in range(4)], "yes")
    assert answer == "yes"
    assert asked[-1] - asked[0] >= 4 * 12


def test_the_rows_own_fault_is_final():
    """At once."""
    error, asked = _ask(_left(BadRequestError("no")))
    assert isinstance(error, BadRequestError)
    assert len(asked) == 1


@pytest.mark.parametrize(("worked", "limit"), [(True, HOPELESS), (False, HOPELESS_AT_ONCE)])
def test_a_provider_that_never_answers_ends_the_job(worked, limit):
    """Sooner where nobody was ever answered; and not for ever."""

    async def story():
        patience = _patience()
        if worked:
            await patience.ask(_said("yes")[0])
        once, asked = _said(NoTargetError("down", retry_after=20))
        with pytest.raises(Stopped):
            await patience.ask(once)
        assert isinstance(patience.stopped, NoTargetError)
        assert patience.trouble is patience.stopped
        return asked

    asked = virtual_time(story())
    assert limit <= asked[-1] - asked[0] <= limit + 60


def test_wrong_credentials_end_the_job_at_once():
    """Where nobody was ever answered, three refusals are enough; else it takes a row of them."""

    async def story(*, worked):
        patience = _patience()
        if worked:
            once, _ = _said("yes")
            await patience.ask(once)
        refusals = 0
        while patience.stopped is None:
            once, asked = _said(_left(AuthenticationError("who?"), 401))
            with pytest.raises((Stopped, AuthenticationError)):
                await patience.ask(once)
            refusals += len(asked)
        return refusals

    assert virtual_time(story(worked=False)) == 3
    assert virtual_time(story(worked=True)) == SHUT_OUT


def test_a_model_that_does_not_exist_ends_the_job_if_nobody_was_ever_answered():
    """Else it is the fault of the rows that name it."""

    async def story(*, worked):
        patience = _patience()
        if worked:
            await patience.ask(_said("yes")[0])
        failed = 0
        while patience.stopped is None and failed < 100:
            with pytest.raises((Stopped, ModelNotFoundError)):
                await patience.ask(_said(_left(ModelNotFoundError("who?"), 404))[0])
            failed += 1
        return failed

    assert virtual_time(story(worked=False)) == SHUT_OUT
    assert virtual_time(story(worked=True)) == 100


def test_money_that_is_held_for_others_is_waited_for():
    """A budget that is short while others are in flight is not used up; it is when nobody is."""

    async def story():
        patience = _patience()
        money, most, answered = 3, 0, 0
        held = 0

        async def once():
            nonlocal held, most, money, answered
            if held + 1 > money:
                raise OverBudgetError("short")
            held += 1
            most = max(most, held)
            await asyncio.sleep(1)
            held -= 1
            answered += 1
            money -= 0.05
            return "yes"

        async def row():
            try:
                await patience.ask(once)
            except Stopped:
                return False
            return True

        done = await asyncio.gather(*(row() for _ in range(100)))
        assert isinstance(patience.stopped, OverBudgetError)
        return sum(done), most, money

    done, most, money = virtual_time(story())
    # All that there was is spent: what is left is less than one row may cost.
    assert most == 3
    assert 0.9 <= money < 1
    assert done == 41


def test_who_rests_hears_the_end():
    """Nobody waits for a job that is over."""

    async def story():
        patience = _patience()
        once, _ = _said(RestingError("rests", retry_after=1000))

        async def stopping():
            await asyncio.sleep(5)
            patience.stop(BadRequestError("enough"))

        found = await asyncio.gather(patience.ask(once), stopping(), return_exceptions=True)
        assert isinstance(found[0], Stopped)
        return VirtualClock().monotonic()

    assert virtual_time(story()) < 10
