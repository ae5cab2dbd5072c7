"""What the connections of one listening socket share: who is connected, what runs, time limits, the date.

Decides how much time requests have, and how all of it ends. Refuses to know HTTP. Nothing here costs a timer per
request: one tick looks at all connections, about once a second, and each of them counts the ticks it has seen. So a
limit is met up to a tick late, and a machine that stood still for a while blames nobody.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any, Protocol

from headgate.core.clock import Chance, Clock
from headgate.gate.ports import SystemChance, SystemClock
from headgate.server.asgi import ASGIApp
from headgate.server.head import Hosts

IDLE_SECONDS = 75.0
"""How long an idle connection stays open: longer than the pools of usual clients and balancers keep theirs."""
LINGER_SECONDS = 5.0
"""How long a caller who was refused may go on sending before the connection is cut."""
MIN_RATE = 1000
"""Bytes a second that a body must come at, once it has taken `body_timeout`."""


class Member(Protocol):
    """A connection, as its listener sees it."""

    transport: asyncio.Transport

    def tick(self) -> None:
        """Some time has passed."""
        ...

    def shutdown(self) -> None:
        """End as soon as the answer under way is given."""
        ...


class Listener:
    """What connections share.

    Args:
        app: answers.
        header_timeout: seconds from the first byte of a request to the end of its headers.
        body_timeout: seconds between two pieces of a body.
        hosts: by which names the server may be called.
        new_id: names requests that never reach the application.
        clock: tells the date.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        header_timeout: float = 10.0,
        body_timeout: float = 30.0,
        hosts: Hosts | None = None,
        new_id: Callable[[], str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.app = app
        self.hosts = hosts or Hosts()
        chance: Chance = SystemChance()
        self.new_id = new_id or chance.token
        self.connections: set[Member] = set()
        self.tasks: set[asyncio.Task[Any]] = set()
        self._clock = clock or SystemClock()
        self._seconds = max(0.05, min(1.0, header_timeout / 4, body_timeout / 4))
        self.header_ticks = self._ticks(header_timeout)
        self.body_ticks = self._ticks(body_timeout)
        self.idle_ticks = self._ticks(IDLE_SECONDS)
        self.linger_ticks = self._ticks(LINGER_SECONDS)
        self.bytes_per_tick = MIN_RATE * self._seconds
        self.date = b""
        """The line of a head that tells the date."""
        self._tell_date()

    def _ticks(self, seconds: float) -> int:
        return math.ceil(seconds / self._seconds)

    def _tell_date(self) -> None:
        self.date = f"date: {formatdate(self._clock.time(), usegmt=True)}\r\n".encode()

    def tick(self) -> None:
        """Some time has passed: tell all connections."""
        self._tell_date()
        for connection in list(self.connections):
            connection.tick()

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Tick, in the running loop."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def again() -> None:
            nonlocal timer
            timer = loop.call_later(self._seconds, again)
            self.tick()

        timer = loop.call_later(self._seconds, again)
        try:
            yield
        finally:
            timer.cancel()

    async def finish(self, grace: float) -> None:
        """Let answers in flight end; cut off what takes longer than `grace` seconds."""
        for connection in list(self.connections):
            connection.shutdown()
        if not await self._quiet(grace):
            for task in list(self.tasks):
                task.cancel()
            # A moment to say so to the callers.
            await self._quiet(1.0)
            for connection in list(self.connections):
                connection.transport.abort()
            await self._quiet(1.0)

    async def _quiet(self, seconds: float) -> bool:
        """Wait until nothing is in flight."""
        with contextlib.suppress(asyncio.TimeoutError):
            async with asyncio.timeout(seconds):
                # Connections tell nobody when they end: it would cost each of them, for the sake of one moment.
                while self.tasks or self.connections:  # noqa: ASYNC110  ditto
                    await asyncio.sleep(0.02)
        return not (self.tasks or self.connections)
