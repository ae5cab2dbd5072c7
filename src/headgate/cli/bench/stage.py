"""Plays a scenario with one client, on the virtual clock.

Decides how calls are made, when limits change and when strangers come, and what is measured; refuses to judge. Both
clients get the same prompts and the same simulator of the same seed, in this process.
"""

import asyncio
import random  # noqa: TID251  not ours: the SDK rolls these dice
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from math import exp, log
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import replace

from headgate.cli.bench.judge import MINUTE, Span, Verdict, judge
from headgate.cli.bench.scenarios import GROUP, LATENCY, Change, Scenario, Stranger
from headgate.client.simulated import simulated_client
from headgate.core.call import Operation
from headgate.core.clock import Chance, Clock
from headgate.core.errors import HeadgateError
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance
from headgate.gate.virtual import VirtualClock
from headgate.providers.simulator import Limits, Request, Simulator

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Client = Literal["headgate", "openai"]
MODEL = "fake"
"""Ours: it neither thinks nor costs."""
THEIRS = "gpt-4o-mini"
"""The strangers'."""
WARM_UP = 120.0
"""Seconds that are not judged: an account that was in use has no reserve yet, and what it allows is not known."""
_CHAT = "/v1/chat/completions"
_NOTHING = Limits(
    requests_per_minute=1, tokens_per_minute=1, input_tokens_per_minute=1, output_tokens_per_minute=1, group=GROUP
)

Ask = Callable[[str], Awaitable[str | None]]
"""Asks, and gives the name of the error that came in place of an answer."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured.

    Attributes:
        seconds: from the first call to the last answer.
        calls: how many were made.
        lost: how many had no answer, by the error that came instead.
        p50, p95: seconds from a call to its answer, waiting included.
        verdict: the judge's.
    """

    seconds: float
    calls: int
    lost: dict[str, int]
    p50: float
    p95: float
    verdict: Verdict


async def play(scenario: Scenario, client: Client, *, seed: int) -> Outcome:
    """Play a scenario. To be run in virtual time."""
    clock, chance = VirtualClock(), SystemChance(seed)
    prompts = [
        f"Write about {length} tokens, please. ({number})"
        for number, length in enumerate(_lengths(scenario, chance), 1)
    ]
    stage, workers = (_headgate, scenario.workers) if client == "headgate" else (_openai, scenario.semaphore)
    async with stage(scenario, seed) as (ask, simulator):
        await use_up(simulator, scenario.limits)
        start = clock.time()
        work = Work(ask, prompts, clock)
        async with asyncio.TaskGroup() as group:
            others = [group.create_task(_change(simulator, scenario.changes))]
            if scenario.stranger is not None:
                others.append(group.create_task(_come(simulator, scenario.stranger, chance)))
            await work.done(workers)
            for other in others:
                other.cancel()
        verdict = judge(
            simulator.log,
            [Span(start, scenario.limits), *(Span(start + at, limits) for at, limits in scenario.changes)],
            start=start + WARM_UP,
            # Whoever is done sooner has not used the limits: it has lost most of its calls.
            end=max(work.last, start + WARM_UP + MINUTE),
            changes=[start + at for at in scenario.upheavals],
            ours=lambda one: one.model == MODEL,
        )
    return Outcome(
        seconds=clock.time() - start,
        calls=scenario.calls,
        lost=dict(work.lost),
        p50=quantile(work.latencies, 0.5),
        p95=quantile(work.latencies, 0.95),
        verdict=verdict,
    )


