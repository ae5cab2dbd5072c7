"""The one error table as a table: what follows from each error, a row for each class.

Decides nothing: the facts stand at the classes (`errors.py`).
"""

from collections.abc import Iterator
from typing import NamedTuple

from headgate.core.errors import HeadgateError


class Row(NamedTuple):
    """One line of the error table."""

    error: str
    status: str
    type: str
    code: str
    again: str
    onward: str
    breaker: str


def tree(root: type[HeadgateError] = HeadgateError) -> Iterator[type[HeadgateError]]:
    """Every error class, parents before children, in the order of definition."""
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


def table() -> list[Row]:
    """The error table, one row per class."""
    return [
        Row(
            error.__name__,
            "the provider's 4xx, else 502" if error.status is None else str(error.status),
            error.type,
            error.code,
            str(error.again),
            str(error.onward),
            "yes" if error.breaker else "no",
        )
        for error in tree()
    ]
