"""The simulated provider as a whole: requests in, answers and a bill out."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.errors import UnreachableError
from headgate.core.usage import TokenUsage
from headgate.providers.simulator.bill import amount
from headgate.providers.simulator.settings import Fault, Latency, Limits
from headgate.providers.simulator.simulator import Simulator
from headgate.providers.simulator.visit import Request
from headgate.testing import EPOCH, VirtualClock, virtual_time

HELLO = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Hello"}]}
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"


async def ask(simulator, body=HELLO, *, path=CHAT, method="POST", headers=None, after=None):
    """Status, headers and body of an answer; leave after so many pieces."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = simulator.take(Request(method, path, headers or {}, raw))
    said = []
    try:
        await answer.head()
        while (after is None or len(said) < after) and (data := await answer.receive()):
            said.append(data)
    finally:
        answer.close()
    return answer.status, answer.headers, b"".join(said)


def story(*asks, **settings):
    """What several requests get, one after the other, and the simulator."""

    async def tell():
        simulator = Simulator(clock=VirtualClock(), **settings)
        return [await ask(simulator, **one) for one in asks], simulator

    return virtual_time(tell())


def test_headers_of_every_answer():
    """What OpenAI sends, and what must never come down through a gateway; answers and errors alike."""
    answers, _ = story({}, {"body": b"{"}, {"path": "/v1/models", "method": "GET"}, {"path": "/nowhere"})
    assert [status for status, _, _ in answers] == [200, 400, 200, 404]
    for _, headers, _ in answers:
        assert headers["x-request-id"].startswith("req_")
        assert headers["openai-version"] == "2020-10-01"
        assert headers["server"] == "simulator"
        assert {"set-cookie", "openai-processing-ms", "openai-organization"} <= headers.keys()
    assert len({headers["x-request-id"] for _, headers, _ in answers}) == 4


def test_the_same_seed_answers_the_same():
    """Bytes and all, but for the next call's own name."""
    first, _ = story({}, {}, seed=3)
    again, _ = story({}, {}, seed=3)
    other, _ = story({}, seed=4)
    assert [body for _, _, body in first] == [body for _, _, body in again]
    texts = [json.loads(body)["choices"][0]["message"]["content"] for _, _, body in [*first, *other]]
    assert texts[0] == texts[1] != texts[2]


def test_both_dialects_say_the_same_words():
    """To the same question, whole or streamed."""
    answers, _ = story(
        {},
        {"path": RESPONSES, "body": {"model": "gpt-6-luna", "input": "Hello"}},
        {"path": RESPONSES, "body": {"model": "gpt-6-luna", "input": "Hello", "stream": True}},
    )
    chat = json.loads(answers[0][2])["choices"][0]["message"]["content"]
    whole = json.loads(answers[1][2])["output"][1]["content"][0]["text"]
    final = json.loads(answers[2][2].split(b"data: ")[-1])
    assert chat == whole == final["response"]["output"][1]["content"][0]["text"]
    assert answers[2][1]["content-type"].startswith("text/event-stream")


def test_the_bill_agrees_with_what_was_reported():
    """Whole and streamed, in both dialects, over tiers: the reported usage at the listed prices."""
    stream = HELLO | {"stream": True, "stream_options": {"include_usage": True}, "service_tier": "flex"}
    answers, simulator = story(
        {}, {"body": stream}, {"path": RESPONSES, "body": {"model": "o3", "input": "x", "service_tier": "fast"}}
    )
    first, last = json.loads(answers[0][2]), json.loads(answers[2][2])
    chunk = json.loads(answers[1][2].split(b"data: ")[-2])
    assert (first["service_tier"], chunk["service_tier"], last["service_tier"]) == ("default", "flex", "priority")
    cost = sum(
        amount(model, TokenUsage(prompt_tokens=into, completion_tokens=out), tier=tier)
        for model, tier, into, out in [
            ("gpt-6-luna", "default", first["usage"]["prompt_tokens"], first["usage"]["completion_tokens"]),
            ("gpt-6-luna", "flex", chunk["usage"]["prompt_tokens"], chunk["usage"]["completion_tokens"]),
            ("o3", "priority", last["usage"]["input_tokens"], last["usage"]["output_tokens"]),
        ]
    )
    assert simulator.bill.total == cost > 0
    assert all(line.complete for line in simulator.bill.lines)


