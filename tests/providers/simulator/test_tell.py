"""What the simulator tells of itself."""

import json

import pytest
from openai.types import Model

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.arrivals import Arrival
from headgate.providers.simulator.bill import Bill, BillLine
from headgate.providers.simulator.models import MODELS
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.settings import Limits
from headgate.providers.simulator.tell import read_limits, tell_bill, tell_log, tell_models


def test_models():
    """All of them or one, as the SDK's types have it; none of another name."""
    listed = json.loads(tell_models(None))["data"]
    assert [Model.model_validate(one).id for one in listed] == list(MODELS)
    assert json.loads(tell_models("gpt-5"))["shutdown_date"] == "2026-12-11"
    with pytest.raises(Problem) as caught:
        tell_models("gpt-2")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


def test_the_bill():
    """Amounts are decimal strings, never in exponent form."""
    bill = Bill()
    bill.lines.append(
        BillLine(
            request_id="req_1",
            client_request_id="c",
            model="gpt-5-nano",
            tier="flex",
            usage=TokenUsage(prompt_tokens=1, cached_tokens=1),
            complete=False,
        )
    )
    told = json.loads(tell_bill(bill))
    assert told["total_usd"] == told["lines"][0]["amount_usd"] == "0.0000000025"
    assert told["lines"][0]["usage"]["prompt_tokens"] == 1
    assert (told["lines"][0]["complete"], told["lines"][0]["service_tier"]) == (False, "flex")


def test_the_log():
    """The arrivals as they were."""
    arrival = Arrival(
        time=1.0, path="p", request_id="r", client_request_id=None, model=None, stream=False, status=0, fault=None
    )
    assert json.loads(tell_log([arrival]))["arrivals"][0]["status"] == 0


def test_limits_are_read_strictly():
    """A wrong name or a value that limits nothing is refused."""
    assert read_limits(b'{"concurrency": 3, "headers": false}') == Limits(concurrency=3, headers=False)
    for body in (b"", b"[]", b'{"rpm": 3}', b'{"concurrency": 0}', b'{"concurrency": 1.5}'):
        with pytest.raises(Problem) as caught:
            read_limits(body)
        assert (caught.value.status, caught.value.code) == (400, "invalid_limits")
