"""What a caller sees of a reply, and of an error."""

import json
import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.attempt import Attempt, Settled
from headgate.core.body import Body
from headgate.core.call import Call, Operation, Target
from headgate.core.errors import (
    Answer,
    APIError,
    AuthenticationError,
    BadRequestError,
    OverloadedError,
    RateLimitError,
    StoppingError,
)
from headgate.core.reply import Event, Kind, Reply
from headgate.core.usage import TokenUsage
from headgate.gate import present
from headgate.gate.offers import Offer

CALL = Call(id="c" * 32, operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0.0, day="2027-01-15")
VALUE = re.compile(r"[\x20-\x7e]*")
USAGE = TokenUsage(prompt_tokens=1)


def attempt(cost=None, usage=USAGE, *, provider="p", model="m", upstream=None):
    """One that has ended: billed, or (without usage) in a way that nobody knows."""
    made = Attempt(1, provider, model)
    made.cost, made.usage, made.upstream_request_id = cost, usage, upstream
    made.settled = Settled.UNKNOWN if usage is None else Settled.BILLED
    return made


def reply(*attempts, stream=False, headers=None):
    """One that was just answered."""
    made = Reply([Event(kind=Kind.TERMINAL)], stream=stream, headers=headers or {})
    made.attempts = attempts
    return made


def test_a_whole_answer_tells_everything():
    """Who answered, after how many attempts, for how much, under which ids."""
    shown = present.reply_headers(
        CALL, reply(attempt(0, None), attempt(1_500_000, upstream="req_up"), headers={"openai-version": "v"})
    )
    assert shown == {
        "content-type": "application/json",
        "openai-version": "v",
        "x-request-id": "req_" + "c" * 32,
        "x-headgate-cache": "off",
        "x-headgate-attempts": "2",
        "x-headgate-provider": "p",
        "x-headgate-model": "m",
        "x-headgate-upstream-request-id": "req_up",
        "x-headgate-cost-usd": "0.0000015",
    }


def test_what_the_model_did_not_get_is_told():
    """Of the last attempt, on answers, on streams, and on its failure."""
    first, last = attempt(), attempt(5)
    first.dropped, last.dropped = ("stop",), ("temperature", "reasoning.effort")
    for stream in (True, False):
        shown = present.reply_headers(CALL, reply(first, last, stream=stream))
        assert shown["x-headgate-dropped"] == "temperature,reasoning.effort"
    error = OverloadedError("Busy.")
    error.attempts = [first]
    assert present.error_answer(error, "req_1")[1]["x-headgate-dropped"] == "stop"
    assert "x-headgate-dropped" not in present.reply_headers(CALL, reply(attempt(5)))


def test_a_stream_tells_no_cost():
    """Nobody knows it yet; and no proxy on the way may hold words back."""
    shown = present.reply_headers(CALL, reply(attempt(5), stream=True))
    assert "x-headgate-cost-usd" not in shown
    assert shown["content-type"] == "text/event-stream; charset=utf-8"
    assert (shown["cache-control"], shown["x-accel-buffering"]) == ("no-cache", "no")


def test_a_simulated_answer_says_so():
    """On every answer that the simulator made, and on no other."""
    made = reply(attempt(1))
    assert "x-headgate-simulated" not in present.reply_headers(CALL, made)
    made.simulated = True
    assert present.reply_headers(CALL, made)["x-headgate-simulated"] == "1"
    refusal = OverloadedError("no")
    assert "x-headgate-simulated" not in present.error_answer(refusal, "req_1")[1]
    refusal.simulated = True
    assert present.error_answer(refusal, "req_1")[1]["x-headgate-simulated"] == "1"


def test_an_answer_of_nobody_tells_no_target():
    """A reply without attempts (one that cost nothing) names neither provider nor model."""
    shown = present.reply_headers(CALL, reply())
    assert (shown["x-headgate-attempts"], shown["x-headgate-cost-usd"]) == ("0", "0")
    assert "x-headgate-provider" not in shown