def test_cached_prompts():
    """A long beginning that was read before is reported as cached, and billed so."""
    long = HELLO | {"messages": [{"role": "user", "content": "word " * 4000}]}
    answers, simulator = story({"body": long}, {"body": long}, {"body": long | {"model": "gpt-4o"}})
    details = [json.loads(body)["usage"]["prompt_tokens_details"] for _, _, body in answers]
    assert [one["cached_tokens"] for one in details] == [0, 4992, 0]
    assert [one["cache_write_tokens"] for one in details] == [4992, 0, 0]
    assert [line.usage.cached_tokens for line in simulator.bill.lines] == [0, 4992, 0]


def test_who_leaves_pays_for_what_came():
    """A stream: the prompt and the tokens until then. A whole answer in the making: nothing."""
    stream = HELLO | {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "50 tokens"}]}
    _, simulator = story({"body": stream, "after": 11})
    line = simulator.bill.lines[0]
    assert (line.usage.completion_tokens, line.complete) == (10, False)
    assert simulator.bill.usd() == Decimal(line.usage.prompt_tokens) * Decimal("0.0000025") + Decimal("0.0001")

    async def leave():
        slow = Simulator(clock=VirtualClock(), latency=Latency(first_token=9))
        answer = slow.take(Request("POST", CHAT, {}, json.dumps(HELLO).encode()))
        answer.close()
        return slow.bill.lines

    assert virtual_time(leave()) == []


def test_faults_before_the_answer():
    """A status costs nothing and has its facts; a reset has no answer at all; a retry is another call."""
    fault = Fault(kind="status", status=429, code="insufficient_quota", retry_after=7, times=1)
    answers, simulator = story({}, {}, faults=[fault])
    assert [status for status, _, _ in answers] == [429, 200]
    assert answers[0][1]["retry-after"] == "7"
    assert json.loads(answers[0][2])["error"]["type"] == "insufficient_quota"
    assert [(one.status, one.fault) for one in simulator.log] == [(429, "status"), (200, None)]
    assert len(simulator.bill.lines) == 1

    async def reset():
        broken = Simulator(clock=VirtualClock(), faults=[Fault(kind="reset")])
        with pytest.raises(UnreachableError):
            await ask(broken)
        return broken.log[0].status, broken.bill.lines

    assert virtual_time(reset()) == (0, [])


def test_health_checks_do_not_move_faults():
    """Which call meets a fault depends on the calls that are answered, not on what is asked in between."""
    ping, bad = {"path": "/v1/models", "method": "GET"}, {"body": b"{"}
    calm = story(*[{}] * 30, faults=[Fault(kind="no_usage", rate=0.3)])[1]
    busy = story(*[{}, ping, bad] * 30, faults=[Fault(kind="no_usage", rate=0.3)])[1]
    met = [one.fault for one in calm.log]
    assert [one.fault for one in busy.log if one.status == 200] == met
    assert 0 < met.count("no_usage") < 30


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
@pytest.mark.parametrize("stream", [False, True])
def test_every_fault_in_every_dialect(path, stream):
    """Each is taken, logged by its kind, and charged by its tokens; what time it takes is its delay."""
    asked = {"model": "gpt-4o", "stream": stream} | (
        {"input": "40 tokens"} if path == RESPONSES else {"messages": HELLO["messages"], "n": 2}
    )
    kinds = [
        "silence", "slow_first_token", "cut", "stall", "malformed", "error_event", "no_done", "wrong_usage", "no_usage",
    ]  # fmt: skip

    async def one(kind):
        simulator = Simulator(clock=VirtualClock())
        fault = json.dumps({"kind": kind, "after_tokens": 4, "delay": 100})
        said = b""
        try:
            status, _, said = await ask(simulator, asked, path=path, headers={"x-simulate-fault": fault})
        except UnreachableError:
            status = None
        assert simulator.log[0].fault == kind
        lines = simulator.bill.lines
        charged = [(line.usage.completion_tokens == 4, line.complete) for line in lines]
        return status, VirtualClock().monotonic(), charged, said

    found = {kind: virtual_time(one(kind)) for kind in kinds}
    for kind, (status, took, charged, _) in found.items():
        assert took == (100 if kind in ("silence", "slow_first_token", "stall") else 0), kind
        if kind == "error_event" and not stream:
            assert (status, charged) == (503, [])
        elif kind in ("cut", "error_event"):
            assert (status, charged) == (None if kind == "cut" else 200, [(stream, not stream)])
        else:
            assert (status, charged) == (200, [(False, True)])
    if stream:
        done = b"data: [DONE]\n\n"
        assert found["stall"][3].endswith(done) == (path == CHAT)
        assert not found["no_done"][3].endswith(done)
        assert b'"error"' in found["error_event"][3]
    else:
        with pytest.raises(json.JSONDecodeError):
            json.loads(found["malformed"][3])


