"""Covers jobs/durable/runtime.py: DBOS itself, on SQLite: a shard is taken once for each time that it is wanted."""

import asyncio

import pytest

from headgate.core.errors import StoreError
from headgate.gate.ports import SystemClock

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("default")]


def test_a_shard_is_taken_once(tmp_path):
    """However often it is put there; it is taken again where it is wanted again. Nobody's shards can be revived."""
    from headgate.jobs.durable.runtime import Runtime

    async def story():
        taken, done = [], asyncio.Event()

        async def work(job, place):
            taken.append((job, place))
            if len(taken) == 3:
                done.set()

        runtime = Runtime(
            database=f"sqlite:///{tmp_path}/jobs.db", schema="dbos", worker="me", work=work, clock=SystemClock()
        )
        await runtime.launch()
        for place, wanted in ((0, 1), (0, 1), (1, 1), (0, 2)):
            await runtime.put("job", place, wanted)
        await runtime.revive("nobody")
        async with asyncio.timeout(30):
            await done.wait()
        await runtime.close()
        with pytest.raises(StoreError):
            await runtime.put("job", 5, 1)
        assert sorted(taken) == [("job", 0), ("job", 0), ("job", 1)]

    asyncio.run(story())
