"""The types that a Python caller meets: answers, their parts, the books, and the errors."""

from headgate.client.accounts import SummaryReport
from headgate.client.batches import BatchRequest, BatchResult
from headgate.client.drawing import ImageResponse
from headgate.client.embedding import EmbeddingResponse
from headgate.client.moderation import Moderation, ModerationResponse
from headgate.client.openai_config import BatchConfig, OpenAIConfig, RateLimitConfig, RetryConfig
from headgate.client.options import Message, Options, Wishes
from headgate.client.picture import Picture
from headgate.client.report import UsageReport
from headgate.client.response import Answered, ModelResponse, Piece
from headgate.core.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    CallerError,
    ConfigError,
    ContentFilterError,
    ContextLengthError,
    FilteredError,
    GarbledError,
    HeadgateError,
    InterruptedError,  # noqa: A004  the house's word
    ModelNotFoundError,
    OverloadedError,
    PartialFailureError,
    ProviderError,
    QuotaError,
    RateLimitError,
    RefusalError,
    Refused,
    StoppingError,
    TimeoutError,  # noqa: A004  the name that requirement T4 promises
    TruncatedError,
    UnknownModelError,
    UnreachableError,
    ValidationError,
)
from headgate.core.usage import TokenUsage
from headgate.gate.structured import Partial
from headgate.jobs.batch.jobs import BatchJob, BatchJobStatus
from headgate.jobs.quote import LaneQuote, Quote

__all__ = [
    "APIError",
    "Answered",
    "AuthenticationError",
    "BadRequestError",
    "BatchConfig",
    "BatchJob",
    "BatchJobStatus",
    "BatchRequest",
    "BatchResult",
    "CallerError",
    "ConfigError",
    "ContentFilterError",
    "ContextLengthError",
    "EmbeddingResponse",
    "FilteredError",
    "GarbledError",
    "HeadgateError",
    "ImageResponse",
    "InterruptedError",
    "LaneQuote",
    "Message",
    "ModelNotFoundError",
    "ModelResponse",
    "Moderation",
    "ModerationResponse",
    "OpenAIConfig",
    "Options",
    "OverloadedError",
    "Partial",
    "PartialFailureError",
    "Picture",
    "Piece",
    "ProviderError",
    "QuotaError",
    "Quote",
    "RateLimitConfig",
    "RateLimitError",
    "RefusalError",
    "Refused",
    "RetryConfig",
    "StoppingError",
    "SummaryReport",
    "TimeoutError",
    "TokenUsage",
    "TruncatedError",
    "UnknownModelError",
    "UnreachableError",
    "UsageReport",
    "ValidationError",
    "Wishes",
]
