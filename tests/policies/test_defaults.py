"""Covers policies/defaults.py: a provider's own parameters."""

import asyncio

import pytest

from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.reply import Event, Kind, Reply
from headgate.core.upload import Form, Part
from headgate.policies.defaults import DEFAULTED, Defaults


def passed(body, operation=Operation.CHAT, **defaults):
    """The call that goes in, and the one that the next handler gets."""
    seen = []

    async def following(call):
        seen.append(call)
        return Reply([Event(kind=Kind.TERMINAL)])

    async def story():
        async with await Defaults(defaults)(call, following):
            pass

    call = Call(id="c", operation=operation, model="m", body=body, started=0.0, day="2026-11-20")
    asyncio.run(story())
    return call, seen[0]


def test_defaults_are_added_where_they_lack():
    """A parameter that the caller sends stays as it is, an explicit null too; other bytes are not touched."""
    raw = b'{"model":"m","messages":[],"seed":null,"top_p":0.25, "big":1e999}'
    _, now = passed(Body(raw), top_p=1, seed=7, temperature=0.5, user="us")
    assert now.body.raw == b'{"temperature":0.5,"user":"us",' + raw[1:]


def test_a_request_that_lacks_nothing_is_passed_on_itself():
    """The call is the same object."""
    call, now = passed(Body(b'{"temperature":1}'), temperature=0)
    assert now is call


@pytest.mark.parametrize("operation", sorted(DEFAULTED))
def test_defaults_are_for_questions(operation):
    """Of each operation that asks a model for words."""
    assert passed(Body(b"{}"), operation, temperature=0)[1].body.raw == b'{"temperature":0}'


def test_defaults_are_for_questions_only():
    """They are no fields of a form, nor of an embedding."""
    form = Form([Part("model", b"", b"m")], "b")
    for body, operation in ((form, Operation.TRANSCRIPTIONS), (Body(b'{"input":"x"}'), Operation.EMBEDDINGS)):
        call, now = passed(body, operation, temperature=0)
        assert now is call
