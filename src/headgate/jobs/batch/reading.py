"""What came out of a batch, read: answers, refusals of single rows, and what they came to.

Decides how a line of an output or error file becomes an outcome, and how a row is given back; pure. What cannot be read
counts as not answered.
"""

import logging
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from headgate.core.body import Body
from headgate.dialects.openai_fields import UNREADABLE
from headgate.gate.batching import Answered, Line
from headgate.jobs.batch.packing import read_id
from headgate.jobs.batch.wire import Remote
from headgate.jobs.row import Lane, Outcome, Row, Trouble
from headgate.stores.batches import BatchRecord

_log = logging.getLogger("headgate.jobs")


class Unsent(msgspec.Struct, frozen=True, kw_only=True):
    """A row that no batch has answered, and none will: it cost nothing, and may be asked in another way.

    Attributes:
        row: as it would be asked at once.
        reason: why.
    """

    row: Row
    reason: str


class Found(NamedTuple):
    """One line of what came out of a batch."""

    number: int
    name: str
    answered: Answered
    request_id: str | None


class _Response(msgspec.Struct):
    status_code: int
    body: msgspec.Raw
    request_id: str | None = None


class _Result(msgspec.Struct):
    custom_id: str
    response: _Response | None = None


_RESULT = msgspec.json.Decoder(_Result)


class Tally:
    """What the rows of a batch came to."""

    def __init__(self) -> None:
        self.answered = self.failed = self.unsent = 0
        self.cost: int | None = 0
        self.realtime: int | None = 0

    def add(self, line: Line) -> None:
        """Count an answer."""
        if line.error is None:
            self.answered += 1
        else:
            self.failed += 1
        cost, realtime = line.entry.outcome.cost, line.realtime
        self.cost = None if self.cost is None or cost is None else self.cost + cost
        self.realtime = None if self.realtime is None or realtime is None else self.realtime + realtime


def flaws_of(remote: Remote) -> tuple[Mapping[int, Trouble], Trouble | None]:
    """What a provider has against single lines of a file, and against the whole."""
    lines: dict[int, Trouble] = {}
    whole: Trouble | None = None
    for flaw in remote.flaws:
        trouble = Trouble(code=flaw.code or "invalid_request", message=flaw.message or "the provider does not say why")
        if flaw.line is not None:
            lines.setdefault(flaw.line, trouble)
        else:
            whole = trouble
    if not lines and whole is None:
        whole = Trouble(code="batch_failed", message="The batch failed, and the provider does not say why.")
    return lines, None if lines else whole


def read_any(line: bytes, user: str | None) -> Answered | None:
    """What a line of an output or error file tells, whoever named its row; None where it tells of no answer."""
    try:
        found = _RESULT.decode(line)
    except UNREADABLE:
        return None
    if found.response is None:
        return None
    return Answered(found.custom_id, found.response.status_code, bytes(found.response.body), user)


def read_result(line: bytes, users: Mapping[int, str]) -> Found | None:
    """What a line of an output or error file tells; None where it tells of no answer."""
    try:
        found = _RESULT.decode(line)
    except UNREADABLE:
        _log.warning("A line of the provider's file cannot be read; its row counts as not answered.")
        return None
    named = read_id(found.custom_id)
    if named is None or found.response is None:
        return None
    response = found.response
    answered = Answered(found.custom_id, response.status_code, bytes(response.body), users.get(named[0]))
    return Found(*named, answered, response.request_id)


def outcome_of(record: BatchRecord, read: Found, line: Line) -> Outcome:
    """The outcome of an answer."""
    told = line.entry.outcome
    return Outcome(
        id=read.name,
        number=read.number,
        lane=Lane.BATCH,
        status=read.answered.status,
        body=read.answered.body,
        request_id=read.request_id,
        cost=told.cost,
        attempts=record.round + 1,
        error_class=None if line.error is None else type(line.error).__name__,
        prompt_tokens=told.prompt_tokens,
        completion_tokens=told.completion_tokens,
    )


def refused(row: Row, trouble: Trouble) -> Outcome:
    """The outcome of a row for which the provider did not take its batch."""
    return Outcome(id=row.id, number=row.number, lane=Lane.BATCH, error=trouble, error_class="BadRequestError")


def as_asked(row: Row, model: str) -> Row:
    """A row as it would be asked at once: by the name that the job asked for."""
    return msgspec.structs.replace(row, body=Body(row.body).with_field("model", msgspec.json.encode(model)).raw)
