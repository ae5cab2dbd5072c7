"""Callers who leave, in hundreds, at any moment, while others wait for the same answers: nothing is left behind.

The crowd of `test_cancelled.py`, in front of a cache that all keys share: who leads leaves as often as who joins.
"""

import asyncio
from collections import Counter

import pytest

from headgate.stores.protocols import Query
from headgate.testing import virtual_time
from tests.gate.leaving import Crowd, at_the_gate, check_books, held, settings
from tests.gate.test_cancelled import opened, the_next


async def story(number):
    """They come, and leave."""
    given = settings()
    given["policies"]["cache"] = {"enabled": True, "scope": "gateway", "ttl": 5}
    async with opened(given) as (gate, keys):
        before = asyncio.all_tasks()
        crowd = Crowd(at_the_gate(gate, keys), seed=number, seconds=0.03 * number, patience=60)
        await crowd.come(number)
        # An answer that is on its way to the store is nobody's any more.
        await asyncio.sleep(1)
        assert asyncio.all_tasks() == before
        rows = [row async for row in gate.rows(Query())]
        assert held(gate, gate.simulators) == {}
        assert gate.cache._flights == gate.cache._looking == {}
        check_books(gate, rows, gate.simulators)
        total, _ = await gate.usage(Query())
        assert total.calls == gate.meter.counters.calls
        given["policies"].pop("cache")
        await the_next(gate)
        return crowd, Counter(row.cache for row in rows)


@pytest.mark.timeout(240)
def test_nothing_is_left():
    """No task, answer, place, queue entry or open attempt, and every row stands in the books once."""
    crowd, told = virtual_time(story(700))
    assert crowd.left.total() == 700
    assert crowd.left.keys() >= {"reader"}
    assert min(told["miss"], told["hit"], told["coalesced"]) > 20, told
