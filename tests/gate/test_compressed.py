"""Shorter prompts in a whole gate: what the provider gets, bills and the books say."""

import json

import pytest

from headgate.core.call import Operation
from headgate.core.errors import ConfigError
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemChance
from headgate.stores.protocols import Query
from headgate.testing import VirtualClock, virtual_time

PRETTY = json.dumps({"numbers": list(range(40)), "name": "x"}, indent=4)
ASKED = {"model": "m", "messages": [{"role": "user", "content": f"Look:\n{PRETTY}\n"}]}


def settings(compress, **provider):
    """A gate with a route that shortens (or not)."""
    route = {"targets": [{"provider": "p", "model": "gpt-6-luna"}], "compress": compress}
    return {"store": "memory://", "providers": {"p": {"type": "simulator", **provider}}, "models": {"m": route}}


def booked(compress, times=1, **provider):
    """Ask; gives the lines of the books and the sums."""

    async def story():
        config = load(None, environment={}, settings=settings(compress, **provider)).config
        async with await Gate.open(config, clock=VirtualClock(), chance=SystemChance(3)) as gate:
            for _ in range(times):
                async with await gate(gate.call(Operation.CHAT, json.dumps(ASKED).encode())) as reply:
                    await reply.read()
            rows = [row async for row in gate.rows(Query())]
            return rows, (await gate.usage(Query()))[0]

    return virtual_time(story())


def test_the_provider_bills_less_and_the_books_say_how_much():
    """Tokens saved stand with the attempt that was billed, and in the sums."""
    (plain,), _ = booked(False)
    rows, total = booked({"whitespace": False}, times=2)
    assert all(row.prompt_tokens < plain.prompt_tokens - 50 for row in rows)
    assert all(row.saved_tokens == rows[0].saved_tokens > 50 for row in rows)
    assert total.saved_tokens == 2 * rows[0].saved_tokens
    assert plain.saved_tokens == 0


def test_what_was_not_billed_has_saved_nothing():
    """An attempt that failed is no saving."""
    rows, total = booked(True, faults=[{"kind": "status", "status": 503, "times": 1}])
    assert [row.saved_tokens > 0 for row in rows] == [False, True]
    assert total.saved_tokens == rows[1].saved_tokens


@pytest.mark.parametrize(("compress", "there"), [(True, True), (False, False), ({"code": True}, True), (None, False)])
def test_it_is_in_the_stack_where_a_route_asks_for_it(compress, there):
    """What is off is not there."""

    async def story():
        config = load(None, environment={}, settings=settings(compress)).config
        async with await Gate.open(config, clock=VirtualClock(), chance=SystemChance(3)) as gate:
            async with await gate(gate.call(Operation.CHAT, json.dumps(ASKED).encode())):
                pass
            return list(gate._stack.targets().values())

    (policies,) = virtual_time(story())
    assert ("compress" in policies) == there


def test_a_wrong_setting_is_told():
    """With its name."""
    with pytest.raises(ConfigError, match="pretty"):
        load(None, environment={}, settings=settings({"prety_json": True}))
