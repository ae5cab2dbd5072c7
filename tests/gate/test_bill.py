"""The bill: after many calls of every kind the ledger says what the simulators charge, attempt by attempt.

Two simulators, budgets of every scope, and all that goes wrong on a bad day; in virtual time. `reported` attempts agree
to the picodollar, `counted` ones lie in the interval that docs/ledger.md states, and every `unknown` is there to be
resolved. All sums are the sums of the rows.
"""

import asyncio
import json
from collections import Counter
from contextlib import suppress
from fractions import Fraction
from math import floor
from typing import Any, NamedTuple

import pytest

from headgate.catalog.families import family
from headgate.core.attempt import Basis, Settled
from headgate.core.call import Caller, Operation
from headgate.core.errors import HeadgateError
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance
from headgate.gate.tasks import Tasks
from headgate.providers.simulator.bill import BillLine
from headgate.stores.money import Cap
from headgate.stores.protocols import Query
from headgate.stores.records import AttemptRow
from headgate.testing import VirtualClock, virtual_time

CHAT, RESPONSES, COMPLETIONS = Operation.CHAT, Operation.RESPONSES, Operation.COMPLETIONS
FAULTS = [
    {"kind": "status", "status": 503, "rate": 0.04},
    {"kind": "status", "status": 429, "retry_after": 0.5, "rate": 0.02},
    {"kind": "status", "status": 429, "code": "insufficient_quota", "rate": 0.001},
    {"kind": "reset", "rate": 0.02},
    {"kind": "cut", "after_tokens": 0, "rate": 0.01},
    {"kind": "cut", "after_tokens": 9, "rate": 0.04},
    {"kind": "stall", "after_tokens": 5, "delay": 100, "rate": 0.01},
    {"kind": "silence", "delay": 100, "rate": 0.01},
    {"kind": "malformed", "after_tokens": 7, "rate": 0.02},
    {"kind": "error_event", "after_tokens": 6, "rate": 0.02},
    {"kind": "error_event", "after_tokens": 8, "code": "content_filter", "rate": 0.01},
    {"kind": "no_done", "rate": 0.02},
    {"kind": "wrong_usage", "rate": 0.03},
    {"kind": "no_usage", "rate": 0.03},
]
"""About a quarter of all calls meets something."""
BUDGETS: list[dict[str, Any]] = [
    {"name": "all", "limit_usd": 100_000},
    {"name": "each key", "scope": "key", "window": "week", "limit_usd": 100_000},
    {"name": "red", "scope": "project", "project": "red", "window": "month", "limit_usd": 100_000},
    {"name": "each user", "scope": "user", "window": "total", "limit_usd": 100_000},
    {"name": "luna", "scope": "model", "model": "gpt-6-luna", "limit_usd": 100_000},
    {"name": "teams", "scope": "tag", "tag": "team", "limit_usd": 100_000, "time_zone": "Asia/Tokyo"},
]
CALLERS = [
    Caller(key="anna", project="red", tags={"team": "a"}),
    Caller(key="bert", project="red"),
    Caller(key="cleo", project="blue"),
    Caller(),
]
LONG = [f"Chapter {number}. " + "Once upon a time there was a ledger that added up. " * 90 for number in range(4)]
"""Long enough to be kept in the provider's cache."""
TOOL = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
AUTUMN = 1_790_035_200.0
"""The midnight before 2026-09-22. Models of the older kind still live, and tiers have no prices yet."""
NOVEMBER = 60 * 86_400.0
"""From there to the midnight before 2026-11-21."""
DIMENSIONS = ("model", "provider", "key", "project", "user", "operation", "day", "tag:team")


def config() -> Config:
    """Two providers that say the same, and fall back to each other."""
    provider = {
        "type": "simulator", "latency": {"first_token": 0.2, "per_token": 0.01, "jitter": 0.5}, "faults": FAULTS,
        "timeout": {"connect": 1, "first_token": 3, "silence": 3, "total": 30}, "responses": True,
    }  # fmt: skip

    def route(first: str, second: str | None = None, **more: Any) -> dict[str, Any]:
        targets = [
            {"provider": "p", "model": first, "weight": 3}, {"provider": "q", "model": second or first},
            {"provider": "q", "model": first, "priority": 2},
        ]  # fmt: skip
        return {"targets": targets[: 3 if second else 2], "default_max_output": 300, **more}

    return Config.model_validate({
        "store": "memory://",
        "providers": {"p": provider, "q": provider | {"faults": FAULTS[::-1]}},
        "models": {
            "luna": route("gpt-6-luna", recovery="continue"),
            "mini": route("gpt-5.4-mini", "gpt-5-mini"),
            "terra": route("gpt-5.6-terra"),
            "plain": route("gpt-5.1", recovery="continue"),
            "old": route("gpt-3.5-turbo-instruct", recovery="continue"),
            "embed": route("text-embedding-3-small"),
            "draw": route("gpt-image-1-mini"),
            "judge": route("omni-moderation-latest"),
        },
        "budgets": BUDGETS,
        "policies": {"budget": {"unbounded": "estimate"}, "retry": {"budget": 1.0}},
    })  # fmt: skip


