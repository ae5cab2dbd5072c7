"""The retry and fallback table, row by row, through a whole gate on the simulator, in virtual time.

Each row says what goes wrong at the first target, and what must follow: what the caller gets, how often each target was
asked, how long it took, and what the ledger says of every attempt. Rows run with a second target and alone, for chat
and for Responses.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from headgate.core.call import Operation
from headgate.core.errors import HeadgateError
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance
from headgate.stores.protocols import Query
from headgate.testing import VirtualClock, virtual_time

TOTAL, FIRST_TOKEN, SILENCE = 20, 3, 4
OK = "ok"
BODIES = {
    Operation.CHAT: b'{"model":"m","messages":[{"role":"user","content":"Tell me a long story."}]%s}',
    Operation.RESPONSES: b'{"model":"m","input":"Tell me a long story."%s}',
}


class Then(NamedTuple):
    """What follows."""

    result: str
    """`ok`, or the name of the error's class."""
    sends: tuple[int, ...]
    """How often each target was asked."""
    settled: tuple[str, ...]
    """Of each attempt, oldest first."""
    seconds: tuple[float, float] = (0, 3.1)
    """At least, at most: two full-jitter waits are at most 1 + 2 s."""
    status: int = 200


class Row(NamedTuple):
    """One line of the table."""

    name: str
    fault: dict[str, Any]
    stream: bool
    with_another: Then
    alone: Then


NOT, UNKNOWN, BILLED, COUNTED = "not_billed", "unknown", "billed/reported", "billed/counted"


def passing(error: str, status: int, settled: str) -> tuple[Then, Then]:
    """Passing trouble: three sends, then the next target."""
    return Then(OK, (3, 1), (settled,) * 3 + (BILLED,)), Then(error, (3,), (settled,) * 3, status=status)


def lasting(error: str, status: int) -> tuple[Then, Then]:
    """Lasting trouble: the next target at once."""
    at_once = (0, 0)
    return Then(OK, (1, 1), (NOT, BILLED), at_once), Then(error, (1,), (NOT,), at_once, status)


def final(error: str, status: int) -> tuple[Then, Then]:
    """Nobody else is asked."""
    return Then(error, (1, 0), (NOT,), (0, 0), status), Then(error, (1,), (NOT,), (0, 0), status)


def slow(limit: float) -> tuple[Then, Then]:
    """The next target after one limit; alone, three times the limit and two waits."""
    return (
        Then(OK, (1, 1), (UNKNOWN, BILLED), (limit, limit)),
        Then("TimeoutError", (3,), (UNKNOWN,) * 3, (3 * limit, 3 * limit + 3), 504),
    )


def broken(limit: float = 0) -> tuple[Then, Then]:
    """After the first word: the first error, typed; what was said is counted."""
    bound = (limit, limit)
    then = Then("InterruptedError", (1,), (COUNTED,), bound, 502)
    return then._replace(sends=(1, 0)), then


def fine(settled: str = BILLED) -> tuple[Then, Then]:
    """Nothing that a caller would notice."""
    return Then(OK, (1, 0), (settled,), (0, 0)), Then(OK, (1,), (settled,), (0, 0))


def status(number: int, **more: Any) -> dict[str, Any]:
    """An error status."""
    return {"kind": "status", "status": number, **more}


ROWS = [
    *(Row(f"{code}, {'stream' if stream else 'whole'}", status(code), stream, *passing("OverloadedError", shown, NOT))
      for code, shown in ((500, 502), (502, 502), (503, 502), (504, 502), (408, 408), (409, 409))
      for stream in (False, True)),
    *(Row(f"{code}, {'stream' if stream else 'whole'}", status(code), stream, *lasting("AuthenticationError", 500))
      for code in (401, 402, 403) for stream in (False, True)),
    Row("404 model", status(404, code="model_not_found"), False, *lasting("ModelNotFoundError", 404)),
    Row("404 model, stream", status(404, code="model_not_found"), True, *lasting("ModelNotFoundError", 404)),
    *(Row(f"429 {code}", status(429, code=code), False, *lasting("QuotaError", 429))
      for code in ("insufficient_quota", "credit_balance_exhausted", "project_spend_limit_exceeded")),
    Row("400", status(400, code="invalid_value"), False, *final("APIError", 400)),
    Row("422", status(422), True, *final("APIError", 422)),
    Row("content policy", status(400, code="content_policy_violation"), False, *final("ContentFilterError", 400)),
    Row("429, a short wait", status(429, code="rate_limit_exceeded", retry_after=2, times=1), False,
        Then(OK, (2, 0), (NOT, BILLED), (2, 2.2)), Then(OK, (2,), (NOT, BILLED), (2, 2.2))),
    Row("429, a long wait", status(429, code="rate_limit_exceeded", retry_after=10, times=1), True,
        Then(OK, (1, 1), (NOT, BILLED), (0, 0)), Then(OK, (2,), (NOT, BILLED), (10, 11))),
    Row("429, longer than the call may take", status(429, code="rate_limit_exceeded", retry_after=60), False,
        Then(OK, (1, 1), (NOT, BILLED), (0, 0)), Then("RateLimitError", (1,), (NOT,), (0, 0), 429)),
    Row("reset, whole", {"kind": "reset"}, False, *passing("UnreachableError", 502, UNKNOWN)),
    Row("reset, stream", {"kind": "reset"}, True, *passing("UnreachableError", 502, UNKNOWN)),
    Row("silence, whole", {"kind": "silence"}, False, *slow(TOTAL)),
    Row("silence, stream", {"kind": "silence"}, True, *slow(FIRST_TOKEN)),
    Row("slow first token", {"kind": "slow_first_token", "delay": 10}, True, *slow(FIRST_TOKEN)),
    Row("a whole answer may take its time", {"kind": "silence", "delay": TOTAL - 1}, False,
        Then(OK, (1, 0), (BILLED,), (TOTAL - 1, TOTAL - 1)), Then(OK, (1,), (BILLED,), (TOTAL - 1, TOTAL - 1))),
    Row("cut, whole", {"kind": "cut"}, False, *passing("UnreachableError", 502, UNKNOWN)),
    Row("stall, whole", {"kind": "stall"}, False, *slow(TOTAL)),
    Row("malformed, whole", {"kind": "malformed"}, False, *passing("GarbledError", 502, UNKNOWN)),
    Row("cut before the first word", {"kind": "cut", "after_tokens": 0}, True,
        *passing("UnreachableError", 502, UNKNOWN)),
    Row("stall before the first word", {"kind": "stall", "after_tokens": 0}, True, *slow(FIRST_TOKEN)),
    Row("malformed before the first word", {"kind": "malformed", "after_tokens": 0}, True,
        *passing("GarbledError", 502, UNKNOWN)),
    Row("error event before the first word", {"kind": "error_event", "after_tokens": 0, "code": "server_error"}, True,
        *passing("OverloadedError", 502, UNKNOWN)),
    Row("cut", {"kind": "cut", "after_tokens": 5}, True, *broken()),
    Row("stall", {"kind": "stall", "after_tokens": 5}, True, *broken(SILENCE)),
    Row("malformed", {"kind": "malformed", "after_tokens": 5}, True, *broken()),
    Row("error event", {"kind": "error_event", "after_tokens": 5, "code": "server_error"}, True, *broken()),
    Row("missing [DONE]", {"kind": "no_done"}, True, *fine()),
    Row("no usage, stream", {"kind": "no_usage"}, True, *fine(COUNTED)),
    Row("no usage, whole", {"kind": "no_usage"}, False, *fine(COUNTED)),
]  # fmt: skip


