"""`headgate bench bulk`: how much faster a file is answered by many at once, what of the limits is used, what it costs.

Decides what is measured and what the gate must reach; refuses to measure (`bulk_stage.py`, `bulk_worker.py`). Rates and
limits are measured on the virtual clock, so they do not depend on the machine; CPU and memory are measured with the
upstream in another process, and with `--rows` of them.
"""

import asyncio
import sys
import tempfile
from asyncio.subprocess import PIPE
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from headgate.cli.bench.scenarios import GROUP
from headgate.cli.table import show, table
from headgate.cli.voice import FAILED, Json, put, say
from headgate.core.errors import HeadgateError
from headgate.providers.simulator import Limits, Simulator, simulator_app

CONCURRENCY = 100
LEAST_SPEED, EXPECTED_SPEED = 5.0, 50.0
"""How many times as fast as one after another."""
LEAST_SHARE = 0.97
"""Of a limit, that must be used without a single 429."""
LEAST_CPU = 8.0
"""How many times the CPU of a row the SDK must need."""
MOST_GROWTH = 20.0
"""MB that ten times as many rows may need."""
ENOUGH = 500_000
"""Rows from which on the growth is judged."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    Attributes:
        measured: what.
        client: `headgate` or `openai`.
        rows, concurrency: of the job.
        rows_per_second: answered.
        speed: that of one row after another, times this.
        share: of the limit that was used; None where there is none.
        limited, lost: 429s, and rows without an answer.
        cpu_us, rss_mb: microseconds of CPU for a row, and the most memory; None where they are not measured.
        met: whether what is promised is reached; None where nothing is promised.
    """

    measured: str
    client: str
    rows: int
    concurrency: int
    rows_per_second: float
    speed: float | None = None
    share: float | None = None
    limited: int = 0
    lost: int = 0
    cpu_us: float | None = None
    rss_mb: float | None = None
    met: bool | None = None


def bulk(
    json: Json = False,
    seed: Annotated[int, typer.Option("--seed", help="Equal seeds measure the same rates.")] = 1,
    rows: Annotated[
        int,
        typer.Option("--rows", min=0, help="Rows for CPU and memory, with an upstream in another process; 0: none."),
    ] = 3000,
) -> None:
    """How fast a file of questions is answered, and what a row costs.

    Ends with 1 where the gate reaches less than is promised. Memory is judged from 500,000 rows on.
    """
    sdk = find_spec("openai") is not None
    if not sdk:
        say("The OpenAI SDK is not installed, so there is nothing beside the gate: pip install 'headgate[demo]'\n")
    with tempfile.TemporaryDirectory() as folder:
        lines = _rates(Path(folder), seed, sdk=sdk)
        if rows:
            lines += asyncio.run(_costs(Path(folder), rows, sdk=sdk))
    if json:
        put(msgspec.json.encode({"seed": seed, "lines": lines}).decode())
    else:
        _show(lines)
    missed = [line.measured for line in lines if line.met is False]
    if missed:
        say(f"Less than is promised: {', '.join(missed)}.")
        raise typer.Exit(FAILED)


def _rates(folder: Path, seed: int, *, sdk: bool) -> list[Line]:
    from headgate.cli.bench.bulk_stage import Account, Played, play_headgate, play_openai, write_rows
    from headgate.gate.virtual import virtual_time

    requests = Limits(requests_per_minute=600, group=GROUP)
    tokens = Limits(tokens_per_minute=30_000, group=GROUP)
    lines: list[Line] = []
    alone = 0.0
    for account in (
        Account(name="one after another", rows=100, concurrency=1),
        Account(name=f"{CONCURRENCY} at once", rows=20 * CONCURRENCY, concurrency=CONCURRENCY),
        Account(name="600 requests a minute", rows=3000, limits=requests),
        Account(name="30,000 tokens a minute", rows=2500, limits=tokens),
    ):
        write_rows(folder / "in.jsonl", account.rows)
        for client, play in (("headgate", play_headgate), ("openai", play_openai))[: 1 + sdk]:
            say(f"{account.name} / {client} …")
            played: Played = virtual_time(play(account, folder, seed=seed))
            rate = played.answered / played.seconds
            alone = alone or rate
            lines.append(_line(account.name, client, account.rows, played, rate / alone))
    return lines


