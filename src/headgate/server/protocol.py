"""HTTP/1.1 on a socket: uvicorn's protocol, with bounds where it has none.

Decides how much of a request may be anything but its body, and what is answered to bytes that are not HTTP. Refuses to
know what requests mean.

Neither httptools nor uvicorn limits the size of a request's head, of its trailers or of chunk marks. One counter does:
bytes that came on behalf of a request, minus twice those that turned out to be its body.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from headgate.core.errors import BadRequestError
from headgate.gate.present import error_body

MAX_HEAD = 64 * 1024
"""Bytes that a request may have beside its body: address, headers, trailers, marks of chunks."""


class BoundedProtocol(HttpToolsProtocol):
    """The protocol of one connection."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._beside = 0

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        self._beside += len(data)
        super().data_received(data)
        if self._beside > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response(f"The request's head is larger than {MAX_HEAD // 1024} kB.")

    def on_body(self, body: bytes) -> None:
        """A piece of a body was found in them."""
        self._beside -= 2 * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request ends."""
        self._beside = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, in the shape that every error has, and hang up."""
        if self.cycle is not None and not self.cycle.response_complete:
            # An answer is under way; a second one in its midst would be taken for a part of it.
            self.transport.abort()
            return
        body = error_body(BadRequestError(msg, code="invalid_http"))
        head = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nx-should-retry: false\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        )
        self.transport.write(head + body)
        self.transport.close()
