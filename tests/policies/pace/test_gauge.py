"""Covers policies/pace/gauge.py, in virtual time."""

import asyncio
import random  # noqa: TID251  seeded moments of leaving
from contextlib import suppress

import pytest

from headgate.core.body import Body
from headgate.core.call import Call, Caller, Operation
from headgate.core.errors import DeadlineError, NoTargetError, Onward, QuotaError, RateLimitError
from headgate.core.limits import UNLIMITED, Demand, Limits
from headgate.policies.pace.gauge import DEBT, LONGEST_HOLD, QUOTA_REST, Gauge
from headgate.stores.memory_rates import MemoryRates
from headgate.testing import VirtualClock, virtual_time

NOTHING = Demand()
CLOCK = VirtualClock()


def gauge(**limits):
    """A gauge over a store in memory."""
    return Gauge("pace:g", Limits(**limits), rates=MemoryRates(CLOCK), clock=CLOCK)


def calling(key=None, *, priority=5, deadline=None, user=None):
    """A call."""
    return Call(
        id="1", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0, day="2027-01-15",
        caller=Caller(key=key), priority=priority, deadline=deadline, user=user,
    )  # fmt: skip


def told(limit, remaining, kind="requests"):
    """Headers."""
    return {f"x-ratelimit-limit-{kind}": str(limit), f"x-ratelimit-remaining-{kind}": str(remaining)}


async def times(one, calls, demand=NOTHING):
    """When each of these calls was let through, by its number; they come in this order and never end."""
    found = {}

    async def ask(number, call):
        ticket = one.at_once(demand) or await one.admit(call, demand)
        found[number] = round(ticket.at, 6)

    async with asyncio.TaskGroup() as group:
        for number, call in enumerate(calls):
            group.create_task(ask(number, call))
    return found


def test_without_limits_nobody_waits_and_nothing_is_asked():
    """Ten thousand calls pass at the same moment, and the store never hears of them."""

    async def story():
        rates = MemoryRates(CLOCK)
        one = Gauge("g", UNLIMITED, rates=rates, clock=CLOCK)
        tickets = [one.at_once(NOTHING) for _ in range(10_000)]
        assert all(ticket is not None and ticket.at == 0.0 for ticket in tickets)
        assert not rates._states
        assert one.state() == {"waiting": 0, "busy": 0}

    virtual_time(story())


def test_calls_go_exactly_when_they_may():
    """60 a minute: one at once, then one every second, to the microsecond."""
    found = virtual_time(times(gauge(requests_per_minute=60), [calling()] * 5))
    assert list(found.values()) == pytest.approx([0.0, 1.0, 2.0, 3.0, 4.0], abs=2e-6)


def test_tokens_are_waited_for_too():
    """6000 tokens a minute: of calls of 200, three may go at once, then one every two seconds."""
    found = virtual_time(times(gauge(tokens_per_minute=6000), [calling()] * 6, Demand(50, 150)))
    assert list(found.values()) == pytest.approx([0.0, 0.0, 0.0, 2.0, 4.0, 6.0], abs=1e-5)


def test_what_was_not_used_is_given_to_the_next():
    """A call that used a tenth of what it held lets the next one go that much sooner."""

    async def story():
        one = gauge(tokens_per_minute=6000)
        first = await one.admit(calling(), Demand(0, 1000))
        waiting = asyncio.ensure_future(times(one, [calling()], Demand(0, 1000)))  # noqa: TID251
        await CLOCK.sleep(0.5)
        one.settle(first, Demand(0, 100))
        assert await waiting == {0: pytest.approx(1.0, abs=1e-5)}

    virtual_time(story())


def test_places_are_given_back():
    """Of two places, a third call gets the one that is given back, in that moment."""

    async def story():
        one = gauge(concurrency=2)
        first, _ = [await one.admit(calling(), NOTHING) for _ in range(2)]
        waiting = asyncio.ensure_future(times(one, [calling()]))  # noqa: TID251
        await CLOCK.sleep(7)
        assert one.state() == {"waiting": 1, "busy": 2}
        one.settle(first, NOTHING)
        one.settle(first, NOTHING)
        assert await waiting == {0: 7.0}
        assert one.state() == {"waiting": 0, "busy": 2}

    virtual_time(story())


