"""Runs: many rows, each once."""

import asyncio
import json
import os
from contextlib import contextmanager

import pytest

from headgate.core.errors import AuthenticationError, BadRequestError
from headgate.gate.ports import SystemChance
from headgate.jobs.file_job import TAG, rows
from headgate.jobs.intake import Wish
from headgate.jobs.part import Part
from headgate.jobs.run import Plan, Run
from headgate.stores.protocols import Query
from headgate.testing import VirtualClock, virtual_time

MODEL = "gpt-6-luna"


@contextmanager
def _part(folder):
    part = Part.open(folder / "out.part", {}, job="job")
    try:
        yield part
    finally:
        part.close()


async def _run(gate, path, part, **plan):
    file = os.open(path, os.O_RDONLY)
    try:
        made = Plan(**{"concurrency": 8, "max_attempts": 3, "tags": {TAG: part.job}, **plan})
        source = rows(file, Wish(model=MODEL))
        run = Run(gate, source, part, made, clock=VirtualClock(), chance=SystemChance(1))
        await run.work()
        return run
    finally:
        os.close(file)


def _lines(part, tmp_path):
    part.finish(tmp_path / "out", in_order=True, complete=False)
    return [json.loads(line) for line in (tmp_path / "out").read_bytes().splitlines()]


def _prompts(number):
    return [{"custom_id": f"c{n}", "prompt": f"Say {n}."} for n in range(number)]


def test_every_row_is_answered_once_in_order(gate_on, input_of, tmp_path):
    """Whatever the order in which answers come; the books know the job by its tag."""

    async def story():
        async with gate_on({"latency": {"first_token": 1, "per_token": 0.1, "jitter": 1}}) as gate:
            with _part(tmp_path) as part:
                run = await _run(gate, input_of(_prompts(50)), part)
                total, _ = await gate.usage(Query(where={f"tag:{TAG}": "job"}))
                return run, _lines(part, tmp_path), gate.simulators["p"].log, total, part.tally

    run, lines, log, total, tally = virtual_time(story())
    assert [line["custom_id"] for line in lines] == [f"c{n}" for n in range(50)]
    assert all(line["response"]["status_code"] == 200 for line in lines)
    assert len(log) == 50
    assert (run.answered, tally.succeeded, tally.failed) == (50, 50, 0)
    assert total.cost == tally.cost
    assert (run.prompt_tokens, run.completion_tokens) == (total.prompt_tokens, total.completion_tokens)


def test_so_many_at_the_same_time(gate_on, input_of, tmp_path):
    """As many as may, and no more."""

    async def story(concurrency):
        async with gate_on({"latency": {"first_token": 1}}) as gate:
            with _part(tmp_path) as part:
                await _run(gate, input_of(_prompts(20)), part, concurrency=concurrency)
            part.path.unlink()
            return max(one.busy for one in gate.simulators["p"].log)

    assert [virtual_time(story(concurrency)) for concurrency in (1, 7, 100)] == [1, 7, 20]


def test_the_limit_is_used_and_not_met(gate_on, input_of, tmp_path):
    """600 a minute: a hundred rows take ten seconds, and nobody hears a 429."""

    async def story():
        async with gate_on({"limits": {"requests_per_minute": 600}, "latency": {"first_token": 2}}) as gate:
            with _part(tmp_path) as part:
                run = await _run(gate, input_of(_prompts(200)), part, concurrency=100)
            return run.limited, VirtualClock().monotonic()

    limited, seconds = virtual_time(story())
    assert limited == 0
    # One second's worth may come at once, and the last answer takes two seconds.
    assert 19 <= seconds <= 22.5


def test_trouble_is_waited_for_and_no_row_is_lost(gate_on, input_of, tmp_path):
    """A retry budget that is dry and a target that rests fail nobody."""

    async def story():
        faults = [{"kind": "status", "status": 503, "rate": 1.0, "times": 12}]
        async with gate_on({"faults": faults, "latency": {"first_token": 0.5}}) as gate:
            with _part(tmp_path) as part:
                await _run(gate, input_of(_prompts(300)), part, concurrency=10)
                return part.tally, _lines(part, tmp_path), gate.simulators["p"].log

    tally, lines, log = virtual_time(story())
    assert len(lines) == 300
    assert tally.failed <= 15
    assert len({line["custom_id"] for line in lines}) == 300
    assert sum(one.status == 200 for one in log) == tally.succeeded


