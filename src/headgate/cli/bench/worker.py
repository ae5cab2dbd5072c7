"""One of the processes that share a limit: `python -m headgate.cli.bench.worker`, started by `processes.py`.

Decides how it is told what to do and tells what it has done: lines of JSON on stdin and stdout. Refuses to know the
others.
"""

import asyncio
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec

from headgate.cli.bench.stage import Work, ask_gate
from headgate.core.clock import Clock
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemClock

READY = "ready"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to do.

    Attributes:
        config: of the gate.
        seconds: how long to call.
        workers: how many calls wait for their answer at the same time.
    """

    config: dict[str, Any]
    seconds: float
    workers: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was done.

    Attributes:
        lost: calls without an answer, by the error that came instead.
        latencies: seconds, one for each call.
    """

    lost: dict[str, int]
    latencies: list[float]


def main() -> None:
    """Read an order, say that one is ready, wait for a line, work, report."""
    asyncio.run(_work(msgspec.json.decode(sys.stdin.readline(), type=Order)))


async def _work(order: Order) -> None:
    clock = SystemClock()
    async with await Gate.open(Config.model_validate(order.config), clock=clock) as gate:
        _tell(READY)
        await asyncio.to_thread(sys.stdin.readline)
        work = Work(partial(ask_gate, gate), _until(clock, clock.monotonic() + order.seconds), clock)
        await work.done(order.workers)
    _tell(msgspec.json.encode(Report(lost=dict(work.lost), latencies=work.latencies)).decode())


def _until(clock: Clock, end: float) -> Iterator[str]:
    number = 0
    while clock.monotonic() < end:
        number += 1
        yield f"Write about 20 tokens, please. ({number})"


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
