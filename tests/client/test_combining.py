"""Covers client/combining.py: what `combine` takes, and in which order answers come."""

import asyncio

import pytest

from headgate.client.asynchronous import AsyncHeadgate
from headgate.client.combining import AT_ONCE, all_of, how
from headgate.client.response import ModelResponse
from headgate.client.synchronous import Headgate
from headgate.core.errors import BadRequestError, OverloadedError
from headgate.core.together import Combining


@pytest.mark.parametrize(
    "wrong", [(0, 1), (51, 1), (1.5, 1), ("2", 1), (True, 1), (2, -1), (2, 61), (2, float("nan")), (2, "1"), (2, True)]
)
def test_bounds_that_make_no_sense(wrong):
    """They are refused by name."""
    with pytest.raises(BadRequestError) as error:
        how(*wrong)
    assert error.value.param in {"items", "seconds"}
    assert how(10, 2) == Combining()


def test_results_come_in_order_with_errors_in_their_places():
    """As many at a time as make eight groups."""
    running = most = 0

    async def ask(prompt):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        if prompt == "3":
            raise OverloadedError("busy")
        return prompt

    found = asyncio.run(all_of((str(n) for n in range(50)), {}, ask, Combining(items=2)))
    assert [one for one in found if isinstance(one, str)] == [str(n) for n in range(50) if n != 3]
    assert isinstance(found[3], OverloadedError)
    assert most == 2 * AT_ONCE


@pytest.mark.parametrize("prompts", ["one", ["a", 1], [None], None, 5])
def test_what_is_no_list_of_prompts(prompts):
    """It would be a call for each letter, or none that anybody could answer."""
    with pytest.raises(BadRequestError), Headgate(simulate=True) as gate:
        gate.combine(prompts)


def test_answers_of_the_simulator():
    """Each its own, with its share; an option that cannot be shared makes each go alone."""

    async def story():
        async with AsyncHeadgate(simulate=True) as gate:
            prompts = ["What is A?", "What is B?", "What is C?"]
            found = await gate.combine(prompts, items=3)
            assert [one.text[:12] for one in found] == [prompt + ": " for prompt in prompts]
            assert all(isinstance(one, ModelResponse) and one.attempts == 1 and one.simulated for one in found)
            report = await gate.usage()
            assert (report.calls, report.attempts) == (3, 3)
            assert sum(one.cost_usd for one in found) == report.cost_usd
            (simulator,) = (await gate._ready()).simulators.values()
            assert simulator.bill.usd() == report.cost_usd
            await gate.combine(prompts, items=3, seed=1)
            assert len(simulator.log) == 1 + 3
            assert await gate.combine([]) == []

    asyncio.run(story())
