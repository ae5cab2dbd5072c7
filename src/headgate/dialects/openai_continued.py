"""A stream that broke, continued by the stream of another answer: to the caller, one.

Decides how the events of the second answer must look to follow those that the caller has seen: the first ones' ids, no
second beginning, numbers that count on. Refuses to know who is asked, and why the first stream broke.

What is not words (tools, reasoning, a refusal, a second answer) is never continued and never continues.
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from headgate.core.call import Operation
from headgate.core.reply import Event, Kind
from headgate.dialects.openai_said import (
    EMPTY,
    Departed,
    Fields,
    Words,
    fields_of,
    list_of,
    parsed,
    raw_of,
    value_of,
    with_fields,
    word_of,
)

MOST_MARKS = 256
"""Events without words that are remembered of an answer."""

# What a chunk says of all.
_IDENTITY = ("id", "object", "created", "system_fingerprint")


class Continued(Protocol):
    """What the caller has seen of one answer, and how another one goes on from there."""

    def note(self, event: Event) -> None:
        """An event goes to the caller."""
        ...

    def said(self) -> str | None:
        """All words so far; None where they are not all that was said, or too many."""
        ...

    def begin(self, repeated: str) -> None:
        """Another answer begins, which has to repeat these words first: all that were said, or the end of them."""
        ...

    def join(self, event: Event) -> Event | None:
        """What the caller shall see of an event of that answer; None for nothing.

        Raises:
            Departed: it says something else, or ends before it has said as much.
        """
        ...


def continued(operation: Operation) -> Continued:
    """What follows one stream of chat, completions or responses."""
    return ContinuedResponses() if operation is Operation.RESPONSES else ContinuedChat()


class ContinuedChat:
    """`Continued` for chat, and for the older completions."""

    __slots__ = ("_first", "_identity", "_words")

    def __init__(self) -> None:
        self._words = Words()
        self._first = b""
        self._identity: Fields = {}

    def note(self, event: Event) -> None:
        """An event goes to the caller."""
        self._words.add(event)
        # What comes before may be a chunk without a name: Azure's words on the prompt are.
        if not self._first and event.kind is Kind.CONTENT:
            self._first = event.raw

    def said(self) -> str | None:
        """All words so far; None where they are not all that was said, or too many."""
        try:
            first = fields_of(parsed(self._first)[1] or b"{}")
        except Departed:
            return None
        self._identity = {name: first[name] for name in _IDENTITY if name in first}
        return self._words.said()

    def begin(self, repeated: str) -> None:
        """Another answer begins."""
        self._words.begin(repeated)

    def join(self, event: Event) -> Event | None:
        """What the caller shall see of an event of that answer; None for nothing.

        Raises:
            Departed: it says something else, or ends before it has said as much.
        """
        name, data = parsed(event.raw)
        if data is None or data.strip() == b"[DONE]":
            return event
        rest = self._words.rest(event)
        # The role, and whatever else comes before a word, was said by the first answer.
        if event.kind is Kind.PREAMBLE or (event.kind is Kind.CONTENT and not rest):
            return None
        if not self._words.repeated:
            raise Departed
        return with_fields(event, name, self._chunk(data, rest if rest != event.text else None), rest)

    def _chunk(self, data: bytes, words: str | None) -> Fields:
        """A chunk of the second answer as one of the first; with these words instead of its own."""
        chunk = fields_of(data)
        for name in _IDENTITY:
            if name in self._identity:
                chunk[name] = self._identity[name]
            else:
                chunk.pop(name, None)
        choices = list_of(chunk.get("choices"))
        for choice in choices:
            if "text" in choice:
                if words is not None:
                    choice["text"] = raw_of(words)
                continue
            delta = fields_of(choice.get("delta", EMPTY))
            delta.pop("role", None)
            if words is not None:
                delta["content"] = raw_of(words)
            choice["delta"] = raw_of(delta)
        if choices:
            chunk["choices"] = raw_of(choices)
        return chunk


_LIFE = frozenset(("response.created", "response.queued", "response.in_progress", "keepalive"))
_DELTA = "response.output_text.delta"
_ADDED, _DONE = "response.output_item.added", "response.output_item.done"
_PART_ADDED = "response.content_part.added"
_CLOSING = frozenset(("response.output_text.done", "response.content_part.done", _DONE))
# What an answer of one text has once.
_ONCE = frozenset((_ADDED, _PART_ADDED)) | _CLOSING
_ENDS = frozenset(("response.completed", "response.incomplete"))
_PLACE = ("item_id", "output_index", "content_index")


class _Seen:
    """The shape of the first answer, as its events told it."""

    def __init__(self) -> None:
        self.response: Fields = {}
        """Its `id` and its time."""
        self.before: list[msgspec.Raw] = []
        """Items that were finished before its message: reasoning of which nothing is shown."""
        self.place: Fields = {}
        """Where its words stand."""
        self.closed: set[str] = set()
        """What was finished already."""


class ContinuedResponses:
    """`Continued` for responses: one message with one text. Reasoning that shows nothing may stand before it."""

    __slots__ = ("_item", "_last", "_marks", "_number", "_seen", "_words")

    def __init__(self) -> None:
        self._words = Words()
        self._marks: list[bytes] = []
        self._last = b""
        """The last event with words."""
        self._seen = _Seen()
        self._item: msgspec.Raw | None = None
        """The id of the second answer's message."""
        self._number: int | None = None
        """That of the next event; None where they are not numbered."""

    def note(self, event: Event) -> None:
        """An event goes to the caller."""
        if event.kind is Kind.CONTENT:
            self._words.add(event)
            self._last = event.raw
        elif len(self._marks) <= MOST_MARKS and not event.raw.startswith(b":"):
            self._marks.append(event.raw)

    def said(self) -> str | None:
        """All words so far; None where they are not all that was said, or too many."""
        if len(self._marks) > MOST_MARKS:
            return None
        try:
            self._seen, self._number = self._look()
        except Departed:
            return None
        return self._words.said()

    def begin(self, repeated: str) -> None:
        """Another answer begins."""
        self._item = None
        self._words.begin(repeated)

    def join(self, event: Event) -> Event | None:
        """What the caller shall see of an event of that answer; None for nothing.

        Raises:
            Departed: it says something else, or ends before it has said as much.
        """
        name, data = parsed(event.raw)
        if data is None or event.kind is Kind.TRAILER:
            return event
        fields = fields_of(data)
        kind = word_of(fields, "type") or name.decode(errors="replace")
        rest = self._words.rest(event)
        item = fields_of(fields.get("item", EMPTY))
        if kind in _LIFE or kind == _PART_ADDED or _silent(item):
            return None
        if kind == _ADDED:
            self._is_the_message(item.get("id"), item)
            return None
        if kind == _DELTA:
            self._is_the_message(fields.get("item_id"))
            if rest and self._seen.closed:
                raise Departed
            if rest != event.text:
                fields["delta"] = raw_of(rest)
            return self._placed(event, name, fields, rest) if rest else None
        if not self._words.repeated or rest:
            raise Departed
        self._close(kind, fields, item)
        return None if kind in self._seen.closed else self._placed(event, name, fields, "")

    def _close(self, kind: str, fields: Fields, item: Fields) -> None:
        """Let an event that finishes something finish what the first answer has begun."""
        if kind in _ENDS:
            fields["response"] = self._response(fields)
        elif kind == _DONE:
            self._is_the_message(item.get("id"), item)
            fields["item"] = self._message(item)
        elif kind in _CLOSING:
            self._is_the_message(fields.get("item_id"))
        else:
            raise Departed

    def _is_the_message(self, item: msgspec.Raw | None, fields: Mapping[str, msgspec.Raw] | None = None) -> None:
        """An answer has one message."""
        if self._item is None:
            self._item = item
        if (item is not None and item != self._item) or (fields is not None and word_of(fields, "type") != "message"):
            raise Departed

    def _placed(self, event: Event, name: bytes, fields: Fields, text: str) -> Event:
        """An event of the second answer in the place of the first one's, and with the next number."""
        for where in _PLACE:
            if where in fields and where in self._seen.place:
                fields[where] = self._seen.place[where]
        if self._number is not None and "sequence_number" in fields:
            fields["sequence_number"] = raw_of(self._number)
            self._number += 1
        return with_fields(event, name, fields, text)

    def _message(self, item: Fields) -> msgspec.Raw:
        if "item_id" in self._seen.place:
            item["id"] = self._seen.place["item_id"]
        return raw_of(item)

    def _response(self, fields: Mapping[str, msgspec.Raw]) -> msgspec.Raw:
        """The finished response, with what the caller knows of it: its id and time, and the items before its words."""
        response = fields_of(fields.get("response", EMPTY)) | self._seen.response
        messages = [item for item in list_of(response.get("output")) if not _silent(item)]
        response["output"] = raw_of([*self._seen.before, *map(self._message, messages)])
        return raw_of(response)

    def _look(self) -> tuple[_Seen, int | None]:
        """Read what was seen.

        Raises:
            Departed: it is more than one text.
        """
        seen = _Seen()
        met: set[str] = set()
        last = fields_of(parsed(self._last)[1] or b"{}")
        numbers = [_number(last)]
        seen.place = {name: last[name] for name in _PLACE if name in last}
        for mark in self._marks:
            name, data = parsed(mark)
            if data is None:
                continue
            fields = fields_of(data)
            numbers.append(_number(fields))
            kind = word_of(fields, "type") or name.decode(errors="replace")
            item = fields_of(fields.get("item", EMPTY))
            if kind == "response.created":
                response = fields_of(fields.get("response", EMPTY))
                seen.response = {key: response[key] for key in ("id", "created_at") if key in response}
            elif kind in {_ADDED, _DONE} and _silent(item):
                if kind == _DONE:
                    seen.before.append(fields["item"])
            elif kind in _ONCE and kind not in met and (not item or word_of(item, "type") == "message"):
                met.add(kind)
            elif kind not in _LIFE and kind != _DELTA:
                raise Departed
        seen.closed = met & _CLOSING
        known = [number for number in numbers if number is not None]
        return seen, max(known) + 1 if known else None


def _silent(item: Mapping[str, msgspec.Raw]) -> bool:
    """Whether an item is reasoning of which nothing is shown."""
    return word_of(item, "type") == "reasoning" and not any(
        value_of(item, name) for name in ("summary", "content", "encrypted_content")
    )


def _number(fields: Mapping[str, msgspec.Raw]) -> int | None:
    value = value_of(fields, "sequence_number")
    return value if type(value) is int else None
