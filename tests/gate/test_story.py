"""What became of one request, in one line."""

import logging

import msgspec
import pytest

from headgate.core.attempt import Attempt, Settled
from headgate.core.body import Body
from headgate.core.call import Call, Caller, Operation
from headgate.core.usage import TokenUsage
from headgate.core.verdict import Verdict
from headgate.gate import story
from headgate.stores.records import CallEnd

CALLER = Caller(key="web", project="team-a")


def _call(**facts) -> Call:
    facts = {"model": "gpt-6-luna", "user": "anna", "caller": CALLER, "tags": {"team": "a"}, **facts}
    return Call(id="01", operation=Operation.CHAT, body=Body(b"{}"), started=0.0, day="2026-11-21", **facts)


def _failed(number=1) -> Attempt:
    attempt = Attempt(number, "openai", "gpt-6-luna")
    attempt.settled, attempt.status, attempt.error_type = Settled.NOT_BILLED, 503, "server_is_overloaded"
    attempt.latency_ms, attempt.cost = 12.5, 0
    return attempt


def _billed(number=2) -> Attempt:
    attempt = Attempt(number, "backup", "gpt-5.6-luna")
    attempt.settled, attempt.status, attempt.cost = Settled.BILLED, 200, 1_500_000
    attempt.usage = TokenUsage(prompt_tokens=9, completion_tokens=3)
    attempt.latency_ms, attempt.upstream_request_id = 700.0, "req_up\n"
    return attempt


END = CallEnd(call_id="01", attempts=2, status=200, latency_ms=1712.3)


def test_a_call_tells_its_attempts():
    """In order, with what became of each, and the sums."""
    call = _call()
    call.trail.extend((_failed(), _billed()))
    told = story.of_call(call, END)
    assert str(told) == (
        "req_01 200 chat gpt-6-luna key=web 1712ms 9+3 tokens $0.0000015"
        " | 1 openai/gpt-6-luna not_billed server_is_overloaded 12ms | 2 backup/gpt-5.6-luna billed 200 700ms"
    )
    facts = msgspec.to_builtins(told)
    assert (facts["key"], facts["project"], facts["user"], facts["tags"]) == ("web", "team-a", "anna", {"team": "a"})
    assert [one["settled"] for one in facts["attempts"]] == ["not_billed", "billed"]
    assert facts["attempts"][1]["upstream_request_id"] == "req_up\\x0a"
    assert "first_token_ms" not in facts


def test_what_nobody_knows_is_not_told():
    """No cost where none is known; a refusal by the guard names its rules once each."""
    call = _call(user=None, tags={}, caller=Caller())
    verdict = Verdict(approved=False, reason="r", rule="urgency", layer="patterns", side="input", action="block")
    call.verdicts.extend((verdict, verdict))
    told = story.of_call(call, CallEnd(call_id="01", attempts=0, status=400, error_type="content_blocked", cache="off"))
    assert str(told) == "req_01 400 chat gpt-6-luna content_blocked guard=input:urgency"
    assert told.cost_usd is None


def test_texts_of_strangers_are_plain_and_short():
    """No second line, no order to a terminal, no end."""
    told = story.of_call(_call(model="a\n\x1b[2J\u2028" + "b" * 9999), END)
    assert told.model.startswith("a\\x0a\\x1b[2J\\x2028b")
    assert len(told.model) < 300
    told = story.of_request("req_1", 404, "unknown_url", "GET\n", "/v1/" + "x" * 9999)
    assert str(told).startswith("req_1 404 GET\\x0a /v1/xxx")
    assert "\n" not in str(told)


@pytest.mark.parametrize(
    ("status", "level"),
    [(200, logging.INFO), (401, logging.INFO), (429, logging.INFO), (500, logging.WARNING), (None, logging.WARNING)],
)
def test_how_severe_it_is(status, level):
    """A warning where it failed on our side, or behind."""
    assert story.level(status) == level


def test_who_listens_is_told(caplog):
    """Through `logging`; nothing is put together where nobody listens."""
    with caplog.at_level(logging.WARNING, story.CALLS.name):
        story.tell_call(_call(), END)
        story.tell_call(_call(), msgspec.structs.replace(END, status=502))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.records[0].getMessage().startswith("req_01 502 chat")
    assert isinstance(caplog.records[0].msg, story.Story)
