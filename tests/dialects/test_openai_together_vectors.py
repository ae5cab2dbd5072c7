"""Covers dialects/openai_together_vectors.py: several embeddings as one request, and apart again."""

import json

import pytest

from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.core.usage import TokenUsage
from headgate.dialects.openai_together_vectors import LONGEST, read, tell, vectors, write
from headgate.dialects.registry import DIALECTS


def asked(**fields):
    """A request, read."""
    return read(Body(json.dumps({"model": "m", "input": "Hi", **fields}).encode()))


@pytest.mark.parametrize(
    ("fields", "plain"),
    [
        ({}, True), ({"input": ["Hi"]}, True), ({"encoding_format": "base64", "dimensions": 8, "user": "u"}, True),
        ({"input": ["Hi", "Ho"]}, False), ({"input": [1, 2]}, False), ({"input": [[1, 2]]}, False),
        ({"input": ""}, False), ({"input": []}, False), ({"input": "é" * (LONGEST // 2 + 1)}, False),
        ({"new": 1}, False), ({"input": None}, False),
    ],
)  # fmt: skip
def test_what_may_be_asked_with_others(fields, plain):
    """One text that no model finds too long."""
    assert (asked(**fields) is not None) == plain


def test_a_request_asks_for_all_of_them():
    """With what they have in common, as it is spelled."""
    found = asked(dimensions=8, encoding_format="base64")
    raw = write("m", found.fields, ["a", 'b"'])
    assert json.loads(raw) == {"model": "m", "input": ["a", 'b"'], "dimensions": 8, "encoding_format": "base64"}
    assert asked(dimensions=8).fields != asked(dimensions=9).fields


def test_vectors_keep_their_bytes():
    """Whatever their order in the answer."""
    raw = b'{"data": [{"index": 1, "embedding": "AA=="}, {"index": 0, "embedding": [1.0, -0.50]}]}'
    assert vectors(raw, 2) == {0: b"[1.0, -0.50]", 1: b'"AA=="'}


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{}", b'{"data": []}', b'{"data": [{"index": 0, "embedding": []}]}', b'{"data": [1, 2]}',
        b'{"data": [{"index": 0, "embedding": []}, {"index": 0, "embedding": []}]}',
        b'{"data": [{"index": 0, "embedding": []}, {"index": 2, "embedding": []}]}',
        b'{"data": [{"index": 0, "embedding": []}, {"index": 1, "embedding": []}, {"index": 1, "embedding": []}]}',
        b'{"data":' + b"[" * 10_000,
    ],
)  # fmt: skip
def test_an_answer_about_other_texts_is_nobodys(raw):
    """Too few, too many, twice, unreadable."""
    assert vectors(raw, 2) == {}


def test_an_answer_is_as_if_it_had_been_asked_alone():
    """The dialect's own reader takes it."""
    told = tell(b"[1.0, -0.50]", model="m", usage=TokenUsage(prompt_tokens=3))
    assert b'"embedding":[1.0, -0.50]' in told
    event = DIALECTS[Operation.EMBEDDINGS].read_answer(told)
    assert (event.usage, event.model) == (TokenUsage(prompt_tokens=3), "m")
    assert "usage" not in json.loads(tell(b"[]", model="m", usage=None))
