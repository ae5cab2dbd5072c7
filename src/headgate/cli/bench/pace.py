"""`headgate bench pace`: how much of a provider's limits is used, and how often they are met.

Decides what is printed, and what the gate must reach; refuses to measure and to judge.
"""

import asyncio
from importlib.util import find_spec
from typing import Annotated

import msgspec
import typer

from headgate.cli.bench.scenarios import Scenario, scenarios
from headgate.cli.bench.stage import Client, Outcome
from headgate.cli.table import show, table
from headgate.cli.voice import FAILED, Json, put, say

app = typer.Typer(help="Measure.", no_args_is_help=True)

SHARED_SHARE = 0.95
"""What two processes must use of their limit, without a single 429."""
SHORTEST = 5.0
"""Minutes: two to warm up, and three to be judged."""


@app.callback()
def bench() -> None:
    """Measure the gate."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table, as a program reads it.

    Attributes:
        scenario: its name.
        client: `headgate` or `openai`.
        workers: callers at the same time.
        limit: the binding one.
        share: used of what was allowed.
        refused: 429s per admitted call.
        settled: ditto, but for 15 s after each change.
        calls, lost: how many were made, and how many had no answer.
        errors: those that came instead.
        seconds: from the first call to the last answer.
        p50, p95: seconds from a call to its answer.
        peak: the most calls in flight that the provider saw.
        least_share, most_refused: what the gate must reach; None where nothing is promised.
        met: whether it has.
    """

    scenario: str
    client: str
    workers: int
    limit: str
    share: float
    refused: float
    settled: float
    calls: int
    lost: int
    errors: dict[str, int]
    seconds: float
    p50: float
    p95: float
    peak: int
    least_share: float | None = None
    most_refused: float | None = None
    met: bool | None = None


def pace(
    json: Json = False,
    seed: Annotated[int, typer.Option("--seed", help="Equal seeds measure the same.")] = 1,
    minutes: Annotated[
        float, typer.Option("--minutes", min=SHORTEST, max=600, help="How long each scenario is, in virtual time.")
    ] = 10,
    shared: Annotated[
        str | None,
        typer.Option("--shared", help="A Redis, such as redis://localhost: two processes share a limit through it."),
    ] = None,
) -> None:
    """How much of a provider's limits is used, and how often they are met.

    Ends with 1 where the gate reaches less than is promised.
    """
    if shared is not None:
        _reach(shared)
    clients: list[Client] = ["headgate", "openai"]
    if find_spec("openai") is None:
        clients.pop()
        say("The OpenAI SDK is not installed, so there is nothing beside the gate: pip install 'headgate[demo]'\n")
    lines = []
    for scenario in scenarios(minutes):
        for client in clients:
            say(f"{scenario.name} / {client} …")
            lines.append(_played(scenario, client, seed))
    if shared is None:
        say("two processes: left out; --shared names the Redis that they would share.")
    else:
        say("two processes / headgate …")
        lines.append(_shared(shared))
    if json:
        put(msgspec.json.encode({"seed": seed, "minutes": minutes, "lines": lines}).decode())
    else:
        _show(lines)
    missed = [line.scenario for line in lines if line.met is False]
    if missed:
        say(f"Less than is promised: {', '.join(missed)}.")
        raise typer.Exit(FAILED)


def _played(scenario: Scenario, client: Client, seed: int) -> Line:
    from headgate.cli.bench.stage import play
    from headgate.gate.virtual import virtual_time

    outcome = virtual_time(play(scenario, client, seed=seed))
    if client != "headgate":
        return line(scenario.name, client, scenario.semaphore, outcome)
    return promised(
        line(scenario.name, client, scenario.workers, outcome), share=scenario.share, refused=scenario.refused
    )


def _reach(url: str) -> None:
    from headgate.cli.bench.processes import reach

    asyncio.run(reach(url))


def _shared(url: str) -> Line:
    from headgate.cli.bench.processes import PROCESSES, WORKERS, share_limit

    outcome = asyncio.run(share_limit(url))
    made = line("two processes", "headgate", PROCESSES * WORKERS, outcome)
    return promised(made, share=SHARED_SHARE, refused=0.0)


def line(scenario: str, client: str, workers: int, outcome: Outcome) -> Line:
    """What was measured, without a promise."""
    verdict = outcome.verdict
    return Line(
        scenario=scenario,
        client=client,
        workers=workers,
        limit=verdict.binding,
        share=round(verdict.share, 4),
        refused=round(verdict.refused_share, 5),
        settled=round(verdict.settled_share, 5),
        calls=outcome.calls,
        lost=sum(outcome.lost.values()),
        errors=outcome.lost,
        seconds=round(outcome.seconds, 1),
        p50=round(outcome.p50, 3),
        p95=round(outcome.p95, 3),
        peak=verdict.peak,
    )


def promised(made: Line, *, share: float, refused: float) -> Line:
    """The same beside what is promised: at least such a share, at most so many 429s, and nothing lost."""
    few = made.settled < refused or made.settled == refused == 0
    met = made.share >= share and few and not made.lost
    return msgspec.structs.replace(made, least_share=share, most_refused=refused, met=met)


def _show(lines: list[Line]) -> None:
    figures = ("callers", "used", "429s\nper 100", "lost", "took", "p50", "p95", "promise")
    rows = [
        [
            one.scenario if one.client == "headgate" else f"  {one.client}",
            f"{one.workers}",
            f"{one.share:.1%}",
            f"{one.settled:.2%}"[:-1],
            f"{one.lost:,}",
            f"{one.seconds:,.0f} s",
            f"{one.p50:.1f} s",
            f"{one.p95:.1f} s",
            "" if one.met is None else "met" if one.met else "MISSED",
        ]
        for one in lines
    ]
    show(table("scenario", figures, rows))
