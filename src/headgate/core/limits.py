"""What may be asked per minute and spent in all, and what a call will want of it: words of policies and stores.

Decides nothing; refuses to know who is limited (a target, a key) and how limits are kept.
"""

from typing import Literal

import msgspec


class Demand(msgspec.Struct, frozen=True, gc=False):
    """The tokens that a call wants, expected or true.

    Attributes:
        input, output: tokens.
    """

    input: int = 0
    output: int = 0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is allowed. None does not limit.

    Attributes:
        requests_per_minute: calls a minute.
        tokens_per_minute: input and output tokens a minute, together.
        input_tokens_per_minute, output_tokens_per_minute: the same, apart.
        concurrency: calls at the same time.
        sliding: never more than `requests_per_minute` in any sliding minute.
        spread: calls are evenly spaced.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    input_tokens_per_minute: float | None = None
    output_tokens_per_minute: float | None = None
    concurrency: int | None = None
    sliding: bool = False
    spread: bool = False

    @property
    def counts_tokens(self) -> bool:
        """Whether any of the limits is one of tokens."""
        return (
            self.tokens_per_minute is not None
            or self.input_tokens_per_minute is not None
            or self.output_tokens_per_minute is not None
        )


UNLIMITED = Limits()


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """How much may be spent.

    Attributes:
        limit: picodollars.
        window: per when.
        zone: where the window begins at midnight.
    """

    limit: int
    window: Literal["day", "week", "month", "total"] = "total"
    zone: str = "UTC"
