"""The policy: who makes a call, and what the others get."""

import asyncio

import msgspec
import pytest

from headgate.core.call import Caller, Origin
from headgate.core.errors import HeadgateError, OverloadedError
from headgate.core.together import Together
from headgate.policies.once.made import Settings
from headgate.policies.once.owner import LEASE
from headgate.testing import virtual_time
from tests.policies.once.shop import House


def test_without_a_key_nothing_happens(house, shop):
    """No task, no name in the store, no second answer."""

    async def story():
        assert await house.ask(None) == await house.ask(None) == ("a", "off")
        assert not house.tasks._running
        assert not shop.names()

    virtual_time(story())
    assert len(shop.calls) == 2


def test_the_same_call_is_replayed(house, other, shop):
    """In the same process and in another one, byte for byte, with its headers; it makes no attempt."""

    async def story():
        assert await house.ask() == ("a", "off")
        assert await house.ask() == ("a", "hit")
        call = other.call()
        async with await other.handle(call) as reply:
            assert (reply.headers, reply.attempts, call.trail) == ({"x-a": "1"}, (), [])

    virtual_time(story())
    assert len(shop.calls) == 1


def test_a_stream_is_replayed(house, other, shop):
    """All of its events."""

    async def story():
        assert await house.ask(stream=True) == ("abc", "off")
        assert await house.ask(stream=True) == await other.ask(stream=True) == ("abc", "hit")

    virtual_time(story())
    assert len(shop.calls) == 1


@pytest.mark.parametrize(
    "facts", [{"body": b'{"a": 1}'}, {"operation": "embeddings"}, {"body": b"{} "}], ids=["body", "operation", "space"]
)
def test_another_request_is_refused(house, other, shop, facts):
    """Under way here, under way elsewhere, and when it has ended."""

    async def story():
        first = house.start(house.ask())
        await shop.clock.sleep(0.1)
        codes = [(await house.error(**facts)).http_status, (await other.error(**facts)).code]
        await first
        codes.append((await house.error(**facts)).http_status)
        assert codes == [422, "idempotency_key_reused", 422]

    virtual_time(story())
    assert len(shop.calls) == 1


def test_two_callers_never_meet(house, shop):
    """Equal keys of two callers, and of two projects, are two keys."""
    callers = [Caller(key="a"), Caller(key="b"), Caller(key="a", project="p"), Caller()]

    async def story():
        assert [await house.ask(caller=caller) for caller in callers] == [("a", "off")] * 4

    virtual_time(story())
    assert len(shop.calls) == 4


def test_the_gates_own_calls_pass(house, shop):
    """A repair asks with the options of its parent, and is another question."""

    async def story():
        await house.ask(origin=Origin.INTERNAL)
        await house.ask(origin=Origin.INTERNAL)

    virtual_time(story())
    assert len(shop.calls) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_under_way_is_joined(house, other, shop, stream):
    """A thousand here and ten elsewhere: one attempt."""
    words = "abc" if stream else "a"

    async def story():
        asked = [house.ask(stream=stream) for _ in range(1000)] + [other.ask(stream=stream) for _ in range(10)]
        said = await asyncio.gather(*asked)
        assert {text for text, _ in said} == {words}
        assert [cache for _, cache in said].count("off") == 1
        assert [cache for _, cache in said].count("coalesced") == 1009
        await house.rest()
        await other.rest()
        (name,) = shop.names()
        assert name.startswith("once:")

    virtual_time(story())
    assert len(shop.calls) == 1


def test_who_joins_a_stream_gets_its_start_and_then_what_comes(house, shop):
    """In the moment in which it comes."""

    async def story():
        first = house.start(house.ask(stream=True))
        await shop.clock.sleep(2.5)
        async with await house.handle(house.call(stream=True)) as reply:
            times = [(event.text, shop.clock.monotonic()) async for event in reply]
        assert times == [("a", 2.5), ("b", 2.5), ("c", 3.0)]
        await first

    virtual_time(story())


@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_not_replayed(house, other, shop, stream):
    """Who has joined gets the error; who comes later asks anew, here and elsewhere."""
    error = OverloadedError("Down.")
    shop.script = ["a", error] if stream else [error]

    async def story():
        said = await asyncio.gather(*(house.ask(stream=stream) for _ in range(5)), return_exceptions=True)
        assert all(isinstance(one, OverloadedError) for one in said)
        assert sum(len(one.attempts) for one in said if one is not error) == 0
        assert len(shop.calls) == 1
        shop.script = ["z"]
        assert await other.ask(stream=stream) == ("z", "off")

    virtual_time(story())


