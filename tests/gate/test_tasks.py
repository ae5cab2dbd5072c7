"""Background tasks and their owner."""

import asyncio
import logging

import pytest

from headgate.gate.tasks import Tasks
from headgate.testing import virtual_time


def test_a_task_runs_and_is_forgotten():
    """It has the name it was given, and its owner keeps nothing of it once it is done."""

    async def work():
        await asyncio.sleep(1)
        return 7

    async def story():
        tasks = Tasks()
        task = tasks.start(work(), "seven")
        assert task.get_name() == "seven"
        assert tasks._running == {task}
        found = await task
        await asyncio.sleep(0)
        return found, tasks._running

    assert virtual_time(story()) == (7, set())


def test_closing_ends_them_all():
    """After `close` every task is gone, also one that takes its time to say goodbye; closing again is fine."""
    farewells = []

    async def slow():
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(5)
            farewells.append("slow")

    async def story():
        tasks = Tasks()
        running = [tasks.start(slow(), "slow"), tasks.start(asyncio.sleep(3600), "sleep")]
        await asyncio.sleep(1)
        await tasks.close()
        await tasks.close()
        return [task.cancelled() for task in running], asyncio.get_running_loop().time()

    assert virtual_time(story()) == ([True, True], 6)
    assert farewells == ["slow"]


def test_a_task_that_dies_is_reported(caplog):
    """Its error and its name are logged; others go on."""

    async def fails():
        message = "out of ink"
        raise ValueError(message)

    async def story():
        tasks = Tasks()
        other = tasks.start(asyncio.sleep(10), "other")
        tasks.start(fails(), "printer")
        await asyncio.sleep(1)
        alive = not other.done()
        await tasks.close()
        return alive

    with caplog.at_level(logging.ERROR, "headgate"):
        assert virtual_time(story())
    (record,) = caplog.records
    assert record.getMessage() == "the background task printer died"
    assert isinstance(record.exc_info[1], ValueError)


def test_a_task_that_was_cancelled_is_not_reported(caplog):
    """To be cancelled is an ordinary end."""

    async def story():
        tasks = Tasks()
        task = tasks.start(asyncio.sleep(10), "sleep")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    virtual_time(story())
    assert not caplog.records
