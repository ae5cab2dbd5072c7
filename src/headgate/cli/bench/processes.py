"""Two processes that share one limit through a shared store, in real time, against a simulator with a socket.

Decides how they are started and judged; refuses to know how the store is reached. The limit is all ours, and nobody
may meet a single 429. Of the account's allowance only `SAVED` seconds' worth is left at the start: with a full minute
saved up it would take a while until anybody noticed that two processes use the limit twice.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process

import msgspec

from headgate.cli.bench.judge import Span, judge
from headgate.cli.bench.stage import Outcome, quantile
from headgate.cli.bench.worker import Order, Report
from headgate.core.errors import ConfigError, HeadgateError
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance, SystemClock
from headgate.gate.problems import masked
from headgate.providers.simulator import Latency, Limits, Request, Simulator, simulator_app
from headgate.server.serve import listening

PROCESSES = 2
PER_MINUTE = 3000
WORKERS = 40
SECONDS = 20.0
WARM_UP = 3.0
"""Seconds that are not judged."""
SAVED = 12.0
_LONGEST_LINE = 2**24


async def reach(shared: str) -> None:
    """See whether the store can be shared: without it each process would keep its own part, and nothing be measured.

    Args:
        shared: the store, as in the configuration.

    Raises:
        ConfigError: it is none, or does not answer.
    """
    async with await Gate.open(
        Config.model_validate(_config("bench", shared, "http://127.0.0.1:9", PER_MINUTE))
    ) as gate:
        found = gate.shared()
    if found["type"] == "memory":
        message = "`--shared` is `memory://`, which no two processes can share."
        raise ConfigError(message, hint="Name a Redis or Valkey, such as `redis://localhost`.")
    if found["status"] != "ok":
        message = f"`--shared` is {masked(shared)}, and does not answer: {found['error']}"
        raise ConfigError(message, hint="Start it, or see to its address, user and password.")


async def share_limit(shared: str, *, seconds: float = SECONDS, per_minute: int = PER_MINUTE) -> Outcome:
    """Let two processes call for so many seconds.

    Args:
        shared: the store that they share, as in the configuration.
        seconds: how long they call.
        per_minute: what the account may do.

    Raises:
        HeadgateError: a process has failed; what it said stands on stderr.
    """
    clock = SystemClock()
    limits = Limits(requests_per_minute=per_minute)
    simulator = Simulator(clock=clock, latency=Latency(first_token=0.2, jitter=0.3), limits=limits)
    # A name of its own: what others left in the store is not ours.
    name = f"bench-{SystemChance().token()[:8]}"
    async with listening(simulator_app(simulator), host="127.0.0.1", port=0, grace=1) as address:
        order = Order(config=_config(name, shared, address, per_minute), seconds=seconds, workers=WORKERS)
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "headgate.cli.bench.worker", stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE
            )
            for _ in range(PROCESSES)
        ]
        try:
            await asyncio.gather(*(_line(process, msgspec.json.encode(order)) for process in processes))
            _leave(simulator, limits, SAVED / 60)
            start = clock.time()
            told = await asyncio.gather(*(_line(process, b"go") for process in processes))
            took = clock.time() - start
        finally:
            for process in processes:
                if process.returncode is None:
                    process.terminate()
                await process.wait()
    reports = [msgspec.json.decode(line, type=Report) for line in told]
    latencies = [latency for report in reports for latency in report.latencies]
    lost: dict[str, int] = {}
    for report in reports:
        for error, count in report.lost.items():
            lost[error] = lost.get(error, 0) + count
    return Outcome(
        seconds=took,
        calls=len(latencies),
        lost=lost,
        p50=quantile(latencies, 0.5),
        p95=quantile(latencies, 0.95),
        verdict=judge(
            simulator.log,
            [Span(start, limits)],
            start=start + WARM_UP,
            end=start + seconds,
        ),
    )


def _leave(simulator: Simulator, limits: Limits, share: float) -> None:
    """Leave only a share of the account's minute."""
    body = b'{"model": "fake", "messages": [{"role": "user", "content": "Hello"}]}'
    simulator.take(Request("POST", "/v1/chat/completions", {}, body)).close()
    few = round((limits.requests_per_minute or 0) * share)
    simulator.allow(Limits(requests_per_minute=few))
    simulator.allow(limits)


async def _line(process: Process, line: bytes) -> bytes:
    """Tell a process something, and wait for its answer."""
    assert process.stdin is not None, "it is piped"
    assert process.stdout is not None, "ditto"
    process.stdin.write(line + b"\n")
    answer = await process.stdout.readline()
    if not answer:
        message = "A process of the bench has ended before it was done."
        raise HeadgateError(message, hint="What it said stands above.")
    return answer


def _config(name: str, shared: str, address: str, per_minute: int) -> dict[str, object]:
    provider = {
        "type": "openai",
        "api_key": "sk-simulated",
        "base_url": f"{address}/v1",
        "limits": {"requests_per_minute": per_minute},
    }
    return {
        "store": "memory://",
        "shared": shared,
        "providers": {name: provider},
        "models": {"*": {"targets": [{"provider": name}]}},
        "catalog": {"models": {"fake": {"input_usd_per_million": 0, "output_usd_per_million": 0}}},
    }
