"""How a reply is shown as plain data."""

from decimal import Decimal

import msgspec
import pytest

from headgate.client.response import ModelResponse, Piece, cost, last_piece, whole
from headgate.core.attempt import Attempt, Settled
from headgate.core.body import Body
from headgate.core.call import Call, Operation, Target
from headgate.core.reply import Event, Kind, Reply
from headgate.core.usage import TokenUsage

CALL = Call(id="c1", operation=Operation.CHAT, model="asked", body=Body(b"{}"), started=10.0, day="2027-01-15")


def _shown(event, *attempts, cache="off"):
    reply = Reply([event], target=Target("p", "m"))
    reply.attempts = attempts
    reply.cache = cache
    return whole(CALL, reply, event, 10.25)


def _attempt(**facts):
    made = Attempt(1, "p", "m")
    made.settled = Settled.BILLED
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def test_a_whole_answer_is_shown():
    """Words, who said them, what it cost and how long it took."""
    usage = TokenUsage(prompt_tokens=3, completion_tokens=4)
    event = Event(kind=Kind.TERMINAL, raw=b'{"id":"x"}', text="Lyon", finish="stop", usage=usage, model="m-2026")
    response = _shown(event, _attempt(usage=usage, cost=1_500_000))
    assert (response.text, response.model, response.provider) == ("Lyon", "m-2026", "p")
    assert (response.usage.total_tokens, response.cost_usd) == (7, Decimal("0.0000015"))
    assert (response.finish_reason, response.request_id, response.attempts) == ("stop", "req_c1", 1)
    assert (response.latency_ms, response.cached, response.raw) == (250.0, False, {"id": "x"})


def test_what_the_answer_does_not_say_comes_from_the_attempt():
    """An answer without model and usage: the books know both."""
    counted = TokenUsage(prompt_tokens=9)
    response = _shown(Event(kind=Kind.TERMINAL), _attempt(usage=counted, cost=None))
    assert (response.model, response.usage, response.cost_usd) == ("m", counted, None)


def test_an_answer_from_the_cache_has_no_attempts():
    """A hit spends nothing and is called cached."""
    response = _shown(Event(kind=Kind.TERMINAL, text="again"), cache="hit")
    assert (response.cached, response.attempts, response.cost_usd, response.model) == (True, 0, Decimal(0), "asked")


def test_the_last_piece_says_what_a_whole_answer_says():
    """Who served, what it cost, whether it was made up; tokens from the books where no event told them."""
    usage = TokenUsage(prompt_tokens=3, completion_tokens=4)
    reply = Reply([Event(kind=Kind.TERMINAL)], target=Target("p", "m"))
    reply.attempts = [_attempt(usage=usage, cost=1_500_000, model_served="m-2026")]
    reply.simulated = True
    piece = last_piece(reply, finish="stop", usage=None)
    assert (piece.text, piece.finish, piece.usage, piece.cost_usd) == ("", "stop", usage, Decimal("0.0000015"))
    assert (piece.model, piece.provider, piece.simulated) == ("m-2026", "p", True)
    told = TokenUsage(prompt_tokens=1)
    assert last_piece(reply, finish=None, usage=told).usage == told
    nobody = last_piece(Reply([Event(kind=Kind.TERMINAL)]), finish="stop", usage=None)
    assert (nobody.model, nobody.provider, nobody.usage, nobody.simulated) == (None, None, None, False)


def test_options_that_the_model_did_not_get():
    """By the names that this door has for them, each once, on whole answers and on last pieces."""
    wire = ("max_tokens", "max_completion_tokens", "reasoning.effort", "text.format", "top_p")
    attempt = _attempt(dropped=wire, cost=0)
    names = ("max_tokens", "reasoning_effort", "schema", "top_p")
    assert _shown(Event(kind=Kind.TERMINAL), attempt).dropped == names
    reply = Reply([Event(kind=Kind.TERMINAL)])
    reply.attempts = [attempt]
    assert last_piece(reply, finish="stop", usage=None).dropped == names
    assert _shown(Event(kind=Kind.TERMINAL), _attempt(cost=0)).dropped == ()
    assert _shown(Event(kind=Kind.TERMINAL)).dropped == ()


def test_costs_of_answers_add_up():
    """`sum` of costs works, starting at its integer 0."""
    event = Event(kind=Kind.TERMINAL)
    usage = TokenUsage()
    costs = [_shown(event, _attempt(usage=usage, cost=10**11)).cost_usd for _ in range(10)]
    assert sum(costs) == Decimal(1)


def test_all_attempts_count():
    """A failed attempt that was billed is part of the cost."""
    reply = Reply([Event(kind=Kind.TERMINAL)])
    reply.attempts = [_attempt(usage=TokenUsage(), cost=10**12), _attempt(usage=TokenUsage(), cost=2 * 10**12)]
    assert cost(reply) == Decimal(3)


@pytest.mark.parametrize(
    ("raw", "refusal"),
    [
        ({"choices": [{"message": {"content": None, "refusal": "I will not."}}]}, "I will not."),
        ({"choices": [{"message": {"content": "Yes.", "refusal": None}}]}, None),
        (
            {
                "output": [
                    {"type": "reasoning"},
                    {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]},
                ]
            },
            "No.",
        ),
        ({"output": [{"type": "message", "content": [{"type": "output_text", "text": "Yes."}]}]}, None),
        ({"choices": [None, {"message": "?"}], "output": {"content": 1}}, None),
    ],
)
def test_a_refusal_is_found_in_either_dialect(raw, refusal):
    """And what is not as expected is passed over."""
    response = _shown(Event(kind=Kind.TERMINAL, raw=msgspec.json.encode(raw)))
    assert response.refusal == refusal


def test_answers_and_pieces_are_frozen():
    """Nobody changes what was said."""
    response = _shown(Event(kind=Kind.TERMINAL))
    for thing in (response, Piece(text="a")):
        with pytest.raises(AttributeError):
            thing.text = "b"
    assert isinstance(response, ModelResponse)