def _line(name: str, client: str, rows: int, played: "object", speed: float) -> Line:
    from headgate.cli.bench.bulk_stage import Played

    assert isinstance(played, Played)
    verdict = played.verdict
    # Whoever had lost most rows within the first minute used nothing of what was judged.
    share = None if verdict is None or not verdict.calls else round(verdict.share, 4)
    met = None
    if client == "headgate" and share is not None:
        met = share >= LEAST_SHARE and not played.limited and not played.lost
    elif client == "headgate" and played.concurrency > 1:
        met = speed >= EXPECTED_SPEED and not played.lost
    return Line(
        measured=name,
        client=client,
        rows=rows,
        concurrency=played.concurrency,
        rows_per_second=round(played.answered / played.seconds, 3),
        speed=round(speed, 2),
        share=share,
        limited=played.limited,
        lost=played.lost,
        met=met,
    )


async def _costs(folder: Path, rows: int, *, sdk: bool) -> list[Line]:
    """CPU and memory, each in a process of its own; of ten times fewer rows, too, so that growth is seen."""
    lines = [await _cost(folder, "headgate", rows // 10)]
    whole = await _cost(folder, "headgate", rows)
    growth = (whole.rss_mb or 0.0) - (lines[0].rss_mb or 0.0)
    met = None if rows < ENOUGH else growth < MOST_GROWTH
    lines.append(msgspec.structs.replace(whole, met=met))
    if sdk:
        # Its rows cost the same, however many there are.
        theirs = await _cost(folder, "openai", min(rows, 5000))
        ratio = (theirs.cpu_us or 0.0) / (whole.cpu_us or 1.0)
        say(f"CPU of a row: the SDK's is {ratio:.1f} times ours. {rows:,} rows took {growth:.1f} MB more.")
        lines += [theirs]
        lines[1] = msgspec.structs.replace(lines[1], met=ratio >= LEAST_CPU and met is not False)
    return lines


async def _cost(folder: Path, client: str, rows: int) -> Line:
    from headgate.cli.bench.bulk_stage import write_rows
    from headgate.cli.bench.bulk_worker import Order, Report
    from headgate.gate.ports import SystemClock
    from headgate.server.serve import listening

    write_rows(folder / "in.jsonl", rows)
    say(f"{rows:,} rows / {client} …")
    simulator = Simulator(clock=SystemClock())
    async with listening(simulator_app(simulator), host="127.0.0.1", port=0, grace=1) as address:
        order = Order(client=client, folder=str(folder), address=address, concurrency=CONCURRENCY)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "headgate.cli.bench.bulk_worker", stdin=PIPE, stdout=PIPE
        )
        try:
            told, _ = await process.communicate(msgspec.json.encode(order) + b"\n")
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
    if process.returncode != 0:
        message = "A process of the bench has ended before it was done."
        raise HeadgateError(message, hint="What it said stands above.")
    report = msgspec.json.decode(told, type=Report)
    return Line(
        measured="an upstream without limits",
        client=client,
        rows=rows,
        concurrency=CONCURRENCY,
        rows_per_second=round(rows / report.seconds, 1),
        lost=report.lost,
        cpu_us=round(1e6 * report.cpu_seconds / rows, 1),
        rss_mb=round(report.rss_mb, 1),
    )


def _show(lines: list[Line]) -> None:
    figures = ("rows", "at once", "rows/s", "speed", "used", "429s", "lost", "CPU/row", "memory", "promise")
    cells = [
        [
            one.measured if one.client == "headgate" else f"  {one.client}",
            f"{one.rows:,}",
            f"{one.concurrency}",
            f"{one.rows_per_second:,.1f}",
            "" if one.speed is None else f"{one.speed:.1f} x",
            "" if one.share is None else f"{one.share:.1%}",
            f"{one.limited:,}",
            f"{one.lost:,}",
            "" if one.cpu_us is None else f"{one.cpu_us:,.0f} µs",
            "" if one.rss_mb is None else f"{one.rss_mb:,.0f} MB",
            "" if one.met is None else "met" if one.met else "MISSED",
        ]
        for one in lines
    ]
    show(table("measured", figures, cells))
