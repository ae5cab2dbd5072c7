"""What the lines of an input ask for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.errors import BadRequestError
from headgate.jobs.intake import LONGEST_ID, Intake, Wish
from headgate.jobs.row import Outcome, Row
from headgate.jobs.template import Template
from headgate.testing import virtual_time


def _rows(*texts, **wish):
    async def source():
        for number, text in enumerate(texts, 1):
            yield number, text.encode() if isinstance(text, str) else text

    async def story():
        return [taken.row async for taken in Intake(Wish(**wish)).rows(source())]

    return virtual_time(story())


def _asked(row):
    assert isinstance(row, Row), row
    return row.id, row.operation, json.loads(row.body)


def _refused(row):
    assert isinstance(row, Outcome), row
    assert not row.succeeded
    assert (row.body, row.attempts, row.cost) == (None, 0, 0)
    return row.number, row.id, row.error.code


def test_a_prompt_a_conversation_and_a_line_of_the_batch_api():
    """Each becomes the request that it stands for; its own parameters go with it."""
    messages = [{"role": "user", "content": "Hi"}]
    rows = _rows(
        '{"custom_id": "a", "prompt": "Hi", "max_tokens": 5}',
        json.dumps({"messages": messages, "temperature": 0}),
        json.dumps({"custom_id": "c", "method": "POST", "url": "/v1/responses", "body": {"model": "n", "input": "Hi"}}),
        json.dumps({"custom_id": "d", "url": "/v1/embeddings", "body": {"model": "e", "input": "Hi"}}),
        model="m",
        params={"max_tokens": b"9"},
    )
    assert [_asked(row) for row in rows] == [
        ("a", "chat", {"model": "m", "max_tokens": 5, "messages": messages}),
        ("row-2", "chat", {"model": "m", "max_tokens": 9, "temperature": 0, "messages": messages}),
        ("c", "responses", {"max_tokens": 9, "model": "n", "input": "Hi"}),
        ("d", "embeddings", {"model": "e", "input": "Hi"}),
    ]
    assert [row.number for row in rows] == [1, 2, 3, 4]


def test_a_batch_line_that_says_all_is_posted_byte_for_byte():
    """Only what it lacks is added; numbers and spaces keep their spelling."""
    body = b'{ "model" :"n", "input": "Hi", "temperature": 1.0 }'
    line = b'{"custom_id":"c","url":"/v1/responses","body":' + body + b"}"
    assert _rows(line, model="m")[0].body == body
    added = _rows(line, tier="flex")[0].body
    assert added.startswith(b'{"service_tier":"flex",')
    assert added.endswith(body[2:])


def test_flex_is_asked_of_what_talks_only():
    """And of no row that names another tier."""
    rows = _rows(
        '{"prompt": "a"}',
        '{"prompt": "a", "service_tier": "priority"}',
        '{"url": "/v1/embeddings", "body": {"model": "e", "input": "x"}}',
        tier="flex",
    )
    assert [_asked(row)[2].get("service_tier") for row in rows] == ["flex", "priority", None]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("nonsense", "invalid_json"),
        ("[1]", "invalid_json"),
        ('{"prompt": "a"', "invalid_json"),
        ("{" * 10_000, "invalid_json"),
        ('{"a":' * 300 + "1" + "}" * 300, "no_prompt"),
        (b'{"prompt": "\xff"}', "invalid_utf8"),
        (None, "too_long"),
        ("{}", "no_prompt"),
        ('{"prompt": ""}', "no_prompt"),
        ('{"prompt": "a", "messages": []}', "no_prompt"),
        ('{"prompt": 5}', "invalid_type"),
        ('{"prompt": "a", "custom_id": 5}', "invalid_type"),
        ('{"prompt": "a", "custom_id": "' + "x" * (LONGEST_ID + 1) + '"}', "invalid_custom_id"),
        ('{"url": "/v1/chat/completions"}', "missing_field"),
        ('{"body": {}}', "missing_field"),
        ('{"url": "/v1/files", "body": {}}', "unknown_url"),
        ('{"url": "/v1/audio/speech", "body": {}}', "unknown_url"),
        ('{"url": "/v1/responses", "method": "GET", "body": {}}', "unknown_url"),
        ('{"url": "http://evil/v1/responses", "body": {}}', "unknown_url"),
        ('{"url": "/v1/responses", "body": "x"}', "invalid_json"),
    ],
)
def test_a_bad_line_is_a_failed_outcome_and_the_next_one_is_read(line, code):
    """It costs nothing, stops nothing, and is named by its number."""
    bad, good = _rows(line, '{"custom_id": "good", "prompt": "a"}', model="m")
    number, name, found = _refused(bad)
    assert (number, found) == (1, code)
    assert name == "row-1"
    assert bad.error.message.count("1") >= 1
    assert good.id == "good"


@given(st.binary(max_size=60))
def test_no_line_breaks_it(line):
    """Whatever stands there becomes a row or a failed outcome."""
    found = _rows(line, model="m")
    assert len(found) == bool(line.strip())


def test_a_name_stands_for_one_row():
    """The second row with a name fails under another one, so that nobody takes its outcome for the first one's."""
    rows = _rows(
        '{"custom_id": "a", "prompt": "1"}', '{"custom_id": "a", "prompt": "2"}', '{"custom_id": "", "prompt": "3"}'
    )
    assert _asked(rows[0])[0] == "a"
    assert _refused(rows[1]) == (2, "row-2", "duplicate_custom_id")
    assert "'a'" in rows[1].error.message
    assert _asked(rows[2])[0] == "row-3"