def test_who_waits_elsewhere_asks_anew_after_an_error(house, other, shop):
    """One of them for all of its process."""
    shop.script = [OverloadedError("Down.")]

    async def story():
        first = house.start(house.error())
        waiting = [other.start(other.ask()) for _ in range(10)]
        await first
        shop.script = ["z"]
        assert {(await one)[0] for one in waiting} == {"z"}

    virtual_time(story())
    assert len(shop.calls) == 2


def test_a_deadline_ends_the_wait_of_its_own_caller(house, other, shop):
    """And nobody else's, here and elsewhere."""
    shop.seconds = 10

    async def story():
        first = house.start(house.ask())
        await shop.clock.sleep(1)
        for where in (house, other):
            error = await where.error(deadline=shop.clock.monotonic() + 2)
            assert error.http_status == 504
        assert shop.clock.monotonic() == pytest.approx(5)
        assert await first == ("a", "off")

    virtual_time(story())
    assert len(shop.calls) == 1


def test_who_has_more_time_asks_anew(house, shop):
    """A call that fails of its own caller's deadline says nothing to those who have joined."""

    async def story():
        shop.script = [HeadgateError("Too late.")]
        first = house.start(house.error(deadline=shop.clock.monotonic() + 0.5))
        await shop.clock.sleep(0.1)
        second = house.start(house.ask())
        await first
        shop.script = ["z"]
        assert await second == ("z", "off")

    virtual_time(story())
    assert len(shop.calls) == 2


def test_a_dead_process_leaves_no_known_outcome(house, other, shop):
    """Its lease ends, and then nobody pays twice for what it may have paid for: 409, and the call's id."""
    shop.seconds = 100

    async def story():
        first = house.start(house.ask())
        await shop.clock.sleep(1)
        second = other.start(other.error())
        await house.die()
        await asyncio.wait([first])
        error = await second
        assert (error.http_status, error.code) == (409, "idempotency_outcome_unknown")
        assert shop.calls[0].id in error.message
        assert shop.clock.monotonic() < 1 + LEASE + 1
        assert (await other.error()).http_status == 409

    virtual_time(story())
    assert len(shop.calls) == 1


def test_what_never_left_is_made_by_another(house, other, shop):
    """A process dies while a call waits in its queue: whoever waits for it makes it."""

    async def waits(_):
        await asyncio.Event().wait()

    async def story():
        first = house.start(house.once.outlive(house.call(), lambda call: house.once(call, waits)))
        await shop.clock.sleep(1)
        second = other.start(other.ask())
        await house.die()
        await asyncio.wait([first])
        assert await second == ("a", "off")

    virtual_time(story())
    assert len(shop.calls) == 1


def test_who_was_taken_for_dead_sends_nothing(house, other, shop):
    """It was silent for longer than its lease, before anything had left; then it wakes up."""
    queue = asyncio.Event()

    async def after_a_while(call):
        await queue.wait()
        return await house.once.leaving(call, shop.answer)

    async def story():
        first = house.start(house.once.outlive(house.call(), lambda call: house.once(call, after_a_while)))
        await shop.clock.sleep(1)
        for task in [task for task in house.tasks._running if task.get_name() == "idempotency lease"]:
            task.cancel()
        assert await other.ask() == ("a", "off")
        queue.set()
        with pytest.raises(HeadgateError) as caught:
            await first
        assert caught.value.http_status == 503
        assert await house.ask() == ("a", "hit")

    virtual_time(story())
    assert len(shop.calls) == 1


def test_without_its_store_a_call_is_refused(house, houses, shop):
    """Or made without a promise, where that is configured."""
    lax = houses(on_store_lost="open")
    house.blobs.away = lax.blobs.away = True

    async def story():
        error = await house.error()
        assert (error.http_status, error.code) == (503, "store_unavailable")
        assert "Idempotency-Key" in error.hint
        assert "It is away." not in error.message
        assert await asyncio.gather(*(lax.ask() for _ in range(3))) == [("a", "off")] * 3

    virtual_time(story())
    assert len(shop.calls) == 3


