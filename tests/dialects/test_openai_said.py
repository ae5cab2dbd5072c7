"""What a stream has said, and what of another one is new."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.reply import Event, Kind
from headgate.dialects.openai_said import (
    MOST,
    Departed,
    Words,
    fields_of,
    list_of,
    parsed,
    raw_of,
    value_of,
    with_fields,
    word_of,
)

PIECES = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"), min_size=1))


def said(text: str, *, beside: int = 0) -> Event:
    """An event with words, and bytes of output beside them."""
    return Event(kind=Kind.CONTENT, text=text, size=len(text.encode()) + beside)


@given(pieces=PIECES, at=st.integers(0, 50))
def test_what_is_new_is_what_follows_the_repeated_words(pieces, at):
    """In whatever pieces they come; all that was said is known as repeated once it was."""
    text = "".join(pieces)
    words = Words()
    for piece in pieces:
        words.add(said(piece))
    assert words.said() == words.said() == text
    words.begin(text[:at])
    assert "".join(words.rest(said(piece)) for piece in pieces) == text[at:]
    assert words.repeated


@given(pieces=PIECES, at=st.integers(0, 50))
def test_another_character_is_a_departure(pieces, at):
    """Wherever it stands."""
    text = "".join(pieces)
    if at >= len(text):
        return
    words = Words()
    words.begin(text[:at] + ("x" if text[at] != "x" else "y"))
    with pytest.raises(Departed):
        list(map(words.rest, map(said, pieces)))


@pytest.mark.parametrize(
    "more", [said("a", beside=1), Event(kind=Kind.CONTENT), said("a" * (MOST + 1)), said("\ufffd")]
)
def test_what_cannot_be_repeated_is_not_known_as_said(more):
    """More than words, none that can be seen, too many of them, half a character."""
    words = Words()
    words.add(said("a"))
    words.add(more)
    words.add(said("b"))
    assert words.said() is None


def test_an_object_is_read_by_its_names_alone():
    """Values keep their bytes; null is empty, and what cannot be read is a departure."""
    fields = fields_of(b'{"a": 1.0, "b": "x", "c": [{"d":  2}], "e": null}')
    assert msgspec.json.encode(fields) == b'{"a":1.0,"b":"x","c":[{"d":  2}],"e":null}'
    assert (word_of(fields, "b"), word_of(fields, "a"), value_of(fields, "f")) == ("x", None, None)
    assert [bytes(one["d"]) for one in list_of(fields["c"])] == [b"2"]
    assert (list_of(fields["e"]), list_of(None), fields_of(fields["e"])) == ([], [], {})
    for read in (fields_of, list_of):
        with pytest.raises(Departed):
            read(msgspec.Raw(b"5"))
    with pytest.raises(Departed):
        value_of({"a": msgspec.Raw(b'"\\ud83d"')}, "a")


def test_an_event_with_other_words():
    """Its name stays, its size follows, and it makes nothing that anybody could ask for."""
    event = with_fields(Event(kind=Kind.CONTENT, made=("id",)), b"n", {"a": raw_of("é")}, "é")
    assert (event.raw, event.text, event.size, event.made) == ('event: n\ndata: {"a":"é"}\n\n'.encode(), "é", 2, ())
    assert parsed(event.raw) == (b"n", '{"a":"é"}'.encode())
    assert parsed(b": hi\n\n") == (b"", None)
    assert parsed(b"") == (b"", None)