def test_a_newcomer_of_higher_priority_goes_first():
    """Even before one who was next already, and who was asleep."""

    async def story():
        one, order = gauge(requests_per_minute=60), []

        async def ask(name, priority):
            await one.admit(calling(priority=priority), NOTHING)
            order.append((name, round(CLOCK.monotonic(), 3)))

        async with asyncio.TaskGroup() as group:
            group.create_task(ask("first", 5))
            group.create_task(ask("low", 1))
            await CLOCK.sleep(0.5)
            group.create_task(ask("high", 9))
        return order

    assert virtual_time(story()) == [("first", 0.0), ("high", 1.0), ("low", 2.0)]


@pytest.mark.parametrize("seed", range(5))
def test_whoever_is_next_knows_it(seed):
    """A newcomer can give the turn to a third, who slept: that one wakes up, and no turn is lost."""

    async def story():
        one, draw = gauge(requests_per_minute=60), random.Random(seed)  # noqa: S311

        async def ask():
            await CLOCK.sleep(draw.random() * 250)
            await one.admit(calling(draw.choice("abc"), priority=draw.randrange(10)), NOTHING)

        async with asyncio.timeout(302), asyncio.TaskGroup() as group:
            for _ in range(300):
                group.create_task(ask())

    virtual_time(story())


def test_ten_thousand_calls_of_one_do_not_hold_up_another():
    """A caller who asks twice a second beside 10,000 queued calls waits one turn longer than alone, at most."""

    def waits(flood):
        async def story():
            one, found = gauge(requests_per_minute=600), []

            async def ask(key):
                began = CLOCK.monotonic()
                await one.admit(calling(key), NOTHING)
                if key == "few":
                    found.append(CLOCK.monotonic() - began)

            tasks = [asyncio.ensure_future(ask("many")) for _ in range(flood)]  # noqa: TID251
            async with asyncio.TaskGroup() as group:
                for _ in range(100):
                    await CLOCK.sleep(0.5)
                    group.create_task(ask("few"))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert len(one._queue) == 0
            return sorted(found)

        return virtual_time(story())

    assert waits(0)[94] == 0.0
    assert waits(10_000)[94] <= 0.2 + 1e-5


def test_nobody_starves_below_a_flood():
    """The lowest priority gets a tenth while the highest has more than enough."""
    calls = [*[calling("a", priority=9)] * 200, *[calling("b", priority=0)] * 5]
    found = virtual_time(times(gauge(requests_per_minute=600), calls))
    low = [found[number] for number in range(200, 205)]
    assert max(low) <= 6.0


def test_who_counts_as_a_caller():
    """Keys, then users: each has its turns."""
    calls = [*[calling(user="a")] * 10, calling(user="b"), calling("k", user="a")]
    found = virtual_time(times(gauge(requests_per_minute=60), calls))
    assert found[10] <= 3.00001
    assert found[11] <= 3.00001


