"""`kill -9` under load: every attempt that the provider saw is on the books exactly once after the restart.

A run follows from its seed as far as a machine allows: what is asked, what goes wrong upstream, and when the gateway
is killed. The seed stands in the name of the test; `CHAOS_SEEDS=7,8 make chaos` takes others.
"""

import asyncio
import os

import pytest

from headgate.gate.ports import SystemChance

SEEDS = [int(seed) for seed in os.environ.get("CHAOS_SEEDS", "1,2").split(",")]


async def _moment(gateway, chance) -> None:
    """Let the gateway live a while: seconds under load, or not even long enough to come up."""
    if chance.random() < 0.25:
        # While it starts, it adopts what the last one left.
        await asyncio.sleep(1.5 * chance.random())
    else:
        await gateway.ready()
        await asyncio.sleep(0.1 + 2.5 * chance.random())


async def _kills(stage, callers, port, tell, *, seed, kills) -> None:
    chance = SystemChance(seed=seed)
    async with stage:
        await stage.simulate()
        gateway = await stage.serve(port)
        async with callers(seed, [port]) as crowd:
            for _ in range(kills):
                await _moment(gateway, chance)
                await gateway.kill()
                gateway = await stage.serve(port)
            await gateway.ready()
            await asyncio.sleep(1)
        # The live one has adopted what the dead left, and booked what it did itself.
        await asyncio.sleep(2.5)
        tokens = {name.partition("-")[0].partition(".")[0] for name in stage.journals()}
        assert len(tokens) == 1, stage.journals()
        tally = await stage.audit(crowd.heard, kills=kills)
        await gateway.stop()
        assert stage.journals() == []
        assert tally.counts["crashed calls"], "no kill hit a call: the test proves nothing"
        assert tally.counts["retries"]
        tell(f"seed {seed}", tally)
        tell(f"seed {seed}, after the end", await stage.audit(crowd.heard, kills=kills))


@pytest.mark.e2e
@pytest.mark.timeout(120)
def test_two_kills(stage, callers, free_port, tell):
    """The short form, for every day."""
    asyncio.run(_kills(stage, callers, free_port(), tell, seed=11, kills=2))


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_ten_kills(stage, callers, free_port, tell, seed):
    """Ten times in a row, at seeded moments, on one store; some of them while the gateway starts."""
    asyncio.run(_kills(stage, callers, free_port(), tell, seed=seed, kills=10))


@pytest.mark.chaos
@pytest.mark.timeout(120)
def test_one_of_two_dies(stage, callers, free_port, tell):
    """Two gateways share store and journal folder: the dead one's journal is taken over once, the other's is left.

    Three come at the same moment to take it: a new gateway and two commands that only want to read.
    """

    async def story():
        async with stage:
            await stage.simulate()
            first, second = await stage.serve(free_port()), await stage.serve(free_port())
            await first.ready()
            await second.ready()
            third = None
            async with callers(4, [first.port, second.port]) as crowd:
                await asyncio.sleep(2)
                before = set(stage.journals())
                assert len({name[:32] for name in before}) == 2
                await first.kill()
                held = {name: (stage.journal / name).stat().st_ino for name in before}
                third, *_ = await asyncio.gather(
                    stage.serve(first.port), stage.run("usage", "--json"), stage.run("usage", "--rows", "--json")
                )
                await third.ready()
                await asyncio.sleep(2)
                left = before & set(stage.journals())
                # The living one's lock and file, and no other; the very same files.
                assert len(left) == 2
                assert len({name[:32] for name in left}) == 1
                assert all((stage.journal / name).stat().st_ino == held[name] for name in left)
            await second.stop()
            await third.stop()
            assert stage.journals() == []
            alive = [one for one in crowd.heard if one.port == second.port and one.status is not None]
            assert len(alive) > 100
            assert all(one.whole or one.left for one in alive)
            tally = await stage.audit(crowd.heard, kills=1)
            assert 0 < tally.counts["crashed calls"] <= 32
            tell("one of two", tally)

    asyncio.run(story())
