"""One row through the gate: from a question to what is known of its answer.

Decides how a reply and an error become an outcome, in the Batch API's words where it has some; refuses to know when a
row is asked and how often (`patience.py`).
"""

from collections.abc import Mapping

import msgspec

from headgate.core.attempt import Settled
from headgate.core.call import NO_TAGS, Call
from headgate.core.errors import APIError, AuthenticationError, BadRequestError, HeadgateError
from headgate.core.reply import Reply
from headgate.dialects.openai_fields import UNREADABLE
from headgate.gate.gate import Gate
from headgate.jobs.row import Lane, Outcome, Row, Trouble


class Asked:
    """One row, and all that was done for it so far.

    Attributes:
        row: it.
        attempts: requests that left.
        cost: picodollars of those that were billed; None where a price is not known.
        limited: rate limits that were met.
    """

    __slots__ = ("_call", "_completion", "_prompt", "attempts", "cost", "limited", "row")

    def __init__(self, row: Row) -> None:
        self.row = row
        self.attempts = self.limited = 0
        self.cost: int | None = 0
        self._prompt = self._completion = 0
        self._call: Call | None = None

    async def once(self, gate: Gate, *, left: float | None = None, tags: Mapping[str, str] = NO_TAGS) -> Outcome:
        """Ask once.

        Args:
            gate: is asked.
            left: seconds after which the answer is of no use.
            tags: of the call, for the books.

        Raises:
            HeadgateError: there is no answer.
        """
        row = self.row
        call = self._call = gate.call(row.operation, row.body, tags=tags, timeout=left, unsupported="drop")
        if call.stream:
            message = "The row asks for a stream; answers in a file are whole."
            raise BadRequestError(message, param="stream", hint="Leave `stream` out.")
        try:
            reply = await gate(call)
            try:
                event = await reply.read()
            finally:
                await reply.close()
        finally:
            self._note(call)
        return self._outcome(status=reply.status, body=_whole(event.raw), cached=_cached(reply))

    def failed(self, error: HeadgateError) -> Outcome:
        """What becomes of the row when it is asked no more."""
        name = type(error).__name__
        answer = error.answer if isinstance(error, APIError) and not isinstance(error, AuthenticationError) else None
        if answer is not None and _is_object(answer.body):
            return self._outcome(status=answer.status, body=answer.body, error_class=name)
        return self._outcome(error=Trouble(code=error.code, message=error.message), error_class=name)

    def _note(self, call: Call) -> None:
        for attempt in call.trail:
            self.attempts += 1
            self.limited += attempt.status == 429
            if attempt.usage is not None:
                self._prompt += attempt.usage.prompt_tokens
                self._completion += attempt.usage.completion_tokens
            if attempt.settled is Settled.BILLED:
                self.cost = None if self.cost is None or attempt.cost is None else self.cost + attempt.cost

    def _outcome(
        self,
        *,
        status: int | None = None,
        body: bytes | None = None,
        error: Trouble | None = None,
        error_class: str | None = None,
        cached: bool = False,
    ) -> Outcome:
        call = self._call
        last = call.trail[-1] if call is not None and call.trail else None
        return Outcome(
            id=self.row.id,
            number=self.row.number,
            lane=Lane.FLEX if last is not None and last.service_tier == "flex" else Lane.REALTIME,
            status=status,
            body=body,
            error=error,
            request_id=None if call is None else call.request_id,
            cost=self.cost,
            attempts=self.attempts,
            cached=cached,
            latency_ms=None if last is None else last.latency_ms,
            error_class=error_class,
            prompt_tokens=self._prompt,
            completion_tokens=self._completion,
        )


def _cached(reply: Reply) -> bool:
    return reply.cache in {"hit", "coalesced"}


def _whole(body: bytes) -> bytes:
    """An answer's bytes as UTF-8: one stray byte in a text must not spoil the file that it goes into."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            return body.decode(errors="replace").encode()
    return body


def _is_object(body: bytes) -> bool:
    try:
        body.decode()
        return isinstance(msgspec.json.decode(body), dict)
    except UNREADABLE:
        return False