@given(st.text(), st.text(), st.text(), st.text())
def test_no_value_ends_its_line(provider, model, upstream, shown):
    """Whatever a caller or a provider has put into a name, lone surrogates included: it is printable and short."""
    made = reply(attempt(1, provider=provider, model=model, upstream=upstream), headers={"openai-version": shown})
    error = StoppingError("no")
    error.attempts = made.attempts
    for headers in (present.reply_headers(CALL, made), present.error_answer(error, "req_1")[1]):
        for value in headers.values():
            assert VALUE.fullmatch(value)
            assert len(value) <= 12 * present.LONGEST_VALUE


def test_a_line_end_is_encoded():
    """A model's name cannot add a header."""
    shown = present.reply_headers(CALL, reply(attempt(1, model="m\r\nset-cookie: a=é")))
    assert shown["x-headgate-model"] == "m%0D%0Aset-cookie: a=%C3%A9"


def test_ordinary_values_stay_as_they_are():
    """Printable ASCII is not touched, the per cent sign included."""
    assert present.plain("gpt-6 100% (x)") == "gpt-6 100% (x)"


def test_a_name_that_is_too_long_is_cut():
    """A name of a megabyte would make the head of an answer that no client reads."""
    assert present.plain("m" * 1_000_000) == "m" * present.LONGEST_VALUE


@pytest.mark.parametrize(
    ("attempts", "total"),
    [
        ([], 0),
        ([attempt(3), attempt(4)], 7),
        ([attempt(3), attempt(None)], None),
        ([attempt(3), attempt(None, None)], 3),
        ([attempt(0, None), attempt(4)], 4),
    ],
    ids=["none", "billed", "billed at a price nobody knows", "an unknown outcome", "one that was not billed"],
)
def test_the_cost_is_that_of_billed_attempts(attempts, total):
    """It is told only where every billed attempt has a price; what may have been billed is not in it."""
    assert present.total_cost(attempts) == total
    assert ("x-headgate-cost-usd" in present.reply_headers(CALL, reply(*attempts))) == (total is not None)


def test_the_trailer_tells_the_cost():
    """One comment event that every reader of server-sent events passes over."""
    assert present.trailer(reply(attempt(1_000_000), stream=True)) == (
        b': headgate {"attempts":1,"cost_usd":"0.000001"}\n\n'
    )
    assert present.trailer(reply(attempt(None))) == b': headgate {"attempts":1,"cost_usd":null}\n\n'


def test_the_list_of_models_has_the_apis_shape():
    """Each name is an object of its own; any name is JSON."""

    def offer(name):
        return Offer(name=name)

    listed = json.loads(present.model_list(map(offer, ["a", 'b"\n'])))
    assert listed["object"] == "list"
    plain = {"id": 'b"\n', "object": "model", "created": 0, "owned_by": "headgate"}
    unknown = ("shutdown_date", "successor", "context_window", "max_output_tokens", "capabilities")
    assert listed["data"][1] == {**plain, **dict.fromkeys(unknown)}
    assert json.loads(present.model(offer('b"\n'))) == listed["data"][1]


def test_what_is_known_of_a_model_is_in_the_list():
    """Beside OpenAI's own fields, and under OpenAI's own name where it has one."""
    known = Offer(
        name="fast",
        context=400_000,
        max_output=128_000,
        capabilities=frozenset({"vision", "tools"}),
        retires=date(2026, 12, 11),
        successor="gpt-5.6-sol",
    )
    assert json.loads(present.model(known)) == {
        "id": "fast",
        "object": "model",
        "created": 0,
        "owned_by": "headgate",
        "shutdown_date": "2026-12-11",
        "successor": "gpt-5.6-sol",
        "context_window": 400_000,
        "max_output_tokens": 128_000,
        "capabilities": ["tools", "vision"],
    }


