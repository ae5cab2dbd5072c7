"""Covers policies/combine/group.py: room, members, errors."""

import asyncio

from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.errors import TimeoutError  # noqa: A004
from headgate.core.together import Combining
from headgate.policies.combine.group import Group, Member
from headgate.policies.combine.kinds import MOST_BYTES, MOST_OUTPUT, Part, Words


def call(name):
    """A call."""
    return Call(id=name, operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0, day="2027-01-15", trail=[])


def group(items=3):
    """An empty group."""
    return Group("key", Words(lambda text, _: len(text)), Combining(items=items, seconds=1), None)


def test_a_group_takes_so_many_so_long_texts_and_answers():
    """Whoever leaves makes room."""

    async def story():
        found = group()
        large = Part("x", None, MOST_BYTES - 10)
        talkative = Part("x", None, 1, MOST_OUTPUT - 5)
        first, second = Member(call("a"), large), Member(call("b"), talkative)
        found.add(first)
        assert found.takes(Part("x", None, 10))
        assert not found.takes(Part("x", None, 11))
        found.add(second)
        assert found.takes(Part("x", None, 1, 5))
        assert not found.takes(Part("x", None, 1, 6))
        found.remove(second)
        assert found.takes(Part("x", None, 1, 6))
        assert not found.full
        for name in "cd":
            found.add(Member(call(name), Part("x", None, 1)))
        assert found.full

    asyncio.run(story())


def test_a_result_is_handed_over_once():
    """Who has left, or has one already, gets no other."""

    async def story():
        member = Member(call("a"), Part("x", None, 1))
        member.get(None)
        member.fail(ValueError("late"))
        assert await member.answered is None
        left = Member(call("b"), Part("x", None, 1))
        left.answered.cancel()
        left.get(None)
        assert left.answered.cancelled()

    asyncio.run(story())


def test_an_error_is_a_copy_for_each():
    """With all its facts, and the attempts of each."""

    async def story():
        found = group()
        members = [Member(call(name), Part("x", None, 1)) for name in "ab"]
        for member in members:
            found.add(member)
        error = TimeoutError("late", retry_after=3.0, hint="Wait.")
        error.attempts = ["of all"]
        found.fail(error)
        copies = [member.answered.exception() for member in members]
        assert copies[0] is not copies[1]
        for member, copy in zip(members, copies, strict=True):
            assert (type(copy), copy.message, copy.retry_after, copy.hint) == (TimeoutError, "late", 3.0, "Wait.")
            assert copy.attempts is member.call.trail
            assert (copy.__cause__, str(copy), copy.__notes__) == (error, "late", ["hint: Wait."])
        assert error.attempts == ["of all"]

    asyncio.run(story())