class TestDeadlines:
    """A call that cannot go in time does not wait in vain."""

    def test_it_is_refused_at_once(self):
        """With what it would have taken; another target may be asked now."""

        async def story():
            one = gauge(requests_per_minute=6)
            await one.admit(calling(), NOTHING)
            with pytest.raises(
                DeadlineError, match=r"limits of g would let the call through in 10 s, after its deadline"
            ) as caught:
                await one.admit(calling(deadline=9.0), NOTHING)
            assert CLOCK.monotonic() == 0.0
            assert caught.value.onward is Onward.NOW
            assert caught.value.retry_after == pytest.approx(10)
            ticket = await one.admit(calling(deadline=11.0), NOTHING)
            assert ticket.at == pytest.approx(10)

        virtual_time(story())

    def test_the_queue_counts(self):
        """Behind a hundred of one's own calls, a minute is not enough at 60 a minute."""

        async def story():
            one = gauge(requests_per_minute=60)
            tasks = [asyncio.ensure_future(one.admit(calling("k"), NOTHING)) for _ in range(100)]  # noqa: TID251
            await CLOCK.sleep(0.1)
            with pytest.raises(DeadlineError):
                await one.admit(calling("k", deadline=60.0), NOTHING)
            assert CLOCK.monotonic() == 0.1
            other = await one.admit(calling("other", deadline=60.0), NOTHING)
            assert other.at <= 3.0
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        virtual_time(story())

    def test_it_ends_while_it_waits(self):
        """A place that is never given back is waited for until the deadline, to the moment."""

        async def story():
            one = gauge(concurrency=1)
            await one.admit(calling(), NOTHING)
            for _ in range(2):
                with pytest.raises(DeadlineError, match="limits of g did not let the call through"):
                    await one.admit(calling(deadline=CLOCK.monotonic() + 3.0), NOTHING)
            assert CLOCK.monotonic() == pytest.approx(6.0, abs=1e-5)
            assert one.state() == {"waiting": 0, "busy": 1}

        virtual_time(story())


class TestRefusals:
    """What a 429 does."""

    @pytest.mark.parametrize(("asked", "held"), [(7.0, 7.0), (None, 1.0), (1e8, LONGEST_HOLD)])
    def test_everybody_is_held(self, asked, held):
        """For as long as the provider says; for a second where it does not; and not for ever."""

        async def story():
            one = Gauge("g", UNLIMITED, rates=MemoryRates(CLOCK), clock=CLOCK)
            ticket = one.at_once(NOTHING)
            one.refused(ticket, {}, RateLimitError("429", retry_after=asked))
            one.settle(ticket, NOTHING)
            assert one.state()["held_for"] == held
            return await times(one, [calling("a"), calling("b"), calling("c")])

        found = virtual_time(story())
        assert min(found.values()) == pytest.approx(held, abs=1e-5)

    def test_where_headers_tell_nothing_is_learned(self):
        """The provider's own figures are enough; only a silent one is learned."""

        async def learned(headers):
            one = gauge()
            ticket = one.at_once(NOTHING)
            one.refused(ticket, headers, RateLimitError("429"))
            assert one.state()["held_for"] == 1.0
            return "learned_requests_per_minute" in one.state()

        assert virtual_time(learned(told(600, 500))) is False
        assert virtual_time(learned({})) is True

    def test_used_up_quota_stops_at_once(self):
        """Whoever waits fails, whoever comes is refused with the provider's reason, and after a while one tries."""

        async def story():
            one = gauge(concurrency=1)
            ticket = await one.admit(calling(), NOTHING)
            waiting = [asyncio.ensure_future(one.admit(calling(), NOTHING)) for _ in range(3)]  # noqa: TID251
            await CLOCK.sleep(1)
            one.refused(ticket, {}, QuotaError("You exceeded your quota.", code="insufficient_quota"))
            one.settle(ticket, NOTHING)
            failed = await asyncio.gather(*waiting, return_exceptions=True)
            assert CLOCK.monotonic() == 1.0
            assert [type(error) for error in failed] == [NoTargetError] * 3
            assert all(error.code == "insufficient_quota" and "You exceeded" in str(error) for error in failed)
            await CLOCK.sleep(10)
            with pytest.raises(NoTargetError) as caught:
                await one.admit(calling(), NOTHING)
            assert caught.value.onward is Onward.NOW
            assert caught.value.retry_after == pytest.approx(QUOTA_REST - 10)
            assert one.state()["quota"] == "insufficient_quota"
            await CLOCK.sleep(QUOTA_REST)
            trial = await one.admit(calling(), NOTHING)
            with pytest.raises(NoTargetError):
                await one.admit(calling(), NOTHING)
            one.answered(trial)
            one.settle(trial, NOTHING)
            assert "quota" not in one.state()
            await one.admit(calling(), NOTHING)

        virtual_time(story())


