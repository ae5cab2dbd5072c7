"""Embeddings, on the simulator."""

import asyncio
import json
from array import array
from base64 import b64encode
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.client.asynchronous import AsyncHeadgate
from headgate.client.embedding import MOST_BYTES, MOST_TEXTS, checked, joined, portions, read
from headgate.client.synchronous import Headgate
from headgate.core.errors import BadRequestError, GarbledError, PartialFailureError, ProviderError
from headgate.core.usage import TokenUsage
from headgate.stores.protocols import Query

FACTS = {
    "model": "m", "provider": "p", "usage": TokenUsage(prompt_tokens=2), "cost_usd": Decimal("0.5"), "cached": False,
    "request_id": "req_1", "attempts": 1, "latency_ms": 5.0, "simulated": False,
}  # fmt: skip


def _raw(*entries):
    return json.dumps({"data": [{"index": index, "embedding": numbers} for index, numbers in entries]}).encode()


def _base64(*numbers):
    return b64encode(array("f", numbers).tobytes()).decode()


def _simulator(gate):
    return gate._gate.simulators["sim"]


def _story(practice, tell, *faults, **settings):
    async def story():
        async with AsyncHeadgate(practice(*faults, **settings)) as gate:
            await tell(gate)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())


# ── portions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.text(max_size=5).map(lambda text: text * 30_000), max_size=12))
def test_portions_are_all_texts_in_order(texts):
    """None too large, unless it is a single text; none empty; none could be joined with the next."""
    found = list(portions(texts)) if texts else []
    assert [text for portion in found for text in portion] == texts
    sizes = [sum(len(text.encode()) for text in portion) for portion in found]
    assert all(portion for portion in found)
    assert all(size <= MOST_BYTES or len(portion) == 1 for size, portion in zip(sizes, found, strict=True))
    for size, after in zip(sizes, found[1:], strict=False):
        assert size + len(after[0].encode()) > MOST_BYTES


