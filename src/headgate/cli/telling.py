"""What the command line tells of an answer: who gave it, and what it cost."""

from typing import Any

from headgate.cli.voice import say
from headgate.client.response import Answered, Piece
from headgate.core.money import from_usd, show_usd


def tell(answer: Answered | Piece, *more: str) -> None:
    """Tell a person, in one line; `more` stands behind the name of the model."""
    tokens = answer.usage.total_tokens if answer.usage else 0
    cost = "unknown" if answer.cost_usd is None else f"${answer.cost_usd:f}"
    simulated = ["simulated"] if answer.simulated else []
    dropped = [f"dropped {' and '.join(answer.dropped)}"] if answer.dropped else []
    parts = [f"{answer.provider}/{answer.model}", *more, f"{tokens} tokens", f"cost {cost}", *dropped, *simulated]
    say(f"[{', '.join(parts)}]")


def facts(answer: Answered) -> dict[str, Any]:
    """Tell a program: names and values of JSON."""
    return {
        "model": answer.model,
        "provider": answer.provider,
        "prompt_tokens": answer.usage.prompt_tokens,
        "completion_tokens": answer.usage.completion_tokens,
        "cost_usd": None if answer.cost_usd is None else show_usd(from_usd(answer.cost_usd)),
        "request_id": answer.request_id,
        "simulated": answer.simulated,
        "dropped": list(answer.dropped),
    }
