"""Covers policies/breaker.py, in virtual time."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.attempt import Attempt
from headgate.core.body import Body
from headgate.core.call import Call, Operation, Target, Timeouts
from headgate.core.errors import (
    Again,
    APIError,
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    DeadlineError,
    GarbledError,
    HeadgateError,
    InterruptedError,  # noqa: A004
    ModelNotFoundError,
    Onward,
    OverloadedError,
    QuotaError,
    RateLimitError,
    RestingError,
    SharedStoreError,
    StoppingError,
    TimeoutError,  # noqa: A004
    TooFastError,
    UnpricedError,
    UnreachableError,
)
from headgate.core.reply import Event, Kind, Reply
from headgate.policies.breaker import Breaker
from headgate.stores.memory_rates import MemoryRates
from headgate.testing import EPOCH, VirtualClock, virtual_time

CALL = Call(
    id="1", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0, day="2027-01-15", target=Target("p", "m")
)
SPEAKS_AGAINST = [OverloadedError, UnreachableError, GarbledError, TimeoutError, InterruptedError]
SAYS_NOTHING = [
    RateLimitError, QuotaError, APIError, AuthenticationError, ModelNotFoundError, ContentFilterError, BadRequestError,
    DeadlineError, UnpricedError, TooFastError, SharedStoreError, StoppingError, asyncio.CancelledError, ValueError,
]  # fmt: skip


class Hints(MemoryRates):
    """Rates that keep hints, as a store that processes share does; of which process they are does not matter here."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.until: dict[str, float] = {}
        self.said: list[tuple[str, float]] = []

    def rest(self, name: str, seconds: float) -> None:
        self.said.append((name, seconds))
        self.until[name] = self._clock.monotonic() + seconds

    def resting(self, name: str) -> float:
        return max(self.until.get(name, 0.0) - self._clock.monotonic(), 0.0)


class Deaf(Hints):
    """What this process says is kept, and it hears nothing of its own."""

    def resting(self, name: str) -> float:  # noqa: ARG002  the protocol's
        return 0.0


def breaker(rates: MemoryRates | None = None, **changes: Any) -> Breaker:
    """A breaker with the defaults of the configuration."""
    clock = VirtualClock()
    given = {"failures": 5, "window": 60.0, "rest": 20.0, "probes": 1, "timeouts": Timeouts(), **changes}
    return Breaker("p/m", **given, rates=rates or MemoryRates(clock), clock=clock)


def whole() -> Reply:
    """A whole answer."""
    return Reply([Event(kind=Kind.TERMINAL, text="yes")])


def stream(end: Exception | None = None, *, finished: bool = True, seconds: float = 0.0) -> Reply:
    """A stream that says a word, takes its time, and ends so."""

    async def rest():
        await asyncio.sleep(seconds)
        if end is not None:
            raise end
        if finished:
            yield Event(kind=Kind.TERMINAL)
        await asyncio.sleep(seconds)
        yield Event(kind=Kind.TRAILER)

    return Reply([Event(kind=Kind.CONTENT, text="a")], rest(), stream=True)


async def send(policy: Breaker, outcome: BaseException | Callable[[], Reply] = whole, call: Call = CALL) -> str:
    """One attempt that ends so; what came of it."""

    async def target(_call: Call) -> Reply:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome()

    try:
        async with await policy(call, target) as reply:
            async for _ in reply:
                pass
    except RestingError:
        return "resting"
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  whatever was asked for
        return type(error).__name__
    return "ok"


async def fail(policy: Breaker, times: int) -> None:
    """So many failures."""
    for _ in range(times):
        assert await send(policy, UnreachableError("reset")) == "UnreachableError"


def told(policy: Breaker) -> str:
    """Its state in a word."""
    return policy.state()["state"]


