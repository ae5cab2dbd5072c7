"""What the simulator tells of itself: its models, and, outside `/v1`, its bill and its log.

Also reads what it is told there: other limits.
"""

from collections.abc import Sequence

import msgspec

from headgate.providers.simulator.arrivals import Arrival
from headgate.providers.simulator.bill import Bill, BillLine, decimal
from headgate.providers.simulator.models import MODELS, Model
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.settings import Limits

_BORN = 1_767_225_600
"""When all the models were made: 2026-01-01 UTC."""
_LIMITS = msgspec.json.Decoder(Limits)


def tell_models(name: str | None) -> bytes:
    """The list of all models, or one of them.

    Raises:
        Problem: 404; there is none of that name.
    """
    if name is None:
        return msgspec.json.encode({"object": "list", "data": [_model(model) for model in MODELS.values()]})
    model = MODELS.get(name)
    if model is None:
        raise Problem(404, f"The model '{name}' does not exist", code="model_not_found", param="model")
    return msgspec.json.encode(_model(model))


def tell_bill(bill: Bill) -> bytes:
    """The bill: its total and its lines, oldest first; amounts are decimal strings."""
    return msgspec.json.encode({"total_usd": f"{bill.usd():f}", "lines": [_line(line) for line in bill.lines]})


def tell_log(seen: Sequence[Arrival]) -> bytes:
    """The log, oldest first."""
    return msgspec.json.encode({"arrivals": seen})


def read_limits(body: bytes) -> Limits:
    """The limits that somebody wants, spelled as in the configuration.

    Raises:
        Problem: 400; they cannot be read.

    Example:
        >>> read_limits(b'{"requests_per_minute": 300}').requests_per_minute
        300
    """
    try:
        return _LIMITS.decode(body)
    except msgspec.DecodeError as error:
        raise Problem(400, f"These are no limits: {error}.", code="invalid_limits") from None


def _model(model: Model) -> dict[str, object]:
    return {
        "id": model.name,
        "object": "model",
        "created": _BORN,
        "owned_by": "simulator",
        "shutdown_date": model.shutdown,
    }


def _line(line: BillLine) -> dict[str, object]:
    return {
        "request_id": line.request_id,
        "client_request_id": line.client_request_id,
        "model": line.model,
        "service_tier": line.tier,
        "usage": line.usage,
        "amount_usd": f"{decimal(line.amount):f}",
        "complete": line.complete,
    }