def test_the_content_filter():
    """It ends the answer with its own reason, streamed or whole, and what was said is charged."""
    fault = {"x-simulate-fault": '{"kind": "error_event", "code": "content_filter", "after_tokens": 2}'}
    answers, simulator = story(
        {"headers": fault},
        {"headers": fault, "body": HELLO | {"stream": True}},
        {"headers": fault, "path": RESPONSES, "body": {"model": "fake", "input": "x"}},
    )
    assert json.loads(answers[0][2])["choices"][0]["finish_reason"] == "content_filter"
    assert b'"finish_reason":"content_filter"' in answers[1][2]
    assert answers[1][2].endswith(b"[DONE]\n\n")
    assert json.loads(answers[2][2])["incomplete_details"] == {"reason": "content_filter"}
    assert all(line.complete for line in simulator.bill.lines)
    assert [line.usage.completion_tokens - line.usage.reasoning_tokens for line in simulator.bill.lines] == [2, 2, 2]


def test_limits_are_per_model_and_shown_everywhere():
    """Each model has its own; a group shares one; errors show what is left, too."""
    other = HELLO | {"model": "fake"}
    asks = [{}, {}, {"body": other}, {"body": HELLO | {"n": 0}}]
    answers, simulator = story(*asks, limits=Limits(requests_per_minute=1))
    assert [status for status, _, _ in answers] == [200, 429, 200, 400]
    assert answers[1][1]["x-ratelimit-remaining-requests"] == "0"
    assert answers[1][1]["retry-after-ms"] == "60000"
    assert answers[0][1]["x-ratelimit-limit-requests"] == "1"
    assert [one.status for one in simulator.log] == [200, 429, 200, 400]
    answers, _ = story(*asks[:3], limits=Limits(requests_per_minute=1, group="all"))
    assert [status for status, _, _ in answers] == [200, 429, 429]
    answers, _ = story({"headers": {"x-simulate-fault": '{"kind": "status"}'}}, limits=Limits(concurrency=1))
    assert answers[0][0] == 503


def test_places_are_given_back():
    """After an answer, a broken one, a refused one and one that nobody waited for."""

    async def tell():
        simulator = Simulator(clock=VirtualClock(), limits=Limits(concurrency=1), latency=Latency(first_token=1))
        raw = json.dumps(HELLO | {"stream": True}).encode()
        open_stream = simulator.take(Request("POST", CHAT, {}, raw))
        refused = (await ask(simulator))[0]
        open_stream.close()
        cut = {"x-simulate-fault": '{"kind": "cut"}'}
        with pytest.raises(UnreachableError):
            await ask(simulator, headers=cut)
        await ask(simulator, headers={"x-simulate-fault": '{"kind": "status"}'})
        return refused, (await ask(simulator))[0]

    assert virtual_time(tell()) == (429, 200)


