"""Covers gate/spending.py: how budgets are shown, and what is put right by hand, in whole gates."""

import asyncio
import json
from pathlib import Path

import pytest

from headgate.core.call import ANONYMOUS, Caller, Operation
from headgate.core.errors import BadRequestError, HeadgateError, OverBudgetError, StoppingError, UnknownObjectError
from headgate.core.money import from_usd
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.issuing import Who
from headgate.gate.ports import SystemChance
from headgate.stores.money import Cap
from headgate.stores.protocols import Query
from headgate.testing import VirtualClock, virtual_time

WHO = Who("anna", "test")
DAY = "2027-01-15"
ASKED = {"model": "m", "messages": [{"role": "user", "content": "Say 30 words."}], "max_completion_tokens": 100}


def config(*budgets, faults=(), **more):
    """A gate in front of the simulator, with budgets."""
    provider = {"type": "simulator", "faults": list(faults), "timeout": {"first_token": 3, "total": 30}}
    return Config.model_validate({
        "store": "memory://",
        "providers": {"p": provider},
        "models": {"m": {"targets": [{"provider": "p", "model": "gpt-6-luna"}], "default_max_output": 200}},
        "policies": {"retry": {"max_attempts": 1}},
        "budgets": [{"name": f"b{number}", **budget} for number, budget in enumerate(budgets)],
        **more,
    })  # fmt: skip


def gate_of(settings):
    """A gate on the virtual clock."""
    return Gate.open(settings, clock=VirtualClock(), chance=SystemChance(seed=1))


async def ask(gate, caller=ANONYMOUS, user=None):
    """One call: its id."""
    call = gate.call(Operation.CHAT, json.dumps(ASKED | ({"user": user} if user else {})).encode(), caller=caller)
    try:
        async with await gate(call) as reply:
            await reply.read()
    except HeadgateError as error:
        if isinstance(error, OverBudgetError):
            raise
    return call.id


def shown(balances):
    """Names and whether anything was spent."""
    return {one.cap.name: bool(one.spent) for one in balances}


