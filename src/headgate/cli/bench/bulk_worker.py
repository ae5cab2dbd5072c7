"""One client at work on a file, in a process of its own: `python -m headgate.cli.bench.bulk_worker`, started by `bulk`.

Decides what of the process is measured: the time that its CPU spent on rows, and the most memory that it ever had.
Told what to do by a line of JSON on stdin; tells what it measured by one on stdout.
"""

import asyncio
import resource
import sys
from pathlib import Path

import msgspec

from headgate.cli.bench.bulk_stage import MODEL, sdk_rows, settings
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance, SystemClock
from headgate.jobs import file_job
from headgate.jobs.file_job import Order as JobOrder
from headgate.jobs.intake import Wish
from headgate.jobs.run import Plan, Run

KILO = 1024


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to do.

    Attributes:
        client: `headgate` or `openai`.
        folder: where `in.jsonl` lies.
        address: of the upstream, without `/v1`.
        concurrency: rows at the same time.
    """

    client: str
    folder: str
    address: str
    concurrency: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured.

    Attributes:
        seconds: that it took.
        cpu_seconds: of this process, from the first row on.
        rss_mb: the most memory that it had.
        lost: rows without an answer.
    """

    seconds: float
    cpu_seconds: float
    rss_mb: float
    lost: int


def main() -> None:
    """Read an order, work, report."""
    report = asyncio.run(work(msgspec.json.decode(sys.stdin.readline(), type=Order)))
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")


async def work(order: Order) -> Report:
    """Do it."""
    clock = SystemClock()
    folder = Path(order.folder)
    lost, start, begin = await (_openai if order.client == "openai" else _headgate)(order, folder, clock)
    return Report(
        seconds=clock.monotonic() - start,
        cpu_seconds=_cpu() - begin,
        rss_mb=_peak() / KILO,
        lost=lost,
    )


async def _headgate(order: Order, folder: Path, clock: SystemClock) -> tuple[int, float, float]:
    provider = {"type": "openai", "api_key": "sk-simulated", "base_url": f"{order.address}/v1"}
    # Books as most have them: those in memory would grow with every row.
    books = {"store": f"sqlite:///{folder / 'books.db'}", "journal": {"path": str(folder / "journal")}}
    config = Config.model_validate({**settings({"upstream": provider}), **books})
    job = JobOrder(source=folder / "in.jsonl", output=folder / "out.jsonl", wish=Wish(model=MODEL))
    part = file_job.open_part(job, job="bench")
    chance = SystemChance()
    try:
        with file_job.opened(job.source) as file:
            async with await Gate.open(config, clock=clock) as gate:
                start, begin = clock.monotonic(), _cpu()
                plan = Plan(concurrency=order.concurrency, max_attempts=3)
                run = Run(gate, file_job.rows(file, job.wish), part, plan, clock=clock, chance=chance)
                await run.work()
        part.finish(job.output, in_order=True, complete=True)
    finally:
        part.close()
    job.output.unlink()
    return part.tally.failed, start, begin


async def _openai(order: Order, folder: Path, clock: SystemClock) -> tuple[int, float, float]:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(api_key="sk-simulated", base_url=f"{order.address}/v1") as client:
        start, begin = clock.monotonic(), _cpu()
        lost = await sdk_rows(client.chat.completions.create, folder, order.concurrency)
    return lost, start, begin


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _peak() -> float:
    """The most memory in kB. What `getrusage` says begins with what the process had that started this one."""
    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main()
