"""What a stream has said, so that another one can be held against it, and the events of both as they are on the wire.

Decides which part of the second answer's words is new. Nothing of it is kept: it is compared as it comes. Refuses to
know what an event is for (`openai_continued.py`).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from headgate.core.reply import Event, Kind
from headgate.dialects import sse
from headgate.dialects.openai_fields import UNREADABLE, measure

MOST = 1024 * 1024
"""Bytes of an answer that are remembered; a longer one is not continued."""

Fields = dict[str, msgspec.Raw]
"""An object of which only the names were read."""
EMPTY = msgspec.Raw(b"{}")

_FIELDS = msgspec.json.Decoder(Fields)
_LIST = msgspec.json.Decoder(list[Fields])
_ANY = msgspec.json.Decoder()
# Half of a character that a server cut in two is read as this: what it was is not known.
_UNSURE = "\N{REPLACEMENT CHARACTER}"


class Departed(Exception):  # noqa: N818  not an error: an answer of its own
    """The second answer does not go on from what was said."""


class Words:
    """The words of an answer, and those that the next one has to repeat."""

    __slots__ = ("_at", "_expected", "_size", "_texts")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._size = 0
        self._expected = ""
        self._at = 0

    def add(self, event: Event) -> None:
        """Words go to the caller."""
        self._size += event.size
        if event.text and self._size <= MOST:
            self._texts.append(event.text)
        elif event.size or event.kind is Kind.CONTENT:
            # More than words, or more than is remembered.
            self._size = MOST + 1
            self._texts.clear()

    def said(self) -> str | None:
        """All of them; None where they are not all that was said, or too many."""
        if self._size > MOST:
            return None
        text = "".join(self._texts)
        self._texts = [text]
        # The sizes count whatever was said: where they differ, it was more than words.
        return None if measure(text) != self._size or _UNSURE in text else text

    def begin(self, repeated: str) -> None:
        """An answer begins that has to repeat these words first."""
        self._expected = repeated
        self._at = 0

    @property
    def repeated(self) -> bool:
        """Everything was repeated."""
        return self._at == len(self._expected)

    def rest(self, event: Event) -> str:
        """The new part of an event's words.

        Raises:
            Departed: they are other words, or it says more than words.
        """
        text = event.text
        if event.size != measure(text) or (event.kind is Kind.CONTENT and not text):
            raise Departed
        if self.repeated:
            return text
        old = text[: len(self._expected) - self._at]
        if not self._expected.startswith(old, self._at):
            raise Departed
        self._at += len(old)
        rest = text[len(old) :]
        if old and _UNSURE in rest:
            raise Departed
        return rest


def parsed(raw: bytes) -> tuple[bytes, bytes | None]:
    """Name and data of an event that was read before."""
    events = sse.Decoder().feed(raw)
    return (events[0].name, events[0].data) if events else (b"", None)


def fields_of(raw: bytes | msgspec.Raw) -> Fields:
    """An object's fields, their values as they came.

    Half of a character in UTF-16, as a few servers send it, cannot be read so: then nothing follows, rather than
    something else.
    """
    try:
        return {} if bytes(raw) == b"null" else _FIELDS.decode(raw)
    except UNREADABLE:
        raise Departed from None


def list_of(raw: msgspec.Raw | None) -> list[Fields]:
    """A list of objects; empty where there is none."""
    try:
        return [] if raw is None or bytes(raw) == b"null" else _LIST.decode(raw)
    except UNREADABLE:
        raise Departed from None


def value_of(fields: Mapping[str, msgspec.Raw], name: str) -> Any:
    """A field's value; None where there is none."""
    try:
        return _ANY.decode(fields[name]) if name in fields else None
    except UNREADABLE:
        raise Departed from None


def word_of(fields: Mapping[str, msgspec.Raw], name: str) -> str | None:
    """A field's text; None where it is none."""
    value = value_of(fields, name)
    return value if isinstance(value, str) else None


def raw_of(value: Any) -> msgspec.Raw:
    """A value as JSON."""
    return msgspec.Raw(msgspec.json.encode(value))


def with_fields(event: Event, name: bytes, fields: Fields, text: str) -> Event:
    """The same event with other fields and words."""
    raw = sse.write(msgspec.json.encode(fields), name)
    return msgspec.structs.replace(event, raw=raw, text=text, size=measure(text), made=())
