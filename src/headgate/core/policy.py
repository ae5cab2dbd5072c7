"""The one shape of the house.

Handler = Call -> awaitable Reply
Policy  = (Call, next: Handler) -> awaitable Reply
Gate    = compose(policies in order, provider as last handler)
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
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
        last = partial(_apply, policy, last)
    return last


def _apply(policy: Policy, following: Handler, call: Call) -> Awaitable[Reply]:
    return policy(call, following)
