"""An event loop in a thread of its own."""

import asyncio
import os
import signal
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from headgate.client.loop import LoopThread, wait_for
from headgate.core.errors import StoppingError


@pytest.fixture
def thread():
    """A loop thread that has ended after the test, and its thread with it."""
    made = LoopThread()
    yield made
    made.close()
    assert not [each for each in threading.enumerate() if each.name == "headgate"]


async def twice(n):
    """Twice the number, on a loop."""
    await asyncio.sleep(0)
    return 2 * n


def test_a_coroutine_is_run_and_its_outcome_given(thread):
    """Results come back; errors too, as they are."""

    async def fail():
        raise LookupError("gone")

    assert not thread.started
    assert thread.run(twice(2)) == 4
    assert thread.started
    with pytest.raises(LookupError, match="gone"):
        thread.run(fail())


def test_many_threads_share_one_loop(thread):
    """Started once, however many begin at the same time."""

    async def where():
        await asyncio.sleep(0.001)
        return threading.get_ident()

    with ThreadPoolExecutor(16) as pool:
        idents = set(pool.map(lambda _: thread.run(where()), range(100)))
    assert len(idents) == 1
    assert threading.get_ident() not in idents


def test_it_works_inside_a_running_loop(thread):
    """The caller's loop waits; its own runs."""

    async def story():
        return thread.run(twice(3))

    assert asyncio.run(story()) == 6


def test_its_own_thread_cannot_wait_for_itself(thread):
    """It would wait for ever; so it says so."""

    async def story():
        return thread.run(twice(1))

    with pytest.raises(RuntimeError, match="would block"):
        thread.run(story())


def test_after_the_close_nothing_runs(thread):
    """A clear error, every time; a close of what never ran is no start."""
    thread.run(twice(1))
    thread.close()
    thread.close()
    for _ in range(2):
        with pytest.raises(StoppingError, match="closed"):
            thread.run(twice(1))


def test_who_waits_when_it_closes_is_told(thread):
    """A coroutine in flight is cancelled; its caller, in another thread, gets an error and does not hang."""
    ended = threading.Event()
    begun = threading.Event()

    async def endless():
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(thread.run, endless())
        assert begun.wait(5)
        thread.close()
        with pytest.raises(StoppingError, match="closed while"):
            waiting.result(5)
    assert ended.is_set()


def test_a_close_never_loses_a_caller(thread):
    """Whoever comes while it closes gets a result or an error, and never nothing."""

    def ask(_):
        try:
            return thread.run(twice(1))
        except StoppingError:
            return None

    with ThreadPoolExecutor(8) as pool:
        asking = pool.map(ask, range(400), timeout=20)
        pool.submit(thread.close)
        assert set(asking) <= {2, None}


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_cancels_and_waits_for_the_end(thread):
    """The interrupted call has given everything back before the interrupt goes on; the loop lives on."""
    trace = []

    async def slow():
        threading.Timer(0.02, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.05)
            trace.append("given back")

    with pytest.raises(KeyboardInterrupt):
        thread.run(slow())
    assert trace == ["given back"]
    assert thread.run(twice(1)) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_is_told(thread):
    """The thread stays in the parent: the child gets an error instead of waiting for ever; a fresh one works there."""
    thread.run(twice(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            thread.run(twice(1))
        except RuntimeError as error:
            thread.close()
            os._exit(7 if "fork" in str(error) and LoopThread().run(twice(1)) == 2 else 1)
        os._exit(1)
    deadline = time.monotonic() + 20  # noqa: TID251  a real process
    status = None
    while status is None and time.monotonic() < deadline:  # noqa: TID251  ditto
        done, code = os.waitpid(child, os.WNOHANG)
        status = os.waitstatus_to_exitcode(code) if done else time.sleep(0.01)
    assert status == 7


def test_waiting_on_a_loop_that_is_gone():
    """A closed loop is a closed gate."""
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(StoppingError):
        wait_for(twice(1), loop)
