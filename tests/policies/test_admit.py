"""Covers policies/admit.py, in virtual time."""

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.attempt import Attempt, Basis, Settled
from headgate.core.body import Body
from headgate.core.call import Call, Caller, Operation, Origin, Target
from headgate.core.errors import (
    HeadgateError,
    OverloadedError,
    SharedStoreError,
    TimeoutError,  # noqa: A004
    TooFastError,
    UnreachableError,
)
from headgate.core.limits import Demand, Limits
from headgate.core.reply import Event, Kind, Reply
from headgate.core.usage import TokenUsage
from headgate.dialects.durations import go_duration
from headgate.policies.admit import MOST_MODELS, Admit
from headgate.stores.memory_rates import MemoryRates
from headgate.stores.rates import Grant, Rule
from headgate.testing import VirtualClock, virtual_time

CALL = Call(
    id="1",
    operation=Operation.CHAT,
    model="m",
    body=Body(b'{"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Tell me something."}]}'),
    started=0,
    day="2027-01-15",
    target=Target("p", "m"),
)
WEB = Caller(key="web")


def limited(**allowed: Any) -> Caller:
    """A caller with limits."""
    return Caller(key="web", limits=Limits(**allowed))


def asks(caller: Caller, **changes: Any) -> Call:
    """A call of a caller."""
    return msgspec.structs.replace(CALL, caller=caller, trail=[], **changes)


class Target_:  # noqa: N801  a target that answers, beside the struct that names one
    """Answers after so many seconds, and notes on the attempt what budget would."""

    def __init__(self, used: TokenUsage | None = None, seconds: float = 0.0, error: BaseException | None = None,
                 *, sent: bool = True, stream: bool = False, status: int | None = None) -> None:  # fmt: skip
        self.used = used
        self.seconds = seconds
        self.error = error
        self.sent = sent
        self.stream = stream
        self.status = status
        self.seen: list[Call] = []
        self.busy = self.most = 0

    async def __call__(self, call: Call) -> Reply:
        self.seen.append(call)
        attempt = Attempt(len(call.trail) + 1, "p", "m")
        call.trail.append(attempt)
        self.busy += 1
        self.most = max(self.most, self.busy)
        attempt.sent = self.sent
        try:
            await asyncio.sleep(self.seconds)
            if self.error is not None:
                attempt.status = self.status
                attempt.settled = Settled.UNKNOWN if self.sent and self.status is None else Settled.NOT_BILLED
                raise self.error
        finally:
            self.busy -= 1
        if not self.stream:
            self.settle(attempt)
            return Reply([Event(kind=Kind.TERMINAL, text="yes")])

        async def rest():
            await asyncio.sleep(self.seconds)
            yield Event(kind=Kind.TERMINAL)

        reply = Reply([Event(kind=Kind.CONTENT, text="a")], rest(), stream=True)
        reply.watch(None, lambda _error: self.settle(attempt))
        return reply

    def settle(self, attempt: Attempt) -> None:
        """As budget does, before anybody above hears of the end."""
        attempt.settled, attempt.basis, attempt.usage = Settled.BILLED, Basis.REPORTED, self.used
        attempt.status = 200


async def send(policy: Admit, target: Target_, caller: Caller, **changes: Any) -> Reply | TooFastError:
    """One call, read to its end."""
    try:
        async with await policy(asks(caller, **changes), target) as reply:
            async for _ in reply:
                pass
            return reply
    except TooFastError as error:
        return error


def policy() -> Admit:
    """The policy over the memory store."""
    return Admit(MemoryRates(VirtualClock()))


def test_a_caller_without_limits_is_passed_on_untouched():
    """The very same call, and the very awaitable of the next handler: no frame of ours in between."""

    async def story():
        call, target = asks(WEB, priority=9), Target_()
        passed = target(call)
        assert policy()(call, lambda given: passed if given is call else None) is passed
        await passed

    virtual_time(story())


@pytest.mark.parametrize(("claim", "cap", "goes"), [(9, 9, 9), (9, 3, 3), (5, 3, 3), (2, 3, 2), (9, 0, 0)])
def test_a_claim_is_lowered_to_the_keys_cap(claim: int, cap: int, goes: int):
    """And never raised; the attempts of the lowered call are those of the call."""

    async def story():
        target, call = Target_(), asks(Caller(key="web", priority=cap), priority=claim)
        await policy()(call, target)
        assert [seen.priority for seen in target.seen] == [goes]
        assert target.seen[0].trail is call.trail
        assert (target.seen[0] is call) == (claim == goes)

    virtual_time(story())


