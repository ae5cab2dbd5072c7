"""Words for calls that travel together as one: who they are, and what each of them weighs.

Decides nothing. A call that was put together is the gate's own; what it costs is split among those that it was made of.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from headgate.core.call import Call


class Combining(msgspec.Struct, frozen=True, kw_only=True):
    """How calls are put together.

    Attributes:
        items: so many questions make one call.
        seconds: how long the first of them waits for the others.
        inputs: the same as `items`, for embeddings.
    """

    items: int = 10
    seconds: float = 2.0
    inputs: int = 2048


class Together(msgspec.Struct, frozen=True, kw_only=True):
    """What a call was put together from.

    Attributes:
        calls: the calls, each with its caller, its books and its budgets.
        asked: what each weighs in the input.
        said: what each weighs in the output, from the words of the whole answer. Never fails, whatever they are.
        left: ids of the calls whose callers have left since. It grows.
    """

    calls: "tuple[Call, ...]"
    asked: tuple[int, ...]
    said: Callable[[str], Sequence[int]]
    left: set[str] = msgspec.field(default_factory=set)
