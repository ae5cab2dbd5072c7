"""The few words of ASGI that the server speaks, and how a whole answer is sent.

Decides how header values become bytes that every server accepts; refuses to know what they mean.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import quote

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

START = "http.response.start"
BODY = "http.response.body"
REQUEST = "http.request"
GONE = "http.disconnect"

# Every printable ASCII character but the per cent sign itself.
_PLAIN = "".join(chr(n) for n in range(0x20, 0x7F) if chr(n) != "%")


def wire(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    r"""Headers as bytes.

    A value may hold a model's name, and so whatever a caller has sent: what is not printable ASCII is percent-encoded,
    so that no value ends its header line.

    Example:
        >>> wire({"x-headgate-model": "m\r\nset-cookie: a"})
        [(b'x-headgate-model', b'm%0D%0Aset-cookie: a')]
    """
    return [
        (
            name.encode(),
            (value if value.isascii() and value.isprintable() else quote(value, _PLAIN, errors="replace")).encode(),
        )
        for name, value in headers.items()
    ]


async def answer(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Send a whole answer."""
    fields = wire(headers)
    if status != 204:
        fields.append((b"content-length", b"%d" % len(body)))
    await send({"type": START, "status": status, "headers": fields})
    await send({"type": BODY, "body": body})
