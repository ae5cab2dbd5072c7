"""How each kind of end settles under a budget, through a whole gate: what is charged, and that the rest is free again.

For every end: the attempts on the books, what was held meanwhile, what the budget has spent for each `on_unknown`, and
that nothing is held or lent when all is quiet.
"""

import asyncio
import json
from contextlib import closing, suppress
from typing import Any, NamedTuple

import pytest

from headgate.core.call import Operation
from headgate.core.errors import HeadgateError, UnboundedError
from headgate.core.money import from_usd
from headgate.dialects.endpoints import find
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance
from headgate.gate.tasks import Tasks
from headgate.stores.money import Cap
from headgate.stores.protocols import Query
from headgate.testing import VirtualClock, virtual_time

LIMIT = from_usd("1")
CHAT, RESPONSES, IMAGES = Operation.CHAT, Operation.RESPONSES, Operation.IMAGES
NOT, REPORTED, COUNTED, UNKNOWN = "not_billed", "billed reported", "billed counted", "unknown"


class Case(NamedTuple):
    """One kind of end.

    Attributes:
        books: how its attempts are settled.
        fault: what happens at the provider.
        stream: the caller wants one.
        leave, cancel: the caller leaves after so many events, or is cancelled after so many seconds.
        attempts: that the gate may make.
        operation, body: what is asked for, if it is not a chat.
        at_once: it takes no time, so nobody can see what is held meanwhile.
    """

    books: tuple[str, ...]
    fault: dict[str, Any] | None = None
    stream: bool = False
    leave: int | None = None
    cancel: float | None = None
    attempts: int = 1
    operation: Operation = CHAT
    body: dict[str, Any] | None = None
    at_once: bool = False


def status(number: int, **more: Any) -> dict[str, Any]:
    """An error status, once."""
    return {"kind": "status", "status": number, "times": 1, **more}


CASES = {
    "an answer": Case((REPORTED,)),
    "a stream": Case((REPORTED,), stream=True),
    "a stream that was left": Case((COUNTED,), stream=True, leave=4),
    "a stream that was cancelled": Case((COUNTED,), stream=True, cancel=0.4),
    "a stream that was cancelled before its first word": Case((COUNTED,), stream=True, cancel=0.1),
    "an answer that was cancelled": Case((UNKNOWN,), cancel=0.1),
    "an answer without usage": Case((COUNTED,), {"kind": "no_usage"}),
    "a stream without usage": Case((COUNTED,), {"kind": "no_usage"}, stream=True),
    "usage that cannot be true": Case((COUNTED,), {"kind": "wrong_usage"}),
    "a stream that breaks": Case((COUNTED,), {"kind": "cut", "after_tokens": 3}, stream=True),
    "a stream that breaks before its first word": Case((UNKNOWN,), {"kind": "cut"}, stream=True, at_once=True),
    "an answer that breaks": Case((UNKNOWN,), {"kind": "cut"}),
    "a malformed stream": Case((COUNTED,), {"kind": "malformed", "after_tokens": 3}, stream=True),
    "a malformed answer": Case((UNKNOWN,), {"kind": "malformed"}),
    "an error inside the stream": Case((COUNTED,), {"kind": "error_event", "after_tokens": 3}, stream=True),
    "an error at the head of the stream": Case((UNKNOWN,), {"kind": "error_event"}, stream=True, at_once=True),
    "an error instead of the answer": Case((NOT,), {"kind": "error_event", "status": 500}, at_once=True),
    "a filtered stream": Case(
        (REPORTED,), {"kind": "error_event", "code": "content_filter", "after_tokens": 3}, stream=True
    ),
    "a stream that falls silent": Case((COUNTED,), {"kind": "stall", "after_tokens": 3}, stream=True),
    "a slow first token": Case((UNKNOWN,), {"kind": "slow_first_token"}, stream=True),
    "an answer that never comes": Case((UNKNOWN,), {"kind": "silence"}),
    "a connection that is reset": Case((UNKNOWN,), {"kind": "reset"}, at_once=True),
    "overload": Case((NOT,), status(503), at_once=True),
    "a rate limit": Case((NOT,), status(429, retry_after=100), at_once=True),
    "a quota that is used up": Case((NOT,), status(429, code="insufficient_quota"), at_once=True),
    "a key that is refused": Case((NOT,), status(401), at_once=True),
    "a request that is refused": Case((NOT,), status(400), at_once=True),
    "a retry after overload": Case((NOT, REPORTED), status(503), attempts=3),
    "a retry after a rate limit": Case((NOT, REPORTED), status(429, retry_after=0.5), attempts=3),
    "retries after resets": Case((UNKNOWN, UNKNOWN, REPORTED), {"kind": "reset", "times": 2}, attempts=3),
    "a retry after silence": Case((UNKNOWN, REPORTED), {"kind": "silence", "times": 1}, attempts=2),
    "an answer in the background": Case(
        (UNKNOWN,), operation=RESPONSES, body={"input": "Hello", "background": True, "store": True}, at_once=True
    ),
    "a picture": Case((REPORTED,), operation=IMAGES, body={"prompt": "a cat", "quality": "low"}),
    "a picture without usage": Case(
        (UNKNOWN,), {"kind": "no_usage"}, operation=IMAGES, body={"prompt": "a cat", "quality": "low"}
    ),
}


