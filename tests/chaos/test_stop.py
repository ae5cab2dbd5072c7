"""SIGTERM and Ctrl-C under load: answers in flight end whole, the exit is 0, and the books are complete."""

import asyncio
import signal

import pytest

FAULTS = ({"kind": "status", "status": 503, "rate": 0.1}, {"kind": "no_usage", "rate": 0.05})
"""Some calls wait for their next attempt when the signal comes."""


@pytest.mark.chaos
@pytest.mark.timeout(120)
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_under_load_cuts_nobody_off(stage, callers, free_port, tell, sign):
    """Three times: whoever got the head of an answer gets all of it; nothing is unknown, no journal is left."""

    async def story():
        port = free_port()
        async with stage:
            await stage.simulate(FAULTS)
            begun = 0
            async with callers(3, [port], leave=0) as crowd:
                for _ in range(3):
                    gateway = await stage.serve(port)
                    await gateway.ready()
                    await asyncio.sleep(1.5)
                    before = len(crowd.heard)
                    await gateway.stop(sign)
                    assert stage.journals() == []
                    await asyncio.sleep(0.1)
                    begun += sum(one.status is not None for one in crowd.heard[before:])
            answered = [one for one in crowd.heard if one.status is not None]
            assert begun > 30
            assert all(one.whole for one in answered)
            assert all(one.finished for one in answered if one.stream and one.status == 200)
            tally = await stage.audit(crowd.heard)
            assert tally.counts["unknown"] == tally.counts["crashed calls"] == 0
            assert tally.counts["retries"]
            # The gateway answered everybody whom it asked the provider for.
            assert len(answered) == tally.counts["calls"]
            tell(sign.name, tally)

    asyncio.run(story())
