"""An event loop in a thread of its own, for programs that have none, or have another one.

Decides how a coroutine is run from any thread, waited for, and cancelled when the waiting is broken off (Ctrl-C);
refuses to know what it does.
"""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import Any, Generic, TypeVar

from headgate.core.errors import StoppingError

T = TypeVar("T")

GRACE = 5.0
"""Seconds that a cancelled coroutine has for giving everything back, before its caller goes on without it."""


def wait_for(work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    """Run a coroutine on a loop that runs in another thread, and wait for its outcome.

    If the waiting is broken off by an exception (`KeyboardInterrupt`), the coroutine is cancelled and waited for.

    Raises:
        RuntimeError: this is the loop's own thread; waiting would block the loop.
        StoppingError: the loop ended meanwhile, or the program is ending.
    """
    if asyncio._get_running_loop() is loop:  # noqa: SLF001  documented; the public one raises where there is none
        work.close()
        message = "A synchronous call would block the event loop that it needs. Use the asynchronous face here."
        raise RuntimeError(message)
    if sys.is_finalizing():
        # Daemon threads stand still by now: waiting would be for ever.
        work.close()
        raise StoppingError("The program is ending.")
    errand = _Errand(work)
    try:
        loop.call_soon_threadsafe(errand.start)
    except RuntimeError:
        work.close()
        raise StoppingError("This gate is closed.") from None
    try:
        return errand.outcome.result()
    except BaseException:
        if not errand.outcome.done():
            loop.call_soon_threadsafe(errand.stop)
            with contextlib.suppress(NotYet):
                errand.outcome.exception(GRACE)
        raise


class _Errand(Generic[T]):
    """A coroutine on its way through another thread's loop. Its outcome is set when it has really ended."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self.outcome: Future[T] = Future()
        self._work = work
        self._task: asyncio.Task[T] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._work)
        self._task.add_done_callback(self._end)

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _end(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.outcome.set_exception(StoppingError("The gate was closed while the call ran."))
        elif error := task.exception():
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())


class LoopThread:
    """A loop in a daemon thread: started at first use, stopped by `close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = 0
        self._closed = False

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop, and wait for its outcome. From any thread but the loop's own.

        Raises:
            StoppingError: it is closed.
            RuntimeError: the process was forked after the loop had started: the thread stayed behind.
        """
        try:
            loop = self._running()
        except BaseException:
            work.close()
            raise
        return wait_for(work, loop)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._process and self._process != os.getpid():
            message = "This Headgate was opened before the process was forked. Make one in each process."
            raise RuntimeError(message)
        with self._lock:
            if self._closed:
                raise StoppingError("This gate is closed.", hint="Make a new one; a closed gate stays closed.")
            if self._loop is None:
                started: Future[asyncio.AbstractEventLoop] = Future()
                self._thread = threading.Thread(target=_main, args=(started,), name="headgate", daemon=True)
                self._thread.start()
                self._loop = started.result()
                self._process = os.getpid()
            return self._loop

    @property
    def started(self) -> bool:
        """Whether the loop runs, in this process."""
        return self._loop is not None and self._process == os.getpid()

    def close(self) -> None:
        """Cancel what still runs, end the loop and its thread. Safe to call twice."""
        with self._lock:
            self._closed = True
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None or self._process != os.getpid():
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def _main(started: "Future[asyncio.AbstractEventLoop]") -> None:
    # The runner cancels what is left, finishes generators and closes the loop.
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        loop.call_soon(started.set_result, loop)
        loop.run_forever()
