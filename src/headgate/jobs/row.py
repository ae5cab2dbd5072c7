"""A row of a bulk job and what became of it: the words that all lanes share.

Decides how an outcome is written down, which is a shape that scripts rely on: the Batch API's output line and a
`headgate` block. Refuses to know how rows are read, sent, and kept.
"""

from enum import StrEnum
from typing import Any

import msgspec

from headgate.core.call import Operation
from headgate.core.money import show_usd


class Lane(StrEnum):
    """How a row was answered."""

    REALTIME = "realtime"
    """At once, at the full price."""
    FLEX = "flex"
    """At once, at half the price, where the provider has room."""
    BATCH = "batch"
    """By the provider's Batch API: at half the price, within a day."""


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One question of a job.

    Attributes:
        number: its line in the input, counted from 1.
        id: the caller's name for it (`custom_id`), else `row-<number>`; unique in its input.
        operation: what is asked for.
        body: the request as it would be posted, in JSON.
    """

    number: int
    id: str
    operation: Operation
    body: bytes


class Trouble(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why a row has no answer.

    Attributes:
        code: for programs, such as `timeout` or `batch_expired`.
        message: for people.
    """

    code: str
    message: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of one row. Exactly one of `body` and `error` is there.

    Attributes:
        id, number: the row's.
        lane: how it was answered, or was to be.
        status: the HTTP status of the answer; None where none came.
        body: the answer in JSON, an error answer of the provider included.
        error: why there is no answer.
        request_id: ours for the realtime lanes, the provider's for a batch; None where nothing was asked.
        cost: picodollars of all its attempts; None where a price is not known.
        attempts: how many requests left on its behalf.
        cached: it came from the cache.
        latency_ms: of the attempt that was answered; None where that means nothing (a batch).
        error_class: the name of the error's class, such as `RateLimitError`; None exactly where the row succeeded.
        prompt_tokens, completion_tokens: what its attempts used.
    """

    id: str
    number: int
    lane: Lane
    status: int | None = None
    body: bytes | None = None
    error: Trouble | None = None
    request_id: str | None = None
    cost: int | None = 0
    attempts: int = 0
    cached: bool = False
    latency_ms: float | None = None
    error_class: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def succeeded(self) -> bool:
        """Whether the row has the answer that it asked for."""
        return self.error_class is None

    def line(self) -> bytes:
        r"""The outcome as one line of output, its line feed included.

        Example:
            >>> done = Outcome(id="a", number=1, lane=Lane.REALTIME, status=200, body=b'{"x": 1}', cost=5, attempts=1)
            >>> done.line()[:98].decode()
            '{"id":"batch_req_1","custom_id":"a","response":{"status_code":200,"request_id":null,"body":{"x": 1'
        """
        response = None if self.body is None else _Response(self.status, self.request_id, msgspec.Raw(_flat(self.body)))
        facts = _Facts(
            cost_usd=None if self.cost is None else show_usd(self.cost),
            attempts=self.attempts,
            lane=self.lane,
            cached=self.cached,
            latency_ms=self.latency_ms,
            error_class=self.error_class,
            row=self.number,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
        )
        return _ENCODER.encode(_Line(f"batch_req_{self.number}", self.id, response, self.error, facts)) + b"\n"


class _Response(msgspec.Struct, frozen=True, gc=False):
    status_code: int | None
    request_id: str | None
    body: msgspec.Raw


class _Facts(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    cost_usd: str | None
    attempts: int
    lane: Lane
    cached: bool
    latency_ms: float | None
    error_class: str | None
    row: int
    prompt_tokens: int
    completion_tokens: int


class _Line(msgspec.Struct, frozen=True, gc=False):
    id: str
    custom_id: str
    response: _Response | None
    error: Trouble | None
    headgate: _Facts


_ENCODER = msgspec.json.Encoder()


def _flat(body: bytes) -> Any:
    """JSON without line breaks: between its words there may be some, inside a text there are none."""
    return msgspec.json.format(body, indent=-1) if b"\n" in body or b"\r" in body else body