def test_who_goes_on_asks_only_what_is_left(gate_on, input_of, tmp_path):
    """What was answered is never asked again; what was in flight is asked again, and named."""

    async def story():
        path = input_of(_prompts(40))
        async with gate_on({"latency": {"first_token": 1, "per_token": 0.01}}) as gate:
            with _part(tmp_path) as part:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(4.5):
                        await _run(gate, path, part, concurrency=5)
                answered = part.tally.rows
                assert asyncio.all_tasks() == {asyncio.current_task()} | {
                    task for task in asyncio.all_tasks() if task.get_name() in {"drain", "purses", "alerts"}
                }
            with _part(tmp_path) as part:
                run = await _run(gate, path, part, concurrency=5)
                return answered, run, _lines(part, tmp_path), len(gate.simulators["p"].log)

    answered, run, lines, sent = virtual_time(story())
    assert 0 < answered < 40
    assert run.answered == 40 - answered
    assert [line["custom_id"] for line in lines] == [f"c{n}" for n in range(40)]
    assert len(run.ambiguous) == 5
    assert sent == 45


def test_an_input_that_has_changed_is_refused(gate_on, input_of, tmp_path):
    """Lines may follow at its end, and nothing else."""

    async def story():
        async with gate_on() as gate:
            with _part(tmp_path) as part:
                await _run(gate, input_of(_prompts(3)), part)
            with _part(tmp_path) as part:
                run = await _run(gate, input_of(_prompts(5)), part)
                assert run.answered == 2
            changed = _prompts(5)
            changed[1]["prompt"] = "Say something else."
            with _part(tmp_path) as part, pytest.raises(BadRequestError, match="Line 2 of the input"):
                await _run(gate, input_of(changed), part)
            return len(gate.simulators["p"].log)

    assert virtual_time(story()) == 5


def test_bad_rows_stop_nothing_and_failed_ones_are_asked_again_on_request(gate_on, input_of, tmp_path):
    """They cost nothing; the first ones are told of."""
    found = [
        "nonsense",
        {"custom_id": "hot", "prompt": "x", "n": 0},
        {"prompt": "fine"},
        {"custom_id": 1},
    ]

    async def story():
        path = input_of(found)
        async with gate_on() as gate:
            with _part(tmp_path) as part:
                run = await _run(gate, path, part)
                assert (part.tally.succeeded, part.tally.failed) == (1, 3)
                assert min(run.failures).startswith("line 1 (row-1): BadRequestError: Line 1 is not")
                assert any("APIError: status 400: Invalid 'n'" in told for told in run.failures)
                again = await _run(gate, path, part)
                assert again.answered == 0
            with _part(tmp_path) as part:
                again = await _run(gate, path, part, retry_failed=True)
                assert again.answered == 3
                assert (part.tally.succeeded, part.tally.failed) == (1, 3)
                return _lines(part, tmp_path), len(gate.simulators["p"].log), gate.meter.counters.cost

    lines, sent, cost = virtual_time(story())
    assert len(lines) == 4
    assert sent == 3
    assert cost == int(float(lines[2]["headgate"]["cost_usd"]) * 1e12)


def test_what_is_late_fails_unasked(gate_on, input_of, tmp_path):
    """At the deadline every row has its line."""

    async def story():
        async with gate_on({"latency": {"first_token": 1}}) as gate:
            with _part(tmp_path) as part:
                run = await _run(gate, input_of(_prompts(30)), part, concurrency=3, deadline=3.5)
                return part.tally, VirtualClock().monotonic(), _lines(part, tmp_path), run

    tally, seconds, lines, run = virtual_time(story())
    assert (tally.succeeded, tally.failed) == (9, 21)
    assert seconds <= 3.6
    assert run.stopped is None
    assert {line["headgate"]["error_class"] for line in lines} == {None, "DeadlineError", "TimeoutError"}


def test_wrong_credentials_end_it_at_once(gate_on, input_of, tmp_path):
    """No row is failed for it: the same command goes on when they are right."""

    async def story():
        async with gate_on({"faults": [{"kind": "status", "status": 401}]}) as gate:
            with _part(tmp_path) as part:
                run = await _run(gate, input_of(_prompts(1000)), part)
                return run, part.tally.rows, len(gate.simulators["p"].log)

    run, answered, sent = virtual_time(story())
    assert isinstance(run.stopped, AuthenticationError)
    assert answered == 0
    assert sent <= 8 + 3


def test_only_the_rows_that_are_wanted(gate_on, input_of, tmp_path):
    """A sample; the rest is asked by whoever goes on."""

    async def story():
        path = input_of(_prompts(10))
        async with gate_on() as gate:
            with _part(tmp_path) as part:
                await _run(gate, path, part, wanted={2, 7}.__contains__)
                first = [line["headgate"]["row"] for line in _lines(part, tmp_path)]
                await _run(gate, path, part)
                return first, len(_lines(part, tmp_path)), len(gate.simulators["p"].log)

    assert virtual_time(story()) == ([2, 7], 10, 10)
