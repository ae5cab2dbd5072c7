"""A target that fails, recovers and fails again, through a whole gate on two simulators, in virtual time.

Judged by the simulators' own logs: who was asked, when, and how often.
"""

import asyncio
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

from headgate.core.call import Operation
from headgate.core.errors import HeadgateError, RestingError
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance
from headgate.providers.simulator import Fault
from headgate.providers.simulator.faults import Faults
from headgate.testing import EPOCH, VirtualClock, virtual_time

LUNA, SOL = "gpt-6-luna", "gpt-6-sol"
BODY = b'{"model": "%s", "messages": [{"role": "user", "content": "Hello"}]}'
EVERY = 0.2
"""Seconds between two calls."""
TAKES = 0.25
"""Seconds that a good answer takes."""
OUTAGES = [(30.0, 130.0), (200.0, 215.0), (300.0, 345.0)]
HICCUP = (260.0, 260.5)
"""Too short for a rest."""
END = 420.0
SLACK = TAKES + 2 * EVERY
"""Seconds until the failure is known, and until somebody comes."""


class Asked(NamedTuple):
    """An arrival at the primary."""

    at: float
    good: bool


def gate_config(probes: int, **primary: Any) -> Config:
    """`m` falls back from the primary; `n` asks another model of the primary, which never fails."""
    provider = {"type": "simulator", "latency": {"first_token": TAKES}}
    return Config.model_validate(
        {
            "store": "memory://",
            "providers": {"primary": {**provider, **primary}, "backup": provider},
            "models": {
                "m": {
                    "targets": [
                        {"provider": "primary", "model": LUNA},
                        {"provider": "backup", "model": LUNA, "priority": 2},
                    ]
                },
                "n": {"targets": [{"provider": "primary", "model": SOL}]},
            },
            "policies": {"breaker": {"probes": probes, "window": 10}},
        }
    )


async def one(gate: Gate, model: bytes) -> str:
    """One call, and who answered it; or the error."""
    try:
        async with await gate(gate.call(Operation.CHAT, BODY % model)) as reply:
            await reply.read()
            return reply.attempts[-1].provider
    except HeadgateError as error:
        return type(error).__name__


def fail(gate: Gate, *faults: Fault) -> None:
    """From now on the primary does so."""
    gate.simulators["primary"]._desk._faults = Faults(faults, 0)


async def flapping(fault: dict[str, Any], probes: int) -> tuple[Gate, list[str], list[str], list[str]]:
    """Ten calls a second over all outages: who answered `m`, who answered `n`, and what health said each second."""
    loop = asyncio.get_running_loop()
    async with await Gate.open(gate_config(probes), clock=VirtualClock(), chance=SystemChance(seed=2)) as gate:
        for begin, end in [*OUTAGES, HICCUP]:
            loop.call_later(begin, fail, gate, Fault(**fault, model=LUNA))
            loop.call_later(end, fail, gate)
        health = []
        async with asyncio.TaskGroup() as group:
            asked = []
            for number in range(round(END / EVERY)):
                asked.append(
                    (group.create_task(one(gate, b"m")), number % 5 == 0 and group.create_task(one(gate, b"n")))
                )
                if number % 10 == 0:
                    found = await gate.health()
                    target = found["targets"].get(f"primary/{LUNA}")
                    health.append((found["status"], target and target["breaker"]["state"]))
                await asyncio.sleep(EVERY)
        return gate, [m.result() for m, _ in asked], [n.result() for _, n in asked if n], health


def bursts(times: list[float]) -> list[list[float]]:
    """What came together, with long silence between."""
    found = [[times[0]]]
    for at in times[1:]:
        if at - found[-1][-1] > 10:
            found.append([])
        found[-1].append(at)
    return found