class Work:
    """Calls that are to be made, and what became of them.

    Attributes:
        last: when the last of them was made.
        lost: those without an answer, by the error that came instead.
        latencies: seconds, one for each.
    """

    def __init__(self, ask: Ask, prompts: Iterable[str], clock: Clock) -> None:
        self.last = 0.0
        self.lost: Counter[str] = Counter()
        self.latencies: list[float] = []
        self._ask = ask
        self._prompts = iter(prompts)
        self._clock = clock

    async def done(self, workers: int) -> None:
        """Make them, so many at the same time."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        for prompt in self._prompts:
            self.last = self._clock.time()
            began = self._clock.monotonic()
            error = await self._ask(prompt)
            self.latencies.append(self._clock.monotonic() - began)
            if error is not None:
                self.lost[error] += 1


@asynccontextmanager
async def _headgate(scenario: Scenario, seed: int) -> AsyncIterator[tuple[Ask, Simulator]]:
    """A gate whose provider is the simulator."""
    provider = {
        "type": "simulator",
        "seed": seed,
        "latency": msgspec.to_builtins(LATENCY),
        "limits": {**scenario.told, "group": scenario.limits.group},
        "limit_headers": scenario.limits.headers,
    }
    models = {"*": {"targets": [{"provider": "account"}]}}
    free = {"input_usd_per_million": 0, "output_usd_per_million": 0}
    config = Config.model_validate(
        {
            "store": "memory://",
            "providers": {"account": provider},
            "models": models,
            "catalog": {"models": {MODEL: free}},
        }
    )
    async with await Gate.open(config, clock=VirtualClock(), chance=SystemChance(seed)) as gate:
        yield partial(ask_gate, gate), gate.simulators["account"]


async def ask_gate(gate: Gate, prompt: str) -> str | None:
    """Ask a gate for a whole answer; the error's name where there is none."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}]}
    try:
        reply = await gate(gate.call(Operation.CHAT, msgspec.json.encode(body)))
        try:
            async for _ in reply:
                pass
        finally:
            await reply.close()
    except HeadgateError as error:
        return type(error).__name__
    return None


@asynccontextmanager
async def _openai(scenario: Scenario, seed: int) -> AsyncIterator[tuple[Ask, Simulator]]:
    """The SDK as it comes: two retries of its own, and no gate."""
    from openai import AsyncOpenAI

    random.seed(seed)  # its backoff
    simulator = Simulator(clock=VirtualClock(), seed=seed, latency=LATENCY, limits=scenario.limits)
    async with AsyncOpenAI(api_key="sk-simulated", http_client=simulated_client(simulator)) as client:
        yield partial(_ask_openai, client), simulator


async def _ask_openai(client: "AsyncOpenAI", prompt: str) -> str | None:
    from openai import OpenAIError

    try:
        await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": prompt}])
    except OpenAIError as error:
        return type(error).__name__
    return None


async def use_up(simulator: Simulator, limits: Limits) -> None:
    """Leave nothing of the account's minute: somebody was here until now."""
    simulator.allow(Limits(group=GROUP))
    simulator.allow(limits)
    await _theirs(simulator, 0)
    simulator.allow(replace(_NOTHING, headers=limits.headers))
    simulator.allow(limits)


async def _change(simulator: Simulator, changes: Iterable[Change]) -> None:
    """Change the limits when it is time."""
    start = simulator.clock.monotonic()
    for change in changes:
        await simulator.clock.sleep(start + change.at - simulator.clock.monotonic())
        simulator.allow(change.limits)


async def _come(simulator: Simulator, stranger: Stranger, chance: Chance) -> None:
    """Call as strangers do: whenever it suits them, and not again where they are refused."""
    clock = simulator.clock
    start = clock.monotonic()
    await clock.sleep(stranger.since)
    number = 0
    while clock.monotonic() < start + stranger.until:
        number += 1
        await _theirs(simulator, number)
        await clock.sleep(-log(1 - chance.random()) * 60 / stranger.per_minute)


async def _theirs(simulator: Simulator, number: int) -> None:
    body = {"model": THEIRS, "messages": [{"role": "user", "content": f"Hello ({number})"}]}
    # Nobody waits for it: it is charged and forgotten.
    simulator.take(Request("POST", _CHAT, {}, msgspec.json.encode(body))).close()


def _lengths(scenario: Scenario, chance: Chance) -> Iterator[int]:
    least, most = scenario.lengths
    for _ in range(scenario.calls):
        yield round(exp(log(least) + chance.random() * (log(most) - log(least))))


def quantile(values: Sequence[float], share: float) -> float:
    """The value that a share of them does not exceed; 0 where there is none."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else 0.0
