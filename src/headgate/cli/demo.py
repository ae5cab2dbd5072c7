"""`headgate demo`: a gateway on the simulator, real calls through the official OpenAI SDK, and its books, live.

Decides which calls make a good first look: chat and Responses, whole and streamed, a bad request, and a provider that
fails so that another one takes over. Everything else is the product as it stands: the gateway listens on a socket, the
SDK connects to it, and the sums on the screen are the ledger's.
"""

import asyncio
from fractions import Fraction
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from headgate.cli.table import table
from headgate.cli.voice import FAILED, Json, put, say
from headgate.core.errors import ConfigError
from headgate.core.money import PICO, half_up, show_usd
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemClock
from headgate.stores.protocols import Query, Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CALLS = 240
CONCURRENCY = 12
BAD_EVERY = 40
"""One call of so many is a bad request."""
REFRESH_SECONDS = 0.25
PORT = 4000
QUESTIONS = (
    "What makes a good espresso?",
    "Write a haiku about a gate in the rain.",
    "Explain backpressure to a ten-year-old.",
    "Name three rivers of France and say where they end.",
    "Why do accountants like append-only books?",
)


def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="Stop after the calls instead of serving on.")] = False,
    json: Json = False,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", "-p", min=0, max=65535, help="Port; 0 picks a free one.  [default: 4000, with --exit 0]"
        ),
    ] = None,
) -> None:
    """Watch simulated calls pass a gateway, and its books."""
    try:
        import openai  # noqa: F401  an extra
    except ImportError:
        raise ConfigError(
            "The demo sends its calls through the official OpenAI SDK, which is not installed.",
            hint="pip install 'headgate[demo]'",
        ) from None
    at = port if port is not None else 0 if exit_ else PORT
    if not asyncio.run(_demo(at, serve_on=not exit_, json=json)):
        raise typer.Exit(FAILED)


async def _demo(port: int, *, serve_on: bool, json: bool) -> bool:
    from openai import AsyncOpenAI

    from headgate.server.serve import running

    with as_file(files("headgate.cli") / "demo.yaml") as path:
        config = load(path, environment={}).config
    clock = SystemClock()
    async with await Gate.open(config) as gate, running(gate, port=port, grace=1) as address:
        say(f"A gateway at {address}; its providers are SIMULATED. {CALLS} calls through the OpenAI SDK:\n")
        start = clock.monotonic()
        async with AsyncOpenAI(base_url=f"{address}/v1", api_key="hg-demo", max_retries=0) as client:
            errors = await _watched(gate, client)
        seconds = clock.monotonic() - start
        total, _ = await gate.usage(Query())
        bill = half_up(sum((simulator.bill.total for simulator in gate.simulators.values()), Fraction(0)) * PICO)
        if json:
            facts = {
                "calls": total.calls,
                "errors": errors,
                "cost_usd": show_usd(total.cost),
                "bill_usd": show_usd(bill),
                "cache_hits": total.cache_hits,
                "seconds": round(seconds, 3),
            }
            put(msgspec.json.encode(facts).decode())
        say(f"\n{_remarks(errors, total.attempts)}")
        agrees = "the same, to the picodollar" if total.cost == bill else "NOT the same"
        say(f"Our ledger says ${show_usd(total.cost)}, the simulator's own bill ${show_usd(bill)}: {agrees}.")
        if serve_on:
            say(f"\nServing on at {address} (docs: {address}/docs). Ctrl-C ends it. Try:\n")
            say(f"  curl {address}/v1/chat/completions -H 'content-type: application/json' \\")
            say("""    -d '{"model": "resilient", "messages": [{"role": "user", "content": "Hello"}]}'""")
            await _until_interrupted()
        return total.cost == bill


def _remarks(errors: int, attempts: int) -> str:
    """Why there are errors, and more attempts than calls: it looks like trouble, and is what the demo shows."""
    bad = CALLS // BAD_EVERY
    others = f" {errors - bad} OTHER CALLS FAILED." if errors != bad else ""
    return (
        f"{bad} calls were bad requests on purpose: refused by the provider, and not repeated.{others} A provider that "
        f"fails on purpose cost {attempts - CALLS} further attempts, elsewhere, and no answer."
    )


async def _until_interrupted() -> None:
    """Wait for Ctrl-C, which is how a demo that serves on is meant to end."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()


async def _watched(gate: Gate, client: "AsyncOpenAI") -> int:
    """Send the calls and draw the table meanwhile; returns how many failed."""
    from openai import APIError

    failed: list[str] = []
    turns = iter(range(CALLS))

    async def worker() -> None:
        for turn in turns:
            try:
                await _call(client, turn)
            except APIError as error:
                failed.append(str(error))

    with Live(console=Console(stderr=True), auto_refresh=False, transient=False) as live:
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(worker()) for _ in range(CONCURRENCY)]
            while not all(worker.done() for worker in workers):
                await _draw(live, gate)
                await asyncio.wait(workers, timeout=REFRESH_SECONDS)
        await _draw(live, gate)
    return len(failed)


async def _call(client: "AsyncOpenAI", turn: int) -> None:
    """One call of the mixture."""
    question = f"{QUESTIONS[turn % len(QUESTIONS)]} ({turn})"
    model = ("gpt-6-luna", "gpt-5.4-mini", "resilient")[turn % 3]
    messages: Any = [{"role": "user", "content": question}]
    match turn % 4:
        case _ if turn % BAD_EVERY == BAD_EVERY - 1:
            # A bad request, as people send them: refused by the provider, passed on as it came, never retried.
            await client.chat.completions.create(model=model, messages=messages, max_tokens=-1)
        case 0:
            await client.chat.completions.create(model=model, messages=messages)
        case 1:
            await client.responses.create(model=model, input=question, max_output_tokens=120)
        case 2:
            async for _ in await client.chat.completions.create(model=model, messages=messages, stream=True):
                pass
        case _:
            async for _ in await client.responses.create(model=model, input=question, stream=True):
                pass


async def _draw(live: Live, gate: Gate) -> None:
    total, models = await gate.usage(Query(by=("provider", "model")))
    live.update(_table(gate, total, models), refresh=True)


def _table(gate: Gate, total: Usage, models: list[Usage]) -> Table:
    counts = gate.meter.counters
    figures = ("calls", "attempts", "errors", "tokens\nin", "tokens\nout", "cost, USD")
    rows = sorted([f"{group.group['provider'] or '-'} / {group.group['model']}", *_cells(group)] for group in models)
    made = table("provider / model", figures, rows, ["in all", *_cells(total)])
    p50, p95 = gate.meter.latency_ms(0.5), gate.meter.latency_ms(0.95)
    made.title = f"{counts.calls} calls"
    made.caption = f"latency p50 {p50:,.0f} ms, p95 {p95:,.0f} ms; in flight {counts.in_flight}"
    return made


def _cells(usage: Usage) -> tuple[str, ...]:
    return (
        f"{usage.calls}",
        f"{usage.attempts}",
        f"{usage.errors}",
        f"{usage.prompt_tokens:,}",
        f"{usage.completion_tokens:,}",
        show_usd(usage.cost),
    )