def test_it_tells_what_calls_have_found():
    """When the target last answered, when it last failed and how; what says nothing of it is not told."""

    async def story():
        policy = breaker()
        assert policy.state() == {"state": "closed"}
        await asyncio.sleep(1)
        await send(policy)
        await asyncio.sleep(1)
        await send(policy, OverloadedError("down", code="\ud800" + "x" * 100))
        await asyncio.sleep(1)
        await send(policy, BadRequestError("wrong"))
        found = {"state": "closed", "answered": EPOCH + 1, "failed": EPOCH + 2, "error": "?" + "x" * 63}
        assert policy.state() == found

    virtual_time(story())


def test_each_rest_that_it_begins_is_told():
    """Those after a failed probe, too; not those that another process hints at."""
    rests = []

    async def story():
        rates = Hints(VirtualClock())
        policy = breaker(rates)
        policy._rested = lambda: rests.append(1)
        await fail(policy, 5)
        await asyncio.sleep(20)
        await fail(policy, 1)
        await asyncio.sleep(60)
        await send(policy)
        rates.rest("p/m", 20)
        assert told(policy) == "open"

    virtual_time(story())
    assert len(rests) == 2


@pytest.mark.parametrize("error", SPEAKS_AGAINST)
def test_what_speaks_against_the_target_opens_it(error: type[HeadgateError]):
    """Five failures and not four; whoever comes then is told how long the rest is, and nothing is sent."""

    async def story():
        policy = breaker()
        for _ in range(5):
            assert told(policy) == "closed"
            await send(policy, error("x"))
        assert policy.state() == {"state": "open", "until": EPOCH + 20, "failed": EPOCH, "error": error("x").code}
        await asyncio.sleep(7)
        with pytest.raises(RestingError) as caught:
            await policy(CALL, None)
        assert (caught.value.retry_after, caught.value.attempts) == (13, CALL.trail)
        assert "p/m" in caught.value.message
        assert (caught.value.again, caught.value.onward, caught.value.breaker) == (Again.NEVER, Onward.NOW, False)

    virtual_time(story())


@pytest.mark.parametrize("error", SAYS_NOTHING)
def test_what_says_nothing_of_the_target_neither_opens_nor_closes_it(error: type[BaseException]):
    """Not one of them counts, and as a probe each gives its place to the next."""

    async def story():
        policy = breaker(failures=1)
        for _ in range(20):
            await send(policy, error("x"))
        assert told(policy) == "closed"
        await fail(policy, 1)
        await asyncio.sleep(20)
        for _ in range(3):
            assert await send(policy, error("x")) == error.__name__
            assert told(policy) == "half_open"
        assert await send(policy) == "ok"
        assert told(policy) == "closed"

    virtual_time(story())


def test_half_must_fail():
    """Five failures among six successes do not open it; the sixth does."""

    async def story():
        policy = breaker()
        for _ in range(6):
            await send(policy)
        await fail(policy, 5)
        assert told(policy) == "closed"
        await fail(policy, 1)
        assert told(policy) == "open"

    virtual_time(story())


@pytest.mark.parametrize(("pause", "state"), [(0, "open"), (58.9, "open"), (60, "closed"), (3600, "closed")])
def test_what_is_older_than_the_window_is_forgotten(pause: float, state: str):
    """Failures and successes alike, to a sixtieth of the window."""

    async def story():
        policy = breaker()
        await fail(policy, 4)
        await asyncio.sleep(pause)
        await fail(policy, 1)
        assert told(policy) == state

    virtual_time(story())


def test_old_successes_do_not_shield_a_target():
    """What went well an hour ago, or two minutes ago, is no consolation."""

    async def story():
        policy = breaker()
        for _ in range(1000):
            await send(policy)
        await asyncio.sleep(120)
        await fail(policy, 5)
        assert told(policy) == "open"

    virtual_time(story())