def config(fault: dict[str, Any] | None, attempts: int, rule: str, unbounded: str = "estimate") -> Config:
    """A gate with one budget."""
    provider = {
        "type": "simulator", "latency": {"first_token": 0.2, "per_token": 0.05}, "faults": [fault] if fault else [],
        "timeout": {"connect": 1, "first_token": 3, "silence": 3, "total": 30}, "responses": True,
    }  # fmt: skip
    return Config.model_validate({
        "store": "memory://",
        "providers": {"p": provider},
        "models": {
            "m": {"targets": [{"provider": "p", "model": "gpt-6-luna"}], "default_max_output": 200},
            "draw": {"targets": [{"provider": "p", "model": "gpt-image-2"}]},
        },
        "budgets": [{"name": "b", "limit_usd": 1, "window": "total"}],
        "policies": {
            "retry": {"max_attempts": attempts}, "budget": {"on_unknown": rule, "unbounded": unbounded},
        },
    })  # fmt: skip


async def ask(gate: Gate, case: Case) -> None:
    """The call, whatever becomes of it."""
    body = {"model": "draw" if case.operation is IMAGES else "m", **({"stream": True} if case.stream else {})}
    body |= case.body or {"messages": [{"role": "user", "content": "Say 40 words."}]}
    call = gate.call(case.operation, json.dumps(body).encode())
    with suppress(HeadgateError, TimeoutError):
        async with asyncio.timeout(case.cancel), await gate(call) as reply:
            events = 0
            async for _ in reply:
                events += 1
                if events == case.leave:
                    break


async def most_held(gate: Gate, done: asyncio.Event) -> int:
    """The largest sum that was held at any moment until it is done."""
    most = 0
    while not done.is_set():
        most = max(most, *(purse.held for purse in gate._purses._purses.values()), 0)
        await asyncio.sleep(0.01)
    return most


async def spent(gate: Gate) -> tuple[int, int]:
    """What the store says of the budget: spent and lent."""
    await gate._drain.once()
    return (await gate._ledger.spent([Cap("b", "total", LIMIT)]))[0]


def charge(rule: str, cost: int, held: int) -> bool:
    """Whether that is what a rule charges for an attempt of which nobody knows."""
    return {"charge": cost == held, "estimate": 0 < cost <= held, "release": cost == 0}[rule]


