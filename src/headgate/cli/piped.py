"""What is piped in: a text, or a text per line."""

import sys
from collections.abc import Sequence

from headgate.core.errors import BadRequestError


def text() -> str:
    """All of stdin.

    Raises:
        BadRequestError: it is not UTF-8.
    """
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise BadRequestError(
            f"What was piped in is not UTF-8 (byte {error.start}).", hint="Convert it, with `iconv` for example."
        ) from None


def lines(arguments: Sequence[str]) -> Sequence[str]:
    """The arguments, or the lines of stdin where `-` takes their place.

    Raises:
        BadRequestError: one of them is empty, or `-` is not alone.
    """
    if "-" not in arguments:
        found, what = arguments, "Text"
    elif len(arguments) == 1:
        found, what = text().splitlines(), "Line"
    else:
        raise BadRequestError("`-` stands for all texts, and there are others beside it.", hint="Pipe all of them in.")
    for place, one in enumerate(found, 1):
        if not one.strip():
            raise BadRequestError(f"{what} {place} is empty.", hint="Leave it out.")
    if not found:
        raise BadRequestError("Nothing was piped in.", hint="Pipe in one text per line.")
    return found