def test_portions_have_no_more_texts_than_a_request_takes():
    """2,048, empty ones included."""
    assert [len(portion) for portion in portions([""] * (2 * MOST_TEXTS + 1))] == [MOST_TEXTS, MOST_TEXTS, 1]
    assert [len(portion) for portion in portions(["é" * (MOST_BYTES // 2), "", "a"])] == [2, 1]
    assert list(portions(["\ud800"])) == [["\ud800"]]


def test_what_is_no_text_is_refused():
    """With its place."""
    assert checked("one") == ("one",)
    assert checked(["one", "two"]) == ("one", "two")
    with pytest.raises(BadRequestError, match="no text to embed"):
        checked([])
    with pytest.raises(BadRequestError, match="Text 1 is of the type int"):
        checked(["one", 2])


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_vectors_come_in_the_order_of_the_texts():
    """By their index, in base64 or as decimal numbers."""
    answer = read(_raw((1, [0.25, -1]), (0, _base64(0.5, -2.0))), FACTS, number=2)
    assert answer.vectors == [[0.5, -2.0], [0.25, -1]]
    assert (answer.model, answer.request_id, answer.request_ids) == ("m", "req_1", ("req_1",))


@pytest.mark.parametrize(
    "raw",
    [
        _raw((0, [1.0])),
        _raw((0, [1.0]), (0, [1.0])),
        _raw((0, [1.0]), (2, [1.0])),
        _raw((0, [1.0]), (-1, [1.0])),
        _raw((0, [1.0]), (1, [1.0]), (1, [1.0])),
        _raw((0, [1.0]), (1, "AAA=")),
        _raw((0, [1.0]), (1, "no base64!")),
        _raw((0, [1.0]), (1, ["a"])),
        b'{"data": null}',
        b"[]",
        b"nothing",
    ],
)
def test_an_answer_that_is_not_about_these_texts_is_none(raw):
    """Too few, too many, numbered wrong, or no numbers: never a vector for the wrong text."""
    with pytest.raises(GarbledError):
        read(raw, FACTS, number=2)


def test_several_answers_become_one():
    """Sums are summed; one price that is not known makes the sum unknown."""
    first = read(_raw((0, [1.0])), FACTS, number=1)
    more = {"request_id": "req_2", "latency_ms": 9.0, "simulated": True, "attempts": 2}
    second = read(_raw((0, [2.0])), {**FACTS, **more}, number=1)
    both = joined([first, second])
    assert (both.vectors, both.request_ids, both.request_id) == ([[1.0], [2.0]], ("req_1", "req_2"), "req_1")
    assert (both.usage.prompt_tokens, both.cost_usd, both.attempts) == (4, Decimal("1.0"), 3)
    assert (both.latency_ms, both.simulated, both.cached) == (9.0, True, False)
    assert joined([first, read(_raw((0, [2.0])), {**FACTS, "cost_usd": None}, number=1)]).cost_usd is None
    assert joined([first]) is first


# ── AsyncHeadgate.embed ──────────────────────────────────────────────────────────────────────────────────────────────


def test_texts_become_vectors(practice):
    """As alike as the texts; asked for in base64, and on the books with the user and the tags."""

    async def tell(gate):
        asked = await gate.embed(
            ["The cat sat on the mat.", "A cat sat on a mat.", "Quarterly revenue rose."],
            tags={"team": "a"}, user="u-1", timeout=30, priority=9,
        )  # fmt: skip
        near, far = (sum(a * b for a, b in zip(asked.vectors[0], other, strict=True)) for other in asked.vectors[1:])
        assert near > far
        assert [len(vector) for vector in asked.vectors] == [1536] * 3
        assert (asked.model, asked.provider, asked.simulated) == ("text-embedding-3-small", "sim", True)
        assert asked.usage.prompt_tokens > 10
        assert asked.cost_usd == _simulator(gate).bill.usd() > 0
        sent = json.loads(_simulator(gate).last.body)
        assert (sent["encoding_format"], sent["user"]) == ("base64", "u-1")
        assert not sent.keys() & {"dimensions", "tags", "timeout", "priority"}
        await gate.usage()
        (row,) = [row async for row in gate._gate.rows(Query())]
        assert (row.operation, row.user, row.tags, row.prompt_tokens) == (
            "embeddings", "u-1", {"team": "a"}, asked.usage.prompt_tokens,
        )  # fmt: skip
        assert f"req_{row.call_id}" == asked.request_id

    _story(practice, tell)


def test_one_text_and_fewer_numbers(practice):
    """A string is one text."""

    async def tell(gate):
        one = await gate.embed("Hello", model="text-embedding-3-large", dimensions=8)
        assert [len(vector) for vector in one.vectors] == [8]
        assert one.model == "text-embedding-3-large"

    _story(practice, tell)


def test_many_texts_are_split_and_stay_in_order(practice):
    """Each vector is its text's own; every request is on the books, and its cost in the sum."""
    texts = [f"text number {n}" for n in range(MOST_TEXTS + 3)]

    async def tell(gate):
        many = await gate.embed(texts, dimensions=2)
        assert len(many.vectors) == len(texts)
        assert len(set(many.request_ids)) == 2
        for place in (0, MOST_TEXTS - 1, MOST_TEXTS, MOST_TEXTS + 2):
            assert (await gate.embed(texts[place], dimensions=2)).vectors == [many.vectors[place]]
        report = await gate.usage()
        assert report.calls == 6
        assert report.cost_usd == _simulator(gate).bill.usd()
        assert many.cost_usd < report.cost_usd

    _story(practice, tell)


def test_a_failure_among_several_keeps_what_succeeded(practice):
    """Its `results` are in the order of the texts; a failure alone is raised as it is."""

    async def tell(gate):
        with pytest.raises(PartialFailureError, match="1 of 2 calls failed") as caught:
            await gate.embed(["fine"] * MOST_TEXTS + [""], dimensions=1)
        good, bad = caught.value.results
        assert len(good.vectors) == MOST_TEXTS
        assert good.cost_usd == _simulator(gate).bill.usd()
        assert isinstance(bad, ProviderError)
        with pytest.raises(ProviderError):
            await gate.embed("")

    _story(practice, tell)


def test_a_wrong_option_is_named(practice):
    """Before anything is sent."""

    async def tell(gate):
        with pytest.raises(BadRequestError, match="no option 'dimension'"):
            await gate.embed("a", dimension=3)
        with pytest.raises(BadRequestError, match="written as JSON"):
            await gate.embed("\ud800")
        assert not _simulator(gate).log

    _story(practice, tell)


def test_the_same_for_callers_who_wait(practice):
    """`Headgate.embed`."""
    with Headgate(practice()) as gate:
        assert len(gate.embed(["a", "b"], dimensions=3).vectors) == 2
