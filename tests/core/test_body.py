"""Covers core/body.py."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.body import Body, ObjectReader, spans
from headgate.core.errors import BadRequestError


class Facts(msgspec.Struct):
    """What a reader in this test asks for."""

    model: str | None = None
    stream: bool | None = None


READER = ObjectReader(Facts)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=8) | st.sampled_from(["model", "stream", "a"]), JSON_VALUES, max_size=6)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "invalid_json"),
        (b"   ", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        (b'"x"', "invalid_json"),
        (b"null", "invalid_json"),
        (b'{"a":1}x', "invalid_json"),
        (b'{"a":NaN}', "invalid_json"),
        (b'{"a":[1,2}', "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"x":' + b"[" * 100_000, "invalid_json"),
        (b'{"x":' + b'{"a":' * 100_000, "invalid_json"),
        (b'{"a":"\xff"}', "invalid_utf8"),
        (b'{"a":"\xed\xa0\x80"}', "invalid_utf8"),
        (b'{"model":5}', "invalid_type"),
        (b'{"stream":1}', "invalid_type"),
        (b'{"stream":"true"}', "invalid_type"),
        (b'{"model":"a","model":"b"}', "duplicate_field"),
        (b'{"model":"a","x":{"model":1},"model":"a"}', "duplicate_field"),
        (b'{"model":"a","Model":"b"}', "duplicate_field"),
        (b'{"mo\\u0064el":"a","model":"b"}', "duplicate_field"),
        (b'{"MODEL":"a"}', "misspelled_field"),
        (b'{"\\u004dodel":"a"}', "misspelled_field"),
    ],
)
def test_bad_bodies_are_refused(raw: bytes, code: str):
    """Every malformed or ambiguous body gets a BadRequestError with its code."""
    with pytest.raises(BadRequestError) as caught:
        READER.read(raw)
    assert caught.value.code == code
    assert caught.value.http_status == 400


def test_the_field_at_fault_is_named():
    """The error names the field, the type that was expected and the one that came, as JSON calls them."""
    with pytest.raises(BadRequestError, match=r"expected `string . null`, got `integer`") as caught:
        READER.read(b'{"model":5}')
    assert caught.value.param == "model"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"a"}',
        b'{"model":null,"stream":null}',
        b'{"x":{"model":1,"Model":2},"model":"a","y":["model","model"]}',
        b'{"text":"\\"model\\" \\u006d","model":"a"}',
        b'{"mod\\u0065l":"a"}',
        b' \n{"model"\t:\r"a" } ',
    ],
)
def test_good_bodies_pass(raw: bytes):
    """Fields of the same name elsewhere, odd spacing and escapes do no harm."""
    assert READER.read(raw).model in {"a", None}


@given(st.dictionaries(st.text(max_size=6), JSON_VALUES, max_size=6), st.text(max_size=10), st.booleans())
def test_what_is_read_is_what_is_there(extra: dict[str, object], model: str, ascii_only: bool):
    """Reading agrees with the standard parser on any object."""
    whole = {key: value for key, value in extra.items() if key.lower() not in {"model", "stream"}}
    whole["model"] = model
    raw = json.dumps(whole, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        raw.decode()
    except UnicodeDecodeError:
        return
    assert READER.read(raw).model == model


@given(OBJECTS, st.text(max_size=8), JSON_VALUES)
def test_an_edit_changes_one_field_only(whole: dict[str, object], name: str, value: object):
    """After an edit every other field has the same bytes, and the order stays."""
    body = Body(json.dumps(whole, ensure_ascii=True).encode())
    edited = body.with_field(name, json.dumps(value).encode())
    assert json.loads(edited.raw) == {**whole, name: value}
    before = (
        [(s.name, body.raw.decode()[s.start : s.end]) for s in spans(body.raw.decode()) if s.name != name]
        if whole
        else []
    )
    after = [(s.name, edited.raw.decode()[s.start : s.end]) for s in spans(edited.raw.decode()) if s.name != name]
    assert before == after


def test_spelling_survives_an_edit():
    """Number spellings, spacing, nulls and order stay as the caller wrote them."""
    raw = '{ "z": 1.0e5, "model" : "a" ,"n":null, "ü": "é" }'.encode()
    assert Body(raw).with_field("model", b'"b"').raw == raw.replace(b'"a"', b'"b"')
    assert Body(b"{}").with_field("q", b"1").raw == b'{"q":1}'
    assert Body(b' {"a":1}').with_field("q", b"1").raw == b' {"q":1,"a":1}'


@pytest.mark.parametrize(
    ("raw", "gone", "left"),
    [
        ('{"a":1}', "a", "{}"),
        ('{ "a" : 1 }', "a", "{ }"),
        ('{"a":1, "b":2,\n"c":3}', "a", '{"b":2,\n"c":3}'),
        ('{"a":1, "b":2,\n"c":3}', "b", '{"a":1, "c":3}'),
        ('{"a":1, "b":2,\n"c":3 }', "c", '{"a":1, "b":2 }'),
        ('{"a":1, "b":2,\n"c":3 }', "bc", '{"a":1 }'),
        ('{"a":1, "b":2,\n"c":3}', "ac", '{"b":2}'),
        ('{"a":1, "b":2,\n"c":3}', "abc", "{}"),
        ('{"a":1,"b":2,"a":{"a":3}}', "a", '{"b":2}'),
        ('{"\\u0061":1,"b":"a"}', "a", '{"b":"a"}'),
        ('{"b":2}', "a", '{"b":2}'),
        ("{}", "a", "{}"),
    ],
)
def test_fields_go_without_a_trace(raw: str, gone: str, left: str):
    """A field that is removed takes one comma along, wherever it stands and however its name is spelled."""
    assert Body(raw.encode()).edited(dict.fromkeys(gone)).raw.decode() == left


@given(OBJECTS, st.dictionaries(st.text(max_size=8) | st.sampled_from(["a", "model"]), st.none() | JSON_VALUES))
def test_many_edits_at_once(whole: dict[str, object], changes: dict[str, object]):
    """Set and removed together: the rest has the same bytes, in the same order."""
    body = Body(json.dumps(whole).encode())
    edited = body.edited({name: None if new is None else json.dumps(new).encode() for name, new in changes.items()})
    there = {name: new for name, new in changes.items() if new is not None}
    assert json.loads(edited.raw) == {name: value for name, value in whole.items() if name not in changes} | there

    def others(text: str) -> list[tuple[str, str]]:
        return [(s.name, text[s.start : s.end]) for s in spans(text) if s.name not in changes] if text != "{}" else []

    assert others(edited.raw.decode()) == others(body.raw.decode())


def test_an_edit_of_odd_bodies():
    """A number of any length is passed over; a nesting without end is refused, not crashed upon."""
    huge = b'{"x":' + b"9" * 5000 + b',"a":1}'
    assert Body(huge).edited({"a": None}).raw == b'{"x":' + b"9" * 5000 + b"}"
    with pytest.raises(BadRequestError, match="nested too deeply"):
        Body(b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}").edited({"a": None})


def test_a_field_that_is_spelled_in_another_way_is_not_added_again():
    """By an escape, or beyond the letters that are spelled in one way only."""
    assert Body(b'{"m\\u0061x": 1}').with_field("max", b"2").raw == b'{"m\\u0061x": 2}'
    assert Body('{"é": 1}'.encode()).with_field("é", b"2").raw == '{"é": 2}'.encode()
    assert Body(b'{"a\\u002db": 1}').with_field("a-b", b"2").raw == b'{"a\\u002db": 2}'
    assert Body(b'{"a": "q"}').with_field("q", b"1").raw == b'{"q":1,"a": "q"}'


def test_what_somebody_finds_out_is_found_out_once():
    """By each who looks; an edited body is another one."""
    looks: list[bytes] = []

    def look(body: Body) -> int:
        looks.append(body.raw)
        return body.size

    body = Body(b'{"a":1}')
    assert (body.once(look), body.once(look), body.once(lambda body: -body.size)) == (7, 7, -7)
    assert body.with_field("b", b"2").once(look) == 13
    assert looks == [b'{"a":1}', b'{"b":2,"a":1}']


def test_the_view_is_made_once():
    """The decoded view is one object."""
    body = Body(b'{"a":[1]}')
    assert body.view is body.view
    assert body.view == {"a": [1]}


def test_a_field_that_is_known_to_be_new_is_put_in_front():
    """It is added without a look at the rest; into an empty object, too."""
    assert Body(b' { "a": 1}').with_new_field("b", b"2").raw == b' {"b":2, "a": 1}'
    assert Body(b"{ }").with_new_field("b", b"2").raw == b'{"b":2 }'


def test_marks_are_found_in_the_same_look():
    """Words are told that stand anywhere in quotes; all of them, where an escape may hide one."""

    class Facts(msgspec.Struct):
        model: str | None = None
        kept: str | None = None

    reader = ObjectReader(Facts, marks=("kept", "file_id"))
    assert reader.survey(b'{"model": "m", "text": "file_id"}') == (Facts("m"), {b'"file_id"'})
    assert reader.survey(b'{"model": "kept", "kept": "k"}') == (Facts("kept", "k"), {b'"kept"'})
    assert reader.survey(b'{"model": "file_idea"}')[1] == set()
    assert reader.survey(b'{"file\\u005fid": 1}')[1] == {b'"kept"', b'"file_id"'}
    with pytest.raises(BadRequestError):
        reader.survey(b'{"kept": "a", "kept": "b"}')
