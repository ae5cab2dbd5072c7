"""The cache and its store: a store that is away, one that is slow, and answers that are on their way to it."""

import asyncio
import json

import pytest

from headgate.core.body import Body
from headgate.core.call import Call, Operation, Target
from headgate.core.errors import StoreError
from headgate.core.reply import Event, Kind, Reply
from headgate.gate.tasks import Tasks
from headgate.policies.cache.cache import Cache
from headgate.policies.cache.naming import Rule
from headgate.stores.journal import MemoryJournal
from headgate.stores.memory_blobs import MemoryBlobs
from headgate.testing import VirtualClock, virtual_time


class Slow(MemoryBlobs):
    """A store that takes its time, and may be away."""

    def __init__(self, looks=0.0, puts=0.0):
        super().__init__(VirtualClock())
        self.looks, self.puts, self.away = looks, puts, False

    async def get(self, name):
        """Look, and give what was there then."""
        found = await super().get(name)
        await VirtualClock().sleep(self.looks)
        if self.away:
            raise StoreError("Away.")
        return found

    async def drop(self, label=None):
        """Forget."""
        if self.away:
            raise StoreError("Away.")
        return await super().drop(label)

    async def put(self, name, value, seconds, labels=()):
        """Put, later."""
        await VirtualClock().sleep(self.puts)
        if self.away:
            raise StoreError("Away.")
        await super().put(name, value, seconds, labels)


class World:
    """A cache in front of a provider that gives every answer its own number, after a while."""

    def __init__(self, blobs, takes=1.0, **settings):
        self.tasks = Tasks()
        self.takes = takes
        self.asked = 0
        self.cache = Cache(
            blobs,
            lambda _: Rule(enabled=True, ttl=100.0),
            clock=VirtualClock(),
            start=self.tasks.start,
            journal=MemoryJournal(),
            **settings,
        )

    async def provider(self, _call):
        """Answer."""
        self.asked += 1
        number = self.asked
        await VirtualClock().sleep(self.takes)
        choice = {"index": 0, "message": {"role": "assistant", "content": f"{number}"}, "finish_reason": "stop"}
        raw = json.dumps({"object": "chat.completion", "choices": [choice]}).encode()
        return Reply([Event(kind=Kind.TERMINAL, raw=raw, text=str(number))], target=Target("p", "m"))

    async def ask(self, text="Hi", **more):
        """The answer's number, and where it came from."""
        raw = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
        call = Call("c", Operation.CHAT, "m", Body(raw), 0.0, "d", **more)
        async with await self.cache(call, self.provider) as reply:
            return (await reply.read()).text, reply.cache


def tell(story, blobs=None, **settings):
    """Run a story; nothing may be left afterwards."""

    async def inside():
        world = World(blobs or MemoryBlobs(VirtualClock()), **settings)
        await story(world)
        for _ in range(100):
            await VirtualClock().sleep(0.1)
        assert not world.cache._flights
        assert not world.cache._looking
        assert not world.tasks._running

    virtual_time(inside())


def test_a_store_that_is_away_makes_misses():
    """No errors, and those who ask at once still share; when it is back, so are its answers."""
    blobs = Slow()

    async def story(world):
        assert await world.ask() == ("1", "miss")
        await VirtualClock().sleep(0.1)
        blobs.away = True
        told = await asyncio.gather(*(world.ask() for _ in range(3)))
        assert told == [("2", "miss"), ("2", "coalesced"), ("2", "coalesced")]
        assert await world.ask() == ("3", "miss")
        await VirtualClock().sleep(0.1)
        blobs.away = False
        assert await world.ask() == ("1", "hit")
        blobs.away = True
        with pytest.raises(StoreError):
            await world.cache.purge()
        blobs.away = False

    tell(story, blobs)


def test_whoever_looked_too_early_finds_the_answer_all_the_same():
    """It looked before the answer was there, and came back after the flight had landed: there is no second question."""

    async def story(world):
        first = world.tasks.start(world.ask(), "asks")
        await VirtualClock().sleep(2.95)
        # The question is under way since 2.0 and over at 3.0.
        late = world.tasks.start(world.ask(), "asks")
        assert (await first)[1] == "miss"
        assert (await late)[0] == "1"
        assert world.asked == 1

    tell(story, Slow(looks=2.0), takes=1.0)


def test_an_answer_on_its_way_to_the_store_is_a_hit():
    """Whoever comes between its end and its landing."""

    async def story(world):
        assert await world.ask() == ("1", "miss")
        assert await world.ask() == ("1", "hit")
        assert world.asked == 1

    tell(story, Slow(puts=5.0))


def test_what_is_too_large_is_not_kept():
    """Whatever it is."""

    async def story(world):
        assert [(await world.ask())[1] for _ in range(2)] == ["miss", "miss"]

    tell(story, largest=50)


def test_another_one_is_another_question():
    """Beside each other."""

    async def story(world):
        told = await asyncio.gather(*(world.ask(text) for text in "abab"))
        assert [cache for _, cache in told] == ["miss", "miss", "coalesced", "coalesced"]
        assert told[0][0] != told[1][0]

    tell(story)