def test_a_rest_grows_with_each_failed_probe_and_no_further_than_a_quarter():
    """20, 22.5, 25, 25 s; after a good probe it begins anew."""

    async def story():
        policy, clock = breaker(), VirtualClock()
        rests = []
        await fail(policy, 5)
        for _ in range(4):
            start = clock.monotonic()
            await asyncio.sleep(policy.state()["until"] - clock.time() - 0.01)
            assert await send(policy) == "resting"
            await asyncio.sleep(0.02)
            rests.append(round(clock.monotonic() - start - 0.01, 3))
            await fail(policy, 1)
        assert rests == [20, 22.5, 25, 25]
        await asyncio.sleep(25)
        assert await send(policy) == "ok"
        await fail(policy, 4)
        assert told(policy) == "closed", "a clean slate"
        await fail(policy, 1)
        assert policy.state()["until"] - clock.time() == pytest.approx(20)

    virtual_time(story())


@pytest.mark.parametrize("probes", [1, 3])
def test_exactly_the_allowed_probes_pass(probes: int):
    """Of a hundred that come at once; and all of them must do well."""

    async def story():
        policy = breaker(probes=probes)
        await fail(policy, 5)
        await asyncio.sleep(20)
        results = await asyncio.gather(*(send(policy, lambda: stream(seconds=1)) for _ in range(100)))
        assert (results.count("ok"), results.count("resting")) == (probes, 100 - probes)
        assert told(policy) == "closed"

    virtual_time(story())


def test_one_failed_probe_of_several_is_enough():
    """It rests again at once, and those that still run no longer count, though they keep their places."""

    async def story():
        policy = breaker(probes=3)
        await fail(policy, 5)
        await asyncio.sleep(20)
        slow = [asyncio.ensure_future(send(policy, lambda: stream(seconds=30))) for _ in range(2)]  # noqa: TID251
        await asyncio.sleep(1)
        await fail(policy, 1)
        assert told(policy) == "open"
        await asyncio.sleep(22.5)
        assert [await send(policy), await send(policy)] == ["ok", "resting"]
        assert told(policy) == "half_open"
        await asyncio.gather(*slow)
        assert told(policy) == "half_open", "they were of an earlier turn"
        assert [await send(policy), await send(policy)] == ["ok", "ok"]
        assert told(policy) == "closed"

    virtual_time(story())


def test_a_stream_counts_when_it_ends():
    """Broken after its first word it is a failure, finished a success; left after its end it is one, before it none."""

    async def story():
        policy = breaker(failures=2)
        for _ in range(2):
            assert await send(policy, lambda: stream(InterruptedError("cut"))) == "InterruptedError"
        assert told(policy) == "open"
        await asyncio.sleep(20)

        async def take(events: int) -> None:
            async def target(_call: Call) -> Reply:
                return stream()

            async with await policy(CALL, target) as reply:
                for _ in range(events):
                    await reply.__anext__()

        await take(1)
        assert told(policy) == "half_open", "left in the middle: the probe is given back"
        await take(2)
        assert told(policy) == "closed", "left after the finish reason"

    virtual_time(story())


@pytest.mark.parametrize("probes", [1, 2])
def test_a_stream_that_lasts_keeps_nobody_from_a_target_that_is_well(probes: int):
    """Once it has spoken for as long as a rest, it counts; how it ends after that says nothing of the outage."""

    async def story():
        rates = Deaf(VirtualClock())
        policy = breaker(rates, probes=probes)
        for _ in range(5):
            await send(policy, OverloadedError("down"))
        await asyncio.sleep(20)
        held = [stream(InterruptedError("broke"), seconds=300) for _ in range(probes)]
        calls = [msgspec.structs.replace(CALL, id=f"long{number}") for number in range(probes)]
        replies = [await policy(call, partial(_answer, reply)) for call, reply in zip(calls, held, strict=True)]
        await asyncio.sleep(19)
        assert await send(policy) == "resting"
        assert told(policy) == "half_open"
        await asyncio.sleep(1)
        assert await send(policy) == "ok"
        assert told(policy) == "closed"
        assert rates.said[-1] == ("p/m", 0.0)
        for reply in replies:
            with pytest.raises(InterruptedError):
                [event async for event in reply]
        assert told(policy) == "closed"
        assert not policy._spoken
        assert not policy._trying

    virtual_time(story())


async def _answer(reply: Reply, _call: Call) -> Reply:
    return reply


