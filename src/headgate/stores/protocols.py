"""What a store must be able to do, said once; a contract suite runs over every implementation.

The journal is written on the hot path and must never wait; the ledger is asked by people and fed by the drain.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from headgate.stores.money import Money
from headgate.stores.records import AttemptRow, CallEnd, Entry, Intent, ObjectRow, Outcome, Owner

DIMENSIONS = ("model", "provider", "key", "project", "user", "operation", "day")
"""What usage can be grouped by; `tag:NAME` as well."""


class Journal(Protocol):
    """The append-only book of one process. Methods are synchronous: a record is a single short write."""

    def intent(self, record: Intent) -> None:
        """Write down that an attempt is about to leave.

        Raises:
            BacklogError: the backlog limit is reached; the call must not be made.
        """
        ...

    def outcome(self, record: Outcome) -> None:
        """Write down how an attempt ended."""
        ...

    def call(self, record: CallEnd) -> None:
        """Write down how a call ended; one that never left is passed over while no intent would be taken."""
        ...

    def health(self) -> Mapping[str, Any]:
        """How it does: `error` is None, or says why it cannot be written; `backlog_bytes`, where it is a file."""
        ...


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the ledger is asked for.

    Attributes:
        since, until: seconds since 1970 UTC; `until` is excluded; None for no bound.
        by: dimensions to group by, of `DIMENSIONS` or `tag:NAME`.
        where: exact matches on dimensions.
        only: of the rows those whose outcome nobody knows, or that cost more than was held for them; sums have all.
    """

    since: float | None = None
    until: float | None = None
    by: tuple[str, ...] = ()
    where: Mapping[str, str] = {}
    only: Literal["unknown", "exceeded"] | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over a part of the ledger; money in picodollars.

    `calls` counts calls of callers, each where it ended: with its last attempt. `attempts` counts those that left.
    `cost` is of known price and excludes `unknown_cost`, what unresolved attempts would cost at worst where that is
    known. `unpriced_attempts` were billed at an unknown price. `saved_tokens` are those that compression has left
    out of billed attempts, `cache_saved` what calls did not cost that the cache answered.
    """

    group: Mapping[str, str | None] = {}
    calls: int = 0
    attempts: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: int = 0
    unknown_attempts: int = 0
    unknown_cost: int = 0
    unpriced_attempts: int = 0
    cache_hits: int = 0
    saved_tokens: int = 0
    cache_saved: int = 0


Statement = tuple[str, tuple[Any, ...]]
"""SQL that both databases speak, and the values for its marks."""


class Tables(Protocol):
    """A database that other books lie in, too: keys, and what was done by hand."""

    async def read(self, statement: Statement) -> Sequence[Sequence[Any]]:
        """The rows that a question has.

        Raises:
            StoreError: the database cannot be asked.
        """
        ...

    async def change(self, statements: Sequence[Statement]) -> Sequence[Sequence[Sequence[Any]]]:
        """Do all of it or nothing, one after the other with whoever else writes; gives the rows of each.

        Raises:
            StoreError: the database cannot be told.
        """
        ...


class Ledger(Money, Tables, Protocol):
    """The books, by calls and attempts, and what they leave of each budget."""

    async def book(self, entries: Sequence[Entry], objects: Sequence[ObjectRow] = ()) -> None:
        """Book lines in one transaction.

        A line whose day, call and attempt are booked already is passed over, but for the end of its call where that was
        not known yet. An object whose id is booked already stays with its first owner.
        """
        ...

    async def owners(self, ids: Sequence[str]) -> Mapping[str, Owner]:
        """Whose objects these are; what is not booked is not among them, and nobody's. Ids are ASCII.

        Raises:
            StoreError: the store cannot be asked.
        """
        ...

    async def inherit(self, owner: str) -> None:
        """End the loans of a process of which everything is booked; see `money.Money`.

        Raises:
            StoreError: the store cannot be told.
        """
        ...

    async def usage(self, query: Query) -> tuple[Usage, list[Usage]]:
        """The total, and one entry per group (none without `by`), dearest first."""
        ...

    def rows(self, query: Query) -> AsyncIterator[AttemptRow]:
        """The attempts, oldest first, read in pages."""
        ...

    async def health(self) -> Mapping[str, Any]:
        """`{"status": "ok" | "down", "kind": …, "error": …}`; never raises."""
        ...

    async def close(self) -> None:
        """Give everything back."""
        ...
