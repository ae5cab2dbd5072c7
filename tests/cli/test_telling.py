"""What is told of an answer."""

from decimal import Decimal

import msgspec

from headgate.cli.telling import facts, tell
from headgate.client.response import Answered, Piece
from headgate.core.usage import TokenUsage

ANSWER = Answered(
    model="m", provider="p", usage=TokenUsage(prompt_tokens=2, completion_tokens=3), cost_usd=Decimal("0.0000015"),
    cached=False, request_id="req_1", attempts=1, latency_ms=5.0, simulated=True,
)  # fmt: skip


def test_a_person_is_told_in_a_line(capsys):
    """Who, how much, for how much; and that it is made up."""
    tell(ANSWER)
    tell(ANSWER, "64x64")
    assert capsys.readouterr().err.splitlines() == [
        "[p/m, 5 tokens, cost $0.0000015, simulated]",
        "[p/m, 64x64, 5 tokens, cost $0.0000015, simulated]",
    ]


def test_what_a_model_did_not_get_is_told(capsys):
    """By the names of options, to a person and to a program."""
    answer = msgspec.structs.replace(ANSWER, dropped=("top_p", "max_tokens"))
    tell(answer)
    assert capsys.readouterr().err == "[p/m, 5 tokens, cost $0.0000015, dropped top_p and max_tokens, simulated]\n"
    assert facts(answer)["dropped"] == ["top_p", "max_tokens"]


def test_an_unknown_price(capsys):
    """A cost that is not known is told as such."""
    tell(Piece(provider="p", model="m", usage=TokenUsage(prompt_tokens=2, completion_tokens=3)))
    assert capsys.readouterr().err == "[p/m, 5 tokens, cost unknown]\n"


def test_a_program_is_told_names_and_values():
    """Money as a decimal string."""
    assert facts(ANSWER) == {
        "model": "m",
        "provider": "p",
        "prompt_tokens": 2,
        "completion_tokens": 3,
        "cost_usd": "0.0000015",
        "request_id": "req_1",
        "simulated": True,
        "dropped": [],
    }