@pytest.mark.parametrize("name", CASES)
def test_every_end_is_settled(name):
    """As the books say; meanwhile the worst case is held, and in the end all that was not charged is free again."""
    case = CASES[name]

    async def story(rule: str) -> None:
        gate = await Gate.open(config(case.fault, case.attempts, rule), clock=VirtualClock(), chance=SystemChance(1))
        async with gate:
            done = asyncio.Event()
            watching = Tasks().start(most_held(gate, done), "watch")
            await ask(gate, case)
            # What the provider does after its reader has left takes a moment.
            assert {purse.held for purse in gate._purses._purses.values()} == {0}
            done.set()
            rows = [row async for row in gate.rows(Query())]
            assert tuple(f"{row.settled} {row.basis or ''}".strip() for row in rows) == case.books
            most = await watching
            assert most in {row.held for row in rows} or (case.at_once and most == 0)
            for row in rows:
                assert row.held is not None
                assert row.cost is not None
                if row.settled == "unknown":
                    assert charge(rule, row.cost, row.held)
                elif row.settled == "billed":
                    assert 0 < row.cost <= row.held or case.operation is IMAGES
                else:
                    assert row.cost == 0
            total = sum(row.cost or 0 for row in rows)
            assert (await spent(gate))[0] == total
            await asyncio.sleep(3)
            # All is free: somebody else may borrow everything that was not charged, and no more.
            assert await spent(gate) == (total, 0)
            cap = Cap("b", "total", LIMIT)
            assert (await gate._ledger.borrow("another", cap, LIMIT - total + 1, LIMIT)).amount == 0
            assert (await gate._ledger.borrow("another", cap, LIMIT - total, LIMIT)).amount == LIMIT - total
            # What the provider has charged is within what was.
            if case.operation is not IMAGES and rule == "charge":
                assert from_usd(gate.simulators["p"].bill.usd()) <= sum(
                    (row.held or 0) if row.basis == "counted" else (row.cost or 0) for row in rows
                )

    for rule in ("charge", "estimate", "release") if UNKNOWN in case.books else ("charge",):
        virtual_time(story(rule))


async def uploaded(gate: Gate, data: bytes) -> str:
    """Give the provider a file: its id."""
    head = b'--x\r\ncontent-disposition: form-data; name="'
    with closing(gate.spool("multipart/form-data; boundary=x")) as spool:
        await spool.write(head + b'purpose"\r\n\r\nbatch\r\n')
        await spool.write(head + b'file"; filename="f.jsonl"\r\n\r\n' + data + b"\r\n--x--\r\n")
        upload = await spool.finish()
        async with await gate(gate.call(Operation.FILES, upload, found=find("POST", "/files"))) as reply:
            made: str = json.loads((await reply.read()).raw)["id"]
            return made


def test_a_batch_is_refused_or_unknown():
    """Nobody here knows what its rows ask for: it does not leave, or is unknown, without a hold and a charge."""
    row = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-6-luna",'
    row += b' "messages": [{"role": "user", "content": "Hello"}]}}\n'

    async def story(unbounded: str) -> list[tuple[str, int | None, int | None, str | None]]:
        settings = config(None, 1, "charge", unbounded)
        async with await Gate.open(settings, clock=VirtualClock(), chance=SystemChance(1)) as gate:
            asked = {"input_file_id": await uploaded(gate, row), "endpoint": "/v1/chat/completions"}
            raw = json.dumps({**asked, "completion_window": "24h"}).encode()
            with suppress(UnboundedError):
                async with await gate(gate.call(Operation.BATCHES, raw, found=find("POST", "/batches"))) as reply:
                    await reply.read()
            rows = [row async for row in gate.rows(Query())]
            assert await spent(gate) == (0, 0)
            return [(row.settled, row.cost, row.held, row.error_type) for row in rows[1:]]

    assert virtual_time(story("refuse")) == [("not_billed", 0, None, "unbounded_cost")]
    assert virtual_time(story("estimate")) == [("unknown", None, None, None)]
