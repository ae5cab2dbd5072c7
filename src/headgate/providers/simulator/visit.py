"""One request while it is looked at: as it came, and what is known of it so far. Decides what names it."""

from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from headgate.providers.simulator.arrivals import Limit
from headgate.providers.simulator.settings import Fault


class Request(msgspec.Struct, frozen=True):
    """A request as it came. Header names are lower-case; the query stands apart from the path."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    query: str = ""


class Visit:
    """One request.

    Attributes:
        request: as it came.
        path: its path below `/v1`.
        key: 48 hexadecimal digits that no other request to this simulator has.
        request_id, client_request_id: as in `x-request-id` and in the caller's `x-client-request-id`.
        call: its number among the calls that were understood and admitted; 0 before.
        model, stream: who is asked and how, once it was understood.
        fault: what goes wrong with it.
        taken: input and output tokens that it took of the limits.
        limited: the limit that refused it.
    """

    __slots__ = (
        "call", "client_request_id", "fault", "key", "limited", "model", "path", "request", "request_id", "stream",
        "taken",
    )  # fmt: skip

    def __init__(self, request: Request, number: int, seed: int) -> None:
        self.request = request
        self.path = request.path.partition("/v1")[2]
        self.call = 0
        self.key = blake2b(b"%d %d" % (seed, number), digest_size=24).hexdigest()
        self.request_id = "req_" + self.key[:32]
        self.client_request_id = request.headers.get("x-client-request-id")
        self.model: str | None = None
        self.stream = False
        self.fault: Fault | None = None
        self.taken = (0, 0)
        self.limited: Limit | None = None