class Evening(VirtualClock):
    """A clock that stands a minute before a midnight (UTC), and can be put forward."""

    def __init__(self) -> None:
        self.ahead = AUTUMN - 60

    def time(self) -> float:
        """Seconds since 1970."""
        return self.ahead + self.monotonic()


class Wish(NamedTuple):
    """One call, and what its caller does with the answer: reads it, leaves after some events, or is cancelled."""

    operation: Operation
    body: dict[str, Any]
    caller: Caller
    tags: dict[str, str]
    leave: int | None
    cancel: float | None


class Whim:
    """What callers want, drawn by chance."""

    def __init__(self, seed: int) -> None:
        self._chance = SystemChance(seed=seed)
        self.late = False

    def below(self, most: float) -> float:
        """A number."""
        return self._chance.random() * most

    def often(self, share: float) -> bool:
        """Whether it happens now."""
        return self._chance.random() < share

    def pick(self, choices: Any) -> Any:
        """One of them."""
        return choices[int(self._chance.random() * len(choices))]

    def wish(self) -> Wish:
        """The next call."""
        operation = self.pick([CHAT] * 8 + [RESPONSES] * 6 + [COMPLETIONS] * 2 * (not self.late) + [
            Operation.EMBEDDINGS, Operation.EMBEDDINGS, Operation.MODERATIONS, Operation.IMAGES,
        ])  # fmt: skip
        body = self._body(operation)
        stream = operation in {CHAT, RESPONSES, COMPLETIONS} and self.often(0.5)
        if stream:
            body["stream"] = True
            if operation is not RESPONSES and self.often(0.5):
                body["stream_options"] = {"include_usage": True}
        if self.often(0.6):
            body["user"] = self.pick(["u1", "u2", "u3"])
        tags = {"team": self.pick("abc")} if self.often(0.5) else {}
        leave = int(self.below(40)) if stream and self.often(0.08) else None
        cancel = self.below(2.0) if self.often(0.06) else None
        return Wish(operation, body, self.pick(CALLERS), tags, leave, cancel)

    def _body(self, operation: Operation) -> dict[str, Any]:
        text = f"Say about {3 + int(self.below(30))} words on {self.pick(['ports', 'trains', 'cafés', '海'])}."
        text += " And so on." * int(self.below(40))
        match operation:
            case Operation.EMBEDDINGS:
                return {"model": "embed", "input": [text, text[:20]]}
            case Operation.MODERATIONS:
                return {"model": "judge", "input": text}
            case Operation.IMAGES:
                return {"model": "draw", "prompt": text, "quality": self.pick(["low", "medium"])}
            case Operation.COMPLETIONS:
                return {"model": "old", "prompt": text, "max_tokens": 80}
        if self.often(0.1):
            text = self.pick(LONG) + text
        body: dict[str, Any] = {"model": self.pick(["luna", "luna", "mini", "terra", "plain"])}
        if self.late and self.often(0.2):
            body["service_tier"] = self.pick(["flex", "priority", "default", "auto"])
        if body["model"] in {"luna", "terra"} and self.often(0.05):
            body["prompt_cache_options"] = {"ttl": "12h"}
        return body | (self._responses(text) if operation is RESPONSES else self._chat(text, body["model"]))

    def _responses(self, text: str) -> dict[str, Any]:
        body: dict[str, Any] = {"input": text, "store": False}
        if self.often(0.2):
            body["reasoning"] = {"effort": self.pick(["low", "high"])}
        return body | ({"max_output_tokens": 200} if self.often(0.3) else {})

    def _chat(self, text: str, model: str) -> dict[str, Any]:
        body: dict[str, Any] = {}
        if model == "plain" and self.often(0.2):
            body["tools"] = [{"type": "function", "function": TOOL}]
            text += " Please get weather."
        if self.often(0.1):
            body["n"] = 2
        body["messages"] = [{"role": "user", "content": text}]
        return body | ({"max_completion_tokens": 200} if self.often(0.3) else {})