def test_a_whole_minute_is_there_at_once_and_then_no_more():
    """Sixty a minute: sixty at once, the next one a second later; the refusal says which limit, how high, and when."""

    async def story():
        admit, target, web = policy(), Target_(), limited(requests_per_minute=60)
        for number in range(60):
            reply = await send(admit, target, web)
            assert dict(reply.headers) == {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": str(59 - number),
                "x-ratelimit-reset-requests": f"{number + 1}s" if number < 59 else "1m0s",
            }
        await asyncio.sleep(0.25)
        error = await send(admit, target, web)
        assert isinstance(error, TooFastError)
        assert error.retry_after == pytest.approx(0.75)
        assert "'web'" in error.message
        assert "`requests_per_minute` is 60" in error.message
        assert error.message.endswith("Try again in 750ms.")
        assert (error.http_status, error.type, error.code) == (429, "rate_limit_error", "rate_limit_exceeded")
        assert error.headers == {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "59.75s",
        }
        await asyncio.sleep(error.retry_after)
        assert isinstance(await send(admit, target, web), Reply)
        assert isinstance(await send(admit, target, web), TooFastError)
        assert len(target.seen) == 61, "what is refused goes nowhere"

    virtual_time(story())


def test_callers_have_limits_of_their_own():
    """One that has used its own up takes nothing from another."""

    async def story():
        admit, target = policy(), Target_()
        one, other = (Caller(key=key, limits=Limits(requests_per_minute=1)) for key in ("one", "other"))
        assert isinstance(await send(admit, target, one), Reply)
        assert isinstance(await send(admit, target, one), TooFastError)
        assert isinstance(await send(admit, target, other), Reply)

    virtual_time(story())


def test_the_gates_own_calls_are_not_the_callers():
    """They pass, at the priority that they were given, and take nothing."""

    async def story():
        admit, target = policy(), Target_()
        caller = Caller(key="web", limits=Limits(requests_per_minute=1), priority=0)
        for _ in range(5):
            await send(admit, target, caller, origin=Origin.INTERNAL, parent="1", priority=7)
        assert {seen.priority for seen in target.seen} == {7}
        assert isinstance(await send(admit, target, caller), Reply)

    virtual_time(story())


def test_tokens_are_held_as_expected_and_corrected_by_what_was_used():
    """While a call runs its whole cap is held; afterwards only what it used is gone."""

    async def story():
        rates = MemoryRates(VirtualClock())
        admit, web = Admit(rates), limited(tokens_per_minute=6000)
        target = Target_(TokenUsage(prompt_tokens=20, completion_tokens=40), stream=True)
        reply = await admit(asks(web), target)
        held = 6000 - int(reply.headers["x-ratelimit-remaining-tokens"])
        assert 100 < held < 200
        assert reply.headers["x-ratelimit-limit-tokens"] == "6000"
        assert "x-ratelimit-limit-requests" not in reply.headers
        async with reply:
            async for _ in reply:
                pass
        rule = Rule("admit:web", web.limits, 60.0)
        left = await rates.take(rule, Demand())
        assert left.tokens == pytest.approx(60 / 100), "60 tokens, of 100 a second"
        assert reply.headers["x-ratelimit-reset-tokens"] == go_duration(held / 100)

    virtual_time(story())


def test_a_debt_is_worked_off_before_anybody_goes_on():
    """An answer ten times as long as what is allowed: refused for nine minutes, and told so."""

    async def story():
        admit, web = policy(), limited(output_tokens_per_minute=100)
        assert isinstance(await send(admit, Target_(TokenUsage(prompt_tokens=20, completion_tokens=1000)), web), Reply)
        error = await send(admit, Target_(), web)
        assert isinstance(error, TooFastError)
        assert "`output_tokens_per_minute` is 100" in error.message
        assert error.headers["x-ratelimit-remaining-tokens"] == "0"
        assert error.headers["x-ratelimit-reset-tokens"] == "10m0s"
        assert 9 * 60 <= error.retry_after <= 10 * 60
        await asyncio.sleep(error.retry_after)
        assert isinstance(await send(admit, Target_(TokenUsage()), web), Reply)

    virtual_time(story())


def test_one_wrong_figure_locks_nobody_out():
    """A billion tokens claimed for an answer would take a key of 1,000 a minute two years; it waits for some hours."""

    async def story():
        caller = limited(tokens_per_minute=1000)
        policy_ = policy()
        await send(policy_, Target_(TokenUsage(prompt_tokens=10**9, completion_tokens=10**9)), caller)
        refusal = await send(policy_, Target_(), caller)
        assert isinstance(refusal, TooFastError)
        assert 3600 < refusal.retry_after <= 2 * 3600
        await asyncio.sleep(refusal.retry_after)
        assert isinstance(await send(policy_, Target_(TokenUsage(prompt_tokens=1)), caller), Reply)

    virtual_time(story())


