"""Lists as the API hands them out: a page at a time, with a cursor.

Decides how a query is read and what a page looks like; refuses to know what is listed.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from headgate.providers.simulator.problem import Problem, invalid, mistyped, too_large, too_small


def asked(query: str) -> dict[str, str]:
    """The fields of a query; of a field that stands there twice, the last.

    Example:
        >>> asked("limit=2&after=file-1")
        {'limit': '2', 'after': 'file-1'}
    """
    return dict(parse_qsl(query, keep_blank_values=True))


def whole_number(wish: Mapping[str, str], name: str) -> int | None:
    """A whole number of a query; None if it is not there.

    Raises:
        Problem: 400; it is none.
    """
    text = wish.get(name)
    if text is None:
        return None
    if not text.removeprefix("-").isdecimal() or len(text) > 18:
        raise mistyped(name, "expected an integer, but got a string instead")
    return int(text)


def true_or_false(wish: Mapping[str, str], name: str, *, usual: bool) -> bool:
    """A truth value of a query.

    Raises:
        Problem: 400; it is none.
    """
    text = wish.get(name)
    if text is None:
        return usual
    if text not in ("true", "false"):
        raise mistyped(name, "expected a boolean, but got a string instead")
    return text == "true"


def page(
    objects: Sequence[dict[str, Any]], wish: Mapping[str, str], *, usual: int = 20, most: int = 100
) -> dict[str, Any]:
    """One page of a list.

    Args:
        objects: all of them, oldest first, each with its `id`.
        wish: what was asked for: `limit`, `order`, `after`.
        usual: how many, where no `limit` is given.
        most: how many at most.

    Raises:
        Problem: 400; a field cannot be read, or there is nothing of the id `after`.

    Example:
        >>> page([{"id": "a"}, {"id": "b"}], {"limit": "1"})
        {'object': 'list', 'data': [{'id': 'b'}], 'first_id': 'b', 'last_id': 'b', 'has_more': True}
    """
    limit = whole_number(wish, "limit")
    if limit is None:
        limit = usual
    if limit < 1:
        raise too_small("limit", limit, 1)
    if limit > most:
        raise too_large("limit", limit, most)
    order = wish.get("order", "desc")
    if order not in ("asc", "desc"):
        raise invalid("order", order, ["asc", "desc"])
    rows = list(objects) if order == "asc" else list(reversed(objects))
    after = wish.get("after")
    if after is not None:
        at = next((at for at, row in enumerate(rows) if row["id"] == after), None)
        if at is None:
            message = f"Invalid 'after': there is no object with the id '{after}'."
            raise Problem(400, message, code="invalid_value", param="after")
        rows = rows[at + 1 :]
    shown = rows[:limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(rows) > limit,
    }
