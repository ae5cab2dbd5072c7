"""A request's fields, read once and changed together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.body import Body
from headgate.core.errors import BadRequestError
from headgate.dialects.openai_draft import FIELDS, HOLDERS, Draft, flat_format, nested_format


def draft(raw):
    """A draft of these bytes."""
    return Draft(Body(raw))


def test_values_are_json_until_they_are_asked_for():
    """By dotted names; null was not given; only what is a word or a whole number is read as one."""
    made = draft(
        b'{"temperature": 1.0, "top_p": null, "max_tokens": 5, "n": 2.5, "reasoning": {"effort": "low", "x": 1},'
        b' "verbosity": "Low!", "text": []}'
    )
    assert [made.get(name) for name in ("temperature", "top_p", "reasoning.effort", "text.format", "stop")] == [
        b"1.0", b"", b'"low"', b"", b"",
    ]  # fmt: skip
    assert [made.word(name) for name in ("reasoning.effort", "verbosity", "n", "stop")] == ["low", None, None, None]
    assert [made.number(name) for name in ("max_tokens", "n", "temperature", "stop")] == [5, None, None, None]


@pytest.mark.parametrize("value", [b"9" * 5000, b"-1", b"1e9", b"[[1]]"])
def test_odd_values_are_left_alone(value):
    """What nobody means is neither a word nor a number, and harms nobody."""
    made = draft(b'{"max_tokens":%s,"reasoning_effort":%s}' % (value, value))
    assert (made.number("max_tokens"), made.word("reasoning_effort")) == (None, None)


def test_changes_are_one_edit():
    """Set, removed, inside an object or not; an object that was not there is made; the rest keeps its bytes."""
    made = draft(b'{ "seed" : 1e0, "stop": "a", "reasoning": {"summary": "auto", "effort": "max"}, "n":1}')
    made.put("stop", None)
    made.put("n", b"2")
    made.put("reasoning.effort", b'"low"')
    made.put("text.verbosity", b'"high"')
    assert made.body().raw == (
        b'{"text":{"verbosity":"high"}, "seed" : 1e0, "reasoning": {"summary": "auto", "effort": "low"}, "n":2}'
    )
    assert (made.get("stop"), made.word("reasoning.effort")) == (b"", "low")


def test_an_object_that_is_removed_takes_its_fields_along():
    """However they were changed before."""
    made = draft(b'{"reasoning": {"effort": "max"}, "seed": 1}')
    made.put("reasoning.effort", None)
    made.put("reasoning", None)
    assert made.body().raw == b'{"seed": 1}'


def test_what_should_be_an_object_stays():
    """The provider says what is wrong with it."""
    made = draft(b'{"reasoning": "hard"}')
    made.put("reasoning.effort", b'"low"')
    assert made.body().raw == b'{"reasoning": "hard"}'


def test_nothing_changed_is_the_same_body():
    """Not a copy."""
    body = Body(b'{"n": 1}')
    assert Draft(body).body() is body


@pytest.mark.parametrize(
    ("raw", "code", "param"),
    [
        (b'{"temperature": 0, "temperature": 1}', "duplicate_field", "temperature"),
        (b'{"Temperature": 0}', "misspelled_field", "Temperature"),
        (b'{"reasoning": {"effort": "low", "effort": "max"}}', "duplicate_field", "reasoning"),
        (b'{"text": {"Verbosity": "low"}}', "misspelled_field", "text"),
    ],
)
def test_two_parsers_never_see_two_requests(raw, code, param):
    """A field that is read stands there once and in its right spelling, inside an object, too."""
    with pytest.raises(BadRequestError) as caught:
        draft(raw)
    assert (caught.value.code, caught.value.param) == (code, param)


@pytest.mark.parametrize(
    ("chat", "responses"),
    [
        (b'{"type":"json_schema","json_schema":{"name":"n"}}', b'{"type":"json_schema","name":"n"}'),
        (b'{"type":"json_object"}', b'{"type":"json_object"}'),
        (b'{"type":"text"}', b'{"type":"text"}'),
        (b'"text"', b'"text"'),
    ],
)
def test_formats_of_both_apis(chat, responses):
    """What one nests the other has flat; the rest is the same in both."""
    assert flat_format(chat) == responses
    assert nested_format(responses) == chat


def test_a_format_without_its_schema_is_left_alone():
    """There is nothing to make flat."""
    assert flat_format(b'{"type":"json_schema"}') == b'{"type":"json_schema"}'
    assert flat_format(b'{"type":"json_schema","json_schema":3}') == b'{"type":"json_schema","json_schema":3}'


VALUES = st.sampled_from(
    [b"null", b"1", b"0.5", b'"low"', b'"none"', b"[]", b"{}", b'{"effort":"max"}', b'{"verbosity":"low"}', b"true"]
)
NAMES = [*FIELDS, *(f"{holder}.{name}" for holder, names in HOLDERS.items() for name in names)]


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES), st.dictionaries(st.sampled_from(NAMES), st.none() | VALUES))
def test_what_was_put_is_what_is_read_again(fields, changes):
    """Whatever stands there and whatever changes, the body that comes out says what the draft says."""
    raw = b"{" + b",".join(b'"%s":%s' % (name.encode(), value) for name, value in fields.items()) + b"}"
    made = draft(raw)
    for name, value in changes.items():
        if "." not in name:
            made.put(name, value)
    again = Draft(made.body())
    for name in FIELDS:
        assert again.get(name) == made.get(name).replace(b"null", b"")
