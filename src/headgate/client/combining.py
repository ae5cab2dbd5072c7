"""Small questions asked together: what `combine` takes, and in which order answers come.

Decides how many may wait at a time; refuses to know how questions become one call (the policy does) and what it costs.
"""

from collections.abc import Awaitable, Callable, Iterable

from headgate.client import batch
from headgate.client.options import Options
from headgate.client.response import ModelResponse
from headgate.core.errors import BadRequestError, HeadgateError
from headgate.core.together import Combining

MOST_ITEMS = 50
MOST_SECONDS = 60.0
AT_ONCE = 8
"""Groups on their way at the same time."""


def how(items: int, seconds: float) -> Combining:
    """The bounds of a group.

    Raises:
        BadRequestError: they make no sense.
    """
    if type(items) is not int or not 1 <= items <= MOST_ITEMS:
        message = f"`items` is {items!r}; it is a whole number from 1 to {MOST_ITEMS}."
        raise BadRequestError(message, param="items")
    # Written so that NaN fails it.
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MOST_SECONDS:
        message = f"`seconds` is {seconds!r}; it is a number from 0 to {MOST_SECONDS:g}."
        raise BadRequestError(message, param="seconds")
    return Combining(items=items, seconds=float(seconds))


async def all_of(
    prompts: Iterable[str], options: Options, ask: Callable[[str], Awaitable[ModelResponse]], wanted: Combining
) -> list[ModelResponse | HeadgateError]:
    """Ask all; answers and errors in the order of the prompts.

    Raises:
        BadRequestError: `prompts` is a single one, or holds what is no text.
    """
    asked = batch.checked(prompts, options)
    return await batch.all_of(asked, ask, concurrency=wanted.items * AT_ONCE, progress=False)