def gate_config(fault: dict[str, Any], *, another: bool) -> Config:
    """A route `m` whose first target meets a fault."""
    provider = {
        "type": "simulator",
        "responses": True,
        "timeout": {"connect": 1, "first_token": FIRST_TOKEN, "silence": SILENCE, "total": TOTAL},
    }
    names = ("first", "second") if another else ("first",)
    return Config.model_validate(
        {
            "store": "memory://",
            "providers": {"first": {**provider, "faults": [fault]}, "second": provider},
            "models": {
                "m": {
                    "targets": [{"provider": n, "model": "gpt-6-luna", "priority": i + 1} for i, n in enumerate(names)]
                }
            },
        }
    )


async def story(row: Row, operation: Operation, *, another: bool) -> None:
    """One call, and everything that must be true of it."""
    then = row.with_another if another else row.alone
    clock = VirtualClock()
    async with await Gate.open(
        gate_config(row.fault, another=another), clock=clock, chance=SystemChance(seed=5)
    ) as gate:
        start = clock.monotonic()
        result, code, text, trail = OK, 200, "", []
        call = gate.call(operation, BODIES[operation] % (b',"stream":true' if row.stream else b""))
        try:
            async with await gate(call) as reply:
                trail = list(reply.attempts)
                async for event in reply:
                    text += event.text
        except HeadgateError as error:
            result, code, trail = type(error).__name__, error.http_status, list(error.attempts)
        seconds = clock.monotonic() - start
        rows = [line async for line in gate.rows(Query())]
        assert (result, code) == (then.result, then.status)
        assert bool(text) == (result in {OK, "InterruptedError"})
        assert then.seconds[0] - 0.001 <= seconds <= then.seconds[1] + 0.001
        assert tuple(len(gate.simulators[name].log) for name in ("first", "second"))[: len(then.sends)] == then.sends
        assert [account(line.settled, line.basis) for line in rows] == list(then.settled)
        assert [line.attempt for line in rows] == list(range(1, len(then.settled) + 1))
        assert [account(a.settled, a.basis) for a in (trail or call.trail)] == list(then.settled)
        assert all((line.cost is None) == (line.settled == "unknown") for line in rows)


def account(settled: Any, basis: Any) -> str:
    """How an attempt was settled, in one word."""
    return f"{settled}/{basis}" if basis else str(settled)


def ids(rows: Sequence[Row]) -> list[str]:
    """Names for the report."""
    return [row.name.replace(" ", "_") for row in rows]


@pytest.mark.parametrize("operation", [Operation.CHAT, Operation.RESPONSES])
@pytest.mark.parametrize("another", [True, False], ids=["with_another", "alone"])
@pytest.mark.parametrize("row", ROWS, ids=ids(ROWS))
def test_each_row(row: Row, another: bool, operation: Operation):
    """What the caller gets, who was asked how often, how long it took, what the ledger says."""
    virtual_time(story(row, operation, another=another))


def test_retries_stop_when_the_deadline_comes():
    """A call with ten seconds does not spend sixty on a silent provider."""

    async def deadline() -> float:
        clock = VirtualClock()
        config = gate_config({"kind": "silence"}, another=False)
        async with await Gate.open(config, clock=clock, chance=SystemChance(seed=5)) as gate:
            call = gate.call(Operation.CHAT, BODIES[Operation.CHAT] % b"", timeout=10)
            with pytest.raises(HeadgateError):
                await gate(call)
            return clock.monotonic()

    assert virtual_time(deadline()) == pytest.approx(10)