def test_a_store_that_loses_its_memory(house, other, shop):
    """What is under way is kept all the same when it ends."""

    async def story():
        first = house.start(house.ask())
        await shop.clock.sleep(0.5)
        await shop.store.close()
        assert await first == ("a", "off")
        assert await other.ask() == ("a", "hit")

    virtual_time(story())


def test_the_store_goes_away_while_somebody_waits(house, other, shop):
    """They are told so, and nothing of where it is and what is wrong with it."""

    async def story():
        first = house.start(house.ask())
        await shop.clock.sleep(0.2)
        second = other.start(other.error())
        await shop.clock.sleep(0.2)
        other.blobs.away = True
        error = await second
        assert (error.http_status, "It is away." in error.message) == (503, False)
        await first

    virtual_time(story())


def test_the_store_goes_away_before_anything_leaves(house, other, shop):
    """Then nothing leaves, and the key is free when it is back."""

    async def lose(call):
        house.blobs.away = True
        return await house.once.leaving(call, shop.answer)

    async def story():
        with pytest.raises(HeadgateError) as caught:
            await house.once.outlive(house.call(), lambda call: house.once(call, lose))
        assert caught.value.http_status == 503
        assert not shop.calls
        await shop.clock.sleep(1)
        house.blobs.away = False
        assert await other.ask() == ("a", "off")

    virtual_time(story())


def test_an_outcome_is_kept_for_a_store_that_is_away(house, other, shop):
    """Its caller has it at once; the others when the store is back."""

    async def story():
        first = house.start(house.ask())
        await shop.clock.sleep(0.5)
        house.blobs.away = True
        assert await first == ("a", "off")
        await shop.clock.sleep(3)
        house.blobs.away = False
        assert (await other.ask())[0] == "a"
        await house.rest()
        assert len(shop.names()) == 1

    virtual_time(story())
    assert len(shop.calls) == 1


def test_too_large_an_answer_is_not_kept(houses, shop):
    """Its caller gets it; a repeat is told so, and not paid for again."""
    house = houses(most=2)

    async def story():
        assert await house.ask(stream=True) == ("abc", "off")
        error = await house.error(stream=True)
        assert (error.http_status, error.code) == (409, "idempotency_answer_not_kept")

    virtual_time(story())
    assert len(shop.calls) == 1


def test_who_has_joined_in_time_gets_all_of_a_large_answer(houses, shop):
    """Who comes too late is told."""
    house = houses(most=2)

    async def story():
        first = house.start(house.ask(stream=True))
        await shop.clock.sleep(1.5)
        second = house.start(house.ask(stream=True))
        await shop.clock.sleep(2)
        assert (await house.error(stream=True)).http_status == 409
        assert (await first, await second) == (("abc", "off"), ("abc", "coalesced"))

    virtual_time(story())


def test_an_outcome_is_forgotten(houses, shop):
    """After its time, the key is free."""
    house = houses(keep=60)

    async def story():
        await house.ask()
        await shop.clock.sleep(59)
        assert (await house.ask())[1] == "hit"
        await shop.clock.sleep(2)
        assert (await house.ask())[1] == "off"

    virtual_time(story())


def test_something_else_is_chosen_while_it_runs(house, shop):
    """It holds for what ends from now on."""

    async def story():
        await house.ask("first")
        house.once.renew(Settings(keep=60))
        await house.ask("second")
        await shop.clock.sleep(62)
        assert [(await house.ask(key))[1] for key in ("first", "second")] == ["hit", "off"]

    virtual_time(story())


def test_what_cannot_be_read_is_not_made_again(house, shop):
    """Another version has written it: nobody knows what it says."""

    async def story():
        await house.ask()
        (name,) = (name for name in shop.names() if name.startswith("once:"))
        blob = await shop.store.get(name)
        await shop.store.replace(name, blob, b"\x93what", 60)
        assert (await house.error()).http_status == 409

    virtual_time(story())


def test_what_leaves_together_with_others_has_left(shop):
    """Calls that are put together leave under another id; what is said of each in the store is the same."""

    async def below(call):
        together = Together(calls=(call, house.call("x")), asked=(1, 1), said=lambda _: (1, 1))
        return await house.once.leaving(msgspec.structs.replace(call, id="another", together=together), shop.answer)

    house = House(shop, below)
    other = House(shop)
    shop.seconds = 100

    async def story():
        first = house.start(house.ask())
        await shop.clock.sleep(1)
        second = other.start(other.error())
        await house.die()
        await asyncio.wait([first])
        assert (await second).http_status == 409

    virtual_time(story())
