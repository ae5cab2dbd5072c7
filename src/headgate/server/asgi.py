"""The few words of ASGI that the server speaks, and how a whole answer is sent.

Refuses to know what headers and bodies mean.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

START = "http.response.start"
BODY = "http.response.body"
REQUEST = "http.request"
GONE = "http.disconnect"
DIRECT = "headgate.direct"
"""The scope's extension that is the shorter way to the socket; `protocol.py` has it."""


class Direct(Protocol):
    """The shorter way to the socket; see `cycle.Cycle`."""

    disconnected: bool
    gone: Callable[[], None] | None

    def whole(self, head: bytes, body: bytes) -> bool: ...  # noqa: D102  told there

    def begin(self, head: bytes) -> bool: ...  # noqa: D102

    def write(self, piece: bytes) -> bool: ...  # noqa: D102

    async def drain(self) -> None: ...  # noqa: D102


def wire(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as bytes. That no value ends its line is seen to where they are made (`gate/present.py`)."""
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def block(headers: Mapping[str, str]) -> bytes:
    """Headers as they stand in an answer, each with its line end; as safe as those of `wire`."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode()


async def answer(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Send a whole answer."""
    fields = wire(headers)
    if status != 204:
        fields.append((b"content-length", b"%d" % len(body)))
    await send({"type": START, "status": status, "headers": fields})
    await send({"type": BODY, "body": body})
