"""Outlive: what becomes of a call whose caller leaves."""

import asyncio

import pytest

from headgate.core.errors import StoppingError
from headgate.policies.once.outlive import AHEAD
from headgate.testing import virtual_time
from tests.policies.once.shop import House


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_goes_on_without_its_caller(house, shop, stream):
    """And whoever asks again gets all of it."""

    async def story():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await house.ask(stream=stream)
        await shop.clock.sleep(10)
        assert await house.ask(stream=stream) == ("abc" if stream else "a", "hit")
        await house.rest()

    virtual_time(story())
    assert len(shop.calls) == 1


def test_a_stream_that_is_left_in_the_middle_goes_on(house, shop):
    """What was not read of it is not kept for its caller, but for the next one."""

    async def story():
        async with await house.handle(house.call(stream=True)) as reply:
            assert (await reply.read()).text == "a"
        assert await house.ask(stream=True) == ("abc", "coalesced")

    virtual_time(story())
    assert len(shop.calls) == 1


def test_who_only_joins_is_let_go(house, other, shop):
    """Here and elsewhere: no task waits for nobody."""

    async def story():
        first = house.start(house.ask())
        await shop.clock.sleep(0.1)
        for where in (house, other):
            before = len(where.tasks._running)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await where.ask()
            assert len(where.tasks._running) == before
        assert await first == ("a", "off")

    virtual_time(story())


def test_who_leaves_while_it_is_claimed(house, other, shop):
    """If somebody else has it already, nothing goes on; if not, it is made."""
    slow = house.blobs._store.claim

    async def claim(name, *given):
        await shop.clock.sleep(name.startswith("once:"))
        return await slow(name, *given)

    async def leave():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await house.ask()

    async def story():
        house.blobs.claim = claim
        await leave()
        await shop.clock.sleep(0.6)
        assert len(shop.calls) == 1
        await house.rest()
        shop.store._claimed.clear()
        first = other.start(other.ask())
        await leave()
        await shop.clock.sleep(0.6)
        assert [task.get_name() for task in house.tasks._running] in ([], ["idempotency lease"])
        assert await first == ("a", "off")

    virtual_time(story())
    assert len(shop.calls) == 2


def test_too_large_an_answer_is_not_wanted_without_its_caller(houses, shop):
    """Nobody could have it: the connection is closed, and a repeat is told why."""
    house = houses(most=1)
    shop.script = [*"abcdefgh"]

    async def story():
        async with await house.handle(house.call(stream=True)) as reply:
            assert (await reply.read()).text == "a"
        await shop.clock.sleep(3)
        assert len(shop.left) == 1
        assert (await house.error(stream=True)).code == "idempotency_answer_not_kept"

    virtual_time(story())


def test_a_call_waits_for_a_caller_who_reads_slowly(houses, shop):
    """It is never too far ahead."""
    house, word = houses(most=1), "x" * (AHEAD // 5)
    shop.seconds, shop.script = 0, [word] * 10

    async def story():
        async with await house.handle(house.call(stream=True)) as reply:
            await shop.clock.sleep(1)
            assert house.once.outlive._running
            assert [event.text async for event in reply] == [word] * 10

    virtual_time(story())


@pytest.mark.parametrize(("seconds", "kept"), [(3, True), (30, False)])
def test_at_the_end_calls_have_a_grace(house, other, shop, seconds, kept):
    """What takes longer is cut off, and the key is free."""
    shop.seconds = seconds

    async def story():
        first = house.start(house.ask())
        await shop.clock.sleep(1)
        house.once.outlive.stop(5)
        await house.once.outlive.finish(100)
        assert shop.clock.monotonic() == (3 if kept else 6)
        await house.once.close()
        assert not house.once.outlive._running
        if kept:
            assert await first == ("a", "off")
        else:
            with pytest.raises(StoppingError):
                await first
        assert len(shop.names()) == kept
        assert (await other.ask())[1] == ("hit" if kept else "off")

    virtual_time(story())


def test_a_task_that_never_began(house, shop):
    """It was ended in the moment in which it was made: its caller is told, and does not wait for ever."""

    async def story():
        first = house.start(house.ask())
        await asyncio.sleep(0)
        await house.once.close()
        with pytest.raises(StoppingError):
            await first

    virtual_time(story())
    assert not shop.calls


def test_what_waits_for_the_end_of_a_call(house, shop):
    """Its caller may have left; of a call that is none of ours, it is the end already."""
    said = []

    async def story():
        call = house.call()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await house.handle(call)
        house.once.outlive.after(call.id, lambda: said.append(shop.clock.monotonic()))
        house.once.outlive.after("another", lambda: said.append("at once"))
        await shop.clock.sleep(2)

    virtual_time(story())
    assert said == ["at once", 1.0]


def test_a_failure_that_nobody_foresaw_is_logged_where_nobody_hears_it(shop, caplog):
    """And told to its caller, where there is one."""

    async def below(_):
        await shop.clock.sleep(1)
        raise ZeroDivisionError

    async def story():
        house = House(shop, below)
        with pytest.raises(ZeroDivisionError):
            await house.ask()
        assert not caplog.records
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await house.ask()
        await shop.clock.sleep(1)
        assert "its caller has left" in caplog.text

    virtual_time(story())
