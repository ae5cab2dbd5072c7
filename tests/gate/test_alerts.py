"""Covers gate/alerts.py: who is told of what, how often, and that nobody waits for it; in whole gates."""

import asyncio
import json
import logging

import pytest

from headgate.catalog.families import family
from headgate.core.attempt import Attempt
from headgate.core.call import Caller, Operation
from headgate.core.errors import OverBudgetError, StoreError
from headgate.core.money import show_usd
from headgate.core.secret import Secret
from headgate.gate.alerts import Alerts
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance
from headgate.gate.tasks import Tasks
from headgate.gate.webhook import Webhook
from headgate.stores.money import Cap
from headgate.stores.protocols import Query
from headgate.stores.sqlite import SqliteLedger
from headgate.testing import VirtualClock, virtual_time
from tests.gate.test_webhook import Line

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Say 30 words."}]}).encode()


def config(*budgets, policies=None):
    """A gate in front of the simulator, with budgets."""
    return Config.model_validate({
        "store": "memory://",
        "providers": {"p": {"type": "simulator"}},
        "models": {"m": {"targets": [{"provider": "p", "model": "gpt-6-luna"}], "default_max_output": 200}},
        "policies": policies or {},
        "budgets": [{"name": f"b{number}", **budget} for number, budget in enumerate(budgets)],
    })  # fmt: skip


async def gate_of(settings, line):
    """A gate whose alerts go to a line."""
    gate = await Gate.open(settings, clock=VirtualClock(), chance=SystemChance(seed=1))
    # A thread that loads it would not wait for virtual time.
    gate.tokens._encodings.load(family("gpt-6-luna").encoding)
    gate.alerts._webhook = Webhook(
        Secret("http://x/y"), Secret("s"), transport=line, clock=VirtualClock(), chance=SystemChance(seed=2),
        start=gate._tasks.start,
    )  # fmt: skip
    return gate


async def ask(gate, **caller):
    """One call."""
    async with await gate(gate.call(Operation.CHAT, BODY, caller=Caller(**caller))) as reply:
        await reply.read()


async def ask_until_refused(gate):
    """As often as the budget allows."""
    while True:
        await ask(gate)


def told(line):
    """What came over a line, without ids and times."""
    return [
        {name: value for name, value in json.loads(request.body).items() if name not in {"id", "time"}}
        for request in line.sent
    ]


def test_a_budget_that_is_used_up_to_a_share_is_told(caplog):
    """Once for each share, to the log and the webhook; in the next window again."""
    line = Line()
    # It is an hour before midnight there.
    alaska = {"limit_usd": "0.0003", "alert_at": [0.2, 0.5], "time_zone": "America/Anchorage"}

    async def story():
        async with await gate_of(config(alaska), line) as gate:
            with pytest.raises(OverBudgetError):
                await ask_until_refused(gate)
            await asyncio.sleep(60)
            assert gate.alerts.told == 2
            await asyncio.sleep(3600)
            assert gate.alerts.told == 2
            await ask(gate)
            await ask(gate)
        assert gate.alerts.told == 3

    with caplog.at_level(logging.WARNING, "headgate"):
        virtual_time(story())
    first, second, third = told(line)
    assert first.pop("spent_usd") == second.pop("spent_usd")
    common = {"type": "budget.reached", "budget": "b0", "limit_usd": "0.0003"}
    assert first == {**common, "window": "2027-01-14", "share": 0.2}
    assert second == {**common, "window": "2027-01-14", "share": 0.5}
    # The last one is told when the gate closes.
    assert (third["window"], third["share"]) == ("2027-01-15", 0.2)
    assert [record.getMessage().partition(" of its")[0] for record in caplog.records] == [
        "The budget 'b0' (2027-01-14) has reached 20 %", "The budget 'b0' (2027-01-14) has reached 50 %",
        "The budget 'b0' (2027-01-15) has reached 20 %",
    ]  # fmt: skip


