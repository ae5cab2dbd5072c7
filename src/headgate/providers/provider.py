"""What a provider is: the last handler, plus its health and its end."""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from headgate.core.call import Call, Operation
from headgate.core.reply import Reply


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider is doing, by a cheap `GET /models`.

    Attributes:
        state: `ok` (answered), `failing` (answered with an error), `unreachable`.
        latency_ms: how long the answer took.
        error: what failed, without any secret.
    """

    state: Literal["ok", "failing", "unreachable"]
    latency_ms: float | None = None
    error: str | None = None


class Provider(Protocol):
    """Somebody who answers calls. Being called is its whole life; it knows no policy.

    Attributes:
        name: its name in the configuration.
        simulated: its answers are made up.
    """

    name: str
    simulated: bool

    def speaks(self, operation: Operation) -> bool:
        """Whether it has the operation at all."""
        ...

    async def __call__(self, call: Call, /) -> Reply:
        """Answer a call whose `target` is set and whose `trail` ends with the open attempt.

        Notes on `call.attempt` what happened (sent, status, the provider's request id). Returns at the first
        substantive event.

        Raises:
            ProviderError: before the first word; from the reply's iteration after it.
        """
        ...

    async def health(self) -> Health:
        """Ask cheaply; never raises."""
        ...

    async def models(self) -> Sequence[str]:
        """The names that its `GET /models` lists.

        Raises:
            ProviderError: it did not say.
        """
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
