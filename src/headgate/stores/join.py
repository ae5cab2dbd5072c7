"""From records to lines of the ledger: intents wait for their outcomes, attempts for the ends of their calls.

Decides what a line is made of; refuses to know where records come from and where lines go. Pure.
"""

import logging
from collections.abc import Sequence

from headgate.core.attempt import Settled
from headgate.core.call import tenant
from headgate.stores.records import CallEnd, Entry, Intent, ObjectRow, Outcome, Record, sound

_log = logging.getLogger("headgate.stores")


class _Going:
    """A call that has not ended: its attempts, open and settled, and where its first record lies."""

    __slots__ = ("booked", "end", "open", "position", "settled")

    def __init__(self, position: int) -> None:
        self.position = position
        self.open: dict[int, Intent] = {}
        self.settled: list[Entry] = []
        # So many of the settled ones are booked without the end.
        self.booked = 0
        self.end: CallEnd | None = None


class Join:
    """Makes lines of records.

    A line is booked as soon as its attempt is settled, and once more, with the end of its call, when that is known.

    Attributes:
        ended: lines of calls that have ended, to be booked.
        objects: what attempts have made, to be booked.
        orphans: outcomes and ends whose intent was never seen, though it should have been.
    """

    def __init__(self, *, whole: bool = True) -> None:
        """Begin. `whole` says that the records come from the very beginning of their journal."""
        self._whole = whole
        self._calls: dict[str, _Going] = {}
        self.ended: list[Entry] = []
        self.objects: list[ObjectRow] = []
        self.orphans = 0

    def feed(self, record: Record, position: int) -> None:
        """Take one record; `position` is where it, or the page that it came in, lies in the journal."""
        call = self._calls.get(record.call_id)
        if isinstance(record, Intent):
            if call is None:
                call = self._calls[record.call_id] = _Going(position)
            call.open[record.attempt] = record
        elif isinstance(record, Outcome):
            intent = call.open.pop(record.attempt, None) if call is not None else None
            if call is None or intent is None:
                self._orphan(record)
                return
            call.settled.append(Entry(intent, record))
            if record.made:
                self.objects.extend(_objects(intent, record.made))
            if not call.open and (call.end is not None or intent.parent is not None):
                self._finish(record.call_id, call)
        elif record.intent is not None:
            self.ended.append(_never_left(record, record.intent))
        elif call is None:
            self._orphan(record)
        else:
            call.end = record
            if not call.open:
                self._finish(record.call_id, call)

    def _finish(self, call_id: str, call: _Going) -> None:
        del self._calls[call_id]
        for entry in call.settled:
            self.ended.append(Entry(entry.intent, entry.outcome, call.end))

    def _orphan(self, record: Outcome | CallEnd) -> None:
        # Else its intent lay in a piece of journal that is booked and deleted, and so was this booked.
        if self._whole:
            self.orphans += 1
            _log.error("The journal holds an outcome or an end without its intent: %r", record)

    def abandon(self) -> None:
        """Nothing more will come: settle what is open, end what goes on."""
        for call_id, call in list(self._calls.items()):
            last = max((*call.open, *(entry.intent.attempt for entry in call.settled)))
            for intent in call.open.values():
                unknown = Outcome(
                    call_id=call_id,
                    attempt=intent.attempt,
                    settled=Settled.UNKNOWN,
                    # Whoever set a sum aside said then what such an end is charged.
                    cost=None if intent.held is None else intent.held.if_unknown,
                    error_type="crashed",
                )
                call.settled.append(Entry(intent, unknown))
            if call.end is None and call.settled[0].intent.parent is None:
                call.end = CallEnd(call_id=call_id, attempts=last, error_type="crashed")
            self._finish(call_id, call)

    def due(self) -> Sequence[Entry]:
        """The lines to be booked now: of calls that have ended, and of settled attempts whose calls go on."""
        early = [entry for call in self._calls.values() for entry in call.settled[call.booked :]]
        # A new list: a cancelled booking may still be reading the old one in its thread.
        return [*self.ended, *early]

    def sift(self) -> int:
        """Pass over what no ledger could book, so that it does not stand in the way of what follows it: how much."""
        bad = [entry for entry in self.due() if not _sound(entry)]
        for entry in bad:
            _log.error("No ledger could book this: %r", entry)
        if bad:
            self.ended = list(filter(_sound, self.ended))
            for call in self._calls.values():
                call.settled[call.booked :] = filter(_sound, call.settled[call.booked :])
        return len(bad)

    def booked(self) -> None:
        """What was due, and `objects`, is in the ledger."""
        self.ended = []
        self.objects = []
        for call in self._calls.values():
            call.booked = len(call.settled)

    def needed(self, read: int) -> int:
        """The position from which on records are still needed, if everything before `read` was fed."""
        return min((call.position for call in self._calls.values()), default=read)


def _sound(entry: Entry) -> bool:
    return sound(entry.intent) and sound(entry.outcome) and (entry.end is None or sound(entry.end))


def _objects(intent: Intent, made: Sequence[str]) -> list[ObjectRow]:
    owner, provider = tenant(intent.project, intent.key), intent.provider or ""
    return [
        ObjectRow(id=name, tenant=owner, provider=provider, call_id=intent.call_id, time=intent.time) for name in made
    ]


def _never_left(end: CallEnd, intent: Intent) -> Entry:
    # A call without attempts has a line of its own, so that every call is seen among the rows.
    outcome = Outcome(
        call_id=end.call_id,
        attempt=intent.attempt,
        settled=Settled.NOT_BILLED,
        cost=0,
        status=end.status,
        error_type=end.error_type,
        latency_ms=end.latency_ms,
        first_token_ms=end.first_token_ms,
    )
    return Entry(intent, outcome, end)
