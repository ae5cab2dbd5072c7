"""Plays a job over a file with one client, on the virtual clock: the whole path of `headgate run` but the process.

Decides what the account is like and what is measured; refuses to judge. The OpenAI SDK gets the same rows from the
same file, a semaphore, and as many workers as the semaphore has places.
"""

import asyncio
import os
import random  # noqa: TID251  not ours: the SDK rolls these dice
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec

from headgate.cli.bench.judge import Span, Verdict, judge
from headgate.cli.bench.scenarios import GROUP, LATENCY
from headgate.cli.bench.stage import use_up
from headgate.client.simulated import simulated_client
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance
from headgate.gate.virtual import VirtualClock
from headgate.jobs import file_job
from headgate.jobs.file_job import Order
from headgate.jobs.intake import Wish
from headgate.jobs.row import Row
from headgate.jobs.run import Plan, Run
from headgate.providers.simulator import Limits, Simulator

MODEL = "fake"
"""It neither thinks nor costs."""
WARM_UP = 60.0
"""Seconds that are not judged where there are limits: what an account allows is not known at once."""


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured.

    Attributes:
        name: of the line.
        rows: in the file.
        concurrency: rows at the same time; None leaves it to the gate.
        limits: of the account; None for none.
    """

    name: str
    rows: int
    concurrency: int | None = None
    limits: Limits | None = None


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured.

    Attributes:
        concurrency: rows that were asked at the same time.
        seconds: from the first row to the last.
        answered, lost: rows.
        limited: 429s that were met; by the gate, after the first minute, in which an account is learned.
        verdict: how the limits were used; None where there are none.
    """

    concurrency: int
    seconds: float
    answered: int
    lost: int
    limited: int
    verdict: Verdict | None


def write_rows(path: Path, rows: int, tokens: int = 40) -> None:
    """Write an input: questions for about so many tokens, each another one."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            length = tokens // 2 + number * 7919 % tokens
            file.write(f'{{"custom_id":"c{number}","prompt":"Write about {length} tokens, please. ({number})"}}\n')


async def play_headgate(account: Account, folder: Path, *, seed: int) -> Played:
    """Play with the gate. To be run in virtual time."""
    limits = None
    if account.limits is not None:
        names = ("requests_per_minute", "tokens_per_minute", "concurrency")
        limits = {name: value for name in names if (value := getattr(account.limits, name)) is not None}
        limits["group"] = GROUP
    provider = {"type": "simulator", "seed": seed, "latency": msgspec.to_builtins(LATENCY), "limits": limits}
    config = Config.model_validate(settings({"account": provider}))
    clock, chance = VirtualClock(), SystemChance(seed)
    order = Order(source=folder / "in.jsonl", output=folder / "out.jsonl", wish=Wish(model=MODEL))
    together = account.concurrency or file_job.concurrency(file_job.allowed(config, MODEL))
    part = file_job.open_part(order, job="bench")
    try:
        with file_job.opened(order.source) as file:
            async with await Gate.open(config, clock=clock, chance=chance) as gate:
                simulator = gate.simulators["account"]
                if account.limits is not None:
                    await use_up(simulator, account.limits)
                plan = Plan(concurrency=together, max_attempts=3)
                run = Run(gate, file_job.rows(file, order.wish), part, plan, clock=clock, chance=chance)
                start = clock.time()
                await run.work()
                seconds = clock.time() - start
        part.finish(order.output, in_order=True, complete=True)
        tally = part.tally
    finally:
        part.close()
    order.output.unlink()
    verdict = _judged(simulator, account, start)
    return Played(
        concurrency=together,
        seconds=seconds,
        answered=tally.succeeded,
        lost=tally.failed,
        limited=run.limited if verdict is None else verdict.refused,
        verdict=verdict,
    )


async def play_openai(account: Account, folder: Path, *, seed: int) -> Played:
    """Play with the SDK as it comes, with two retries of its own. To be run in virtual time."""
    from openai import AsyncOpenAI

    random.seed(seed)  # its backoff
    clock = VirtualClock()
    simulator = Simulator(clock=clock, seed=seed, latency=LATENCY, limits=account.limits or Limits())
    if account.limits is not None:
        await use_up(simulator, account.limits)
    together = account.concurrency or 100
    async with AsyncOpenAI(api_key="sk-simulated", http_client=simulated_client(simulator)) as client:
        start = clock.time()
        lost = await sdk_rows(client.chat.completions.create, folder, together)
        seconds = clock.time() - start
    return Played(
        concurrency=together,
        seconds=seconds,
        answered=account.rows - lost,
        lost=lost,
        limited=sum(one.limited is not None for one in simulator.log),
        verdict=_judged(simulator, account, start),
    )


async def sdk_rows(create: Callable[..., Awaitable[object]], folder: Path, together: int) -> int:
    """What a program does that has no gate: rows of a file, a semaphore, a line for each answer. Gives those lost."""
    from openai import OpenAIError

    lost = 0
    semaphore = asyncio.Semaphore(together)

    async def ask(row: Row) -> None:
        nonlocal lost
        async with semaphore:
            try:
                answer = await create(**msgspec.json.decode(row.body))
            except OpenAIError:
                lost += 1
                return
            out.write(answer.model_dump_json() + "\n")  # type: ignore[attr-defined]

    file = os.open(folder / "in.jsonl", os.O_RDONLY)
    try:
        with (folder / "sdk.jsonl").open("w", encoding="utf-8") as out:
            source = _rows(file)

            async def work() -> None:
                async for row in _shared(source, lock):
                    await ask(row)

            lock = asyncio.Lock()
            async with asyncio.TaskGroup() as group:
                for _ in range(together):
                    group.create_task(work())
    finally:
        os.close(file)
    return lost


async def _rows(file: int) -> AsyncIterator[Row]:
    async for taken in file_job.rows(file, Wish(model=MODEL)):
        assert isinstance(taken.row, Row), "the bench writes good rows"
        yield taken.row


async def _shared(source: AsyncIterator[Row], lock: asyncio.Lock) -> AsyncIterator[Row]:
    while True:
        async with lock:
            row = await anext(source, None)
        if row is None:
            return
        yield row


def settings(providers: dict[str, object]) -> dict[str, object]:
    """The configuration of the bench's gates."""
    return {
        "store": "memory://",
        "providers": providers,
        "models": {"*": {"targets": [{"provider": name} for name in providers]}},
        "catalog": {"models": {MODEL: {"input_usd_per_million": 0, "output_usd_per_million": 0}}},
    }


def _judged(simulator: Simulator, account: Account, start: float) -> Verdict | None:
    if account.limits is None:
        return None
    log = [one for one in simulator.log if one.model == MODEL]
    end = max(log[-1].time, start + WARM_UP + 1)
    return judge(log, [Span(start, account.limits)], start=start + WARM_UP, end=end)
