"""Processes in virtual time that share a store and a provider: what a call meets there that is made once."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from headgate.core.attempt import Attempt
from headgate.core.body import Body
from headgate.core.call import Call, Caller, Operation
from headgate.core.errors import HeadgateError, StoreError
from headgate.core.policy import Handler, compose
from headgate.core.reply import Event, Kind, Reply
from headgate.gate.ports import SystemChance
from headgate.gate.tasks import Tasks
from headgate.policies.once.made import Settings
from headgate.policies.once.once import Once
from headgate.stores.memory_blobs import MemoryBlobs
from headgate.testing import VirtualClock

ANNA = Caller(key="anna", project="p")


class Shop:
    """What all processes share: the store, the clock, and the provider, which answers after `seconds`.

    Attributes:
        calls: what has reached the provider.
        left: calls that were closed or cancelled before their end.
        script: what it answers, in words; an error is raised where it stands.
    """

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryBlobs(self.clock)
        self.calls: list[Call] = []
        self.left: list[str] = []
        self.seconds = 1.0
        self.script: list[str | Exception] = ["a", "b", "c"]

    def names(self) -> list[str]:
        """What stands in the store."""
        return [
            name for kept in (self.store._put, self.store._claimed) for name in list(kept) if self.store._find(name)
        ]

    async def answer(self, call: Call) -> Reply:
        """The provider."""
        self.calls.append(call)
        attempt = Attempt(len(call.trail) + 1, "up", "m")
        call.trail.append(attempt)
        try:
            await self.clock.sleep(self.seconds)
        except BaseException:
            self.left.append(call.id)
            raise
        first, *rest = self.script
        if isinstance(first, Exception):
            raise first
        if call.stream:
            reply = Reply([_event(first)], _Rest(self, call, rest), close=lambda: _Rest.closed(self, call), stream=True)
        else:
            reply = Reply([Event(kind=Kind.TERMINAL, raw=first.encode(), text=first)], headers={"x-a": "1"})
        reply.attempts = call.trail
        return reply


class Way:
    """The way of one process to the store, which can be closed."""

    def __init__(self, store: MemoryBlobs) -> None:
        self._store = store
        self.away = False
        self.deaf = False
        """What is said arrives, and no answer comes back."""

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise StoreError("It is away.")
        return self._deafly(getattr(self._store, name)) if self.deaf else getattr(self._store, name)

    def _deafly(self, ask: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def asked(*given: Any) -> Any:
            await ask(*given)
            raise StoreError("Its answer was lost.")

        return asked


class _Rest:
    def __init__(self, shop: Shop, call: Call, words: list[Any]) -> None:
        self._shop = shop
        self._call = call
        self._words = iter(words)

    def __aiter__(self) -> "_Rest":
        return self

    async def __anext__(self) -> Event:
        await self._shop.clock.sleep(self._shop.seconds)
        word = next(self._words, None)
        if word is None:
            raise StopAsyncIteration
        if isinstance(word, Exception):
            raise word
        return _event(word)

    @staticmethod
    async def closed(shop: Shop, call: Call) -> None:
        shop.left.append("closed " + call.id)


def _event(word: str) -> Event:
    return Event(kind=Kind.CONTENT, raw=word.encode(), text=word)


class House:
    """One process."""

    def __init__(self, shop: Shop, below: Handler | None = None, **settings: Any) -> None:
        self.shop = shop
        self.tasks = Tasks()
        self.callers = Tasks()
        self.blobs = Way(shop.store)
        self.once = Once(
            self.blobs, Settings(**settings), clock=shop.clock, chance=SystemChance(), start=self.tasks.start
        )
        self.handle: Callable[[Call], Awaitable[Reply]] = compose(
            [self.once.outlive, self.once, self.once.leaving] if below is None else [self.once.outlive, self.once],
            below or shop.answer,
        )
        self._number = 0

    def call(self, key: str | None = "k", body: bytes = b"{}", **facts: Any) -> Call:
        """A call."""
        self._number += 1
        plain: dict[str, Any] = {"operation": Operation.CHAT, "model": "m", "caller": ANNA, "day": "2027-01-15"}
        return Call(
            id=f"{id(self)}-{self._number}", body=Body(body), started=self.shop.clock.monotonic(), idempotency_key=key,
            **{**plain, **facts},
        )  # fmt: skip

    async def ask(self, *given: Any, **facts: Any) -> tuple[str, str]:
        """Words and where they came from."""
        async with await self.handle(self.call(*given, **facts)) as reply:
            return "".join([event.text async for event in reply]), reply.cache

    def start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Somebody who calls."""
        return self.callers.start(work, "caller")

    async def error(self, *given: Any, **facts: Any) -> HeadgateError:
        """The error that a call gets."""
        with pytest.raises(HeadgateError) as caught:
            await self.ask(*given, **facts)
        return caught.value

    async def die(self) -> None:
        """As `kill -9` does it: nobody says anything any more."""
        self.blobs.away = True
        await self.tasks.close()

    async def rest(self) -> None:
        """Until nothing goes on here."""
        while self.tasks._running:
            await asyncio.wait(list(self.tasks._running))
