"""A budget that three processes share, one of which is killed: the provider's own bill stays within it.

And nothing is lost to it: when all is quiet nothing stays lent, and all can be spent until the rest is smaller than
what the next call may cost.
"""

import asyncio
import json
import re
from collections import Counter
from decimal import Decimal

import pytest

from headgate.core.money import from_usd, to_usd

BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Say 150 words."}], "stream": False}).encode()
STREAM = BODY.replace(b"false", b"true")
WORST = len(BODY) * 125_000 + 200 * 500_000
"""What a call may cost at most: each byte a token of input, and 200 tokens of output."""
QUIET = 2.5
"""Seconds after which what is not used has gone back to the store."""


async def ask(port, body=BODY, marks=None):
    """One call: its status; None where the connection broke. `marks` learns what the ids of this gateway have alike."""
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return None
    try:
        writer.write(head.encode() + body)
        answer = await reader.read()
    except OSError:
        return None
    finally:
        writer.transport.abort()
    if not answer:
        return None
    if marks is not None:
        marks[re.search(rb"x-request-id: req_\w{12}(\w{12})", answer)[1].decode()] = port
    return int(answer.split(b" ", 2)[1])


async def ask_until_refused(port):
    """One after the other: how many were answered."""
    for number in range(100):
        if await ask(port) == 429:
            return number
    raise AssertionError("the budget has no end")


class Till:
    """What the provider has charged, and what the books say of the budget."""

    def __init__(self, stage):
        self.stage = stage

    async def bill(self):
        """Of the provider, in picodollars."""
        _, bill = await self.stage.get(self.stage.simulator.port, "/__bill")
        return sum(from_usd(Decimal(line["amount_usd"])) for line in bill["lines"])

    async def budget(self):
        """Spent and lent, in picodollars."""
        (budget,) = json.loads(await self.stage.run("usage", "--budgets", "--json"))["budgets"]
        return from_usd(Decimal(budget["spent_usd"])), from_usd(Decimal(budget["lent_usd"]))

    async def unknown(self):
        """Attempts whose outcome nobody knows."""
        return json.loads(await self.stage.run("usage", "--json"))["unknown_attempts"]


async def _crowd(doors, calls, until):
    """So many at once, over all doors; `until` is awaited while they are under way: what they were answered."""
    marks = {}
    for door in doors:
        assert await ask(door, b"{}", marks) == 400
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(ask(doors[number % len(doors)], STREAM if number % 5 == 0 else BODY))
            for number in range(calls)
        ]
        await until(marks)
    return Counter(task.result() for task in asked)


async def _story(stage, port, *, store, fits, rounds):
    if store is not None:
        stage.settings["store"] = store
    limit = fits * WORST
    target = {"provider": "up", "model": "gpt-6-luna"}
    stage.settings |= {
        "models": {"m": {"targets": [target], "default_max_output": 200}},
        "budgets": [{"name": "all", "window": "total", "limit_usd": str(to_usd(limit))}],
        "policies": {"retry": {"max_attempts": 1}},
    }
    async with stage:
        await stage.simulate((), first_token=2, per_token=0.002)
        gates = [await stage.serve(port()) for _ in range(3)]
        await asyncio.gather(*(gate.ready() for gate in gates))
        till = Till(stage)

        async def watch(_):
            """Let them live."""

        async def kill(marks):
            """In the midst of it: the one that has sent the most calls, which are not answered yet."""
            before = len(stage.arrivals())
            while True:
                await asyncio.sleep(0.05)
                sent = Counter(marks.get(arrival["client_request_id"][12:24]) for arrival in stage.arrivals()[before:])
                busiest = max(gates, key=lambda gate: sent[gate.port])
                if sent[busiest.port] > 3:
                    gates.remove(busiest)
                    await busiest.kill()
                    gates.append(await stage.serve(busiest.port))
                    return

        answers = Counter()
        for calls, what in rounds:
            answers += await _crowd([gate.port for gate in gates], calls, kill if what == "kill" else watch)
            assert await till.bill() <= limit
            await gates[-1].ready()
        assert answers[429] > 100, answers
        assert answers[200] > 10, answers
        assert set(answers) == {200, 429, None}, answers
        # Whoever came next has taken over what the dead one left, and charged it to the budget.
        assert await till.unknown() > 0
        await asyncio.sleep(QUIET)
        spent, lent = await till.budget()
        assert (lent, await till.bill() <= spent <= limit) == (0, True)
        more = 0
        for crowd in (gates, gates[-1:]):
            for gate in crowd:
                more += await ask_until_refused(gate.port)
            # What the others had left has come back by then, and may be enough for one more.
            await asyncio.sleep(QUIET)
        bill = await till.bill()
        spent, lent = await till.budget()
        assert lent == 0
        assert bill <= spent <= limit
        assert limit - spent < WORST
        for gate in gates:
            await gate.stop()
        return f"{dict(answers)}, then {more} more; billed {bill / limit:.1%}, spent {spent / limit:.1%} of the limit"


@pytest.mark.e2e
@pytest.mark.timeout(180)
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_three_processes_and_a_kill(stage, free_port, request, record_property, store):
    """The short form: 500 calls at once against a budget that fits 37, one of three gateways is killed meanwhile."""
    address = request.getfixturevalue("database") if store == "postgres" else None
    told = asyncio.run(_story(stage, free_port, store=address, fits=37, rounds=[(500, "kill")]))
    record_property("chaos", f"budget on {store}: {told}")


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_three_processes_and_many_kills(stage, free_port, request, record_property, store):
    """At length: five rounds with a kill in each, then 500 calls at once."""
    address = request.getfixturevalue("database") if store == "postgres" else None
    told = asyncio.run(_story(stage, free_port, store=address, fits=5 * 37, rounds=[*[(40, "kill")] * 5, (500, "")]))
    record_property("chaos", f"budget on {store}, five kills: {told}")