async def ask(gate: Gate, wish: Wish) -> None:
    """One call, whatever becomes of it."""
    call = gate.call(wish.operation, json.dumps(wish.body).encode(), caller=wish.caller, tags=wish.tags)
    with suppress(HeadgateError, TimeoutError):
        async with asyncio.timeout(wish.cancel), await gate(call) as reply:
            events = 0
            async for _ in reply:
                events += 1
                if events == wish.leave:
                    break


async def crowd(gate: Gate, calls: int, whim: Whim) -> None:
    """So many calls, forty at a time, until everything upstream has ended, too."""
    left = iter(range(calls))

    async def one() -> None:
        for _ in left:
            await ask(gate, whim.wish())
            await asyncio.sleep(whim.below(1.0))

    tasks = Tasks()
    await asyncio.gather(*(tasks.start(one(), "caller") for _ in range(40)))
    await asyncio.sleep(150)


def rounded(usd: Fraction) -> int:
    """Picodollars, half up."""
    return floor(usd * 10**12 + Fraction(1, 2))


def about(counted: int) -> tuple[float, float]:
    """What the provider may have counted where we counted so many: the interval that docs/ledger.md states for text."""
    return counted * 0.75 - 16, counted * 1.25 + 16


class Audit:
    """Holds rows against lines of the bill, one by one.

    Attributes:
        kinds: how many rows were of which kind.
        wrong: what does not agree.
    """

    def __init__(self, bills: dict[str, list[BillLine]]) -> None:
        lines = [((name, line.client_request_id), line) for name, bill in bills.items() for line in bill]
        self._lines = dict(lines)
        self.kinds: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._counted: Counter[str] = Counter()
        self._must(len(self._lines) == len(lines), "an attempt was charged twice")

    def row(self, row: AttemptRow) -> None:
        """Take a row."""
        line = self._lines.pop((row.provider or "", f"{row.call_id}-{row.attempt}"), None)
        self.kinds[f"{row.settled} {row.basis or ''}".strip()] += 1
        charged = 0 if line is None else rounded(line.amount)
        if row.settled is Settled.NOT_BILLED:
            self._must(charged == 0 == row.cost, f"not billed, but {line}: {row}")
        elif row.settled is Settled.UNKNOWN:
            # Charged at the worst, or at what is likely where there is no worst.
            self._must(row.cost == row.held is not None, f"unknown, and not charged as it was held: {row}")
            sure = row.operation != Operation.IMAGES
            self._must(not sure or charged <= (row.cost or 0), f"{charged} is more than was held: {row}")
        elif row.basis is Basis.REPORTED:
            told = (row.prompt_tokens, row.completion_tokens, row.cached_tokens, row.cache_write_tokens)
            used = line and line.usage
            asked = used and (used.prompt_tokens, used.completion_tokens, used.cached_tokens, used.cache_write_tokens)
            free = row.operation == Operation.MODERATIONS
            self._must(row.cost == charged and (free or told == asked), f"{line} is not {row}")
            bounded = row.operation != Operation.IMAGES
            self._must(not bounded or charged <= (row.held or 0), f"more than was held: {row}")
        else:
            self._count(row, line)

    def _count(self, row: AttemptRow, line: BillLine | None) -> None:
        """What was counted: near it, apart from what it thought, and never more than was held."""
        self._must(row.basis is Basis.COUNTED, f"billed, and nobody says why: {row}")
        if line is None:
            # It was never begun.
            self._must(row.completion_tokens == 0, f"counted, and not on the bill: {row}")
            return
        self._must(rounded(line.amount) <= (row.held or 0), f"charged {line}, more than was held: {row}")
        used = line.usage
        for ours, theirs in (
            (row.prompt_tokens, used.prompt_tokens),
            (row.completion_tokens - row.reasoning_tokens, used.completion_tokens - used.reasoning_tokens),
        ):
            low, high = about(ours)
            self._must(low <= theirs <= high, f"{ours} tokens are not {theirs}: {row} {line}")
        self._counted.update(
            into=row.prompt_tokens, into_true=used.prompt_tokens,
            out=row.completion_tokens, out_true=used.completion_tokens,
        )  # fmt: skip

    def close(self) -> None:
        """Nothing may be left, and the errors of what was counted must be small in sum."""
        self._must(not self._lines, f"on the bill and not on the books: {list(self._lines.items())[:3]}")
        for name in ("into", "out"):
            ours, theirs = self._counted[name], self._counted[f"{name}_true"]
            self._must(abs(ours - theirs) < theirs / 10, f"counted {ours} tokens {name}, and it was {theirs}")
        assert not self.wrong, f"{len(self.wrong)}:\n" + "\n".join(self.wrong[:10])

    def _must(self, true: bool, problem: str) -> None:
        if not true:
            self.wrong.append(problem)