class TestTold:
    """The provider's word beside the configured limits."""

    def test_a_lower_limit_lowers_ours_at_once(self):
        """And a higher one changes nothing."""

        async def story(limit):
            one = gauge(requests_per_minute=600)
            ticket = await one.admit(calling(), NOTHING)
            one.hear(ticket, told(limit, limit))
            return list((await times(one, [calling()] * 40)).values())

        low, high = virtual_time(story(60)), virtual_time(story(6000))
        assert low[-1] - low[20] == pytest.approx(19.0, abs=0.01)
        assert high[-1] - high[20] == pytest.approx(1.9, abs=0.01)

    def test_it_binds_where_nothing_is_configured(self):
        """No more goes than there is."""

        async def story():
            one = Gauge("g", UNLIMITED, rates=MemoryRates(CLOCK), clock=CLOCK)
            assert not one.counts_tokens
            ticket = one.at_once(NOTHING)
            one.hear(ticket, told(60, 0) | told(6000, 6000, "tokens"))
            assert one.counts_tokens
            assert one.state()["told"] == {
                "requests": {"limit": 60, "left": 0.0},
                "tokens": {"limit": 6000, "left": 6000.0},
            }
            return list((await times(one, [calling()] * 20)).values())

        found = virtual_time(story())
        assert found[0] > 1.0
        assert found[-1] - found[0] >= 18.9

    def test_nobody_sleeps_on_what_is_out_of_date(self):
        """A provider that once said something absurd is asked again after two minutes."""

        async def story():
            one = Gauge("g", UNLIMITED, rates=MemoryRates(CLOCK), clock=CLOCK)
            ticket = one.at_once(NOTHING)
            one.hear(ticket, told(600, 0) | {"x-ratelimit-reset-requests": "99999h0m0s"})
            one.settle(ticket, NOTHING)
            return await times(one, [calling()] * 3)

        assert list(virtual_time(story()).values()) == pytest.approx([120.0] * 3, abs=0.001)


def test_an_incredible_usage_stops_nobody_for_long():
    """A provider that claims a billion tokens costs a minute, not years."""

    async def story():
        one = gauge(tokens_per_minute=6000)
        ticket = await one.admit(calling(), Demand(10, 10))
        one.settle(ticket, Demand(10**9, 10**9))
        return await times(one, [calling()], Demand(10, 10))

    assert 0 < virtual_time(story())[0] <= 2 * DEBT


@pytest.mark.parametrize("limits", [{"concurrency": 5}, {"requests_per_minute": 6000}, {"tokens_per_minute": 60_000}])
def test_leaving_at_any_moment_leaves_nothing_behind(limits):
    """2,000 calls, cancelled at random awaits: no waiter, place, timer or task stays, and the rest go on."""

    async def story():
        one, draw, went = gauge(**limits), random.Random(7), 0  # noqa: S311

        async def use(number):
            nonlocal went
            await CLOCK.sleep(draw.random() * 5)
            deadline = CLOCK.monotonic() + draw.random() * 20 if number % 3 == 0 else None
            with suppress(DeadlineError):
                call = calling(f"k{number % 7}", priority=number % 10, deadline=deadline)
                ticket = one.at_once(Demand(5, 5)) or await one.admit(call, Demand(5, 5))
                try:
                    await CLOCK.sleep(draw.random() * 0.05)
                    went += 1
                finally:
                    one.settle(ticket, Demand(5, draw.randrange(10)) if draw.random() < 0.8 else None)

        tasks = [asyncio.ensure_future(use(number)) for number in range(2000)]  # noqa: TID251
        loop = asyncio.get_running_loop()
        for task in draw.sample(tasks, 1500):
            loop.call_later(draw.random() * 12, task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert went > 200
        assert one.state() == {"waiting": 0, "busy": 0}
        assert not list(one._queue)
        await CLOCK.sleep(13)
        # Every timer is gone, and whoever comes now is let through.
        assert not [timer for timer in loop._scheduled if not timer.cancelled()]
        assert asyncio.all_tasks() == {asyncio.current_task()}
        async with asyncio.timeout(60):
            await one.admit(calling(), Demand(5, 5))

    virtual_time(story())
