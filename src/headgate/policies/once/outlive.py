"""Outlive: a call that is made once goes on when its caller leaves.

Decides in which task such a call runs: one of the gate's, from which its caller reads. All that stands below runs to
its end there, so its row in the books, its place and its tokens are those of a call that has ended in its own time.
Refuses to know which calls are worth it: one that only joins another is let go with its caller.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from headgate.core.call import Call
from headgate.core.clock import Clock
from headgate.core.errors import HeadgateError, StoppingError
from headgate.core.policy import Handler
from headgate.core.reply import Event, Kind, Reply
from headgate.policies.once.owner import Start
from headgate.policies.once.reader import Reader
from headgate.policies.once.record import concerns

AHEAD = 16 * 1024 * 1024
"""Bytes that a call may be ahead of a caller who reads slowly: much is remembered anyway, and others may be quicker."""
log = logging.getLogger("headgate")


class Outlive:
    """The policy.

    Args:
        start: starts a task, which whoever gives it owns too.
        clock: tells the time.
        wanted: whether a call goes on without its caller, by its id.
    """

    def __init__(self, start: Start, clock: Clock, wanted: Callable[[str], bool]) -> None:
        self._start = start
        self._clock = clock
        self._wanted = wanted
        self._running: dict[str, asyncio.Task[None]] = {}
        self._left: set[str] = set()
        """Calls that go on without their callers."""
        self._until: float | None = None

    def __call__(self, call: Call, next: Handler) -> Awaitable[Reply]:  # noqa: A002  the field's word
        """Send a call on in a task of its own, where it is made once."""
        return next(call) if call.idempotency_key is None or not concerns(call) else self._apart(call, next)

    async def _apart(self, call: Call, next: Handler) -> Reply:  # noqa: A002  ditto
        reader = Reader(self._clock)
        begun: asyncio.Future[Reply | BaseException] = asyncio.get_running_loop().create_future()
        task = self._start(self._run(call, next, reader, begun), "idempotent call")
        self._running[call.id] = task
        task.add_done_callback(partial(self._over, call.id))
        leave = partial(self._leave, call.id, task, reader)
        try:
            # The task is not ours to cancel, but for `leave`. One that ends before it begins says nothing.
            await asyncio.wait((begun, task), return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            await leave()
            raise
        inner = begun.result() if begun.done() else _stopping()
        if isinstance(inner, BaseException):
            raise inner
        return await _around(inner, reader, leave)

    async def _run(
        self,
        call: Call,
        next: Handler,  # noqa: A002  the field's word
        reader: Reader,
        begun: "asyncio.Future[Reply | BaseException]",
    ) -> None:
        try:
            async with await next(call) as reply:
                begun.set_result(reply)
                async for event in reply:
                    reader.give(event)
                    if reader.unread > AHEAD:
                        await reader.caught_up(AHEAD)
                    if reader.left and not self._wanted(call.id):
                        return
        except BaseException as error:
            cancelled = not isinstance(error, Exception)
            told = _stopping() if cancelled else error
            if not begun.done():
                begun.set_result(told)
            reader.end(told)
            if cancelled:
                raise
            if reader.left and not isinstance(error, HeadgateError):
                log.exception("the call %s failed unexpectedly, and its caller has left", call.id)
        else:
            reader.end()

    async def _leave(self, call_id: str, task: "asyncio.Task[None]", reader: Reader) -> None:
        """The caller has left, or has read all."""
        reader.leave()
        if task.done():
            return
        if self._wanted(call_id):
            self._left.add(call_id)
            return
        task.cancel()
        await asyncio.wait([task])

    def _over(self, call_id: str, _: "asyncio.Task[None]") -> None:
        del self._running[call_id]
        self._left.discard(call_id)

    def not_worth(self, call_id: str) -> None:
        """A call has found out that it need not be made: if its caller has left meanwhile, it ends."""
        if call_id in self._left:
            self._running[call_id].cancel()

    def after(self, call_id: str, then: Callable[[], None]) -> None:
        """Do something when a call is over, with or without its caller; at once where it is."""
        task = self._running.get(call_id)
        if task is None:
            then()
        else:
            task.add_done_callback(lambda _: then())

    def stop(self, grace: float) -> None:
        """From now on, calls have so many seconds."""
        self._until = self._clock.monotonic() + grace

    async def finish(self, grace: float) -> None:
        """Wait until all calls are over, for as long as `stop` has said, or `grace` seconds."""
        if self._until is None:
            self.stop(grace)
        assert self._until is not None, "just set"
        while self._running and (left := self._until - self._clock.monotonic()) > 0:
            await asyncio.wait(list(self._running.values()), timeout=left)

    async def close(self) -> None:
        """End all calls now."""
        while running := list(self._running.values()):
            for task in running:
                task.cancel()
            await asyncio.wait(running)


def _stopping() -> StoppingError:
    return StoppingError("The gate is shutting down; the answer was cut off.")


async def _around(inner: Reply, reader: Reader, leave: Callable[[], Coroutine[Any, Any, None]]) -> Reply:
    """The reply to the caller, who reads what the one inside gives."""
    held: list[Event] = []
    try:
        async for event in reader:
            held.append(event)
            if inner.stream and event.kind is not Kind.PREAMBLE:
                break
    except BaseException:
        await leave()
        raise
    outer = Reply(
        held,
        reader if inner.stream else None,
        close=leave,
        stream=inner.stream,
        status=inner.status,
        headers=inner.headers,
        target=inner.target,
    )
    outer.attempts, outer.cache, outer.simulated = inner.attempts, inner.cache, inner.simulated
    return outer
