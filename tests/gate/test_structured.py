"""Asking for an object: repair, instruction, growth. How it goes through the gate stands in `tests/client`."""

import asyncio
import json

import pytest
from pydantic import BaseModel

from headgate.core.attempt import Attempt
from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.errors import (
    BadRequestError,
    FilteredError,
    OverloadedError,
    RefusalError,
    TruncatedError,
    ValidationError,
)
from headgate.core.reply import Event, Kind
from headgate.gate.shapes import Said, shape
from headgate.gate.structured import Draft, Question, answer


class City(BaseModel):
    """Where people live."""

    name: str
    inhabitants: int


def call(number=1):
    """A call, and one attempt on its trail."""
    return Call(
        id=f"c{number}", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0.0, day="2026-11-21",
        trail=[Attempt(1, "p", "m")],
    )  # fmt: skip


def asking(*texts):
    """A model that says these things in turn; and what it was asked, on behalf of whom."""
    asked = []
    left = list(texts)

    async def ask(question, parent):
        asked.append((question.prompt, list(question.options.get("messages") or ()), parent and parent.id))
        said = left.pop(0)
        if isinstance(said, Exception):
            raise said
        return call(len(asked)), said if isinstance(said, Said) else Said(said, "stop")

    return ask, asked


GOOD = '{"name":"Lyon","inhabitants":1}'


def test_an_answer_that_fits_is_asked_for_once():
    """As it was put."""
    ask, asked = asking(GOOD)
    assert asyncio.run(answer(Question(shape(City), "Where?", {}), ask)) == City(name="Lyon", inhabitants=1)
    assert asked == [("Where?", [], None)]


def test_a_model_is_told_what_is_wrong():
    """In a second call on behalf of the first one: the question, its answer, the problems."""
    ask, asked = asking('{"name":"Lyon"}', GOOD)
    assert asyncio.run(answer(Question(shape(City), "Where?", {}), ask)).name == "Lyon"
    assert len(asked) == 2
    prompt, messages, parent = asked[1]
    assert (prompt, parent) == (None, "c1")
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[0]["content"] == "Where?"
    assert messages[1]["content"] == '{"name":"Lyon"}'
    assert "- `inhabitants`: Field required" in messages[2]["content"]


def test_pictures_and_conversations_are_kept():
    """They are said again with the correction; an empty answer is not repeated."""
    ask, asked = asking("", GOOD)
    question = Question(shape(City), "Where?", {}, images=["data:x"])
    asyncio.run(answer(question, ask))
    parts = asked[1][1][0]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url"]
    assert [message["role"] for message in asked[1][1]] == ["user", "user"]
    ask, asked = asking("{}", GOOD)
    talk = ({"role": "user", "content": "Where?"}, {"role": "assistant", "content": "There."})
    asyncio.run(answer(Question(shape(City), None, {"messages": talk}), ask))
    assert asked[1][1][:2] == list(talk)
    assert len(asked[1][1]) == 4


@pytest.mark.parametrize("repairs", [0, 1, 3])
def test_repairs_are_bounded(repairs):
    """Then the error says what the last answer was, and has the attempts of all calls."""
    ask, asked = asking(*["{}"] * 9)
    with pytest.raises(ValidationError) as caught:
        asyncio.run(answer(Question(shape(City), "Where?", {}, repairs=repairs), ask))
    assert len(asked) == len(caught.value.attempts) == repairs + 1
    assert {parent for _, _, parent in asked[1:]} <= {"c1"}
    assert caught.value.text == "{}"


@pytest.mark.parametrize("repairs", [-1, 6, True, 1.0, "1"])
def test_a_number_of_repairs_is_one(repairs):
    """Else nothing is sent."""
    with pytest.raises(BadRequestError, match="repairs"):
        Question(shape(City), "Where?", {}, repairs=repairs)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (Said("", "stop", "No."), RefusalError),
        (Said("{", "length"), TruncatedError),
        (Said("{", "content_filter"), FilteredError),
    ],
)
def test_who_would_do_it_again_is_not_asked_again(said, error):
    """A refusal, a cut and a filter are final; also where they meet a repair."""
    ask, asked = asking(said)
    with pytest.raises(error) as caught:
        asyncio.run(answer(Question(shape(City), "Where?", {}, repairs=3), ask))
    assert (len(asked), len(caught.value.attempts)) == (1, 1)
    ask, asked = asking("{}", said)
    with pytest.raises(error) as caught:
        asyncio.run(answer(Question(shape(City), "Where?", {}, repairs=3), ask))
    assert (len(asked), len(caught.value.attempts)) == (2, 2)


def test_a_repair_that_fails_says_so():
    """Its own error, caused by what was to be repaired, with the attempts of both."""
    failure = OverloadedError("Busy.")
    failure.attempts = (Attempt(1, "p", "m"),)
    ask, _ = asking("{}", failure)
    with pytest.raises(OverloadedError) as caught:
        asyncio.run(answer(Question(shape(City), "Where?", {}), ask))
    assert isinstance(caught.value.__cause__, ValidationError)
    assert len(caught.value.attempts) == 2


def test_many_long_problems_are_cut():
    """The correction stays short, whatever was wrong."""
    question = Question(shape(City), "Where?", {})
    question.correct(ValidationError("m", text="t", problems=["x" * 9999] * 99))
    assert len(question.options["messages"][-1]["content"]) < 7000


def test_a_model_that_takes_no_schema_is_told_it():
    """In words, before anything else; and it is asked for JSON."""
    question = Question(shape(City), "Where?", {}, instruct=True)
    assert question.schema == {}
    system, user = question.options["messages"]
    assert (system["role"], user) == ("system", {"role": "user", "content": "Where?"})
    assert '"required":["name","inhabitants"]' in system["content"]


# ── growth ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def grown(text, *, wrapped=False, step=1):
    """All values that a text goes through, piece by piece."""
    draft = Draft(wrapped=wrapped)
    pieces = [text[at : at + step] for at in range(0, len(text), step)]
    values = [draft.value for piece in pieces if draft.grows(Event(kind=Kind.CONTENT, text=piece, size=len(piece)))]
    assert draft.said.text == text
    return values


def test_an_object_grows():
    """Texts letter by letter, numbers only when they are whole."""
    values = grown('{"a": "xy", "n": 123, "l": [1, 25]}')
    assert values == [
        {}, {"a": ""}, {"a": "x"}, {"a": "xy"}, {"a": "xy", "n": 123}, {"a": "xy", "n": 123, "l": []},
        {"a": "xy", "n": 123, "l": [1]}, {"a": "xy", "n": 123, "l": [1, 25]},
    ]  # fmt: skip


def test_what_is_wrapped_grows_unwrapped():
    """The wrapper is ours."""
    assert grown('{"value": ["a", "b"]}', wrapped=True)[-1] == ["a", "b"]
    assert grown('{"value": {"a": 1}}', wrapped=True) == [{}, {"a": 1}]


def test_what_is_no_json_does_not_grow():
    """And is whole all the same."""
    assert grown("Sure! Here you are.") == []


def test_long_answers_are_not_read_for_each_piece():
    """Each reading reads all of it: their number is bounded by the logarithm of the length."""
    long = json.dumps({"a": [f"word {n}" for n in range(20_000)]})
    values = grown(long, step=5)
    assert 100 < len(values) < 1500
