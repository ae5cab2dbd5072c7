"""Covers policies/combine/kinds.py: what calls of one operation weigh, and whose is which part of an answer."""

import json

import pytest

from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.reply import Event, Kind
from headgate.core.together import Combining
from headgate.core.usage import TokenUsage
from headgate.dialects.registry import DIALECTS
from headgate.policies.combine.kinds import AROUND, Vectors, Words, kinds

USAGE = TokenUsage(prompt_tokens=3)


def count(text, model):
    """A token for each word."""
    assert model == "m"
    return len(text.split())


def call(operation=Operation.CHAT, **fields):
    """A call with a body."""
    body = Body(json.dumps({"model": "m", **fields}).encode())
    return Call(id="c", operation=operation, model="m", body=body, started=0, day="2027-01-15", trail=[])


def chat(text, **fields):
    """A question."""
    return call(messages=[{"role": "user", "content": text}], **fields)


def asked(kind, *calls):
    """The request of a group."""
    parts = [kind.part(one) for one in calls]
    tokens = [count(part.text, "m") for part in parts]
    return kind.ask(calls, parts, tokens, [f"id{n}" for n in range(len(calls))], set())


def test_which_operations_can_be_put_together():
    """Those, and how many make a group of each."""
    found = kinds(count)
    how = Combining(items=7, inputs=99)
    assert {operation: kind.most(how) for operation, kind in found.items()} == {
        Operation.CHAT: 7, Operation.RESPONSES: 7, Operation.EMBEDDINGS: 99,
    }  # fmt: skip


def test_a_question_and_its_size():
    """In bytes; with the tokens that its answer may have, where it says so."""
    part = Words(count).part(chat("né", max_tokens=50))
    assert (part.text, part.size, part.output) == ("né", 3, 50 + 24)
    assert Words(count).part(chat("a")).output == 0
    assert Words(count).part(chat("a", tools=[])) is None


def test_questions_weigh_their_words_and_an_equal_part_of_what_is_around():
    """So that the weights of two words and of one differ by what the words weigh."""
    found = asked(Words(count), chat("one two"), chat("one"))
    first, second = found.together.asked
    assert first - second == 2
    assert first > 40


def test_answers_weigh_their_words():
    """A question that was not answered weighs nothing."""
    found = asked(Words(count), chat("a"), chat("b"), chat("c", max_tokens=None))
    text = json.dumps({"answers": [{"id": "id1", "answer": "one two"}, {"id": "id0", "answer": "one"}]})
    assert found.together.said(text) == [1 + AROUND, 2 + AROUND, 0]
    assert found.answers(Event(kind=Kind.TERMINAL, text=text)) == ["one", "one two", None]


def test_an_answer_beyond_the_cap_is_none():
    """Though it is paid for."""
    found = asked(Words(count), chat("a", max_tokens=2), chat("b", max_tokens=2))
    text = json.dumps({"answers": [{"id": "id0", "answer": "one two three"}, {"id": "id1", "answer": "one two"}]})
    assert found.answers(Event(kind=Kind.TERMINAL, text=text)) == [None, "one two"]
    assert found.together.said(text) == [3 + AROUND, 2 + AROUND]


def test_vectors_weigh_their_own_words_and_nothing_comes_out():
    """So each is charged what it would be alone."""
    calls = [call(Operation.EMBEDDINGS, input=text) for text in ("one two", "one")]
    found = asked(Vectors(), *calls)
    assert (found.together.asked, found.together.said("")) == ((2, 1), [0, 0])
    assert found.body.view == {"model": "m", "input": ["one two", "one"]}
    raw = b'{"data": [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]}'
    assert found.answers(Event(kind=Kind.TERMINAL, raw=raw)) == [b"[1.0]", b"[2.0]"]
    assert found.answers(Event(kind=Kind.TERMINAL, raw=b"{}")) == [None, None]


@pytest.mark.parametrize(
    ("kind", "one", "said"),
    [(Words(count), chat("a"), "Hi"), (Vectors(), call(Operation.EMBEDDINGS, input="a"), b"[1.0]")],
)
def test_an_answer_is_told_in_its_own_dialect(kind, one, said):
    """The event says the same as its bytes."""
    whole = Event(
        kind=Kind.TERMINAL, raw=b'{"model": "gpt"}', text="all", usage=TokenUsage(prompt_tokens=9), model="gpt"
    )
    event = kind.tell(one, kind.part(one), whole, said, USAGE)
    read = DIALECTS[one.operation].read_answer(event.raw)
    assert (event.usage, event.model) == (read.usage, read.model) == (USAGE, "gpt")
    assert event.kind is Kind.TERMINAL
    if isinstance(said, str):
        assert (event.text, event.size, event.finish) == (read.text, read.size, read.finish) == ("Hi", 2, "stop")
