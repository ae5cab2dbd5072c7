"""Covers jobs/batch/clerk.py: batches that callers make by themselves are booked when they are over."""

import asyncio
import json

import msgspec

from headgate.core.call import Caller, Operation
from headgate.core.upload import Form, Part
from headgate.dialects.endpoints import find
from headgate.jobs.batch.clerk import INTERVAL, Clerk
from headgate.jobs.batch.packing import write_line
from headgate.stores.protocols import Query
from tests.jobs.batch.conftest import row

ANN = Caller(key="ann", project="shop", tags={"team": "a"})
ROWS = [row(number, max_tokens=None, max_completion_tokens=20) for number in range(1, 11)]
CONTENT = b"".join(write_line(one).replace(b"%d:" % one.number, b"") for one in ROWS)


async def made_by(gate, caller=ANN, content=CONTENT):
    """A batch that a caller makes, as it does by the SDK."""
    head = b'content-disposition: form-data; name="%b"\r\n'
    file = head.replace(b"\r\n", b'; filename="in.jsonl"\r\n') % b"file"
    form = Form([Part("purpose", head % b"purpose", b"batch"), Part("file", file, content, is_file=True)], "x")

    async def asked(operation, method, path, body):
        call = gate.call(operation, body, found=find(method, path), caller=caller)
        # Its account, as `own` finds it when the ledger has what was made.
        async with await gate(msgspec.structs.replace(call, account="sim")) as reply:
            return json.loads((await reply.read()).raw)

    name = (await asked(Operation.FILES, "POST", "/files", form))["id"]
    wish = {"input_file_id": name, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return await asked(Operation.BATCHES, "POST", "/batches", json.dumps(wish).encode())


def test_what_a_callers_batch_has_cost_is_booked_when_it_is_over(stage):
    """Once, under its key and tags, at the provider's own bill; the attempt of unknown cost is one no longer."""

    async def story(made):
        gate = await made.start()
        clerk = Clerk(gate)
        await made_by(gate)
        assert await clerk.round() == 0
        total, _ = await gate.usage(Query())
        assert (total.unknown_attempts, total.cost) == (1, 0)
        await asyncio.sleep(200)
        assert await clerk.round() == 1
        assert await clerk.round() == 0
        total, _ = await gate.usage(Query())
        assert total.unknown_attempts == 0
        assert total.cost == round(made.simulator.bill.usd() * 10**12) > 0
        lines = await made.rows()
        assert len(lines) == 10
        assert {(line.key, line.project, line.tags["team"], line.model, line.operation) for line in lines} == {
            ("ann", "shop", "a", "gpt-6-luna", "chat")
        }
        (note,) = await gate.keys.notes()
        assert (note.actor, note.origin, note.action) == ("headgate", "batches", "usage.resolve")

    stage(story, {"failing": 0.2})


def test_its_budgets_are_charged_though_nothing_was_set_aside(stage):
    """Where an estimate is allowed, the truth follows."""
    budget = {"name": "shop", "scope": "project", "project": "shop", "limit_usd": 1, "window": "total"}

    async def story(made):
        gate = await made.start()
        await made_by(gate)
        await asyncio.sleep(200)
        await Clerk(gate).round()
        (balance,) = await gate.budgets()
        assert balance.spent > 0
        assert (balance.spent, balance.lent) == (round(made.simulator.bill.usd() * 10**12), 0)
        assert [line async for line in gate.rows(Query(only="exceeded"))] == []

    stage(story, budgets=[budget], policies={"budget": {"unbounded": "estimate"}})


def test_a_batch_that_failed_cost_nothing(stage):
    """Its attempt is resolved, and there is no line of a row."""

    async def story(made):
        gate = await made.start()
        await made_by(gate, content=b'{"custom_id": "a"}\n')
        await asyncio.sleep(200)
        assert await Clerk(gate).round() == 1
        total, _ = await gate.usage(Query())
        assert (total.cost, total.unknown_attempts) == (0, 0)
        assert await made.rows() == []

    stage(story)


def test_batches_of_ours_are_none_of_its_business(stage):
    """They are booked by whoever takes their job on."""

    async def story(made):
        await made.start()
        await made.lane().gather(_each(), job="job", deadline=None, tags={})
        await asyncio.sleep(200)
        assert await Clerk(made.gate).round() == 0
        assert await made.rows() == []

    async def _each():
        yield row(1)

    stage(story)


def test_it_makes_its_rounds_and_bears_failures(stage, monkeypatch, caplog):
    """A store that is away is told, and the next round goes on."""

    async def story(made):
        gate = await made.start()
        await made_by(gate)
        usage, failures = gate.usage, [ConnectionError("away")]

        async def failing(query):
            if failures:
                raise failures.pop()
            return await usage(query)

        monkeypatch.setattr(gate, "usage", failing)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(Clerk(gate).run())
            await asyncio.sleep(4 * INTERVAL)
            running.cancel()
        assert len(await made.rows()) == 10
        assert "cannot be booked at the moment" in caplog.text

    stage(story)