def test_empty_lines_are_passed_over_and_counted():
    """A row's number is its line."""
    assert [row.number for row in _rows("", '{"prompt": "a"}', "  \r", '{"prompt": "b"}')] == [2, 4]


def test_a_template_takes_the_fields_as_data():
    """They are no parameters then."""
    (row, bad) = _rows(
        '{"custom_id": "a", "n": 3, "word": "oui", "label": "x"}', '{"word": null, "n": 1}',
        model="m", template=Template("{word}, {n} times"), params={"max_tokens": b"5"},
    )  # fmt: skip
    content = [{"role": "user", "content": "oui, 3 times"}]
    assert _asked(row) == ("a", "chat", {"model": "m", "max_tokens": 5, "messages": content})
    assert _refused(bad)[2] == "missing_field"


def test_a_sheet_has_a_column_of_prompts():
    """Named by its first line; a column `custom_id` names the rows."""
    rows = _rows(
        "custom_id, q ,x", 'a,"What, ""now""?",1', ",Why?,2", "c,,3", "d,1,2,3", sheet=True, column="q", model="m"
    )
    assert [_asked(row)[2]["messages"][0]["content"] for row in rows[:2]] == ['What, "now"?', "Why?"]
    assert [row.id for row in rows] == ["a", "row-3", "c", "row-5"]
    assert [_refused(row)[2] for row in rows[2:]] == ["no_prompt", "malformed_row"]


def test_a_row_of_a_sheet_whose_quote_is_never_closed_asks_nothing():
    """All that stands below it would be its prompt."""
    good, bad = _rows("q", "Why?", '"What', "Who?", "When?", sheet=True, column="q", model="m")
    assert _asked(good)[0] == "row-2"
    assert _refused(bad)[2] == "malformed_row"
    assert bad.error.message == "Line 3 has a quote that is never closed, so that all lines below are part of it."


@pytest.mark.parametrize("wish", [{"column": "q"}, {"template": Template("{q}")}])
def test_a_sheet_without_the_column_stops_at_once(wish):
    """It is a wrong flag, not a bad row."""
    with pytest.raises(BadRequestError, match="no column 'q'; it has: a, b"):
        _rows("a,b", "1,2", sheet=True, **wish)


def test_a_line_is_known_again_by_its_mark():
    """The same bytes, the same mark."""

    async def source():
        for number, text in enumerate([b'{"prompt":"a"}', b'{"prompt":"a"}', b'{"prompt":"b"}'], 1):
            yield number, text

    async def story():
        return [taken.mark async for taken in Intake(Wish(model="m")).rows(source())]

    one, two, three = virtual_time(story())
    assert one == two != three
