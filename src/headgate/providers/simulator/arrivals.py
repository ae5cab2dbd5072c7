"""What arrived at the simulator: in memory, and on request in a file that survives whoever is killed."""

import os
from pathlib import Path
from typing import Literal

import msgspec

Limit = Literal["requests", "tokens", "input_tokens", "output_tokens", "concurrency"]
"""What of an account may be limited."""


class Arrival(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request for an answer.

    Attributes:
        time: when, in seconds since 1970.
        path: where.
        request_id: as in the answer's `x-request-id`.
        client_request_id: the caller's `x-client-request-id`, if it sent one.
        model: who was asked; None if the request was refused before that was known.
        stream: a stream was asked for.
        status: how it was answered; 0 where the connection was reset instead.
        fault: the kind of the fault that it met.
        prompt_tokens, completion_tokens: what it took of the limits; 0 where it was not admitted.
        limited: the limit that refused it.
        busy: calls of its account that were in flight then, itself included if it was admitted.
        held: seconds that calls of its account had been in flight by then, all together: a meter that only grows.
    """

    time: float
    path: str
    request_id: str
    client_request_id: str | None
    model: str | None
    stream: bool
    status: int
    fault: str | None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    limited: Limit | None = None
    busy: int = 0
    held: float = 0.0


class Arrivals:
    """All of them, oldest first.

    Attributes:
        seen: what arrived.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.seen: list[Arrival] = []
        # One write per line: no line is ever half there, and none waits in a buffer of ours.
        self._file = None if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def add(self, arrival: Arrival) -> None:
        """Note an arrival, before it is answered."""
        self.seen.append(arrival)
        if self._file is not None:
            os.write(self._file, msgspec.json.encode(arrival) + b"\n")

    def __del__(self) -> None:
        """Close the file."""
        file = getattr(self, "_file", None)
        if file is not None:
            os.close(file)
