"""A process that shares limits: takes, works, settles; writes down when. Run by `test_shared_rates.py`.

Each line on stdout is `+ time`, `- time` or `! error`: a place taken, one given back (before the store is told), a
refusal.
"""

import asyncio
import sys

from headgate.core.errors import SharedStoreError
from headgate.core.limits import Demand, Limits
from headgate.gate.ports import SystemChance, SystemClock
from headgate.gate.tasks import Tasks
from headgate.stores.rates import Rule
from headgate.stores.redis_rates import RedisRates

CLOCK = SystemClock()
ONE = Demand()


def say(sign: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{sign} {CLOCK.time()}\n")
    sys.stdout.flush()


async def caller(store: RedisRates, rule: Rule, work: float) -> None:
    """One caller after the other."""
    while True:
        try:
            grant = await store.take(rule, ONE)
        except SharedStoreError:
            say("!")
            await asyncio.sleep(0.02)
            continue
        if grant.limited is not None:
            await asyncio.sleep(min(grant.wait, 0.1))
            continue
        say("+")
        await asyncio.sleep(work)
        say("-")
        store.settle(rule, grant, ONE, ONE)


async def main(url: str, mode: str, lease: str, places: str, work: str) -> None:
    """Until killed."""
    tasks = Tasks()
    store = RedisRates(url, clock=CLOCK, chance=SystemChance(), start=tasks.start, lost=mode, lease=float(lease))
    await store.open()
    rule = Rule("t", Limits(concurrency=int(places)))
    async with asyncio.TaskGroup() as group:
        for _ in range(int(places) + 2):
            group.create_task(caller(store, rule, float(work)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
