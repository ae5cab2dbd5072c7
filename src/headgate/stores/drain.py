"""The drain: from the journal into the ledger, exactly once.

Decides when records are booked and when a piece of journal may be deleted; refuses to know files and SQL. The journal
is read in the order of writing; what is complete (`join.py`) is booked in batches. A piece of journal goes when
everything in it is booked and nothing in it is still waited for, oldest first. So a crash at any point leaves records
that are booked already, never loses ones that are not, and the ledger passes over what it has by its key.

What a dead process left is adopted by whoever starts next: its open attempts become `unknown`, its open calls
`crashed`.
"""

import asyncio
import logging
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from typing import Any, Protocol

from headgate.core.clock import Clock
from headgate.core.errors import ConfigError, StoreError
from headgate.stores.join import Join
from headgate.stores.protocols import Ledger
from headgate.stores.segments import DeadJournal, Page

BATCH = 4000
"""Lines that are booked in one transaction, about."""
LONGEST_WAIT = 30.0
"""Seconds between two tries while the ledger is away, at most."""
_log = logging.getLogger("headgate.stores")


class Spool(Protocol):
    """What the drain needs of a journal; `journal.py` has both kinds."""

    token: str

    def open(self) -> None: ...  # noqa: D102  told in `journal.py`, as are the others
    def flush(self) -> None: ...  # noqa: D102
    def read(self, after: int) -> Page: ...  # noqa: D102
    def release(self, *, booked: int, needed: int) -> None: ...  # noqa: D102
    def dead(self) -> Generator[DeadJournal, None, None]: ...  # noqa: D102
    def close(self, *, needed: int) -> None: ...  # noqa: D102
    def health(self) -> Mapping[str, Any]: ...  # noqa: D102


class Drain:
    """Books what the journal holds. One per process, beside its journal.

    Args:
        journal: this process's own; its folder is where dead ones are looked for.
        ledger: where rows go.
        clock: waits between two rounds.
        interval: seconds between two rounds of `run`.
    """

    def __init__(self, journal: Spool, ledger: Ledger, clock: Clock, *, interval: float = 1.0) -> None:
        self._journal = journal
        self._ledger = ledger
        self._clock = clock
        self._interval = interval
        self._lock = asyncio.Lock()
        self._adopted = False
        self._bad = 0
        self._orphans = 0
        self._error: str | None = None
        self._begin()

    def _begin(self) -> None:
        self._token = self._journal.token
        self._join = Join()
        self._fed = self._booked = 0

    async def adopt(self) -> None:
        """Open journal and ledger, book what dead processes left in the folder, and delete it.

        A ledger that is away stops nobody: it is logged, and `run` tries again.

        Raises:
            ConfigError: the journal's folder, or the ledger, cannot be used as it is configured.
        """
        try:
            await self._adopt_all()
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001  the files stay where they are
            self._error = f"{type(error).__name__}: {error}"
            _log.exception("What an earlier process left cannot be booked now; it will be tried again.")

    async def _adopt_all(self) -> None:
        self._journal.open()
        # Nothing to book yet: a store that cannot be used is known before the first call.
        await self._ledger.book(())
        with closing(self._journal.dead()) as dead:
            for journal in dead:
                await self._adopt(journal)
        self._adopted = True

    async def _adopt(self, journal: DeadJournal) -> None:
        join = Join(whole=journal.whole)
        position = bad = 0
        while True:
            page = journal.read(position)
            if page.end == position:
                break
            for record in page.records:
                join.feed(record, position)
            await self._book(join)
            bad += page.bad
            position = page.end
        self._bad += bad
        self._orphans += join.orphans
        join.abandon()
        await self._book(join)
        # Everything that it spent is booked: what it had borrowed besides is nobody's.
        await self._ledger.inherit(journal.token)
        journal.discard()

    async def once(self) -> None:
        """Book everything that is complete by now.

        Raises:
            Exception: what the journal or the ledger raises; nothing is lost by it, the next round goes on from there.
        """
        async with self._lock:
            try:
                if self._token != self._journal.token:
                    # The first record was written, or the process was forked: another journal, from its beginning.
                    self._begin()
                written = self._flush()
                if self._fed > self._booked:
                    # A round that failed left rows: they go before anything else is read.
                    await self._settle()
                while True:
                    more = self._feed()
                    if not more or len(self._join.ended) >= BATCH:
                        await self._settle()
                    if not more:
                        break
                    await self._clock.sleep(0)
                if not written:
                    # What was booked has been deleted, so there may be room now.
                    self._journal.flush()
            except Exception as error:
                self._error = f"{type(error).__name__}: {error}"
                raise
            self._error = None

    def _flush(self) -> bool:
        """Have written what is owed; False if the disk is full, which must not stop the booking that empties it."""
        try:
            self._journal.flush()
        except OSError:
            return False
        return True

    def _feed(self) -> bool:
        """Read one page; False at the end."""
        page = self._journal.read(self._fed)
        for record in page.records:
            self._join.feed(record, self._fed)
        more = page.end > self._fed
        self._fed = page.end
        self._bad += page.bad
        return more

    async def _settle(self) -> None:
        """Book what was fed, and let go of the journal before it."""
        fed = self._fed
        await self._book(self._join)
        self._booked = fed
        self._journal.release(booked=fed, needed=self._join.needed(fed))

    async def _book(self, join: Join) -> None:
        due = join.due()
        if due:
            try:
                await self._ledger.book(due, join.objects)
            except Exception:
                self._bad += join.sift()
                raise
            join.booked()

    async def run(self) -> None:
        """Book for ever, every `interval` seconds; ever more rarely while that fails. The caller owns the task."""
        wait = self._interval
        while True:
            try:
                if not self._adopted:
                    await self._adopt_all()
                await self.once()
            except Exception:  # noqa: BLE001  whatever it is, the journal keeps the records and the next round tries again
                if wait == self._interval:
                    _log.exception("The books cannot be kept at the moment; the journal keeps what was spent.")
                wait = min(2 * wait, LONGEST_WAIT)
            else:
                wait = self._interval
            await self._clock.sleep(wait)

    async def finish(self) -> None:
        """Book the rest and close the journal. What cannot be booked stays on disk, for the next process to adopt."""
        try:
            await self.once()
        except Exception:  # noqa: BLE001  closing goes on; the records are on disk
            _log.exception("The books could not be closed; the next start goes on from the journal.")
        async with self._lock:
            done = self._fed == self._booked
            if done and not self._join.needed(self._booked) < self._booked:
                with suppress(StoreError):
                    await self._ledger.inherit(self._token)
            self._journal.close(needed=self._join.needed(self._booked) if done else 0)

    def health(self) -> Mapping[str, Any]:
        """The journal's own health, and `bad_lines`, `orphans` (records without their intents) and the last `error`.

        `status` is `ok` while the last round of booking was good and everything could be written.
        """
        found = dict(self._journal.health())
        found["bad_lines"] = self._bad
        found["orphans"] = self._orphans + self._join.orphans
        found["error"] = self._error or found["error"]
        return {"status": "failing" if found["error"] else "ok", **found}
