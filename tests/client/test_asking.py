"""Covers client/asking.py: from the arguments of the Python door to what travels."""

import asyncio
import json

import pytest

from headgate.client.asking import call, written
from headgate.core.call import Operation
from headgate.core.errors import BadRequestError
from headgate.gate.gate import Gate
from headgate.gate.load import load


def asked(prompt, options, more=None, *, responses=True):
    """The call, in front of a simulator that has Responses or not."""

    async def story():
        provider = {"type": "simulator", "responses": responses}
        settings = {
            "store": "memory://",
            "providers": {"p": provider},
            "models": {"*": {"targets": [{"provider": "p"}]}},
        }
        async with await Gate.open(load(None, environment={}, settings=settings).config) as gate:
            return await call(gate, prompt, {"model": "gpt-6-luna", **options}, more or {})

    return asyncio.run(story())


@pytest.mark.parametrize(
    ("options", "responses", "operation"),
    [
        ({}, True, Operation.RESPONSES), ({}, False, Operation.CHAT), ({"stop": "."}, True, Operation.CHAT),
        ({"seed": 1}, True, Operation.CHAT),
    ],
)  # fmt: skip
def test_which_api_is_asked(options, responses, operation):
    """Responses where all targets have it and the options can be said there."""
    assert asked("Hi", options, responses=responses).operation is operation


def test_what_the_gate_keeps_does_not_travel():
    """Tags, the deadline, the priority; further options of ours do travel."""
    found = asked("Hi", {"tags": {"team": "a"}, "timeout": 5, "priority": 9, "user": "u"}, {"stream": True})
    assert json.loads(found.body.raw) == {
        "model": "gpt-6-luna", "stream": True, "input": "Hi", "store": False, "user": "u",
    }  # fmt: skip
    assert (found.tags, found.priority, found.deadline - found.started, found.unsupported) == (
        {"team": "a"},
        9,
        5,
        "drop",
    )


@pytest.mark.parametrize(
    ("prompt", "options"), [(None, {}), ("Hi", {"messages": [{"role": "user", "content": "Hi"}]}), ("Hi", {"what": 1})]
)
def test_what_cannot_be_asked(prompt, options):
    """Nothing, both, or an option that does not exist."""
    with pytest.raises(BadRequestError):
        asked(prompt, options)


def test_what_cannot_be_written():
    """It is told why."""
    with pytest.raises(BadRequestError, match="cannot be written as JSON"):
        written({"temperature": object()})
