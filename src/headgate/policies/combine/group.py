"""Those who wait for one call: who they are, what each of them gets, and who has left.

Decides nothing of when a group goes and what is asked (`combine.py`).
"""

import asyncio
from typing import Any

from headgate.core.call import Call
from headgate.core.errors import HeadgateError
from headgate.core.policy import Handler
from headgate.core.reply import Reply
from headgate.core.together import Combining
from headgate.policies.combine.kinds import MOST_OUTPUT, Kind_, Part


class Member:
    """One who waits.

    Attributes:
        call: what is asked.
        part: the part of it that is asked together.
        answered: its reply; None says to ask alone.
    """

    __slots__ = ("answered", "call", "part")

    def __init__(self, call: Call, part: Part) -> None:
        self.call = call
        self.part = part
        self.answered: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()

    def get(self, reply: Reply | None) -> None:
        """Hand over the reply, or say to ask alone."""
        if not self.answered.done():
            self.answered.set_result(reply)

    def fail(self, error: BaseException) -> None:
        """Hand over an error."""
        if not self.answered.done():
            self.answered.set_exception(error)


class Group:
    """Some who wait together.

    Attributes:
        key: what they have in common.
        kind: of their operation.
        next: whom to ask.
        seconds: how long the first one waits.
        members: who waits, first come first.
        left: ids of the calls of those who have left since the group went.
        timer: runs while the group may grow.
        task: asks for them, once the group has gone.
    """

    def __init__(self, key: object, kind: Kind_, how: Combining, following: Handler) -> None:
        self.key = key
        self.kind = kind
        self.next = following
        self.seconds = how.seconds
        self.members: list[Member] = []
        self.left: set[str] = set()
        self.timer: asyncio.Task[Any] | None = None
        self.task: asyncio.Task[Any] | None = None
        self._most = kind.most(how)
        self._size = self._output = 0

    def takes(self, part: Part) -> bool:
        """Whether there is room for one more."""
        return self._size + part.size <= self.kind.most_bytes and self._output + part.output <= MOST_OUTPUT

    def add(self, member: Member) -> None:
        """One more waits."""
        self.members.append(member)
        self._size += member.part.size
        self._output += member.part.output

    def remove(self, member: Member) -> None:
        """One does not wait any more, and nothing was asked yet."""
        self.members.remove(member)
        self._size -= member.part.size
        self._output -= member.part.output

    @property
    def full(self) -> bool:
        """Whether it has as many as it may."""
        return len(self.members) >= self._most

    def fail(self, error: BaseException) -> None:
        """Everybody who still waits gets the error, each a copy: it says what was tried for whom."""
        for member in self.members:
            if not member.answered.done():
                member.fail(_own(error, member.call))


def _own(error: BaseException, call: Call) -> BaseException:
    """The error as one caller gets it."""
    if not isinstance(error, HeadgateError):
        return error
    # Not `copy.copy`, which would ask its class to make a new one, of arguments that nobody knows here.
    own = type(error).__new__(type(error), *error.args)
    own.__dict__.update(error.__dict__)
    own.attempts = call.trail
    own.__cause__ = error
    return own
