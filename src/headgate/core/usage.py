"""What one attempt consumed, in tokens.

Providers report subsets inside totals: cached and cache-write tokens are part of `prompt_tokens`, reasoning tokens
are part of `completion_tokens`. This type keeps that convention; prices are applied elsewhere.
"""

import msgspec


class TokenUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one attempt, or of several added up.

    Attributes:
        prompt_tokens: all input tokens, cached ones included.
        completion_tokens: all output tokens, reasoning included.
        cached_tokens: input tokens read from the provider's cache.
        cache_write_tokens: input tokens written to the provider's cache.
        reasoning_tokens: output tokens that were spent on reasoning.

    Example:
        >>> (TokenUsage(prompt_tokens=3, completion_tokens=4) + TokenUsage(prompt_tokens=1)).total_tokens
        8
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        return TokenUsage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )
