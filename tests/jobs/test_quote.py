"""What a job would cost."""

import json

import pytest

from headgate.core.call import Operation
from headgate.gate.ports import SystemChance
from headgate.jobs.answering import Asked
from headgate.jobs.quote import COUNTED_ROWS, Survey, quote
from headgate.jobs.row import Lane, Row
from headgate.jobs.tally import Tally
from headgate.testing import VirtualClock, virtual_time

MODEL = "gpt-6-luna"


def _row(number, prompt, **body):
    body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], **body}
    return Row(number=number, id=f"c{number}", operation=Operation.CHAT, body=json.dumps(body).encode())


def _survey(rows):
    survey = Survey(MODEL)
    for row in rows:
        survey.add(row)
    return survey


def test_what_is_not_known_is_a_wide_interval(gate_on):
    """Three lanes; half the price in two of them; a cap bounds what an answer may cost."""

    async def story():
        async with gate_on() as gate:
            free = _survey([_row(n, f"Say {n}.") for n in range(100)])
            capped = _survey([_row(n, f"Say {n}.", max_completion_tokens=20) for n in range(100)])
            clock = VirtualClock()
            return [await quote(gate, survey, concurrency=10, clock=clock) for survey in (free, capped)]

    free, capped = virtual_time(story())
    full, flex, batch = (free.lanes[lane] for lane in Lane)
    assert (free.basis, free.rows, free.bad_rows) == ("assumed", 100, 0)
    assert full.low_usd < full.cost_usd / 5
    assert full.high_usd > full.cost_usd * 5
    assert flex.cost_usd == pytest.approx(full.cost_usd / 2, rel=0.01)
    assert batch.cost_usd == flex.cost_usd
    assert (full.seconds, batch.seconds) == (None, 86_400)
    assert capped.completion_tokens == 2000
    assert capped.lanes[Lane.REALTIME].high_usd == capped.lanes[Lane.REALTIME].cost_usd


def test_input_is_counted(gate_on):
    """As the provider counts it; of many rows, some are carried over to the rest."""

    async def story(number):
        async with gate_on() as gate:
            rows = [_row(n, f"Write a line about the number {n}, please.") for n in range(number)]
            found = await quote(gate, _survey(rows), concurrency=1, clock=VirtualClock())
            outcomes = [await Asked(row).once(gate) for row in rows[:20]]
            return found.prompt_tokens / number, sum(one.prompt_tokens for one in outcomes) / 20

    for number in (20, 10 * COUNTED_ROWS):
        told, true = virtual_time(story(number))
        assert told == pytest.approx(true, rel=0.6)


def test_what_the_ledger_knows_narrows_it(gate_on):
    """Answers of the model, whoever asked for them."""

    async def story():
        async with gate_on() as gate:
            survey = _survey([_row(n, f"Say {n}.") for n in range(50)])
            before = await quote(gate, survey, concurrency=1, clock=VirtualClock())
            for n in range(30):
                await Asked(_row(n, f"Write about 50 tokens, please. {n}")).once(gate)
            return before, await quote(gate, survey, concurrency=1, clock=VirtualClock())

    before, after = virtual_time(story())
    assert (before.basis, after.basis) == ("assumed", "history")

    def width(found):
        lane = found.lanes[Lane.REALTIME]
        return lane.high_usd / lane.low_usd

    assert width(after) < width(before) / 3


def test_the_limits_say_how_long_it_takes(gate_on):
    """The slowest of them."""

    async def story(**limits):
        async with gate_on({"limits": limits}) as gate:
            survey = _survey([_row(n, "Hi", max_completion_tokens=100) for n in range(120)])
            return (await quote(gate, survey, concurrency=1, clock=VirtualClock())).lanes[Lane.REALTIME].seconds

    assert virtual_time(story(requests_per_minute=60)) == 120
    assert virtual_time(story(requests_per_minute=60, tokens_per_minute=1200)) > 600


def test_what_nobody_has_priced_is_in_no_sum(gate_on):
    """It is told."""

    async def story():
        async with gate_on(
            catalog={"models": {"free": {"input_usd_per_million": 0, "output_usd_per_million": 0}}}
        ) as gate:
            survey = _survey([_row(1, "Hi", model="free"), _row(2, "Hi"), _row(3, "Hi", n="x")])
            return await quote(gate, survey, concurrency=1, clock=VirtualClock())

    found = virtual_time(story())
    assert found.rows + found.bad_rows == 3
    assert found.unpriced_rows == 0


def test_nothing_costs_nothing(gate_on):
    """An empty input."""

    async def story():
        async with gate_on() as gate:
            return await quote(gate, _survey([]), concurrency=1, clock=VirtualClock())

    found = virtual_time(story())
    assert (found.rows, found.lanes[Lane.REALTIME].high_usd) == (0, 0)


def test_the_true_cost_lies_in_the_interval_nine_times_of_ten(gate_on):
    """Over 200 seeded jobs, by samples of 10 of 30 rows whose answers differ by a factor of ten: at least 170 times.

    The interval is no excuse: half of the time it is narrower than a factor of two.
    """
    rows, sample = 30, 10

    async def story():
        inside, widths = 0, []
        async with gate_on() as gate:
            for seed in range(200):
                chance = SystemChance(seed)
                found = [
                    await Asked(
                        _row(n, f"Write about {round(12 * 10 ** chance.random())} tokens, please. ({seed}.{n})")
                    ).once(gate)
                    for n in range(rows)
                ]
                tally = Tally()
                for outcome in found[:sample]:
                    tally.add(outcome)
                survey = _survey([_row(n, f"Write about 50 tokens, please. ({n})") for n in range(rows)])
                lane = (await quote(gate, survey, concurrency=1, clock=VirtualClock(), tally=tally)).lanes[
                    Lane.REALTIME
                ]
                true = sum(outcome.cost for outcome in found) / 1e12
                inside += lane.low_usd <= true <= lane.high_usd
                widths.append(lane.high_usd / lane.low_usd)
        return inside, sorted(widths)[100]

    inside, width = virtual_time(story())
    assert 170 <= inside < 200
    assert width < 2
