"""What every error says of itself: its HTTP status, what retry and fallback may do about it, and the cure.

Decides which facts there are; the classes and their facts stand in `errors.py`.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import ClassVar, NamedTuple

from headgate.core.attempt import Attempt


class Again(StrEnum):
    """May the same target be asked again, before the first word?"""

    YES = "yes"
    AFTER = "after Retry-After"
    ALONE = "only if no other target"
    NEVER = "never"


class Onward(StrEnum):
    """May the next target be asked, before the first word?"""

    THEN = "then"
    """After the attempts at this one are used up."""
    LONGER = "at once if the wait is longer than max_wait, else then"
    NOW = "at once"
    LARGER = "yes, to a larger context"
    NEVER = "never"


class Answer(NamedTuple):
    """An error answer as the provider gave it."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class HeadgateError(Exception):
    """The root of every error that headgate raises on purpose.

    Attributes:
        status: the HTTP status that a caller of the gateway sees; None passes the provider's own 4xx on.
        type, code: OpenAI-style names of the kind of error.
        again, onward: what retry and fallback may do about it.
        breaker: it counts against the target's health.
        hint: the cure, in one sentence; may be empty.
        param: the request field that is at fault, if one is.
        retry_after: seconds to wait before trying again, where that helps.
        attempts: what was tried on behalf of the call, oldest first.
    """

    status: ClassVar[int | None] = 500
    type: str = "server_error"
    code: str = "internal_error"
    again: ClassVar[Again] = Again.NEVER
    onward: ClassVar[Onward] = Onward.NEVER
    breaker: ClassVar[bool] = False
    hint: str = ""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        hint: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.attempts: Sequence[Attempt] = ()
        if code is not None:
            self.code = code
        if hint is not None:
            self.hint = hint
        if self.hint:
            # Python shows notes below a traceback, where whoever gets one looks for the cure.
            self.add_note(f"hint: {self.hint}")

    @property
    def http_status(self) -> int:
        """The HTTP status that the caller of the gateway sees."""
        return self.status or 500
