"""What a journal wrote last, kept as it was before it became bytes, so that nobody needs to read and decode it.

Decides how much is kept; refuses to know files. It is a shortcut and never the truth: whatever it does not have is read
from the files, and what a dead process left is read from them always. It has only what was written completely.
"""

from collections import deque
from collections.abc import Sequence

from headgate.stores.records import Record
from headgate.stores.segments import PAGE, Page

MOST = 8 * 1024 * 1024
"""Bytes in the journal whose records are kept, at most: some ten thousand calls, and twice that in memory."""


class Recent:
    """The last records of one journal, in pages, each given away once.

    Args:
        most: bytes in the journal whose records are kept.
    """

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._keeping = True
        self._pages: deque[tuple[int, list[Record]]] = deque()
        self._records: list[Record] = []
        self._first = self._start = self._end = 0

    def add(self, records: Sequence[Record], start: int, end: int) -> None:
        """Keep records that lie between two positions."""
        if not self._keeping:
            return
        if start != self._end or end - self._first > self._most:
            # Something is missing before it, or it is too much.
            self.restart(end, keep=False)
            return
        if start - self._start >= PAGE:
            self.turn()
        self._records.extend(records)
        self._end = end

    def turn(self) -> None:
        """Begin a new page."""
        if self._records:
            self._pages.append((self._end, self._records))
        self._records = []
        self._start = self._end

    def take(self, position: int) -> Page | None:
        """The records that begin at a position, if they are here."""
        if position != self._first:
            return None
        if not self._pages:
            self.turn()
        if not self._pages:
            return None
        end, records = self._pages.popleft()
        self._first = end
        return Page(records, end)

    def restart(self, position: int, *, keep: bool) -> None:
        """Forget everything; keep what is written from a position on, or nothing."""
        self._pages.clear()
        self._records = []
        self._first = self._start = self._end = position
        self._keeping = keep