def test_a_model_that_retires_says_so_in_a_header():
    """And one that stands in for another names that one; no other answer has these headers."""
    made = reply(attempt(1))
    assert not {"x-headgate-retires", "x-headgate-instead-of"} & present.reply_headers(CALL, made).keys()
    made.target = Target("p", "m", retires="2026-12-11", instead_of="old\r\nx: y")
    shown = present.reply_headers(CALL, made)
    assert shown["x-headgate-retires"] == "2026-12-11"
    assert shown["x-headgate-instead-of"] == "old%0D%0Ax: y"


def test_our_own_error_has_openais_shape():
    """Message with its hint, type, param and code; an SDK above us is told not to try again."""
    error = BadRequestError("No.", code="missing_field", param="model", hint="Say it.")
    status, headers, body = present.error_answer(error, "req_1")
    assert status == 400
    assert headers == {
        "content-type": "application/json",
        "x-request-id": "req_1",
        "x-should-retry": "false",
        "x-headgate-attempts": "0",
    }
    assert json.loads(body) == {
        "error": {
            "message": "No.\n\nhint: Say it.",
            "type": "invalid_request_error",
            "param": "model",
            "code": "missing_field",
        }
    }


def test_an_error_tells_its_attempts():
    """Who was asked last, and how often in all."""
    error = OverloadedError("Busy.", answer=Answer(503, {}, b""))
    error.attempts = [attempt(0, None), attempt(0, None, provider="q", upstream="u")]
    status, headers, _ = present.error_answer(error, "req_1")
    assert status == 502
    assert (headers["x-headgate-attempts"], headers["x-headgate-provider"]) == ("2", "q")
    assert headers["x-headgate-upstream-request-id"] == "u"


@pytest.mark.parametrize(("wait", "told"), [(None, None), (0, "0"), (0.02, "1"), (2, "2"), (1_234_567.5, "1234568")])
def test_a_wait_is_told_in_whole_seconds(wait, told):
    """`Retry-After` is a whole number, and never shorter than what the provider asked for."""
    error = RateLimitError("Slow down.", answer=Answer(429, {}, b""), retry_after=wait)
    assert present.error_answer(error, "req_1")[1].get("retry-after") == told


THEIRS = b'{"error": {"message": "their words", "extra": 1}}'
AS_JSON = {"content-type": "application/json; charset=utf-8"}


def shown(kind, status, headers, body):
    """Status and body of an error that a provider answered with."""
    found, _, told = present.error_answer(kind("ours", answer=Answer(status, headers, body)), "req_1")
    return found, told


@pytest.mark.parametrize("headers", [AS_JSON, {"content-type": "Application/JSON"}])
def test_a_providers_own_4xx_is_passed_on(headers):
    """As it came, byte for byte, with fields that we do not know."""
    assert shown(APIError, 422, headers, THEIRS) == (422, THEIRS)
    assert shown(RateLimitError, 429, headers, THEIRS) == (429, THEIRS)


@pytest.mark.parametrize(
    ("kind", "status", "headers", "body", "found"),
    [
        (AuthenticationError, 401, AS_JSON, THEIRS, 500),
        (OverloadedError, 503, AS_JSON, THEIRS, 502),
        (APIError, 404, {"content-type": "text/html"}, b"<html>", 404),
        (APIError, 400, {}, THEIRS, 400),
        (APIError, 400, AS_JSON, b"", 400),
    ],
    ids=["about our key", "5xx", "a page", "no type", "a body that was left out"],
)
def test_anything_else_is_said_in_our_words(kind, status, headers, body, found):
    """What speaks of our key, is a 5xx, is no JSON, or is empty, is not passed on."""
    told = shown(kind, status, headers, body)
    assert told[0] == found
    assert json.loads(told[1])["error"]["message"].startswith("ours")


def test_an_error_inside_a_stream_has_no_answer_to_pass_on():
    """It is said in our words, with the status that its class stands for."""
    status, _, body = present.error_answer(RateLimitError("ours"), "req_1")
    assert (status, json.loads(body)["error"]["code"]) == (429, "rate_limit_exceeded")