@pytest.mark.parametrize("probes", [1, 3])
@pytest.mark.parametrize(
    "fault",
    [{"kind": "status", "status": 503}, {"kind": "reset"}, {"kind": "malformed"}],
    ids=lambda fault: fault["kind"],
)
def test_a_flapping_target(fault: dict[str, Any], probes: int):
    """Every call is answered, by the fallback in an outage; only probes reach the primary; it is back within a rest."""
    gate, answered, others, health = virtual_time(flapping(fault, probes))
    assert set(answered) == {"primary", "backup"}, "nobody met an error"
    assert set(others) == {"primary"}, "a breaker of one model never rests another"
    assert {arrival.model for arrival in gate.simulators["backup"].log} == {LUNA}

    log = [
        Asked(arrival.time - EPOCH, arrival.status == 200 and arrival.fault is None)
        for arrival in gate.simulators["primary"].log
        if arrival.model == LUNA
    ]
    for begin, end in OUTAGES:
        during = [asked.at for asked in log if begin <= asked.at < end]
        assert not any(asked.good for asked in log if begin <= asked.at < end)
        first, *trials = bursts(during)
        assert first[-1] - begin < 6, "half of what ended in ten seconds must have failed"
        failed, rest = first[-1], 20.0
        for trial in trials:
            assert rest <= trial[0] - failed < rest + SLACK
            # One probe that fails is enough; those that came while it was on its way were allowed.
            assert len(trial) <= (probes if fault["kind"] == "malformed" else 1)
            rest, failed = min(rest + 2.5, 25.0), trial[0]
        back = [asked.at for asked in log if asked.at >= end]
        assert back[0] - failed < rest + SLACK, "back on it within the rest time"
        closes = back[0] + (probes - 1) * EVERY + TAKES
        assert sum(at < closes - EVERY / 10 for at in back) == probes, "exactly the allowed ones, until they did well"
        soon = [at for at in back if at < back[0] + 5]
        assert all(later - earlier < 5 * EVERY for earlier, later in pairwise(soon)), "and then everything"
        assert len(soon) > 4 / EVERY

    assert max(later - earlier for earlier, later in pairwise(asked.at for asked in log if 250 < asked.at < 290)) < 1
    states = [state for _, state in health]
    assert {"closed", "open"} <= set(states)
    assert all((status == "degraded") == (state == "open") for status, state in health)
    assert health[-1] == ("ok", "closed")


def test_a_queue_before_a_limit_is_not_sent_to_a_target_that_rests():
    """A hundred wait for a call a second when it goes down: five reach it, the others go to the fallback."""

    async def story():
        config = gate_config(1, limits={"requests_per_minute": 60})
        async with await Gate.open(config, clock=VirtualClock(), chance=SystemChance(seed=2)) as gate:
            loop = asyncio.get_running_loop()
            start = loop.time()
            loop.call_later(3.5, fail, gate, Fault(kind="status", status=503, model=LUNA))
            answered = await asyncio.gather(*(one(gate, b"m") for _ in range(100)))
            seconds = loop.time() - start
        statuses = [arrival.status for arrival in gate.simulators["primary"].log]
        return answered, statuses, seconds

    answered, statuses, seconds = virtual_time(story())
    good, bad = statuses.count(200), statuses.count(503)
    assert (answered.count("primary"), answered.count("backup")) == (good, 100 - good)
    assert 4 <= good <= 6
    assert bad == 5
    assert seconds < 50, "it would take a hundred to wait for one a second"


def test_a_resting_target_without_another_refuses_at_once():
    """503 with the time that the rest still takes, nothing sent, and no wait; the ledger has the call."""

    async def story():
        async with await Gate.open(gate_config(1), clock=VirtualClock(), chance=SystemChance(seed=2)) as gate:
            fail(gate, Fault(kind="reset"))
            for _ in range(2):
                await one(gate, b"n")
            sent, start = len(gate.simulators["primary"].log), gate._clock.monotonic()
            call = gate.call(Operation.CHAT, BODY % b"n")
            with pytest.raises(RestingError) as caught:
                await gate(call)
            assert (len(gate.simulators["primary"].log), gate._clock.monotonic()) == (sent, start)
            assert sent == 5
            assert 0 < caught.value.retry_after <= 20
            assert call.trail == []
            fail(gate)
            await asyncio.sleep(caught.value.retry_after)
            assert await one(gate, b"n") == "primary"

    virtual_time(story())
