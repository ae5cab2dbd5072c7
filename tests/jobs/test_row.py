"""A row's outcome as a line of output."""

import json

from headgate.jobs.row import Lane, Outcome, Trouble


def test_an_answer_in_the_shape_of_the_batch_api():
    """What the Batch API writes, and what only we know beside it."""
    done = Outcome(
        id="a",
        number=7,
        lane=Lane.FLEX,
        status=200,
        body=b'{"n": 1}',
        request_id="req_1",
        cost=1_500_000,
        attempts=2,
        latency_ms=12.5,
        prompt_tokens=3,
        completion_tokens=4,
    )
    line = done.line()
    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "id": "batch_req_7",
        "custom_id": "a",
        "response": {"status_code": 200, "request_id": "req_1", "body": {"n": 1}},
        "error": None,
        "headgate": {
            "cost_usd": "0.0000015",
            "attempts": 2,
            "lane": "flex",
            "cached": False,
            "latency_ms": 12.5,
            "error_class": None,
            "row": 7,
            "prompt_tokens": 3,
            "completion_tokens": 4,
        },
    }
    assert done.succeeded


def test_a_row_without_an_answer():
    """No response; a code for programs, words for people."""
    lost = Outcome(
        id="b",
        number=1,
        lane=Lane.BATCH,
        error=Trouble(code="batch_expired", message="It was late."),
        error_class="TimeoutError",
        cost=None,
    )
    line = json.loads(lost.line())
    assert line["response"] is None
    assert line["error"] == {"code": "batch_expired", "message": "It was late."}
    assert line["headgate"]["cost_usd"] is None
    assert not lost.succeeded


def test_one_line_whatever_the_answer_looks_like():
    """A body that is spread over lines is drawn together; what is escaped inside a text stays."""
    body = b'{\r\n  "text": "two\\nlines",\n  "n": 1.50}'
    line = Outcome(id="c\n", number=1, lane=Lane.REALTIME, status=200, body=body).line()
    assert line.count(b"\n") == 1
    assert b"\r" not in line
    assert b'{"text":"two\\nlines","n":1.50}' in line
    assert json.loads(line)["custom_id"] == "c\n"