def test_a_budget_that_everybody_has_is_told_for_each():
    """With whose it is; whoever has spent little is not told of."""
    line = Line()

    async def story():
        budget = {"scope": "key", "limit_usd": "0.001", "alert_at": [0.1]}
        async with await gate_of(config(budget), line) as gate:
            for _ in range(3):
                await ask(gate, key="anna\n\x1b[2J")
            await ask(gate, key="bert")
            await asyncio.sleep(10)
            assert gate.alerts.standing == {}

    virtual_time(story())
    assert [one["budget"] for one in told(line)] == ["b0:anna\n\x1b[2J"]


def test_how_budgets_stand_is_known_without_asking():
    """Of those that are one sum, as of the last look."""
    line = Line()

    async def story():
        async with await gate_of(config({"limit_usd": 1}, {"limit_usd": 2, "scope": "user"}), line) as gate:
            await ask(gate)
            await asyncio.sleep(11)
            (name, standing), *more = gate.alerts.standing.items()
            assert (name, more, standing.cap.limit) == ("b0", [], 10**12)
            bill = gate.simulators["p"].bill.usd()
            assert standing.spent == int(bill * 10**12) > 0

    virtual_time(story())


def test_attempts_that_cost_more_than_was_held_are_told_together(caplog):
    """Once an interval, however many there are; the books list them."""
    line = Line()

    async def story():
        async with await gate_of(config({"limit_usd": 1}), line) as gate:
            await asyncio.sleep(1)
            for number in (1, 2):
                attempt = Attempt(number, "p", "m")
                attempt.cost = 150
                gate.alerts.over("c", attempt, 100)
            await asyncio.sleep(20)
            assert gate.alerts.exceeded == 2

    with caplog.at_level(logging.WARNING, "headgate"):
        virtual_time(story())
    assert told(line) == [{"type": "hold.exceeded", "attempts": 2, "excess_usd": "0.0000000001", "first": "c#1"}]
    (record,) = caplog.records
    assert "headgate usage --exceeded" in record.getMessage()


def test_an_estimate_that_was_too_low_is_noticed():
    """What the provider says stands: the budget is charged, the row is listed, and somebody is told."""
    line = Line()
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    asked = [{"role": "user", "content": [picture, {"type": "text", "text": "Say 3000 words."}]}]

    async def story():
        settings = config({"limit_usd": 1}, policies={"budget": {"unbounded": "estimate"}})
        async with await gate_of(settings, line) as gate:
            raw = json.dumps({"model": "m", "messages": asked}).encode()
            async with await gate(gate.call(Operation.CHAT, raw)) as reply:
                await reply.read()
            await asyncio.sleep(10)
            (row,) = [row async for row in gate.rows(Query(only="exceeded"))]
            assert gate.alerts.exceeded == 1
            assert gate.alerts.standing["b0"].spent == row.cost > row.held
            return row

    row = virtual_time(story())
    (message,) = told(line)
    assert message == {
        "type": "hold.exceeded", "attempts": 1, "excess_usd": show_usd(row.cost - row.held),
        "first": f"{row.call_id}#1",
    }  # fmt: skip


def test_a_store_that_is_away_is_asked_again(monkeypatch):
    """Nothing is told twice, and nothing breaks."""
    line = Line()

    async def story():
        async with await gate_of(config({"limit_usd": "0.001", "alert_at": [0.01]}), line) as gate:
            read = SqliteLedger.read

            async def away(*_):
                raise StoreError("away")

            monkeypatch.setattr(SqliteLedger, "read", away)
            await ask(gate)
            await asyncio.sleep(30)
            assert told(line) == []
            monkeypatch.setattr(SqliteLedger, "read", read)
            await asyncio.sleep(6)
            assert len(told(line)) == 1

    virtual_time(story())


def test_who_only_reads_the_books_tells_nobody():
    """The alert is left to whoever serves."""
    cap = Cap("b", "total", 10, (0.5,))

    async def story():
        ledger, tasks = SqliteLedger(":memory:"), Tasks()
        alerts = Alerts(ledger, named=lambda: [cap], used=list, webhook=None, clock=VirtualClock())
        await ledger.change([("INSERT INTO spent (cap, span, amount, told) VALUES ('b', 'total', 7, 0)", ())])
        await alerts.close()
        assert alerts.told == 0
        tasks.start(alerts.watch(), "alerts")
        await asyncio.sleep(0.1)
        await tasks.close()
        assert alerts.told == 1
        await ledger.close()

    virtual_time(story())
