"""Covers catalog/rough.py: about how many tokens a request has, whatever it is."""

import asyncio
import json
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.catalog.rough import LARGE, rough
from headgate.catalog.tokens import Tokens
from headgate.core.body import Body
from headgate.core.call import Operation

CHAT = Operation.CHAT
TEXTS = {
    "english": "It was the best of times, it was the worst of times, it was the age of wisdom. " * 20,
    "german": "Es war die beste aller Zeiten, es war die schlimmste aller Zeiten, das Zeitalter der Weisheit. " * 20,
    "russian": "Это было лучшее из времён, это было худшее из времён, это был век мудрости. " * 20,
    "chinese": "那是最美好的时代 那是最糟糕的时代 那是智慧的年头 那是愚昧的年头。" * 20,
    "json": json.dumps([{"id": 123456, "name": "café", "tags": ["a", "b"]}] * 20),
}


def body(**fields):
    """A request."""
    return Body(json.dumps({"model": "gpt-4o", **fields}, ensure_ascii=True).encode())


def said(text):
    """A request that says something."""
    return body(messages=[{"role": "user", "content": text}])


@pytest.mark.parametrize("name", TEXTS)
def test_ordinary_text_is_told_within_a_half(name):
    """Of what OpenAI's own vocabulary says; escapes do not count. Where words are few, it is half of it."""

    async def story():
        tokens = Tokens()
        try:
            return (await tokens.request(CHAT, said(TEXTS[name]), "gpt-4o")).tokens
        finally:
            tokens.close()

    exact = asyncio.run(story())
    low, high = (1 / 2, 1) if name == "json" else (2 / 3, 3 / 2)
    assert low < rough(CHAT, said(TEXTS[name]), "gpt-4o") / exact < high


def test_what_nobody_reads_does_not_count():
    """Names and braces of the JSON, other parameters, and the bytes of pictures."""
    assert rough(CHAT, said("four" * 10), "gpt-4o") == rough(CHAT, body(
        messages=[{"role": "user", "content": [{"type": "text", "text": "four" * 10}]}], temperature=0.3, seed=17,
    ), "gpt-4o") == 6 + 11  # fmt: skip
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    assert rough(CHAT, body(messages=[{"role": "user", "content": [picture]}]), "gpt-4o") < 3000


def test_what_is_large_is_not_looked_into():
    """Its bytes tell, and less of them where something is inline."""
    text = said("word" * (LARGE // 4))
    assert rough(CHAT, text, "gpt-4o") == ceil(text.size / 4)
    picture = said("data:image/png;base64," + "A" * LARGE)
    assert rough(CHAT, picture, "gpt-4o") == ceil(picture.size * 0.004)


def test_what_is_not_read_is_told_by_its_bytes():
    """An operation without texts, a body that is no JSON, or one that is nested too deeply."""
    assert rough(Operation.IMAGES, Body(b"x" * 40), "gpt-4o") == 10
    assert rough(CHAT, Body(b"x" * 40), "gpt-4o") == 10
    deep = Body(b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    assert rough(CHAT, deep, "gpt-4o") == ceil(deep.size / 4)


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_it_takes_anything(value):
    """And says a number that is not below zero."""
    for operation in (CHAT, Operation.RESPONSES, Operation.EMBEDDINGS, Operation.COMPLETIONS):
        found = rough(operation, body(messages=value, input=value, prompt=value, tools=value), "gpt-4o")
        assert isinstance(found, int)
        assert found >= 0
