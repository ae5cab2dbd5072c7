"""The one shape of the house.

Handler = Call -> awaitable Reply
Policy  = (Call, next: Handler) -> awaitable Reply
Gate    = compose(policies in order, provider as last handler)
"""

from collections.abc import Awaitable, Callable, Sequence
from types import FunctionType, MethodType
from typing import Protocol

from headgate.core.call import Call
from headgate.core.reply import Reply

Handler = Callable[[Call], Awaitable[Reply]]


class Policy(Protocol):
    """One rule. It may answer, refuse, change the call, ask `next` any number of times, and watch the reply."""

    def __call__(self, call: Call, next: Handler, /) -> Awaitable[Reply]:  # noqa: A002  the field's word
        """Handle one call."""
        ...


def compose(policies: Sequence[Policy], last: Handler) -> Handler:
    """Hang policies in front of a handler; the first one is the outermost."""
    for policy in reversed(policies):
        last = _before(policy, last)
    return last


def _before(policy: Policy, following: Handler) -> Handler:
    # A function calls a function or a method without leaving the interpreter; an object, only by a detour.
    handle = policy if isinstance(policy, (FunctionType, MethodType)) else policy.__call__

    def apply(call: Call) -> Awaitable[Reply]:
        return handle(call, following)

    return apply
