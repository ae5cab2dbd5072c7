"""What a setting's value may look like: durations, credentials, addresses, headers, shares.

Decides how each kind of value is read and what is refused; refuses to know which settings there are (`config.py`).
Durations are seconds, or text with a unit: `250ms`, `15s`, `2m`, `24h`.
"""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from headgate.core.secret import Secret

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_ORIGIN = re.compile(r"https?://([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_TRANSPORT_HEADERS = frozenset({"host", "content-length", "connection", "transfer-encoding"})


def seconds(value: object) -> object:
    """Read a duration: a number of seconds, or text such as `15s`, `250ms`, `2m`, `24h`."""
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*", value)
        if not found:
            message = "a duration is a number of seconds, or text such as '15s', '250ms', '2m', '24h'"
            raise ValueError(message)
        return float(found[1]) * _UNITS[found[2] or "s"]
    if isinstance(value, bool):
        message = "a duration is a number of seconds, or text such as '15s'"
        raise ValueError(message)  # noqa: TRY004  pydantic reports ValueError with the field's name
    return value


def _secret(value: object) -> object:
    # Credentials travel in headers; a line break at the end of a secret's file is not part of it.
    if not isinstance(value, str):
        return value
    if not _HEADER_VALUE.fullmatch(value.strip()):
        message = "a credential is one line of printable ASCII characters"
        raise ValueError(message)
    return Secret(value.strip())


def _header_value(value: str) -> str:
    if not _HEADER_VALUE.fullmatch(value):
        message = "it travels in a header: one line of printable ASCII characters"
        raise ValueError(message)
    return value


def _headers(headers: dict[str, Secret]) -> dict[str, Secret]:
    low = {name.lower(): value for name, value in headers.items()}
    if len(low) < len(headers):
        message = "a header stands twice, in different spellings"
        raise ValueError(message)
    for name in low:
        if not _HEADER_NAME.fullmatch(name) or name in _TRANSPORT_HEADERS:
            message = f"{name!r} is not a header that can be set"
            raise ValueError(message)
    return low


def _address(value: str) -> str:
    parts = urlsplit(value)
    _ = parts.port  # raises ValueError for a port that is none
    if parts.scheme not in {"http", "https"} or not parts.hostname or not value.isascii() or not value.isprintable():
        message = "an address is such as https://api.openai.com/v1"
        raise ValueError(message)
    if parts.username is not None or parts.query or parts.fragment or " " in value:
        message = "an address has no user, query or fragment; credentials go into `api_key` or `headers`"
        raise ValueError(message)
    return value.rstrip("/")


def _proxy(value: str) -> str:
    parts = urlsplit(value)
    _ = parts.port
    if parts.scheme != "http" or not parts.hostname:
        message = "a proxy is http://host:port, or http://user:password@host:port"
        raise ValueError(message)
    return value


def _host(value: str) -> str:
    if not _HOST.fullmatch(value):
        message = "a host is a name such as gateway.example.com, without port or address"
        raise ValueError(message)
    return value.lower()


def _origin(value: str) -> str:
    if value != "*" and not _ORIGIN.fullmatch(value):
        message = "an origin is such as https://app.example.com or http://localhost:3000, without a path, or `*`"
        raise ValueError(message)
    return value


Seconds = Annotated[float, BeforeValidator(seconds), Field(ge=0)]
Hidden = Annotated[
    Secret, BeforeValidator(_secret), PlainSerializer(lambda secret: "***" if secret else "", return_type=str)
]
HeaderText = Annotated[str, AfterValidator(_header_value)]
Address = Annotated[str, AfterValidator(_address)]
Proxy = Annotated[str, AfterValidator(_proxy)]
Headers = Annotated[dict[str, Hidden], AfterValidator(_headers)]
HostName = Annotated[str, AfterValidator(_host)]
Origin = Annotated[str, AfterValidator(_origin)]
Share = Annotated[float, Field(ge=0, le=1)]
