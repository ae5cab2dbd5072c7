"""What is put right by hand: attempts whose outcome nobody knew, and loans of processes that never came back.

Decides what such a correction changes, in SQL that both databases speak: the line, every sum that it is part of, what
its budgets have spent, and the note of who did it, all in one transaction and once. Refuses to know connections
(`sqlite.py`, `postgres.py`) and who may do it.

Every statement but the last asks whether the line is still as it was read; the last one changes it. Whoever writes
waits for whoever else does, so of two corrections the second finds nothing to do.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from headgate.core.attempt import Basis, Settled
from headgate.core.errors import BadRequestError, UnknownObjectError
from headgate.core.money import show_usd
from headgate.stores import tables, treasury
from headgate.stores.keys import Note, only_if
from headgate.stores.protocols import Statement, Tables
from headgate.stores.records import LARGEST, AttemptRow
from headgate.stores.rollups import correction
from headgate.stores.tables import Expression

_STILL = "SELECT 1 FROM attempts WHERE day = ? AND call_id = ? AND attempt = ? AND settled = 'unknown'"
_CHANGE = (
    "UPDATE attempts SET settled = ?, basis = ?, cost = ?, resolved_by = ?"
    " WHERE day = ? AND call_id = ? AND attempt = ? AND settled = 'unknown' RETURNING attempt"
)
_LOANS = "SELECT cap, span, amount FROM lent WHERE owner = ? AND amount > 0 ORDER BY cap, span"
_HAS = "SELECT 1 FROM lent WHERE owner = ? AND amount > 0"
_DIGITS = 12
"""Hexadecimal digits of an id that tell when its call began, in milliseconds."""
_DAY = 86400


class Corrections:
    """The corrections of one database.

    Args:
        database: where the lines are.
    """

    def __init__(self, database: Tables) -> None:
        self._database = database

    async def attempt(self, call: str, number: int | None = None) -> AttemptRow:
        """The attempt of a call whose outcome nobody knows.

        Args:
            call: its id, or the `request_id` that its caller was given.
            number: of the attempt; may be left out where only one is unknown.

        Raises:
            BadRequestError: that is no id, or several attempts are unknown, or none is any more.
            UnknownObjectError: there is no such attempt on the books.
            StoreError: the database cannot be asked.
        """
        name = call.removeprefix("req_")
        found = [tables.row(row) for row in await self._database.read(_lines(name))]
        if number is not None:
            found = [row for row in found if row.attempt == number]
        if not found:
            which = "" if number is None else f"attempt {number} of "
            raise UnknownObjectError(
                f"The books have no {which}call {name[:80]!r}.",
                hint="`headgate usage --rows --unknown` lists what can be resolved; a gateway books within seconds.",
            )
        unknown = [row for row in found if row.settled is Settled.UNKNOWN]
        if len(unknown) > 1:
            numbers = ", ".join(str(row.attempt) for row in unknown)
            raise BadRequestError(f"Attempts {numbers} of call {name!r} are unknown.", hint="Name one: `--attempt N`.")
        if not unknown:
            raise _known(found[-1])
        return unknown[0]

    async def resolve(self, row: AttemptRow, cost: int | None, note: Note) -> AttemptRow:
        """Settle an attempt: as billed at a cost, or (None) as not billed. Gives the line as it is now.

        Args:
            row: the line as it was found.
            cost: picodollars.
            note: who did it.

        Raises:
            BadRequestError: somebody else has resolved it, or no book has room for that cost.
            StoreError: the database cannot be told.
        """
        if cost is not None and not 0 <= cost <= LARGEST:
            raise BadRequestError(f"A cost of ${show_usd(cost)} has no room in the books.", param="cost_usd")
        after = msgspec.structs.replace(
            row,
            settled=Settled.NOT_BILLED if cost is None else Settled.BILLED,
            basis=None if cost is None else Basis.RESOLVED,
            cost=cost or 0,
            resolved_by=note.actor,
        )
        key = (row.day, row.call_id, row.attempt)
        still = Expression(_STILL, key)
        statements: list[Statement] = [*_sums(row, after, still), *_budgets(row, after, still), only_if(note, still)]
        change = (str(after.settled), None if after.basis is None else str(after.basis), after.cost, note.actor, *key)
        done = await self._database.change([*statements, Expression(_CHANGE, change)])
        if not done[-1]:
            raise _known(row)
        return after

    async def loans(self, owner: str) -> list[tuple[str, str, int]]:
        """What a process has borrowed: budget, window and picodollars of each loan.

        Raises:
            StoreError: the database cannot be asked.
        """
        return [
            (str(cap), str(span), int(amount))
            for cap, span, amount in await self._database.read(Expression(_LOANS, (owner,)))
        ]

    async def end_loans(self, owner: str, note: Note) -> None:
        """End the loans of a process that will not come back.

        Raises:
            StoreError: the database cannot be told.
        """
        await self._database.change([
            only_if(note, Expression(_HAS, (owner,))), Expression(treasury.INHERIT, (owner,)),
        ])  # fmt: skip


def details(row: AttemptRow, cost: int | None) -> Mapping[str, str | None]:
    """What a note says of a resolved attempt: what it was charged before, and what it cost."""
    return {
        "charged_usd": None if row.cost is None else show_usd(row.cost),
        "cost_usd": show_usd(cost or 0),
        "settled": Settled.NOT_BILLED if cost is None else Settled.BILLED,
    }


def _lines(call: str) -> Expression:
    """The lines of a call, found by the day that its id tells: without it all days would be looked through."""
    # A gateway asks for the time once more between the id and the day: it may be the next one.
    try:
        began = int(call[:_DIGITS], 16) / 1000 if call.isascii() and len(call) > _DIGITS else None
        days = [] if began is None else [datetime.fromtimestamp(began + n, UTC).date().isoformat() for n in (0, _DAY)]
    except (ValueError, OverflowError, OSError):
        days = []
    if not days:
        raise BadRequestError(
            f"{call[:80]!r} is no id of a call.", hint="Take `call_id` from `headgate usage --rows --unknown --json`."
        )
    return tables.lines_of(call, days)


def _known(row: AttemptRow) -> BadRequestError:
    by = f", resolved by {row.resolved_by}" if row.resolved_by else ""
    cost = "" if row.cost is None else f" (${show_usd(row.cost)})"
    # Who lost a race has seen the line as it was.
    state = "somebody has just resolved it" if row.settled is Settled.UNKNOWN else f"{row.settled}{cost}{by}"
    return BadRequestError(
        f"The outcome of attempt {row.attempt} of call {row.call_id!r} is known: {state}.",
        code="not_unknown",
        hint="Only what is unknown can be resolved, and once.",
    )


def _sums(before: AttemptRow, after: AttemptRow, still: Expression) -> list[Expression]:
    groups, sums = correction(before, after)
    return [
        *(tables.only_if(tables.INSERT_GROUP, group, still) for group in groups),
        *(tables.only_if(tables.ADD, row, still) for row in sums),
    ]


def _budgets(before: AttemptRow, after: AttemptRow, still: Expression) -> list[Expression]:
    """What its budgets have spent becomes what it cost; loans are none of it, they were used up when it was booked."""
    more = (after.cost or 0) - (before.cost or 0)
    return [tables.only_if(treasury.SPEND, (*cap, more), still) for cap in sorted(before.budgets)]
