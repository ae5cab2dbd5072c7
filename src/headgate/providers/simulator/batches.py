"""The Batch API: what becomes of a file of requests in the course of a day, on a clock that can be compressed.

Decides what a batch is at any moment, which of its rows are answered by then, and what its output files hold. Nothing
runs in the background: whoever asks brings it up to date, in the order in which things happened. How a row is answered
is not known here.

A life: `validating` → `failed`, or `in_progress` → `finalizing` → `completed`; at the end of its window `expired`;
after a cancellation `cancelling` → `cancelled`. What was answered by then is in the output files, and is charged.
"""

from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from math import inf
from typing import Any, Protocol

import msgspec

from headgate.core.clock import Clock
from headgate.core.usage import TokenUsage
from headgate.providers.simulator.batch_input import Checked, NewBatch, Row, check_rows
from headgate.providers.simulator.batch_input import Fault as Wrong
from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.paging import page
from headgate.providers.simulator.problem import Problem, scripted
from headgate.providers.simulator.settings import Batch
from headgate.providers.simulator.shelf import Shelf

_encode = msgspec.json.encode
_UNANSWERED = {
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "cancelled": ("batch_cancelled", "This request could not be executed before the batch was cancelled."),
}


class Answered(msgspec.Struct, frozen=True):
    """What a row was answered.

    Attributes:
        status: HTTP status.
        request_id: as in the answer's `x-request-id`.
        body: JSON.
        usage: tokens that were served.
    """

    status: int
    request_id: str
    body: bytes
    usage: TokenUsage = TokenUsage()


class Answerer(Protocol):
    """Somebody who answers rows."""

    def __call__(self, endpoint: str, body: bytes, refusal: Problem | None) -> Answered:
        """Answer a row and charge for it; a refusal is given instead of the answer, and is not charged."""
        ...


class _Batch:
    """One batch. Times are seconds since 1970."""

    def __init__(self, name: str, asked: NewBatch, created: float, life: Batch) -> None:
        self.id = name
        self.asked = asked
        self.created = created
        self.status = "validating"
        self.begins = created + life.seconds * life.validating
        self.finalizes = max(self.begins, created + life.seconds * (1 - life.finalizing))
        self.ends = max(self.finalizes, created + life.seconds)
        self.expires = created + life.window
        self.stops = inf
        self.stopping = life.seconds * life.finalizing
        self.at: dict[str, float] = {}
        self.rows: list[Row] = []
        self.model: str | None = None
        self.errors: tuple[Wrong, ...] | list[Wrong] = ()
        self.done = self.tokens = 0
        self.good: list[bytes] = []
        self.bad: list[bytes] = []
        self.usage = TokenUsage()
        self.files: dict[str, str] = {}

    def enter(self, status: str, when: float) -> None:
        """Be something else from a time on."""
        self.status = status
        self.at[status] = when

    def over(self) -> bool:
        """Nothing will happen any more."""
        return self.status in ("failed", "completed", "expired", "cancelled")


