"""The types that a Python caller meets: answers, their parts, the books, and the errors."""

from headgate.client.asynchronous import Message, Options
from headgate.client.report import UsageReport
from headgate.client.response import ModelResponse, Piece
from headgate.core.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    CallerError,
    ConfigError,
    ContentFilterError,
    ContextLengthError,
    GarbledError,
    HeadgateError,
    InterruptedError,  # noqa: A004  the house's word
    ModelNotFoundError,
    OverloadedError,
    PartialFailureError,
    ProviderError,
    QuotaError,
    RateLimitError,
    Refused,
    StoppingError,
    TimeoutError,  # noqa: A004  the name that requirement T4 promises
    UnknownModelError,
    UnreachableError,
    ValidationError,
)
from headgate.core.usage import TokenUsage

__all__ = [
    "APIError",
    "AuthenticationError",
    "BadRequestError",
    "CallerError",
    "ConfigError",
    "ContentFilterError",
    "ContextLengthError",
    "GarbledError",
    "HeadgateError",
    "InterruptedError",
    "Message",
    "ModelNotFoundError",
    "ModelResponse",
    "Options",
    "OverloadedError",
    "PartialFailureError",
    "Piece",
    "ProviderError",
    "QuotaError",
    "RateLimitError",
    "Refused",
    "StoppingError",
    "TimeoutError",
    "TokenUsage",
    "UnknownModelError",
    "UnreachableError",
    "UsageReport",
    "ValidationError",
]
