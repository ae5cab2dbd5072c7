"""Two gateways that share Postgres and Valkey, killed again and again under load, while both stores come and go.

Each key has a budget that is soon used up; after each death the callers go on with another key, so that deaths meet
every state of a budget. In the end no attempt is missing from the ledger and none is doubled, the provider's own bill
of each key is within its budget (but for what was only counted, which is listed), and nothing is lent any more.
"""

import asyncio
import os
from collections import Counter
from decimal import Decimal
from hashlib import sha256

import pytest

from headgate.core.money import from_usd, to_usd
from headgate.gate.ports import SystemChance

LIMIT = from_usd("0.015")
"""What each key may spend: what the crowd uses up within seconds."""
ROWS = "SELECT call_id, attempt, key, settled, basis, cost, held FROM attempts"
SPENT = "SELECT cap, amount FROM spent"
LENT = "SELECT owner, cap, amount FROM lent WHERE amount > 0"
SEEDS = [int(seed) for seed in os.environ.get("CHAOS_SEEDS", "1").split(",")]


class Town:
    """Two gateways, the stores that they share, the crowd, and what becomes of them."""

    def __init__(self, stage, postgres, valkey, ports):
        self.stage, self.postgres, self.valkey = stage, postgres, valkey
        self.ports = ports
        self.gates = []

    async def build(self, keys):
        """Everything but the crowd."""
        stage = self.stage
        self.valkey.start()
        # A store of rates that has just started lets nobody in for a while.
        self.valkey.settle_down()
        await asyncio.to_thread(self.postgres.start)
        await stage.simulate()
        base_url = f"http://127.0.0.1:{stage.simulator.port}/v1"
        stage.settings |= {
            "store": self.postgres.url,
            "shared": self.valkey.url,
            "server": {"auth": "keys"},
            "keys": [{"name": key, "sha256": sha256(key.encode()).hexdigest(), "project": "town"} for key in keys],
            "providers": {
                "up": {
                    "type": "openai", "base_url": base_url, "api_key": "k", "responses": True,
                    "limits": {"requests_per_minute": 60_000, "tokens_per_minute": 30_000_000},
                }
            },
            "models": {"*": {"targets": [{"provider": "up"}], "default_max_output": 100}},
            "budgets": [
                {"name": "each", "scope": "key", "window": "total", "limit_usd": str(to_usd(LIMIT))},
                {"name": "all", "limit_usd": 1000, "window": "total"},
            ],
        }  # fmt: skip
        self.gates = [await stage.serve(port) for port in self.ports]
        await asyncio.gather(*(gate.ready() for gate in self.gates))

    async def death(self, chance):
        """One of the gateways dies under load, or before it has come up, and is started again."""
        number = int(chance.random() * len(self.gates))
        if chance.random() < 0.8:
            await asyncio.gather(*(gate.ready() for gate in self.gates))
            await asyncio.sleep(0.2 + 3 * chance.random())
        else:
            await asyncio.sleep(chance.random())
        await self.gates[number].kill()
        self.gates[number] = await self.stage.serve(self.ports[number])

    async def database_away(self, seconds):
        """Postgres is stopped for a while."""
        await asyncio.to_thread(self.postgres.stop)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.postgres.start)

    async def rates_away(self):
        """Valkey is killed, and comes back empty."""
        self.valkey.kill()
        await asyncio.sleep(0.5)
        self.valkey.start()

    async def quiet(self):
        """Everybody has gone: wait until all is booked, and nothing is lent any more."""
        await asyncio.gather(*(gate.ready() for gate in self.gates))
        for _ in range(200):
            if not self.stage.read(LENT):
                return
            await asyncio.sleep(0.2)

    async def check(self, tally):
        """Hold each key's budget against the provider's bill."""
        _, bill = await self.stage.get(self.stage.simulator.port, "/__bill")
        billed = {line["client_request_id"]: from_usd(Decimal(line["amount_usd"])) for line in bill["lines"]}
        rows = self.stage.read(ROWS)
        booked, charged, excess = Counter(), Counter(), Counter()
        for row in rows:
            line = billed.get(f"{row['call_id']}-{row['attempt']}", 0)
            booked[row["key"]] += row["cost"] or 0
            charged[row["key"]] += line
            tally.must(line <= (row["held"] or 0), f"{row} was charged {line}, more than was held for it")
            if row["basis"] == "counted":
                excess[row["key"]] += max(line - row["cost"], 0)
        spent = {row["cap"]: row["amount"] for row in self.stage.read(SPENT)}
        for key, cost in booked.items():
            # Who called only while the database was away has never borrowed.
            budget = spent.get(f"each:{key}", 0)
            tally.must(budget == cost <= LIMIT, f"{key}: spent {budget}, rows {cost}")
            tally.must(charged[key] <= LIMIT + excess[key], f"{key}: the provider charged {charged[key]}")
        tally.must(spent.get("all") == sum(booked.values()), f"all: {spent.get('all')}, rows {sum(booked.values())}")
        tally.must(not self.stage.read(LENT), f"lent: {self.stage.read(LENT)}")
        tally.counts["keys at their end"] = sum(cost > LIMIT * 0.8 for cost in booked.values())
        tally.counts["counted too low, in millionths of all"] = round(
            1e6 * sum(excess.values()) / sum(charged.values())
        )


@pytest.fixture
def town(stage, own_postgres, own_valkey, free_port):
    """An empty town."""
    return Town(stage, own_postgres, own_valkey, [free_port(), free_port()])


async def _story(town, callers, tell, *, seed, kills, away):
    keys = [f"key-{number}" for number in range(kills + 1)]
    stage, chance = town.stage, SystemChance(seed=seed)
    async with stage:
        await town.build(keys)
        async with callers(seed, town.ports) as crowd, asyncio.TaskGroup() as trouble:
            for number, key in enumerate(keys[:-1]):
                crowd.key = key
                if number == kills // 3:
                    trouble.create_task(town.database_away(away))
                if number == 2 * kills // 3:
                    await town.rates_away()
                await town.death(chance)
            crowd.key = keys[-1]
            await asyncio.gather(*(gate.ready() for gate in town.gates))
            await asyncio.sleep(2)
        await town.quiet()
        for gate in town.gates:
            await gate.stop(troubled=True)
        assert stage.journals() == []
        tally = await stage.audit(crowd.heard, kills=kills)
        await town.check(tally)
        statuses = Counter(one.status for one in crowd.heard)
        assert statuses[200] > 20 * kills, statuses
        assert statuses[429] > 20, statuses
        assert tally.counts["crashed calls"], "no kill hit a call: the test proves nothing"
        assert tally.counts["keys at their end"], tally.counts
        tell(f"money, seed {seed}", tally)


@pytest.mark.e2e
@pytest.mark.timeout(120)
def test_three_kills_and_a_database_that_goes(town, callers, tell):
    """The short form, for every day."""
    asyncio.run(_story(town, callers, tell, seed=7, kills=3, away=3))


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_twenty_kills(town, callers, tell, seed):
    """At length: Postgres is away for twenty seconds in the midst of it."""
    asyncio.run(_story(town, callers, tell, seed=seed, kills=20, away=20))