class Batches:
    """All batches."""

    def __init__(
        self,
        *,
        clock: Clock,
        seed: int,
        life: Batch,
        shelf: Shelf,
        answer: Answerer,
        known: Callable[[str], bool],
        weigh: Callable[[str, bytes], int],
    ) -> None:
        """Make the batches of an account.

        Args:
            clock: tells the time.
            seed: equal seeds give equal names, orders and failures.
            life: how long everything takes, and what fails.
            shelf: where the files are.
            answer: answers a row.
            known: whether there is a model of a name.
            weigh: how many tokens of input a row has.
        """
        self._clock = clock
        self._seed = seed
        self._life = life
        self._shelf = shelf
        self._answer = answer
        self._known = known
        self._weigh = weigh
        self._batches: dict[str, _Batch] = {}
        self._open: dict[str, _Batch] = {}

    def begin(self, asked: NewBatch) -> dict[str, Any]:
        """Begin a batch. Whether its file can be used is found out while it is validated."""
        key = blake2b(b"batch %d %d" % (self._seed, len(self._batches) + 1), digest_size=16).hexdigest()
        batch = _Batch(f"batch_{key}", asked, self._clock.time(), self._life)
        self._batches[batch.id] = self._open[batch.id] = batch
        return _tell(batch)

    def tell(self, name: str) -> dict[str, Any]:
        """A batch's object, as of now.

        Raises:
            Problem: 404; there is none.
        """
        return _tell(self._find(name))

    def listed(self, wish: Mapping[str, str]) -> dict[str, Any]:
        """A page of the batches' objects, newest first.

        Raises:
            Problem: 400; the wish cannot be read.
        """
        self.settle()
        wish = {name: wish[name] for name in ("limit", "after") if name in wish}
        known = self._clock.time() - self._life.listing
        return page([_tell(batch) for batch in self._batches.values() if batch.created <= known], wish)

    def cancel(self, name: str) -> dict[str, Any]:
        """Stop a batch.

        Raises:
            Problem: 404 or 409; there is none, or it is over.
        """
        batch = self._find(name)
        if batch.status in ("failed", "completed", "expired"):
            raise Problem(409, f"Cannot cancel a batch with status '{batch.status}'.")
        if batch.status not in ("cancelling", "cancelled"):
            batch.stops = self._clock.time()
            batch.enter("cancelling", batch.stops)
            self._advance(batch, batch.stops)
        return _tell(batch)

    def settle(self) -> None:
        """Let everything happen that has happened by now, and charge for it."""
        if not self._open:
            return
        now = self._clock.time()
        for batch in tuple(self._open.values()):
            self._advance(batch, now)

    def _find(self, name: str) -> _Batch:
        self.settle()
        batch = self._batches.get(name)
        if batch is None:
            raise Problem(404, f"No batch found with id '{name}'.")
        return batch

    def _advance(self, batch: _Batch, now: float) -> None:
        """Let time pass for a batch, one change after the other."""
        last = min(batch.stops, batch.expires)
        if batch.status == "validating" and now >= batch.begins and batch.begins <= last:
            self._validate(batch)
        if batch.at.get("in_progress") is not None and batch.done < len(batch.rows):
            self._work(batch, min(now, last))
        if batch.status == "in_progress" and now >= batch.finalizes and batch.finalizes <= last:
            batch.enter("finalizing", batch.finalizes)
        if batch.status == "finalizing" and now >= batch.ends and batch.ends <= last:
            self._end(batch, "completed", batch.ends)
        if batch.status == "cancelling" and now >= batch.stops + batch.stopping:
            self._end(batch, "cancelled", batch.stops + batch.stopping)
        if not batch.over() and batch.status != "cancelling" and now >= batch.expires:
            self._end(batch, "expired", batch.expires)

    def _validate(self, batch: _Batch) -> None:
        checked = self._check(batch)
        batch.model, batch.errors = checked.model, tuple(checked.errors) or self._crowded(batch, checked)
        if batch.errors:
            batch.enter("failed", batch.begins)
            del self._open[batch.id]
            return
        batch.enter("in_progress", batch.begins)
        batch.rows = Dice(f"order {self._seed} {batch.id}".encode()).shuffled(checked.rows)

    def _check(self, batch: _Batch) -> Checked:
        name = batch.asked.input_file_id
        try:
            file = self._shelf.find(name)
        except Problem:
            message = f"Cannot find file {name}, or organization org-simulator does not have access to it."
            return Checked((), None, (Wrong("invalid_request", message, "file_id"),))
        if file.purpose != "batch":
            message = f"File {name} has the purpose '{file.purpose}', but a batch needs one with the purpose 'batch'."
            return Checked((), None, (Wrong("invalid_request", message, "file_id"),))
        return check_rows(file.content, batch.asked.endpoint, self._known)

    def _crowded(self, batch: _Batch, checked: Checked) -> tuple[Wrong, ...]:
        """Whether a batch has more tokens than its model may have enqueued, beside those that run."""
        most = self._life.tokens
        if most is None:
            return ()
        batch.tokens = sum(self._weigh(batch.asked.endpoint, row.body) for row in checked.rows)
        running = (other for other in self._open.values() if other.model == checked.model and other.rows)
        if batch.tokens + sum(other.tokens for other in running) <= most:
            return ()
        message = (
            f"Enqueued token limit reached for {checked.model} in organization org-simulator. Limit: {most:,} enqueued "
            "tokens. Please try again once some in_progress batches have been completed."
        )
        return (Wrong("token_limit_exceeded", message),)

    def _work(self, batch: _Batch, now: float) -> None:
        """Answer the rows that are due: evenly spread over the time for them."""
        share = 1.0 if now >= batch.finalizes else (now - batch.begins) / (batch.finalizes - batch.begins)
        due = int(len(batch.rows) * share)
        while batch.done < due:
            self._row(batch, batch.rows[batch.done])
            batch.done += 1

    def _row(self, batch: _Batch, row: Row) -> None:
        refusal = None
        if self._life.failing and Dice(f"row {self._seed} {batch.id} {row.custom_id}".encode()).share() < (
            self._life.failing
        ):
            refusal = scripted(self._life.status, code=None, type=None, retry_after=None)
        answered = self._answer(batch.asked.endpoint, row.body, refusal)
        response = {
            "status_code": answered.status,
            "request_id": answered.request_id,
            "body": msgspec.Raw(answered.body),
        }
        line = _line(batch, row, response, None)
        if answered.status < 400:
            batch.good.append(line)
            batch.usage = batch.usage + answered.usage
        else:
            batch.bad.append(line)

    def _end(self, batch: _Batch, status: str, when: float) -> None:
        batch.enter(status, when)
        del self._open[batch.id]
        bad = batch.bad
        if status in _UNANSWERED:
            code, message = _UNANSWERED[status]
            error = {"code": code, "message": message}
            bad = [*bad, *(_line(batch, row, None, error) for row in batch.rows[batch.done :])]
        for kind, lines in (("output", batch.good), ("error", bad)):
            if lines:
                file = self._shelf.put(
                    "batch_output",
                    f"{batch.id}_{kind}.jsonl",
                    (b"".join(lines),),
                    seconds=batch.asked.output_seconds,
                    created_at=int(when),
                )
                batch.files[kind] = file.id


def _line(batch: _Batch, row: Row, response: object, error: object) -> bytes:
    key = blake2b(f"{batch.id} {row.custom_id}".encode(), digest_size=16).hexdigest()
    return _encode({"id": f"batch_req_{key}", "custom_id": row.custom_id, "response": response, "error": error}) + b"\n"


def _tell(batch: _Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.asked.endpoint,
        "model": batch.model,
        "errors": {"object": "list", "data": batch.errors} if batch.errors else None,
        "input_file_id": batch.asked.input_file_id,
        "completion_window": "24h",
        "status": batch.status,
        "output_file_id": batch.files.get("output"),
        "error_file_id": batch.files.get("error"),
        "created_at": int(batch.created),
        "expires_at": int(batch.expires),
        **dict(_times(batch)),
        "request_counts": {
            "total": len(batch.rows),
            "completed": len(batch.good),
            "failed": len(batch.bad),
        },
        "usage": _usage(batch.usage),
        "metadata": batch.asked.metadata,
    }


def _times(batch: _Batch) -> Iterator[tuple[str, int | None]]:
    for status in ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"):
        when = batch.at.get(status)
        yield f"{status}_at", None if when is None else int(when)


def _usage(usage: TokenUsage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
