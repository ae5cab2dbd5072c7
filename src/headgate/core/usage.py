"""What one attempt consumed, in tokens.

Providers report subsets inside totals: cached, cache-write, image and audio tokens are part of `prompt_tokens`;
reasoning, image and audio tokens are part of `completion_tokens`. This type keeps that convention; prices are applied
elsewhere.
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
        prompt_image_tokens, prompt_audio_tokens: input tokens that stand for pictures and for sound.
        completion_image_tokens, completion_audio_tokens: output tokens that stand for pictures and for sound.

    Example:
        >>> (TokenUsage(prompt_tokens=3, completion_tokens=4) + TokenUsage(prompt_tokens=1)).total_tokens
        8
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    prompt_image_tokens: int = 0
    prompt_audio_tokens: int = 0
    completion_image_tokens: int = 0
    completion_audio_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        names = self.__struct_fields__
        return TokenUsage(**{name: getattr(self, name) + getattr(other, name) for name in names})
