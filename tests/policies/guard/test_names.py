"""The names that a call goes by: nothing is written down that is not judged."""

import asyncio

import msgspec
import pytest

from headgate.core.body import Body
from headgate.core.call import Call, Caller, Operation, Origin
from headgate.core.errors import GuardError
from headgate.core.reply import Event, Kind, Reply
from headgate.policies.guard.names import Names
from headgate.policies.guard.rules import Chains, Rule

MASK = Rule(kind="words", name="name", words=("anna",), action="mask")
BLOCK = Rule(kind="words", name="bad", words=("bad",))
ASKS = Rule(kind="moderation", name="mod")
TEAM = Caller(tags={"team": "anna"})


def passed(*rules, **fields):
    """A call, and what goes on of it."""
    below = []

    async def last(call):
        below.append(call)
        return Reply([Event(kind=Kind.TERMINAL)])

    named = {"model": "m", "user": None, "tags": {}, **fields}
    call = Call(id="1", operation=Operation.CHAT, body=Body(b'{"a": "bad"}'), started=0, day="2027-01-15", **named)

    async def story():
        await Names(Chains({"input": rules, "output": []}))(call, last)

    try:
        asyncio.run(story())
    except GuardError:
        return call, None
    return call, below[0]


def test_names_are_masked_for_whoever_writes_them_down():
    """Model, end user and tags; but a key's own tags are not its caller's words."""
    tags = {"team": "anna", "for anna": "anna b"}
    call, after = passed(MASK, model="anna-1", user="Anna", tags=tags, caller=TEAM)
    assert (after.model, after.user, after.tags) == (
        "[name]-1", "[name]", {"team": "anna", "for [name]": "[name] b"},
    )  # fmt: skip
    assert (call.shown.model, call.shown.user, call.shown.tags) == (after.model, after.user, after.tags)
    assert [(one.rule, one.action) for one in call.verdicts] == [("name", "mask")]


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"model": "bad", "user": "u", "tags": {"t": "v"}}, ("", None, {})),
        ({"user": "so bad"}, ("m", None, {})),
        ({"user": "u", "tags": {"team": "anna", "x": "bad"}, "caller": TEAM}, ("m", None, {"team": "anna"})),
    ],
)
def test_what_is_blocked_is_not_shown(fields, shown):
    """Nor what was not judged by then."""
    call, after = passed(MASK, BLOCK, **fields)
    assert after is None
    assert (call.shown.model, call.shown.user, call.shown.tags) == shown


def test_a_call_that_has_nothing_to_hide_is_the_same_call():
    """Its body is somebody else's business, nobody is asked, and the gate's own calls are not judged."""
    call, after = passed(MASK, BLOCK, ASKS, user="u", tags={"t": "v"})
    assert after is call
    assert (call.shown.model, call.shown.user, call.shown.tags) == ("m", "u", {"t": "v"})
    call, after = passed(BLOCK, user="bad", origin=Origin.INTERNAL)
    assert after is call
    assert call.shown is call
    call, after = passed(msgspec.structs.replace(BLOCK, models=frozenset(("x",))), user="bad")
    assert after is call