def test_every_budget_is_shown_as_it_stands():
    """In its window of today; of those that everybody has, whoever has spent anything; loans are told apart."""

    async def story():
        each, idle = {"scope": "user", "limit_usd": 1, "window": "month"}, {"limit_usd": 3, "window": "total"}
        async with await gate_of(config({"limit_usd": 2}, each, idle | {"scope": "key", "key": "nobody"})) as gate:
            assert shown(await gate.budgets()) == {"b0": False, "b2": False}
            await ask(gate, user="anna")
            await ask(gate, user="bert")
            found = await gate.budgets()
            assert shown(found) == {"b0": True, "b2": False, "b1:anna": True, "b1:bert": True}
            daily, total, anna, bert = found
            assert (daily.cap.window, daily.cap.limit, total.cap.window) == (DAY, from_usd(2), "total")
            assert (anna.cap.window, anna.cap.limit) == ("2027-01", from_usd(1))
            assert daily.spent == anna.spent + bert.spent == from_usd(gate.simulators["p"].bill.usd())
            # A 64th was borrowed.
            assert (daily.lent + daily.spent, list(daily.loans)) == (from_usd(2) // 64, ["memory"])
            assert daily.left == daily.cap.limit - daily.cap.limit // 64
            await asyncio.sleep(5)
            assert [one.lent for one in await gate.budgets()] == [0, 0, 0, 0]

    virtual_time(story())


def test_a_key_s_own_budget_is_shown_too(tmp_path):
    """Where the store keeps one."""

    async def story():
        store = {"store": f"sqlite:///{tmp_path / 'b.db'}", "journal": {"path": str(tmp_path / "j")}}
        async with await Gate.open(config({"limit_usd": 2}, **store)) as gate:
            await gate.issuer.create({"name": "web", "budget": {"limit_usd": "5", "window": "month"}}, WHO)
            await gate.issuer.create({"name": "free"}, WHO)
            _, own = await gate.budgets()
            assert (own.cap.name, own.cap.limit) == ("key:web", from_usd(5))

    asyncio.run(story())


def test_what_was_unknown_is_resolved_and_its_budget_is_free():
    """Before it was charged at worst; a call that its own request id names. It is written down who did it."""

    async def story():
        silent = [{"kind": "silence", "delay": 100, "times": 2}]
        async with await gate_of(config({"limit_usd": 1}, {"scope": "user", "limit_usd": 1}, faults=silent)) as gate:
            first, second = await ask(gate, user="u"), await ask(gate, user="u")
            before, _ = await gate.budgets()
            held = before.spent // 2
            assert held > 0
            row = await gate.resolve(f"req_{first}", None, from_usd("0.00001"), WHO)
            assert (row.settled, row.cost, row.held, row.resolved_by) == ("billed", from_usd("0.00001"), held, "anna")
            await gate.resolve(second, 1, None, WHO)
            assert [one.spent for one in await gate.budgets()] == [from_usd("0.00001")] * 2
            total, _ = await gate.usage(Query())
            assert (total.cost, total.unknown_attempts) == (from_usd("0.00001"), 0)
            with pytest.raises(BadRequestError, match="is known: not_billed"):
                await gate.resolve(second, 1, 1, WHO)
            newer, older = await gate.keys.notes()
            assert (older.actor, older.action, older.subject) == ("anna", "usage.resolve", f"{first}#1")
            assert older.details["cost_usd"] == "0.00001"
            assert newer.details["settled"] == "not_billed"

    virtual_time(story())


def test_an_attempt_under_way_cannot_be_resolved():
    """It will be settled; nor can one of somebody else's books."""

    async def story():
        slow = [{"kind": "silence", "delay": 2}]
        async with await gate_of(config({"limit_usd": 1}, faults=slow)) as gate:
            call = gate.call(Operation.CHAT, json.dumps(ASKED).encode())
            asked = asyncio.gather(gate(call))
            await asyncio.sleep(1)
            with pytest.raises(UnknownObjectError, match="a gateway books within seconds"):
                await gate.resolve(call.id, None, None, WHO)
            (reply,) = await asked
            await reply.read()
            (row,) = [row async for row in gate.rows(Query())]
            assert (row.call_id, row.settled) == (call.id, "billed")

    virtual_time(story())


def test_loans_of_a_process_that_is_lost_are_ended(tmp_path):
    """By its name, if its journal lies nowhere here; the living are told apart by theirs."""

    async def story():
        store = {"store": f"sqlite:///{tmp_path / 'b.db'}", "journal": {"path": str(tmp_path / "j")}}
        async with await Gate.open(config({"limit_usd": 1}, **store)) as gate:
            cap = Cap("b0", gate.alerts._named()[0].window, from_usd(1))
            lost, folder = "f" * 32, Path(tmp_path / "j")
            await gate._ledger.borrow(lost, cap, 500, 500)
            (folder / f"{lost}-00000001.jsonl").touch()
            for name in (lost, gate._owner()):
                with pytest.raises(BadRequestError, match="it is not lost"):
                    await gate.spending.end_loans(name, WHO)
            (folder / f"{lost}-00000001.jsonl").rename(folder / f"{lost}-00000001.bad")
            with pytest.raises(UnknownObjectError, match="has borrowed anything"):
                await gate.spending.end_loans("e" * 32, WHO)
            assert (await gate.budgets())[0].loans == {lost: 500}
            assert await gate.spending.end_loans(lost, WHO) == [("b0", cap.window, 500)]
            assert (await gate.budgets())[0].loans == {}
            (note,) = await gate.keys.notes()
            assert (note.action, note.subject) == ("loans.end", lost)
            assert note.details == {"loans": [["b0", cap.window, "0.0000000005"]]}

    asyncio.run(story())


def test_a_closed_gate_tells_and_changes_nothing():
    """As with every question."""

    async def story():
        gate = await gate_of(config({"limit_usd": 1}))
        await gate.close()
        with pytest.raises(StoppingError):
            await gate.budgets()
        with pytest.raises(StoppingError):
            await gate.resolve("c", None, None, WHO)

    virtual_time(story())


def test_callers_of_one_project_share_its_budget():
    """One sum of each project, whichever key asked."""

    async def story():
        async with await gate_of(config({"scope": "project", "limit_usd": 1})) as gate:
            for key in ("a", "b"):
                await ask(gate, Caller(key=key, project="shop"))
            (shop,) = await gate.budgets()
            assert shop.cap.name == "b0:shop"
            assert shop.spent == from_usd(gate.simulators["p"].bill.usd())

    virtual_time(story())
