"""The configuration changes under load: no call is dropped, what is wrong is refused, all processes go along."""

import asyncio
import json
import signal
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture(name="several", params=[1, 2])
def _several(request, stage):
    """How many processes serve; two of them share a store."""
    stage.settings |= {
        "server": {"workers": request.param, "shutdown_grace": 10},
        "policies": {"retry": {"max_attempts": 1}},
    }
    if request.param > 1:
        stage.settings["shared"] = request.getfixturevalue("valkey").url
    return request.param


async def _generations(stage, port):
    found = await asyncio.gather(*(stage.get(port, "/health") for _ in range(16)))
    return {(health["process"]["worker"], health["process"]["generation"]) for _, health in found}


def test_changes_under_load(stage, callers, free_port, until, several):
    """Valid ones hold soon in every process, a wrong one and one that needs a start are told; nothing is lost."""

    async def changed(gateway, words, said, times=1):
        Path(stage.config()).write_text(words)  # noqa: ASYNC240  a few bytes
        gateway.process.send_signal(signal.SIGHUP)
        await until(lambda: gateway.said.count(said) == times, said)

    async def story():
        async with stage:
            await stage.simulate(())
            gateway = await stage.serve(free_port())
            await gateway.ready()
            good = json.loads(Path(stage.config()).read_text())  # noqa: ASYNC240  a few bytes
            async with callers(31, [gateway.port], leave=0) as crowd:
                for number in range(5):
                    settings = {**good, "budgets": [{"name": "all", "limit_usd": 100 + number}]}
                    await changed(gateway, json.dumps(settings), "the configuration was exchanged", number + 1)
                    await asyncio.sleep(0.3)
                await changed(gateway, "providers: [", "the configuration stays as it was")
                await changed(gateway, json.dumps({**good, "store": "sqlite:///other.db"}), "`store` cannot change")
                heard = len(crowd.heard)
                await until(lambda: len(crowd.heard) > heard + 50, "calls go on")
            told = gateway.said.split("its generation is ")[5].split()[0]
            seen = await _generations(stage, gateway.port)
            assert {generation for _, generation in seen} == {told}
            assert len(seen) == several
            assert {(one.status, one.whole) for one in crowd.heard} == {(200, True)}
            await gateway.stop()
            stage.config()
            await stage.audit(crowd.heard, kills=0)

    asyncio.run(story())
