"""One row through the gate."""

import json

import pytest

from headgate.core.call import Operation
from headgate.core.errors import BadRequestError, HeadgateError, UnreachableError
from headgate.jobs.answering import Asked
from headgate.jobs.row import Lane, Row
from headgate.testing import virtual_time


def _row(**body):
    body = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hi"}], **body}
    return Row(number=3, id="c", operation=Operation.CHAT, body=json.dumps(body).encode())


def test_an_answer_with_what_it_cost(gate_on):
    """Body, status, tokens, money, and whose request it was."""

    async def story():
        async with gate_on() as gate:
            outcome = await Asked(_row()).once(gate, tags={"a": "b"})
            return outcome, gate.meter.counters

    outcome, counters = virtual_time(story())
    body = json.loads(outcome.body)
    assert (outcome.id, outcome.number, outcome.status, outcome.attempts) == ("c", 3, 200, 1)
    assert outcome.succeeded
    assert outcome.cost == counters.cost > 0
    assert (outcome.prompt_tokens, outcome.completion_tokens) == (
        body["usage"]["prompt_tokens"],
        body["usage"]["completion_tokens"],
    )
    assert outcome.request_id.startswith("req_")
    assert outcome.lane is Lane.REALTIME


def test_the_lane_is_what_the_provider_says_it_was(gate_on):
    """Flex costs half."""

    async def story():
        async with gate_on() as gate:
            return await Asked(_row()).once(gate), await Asked(_row(service_tier="flex")).once(gate)

    full, half = virtual_time(story())
    assert half.lane is Lane.FLEX
    assert half.completion_tokens == full.completion_tokens
    assert 0.4 < half.cost / full.cost < 0.6


def test_an_error_answer_stands_in_the_output_as_it_came(gate_on):
    """As the Batch API has it: a response with its status."""

    async def story():
        async with gate_on() as gate:
            asked = Asked(_row(n=0))
            with pytest.raises(HeadgateError) as caught:
                await asked.once(gate)
            return asked.failed(caught.value)

    outcome = virtual_time(story())
    assert outcome.status == 400
    assert "'n'" in json.loads(outcome.body)["error"]["message"]
    assert (outcome.error, outcome.error_class, outcome.attempts, outcome.cost) == (None, "APIError", 1, 0)


def test_a_row_without_an_answer_says_why(gate_on):
    """And what was tried, over all the times that it was asked."""

    async def story():
        async with gate_on({"faults": [{"kind": "reset"}], "max_retries": 1}) as gate:
            asked = Asked(_row())
            for _ in range(2):
                with pytest.raises(UnreachableError) as caught:
                    await asked.once(gate)
            return asked.failed(caught.value)

    outcome = virtual_time(story())
    assert (outcome.status, outcome.body) == (None, None)
    assert (outcome.error.code, outcome.error_class) == ("upstream_unreachable", "UnreachableError")
    assert outcome.attempts == 4


def test_rate_limits_are_counted(gate_on):
    """Each that was met."""

    async def story():
        fault = {"kind": "status", "status": 429, "code": "rate_limit_exceeded", "times": 2}
        async with gate_on({"faults": [fault]}) as gate:
            asked = Asked(_row())
            await asked.once(gate)
            return asked

    asked = virtual_time(story())
    assert (asked.limited, asked.attempts) == (2, 3)


def test_a_stream_is_refused_before_anything_leaves(gate_on):
    """A file holds whole answers."""

    async def story():
        async with gate_on() as gate:
            with pytest.raises(BadRequestError, match="stream"):
                await Asked(_row(stream=True)).once(gate)
            return gate.simulators["p"].log

    assert not virtual_time(story())
