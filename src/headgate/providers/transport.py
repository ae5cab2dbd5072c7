"""How bytes leave the house: the one small interface for outbound calls.

`http.py` implements it over the network and `simulator/` in process; `hosted.py` needs nothing else. Deadlines are
absolute, on the monotonic clock of the house. Errors are those of `core.errors`, translated at this border.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from headgate.core.upload import Upload

Headers = Sequence[tuple[str, str]]


class Outgoing(msgspec.Struct, frozen=True):
    """A request. Header names are lower-case; `host`, `content-length` and `connection` are the transport's.

    Attributes:
        method, url, body: as they are sent.
        headers: those of this request.
        common: those that the same sender sends with every request; a transport may prepare them once.
        upload: what is sent instead of `body`, piece by piece.
    """

    method: str
    url: str
    headers: Headers
    body: bytes = b""
    common: tuple[tuple[str, str], ...] = ()
    upload: Upload | None = None

    def __repr__(self) -> str:
        # Whoever reports a failure with its variables tells neither credentials nor words of callers.
        return f"Outgoing({self.method} {self.url})"


class Incoming(Protocol):
    """An answer whose head has come."""

    status: int
    headers: Mapping[str, str]
    """Lower-case names; repeated headers joined by commas."""

    async def receive(self, deadline: float) -> bytes:
        """The next bytes of the body, as soon as there are any; b"" at its end.

        Raises:
            TimeoutError: nothing came until the deadline.
            UnreachableError: the connection broke before the body was whole.
        """
        ...

    async def pour(self, sink: Callable[[bytes], bool], silence: float, end: float) -> bool:
        """Give the body to `sink` piece by piece, in the moment in which it comes: no task has to wake up for it.

        Args:
            sink: takes a piece; False if it wants no more for now.
            silence: seconds that may pass between two pieces.
            end: until when the body must have ended, on the monotonic clock.

        Returns:
            True at the end of the body, False when `sink` wants no more: `pour` again for the rest.

        Raises:
            TimeoutError: nothing came for too long, or too late.
            UnreachableError: the connection broke before the body was whole.
            Exception: what `sink` raises.
        """
        ...

    async def close(self) -> None:
        """Give the connection back if the body was read whole, else close it at once. Safe to call twice."""
        ...


class Written(Protocol):
    """Whoever wants to know that the request was written completely (`core.attempt.Attempt` does)."""

    sent: bool


class Transport(Protocol):
    """Somebody who carries requests."""

    async def send(self, request: Outgoing, *, connect: float, deadline: float, written: Written) -> Incoming:
        """Send a request and wait for the head of its answer. Cancelling it closes the connection.

        Args:
            request: what to send.
            connect: seconds that opening a connection may take.
            deadline: until when the head must have come.
            written: its `sent` is set to True once the request was written completely.

        Raises:
            TimeoutError: no connection, or no head, in time.
            UnreachableError: the connection could not be opened, or broke.
            GarbledError: what came is not HTTP.
        """
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
