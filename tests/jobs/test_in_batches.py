"""Runs through the Batch API."""

import json
import os

import pytest

from headgate.core.errors import OverBudgetError
from headgate.gate.ports import SystemChance
from headgate.jobs import file_job
from headgate.jobs.file_job import Order
from headgate.jobs.in_batches import LEAST_ROWS, WINDOW, InBatches, refusal, worthwhile
from headgate.jobs.intake import Wish
from headgate.jobs.part import Part
from headgate.jobs.row import Lane
from headgate.jobs.run import Plan, Run
from headgate.testing import VirtualClock, virtual_time


async def _run(gate, path, tmp_path, *, deadline=None, retry_failed=False):
    clock = VirtualClock()
    order = Order(source=path, output=tmp_path / "out", wish=Wish(model="gpt-6-luna"), lane=Lane.BATCH)
    part = Part.open(order.part, order.spec, job="job_1")
    file = os.open(path, os.O_RDONLY)
    try:
        end = None if deadline is None else clock.monotonic() + deadline
        plan = Plan(concurrency=4, max_attempts=3, deadline=end, retry_failed=retry_failed, tags=file_job.tags(part))
        run = Run(gate, file_job.rows(file, order.wish), part, plan, clock=clock, chance=SystemChance(1))
        await InBatches(gate, run, tags=plan.tags, concurrency=4, deadline=deadline, clock=clock).work()
        part.finish(order.output, in_order=True, complete=False)
    finally:
        os.close(file)
        part.close()
    return run, [json.loads(line) for line in order.output.read_bytes().splitlines()]


def _prompts(number):
    return [{"custom_id": f"c{n}", "prompt": f"Say {n}."} for n in range(number)]


def test_all_rows_at_half_the_price_in_order(gate_on, input_of, tmp_path):
    """Bad lines are told, as in the other lanes."""

    async def story():
        async with gate_on() as gate:
            return await _run(gate, input_of([*_prompts(30), "nonsense"]), tmp_path)

    run, lines = virtual_time(story())
    assert [line["custom_id"] for line in lines] == [*(f"c{n}" for n in range(30)), "row-31"]
    assert {line["headgate"]["lane"] for line in lines[:30]} == {"batch"}
    assert (run.part.tally.succeeded, run.part.tally.failed, run.part.tally.lanes[Lane.BATCH]) == (30, 1, 30)


@pytest.mark.parametrize(("deadline", "some"), [(3600, True), (600, False)])
def test_rows_that_would_be_late_are_asked_at_once(gate_on, input_of, tmp_path, deadline, some):
    """At their own price, before the deadline; what the batch has answered is kept. Without time there is no batch."""

    async def story():
        async with gate_on({"batch": {"seconds": 6000}}) as gate:
            run, lines = await _run(gate, input_of(_prompts(40)), tmp_path, deadline=deadline)
            return run, lines, VirtualClock().monotonic()

    run, lines, seconds = virtual_time(story())
    assert [line["custom_id"] for line in lines] == [f"c{n}" for n in range(40)]
    assert run.part.tally.failed == 0
    lanes = run.part.tally.lanes
    assert lanes[Lane.REALTIME] + lanes[Lane.BATCH] == 40
    assert (lanes[Lane.BATCH] > 5) is some
    assert lanes[Lane.REALTIME] > 5
    assert seconds <= deadline


def test_rows_that_failed_in_a_batch_are_asked_at_once_on_request(gate_on, input_of, tmp_path):
    """A batch of the job has them already."""

    async def story():
        path = input_of(_prompts(40))
        async with gate_on({"batch": {"failing": 0.3}}) as gate:
            first, _ = await _run(gate, path, tmp_path)
            failed = first.part.tally.failed
            again, lines = await _run(gate, path, tmp_path, retry_failed=True)
            return failed, again, lines

    failed, again, lines = virtual_time(story())
    assert 0 < failed < 40
    assert again.part.tally.failed == 0
    assert again.part.tally.lanes == {Lane.REALTIME: failed, Lane.FLEX: 0, Lane.BATCH: 40 - failed}
    assert len(lines) == 40


def test_who_goes_on_sends_no_second_batch(gate_on, input_of, tmp_path):
    """All rows have their outcomes: nothing is left to do."""

    async def story():
        path = input_of(_prompts(5))
        async with gate_on() as gate:
            await _run(gate, path, tmp_path)
            before = len(gate.simulators["p"].log)
            run, lines = await _run(gate, path, tmp_path)
            return run.answered, len(lines), len(gate.simulators["p"].log) - before

    assert virtual_time(story()) == (0, 5, 0)


def test_a_budget_that_is_too_small_ends_it(gate_on, input_of, tmp_path):
    """Before anything is made."""

    async def story():
        budget = {"name": "b", "scope": "gateway", "window": "total", "limit_usd": "0.000001"}
        async with gate_on(budgets=[budget]) as gate:
            run, lines = await _run(gate, input_of(_prompts(5)), tmp_path)
            return run.stopped, lines

    stopped, lines = virtual_time(story())
    assert isinstance(stopped, OverBudgetError)
    assert lines == []


@pytest.mark.parametrize(
    ("rows", "deadline", "found"),
    [(None, None, False), (LEAST_ROWS - 1, None, False), (LEAST_ROWS, None, True), (LEAST_ROWS, WINDOW, True),
     (10**6, WINDOW - 1, False)],
)  # fmt: skip
def test_what_is_worth_a_batch(rows, deadline, found):
    """Many rows, and time."""
    assert worthwhile(rows, deadline) is found


def test_who_cannot_make_batches_is_told_of(gate_on):
    """Where the guard judges words, nobody could judge those of a batch."""

    async def story(**settings):
        async with gate_on(**settings) as gate:
            return refusal(gate, None)

    rule = {"kind": "secrets", "action": "mask"}
    assert virtual_time(story()) is None
    assert "guard" in virtual_time(story(policies={"guard": {"input": [rule]}})).message