def test_a_reply_that_nobody_reads_gives_its_probe_back():
    """Closing is enough."""

    async def story():
        policy = breaker(failures=1)
        await fail(policy, 1)
        await asyncio.sleep(20)

        async def target(_call: Call) -> Reply:
            return stream()

        reply = await policy(CALL, target)
        assert await send(policy) == "resting"
        await reply.close()
        assert await send(policy) == "ok"

    virtual_time(story())


def test_what_ends_at_the_callers_own_deadline_says_nothing():
    """Or anybody with a short one could have a good target rested; in time, the same error counts."""

    async def story():
        policy = breaker()
        await asyncio.sleep(1)
        late = msgspec.structs.replace(CALL, deadline=1.0)
        for _ in range(10):
            await send(policy, TimeoutError("slow"), late)
        assert told(policy) == "closed"
        for _ in range(5):
            await send(policy, TimeoutError("slow"), msgspec.structs.replace(CALL, deadline=2.0))
        assert told(policy) == "open"

    virtual_time(story())


@pytest.mark.parametrize(
    ("given", "counts"),
    [(None, True), (Timeouts(), True), (Timeouts(first_token=60), True), (Timeouts(first_token=0.2), False),
     (Timeouts(connect=1), False), (Timeouts(silence=1), False), (Timeouts(total=1), False)],
)  # fmt: skip
def test_what_ends_at_a_limit_that_the_caller_set_lower_says_nothing(given: Timeouts | None, counts: bool):
    """A client with a timeout of a fifth of a second has nobody's target rested; what is no timeout counts always."""
    call = msgspec.structs.replace(CALL, timeouts=given)

    async def story():
        policy = breaker()
        silent = InterruptedError("broke")
        silent.__cause__ = TimeoutError("silence")
        for _ in range(3):
            await send(policy, TimeoutError("silence"), call)
            await send(policy, partial(stream, silent), call)
        assert told(policy) == ("open" if counts else "closed")
        if not counts:
            for _ in range(5):
                await send(policy, UnreachableError("reset"), call)
            assert told(policy) == "open"

    virtual_time(story())


def test_what_began_before_the_state_changed_no_longer_counts():
    """A slow failure from before neither prolongs the rest nor ends a probe's trial, nor is a slow success one."""

    async def story():
        policy = breaker()
        old = [
            asyncio.ensure_future(send(policy, partial(stream, end, seconds=seconds)))  # noqa: TID251
            for seconds, end in ((5, InterruptedError("cut")), (12, None), (26, InterruptedError("cut")))
        ]
        await asyncio.sleep(1)
        await fail(policy, 5)
        until = policy.state()["until"]
        await asyncio.sleep(10)
        assert policy.state()["until"] == until
        await asyncio.sleep(10)
        await asyncio.gather(old[0])
        assert told(policy) == "half_open"
        assert await send(policy) == "ok"
        await asyncio.gather(*old)
        await fail(policy, 4)
        assert told(policy) == "closed"

    virtual_time(story())


def test_a_breaker_of_one_model_never_rests_another():
    """They share a store and nothing else."""

    async def story():
        clock = VirtualClock()
        rates = Hints(clock)
        given: dict[str, Any] = {"failures": 1, "window": 60.0, "rest": 20.0, "probes": 1, "timeouts": Timeouts()}
        one, other = (Breaker(name, **given, rates=rates, clock=clock) for name in ("p/m", "p/n"))
        await fail(one, 1)
        assert (told(one), told(other)) == ("open", "closed")
        assert await send(other) == "ok"

    virtual_time(story())


def test_other_processes_rest_as_well_and_try_for_themselves():
    """Told of a rest they rest; when it is over each sends its own probes."""

    async def story():
        rates = Hints(VirtualClock())
        here, there = breaker(Deaf(VirtualClock())), breaker(rates)
        await fail(here, 5)
        rates.rest("p/m", 20)
        assert there.state() == {"state": "open", "until": EPOCH + 20}
        assert await send(there) == "resting"
        await asyncio.sleep(20.001)
        assert told(there) == "half_open"
        results = await asyncio.gather(*(send(there, lambda: stream(seconds=1)) for _ in range(9)))
        assert results.count("ok") == 1
        assert told(there) == "closed"
        assert rates.said[-1] == ("p/m", 0.0)

    virtual_time(story())


