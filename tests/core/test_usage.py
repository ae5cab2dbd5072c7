"""Covers core/usage.py."""

from headgate.core.usage import TokenUsage


def test_usages_add_up():
    """Every field is added."""
    one = TokenUsage(prompt_tokens=1, completion_tokens=2, cached_tokens=3, cache_write_tokens=4, reasoning_tokens=5)
    assert one + one == TokenUsage(
        prompt_tokens=2, completion_tokens=4, cached_tokens=6, cache_write_tokens=8, reasoning_tokens=10
    )
    seen = TokenUsage(prompt_image_tokens=1, completion_audio_tokens=2)
    assert seen + seen == TokenUsage(prompt_image_tokens=2, completion_audio_tokens=4)
    assert (one + one).total_tokens == 6