def test_several_limits_of_tokens_are_all_named():
    """The store does not tell which of them it was; the headers show the first."""

    async def story():
        admit, web = policy(), limited(input_tokens_per_minute=1_000_000, output_tokens_per_minute=100)
        await send(admit, Target_(TokenUsage(prompt_tokens=1, completion_tokens=100)), web)
        error = await send(admit, Target_(), web)
        assert "`input_tokens_per_minute` is 1000000 and `output_tokens_per_minute` is 100" in error.message
        assert error.headers["x-ratelimit-limit-tokens"] == "1000000"

    virtual_time(story())


@pytest.mark.parametrize(
    ("target", "request_back", "tokens"),
    [
        (Target_(error=UnreachableError("no way"), sent=False), True, 0),
        (Target_(error=OverloadedError("busy"), status=503), False, 0),
        (Target_(error=TimeoutError("slow")), False, "held"),
        (Target_(error=ValueError("a bug"), sent=False), True, 0),
        (Target_(TokenUsage(prompt_tokens=7, completion_tokens=3)), False, 10),
        (Target_(TokenUsage(prompt_tokens=7, completion_tokens=3), stream=True), False, 10),
        (Target_(None), False, "held"),
    ],
    ids=["never left", "answered with an error", "unknown", "a bug", "whole", "stream", "no usage"],
)
def test_every_end_settles(target: Target_, request_back: bool, tokens: int | str):
    """What never left is given back wholly, what nobody knows stays held, what was used is what it costs."""

    async def story():
        rates = MemoryRates(VirtualClock())
        web = limited(requests_per_minute=60, tokens_per_minute=6000, concurrency=1)
        admit = Admit(rates)
        held = admit._forecast("m").expect(CALL)
        try:
            await send(admit, target, web)
        except (HeadgateError, ValueError) as error:
            assert error is target.error  # noqa: PT017  which one it was is no question
        left = await rates.take(Rule("admit:web", web.limits, 60.0), Demand())
        assert left.limited is None, "its place is free"
        assert left.requests == pytest.approx(1 if request_back else 2)
        assert left.tokens * 100 == pytest.approx(held.input + held.output if tokens == "held" else tokens)

    virtual_time(story())


def test_concurrency_is_exact_and_given_back_on_every_path():
    """Two at a time: at their ends, when they are closed unread, when they are cancelled; and never a third."""

    async def story():
        admit, web = policy(), limited(concurrency=2)
        slow = Target_(seconds=5)
        results = await asyncio.gather(*(send(admit, slow, web) for _ in range(10)))
        refused = [result for result in results if isinstance(result, TooFastError)]
        assert (len(refused), slow.most) == (8, 2)
        assert "`concurrency` is 2" in refused[0].message
        assert (refused[0].retry_after, refused[0].headers) == (1.0, {})

        replies = [await admit(asks(web), Target_(stream=True)) for _ in range(2)]
        assert isinstance(await send(admit, slow, web), TooFastError)
        await replies[0].close()
        await replies[0].close()
        assert isinstance(await send(admit, slow, web), Reply)
        running = asyncio.ensure_future(send(admit, slow, web))  # noqa: TID251
        await asyncio.sleep(1)
        assert isinstance(await send(admit, slow, web), TooFastError)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert isinstance(await send(admit, slow, web), Reply)

    virtual_time(story())


def test_spread_and_sliding_hold_for_keys_as_well():
    """Evenly spaced from the first call on; and never more than the limit in any sliding minute."""

    async def story():
        admit, target = policy(), Target_()
        spread = limited(requests_per_minute=60, spread=True)
        reply = await send(admit, target, spread)
        assert reply.headers["x-ratelimit-remaining-requests"] == "0"
        error = await send(admit, target, spread)
        assert error.retry_after == pytest.approx(1)

        sliding = Caller(key="slide", limits=Limits(requests_per_minute=10, sliding=True))
        for _ in range(2):
            assert [type(await send(admit, target, sliding)) for _ in range(5)] == [Reply] * 5
            await asyncio.sleep(25)
        error = await send(admit, target, sliding)
        assert error.retry_after == pytest.approx(10)
        assert error.headers["x-ratelimit-remaining-requests"] == "0", "half a minute's worth has flowed in, and yet"
        await asyncio.sleep(60)
        times = []
        for _ in range(100):
            found = await send(admit, target, sliding)
            if isinstance(found, Reply):
                times.append(VirtualClock().monotonic())
            else:
                assert found.headers["x-ratelimit-remaining-requests"] == "0"
                await asyncio.sleep(found.retry_after)
        assert len(times) > 40
        assert all(later - earlier >= 60 - 1e-6 for earlier, later in zip(times, times[10:], strict=False))

    virtual_time(story())


