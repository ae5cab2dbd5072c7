"""How a reply or an error is shown to whoever speaks HTTP: headers and bodies, the same at every door.

Used by the server and by `http_client()`. Decides what may be seen; refuses to know how bytes are sent. Whatever stands
in a header from here is printable ASCII, so that no door needs to look again.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from headgate.core.attempt import Attempt, Settled
from headgate.core.call import Call
from headgate.core.errors import APIError, AuthenticationError, HeadgateError, TooFastError
from headgate.core.money import show_usd
from headgate.core.reply import Reply
from headgate.core.verdict import told
from headgate.dialects.openai_errors import error_object
from headgate.gate.offers import Offer

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"
LONGEST_VALUE = 256
"""Characters of a name that a header shows; clients refuse heads that are too long."""

# Every printable ASCII character but the per cent sign itself.
_PLAIN = "".join(chr(n) for n in range(0x20, 0x7F) if chr(n) != "%")

_encode = msgspec.json.Encoder().encode


def reply_headers(call: Call, reply: Reply) -> dict[str, str]:
    """The headers of an answer. The cost is only known, and so only told, when the answer is whole."""
    headers = {"content-type": EVENTS if reply.stream else JSON}
    shown = "".join(reply.headers.values())
    if len(shown) <= LONGEST_VALUE and shown.isascii() and shown.isprintable():
        # What is plain and short together is so one by one.
        headers.update(reply.headers)
    else:
        headers.update((name, plain(value)) for name, value in reply.headers.items())
    headers["x-request-id"] = call.request_id
    if reply.stream:
        headers["cache-control"] = "no-cache"
        headers["x-accel-buffering"] = "no"
    headers["x-headgate-cache"] = reply.cache
    _tell_attempts(headers, reply.attempts)
    if reply.simulated:
        headers["x-headgate-simulated"] = "1"
    if call.verdicts:
        headers["x-headgate-guard"] = plain(told(call.verdicts))
    target = reply.target
    if target is not None and target.retires is not None:
        headers["x-headgate-retires"] = target.retires
    if target is not None and target.instead_of is not None:
        headers["x-headgate-instead-of"] = plain(target.instead_of)
    if not reply.stream and (cost := total_cost(reply.attempts)) is not None:
        headers["x-headgate-cost-usd"] = show_usd(cost)
    return headers


def total_cost(attempts: Sequence[Attempt]) -> int | None:
    """Picodollars of all billed attempts; None when the price of one of them is not known.

    What attempts whose outcome is unknown may have cost is not in it: the ledger has that apart.
    """
    total = 0
    for attempt in attempts:
        if attempt.settled is Settled.BILLED:
            if attempt.cost is None:
                return None
            total += attempt.cost
    return total


def model_list(offers: Iterable[Offer]) -> bytes:
    """The body of `GET /v1/models`."""
    return _encode({"object": "list", "data": [_model(offer) for offer in offers]})


def model(offer: Offer) -> bytes:
    """The body of `GET /v1/models/{id}`."""
    return _encode(_model(offer))


def statement(facts: Mapping[str, Any]) -> bytes:
    """The body of `GET /v1/usage`."""
    return _encode(facts)


def _model(offer: Offer) -> dict[str, object]:
    return {
        "id": offer.name,
        "object": "model",
        # A name of the gateway was made by nobody at no time; clients want the fields all the same.
        "created": 0,
        "owned_by": "headgate",
        "shutdown_date": None if offer.retires is None else offer.retires.isoformat(),
        "successor": offer.successor,
        "context_window": offer.context,
        "max_output_tokens": offer.max_output,
        "capabilities": None if offer.capabilities is None else sorted(offer.capabilities),
    }


def trailer(reply: Reply) -> bytes:
    """The comment event at the end of a stream, for a caller who asked for it: `: headgate {…}`."""
    cost = total_cost(reply.attempts)
    facts = {"attempts": len(reply.attempts), "cost_usd": None if cost is None else show_usd(cost)}
    return b": headgate " + _encode(facts) + b"\n\n"


def error_answer(error: HeadgateError, request_id: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for an error before the first byte.

    A provider's own 4xx speaks to the caller and is passed on as it came; everything else is said in OpenAI's shape.
    """
    headers = {"content-type": JSON, "x-request-id": request_id}
    if isinstance(error, TooFastError):
        # The caller's own limit: to come back later is just what is wanted.
        headers.update(error.headers)
    else:
        headers["x-should-retry"] = "false"
    _tell_attempts(headers, error.attempts)
    if error.retry_after is not None:
        # Whole seconds, as HTTP has it; never earlier than what was asked for.
        headers["retry-after"] = str(math.ceil(error.retry_after))
    if isinstance(error, APIError) and error.simulated:
        headers["x-headgate-simulated"] = "1"
    answer = error.answer if isinstance(error, APIError) and not isinstance(error, AuthenticationError) else None
    if (
        answer is not None
        and answer.body
        and answer.status == error.http_status < 500
        and answer.headers.get("content-type", "").lower().startswith(JSON)
    ):
        return error.http_status, headers, answer.body
    return error.http_status, headers, error_body(error)


def error_body(error: HeadgateError) -> bytes:
    """`{"error": {message, type, param, code}}`."""
    return _encode({"error": error_object(error)})


def plain(value: str) -> str:
    r"""A value that may stand in a header.

    It may hold a model's name, and so whatever a caller has sent: what is not printable ASCII is percent-encoded, so
    that no value ends its line, and what is too long is cut.

    Example:
        >>> plain("m\r\nset-cookie: a")
        'm%0D%0Aset-cookie: a'
    """
    if len(value) > LONGEST_VALUE:
        value = value[:LONGEST_VALUE]
    return value if value.isascii() and value.isprintable() else quote(value, _PLAIN, errors="replace")


def _tell_attempts(headers: dict[str, str], attempts: Sequence[Attempt]) -> None:
    headers["x-headgate-attempts"] = str(len(attempts))
    if attempts:
        last = attempts[-1]
        headers["x-headgate-provider"] = plain(last.provider)
        if last.model:
            headers["x-headgate-model"] = plain(last.model)
        if last.dropped:
            headers["x-headgate-dropped"] = ",".join(last.dropped)
        if last.clamped is not None:
            headers["x-headgate-clamped"] = str(last.clamped)
        if last.upstream_request_id:
            headers["x-headgate-upstream-request-id"] = plain(last.upstream_request_id)