def named(row: AttemptRow, dimension: str) -> str | None:
    """What a row is summed under."""
    if dimension.startswith("tag:"):
        return row.tags.get(dimension.removeprefix("tag:"))
    # A call that never left was at no model but the one that it asked for.
    found: str | None = getattr(row, dimension) or (row.model_requested if dimension == "model" else None)
    return found


async def check_sums(gate: Gate, rows: list[AttemptRow]) -> None:
    """The sums of reports are those of the rows, in whatever they are grouped by, and over a part of the time."""
    for dimension in DIMENSIONS:
        for since, until in ((None, None), (AUTUMN - 30, AUTUMN + 60), (AUTUMN, None)):
            asked = Query(by=(dimension,), since=since, until=until)
            expected: dict[str | None, Counter[str]] = {}
            for row in rows:
                if (since is None or row.time >= since) and (until is None or row.time < until):
                    sums = expected.setdefault(named(row, dimension), Counter())
                    unknown = row.settled is Settled.UNKNOWN
                    sums.update({
                        "attempts": row.attempt > 0, "prompt": row.prompt_tokens, "completion": row.completion_tokens,
                        "cached": row.cached_tokens, "unknown": unknown,
                        "unknown_cost" if unknown else "cost": row.cost or 0,
                    })  # fmt: skip
            _, groups = await gate.usage(asked)
            found = {
                group.group[dimension]: Counter({
                    "attempts": group.attempts, "prompt": group.prompt_tokens, "completion": group.completion_tokens,
                    "cached": group.cached_tokens, "unknown": group.unknown_attempts, "cost": group.cost,
                    "unknown_cost": group.unknown_cost,
                })
                for group in groups
            }  # fmt: skip
            assert len(found) == len(groups)
            assert found == expected, (dimension, since, until)


async def check_budgets(gate: Gate, rows: list[AttemptRow]) -> int:
    """What each budget has spent is the sum of its rows, and nothing is lent any more: how many budgets there are."""
    spent: Counter[tuple[str, str]] = Counter()
    for row in rows:
        spent.update(dict.fromkeys(row.budgets, row.cost or 0))
        # What was refused or is free is held under none.
        assert ("all" in dict(row.budgets)) == (row.held is not None)
    caps = [Cap(name, window, 1) for name, window in spent]
    assert await gate._ledger.spent(caps) == [(spent[cap.name, cap.window], 0) for cap in caps]
    return len(caps)


async def story(calls: int, seed: int) -> Counter[str]:
    """The whole of it: half of the calls in autumn, half in November, each time around midnight."""
    clock, whim = Evening(), Whim(seed)
    async with await Gate.open(config(), clock=clock, chance=SystemChance(seed=seed)) as gate:
        # A thread that loads it would not wait for virtual time.
        gate.tokens._encodings.load(family("gpt-6-luna").encoding)
        await crowd(gate, calls // 2, whim)
        clock.ahead += NOVEMBER - clock.monotonic()
        whim.late = True
        await crowd(gate, calls // 2, whim)
        rows = [row async for row in gate.rows(Query())]
        audit = Audit({name: simulator.bill.lines for name, simulator in gate.simulators.items()})
        for row in rows:
            audit.row(row)
        audit.close()
        await check_sums(gate, rows)
        # Two days, two weeks, two months, three keys, three users of three tenants, …
        assert await check_budgets(gate, rows) > 20
        total, _ = await gate.usage(Query())
        assert total.calls == calls == gate.meter.counters.calls
        assert (gate.meter.counters.cost, gate.meter.counters.unknown) == (total.cost, total.unknown_attempts)
        listed = [row async for row in gate.rows(Query(only="unknown"))]
        assert listed == [row for row in rows if row.settled is Settled.UNKNOWN]
        return audit.kinds + Counter(
            retries=sum(row.attempt > 1 for row in rows),
            cached=sum(row.cached_tokens > 0 for row in rows),
            tiers=sum(row.service_tier in {"flex", "priority"} for row in rows),
        )


def test_the_bill():
    """The short form, for every day."""
    kinds = virtual_time(story(2000, 1))
    assert min(kinds.values()) > 30
    assert kinds["billed reported"] > 1000


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_the_bill_of_fifty_thousand(record_property):
    """At length."""
    kinds = virtual_time(story(50_000, 2))
    record_property("chaos", "bill: " + ", ".join(f"{name} {count}" for name, count in sorted(kinds.items())))
    assert min(kinds.values()) > 500
