"""Covers policies/pace/gauges.py."""

import asyncio
import gc

import pytest

from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.errors import StoppingError
from headgate.core.limits import Demand, Limits
from headgate.policies.pace.gauges import Gauges
from headgate.stores.memory_rates import MemoryRates
from headgate.testing import VirtualClock, virtual_time

CLOCK = VirtualClock()
LIMITS = Limits(requests_per_minute=1)
NOTHING = Demand()
CALL = Call(id="1", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0, day="2027-01-15")


def test_groups_share_and_targets_do_not():
    """Models of one group have one gauge; without a group each has its own."""
    gauges = Gauges(MemoryRates(CLOCK), CLOCK)
    assert gauges.of("p/a", LIMITS, "g") is gauges.of("q/b", LIMITS, "g")
    assert gauges.of("p/a", LIMITS, "g").name == "pace:g"
    assert gauges.of("p/a", LIMITS, None).name == "pace:p/a"
    assert gauges.of("p/a", LIMITS, None) is not gauges.of("p/b", LIMITS, None)


def test_a_target_that_is_forgotten_takes_its_gauge_along():
    """Only groups are remembered; callers cannot make them up."""
    gauges = Gauges(MemoryRates(CLOCK), CLOCK)
    kept = [gauges.of("p/kept", LIMITS, None), gauges.of("p/m", LIMITS, "g")]
    for number in range(100):
        gauges.of(f"p/{number}", LIMITS, None)
    gc.collect()
    assert set(gauges._all.values()) == set(kept)


def test_a_target_that_is_met_again_has_the_gauge_of_its_calls():
    """Made anew while a call is under way, it would wait for ever for the place that this call gives back elsewhere."""

    async def story():
        gauges = Gauges(MemoryRates(CLOCK), CLOCK)
        limits = Limits(concurrency=1)
        before = gauges.of("p/m", limits, None)
        ticket = await before.admit(CALL, NOTHING)
        again = gauges.of("p/m", limits, None)
        waiting = asyncio.ensure_future(again.admit(CALL, NOTHING))  # noqa: TID251
        await CLOCK.sleep(1)
        assert not waiting.done()
        before.settle(ticket, NOTHING)
        again.settle(await asyncio.wait_for(waiting, 1), NOTHING)

    virtual_time(story())


def test_nobody_waits_for_a_gate_that_is_closed():
    """Whoever waits is told so at once; so is whoever would have to wait."""

    async def story():
        gauges = Gauges(MemoryRates(CLOCK), CLOCK)
        one = gauges.of("p/m", LIMITS, None)
        await one.admit(CALL, NOTHING)
        waiting = [asyncio.ensure_future(one.admit(CALL, NOTHING)) for _ in range(3)]  # noqa: TID251
        await CLOCK.sleep(1)
        gauges.close()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(error) for error in found] == [StoppingError] * 3
        with pytest.raises(StoppingError):
            await one.admit(CALL, NOTHING)
        assert CLOCK.monotonic() == 1.0

    virtual_time(story())


def test_limits_are_what_they_are_named_next():
    """After a change, the first who names a gauge says what it holds; nothing else changes."""

    async def story():
        gauges = Gauges(MemoryRates(CLOCK), CLOCK)
        gauge, other = gauges.of("p/m", LIMITS, None), gauges.of("p/n", LIMITS, None)
        assert gauges.of("p/m", Limits(requests_per_minute=60), None) is gauge
        assert gauge.at_once(NOTHING) is not None
        assert gauge.at_once(NOTHING) is None
        gauges.renew()
        assert gauges.of("p/m", Limits(), None) is gauge
        assert gauge.at_once(NOTHING) is not None
        assert gauges.of("p/m", LIMITS, None) is gauge
        assert gauge.at_once(NOTHING) is not None
        assert other.at_once(NOTHING) is not None
        assert other.at_once(NOTHING) is None

    virtual_time(story())
