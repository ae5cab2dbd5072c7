"""The owner: this process among those that share a store, known to live as long as its lease runs.

Decides when the lease is taken, renewed and given back, and keeps what the store could not be told; refuses to know
calls. There is one lease for all calls of a process. It is taken before anything is claimed in its name, so whoever
finds a claim and no lease knows that the owner is gone.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from headgate.core.clock import Chance, Clock
from headgate.core.errors import StoreError
from headgate.stores.blobs import Blobs

LEASE = 10.0
"""Seconds for which a process is believed to live without a word of it."""
EVERY = LEASE / 5
"""Seconds between two words."""
MOST_OWED = 64 * 1024 * 1024
"""Bytes that are kept for the store while it is away."""
Start = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]
_ALIVE = b"alive"


class Owner:
    """This process.

    Args:
        blobs: the store.
        clock: tells the time.
        chance: names this process.
        start: starts a task, which whoever gives it owns too.

    Attributes:
        name: under which the lease stands.
    """

    def __init__(self, blobs: Blobs, clock: Clock, chance: Chance, start: Start) -> None:
        self.name = "once-owner:" + chance.token()
        self._blobs = blobs
        self._clock = clock
        self._start = start
        self._calls = 0
        self._fresh = 0.0
        """Until then, the lease need not be looked at before something is claimed."""
        self._lock = asyncio.Lock()
        self._beating = False
        self._closed = False
        self._owed: dict[tuple[str, bytes], tuple[bytes | None, float, bytes | None]] = {}

    async def enter(self) -> None:
        """A call is about to be claimed: see that the lease runs, and keep it running until `leave`.

        Raises:
            StoreError: the store is away.
        """
        self._calls += 1
        try:
            if self._clock.monotonic() >= self._fresh:
                await self._renew()
        except BaseException:
            self._calls -= 1
            raise
        self._beat()

    def leave(self) -> None:
        """The call is settled."""
        self._calls -= 1

    async def exchange(self, name: str, old: bytes, new: bytes | None, seconds: float, short: bytes | None) -> None:
        """Settle a claim: exchange it for what came of it, now or when the store is back.

        Args:
            name: where it stands.
            old: the claim.
            new: what came of it; None where nothing did.
            seconds: for how long it is kept.
            short: what is said instead where `new` is more than the store takes, or than can be kept until it is back.
        """
        try:
            await self._say(name, old, new, seconds)
        except StoreError:
            owed = sum(len(value or b"") for value, _, _ in self._owed.values())
            self.owe(name, old, new if owed + len(new or b"") <= MOST_OWED else short, seconds, short)

    def owe(self, name: str, old: bytes, new: bytes | None, seconds: float, short: bytes | None = None) -> None:
        """Tell the store when it is back; see `exchange`."""
        self._owed[name, old] = (new, seconds, short)
        self._beat()

    async def close(self) -> None:
        """Say what is owed, and end the lease: nothing is claimed any more."""
        self._closed = True
        with suppress(StoreError):
            await self._pay()
            await self._end()

    def _beat(self) -> None:
        if not self._beating and not self._closed:
            self._beating = True
            self._start(self._beats(), "idempotency lease")

    async def _beats(self) -> None:
        try:
            while self._calls or self._owed:
                await self._clock.sleep(EVERY)
                with suppress(StoreError):
                    await self._renew()
                    await self._pay()
        finally:
            self._beating = False
        with suppress(StoreError):
            await self._end()

    async def _renew(self) -> None:
        async with self._lock:
            now = self._clock.monotonic()
            if now < self._fresh - EVERY:
                return
            if not await self._blobs.replace(self.name, _ALIVE, _ALIVE, LEASE):
                await self._blobs.claim(self.name, _ALIVE, LEASE)
            self._fresh = now + 2 * EVERY

    async def _pay(self) -> None:
        for (name, old), (new, seconds, short) in list(self._owed.items()):
            try:
                await self._say(name, old, new, seconds)
            except StoreError:
                # It is here, for the lease was renewed: then it does not take that much.
                self._owed[name, old] = (short, seconds, short)
                raise
            self._owed.pop((name, old), None)

    async def _say(self, name: str, old: bytes, new: bytes | None, seconds: float) -> None:
        if not await self._blobs.replace(name, old, new, seconds) and new is not None:
            # A store that has lost its memory is told all the same; what somebody else has said stays.
            await self._blobs.claim(name, new, seconds)

    async def _end(self) -> None:
        async with self._lock:
            # Nobody has come meanwhile, or they look at the lease after this.
            if not self._calls and not self._owed and self._fresh:
                self._fresh = 0.0
                await self._blobs.replace(self.name, _ALIVE, None, LEASE)
