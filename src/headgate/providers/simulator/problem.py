"""A request that the simulator refuses: an error in the shape and the words of the OpenAI API."""

from collections.abc import Mapping, Sequence
from math import ceil

import msgspec

from headgate.providers.simulator.arrivals import Limit

_TYPES = {401: "invalid_request_error", 429: "requests", 503: "service_unavailable_error"}
_CODES = {
    401: "invalid_api_key",
    404: "model_not_found",
    429: "rate_limit_exceeded",
    503: "server_is_overloaded",
}


class Problem(Exception):  # noqa: N818  an answer, not a failure of ours
    """An answer with an error status.

    Attributes:
        status: HTTP status.
        message, type, code, param: the four fields of the error object.
        headers: to be sent with it.
        limited: the limit that was met.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",  # noqa: A002  the API's word
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        limited: Limit | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.headers = headers or {}
        self.limited = limited

    def fields(self) -> dict[str, str | None]:
        """The error object."""
        return {"message": self.message, "type": self.type, "param": self.param, "code": self.code}

    def body(self) -> bytes:
        """The whole body."""
        return msgspec.json.encode({"error": self.fields()})


def scripted(status: int, *, code: str | None, type: str | None, retry_after: float | None) -> Problem:  # noqa: A002
    """The error that a fault asks for; what the fault does not say is what the API says with that status."""
    if code is None:
        code = _CODES.get(status)
    if type is None and code in ("insufficient_quota", "rate_limit_error"):
        type = code  # noqa: A001
    if type is None:
        type = _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")  # noqa: A001
    headers = {} if retry_after is None else retry_headers(retry_after)
    return Problem(status, f"Simulated fault: {code or status}.", type=type, code=code, headers=headers)


def retry_headers(seconds: float) -> dict[str, str]:
    """`retry-after` in whole seconds, rounded up, and `retry-after-ms`, exact to the millisecond above."""
    ms = ceil(seconds * 1000 - 1e-6)  # the tiny share: 1.1 s is 1100 ms, whatever its binary spelling says
    return {"retry-after": str(-(-ms // 1000)), "retry-after-ms": str(ms)}


def missing(param: str) -> Problem:
    """A required field is not there."""
    return Problem(400, f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)


def mistyped(param: str, expected: str) -> Problem:
    """A field has the wrong type."""
    return Problem(400, f"Invalid type for '{param}': {expected}.", code="invalid_type", param=param)


def invalid(param: str, value: object, among: Sequence[str]) -> Problem:
    """A field has a value that is none of those allowed."""
    allowed = ", ".join(f"'{name}'" for name in among)
    message = f"Invalid value: {value!r}. Supported values are: {allowed}."
    return Problem(400, message, code="invalid_value", param=param)


def too_small(param: str, value: int, least: int) -> Problem:
    """A whole number is below its minimum."""
    message = f"Invalid '{param}': integer below minimum value. Expected a value >= {least}, but got {value} instead."
    return Problem(400, message, code="integer_below_min_value", param=param)


def too_large(param: str, value: int, most: int) -> Problem:
    """A whole number is above its maximum."""
    message = f"Invalid '{param}': integer above maximum value. Expected a value <= {most}, but got {value} instead."
    return Problem(400, message, code="integer_above_max_value", param=param)


def unsupported(param: str, hint: str = "") -> Problem:
    """The model does not take the field."""
    message = f"Unsupported parameter: '{param}' is not supported with this model.{' ' if hint else ''}{hint}"
    return Problem(400, message, code="unsupported_parameter", param=param)


def unknown(param: str, moved: str = "") -> Problem:
    """The address has no such field; `moved` is what it has in its place."""
    if moved:
        return unsupported(param, f"In this API, it has moved to '{moved}'.")
    return Problem(400, f"Unknown parameter: '{param}'.", code="unknown_parameter", param=param)


def unsupported_value(param: str, value: object, hint: str) -> Problem:
    """The model takes the field, but not this value."""
    message = f"Unsupported value: '{param}' does not support {value!r} with this model. {hint}"
    return Problem(400, message, code="unsupported_value", param=param)


def invalid_schema(param: str, name: str, why: str) -> Problem:
    """A JSON schema that cannot be served."""
    message = f"Invalid schema for {param} '{name}': {why}"
    return Problem(400, message, code="invalid_json_schema", param=param)
