"""Covers providers/simulator/listed.py: an entry for each item, whatever stands beside it."""

import json

import pytest

from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.listed import by_item
from headgate.providers.simulator.schema import instance

ENTRY = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "answer": {"type": "string"}, "sure": {"type": "boolean"}},
    "required": ["id", "answer", "sure"],
    "additionalProperties": False,
}
SCHEMA = {"type": "object", "properties": {"answers": {"type": "array", "items": ENTRY}}, "required": ["answers"]}


def told(items, schema=SCHEMA, *, seed=b"1", **how):
    """What comes of a question about items."""
    value = instance(schema, Dice(b"x"))
    asked = items if isinstance(items, str) else json.dumps({"items": items})
    return by_item(schema, value, asked, lambda text, dice: f"{len(text)} {dice.below(10**9)}", seed, **how)


def items(*texts):
    """Items, each with an id."""
    return [{"id": f"id{number}", "text": text} for number, text in enumerate(texts)]


def test_each_item_gets_its_own_entry():
    """In order, with its id, beginning with its words."""
    found = told(items("What is A?", "And B?"))["answers"]
    assert [entry["id"] for entry in found] == ["id0", "id1"]
    assert [entry["answer"][:13] for entry in found] == ["What is A?: 1", "And B?: 6 " + found[1]["answer"][10:13]]
    assert all(type(entry["sure"]) is bool for entry in found)


def test_an_entry_depends_on_its_item_alone():
    """Not on its neighbours or its place; on the seed, too."""
    (alone,) = told(items("And B?"))["answers"]
    other = told(items("What is A?", "And B?", "C"))["answers"][1]
    assert alone | {"id": ""} == other | {"id": ""}
    assert told(items("And B?"), seed=b"2")["answers"][0]["answer"] != alone["answer"]


def test_one_may_be_forgotten():
    """The first one."""
    assert [entry["id"] for entry in told(items("a", "b", "c"), but_one=True)["answers"]] == ["id1", "id2"]


@pytest.mark.parametrize(
    "asked",
    ["Tell me about A.", "{", '{"items": []}', '{"items": [1, 2]}', '{"items": [{"text": "no id"}]}', "[" * 5000],
)
def test_who_asks_about_no_items_gets_any_value(asked):
    """As before."""
    assert told(asked) == instance(SCHEMA, Dice(b"x"))


def test_a_schema_without_entries_is_left_alone():
    """Also one whose bounds the entries would not keep."""
    flat = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert set(told(items("a"), flat)) == {"n"}
    few = {**SCHEMA, "properties": {"answers": {"type": "array", "items": ENTRY, "maxItems": 1}}}
    assert len(told(items("a", "b"), few)["answers"]) <= 1
