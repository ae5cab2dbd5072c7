"""One try at one target, and what the books say of it.

An attempt is opened before anything leaves and settled exactly once. It is the only mutable record of the house:
the provider notes what happened on it, the budget policy settles it, everybody else reads.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from headgate.core.usage import TokenUsage

_NONE: Mapping[str, str] = MappingProxyType({})
"""The headers of an answer that did not come."""


class Settled(StrEnum):
    """How an attempt ended, in the eyes of an accountant."""

    BILLED = "billed"
    """It cost money: reported by the provider, or counted by us."""
    NOT_BILLED = "not_billed"
    """It failed before the request was fully written, or was answered with an error status."""
    UNKNOWN = "unknown"
    """Nobody can tell: the worst case stands until somebody resolves it."""


class Basis(StrEnum):
    """Where the figures of a billed attempt come from."""

    REPORTED = "reported"
    """The provider said so."""
    COUNTED = "counted"
    """We counted bytes: the stream was cut or cancelled, or the answer carried no usage."""
    RESOLVED = "resolved"
    """Nobody knew, and somebody looked it up: `headgate usage resolve`."""


class Attempt:
    """One try at one target.

    Attributes:
        number: 1 for the first attempt of a call; 0 for a call that never left.
        provider, model: the target as the configuration names it, and the model asked of it.
        dropped: names of parameters that were left out or changed, because the model does not take them.
        clamped: the output cap that it got because a budget was short; None where it was not.
        sent: the request was written completely.
        status: the HTTP status that the provider answered with, if any.
        headers: those of the provider's answer, lower-case; empty before it came.
        upstream_request_id: the provider's own `x-request-id`.
        model_served, service_tier: what the answer says of itself.
        made: ids of the objects that the answer made at the provider (`resp_…`, `file-…`, `batch_…`).
        settled, basis, usage: the outcome; `settled` is None while the attempt is open.
        cost: picodollars; None where the price is not known.
        price_table: which table priced it.
        error_type: `HeadgateError.code` of the failure, if it failed.
        latency_ms, first_token_ms: from the start of the attempt to its end and to its first substantive event.
    """

    __slots__ = (
        "basis",
        "clamped",
        "cost",
        "dropped",
        "error_type",
        "first_token_ms",
        "headers",
        "latency_ms",
        "made",
        "model",
        "model_served",
        "number",
        "price_table",
        "provider",
        "sent",
        "service_tier",
        "settled",
        "status",
        "upstream_request_id",
        "usage",
    )

    def __init__(self, number: int, provider: str, model: str, dropped: tuple[str, ...] = ()) -> None:
        self.number = number
        self.provider = provider
        self.model = model
        self.dropped = dropped
        self.clamped: int | None = None
        self.sent = False
        self.status: int | None = None
        self.headers: Mapping[str, str] = _NONE
        self.upstream_request_id: str | None = None
        self.model_served: str | None = None
        self.service_tier: str | None = None
        self.made: tuple[str, ...] = ()
        self.settled: Settled | None = None
        self.basis: Basis | None = None
        self.usage: TokenUsage | None = None
        self.cost: int | None = None
        self.price_table: str | None = None
        self.error_type: str | None = None
        self.latency_ms: float | None = None
        self.first_token_ms: float | None = None

    def __repr__(self) -> str:
        return f"<Attempt {self.number} {self.provider}/{self.model} {self.settled or 'open'}>"
