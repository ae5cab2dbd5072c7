"""Moderations, on the simulator."""

import asyncio
import json
from decimal import Decimal

import pytest

from headgate.client.asynchronous import AsyncHeadgate
from headgate.client.moderation import number_of, read
from headgate.client.synchronous import Headgate
from headgate.core.errors import BadRequestError, GarbledError
from headgate.core.usage import TokenUsage
from headgate.stores.protocols import Query

FACTS = {
    "model": "m", "provider": "p", "usage": TokenUsage(), "cost_usd": Decimal(0), "cached": False,
    "request_id": "req_1", "attempts": 1, "latency_ms": 5.0, "simulated": False,
}  # fmt: skip
TEXT = {"type": "text", "text": "I will kill you"}
PIXEL = "https://pictures.example/a.png"
PICTURE = {"type": "image_url", "image_url": {"url": PIXEL}}


def _story(practice, tell):
    async def story():
        async with AsyncHeadgate(practice()) as gate:
            await tell(gate)

    asyncio.run(story())


def test_how_many_verdicts_there_will_be():
    """One for each text; one for all parts of an input together."""
    assert [number_of(one) for one in ("a", ["a"], ["a", "b"], [TEXT], [TEXT, PICTURE], ("a", "b"))] == [
        1, 1, 2, 1, 1, 2,
    ]  # fmt: skip
    for nothing in ("", []):
        with pytest.raises(BadRequestError, match="nothing to judge"):
            number_of(nothing)


def test_a_verdict_as_the_provider_tells_it():
    """Categories keep their names; those without a value are left out."""
    result = {
        "flagged": True,
        "categories": {"violence": True, "hate/threatening": False, "illicit": None},
        "category_scores": {"violence": 0.9, "hate/threatening": 0.1, "illicit": None},
        "category_applied_input_types": {"violence": ["text", "image"]},
        "more": 1,
    }
    answer = read(json.dumps({"id": "modr-1", "results": [result]}).encode(), FACTS, number=1)
    (verdict,) = answer.results
    assert (answer.flagged, verdict.flagged) == (True, True)
    assert verdict.categories == {"violence": True, "hate/threatening": False}
    assert verdict.scores == {"violence": 0.9, "hate/threatening": 0.1}
    assert verdict.applied_input_types == {"violence": ["text", "image"]}


@pytest.mark.parametrize("raw", [b'{"results": []}', b'{"results": [{}]}', b'{"results": [{"flagged": 1}]}', b"{}"])
def test_a_verdict_that_is_missing_is_not_invented(raw):
    """Nobody is acquitted by an answer that cannot be read."""
    with pytest.raises(GarbledError):
        read(raw, FACTS, number=1)


def test_texts_are_judged(practice):
    """In their order; free, and on the books with the user whom the API has no word for."""

    async def tell(gate):
        answer = await gate.moderate(["What a lovely day", "I will kill you"], user="u-1", tags={"team": "a"})
        assert [result.flagged for result in answer.results] == [False, True]
        assert answer.flagged
        bad = answer.results[1]
        assert bad.categories["violence"]
        assert bad.scores["violence"] > 0.5 > answer.results[0].scores["violence"]
        assert bad.applied_input_types["violence"] == ["text"]
        assert len(bad.categories) == 13
        assert "self-harm/intent" in bad.categories
        assert (answer.model, answer.cost_usd) == ("omni-moderation-latest", 0)
        assert json.loads(gate._gate.simulators["sim"].last.body).keys() == {"model", "input"}
        await gate.usage()
        (row,) = [row async for row in gate._gate.rows(Query())]
        assert (row.operation, row.user, row.tags, row.cost, row.settled) == (
            "moderations", "u-1", {"team": "a"}, 0, "billed",
        )  # fmt: skip

    _story(practice, tell)


def test_the_parts_of_one_input_are_judged_together(practice):
    """Text and a picture: one verdict, which says what was looked at."""

    async def tell(gate):
        answer = await gate.moderate([TEXT, PICTURE])
        assert len(answer.results) == 1
        assert answer.results[0].applied_input_types["violence"] == ["text", "image"]

    _story(practice, tell)


def test_the_same_for_callers_who_wait(practice):
    """`Headgate.moderate`."""
    with Headgate(practice()) as gate:
        assert not gate.moderate("Hello").flagged
        with pytest.raises(BadRequestError, match="no option 'modell'"):
            gate.moderate("Hello", modell="m")
