"""A stage for batches: a provider and a store that stay while our process dies, again and again, in virtual time."""

import json
from collections import Counter

import pytest

from headgate.core.call import Operation
from headgate.gate import wiring
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance
from headgate.jobs.batch.lane import BatchLane
from headgate.jobs.batch.packing import Limits
from headgate.jobs.batch.reading import Unsent
from headgate.jobs.row import Row
from headgate.stores.protocols import Query
from headgate.stores.sqlite import SqliteLedger
from headgate.testing import VirtualClock, virtual_time

MODEL = "gpt-6-luna"


def row(number, *, operation=Operation.CHAT, raw=None, **fields):
    """A question; `raw` is a whole body."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": f"Question {number}?"}], "max_tokens": 20}
    return Row(number=number, id=f"q{number}", operation=operation, body=raw or json.dumps(body | fields).encode())


async def each(rows):
    """Rows, one after the other."""
    for one in rows:
        yield one


class Stage:
    """What outlives a process: the provider and the store.

    Attributes:
        simulator: the provider.
        gate: the process of today.
    """

    def __init__(self, monkeypatch, batch, *, budgets=(), tokens=None, faults=(), policies=None):
        provider = {"responses": True, "batch": batch, "batch_tokens": tokens, "faults": list(faults)}
        self.config = Config.model_validate({
            "store": "memory://",
            "providers": {
                "other": {"type": "simulator"},
                "sim": {"type": "simulator", **provider},
            },
            "models": {"*": {"targets": [{"provider": "sim"}]}},
            "budgets": list(budgets),
            "policies": policies or {},
        })  # fmt: skip
        self._ledger = SqliteLedger(":memory:")
        kept = {}

        def simulator(provider, clock):
            name = "sim" if provider.batch == self.config.providers["sim"].batch else "other"
            if name not in kept:
                kept[name] = made(provider, clock)
            return kept[name]

        made = wiring.simulator
        monkeypatch.setattr(wiring, "simulator", simulator)
        monkeypatch.setattr(wiring, "ledger", lambda *_: self._ledger)
        self._close, self._ledger.close = self._ledger.close, self._nothing
        self.gate = None
        self._seeds = 0

    async def _nothing(self):
        """A store outlives the process."""

    async def start(self):
        """Begin a process; what ran before is gone."""
        await self.stop()
        self._seeds += 1
        self.gate = await Gate.open(self.config, clock=VirtualClock(), chance=SystemChance(seed=self._seeds))
        return self.gate

    async def stop(self):
        """End the process."""
        if self.gate is not None:
            await self.gate.close()
            self.gate = None

    @property
    def simulator(self):
        """The provider."""
        return self.gate.simulators["sim"]

    def lane(self, **settings):
        """The lane of today's process."""
        limits = Limits(**settings) if settings else None
        return BatchLane(self.gate, limits=limits)

    async def run(self, rows, job="job", **more):
        """What becomes of rows, in a process of its own."""
        limits = more.pop("limits", {})
        await self.start()
        return [one async for one in self.lane(**limits).run(each(rows), job=job, **more)]

    async def records(self, job="job"):
        """The batches of a job."""
        return await self.gate.batching.book.job(job)

    async def rows(self):
        """The lines of the ledger that are of rows: those of the tier."""
        return [line async for line in self.gate.rows(Query()) if line.service_tier == "batch"]

    async def agree(self, outcomes):
        """See that the bill, the ledger, the books of batches and the outcomes say the same, and no row was paid twice.

        Gives the rows of the bill.
        """
        bill = self.simulator.bill.lines
        total, _ = await self.gate.usage(Query())
        charged = round(self.simulator.bill.usd() * 10**12)
        assert total.cost == charged
        answered = [one for one in outcomes if not isinstance(one, Unsent)]
        assert sum(one.cost for one in answered) == charged
        numbers = Counter(one.number for one in answered) + Counter(
            one.row.number for one in outcomes if one not in answered
        )
        assert set(numbers.values()) <= {1}
        assert len(bill) == sum(one.succeeded for one in answered)
        assert total.unknown_attempts == total.unpriced_attempts == 0
        done = [record.facts for record in await self.records()]
        assert sum(one.cost for one in done) == charged
        assert sum(one.realtime for one in done) == 2 * charged
        assert [loan for balance in await self.gate.budgets() for loan in balance.loans] == []
        return bill

    def made(self):
        """The provider's batches, oldest first."""
        return list(self.simulator._archive._batches._batches.values())


@pytest.fixture
def stage(monkeypatch):
    """Run a story on a stage: `stage(story, batch={...}, budgets=[...], tokens=..., faults=[...])`."""

    def run(story, batch=None, **settings):
        async def all_of_it():
            with monkeypatch.context() as patch:
                made = Stage(patch, {"seconds": 100, **(batch or {})}, **settings)
                try:
                    return await story(made)
                finally:
                    await made.stop()
                    await made._close()

        return virtual_time(all_of_it())

    return run
