"""A crowd of callers who leave at any moment, and what must be true afterwards: what the tests of cancellation share.

Every call is cancelled at its n-th suspension, in each of the three ways in which an event loop can do it, or its reply
is closed in the middle, or unread. Meanwhile everything goes wrong that can: both targets are short of everything and
have a queue, they fail in every way, streams go on at the other target, keys meet their limits, deadlines pass.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from typing import Any

from headgate.core.call import Caller, Operation
from headgate.core.errors import HeadgateError
from headgate.core.reply import Reply
from headgate.gate import wiring
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance
from headgate.providers.simulator import Simulator
from headgate.stores.memory_rates import MemoryRates
from headgate.stores.records import AttemptRow

KEYS = {"hg-swift": 9, "hg-slow": 5, "hg-patient": 0}
FAULTS = (
    {"kind": "status", "status": 503, "rate": 0.2},
    {"kind": "status", "status": 429, "rate": 0.03, "retry_after": 0.5},
    {"kind": "reset", "rate": 0.03},
    {"kind": "silence", "rate": 0.03},
    {"kind": "slow_first_token", "rate": 0.03, "delay": 1.5},
    {"kind": "cut", "rate": 0.2, "after_tokens": 4},
    {"kind": "stall", "rate": 0.1, "after_tokens": 4},
    {"kind": "malformed", "rate": 0.03, "after_tokens": 4},
    {"kind": "error_event", "rate": 0.03, "after_tokens": 4, "code": "server_error"},
    {"kind": "no_usage", "rate": 0.05},
)
ASKED = {
    Operation.CHAT: b'{"model":"%s","messages":[{"role":"user","content":"Tell me %d words."}]%s}',
    Operation.RESPONSES: b'{"model":"%s","input":"Tell me %d words.","store":false%s}',
}


def settings() -> dict[str, Any]:
    """Two targets that are short of everything, and keys that are, too."""
    provider = {
        "type": "simulator",
        "timeout": {"connect": 1, "first_token": 2, "silence": 1, "total": 20},
        "latency": {"first_token": 0.2, "per_token": 0.004, "jitter": 0.5},
        "limits": {"requests_per_minute": 1800, "tokens_per_minute": 150_000, "concurrency": 12},
        "faults": [*FAULTS],
    }
    targets = [
        {"provider": name, "model": "gpt-6-luna", "priority": at} for at, name in enumerate(("first", "second"), 1)
    ]
    limits = {"requests_per_minute": 1500, "tokens_per_minute": 300_000, "concurrency": 20}
    return {
        "store": "memory://",
        "providers": {"first": {**provider, "seed": 3}, "second": {**provider, "seed": 3}},
        "models": {
            "on": {"targets": targets, "recovery": "continue"},
            "quick": {"targets": [{**target, "priority": 1} for target in targets], "strategy": "latency"},
            **{target["provider"]: {"targets": [target]} for target in targets},
        },
        "policies": {"breaker": {"failures": 25, "rest": 1, "window": 20}},
        "server": {"auth": "keys"},
        "keys": [
            {
                "name": key, "sha256": hashlib.sha256(key.encode()).hexdigest(), "priority": priority,
                "limits": limits, "models": ["on", "quick"],
            }
            for key, priority in KEYS.items()
        ],
    }  # fmt: skip


def callers(config: Config) -> list[Caller]:
    """Who holds the keys."""
    return [
        Caller(key=key.name, limits=wiring.limits(key.limits), priority=key.priority)
        for key in config.keys
        if key.limits is not None and key.priority is not None
    ]


class Leaving:
    """Awaits a coroutine, and cancels the task that does so at its n-th suspension.

    Args:
        work: what is awaited.
        number: the suspension; the first one is 1.
        how: `now`: what it waits for is cancelled with it. `soon`: in the next turn of the loop. `late`: when what
            it waits for has come, and it does not know yet.
        queued: suspensions in the queue count, too.

    Attributes:
        steps: suspensions so far.
        where: the modules that were waiting when it was cancelled, outermost first.
    """

    def __init__(self, work: Coroutine[Any, Any, Any], number: int, how: str, *, queued: bool) -> None:
        self._work = work
        self._number = number
        self._how = how
        self._queued = queued
        self.steps = 0
        self.where: list[str] = []

    async def run(self) -> None:
        """Await it."""
        await self

    def __await__(self) -> Generator[Any, None, Any]:
        resume: Callable[[], Any] = lambda: self._work.send(None)  # noqa: E731  one of two
        while True:
            try:
                future = resume()
            except StopIteration as end:
                return end.value
            if self._queued or _where(self._work)[-1] != "gauge":
                self.steps += 1
                if self.steps == self._number:
                    self._cancel(future)
            try:
                yield future
            except BaseException as error:  # noqa: BLE001  it is passed on
                resume = lambda error=error: self._work.throw(error)  # noqa: E731  the other one
            else:
                resume = lambda: self._work.send(None)  # noqa: E731

    def _cancel(self, future: asyncio.Future[Any] | None) -> None:
        self.where = _where(self._work)
        task = asyncio.current_task()
        if self._how == "late" and future is not None:
            future.add_done_callback(lambda _: task.cancel())
        elif self._how == "soon":
            asyncio.get_running_loop().call_soon(task.cancel)
        else:
            task.cancel()


def _where(work: Any) -> list[str]:
    """The modules of what is suspended in what."""
    found = [""]
    while work is not None:
        letters = next((letters for letters in ("cr", "ag", "gi") if hasattr(work, f"{letters}_code")), None)
        if letters is None:
            break
        path = getattr(work, f"{letters}_code").co_filename
        if "/headgate/" in path:
            found.append(path.rpartition("/")[2].removesuffix(".py"))
        work = getattr(work, "gi_yieldfrom" if letters == "gi" else f"{letters}_await")
    return found


class Crowd:
    """Callers, each of whom leaves.

    Args:
        ask: asks one question, and takes its answer.
        seed: of everything random.
        seconds: in which they come.
        patience: seconds after which who was refused comes again, at most.

    Attributes:
        left: how many were cancelled, by what waited for what at that moment.
        asked: calls.
    """

    def __init__(
        self, ask: Callable[["Crowd"], Awaitable[None]], seed: int, *, seconds: float, patience: float
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._patience = patience
        self._chance = SystemChance(seed)
        self.left: Counter[str] = Counter()
        self.asked = 0

    async def come(self, number: int) -> None:
        """So many come, and all leave."""
        async with asyncio.TaskGroup() as group:
            for _ in range(number):
                group.create_task(self._one(group))

    async def _one(self, group: asyncio.TaskGroup) -> None:
        """Come at some moment; ask until the call was cancelled before its end."""
        await asyncio.sleep(self.random() * self._seconds)
        steps = self.among(6, 30, 80)
        while True:
            how, queued = self.among("now", "soon", "late"), self.among(True, False)
            leaving = Leaving(self._ask(self), 1 + self.below(steps), how, queued=queued)
            task = group.create_task(leaving.run())
            await asyncio.wait([task])
            if task.cancelled():
                self.left[leaving.where[-1]] += 1
                return
            if not leaving.steps:
                # It was refused.
                await asyncio.sleep(self._patience * self.random())
            steps = max(leaving.steps, 1)

    def random(self) -> float:
        """From 0 to 1."""
        return self._chance.random()

    def below(self, number: int) -> int:
        """A whole number."""
        return int(self._chance.random() * number)

    def among(self, *choices: Any) -> Any:
        """One of them."""
        return choices[self.below(len(choices))]


async def read(crowd: Crowd, reply: Reply) -> None:
    """Take an answer: all of it, the beginning, nothing, or poured into a sink that is full now and then."""
    how = crowd.among("all", "all", "begin", "nothing", "pour")
    async with reply:
        if how == "pour":

            async def drained() -> None:
                await asyncio.sleep(0.01)

            await reply.pour(lambda _: crowd.random() < 0.8, drained)
        elif how != "nothing":
            rest = crowd.below(20) if how == "begin" else -1
            async for _ in reply:
                rest -= 1
                if not rest:
                    return


def question(crowd: Crowd) -> tuple[Operation, bytes]:
    """Any."""
    operation = crowd.among(Operation.CHAT, Operation.RESPONSES)
    stream = crowd.among(b"", b',"stream":true', b',"stream":true')
    return operation, ASKED[operation] % (crowd.among(b"on", b"quick"), 5 + crowd.below(40), stream)


def at_the_gate(gate: Gate, callers: list[Caller]) -> Callable[[Crowd], Awaitable[None]]:
    """Calls from inside."""

    async def ask(crowd: Crowd) -> None:
        crowd.asked += 1
        timeout = crowd.among(None, None, 1.0, 8.0)
        call = gate.call(*question(crowd), caller=crowd.among(*callers), timeout=timeout, priority=crowd.below(10))
        try:
            await read(crowd, await gate(call))
        except HeadgateError:
            return

    return ask


def held(gate: Gate, simulators: Mapping[str, Simulator]) -> dict[str, int]:
    """What is still held, by whom; nothing should be. The books must have been looked at."""
    found: dict[str, int] = {"in flight": gate.meter.counters.in_flight}
    for name, simulator in simulators.items():
        found[f"answers of {name}"] = sum(account.busy for account in simulator._desk._allowances.values())
    if isinstance(gate._rates, MemoryRates):
        for name, state in gate._rates._states.items():
            found[f"places of {name}"] = state.busy
    for target, policies in gate._stack.targets().items():
        pace = policies["pace"].state()
        found[f"queue of {target}"], found[f"under way at {target}"] = pace["waiting"], pace["busy"]
        found[f"probes of {target}"] = policies["breaker"]._probing
    found["calls without an end in the books"] = len(gate._drain._join._calls)
    found["records without a beginning"] = gate._drain.health()["orphans"]
    return {what: number for what, number in found.items() if number}


def check_books(gate: Gate, rows: list[AttemptRow], simulators: Mapping[str, Simulator]) -> None:
    """Every attempt is settled, and is in the books as often as it left: once."""
    assert gate.meter.counters.calls == len({row.call_id for row in rows})
    assert {row.settled for row in rows} == {"billed", "not_billed", "unknown"}
    booked = Counter(f"{row.call_id}-{row.attempt}" for row in rows if row.attempt)
    arrived = Counter(arrival.client_request_id for one in simulators.values() for arrival in one.log)
    assert max(booked.values()) == max(arrived.values()) == 1
    assert arrived.keys() <= booked.keys()
    not_arrived = booked.keys() - arrived.keys()
    assert {row.settled for row in rows if f"{row.call_id}-{row.attempt}" in not_arrived} <= {"not_billed"}
