"""What tests of durable jobs share: a gate with books in memory, on the virtual clock, and a queue in memory."""

import asyncio

import pytest

from headgate.core.call import Operation
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance
from headgate.gate.tasks import Tasks
from headgate.jobs.durable.desk import Desk
from headgate.jobs.durable.worker import Worker
from headgate.jobs.intake import Taken
from headgate.jobs.row import Row
from headgate.stores.jobs import Settings
from headgate.testing import VirtualClock, virtual_time


def asked(count, first=1):
    """Rows as they come from an input."""
    body = b'{"model": "gpt-6-luna", "messages": [{"role": "user", "content": "%d?"}], "max_tokens": 5}'
    numbers = range(first, first + count)
    return [Taken(Row(number=n, id=f"c{n}", operation=Operation.CHAT, body=body % n), n) for n in numbers]


async def each(rows):
    """Rows, one after the other."""
    for one in rows:
        yield one


class Line:
    """A queue in memory, with DBOS's promises: a shard is put once for each `wanted`, and taken once until revived."""

    def __init__(self):
        self.known = set()
        self.waiting = asyncio.Queue()
        self.taken = {}
        self.tasks = {}

    async def put(self, job, place, wanted):
        if (job, place, wanted) not in self.known:
            self.known.add((job, place, wanted))
            await self.waiting.put((job, place))

    async def revive(self, worker):
        for one in self.taken.pop(worker, []):
            await self.waiting.put(one)

    async def serve(self, worker):
        """Give a worker one shard after another."""
        while True:
            one = await self.waiting.get()
            self.taken.setdefault(worker.name, []).append(one)
            await worker.work(*one)
            self.taken[worker.name].remove(one)


class Place:
    """A store, a simulator, and workers that come and go."""

    def __init__(self, folder, **settings):
        self.folder = folder
        provider = {"type": "simulator", "latency": {"first_token": 1.0}, **settings.pop("provider", {})}
        self.config = Config.model_validate(
            {
                "store": "memory://",
                "providers": {"p": provider},
                "models": {"default": "gpt-6-luna", "*": {"targets": [{"provider": "p"}]}},
                **settings,
            }
        )  # fmt: skip
        self.clock, self.chance = VirtualClock(), SystemChance(1)

    async def __aenter__(self):
        self.gate = await Gate.open(self.config, clock=self.clock, chance=self.chance)
        self.book = self.gate.batching.jobs
        self.desk = Desk(self.book, clock=self.clock, chance=self.chance)
        self.line = Line()
        self.tasks = Tasks()
        return self

    async def __aexit__(self, *_):
        await self.tasks.close()
        await self.gate.close()

    async def give(self, rows, name="job", **settings):
        """A job."""
        return await self.desk.submit(each(rows), {"model": None}, name=name, number=len(rows),
                                      settings=Settings(**settings))  # fmt: skip

    async def worker(self, folder="a"):
        """A worker that has begun; its folder is a machine's."""
        worker = Worker(self.gate, self.book, folder=self.folder / folder, clock=self.clock, chance=self.chance)
        await worker.enter()
        return worker


@pytest.fixture
def place(tmp_path):
    """Makes places, and runs a story there in virtual time."""

    def run(story, **settings):
        async def told():
            async with Place(tmp_path, **settings) as here:
                return await story(here)

        return virtual_time(told())

    return run


@pytest.fixture(name="asked")
def _asked():
    """Makes rows."""
    return asked


@pytest.fixture(name="each")
def _each():
    """Makes an asynchronous iterator."""
    return each
