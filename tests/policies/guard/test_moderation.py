"""A moderation is a call of the gate itself, and its answer a verdict."""

import asyncio
import json

import pytest

from headgate.core.body import Body
from headgate.core.call import Call, Caller, Operation, Origin
from headgate.core.errors import GuardDownError, GuardError, OverloadedError
from headgate.core.reply import Event, Kind, Reply
from headgate.policies.guard.moderation import Moderator
from headgate.policies.guard.rules import Rule

CALL = Call(
    id="1", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0, day="2027-01-15",
    caller=Caller(key="k", project="p"), deadline=9.0,
)  # fmt: skip
RULE = Rule(kind="moderation", name="mod", model="judge")


def asked(answer, rule=RULE, words=b"Words"):
    """The verdicts, the questions, and the error."""
    told, questions, error = [], [], None

    async def answers(call):
        questions.append(call)
        if isinstance(answer, Exception):
            raise answer
        return Reply([Event(kind=Kind.TERMINAL, raw=answer)])

    try:
        asyncio.run(Moderator(CALL, answers, told.append).judge((rule,), "input", words))
    except (GuardError, GuardDownError) as found:
        error = found
    return told, questions, error


def result(**categories):
    """An answer."""
    return json.dumps({"results": [{"flagged": any(categories.values()), "categories": categories}]}).encode()


def test_the_question_is_the_callers_and_the_gates():
    """Its cost and its key are those of the call that it belongs to."""
    told, (question,), error = asked(result(hate=False))
    assert (told, error) == ([], None)
    assert (question.origin, question.parent, question.caller) == (Origin.INTERNAL, "1", CALL.caller)
    assert (question.operation, question.model, question.deadline) == (Operation.MODERATIONS, "judge", 9.0)
    assert question.id != CALL.id
    assert question.trail is not CALL.trail
    assert json.loads(question.body.raw) == {"model": "judge", "input": "Words"}


def test_what_is_flagged_is_blocked_with_its_categories():
    """Those that apply, by name."""
    told, _, error = asked(result(violence=True, hate=True, other=False))
    assert isinstance(error, GuardError)
    assert error.verdict.categories == ("hate", "violence")
    assert told == [error.verdict]
    told, _, error = asked(result(hate=True), Rule(kind="moderation", name="mod", action="flag"))
    assert error is None
    assert [(one.approved, one.action) for one in told] == [(True, "flag")]


@pytest.mark.parametrize("answer", [OverloadedError("no"), b"{}", b"nonsense", b'{"results": []}'])
def test_without_a_verdict_nothing_passes_unless_the_rule_is_open(answer):
    """An error, and an answer that says nothing, are the same."""
    assert isinstance(asked(answer)[2], GuardDownError)
    told, _, error = asked(answer, Rule(kind="moderation", name="mod", open=True))
    assert error is None
    assert told[0].approved


def test_of_nothing_nothing_is_asked():
    """Space is no text."""
    assert asked(result(), words=b" \n")[1] == []
