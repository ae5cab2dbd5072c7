"""Batches in real processes: a job that is killed with -9 and goes on in another one; who looks after callers'."""

import asyncio
import json
import signal
import sys
from collections import Counter

import pytest
import uvloop

from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemClock
from headgate.providers.simulator import Batch, Simulator, simulator_app
from headgate.server.serve import listening, running
from headgate.stores.batches import BatchBook
from headgate.stores.protocols import Query
from headgate.stores.sqlite import SqliteLedger

pytestmark = pytest.mark.e2e

WORKER = """
import asyncio, json, os, signal, sys
from headgate.core.call import Operation
from headgate.gate.batching import Batching
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.jobs.batch.lane import BatchLane
from headgate.jobs.batch.packing import Limits
from headgate.jobs.batch.wire import Wire
from headgate.jobs.row import Row

config, owner, step, moment = sys.argv[1:]

def deadly(method):
    async def dying(*args, **facts):
        if moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = await method(*args, **facts)
        os.kill(os.getpid(), signal.SIGKILL)
        return result
    return dying

if step:
    where = {"Wire": Wire, "Batching": Batching}[owner]
    setattr(where, step, deadly(getattr(where, step)))

async def rows():
    for number in range(1, 21):
        body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": f"{number}?"}], "max_tokens": 20}
        yield Row(number=number, id=f"q{number}", operation=Operation.CHAT, body=json.dumps(body).encode())

async def main():
    gate = await Gate.open(Config.model_validate_json(config))
    try:
        lane = BatchLane(gate, limits=Limits(rows=12), lost=0.5)
        async for one in lane.run(rows(), job="night"):
            print(one.line().decode(), end="", flush=True)
    finally:
        await gate.close()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("step", "moment"),
    [
        pytest.param(("Wire", "create"), "after", id="before it is written down that it was made"),
        pytest.param(("Wire", "create"), "before", id="before it is made", marks=pytest.mark.chaos),
        pytest.param(("Batching", "settle"), "after", id="after its answers are booked", marks=pytest.mark.chaos),
    ],
)
def test_a_killed_job_goes_on_and_pays_nothing_twice(tmp_path, step, moment):
    """Each row once, no batch made twice, and the provider's bill is what the ledger says."""

    async def story():
        simulator = Simulator(clock=SystemClock(), batch=Batch(seconds=0.6))
        async with listening(simulator_app(simulator), host="127.0.0.1", port=0, grace=1) as address:
            config = json.dumps({
                "store": f"sqlite:///{tmp_path}/headgate.db", "journal": {"path": f"{tmp_path}/journal"},
                "providers": {"there": {"type": "openai", "base_url": f"{address}/v1", "api_key": "sk-x"}},
                "models": {"*": {"targets": [{"provider": "there"}]}},
                "budgets": [{"name": "all", "scope": "gateway", "limit_usd": 1, "window": "total"}],
            })  # fmt: skip
            code, first = await run(config, *step, moment)
            assert code == -signal.SIGKILL
            code, second = await run(config, "", "", "")
            assert code == 0
        rows = {line["custom_id"]: line for line in (*first, *second)}
        assert len(rows) == 20
        assert Counter(line["custom_id"] for line in second).most_common(1)[0][1] == 1
        made = list(simulator._archive._batches._batches.values())
        assert sorted(len(batch.rows) for batch in made) == [8, 12]
        assert len(simulator.bill.lines) == 20
        return simulator.bill.usd(), sum(float(line["headgate"]["cost_usd"]) for line in rows.values())

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        charged, told = runner.run(story())
    assert told == pytest.approx(float(charged))
    asyncio.run(look(tmp_path, round(charged * 10**12)))


async def run(*arguments):
    """A worker: how it ended, and the lines that it gave."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, *arguments, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        told, _ = await process.communicate()
    return process.returncode, [json.loads(line) for line in told.splitlines()]


async def look(tmp_path, charged):
    """What the store says when all is over."""
    ledger = SqliteLedger(tmp_path / "headgate.db")
    total, _ = await ledger.usage(Query())
    assert (total.cost, total.calls) == (charged, 20)
    records = await BatchBook(ledger).job("night")
    assert sum(record.facts.cost for record in records) == charged
    assert sum(record.facts.realtime for record in records) == 2 * charged
    ((lent,),) = await ledger.read(("SELECT count(*) FROM lent WHERE amount > 0", ()))
    assert lent == 0
    await ledger.close()


@pytest.mark.parametrize(("worker", "clerks"), [(None, 1), (1, 1), (2, 0)])
def test_one_process_of_a_server_looks_after_the_batches_of_callers(worker, clerks):
    """From its start to its end; of several the first one."""

    async def story():
        settings = {"store": "memory://", "providers": {"p": {"type": "simulator"}}}
        async with await Gate.open(Config.model_validate(settings)) as gate:
            async with running(gate, port=0, grace=0.1, worker=worker):
                assert [task.get_name() for task in asyncio.all_tasks()].count("clerk") == clerks
            assert [task.get_name() for task in asyncio.all_tasks()].count("clerk") == 0

    asyncio.run(story())
