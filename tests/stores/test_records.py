"""Covers stores/records.py: what is written down, and what a ledger can book of it."""

import msgspec
import pytest

from headgate.core.call import NO_TAGS
from headgate.stores.records import LARGEST, LARGEST_COUNT, CallEnd, Intent, Outcome, sound


def test_what_is_usual_is_not_written(pen):
    """A line of the journal names what it says, and leaves out what goes without saying."""
    intent = pen.intent(key=None, project=None, user=None, tags=NO_TAGS)
    assert msgspec.json.encode(intent) == (
        b'{"type":"intent","call_id":"c","attempt":1,"day":"2027-01-15","time":1800000000.0,"operation":"chat",'
        b'"model_requested":"fast","provider":"openai","model":"gpt-6-luna"}'
    )
    assert msgspec.json.encode(pen.end()) == b'{"type":"call","call_id":"c","attempts":1,"status":200}'


def test_every_record_comes_back(pen):
    """Whatever it says."""
    for record in (pen.intent(parent="p"), pen.outcome(made=("file-1",)), pen.end(attempts=0, cache="hit")):
        assert msgspec.json.decode(msgspec.json.encode(record), type=Intent | Outcome | CallEnd) == record


@pytest.mark.parametrize("figure", ["attempt", "cost", "status"])
@pytest.mark.parametrize(
    ("value", "good"), [(0, True), (LARGEST, True), (LARGEST + 1, False), (-1, False), ("1", False), (0.5, False)]
)
def test_every_figure_of_an_outcome_must_fit(pen, figure, value, good):
    """Between 0 and 64 bits, and a whole number."""
    assert sound(pen.outcome(**{figure: value})) is good


@pytest.mark.parametrize(
    "figure", ["prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"]
)
@pytest.mark.parametrize(
    ("value", "good"),
    [(0, True), (LARGEST_COUNT, True), (LARGEST_COUNT + 1, False), (-1, False), ("1", False), (0.5, False)],
)
def test_every_number_of_tokens_must_leave_room_for_its_sum(pen, figure, value, good):
    """Between 0 and 40 bits, and a whole number."""
    assert sound(pen.outcome(**{figure: value})) is good


@pytest.mark.parametrize(
    ("value", "good"), [(0, True), (LARGEST, True), (LARGEST + 1, False), (-1, False), ("1", False)]
)
def test_every_other_figure_must_fit(pen, value, good):
    """Of an intent, of an end, and of the intent that an end brings along."""
    assert sound(pen.intent(attempt=value)) is good
    assert sound(pen.end(attempts=value, intent=None)) is good
    assert sound(pen.end(status=value)) is good
    assert sound(pen.end(attempts=0, intent=pen.intent(attempt=value))) is good


def test_no_text_holds_what_postgres_does_not_know(pen):
    """NUL, in any text of any record; what only looks like it is text."""
    bad = [
        pen.intent(user="a\0"),
        pen.intent(tags={"a": "\0"}),
        pen.intent(tags={"\0": "a"}),
        pen.outcome(error_type="\0"),
    ]
    bad.append(pen.end(attempts=0, intent=pen.intent(model_requested="\0", attempt=0)))
    assert [sound(record) for record in bad] == [False] * 5
    assert sound(pen.intent(user="\\u0000", tags={"a": "\\0"}))
