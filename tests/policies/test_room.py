"""Covers policies/room.py."""

import asyncio
import json

import msgspec
import pytest

from headgate.catalog.models import Model
from headgate.catalog.tokens import Tokens
from headgate.core.body import Body
from headgate.core.call import Call, Operation, Target
from headgate.core.errors import TooLongError
from headgate.core.reply import Event, Kind, Reply
from headgate.core.upload import Upload
from headgate.core.usage import TokenUsage
from headgate.policies.room import Room

WORDS = "alpha beta gamma delta "
"""Four words, and as many tokens."""
SMALL = Model(id="small", context=1000, max_output=200)


class Counter(Tokens):
    """Notes what it was asked, and what it was taught."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.taught: list[tuple[str, int]] = []

    async def request(self, operation, body, model):
        """Count."""
        self.asked.append(model)
        return await super().request(operation, body, model)

    def learn(self, model, count, reported):
        """Learn."""
        self.taught.append((model, reported))
        super().learn(model, count, reported)


def ask(fields, *, model=SMALL, operation=Operation.CHAT, body=None):
    """Send a request through; gives what became of it, and the counter."""
    counter = Counter()
    call = Call(
        id="1",
        operation=operation,
        model="small",
        body=Body(json.dumps({"model": "small", **fields}).encode()) if body is None else body,
        started=0,
        day="2027-01-15",
        target=Target("p", "small"),
    )
    reply = Reply([Event(kind=Kind.TERMINAL, usage=TokenUsage(prompt_tokens=7))])

    async def answer(_call):
        return reply

    async def story():
        try:
            return await Room(lambda _: model, counter)(call, answer)
        except TooLongError as error:
            return error
        finally:
            counter.close()

    # In real time: the counter's thread is a real one.
    return asyncio.run(story()), reply, counter


def chat(times, **more):
    """A question of so many repetitions."""
    return {"messages": [{"role": "user", "content": WORDS * times}], **more}


def test_what_is_short_is_not_counted():
    """Its bytes fit, so its tokens do: nobody counts, and nobody learns."""
    found, reply, counter = ask(chat(10))
    assert found is reply
    assert (counter.asked, counter.taught) == ([], [])


def test_what_may_not_fit_is_counted_and_teaches():
    """1,900 bytes for a model of 1,000 tokens: 340 tokens fit, and what the provider says of them is remembered."""
    found, reply, counter = ask(chat(80))
    assert found is reply
    assert (counter.asked, counter.taught) == (["small"], [("small", 7)])


def test_what_cannot_fit_is_refused_with_both_numbers():
    """A caller's error, before anything leaves: so many tokens are taken, and so many came."""
    found, _, counter = ask(chat(300))
    assert isinstance(found, TooLongError)
    assert (found.http_status, found.code) == (400, "context_length_exceeded")
    assert "at most 1000 tokens" in found.message
    numbers = [int(word) for word in found.message.replace(":", "").split() if word.isdigit()]
    assert 1200 <= numbers[1] <= 1300
    assert counter.taught == []


@pytest.mark.parametrize(
    ("name", "cap", "fits"),
    [
        ("max_tokens", 100, True),
        ("max_completion_tokens", 190, False),
        ("max_output_tokens", 190, False),
        ("max_tokens", 10**9, False),
        ("max_tokens", None, True),
        ("max_tokens", "many", True),
    ],
)
def test_the_answer_needs_room_as_well(name, cap, fits):
    """About 860 tokens leave room for an answer of 100, but not of 190; no answer is longer than the longest."""
    found, reply, _ = ask(chat(212, **{name: cap}))
    assert (found is reply) is fits


def test_who_is_not_known_is_not_judged():
    """No model, no context, another operation, an upload: passed on without a look."""
    long = chat(5000)
    for how in (
        {"model": None},
        {"model": msgspec.structs.replace(SMALL, context=None)},
        {"operation": Operation.MODERATIONS},
        {"operation": Operation.EMBEDDINGS},
        {"body": Upload("text/plain", [b"x" * 100_000])},
    ):
        found, reply, counter = ask(long, **how)
        assert found is reply
        assert counter.asked == []


def test_bytes_are_enough_where_no_longest_answer_is_known():
    """Then half of the context is left for it."""
    model = Model(id="small", context=1000)
    assert ask(chat(15), model=model)[2].asked == []
    assert ask(chat(80), model=model)[2].asked == ["small"]
    assert isinstance(ask(chat(300), model=model)[0], TooLongError)
