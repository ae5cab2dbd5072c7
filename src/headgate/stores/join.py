"""From records to rows: intents wait for their outcomes, calls for their ends.

Decides what a row is made of; refuses to know where records come from and where rows go. Pure.
"""

import logging
from collections.abc import Sequence

import msgspec

from headgate.core.attempt import Settled
from headgate.stores.records import AttemptRow, CallEnd, CallFacts, CallRow, Intent, ObjectRow, Outcome, Record

_log = logging.getLogger("headgate.stores")


class Join:
    """Makes rows of records.

    Attributes:
        calls, attempts, objects: complete rows that wait to be booked.
        orphans: outcomes whose intent was never seen, though it should have been.
    """

    def __init__(self, *, whole: bool = True) -> None:
        """Begin. `whole` says that the records come from the very beginning of their journal."""
        self._whole = whole
        self.calls: list[CallRow] = []
        self.attempts: list[AttemptRow] = []
        self.objects: list[ObjectRow] = []
        self.orphans = 0
        self._open: dict[tuple[str, int], tuple[Intent, int]] = {}
        self._going: dict[str, tuple[Intent, int]] = {}

    def feed(self, record: Record, position: int) -> None:
        """Take one record; `position` is where it, or the page that it came in, lies in the journal."""
        if isinstance(record, Intent):
            self._open[record.call_id, record.attempt] = (record, position)
            if record.parent is None:
                # The latest attempt, at the place of the first.
                _, first = self._going.get(record.call_id, (record, position))
                self._going[record.call_id] = (record, first)
        elif isinstance(record, Outcome):
            found = self._open.pop((record.call_id, record.attempt), None)
            if found is not None:
                self.attempts.append(_attempt_row(found[0], record))
                if record.made:
                    self.objects.extend(_object_rows(found[0], record.made))
            elif self._whole:
                self.orphans += 1
                _log.error("The journal holds an outcome without its intent: %r", record)
            # Else its intent lay in a piece that is booked and deleted, and so was the outcome booked.
        else:
            self._going.pop(record.call_id, None)
            self.calls.append(_call_row(record))
            if not record.attempts:
                self.attempts.append(_never_left(record))

    def abandon(self) -> None:
        """Nothing more will come: settle what is open."""
        for intent, _ in self._open.values():
            settled = Outcome(
                call_id=intent.call_id, attempt=intent.attempt, settled=Settled.UNKNOWN, error_type="crashed"
            )
            self.attempts.append(_attempt_row(intent, settled))
        for intent, _ in self._going.values():
            self.calls.append(_crashed(intent))
        self._open = {}
        self._going = {}

    def booked(self) -> None:
        """The rows that were complete are in the ledger."""
        # New lists: a cancelled booking may still be reading the old ones in its thread.
        self.calls = []
        self.attempts = []
        self.objects = []

    def needed(self, read: int) -> int:
        """The position from which on records are still needed, if everything before `read` was fed."""
        waiting = [position for _, position in self._open.values()]
        waiting += [position for _, position in self._going.values()]
        return min(waiting, default=read)


def _attempt_row(intent: Intent, outcome: Outcome) -> AttemptRow:
    return AttemptRow(
        call_id=intent.call_id,
        attempt=intent.attempt,
        day=intent.day,
        time=intent.time,
        operation=intent.operation,
        model_requested=intent.model_requested,
        stream=intent.stream,
        key=intent.key,
        project=intent.project,
        user=intent.user,
        tags=intent.tags,
        provider=intent.provider,
        model=intent.model,
        model_served=outcome.model_served,
        service_tier=outcome.service_tier,
        settled=outcome.settled,
        basis=outcome.basis,
        prompt_tokens=outcome.prompt_tokens,
        completion_tokens=outcome.completion_tokens,
        cached_tokens=outcome.cached_tokens,
        cache_write_tokens=outcome.cache_write_tokens,
        reasoning_tokens=outcome.reasoning_tokens,
        cost=outcome.cost,
        price_table=outcome.price_table,
        status=outcome.status,
        error_type=outcome.error_type,
        latency_ms=outcome.latency_ms,
        first_token_ms=outcome.first_token_ms,
    )


def _object_rows(intent: Intent, made: Sequence[str]) -> list[ObjectRow]:
    return [
        ObjectRow(id=name, tenant=intent.tenant, provider=intent.provider, call_id=intent.call_id, time=intent.time)
        for name in made
    ]


def _never_left(end: CallEnd) -> AttemptRow:
    # A call without attempts has a line of its own, so that every call is seen among the rows.
    return AttemptRow(
        call_id=end.call_id,
        attempt=0,
        day=end.day,
        time=end.time,
        operation=end.operation,
        model_requested=end.model_requested,
        stream=end.stream,
        key=end.key,
        project=end.project,
        user=end.user,
        tags=end.tags,
        provider=None,
        model=None,
        settled=Settled.NOT_BILLED,
        cost=0,
        status=end.status,
        error_type=end.error_type,
        latency_ms=end.latency_ms,
        first_token_ms=end.first_token_ms,
    )


def _call_row(end: CallEnd) -> CallRow:
    return CallRow(**msgspec.structs.asdict(end))


def _crashed(last: Intent) -> CallRow:
    facts = {name: getattr(last, name) for name in CallFacts.__struct_fields__}
    return CallRow(**facts, attempts=last.attempt, error_type="crashed")