def test_keys():
    """Anything goes unless a key was given; then only that one does."""
    headers = [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer sk-é"},
        {"authorization": "Bearer good"},
    ]
    asks = [{"headers": one} for one in headers]
    assert [status for status, _, _ in story(*asks)[0]] == [200] * 4
    answers, simulator = story(*asks, api_key="good")
    assert [status for status, _, _ in answers] == [401, 401, 401, 200]
    assert json.loads(answers[1][2])["error"]["code"] == "invalid_api_key"
    assert len(simulator.log) == 4


def test_addresses():
    """What is there, what is not, and what is there for another method."""
    asks = [
        {"path": "/v1/models", "method": "GET"},
        {"path": "/v1/models/gpt-4o", "method": "GET"},
        {"path": "/openai/v1/models", "method": "GET"},
        {"path": "/v1/models/nobody", "method": "GET"},
        {"path": "/v1/models", "method": "POST"},
        {"path": CHAT, "method": "GET"},
        {"path": "/v1/videos"},
        {"path": "/v1"},
        {"path": "/"},
        {"path": "/v1/modelsx", "method": "GET"},
    ]
    answers, simulator = story(*asks)
    assert [status for status, _, _ in answers] == [200, 200, 200, 404, 405, 405, 404, 404, 404, 404]
    assert json.loads(answers[1][2])["id"] == "gpt-4o"
    assert json.loads(answers[6][2])["error"]["message"] == "Invalid URL (POST /v1/videos)"
    assert [one.path for one in simulator.log] == [CHAT]


def test_what_it_tells_of_itself(tmp_path):
    """The bill and the log over HTTP, the log emptied, the file kept, the last request at hand."""
    named = {"x-client-request-id": "mine"}
    asks = [{"headers": named}, *({"path": path, "method": method} for method, path in [
        ("GET", "/__bill"), ("GET", "/__log"), ("DELETE", "/__log"), ("GET", "/__log"), ("GET", "/__other"),
    ])]  # fmt: skip
    answers, simulator = story(*asks, log_path=tmp_path / "log")
    bill, log = json.loads(answers[1][2]), json.loads(answers[2][2])
    assert bill["total_usd"] == f"{simulator.bill.usd():f}"
    assert bill["lines"][0]["client_request_id"] == log["arrivals"][0]["client_request_id"] == "mine"
    assert bill["lines"][0]["request_id"] == log["arrivals"][0]["request_id"] == answers[0][1]["x-request-id"]
    assert log["arrivals"][0]["time"] == EPOCH
    assert json.loads(answers[4][2]) == {"arrivals": []}
    assert answers[5][0] == 404
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    assert simulator.last is not None
    assert simulator.last.path == "/__other"


def test_limits_change_while_it_runs():
    """Over HTTP as in Python; what cannot be is refused and changes nothing."""
    wanted = [b'{"requests_per_minute": 1, "headers": false}', b'{"rpm": 1}', b'{"group": "g"}']
    changes = [{"path": "/__limits", "body": body} for body in wanted]
    answers, simulator = story({}, *changes, {}, {})
    assert [status for status, _, _ in answers] == [200, 200, 400, 400, 200, 429]
    assert json.loads(answers[1][2])["requests_per_minute"] == 1
    assert json.loads(answers[3][2])["error"]["code"] == "invalid_limits"
    assert not {"retry-after", "x-ratelimit-limit-requests"} & answers[5][1].keys()
    assert [one.limited for one in simulator.log] == [None, None, "requests"]


def test_bad_wishes_for_faults_are_refused():
    """A header that is no fault is the caller's mistake."""
    answers, _ = story({"headers": {"x-simulate-fault": "boom"}})
    assert answers[0][0] == 400


@given(st.binary(max_size=60) | st.dictionaries(st.sampled_from(["model", "messages", "input", "n"]), st.just("fake")))
def test_whatever_comes_is_answered(body):
    """No body makes it fail: every one gets a status and an error of the API's shape."""
    for path in (CHAT, RESPONSES):
        (status, _, said), *_ = story({"path": path, "body": body})[0]
        assert status in (200, 400, 404)
        assert status == 200 or set(json.loads(said)["error"]) == {"message", "type", "param", "code"}