def test_a_hint_that_ends_early_lets_others_try_early():
    """They are not taken at their word: a probe comes first."""

    async def story():
        rates = Hints(VirtualClock())
        policy = breaker(rates)
        rates.rest("p/m", 20)
        assert await send(policy) == "resting"
        await asyncio.sleep(3)
        rates.rest("p/m", 0)
        assert told(policy) == "half_open"
        await fail(policy, 1)
        assert told(policy) == "open"

    virtual_time(story())


def test_others_are_told_of_each_rest_and_of_its_end():
    """On opening, after a failed probe, and when it closes."""

    async def story():
        rates = Deaf(VirtualClock())
        policy = breaker(rates)
        await fail(policy, 5)
        await asyncio.sleep(20)
        await fail(policy, 1)
        await asyncio.sleep(22.5)
        await send(policy)
        assert rates.said == [("p/m", 20.0), ("p/m", 22.5), ("p/m", 0.0)]

    virtual_time(story())


def test_a_store_that_echoes_its_own_hints_changes_nothing():
    """It opens, rests, tries and closes as it would alone."""

    async def story():
        policy = breaker(Hints(VirtualClock()))
        await fail(policy, 5)
        await asyncio.sleep(20)
        assert await send(policy) == "ok"
        assert told(policy) == "closed"
        assert await send(policy) == "ok"

    virtual_time(story())


STEPS = st.lists(
    st.tuples(
        st.floats(0, 30),  # seconds until it begins
        st.sampled_from([0.0, 0.5, 5.0, 40.0]),  # seconds to the first word
        st.sampled_from([0.0, 0.5, 5.0, 40.0]),  # seconds to its end
        st.sampled_from(["ok", "ok", "fail", "fail", "fail", "break", "leave", "cancel", "limit"]),
    ),
    max_size=60,
)


class Watched:
    """A target behind a breaker, and who is trying it."""

    def __init__(self, policy: Breaker) -> None:
        self.policy = policy
        self.trying = self.most = self.number = 0

    async def attempt(self, first: float, rest: float, end: str) -> None:
        """One attempt, whatever becomes of it."""
        asked = False
        self.number += 1
        call = msgspec.structs.replace(CALL, id=str(self.number))

        async def target(_call: Call) -> Reply:
            nonlocal asked
            state = told(self.policy)
            assert state != "open"
            if state == "half_open":
                asked = True
                self.trying += 1
                self.most = max(self.most, self.trying)
            await asyncio.sleep(first)
            if end in {"fail", "limit"}:
                raise UnreachableError("x") if end == "fail" else RateLimitError("x")
            return stream(InterruptedError("x") if end == "break" else None, seconds=rest)

        try:
            async with await self.policy(call, target) as reply:
                async for _ in reply:
                    if end == "leave":
                        break
        except HeadgateError:
            pass
        finally:
            self.trying -= asked


@given(steps=STEPS, probes=st.integers(1, 3), failures=st.integers(1, 5))
@settings(deadline=None, max_examples=150)
def test_in_any_history_at_most_the_allowed_probes_are_under_way(steps, probes, failures):
    """While it is half open; nothing passes while it is open; and nothing is left behind: in the end it closes."""

    async def story():
        policy = breaker(probes=probes, failures=failures)
        watched = Watched(policy)
        async with asyncio.TaskGroup() as group:
            for pause, first, rest, end in steps:
                await asyncio.sleep(pause)
                task = group.create_task(watched.attempt(first, rest, end))
                if end == "cancel":
                    asyncio.get_running_loop().call_later(first + rest / 2, task.cancel)
        assert (watched.trying, policy._probing, policy._trying, policy._spoken) == (0, 0, {}, {})
        assert watched.most <= probes
        await asyncio.sleep(25)
        for _ in range(probes):
            assert await send(policy) == "ok"
        assert told(policy) == "closed"

    virtual_time(story())


