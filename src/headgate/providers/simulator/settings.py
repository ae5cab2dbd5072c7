"""What a simulator can be told: how slow it is, what it allows, what goes wrong.

The same field names as the configuration's sections `latency`, `limits` and `faults`; that schema is not known here.
All durations are seconds.
"""

from typing import Annotated, Literal

import msgspec

FaultKind = Literal[
    "status",
    "reset",
    "silence",
    "slow_first_token",
    "cut",
    "stall",
    "malformed",
    "error_event",
    "no_done",
    "wrong_usage",
    "no_usage",
    "missing_item",
    "unfit",
]

AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How slow the simulator is.

    Attributes:
        first_token: seconds until the first token.
        per_token: seconds for each further token.
        jitter: share (0 to 1) by which both vary.
    """

    first_token: float = 0.0
    per_token: float = 0.0
    jitter: float = 0.0


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the simulated account may do, per model. None does not limit.

    Attributes:
        requests_per_minute: calls a minute.
        tokens_per_minute: input and output tokens a minute, together.
        input_tokens_per_minute, output_tokens_per_minute: the same, apart.
        concurrency: calls at the same time.
        group: any name: all models share one set of limits.
        headers: answers say what is left, and refusals when to come back. Many servers are silent about both.
    """

    requests_per_minute: AtLeastOne | None = None
    tokens_per_minute: AtLeastOne | None = None
    input_tokens_per_minute: AtLeastOne | None = None
    output_tokens_per_minute: AtLeastOne | None = None
    concurrency: AtLeastOne | None = None
    group: str | None = None
    headers: bool = True


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """How long a simulated day is: the life of a batch on a compressed clock.

    Attributes:
        seconds: from its creation to its completion.
        validating: share (0 to 1) of it before the first row is answered.
        finalizing: share of it after the last row was answered; a cancelled batch takes as long to stop.
        window: seconds after which a batch expires, which the API calls 24 hours.
        failing: share of the rows that fail.
        status: the HTTP status that they fail with.
        listing: seconds until a new batch stands in lists; by its id it is found at once.
        tokens: of input that the batches of a model may have enqueued at once; one that would exceed them fails. None
            for any number.
    """

    seconds: Annotated[float, msgspec.Meta(ge=0)] = 2.0
    validating: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    finalizing: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    window: Annotated[float, msgspec.Meta(gt=0)] = 86_400.0
    failing: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 500
    listing: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    tokens: AtLeastOne | None = None


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scripted fault. Which calls meet it is decided by the seed and the call's number.

    In a stream each kind does what its name says at `after_tokens`. A whole answer is treated in kind: `cut` and
    `stall` come in the middle of its body, `malformed` breaks its JSON, `error_event` is an error answer with
    `status`, `slow_first_token` and `silence` delay it, and `no_done` changes nothing.

    Attributes:
        kind: what goes wrong. `reset` breaks the connection before the head; `silence` keeps quiet for `delay` before
            the head and then answers; `error_event` with `code: content_filter` ends the answer at `after_tokens`
            with the finish reason `content_filter`, streamed or whole.
        rate: share of the calls that meet it.
        model: only calls for this model.
        times: only the first so many of the calls that would meet it.
        status: the HTTP status, for `status`.
        code, type: of the error, for `status` and `error_event`.
        retry_after: seconds, for `status`: sent as `retry-after` (rounded up) and `retry-after-ms` (exact).
        after_tokens: tokens sent before it, for faults inside an answer; at most the whole answer.
        delay: seconds, for `silence`, `slow_first_token` and `stall`.
    """

    kind: FaultKind
    rate: float = 1.0
    model: str | None = None
    times: int | None = None
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 503
    code: str | None = None
    type: str | None = None
    retry_after: float | None = None
    after_tokens: Annotated[int, msgspec.Meta(ge=0)] = 0
    delay: Annotated[float, msgspec.Meta(ge=0)] = 3600.0
