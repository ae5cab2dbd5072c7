"""What arrived."""

import json

from headgate.providers.simulator.arrivals import Arrival, Arrivals

ONE = Arrival(
    time=1.5, path="/v1/x", request_id="req_1", client_request_id="c", model="m", stream=True, status=200, fault="cut"
)


def test_in_memory():
    """In order."""
    arrivals = Arrivals()
    arrivals.add(ONE)
    assert arrivals.seen == [ONE]


def test_in_a_file_at_once(tmp_path):
    """One line of JSON each, there before the next step, added to what was there."""
    path = tmp_path / "log"
    first = Arrivals(path)
    first.add(ONE)
    assert json.loads(path.read_text())["client_request_id"] == "c"
    del first
    Arrivals(path).add(ONE)
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[1]) == {
        "time": 1.5, "path": "/v1/x", "request_id": "req_1", "client_request_id": "c", "model": "m", "stream": True,
        "status": 200, "fault": "cut", "prompt_tokens": 0, "completion_tokens": 0, "limited": None, "busy": 0,
        "held": 0.0,
    }  # fmt: skip