async def queued(policy: Breaker, call: Call, seconds: float, outcome: BaseException | None = None) -> str:
    """An attempt that waits so long between the breaker and its last look, and then ends so."""

    async def target(_call: Call) -> Reply:
        if outcome is not None:
            raise outcome
        return whole()

    async def queue(call: Call) -> Reply:
        await asyncio.sleep(seconds)
        return await policy.look(call, target)

    try:
        await policy(call, queue)
    except HeadgateError as error:
        return type(error).__name__
    return "ok"


def test_what_has_queued_for_a_target_that_rests_by_now_is_not_sent():
    """It was let through while all was well; when its turn comes, it is not. A probe may wait, too, and goes."""

    async def story():
        policy = breaker()
        calls = [msgspec.structs.replace(CALL, id=str(number)) for number in range(20)]
        waits = (1, 5, 15, 25)
        waiting = [asyncio.ensure_future(queued(policy, call, wait)) for call, wait in zip(calls, waits, strict=False)]  # noqa: TID251
        await asyncio.sleep(2)
        await fail(policy, 5)
        assert await asyncio.gather(*waiting) == ["ok", "RestingError", "RestingError", "RestingError"]
        assert told(policy) == "half_open", "25 s: the rest is over, but nobody has tried"
        assert await queued(policy, calls[5], 7) == "ok"
        assert told(policy) == "closed"
        assert policy._trying == {}

    virtual_time(story())


def test_a_probe_that_queued_until_another_one_failed_is_not_sent():
    """It began in an earlier turn; its place is free again."""

    async def story():
        policy = breaker(probes=2)
        await fail(policy, 5)
        await asyncio.sleep(20)
        slow = asyncio.ensure_future(queued(policy, CALL, 5))  # noqa: TID251
        await asyncio.sleep(1)
        bad = msgspec.structs.replace(CALL, id="2")
        assert await queued(policy, bad, 1, UnreachableError("down")) == "UnreachableError"
        assert await slow == "RestingError"
        assert (policy._probing, policy._trying) == (0, {})
        await asyncio.sleep(22.5)
        assert [await queued(policy, CALL, 0), await queued(policy, bad, 0)] == ["ok", "ok"]
        assert told(policy) == "closed"

    virtual_time(story())


def test_memory_does_not_grow():
    """The window's counts stay right over many slots, and no list grows with the traffic."""

    async def story():
        policy = breaker(failures=10_000)
        window = policy._window
        for number in range(5000):
            await asyncio.sleep(0.1)
            await send(policy, UnreachableError("x") if number % 3 == 0 else whole)
        assert len(window._bad) == len(window._good) == 60
        assert window._failed + window._succeeded == sum(window._bad) + sum(window._good)
        assert 590 <= window._failed + window._succeeded <= 600
        assert window._failed == pytest.approx(200, abs=3)

    virtual_time(story())


def test_an_attempt_is_noted_on_the_refusal():
    """The answer tells how many attempts were made before the target rested."""

    async def story():
        policy = breaker(failures=1)
        await fail(policy, 1)
        call = msgspec.structs.replace(CALL, trail=[Attempt(1, "p", "m")])
        with pytest.raises(RestingError) as caught:
            await policy(call, None)
        assert [attempt.number for attempt in caught.value.attempts] == [1]

    virtual_time(story())


def test_other_settings_do_not_wake_a_target():
    """It rests as long as the one before would have; what was counted is forgiven."""

    async def story():
        former, now = breaker(failures=1, rest=20), breaker(failures=3, rest=5)

        async def fails(_call):
            raise OverloadedError("no")

        with pytest.raises(OverloadedError):
            await former(CALL, fails)
        now.carry(former)
        with pytest.raises(RestingError):
            await now(CALL, fails)
        assert now.state()["state"] == "open"
        await asyncio.sleep(20)
        assert now.state()["state"] == "half_open"

    virtual_time(story())
