"""A client at work in a process of its own."""

import asyncio

import pytest

from headgate.cli.bench.bulk_stage import write_rows
from headgate.cli.bench.bulk_worker import Order, work
from headgate.gate.ports import SystemClock
from headgate.providers.simulator import Simulator, simulator_app
from headgate.server.serve import listening


@pytest.mark.e2e
@pytest.mark.parametrize("client", ["headgate", "openai"])
def test_it_answers_the_rows_and_measures(tmp_path, client):
    """Over a socket; all of them once."""
    write_rows(tmp_path / "in.jsonl", 30)

    async def story():
        simulator = Simulator(clock=SystemClock())
        async with listening(simulator_app(simulator), host="127.0.0.1", port=0, grace=1) as address:
            report = await work(Order(client=client, folder=str(tmp_path), address=address, concurrency=5))
        return report, len(simulator.log)

    report, sent = asyncio.run(story())
    assert (report.lost, sent) == (0, 30)
    assert report.seconds > 0
    assert report.cpu_seconds > 0
    assert report.rss_mb > 10