def test_a_store_that_has_lost_its_memory_is_no_fault_of_the_caller():
    """503, and when to come back."""

    class Waiting(MemoryRates):
        def decide(self, rule: Rule, demand: Demand) -> Grant:  # noqa: ARG002  the protocol's
            return Grant(wait=12.5, limited="store")

    async def story():
        with pytest.raises(SharedStoreError) as caught:
            await Admit(Waiting(VirtualClock()))(asks(limited(requests_per_minute=1)), Target_())
        assert (caught.value.retry_after, caught.value.http_status) == (12.5, 503)
        assert caught.value.hint == "Try again in 12.5s."

    virtual_time(story())


def test_changed_limits_hold_at_once():
    """The same key with other limits, after a reload: what was used stays used."""

    async def story():
        admit, target = policy(), Target_()
        for _ in range(2):
            await send(admit, target, limited(requests_per_minute=2))
        assert isinstance(await send(admit, target, limited(requests_per_minute=2)), TooFastError)
        assert isinstance(await send(admit, target, limited(requests_per_minute=600)), TooFastError)
        await asyncio.sleep(1)
        assert isinstance(await send(admit, target, limited(requests_per_minute=600)), Reply)

    virtual_time(story())


def test_lengths_are_learned_per_model_and_made_up_names_are_forgotten():
    """What one model says tells nothing of another; and there are never more than so many."""

    async def story():
        admit, web = policy(), limited(tokens_per_minute=10**9)
        body = Body(b'{"model": "m", "messages": []}')
        for _ in range(200):
            await send(admit, Target_(TokenUsage(prompt_tokens=9, completion_tokens=7)), web, model="terse", body=body)
        expected = {name: admit._forecast(name).expect(asks(web, body=body)).output for name in ("terse", "other")}
        assert expected["terse"] < 20 < expected["other"]
        for number in range(2 * MOST_MODELS):
            await send(admit, Target_(TokenUsage()), web, model=f"made up {number}")
        assert len(admit._forecasts) == MOST_MODELS

    virtual_time(story())


@pytest.mark.parametrize("operation", [Operation.FILES, Operation.IMAGES, Operation.PASSTHROUGH, Operation.MODERATIONS])
def test_what_has_no_tokens_holds_none(operation: Operation):
    """A large file is one call, and nobody reckons its bytes as words."""

    async def story():
        admit, web = policy(), limited(requests_per_minute=10, tokens_per_minute=100)
        reply = await send(admit, Target_(None), web, operation=operation, body=Body(b"x" * 100_000))
        assert reply.headers["x-ratelimit-remaining-tokens"] == "100"
        assert reply.headers["x-ratelimit-remaining-requests"] == "9"
        assert isinstance(await send(admit, Target_(None), web, operation=operation), Reply)

    virtual_time(story())


def test_the_answers_own_headers_stay():
    """Ours are added to what the reply has; nothing shared between replies is written to."""

    async def story():
        shared = {"openai-version": "2020-10-01"}

        async def target(_call: Call) -> Reply:
            return Reply([], headers=shared)

        reply = await policy()(asks(limited(requests_per_minute=3)), target)
        assert reply.headers["openai-version"] == "2020-10-01"
        assert reply.headers["x-ratelimit-remaining-requests"] == "2"
        assert shared == {"openai-version": "2020-10-01"}

    virtual_time(story())


@given(
    pauses=st.lists(st.floats(0, 20), min_size=1, max_size=80),
    limit=st.integers(1, 30),
)
@settings(deadline=None, max_examples=60)
def test_in_any_history_a_caller_gets_its_minute_and_its_rate_and_no_more(pauses, limit):
    """In any span of time no more than a full bucket and what has flowed in; and `retry_after` is never a lie."""

    async def story():
        admit, target, web, clock = policy(), Target_(), limited(requests_per_minute=limit), VirtualClock()
        times: list[float] = []
        for pause in pauses:
            await asyncio.sleep(pause)
            found = await send(admit, target, web)
            if isinstance(found, TooFastError):
                await asyncio.sleep(found.retry_after + 1e-9)
                found = await send(admit, target, web)
            assert isinstance(found, Reply)
            times.append(clock.monotonic())
        for first, start in enumerate(times):
            for last in range(first, len(times)):
                assert last - first + 1 <= limit + (times[last] - start) * limit / 60 + 1e-6

    virtual_time(story())
