"""Which part of the ledger is asked for, as people write it: on the command line, in an address.

Decides how times, dimensions and conditions are spelled; refuses to know who asks: what names a part at the door
(`--since`, `since`) is told by the door.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal

from headgate.core.clock import Clock
from headgate.core.errors import BadRequestError
from headgate.gate.values import seconds
from headgate.stores.protocols import DIMENSIONS, Query


def query(
    *,
    by: Sequence[str],
    where: Sequence[str],
    since: str | None,
    until: str | None,
    only: Literal["unknown", "exceeded"] | None,
    clock: Clock,
    called: Callable[[str], str],
) -> Query:
    """What to ask the ledger.

    Args:
        by: dimensions to group by.
        where: conditions, `NAME=VALUE`.
        since: so long ago (`24h`), or a date, UTC where it names no zone.
        until: alike; it is excluded.
        only: of the rows those that are unknown, or cost more than was held.
        clock: from when on `ago` counts.
        called: what a part is called at this door, for complaints.

    Raises:
        BadRequestError: it cannot be read, or covers no time.
    """
    for name in by:
        if not _known(name):
            hint = f"There are {', '.join(DIMENSIONS)} and tag:NAME."
            raise BadRequestError(f"Usage has no dimension {name[:80]!r}.", param="by", hint=hint)
    asked = Query(
        since=_moment(since, "since", clock, called),
        until=_moment(until, "until", clock, called),
        by=tuple(by),
        where=_conditions(where, called),
        only=only,
    )
    if asked.since is not None and asked.until is not None and asked.since >= asked.until:
        text = f"{called('until')} is not later than {called('since')}."
        raise BadRequestError(text, param="until", hint="Swap them.")
    return asked


def _known(name: str) -> bool:
    return name in DIMENSIONS or name.startswith("tag:")


def _conditions(texts: Sequence[str], called: Callable[[str], str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not _known(name):
            hint = f"Write NAME=VALUE with {', '.join(DIMENSIONS)} or tag:NAME."
            raise BadRequestError(f"{called('where')} {text[:80]!r} is no condition.", param="where", hint=hint)
        if name in found:
            hint = f"Each name can have one value; use {called('by')}."
            raise BadRequestError(f"{called('where')} names {name} twice.", param="where", hint=hint)
        found[name] = value
    return found


def _moment(text: str | None, name: str, clock: Clock, called: Callable[[str], str]) -> float | None:
    if text is None:
        return None
    try:
        if text[-1:].isalpha() and isinstance(ago := seconds(text), float):
            # Nobody keeps books from before 1970.
            return max(0.0, clock.time() - ago)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequestError(
            f"{called(name)} {text[:80]!r} is neither a duration nor a date.",
            param=name,
            hint="Write 24h, 7d, 2026-11-01 or 2026-11-01T08:00Z.",
        ) from None
    return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
