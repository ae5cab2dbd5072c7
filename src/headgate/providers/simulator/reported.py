"""The usage that an answer reports: the truth, or what a fault makes of it. The bill is not looked at here."""

from typing import Any

from headgate.core.usage import TokenUsage
from headgate.providers.simulator.settings import Fault


def chat_usage(usage: TokenUsage) -> dict[str, Any]:
    """As Chat Completions says it."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def responses_usage(usage: TokenUsage) -> dict[str, Any]:
    """As Responses says it."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def reported(usage: dict[str, Any] | None, fault: Fault | None, number: int) -> dict[str, Any] | None:
    """What is reported of a usage: `no_usage` leaves it out, `wrong_usage` spoils it in one of five ways.

    Args:
        usage: the truth; None: the operation reports none.
        fault: what befalls the call.
        number: the call's number, which chooses the way.
    """
    if usage is None or fault is None or fault.kind not in ("no_usage", "wrong_usage"):
        return usage
    if fault.kind == "no_usage":
        return None
    into, out = (
        ("prompt_tokens", "completion_tokens") if "prompt_tokens" in usage else ("input_tokens", "output_tokens")
    )
    spoilt: tuple[dict[str, Any], ...] = (
        {name: value for name, value in usage.items() if name != out},
        usage | {into: -1},
        usage | {out: 10**15},
        {name: str(value) if name in (into, out) else value for name, value in usage.items()},
        {},
    )
    return spoilt[number % len(spoilt)]
