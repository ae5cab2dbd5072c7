"""One gate that every model call passes: paced, budgeted, cached, guarded, routed, retried and accounted for.

The public names of the Python door; `headgate.types` has the rest of its types. Each is imported when it is first used,
so that `import headgate` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headgate.client.asynchronous import AsyncHeadgate
    from headgate.client.drawing import ImageResponse
    from headgate.client.embedding import EmbeddingResponse
    from headgate.client.moderation import ModerationResponse
    from headgate.client.report import UsageReport
    from headgate.client.response import ModelResponse, Piece
    from headgate.client.synchronous import Headgate
    from headgate.core.errors import (
        APIError,
        CallerError,
        ConfigError,
        HeadgateError,
        PartialFailureError,
        ProviderError,
        RateLimitError,
        Refused,
        TimeoutError,  # noqa: A004  the name that requirement T4 promises
        ValidationError,
    )
    from headgate.core.usage import TokenUsage

_HOMES = {
    "headgate.client.asynchronous": ("AsyncHeadgate",),
    "headgate.client.drawing": ("ImageResponse",),
    "headgate.client.embedding": ("EmbeddingResponse",),
    "headgate.client.moderation": ("ModerationResponse",),
    "headgate.client.report": ("UsageReport",),
    "headgate.client.response": ("ModelResponse", "Piece"),
    "headgate.client.synchronous": ("Headgate",),
    "headgate.core.errors": (
        "APIError",
        "CallerError",
        "ConfigError",
        "HeadgateError",
        "PartialFailureError",
        "ProviderError",
        "RateLimitError",
        "Refused",
        "TimeoutError",
        "ValidationError",
    ),
    "headgate.core.usage": ("TokenUsage",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "APIError",
    "AsyncHeadgate",
    "CallerError",
    "ConfigError",
    "EmbeddingResponse",
    "Headgate",
    "HeadgateError",
    "ImageResponse",
    "ModelResponse",
    "ModerationResponse",
    "PartialFailureError",
    "Piece",
    "ProviderError",
    "RateLimitError",
    "Refused",
    "TimeoutError",
    "TokenUsage",
    "UsageReport",
    "ValidationError",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    found = globals()[name] = getattr(import_module(home), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
