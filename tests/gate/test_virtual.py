"""Time that costs nothing."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from headgate import testing
from headgate.gate import virtual
from headgate.gate.virtual import EPOCH, VirtualClock, VirtualLoop, virtual_time


def test_waiting_is_free():
    """A day passes at once, and timings are exact."""

    async def story():
        clock = VirtualClock()
        await clock.sleep(86400)
        return clock.monotonic(), clock.time()

    start = time.monotonic()  # noqa: TID251  the real time is what is saved
    assert virtual_time(story()) == (86400, EPOCH + 86400)
    assert time.monotonic() - start < 5  # noqa: TID251  ditto


def test_things_happen_in_their_order():
    """Whatever waits less happens first; what is ready goes before the clock moves on."""
    seen = []

    async def note(name, seconds):
        await asyncio.sleep(seconds)
        seen.append((name, VirtualClock().monotonic()))

    async def story():
        async with asyncio.TaskGroup() as group:
            for name, seconds in (("late", 2), ("early", 1), ("now", 0), ("also early", 1)):
                group.create_task(note(name, seconds))

    virtual_time(story())
    assert seen == [("now", 0), ("early", 1), ("also early", 1), ("late", 2)]


def test_limits_ring_on_the_dot():
    """A timeout ends a wait at its moment, and not before."""

    async def story():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.sleep(31)
        return VirtualClock().monotonic()

    assert virtual_time(story()) == 30


def test_a_deadlock_is_told():
    """Where nothing will ever happen the story ends with an error, instead of hanging the test."""

    async def story():
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing will ever happen"):
        virtual_time(story())


def test_an_error_comes_out():
    """What the story raises is raised."""

    async def story():
        await asyncio.sleep(1)
        raise KeyError("k")

    with pytest.raises(KeyError):
        virtual_time(story())


def test_threads_take_no_time():
    """Work for a thread is done at once, and what it raises is raised; whoever brings threads of his own has them."""

    def here():
        return threading.current_thread() is threading.main_thread()

    async def story():
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(divmod, 1, 0)
        return await asyncio.to_thread(here), VirtualClock().monotonic()

    assert virtual_time(story()) == (True, 0)
    with ThreadPoolExecutor(1) as pool, asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()

        async def elsewhere():
            done = loop.run_in_executor(pool, here)
            pool.shutdown()  # it is done before the loop can find that everything waits
            return await done

        assert runner.run(elsewhere()) is False


def test_users_have_it_too():
    """`headgate.testing` is where their tests find it."""
    assert {name: getattr(virtual, name) for name in testing.__all__} == {
        name: getattr(testing, name) for name in testing.__all__
    }
