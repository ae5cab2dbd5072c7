"""The owner of background tasks: whoever starts one, this ends it.

A task that dies of an error is reported through the logger `headgate` and is not restarted: its owner decides.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

Start = Callable[[Coroutine[Any, Any, Any], str], asyncio.Task[Any]]
"""What starts a background task, and owns it."""

log = logging.getLogger("headgate")


class Tasks:
    """A set of running tasks that ends with its owner."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run a coroutine in the background."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("the background task %s died", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Cancel all of them, and wait until they are gone."""
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
