"""What is kept of an answer, and how it is given again."""

import asyncio
import json

from hypothesis import given
from hypothesis import strategies as st

from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.policies.cache import record as module
from headgate.policies.cache.record import Record, packed, reply_of, unpacked

ANSWER = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
}  # fmt: skip
WHOLE = json.dumps(ANSWER).encode()


def record(whole=WHOLE, events=()):
    """What is kept of an answer."""
    return Record(1.5, "p", "m", simulated=True, cost=7, echo={}, whole=whole, events=list(events))


def call(operation=Operation.CHAT, *, stream=False):
    """Who wants it."""
    return Call("c", operation, "m", Body(b"{}"), 0.0, "d", stream=stream)


def test_it_comes_back_as_it_was():
    """Small, packed, or packed in another thread because it is large."""

    async def story():
        for size in (0, 1000, module.LARGE * 2):
            kept = record(bytes(size), [b"a", b"b" * size])
            raw = await packed(kept)
            assert len(raw) < 5000
            assert await unpacked(raw) == kept

    asyncio.run(story())


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda raw: b"0" + raw))
def test_what_cannot_be_read_is_nothing(raw):
    """Whatever stands in the store, no error comes of it."""
    assert asyncio.run(unpacked(raw)) is None or raw[:1] in {b"0", b"z"}


def test_what_was_cut_is_nothing():
    """At every byte."""

    async def story():
        raw = await packed(record(b"x" * 2000))
        assert [await unpacked(raw[:cut]) for cut in range(len(raw))] == [None] * len(raw)

    asyncio.run(story())


def test_more_than_fits_is_not_unpacked(monkeypatch):
    """A few bytes that would become many are no answer."""

    async def story():
        raw = await packed(record(bytes(100_000)))
        monkeypatch.setattr(module, "MOST_UNPACKED", 50_000)
        assert await unpacked(raw) is None

    asyncio.run(story())


def test_a_reply_says_what_is_known():
    """Who answered, that it was made up, and the words; in the form that is wanted."""
    whole, stream = reply_of(record(), call()), reply_of(record(), call(stream=True))
    assert (whole.target.provider, whole.target.model, whole.simulated) == ("p", "m", True)
    assert (whole.stream, stream.stream) == (False, True)

    async def story():
        assert (await whole.read()).raw == WHOLE
        assert "".join([event.text async for event in stream]) == "Hi"

    asyncio.run(story())


def test_what_has_not_the_form_that_is_wanted_is_nothing():
    """Or is no answer at all."""
    assert reply_of(record(b'{"data":[]}'), call(Operation.EMBEDDINGS, stream=True)) is None
    assert reply_of(record(b"no JSON"), call()) is None
    assert reply_of(record(b"no JSON"), call(stream=True)) is None
    assert reply_of(record(None, [b"data: {}\n\n"]), call(stream=True)) is None
    assert reply_of(record(None, [b"data: {}\n\n"]), call()) is None
