"""The pieces of texts in the events of a stream: which text each one goes on with, and how it is cut anew.

Decides where words stand in an event, when a text is finished, and how an event looks that carries other words. Keeps
every id. Refuses to know why words are held back (`policies/guard/`).
"""

import re
from collections.abc import Hashable
from typing import Any, NamedTuple, Protocol

import msgspec

from headgate.dialects import sse
from headgate.dialects.openai_fields import decode
from headgate.dialects.openai_said import parsed
from headgate.dialects.openai_texts import without_logprobs

Channel = tuple[Hashable, ...]
"""One text of an answer: what its pieces have in common."""

_IDENTITY = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
_NO_WORDS = frozenset(("role", "id", "type", "name", "call_id", "format", "data", "signature", "encrypted_content"))
_FIELDS = msgspec.json.Decoder(dict[str, Any])
_NUMBER = re.compile(rb'("sequence_number"[ \t\n\r]*:[ \t\n\r]*)[0-9]+')
_UNSAID = frozenset(("response.audio.delta",))
_PLACE = ("output_index", "content_index", "summary_index")
_ENDS = frozenset(("response.completed", "response.incomplete", "response.failed", "transcript.text.done"))


class Piece(NamedTuple):
    """A piece of a text, and where it stands.

    Attributes:
        channel: which text.
        text: what it says.
        holder, name: the object and its field.
    """

    channel: Channel
    text: str
    holder: dict[str, Any]
    name: str


class Opened(Protocol):
    """An event, opened."""

    fields: dict[str, Any]
    """All of it."""
    pieces: list[Piece]
    """The pieces in it."""
    repeats: bytes | None
    """JSON that says once more what was said in pieces, and what was not."""
    other: bool
    """It carries more than pieces of texts."""

    def ends(self, channel: Channel) -> bool:
        """Whether a text is finished with this event."""
        ...

    def before(self, channel: Channel, last: dict[str, Any], text: str) -> bytes:
        """An event that goes before this one, with the rest of a text; `last` is the event of its last piece."""
        ...

    def written(self, repeats: bytes | None) -> bytes:
        """The event with the words that its pieces hold now, and with other repeats."""
        ...


def opened(raw: bytes, *, chat: bool) -> "Opened | None":
    """Open an event; None for one that holds no JSON (`[DONE]`, a comment).

    Raises:
        GarbledError: nobody can say what is in it.
    """
    name, data = parsed(raw)
    if not data or data.strip().startswith(b"[DONE]"):
        return None
    fields = decode(_FIELDS, data, "An event of the provider's stream")
    return _Chunk(name, fields) if chat else _Named(name, fields, data)


def numbered(raw: bytes, number: int) -> bytes:
    """The same event with another number, where it has one."""
    return _NUMBER.sub(rb"\g<1>%d" % number, raw, count=1)


class _Chunk:
    """A chunk of chat, or of the older completions."""

    def __init__(self, name: bytes, fields: dict[str, Any]) -> None:
        self.repeats: bytes | None = None
        self.fields = fields
        self._name = name
        self.pieces: list[Piece] = []
        self.other = bool(fields.get("usage"))
        self._finished: set[Hashable] = set()
        choices = fields.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            index = choice.get("index") or 0
            if choice.get("finish_reason"):
                self.other = True
                self._finished.add(index)
            if isinstance(choice.get("text"), str):
                self.pieces.append(Piece((index, "text"), choice["text"], choice, "text"))
            for name_, inner in choice.items():
                if name_ in {"delta", "message"} and isinstance(inner, dict):
                    self._look(inner, (index,))

    def _look(self, holder: dict[str, Any], path: Channel) -> None:
        for name, value in holder.items():
            if isinstance(value, str):
                if name not in _NO_WORDS:
                    self.pieces.append(Piece((*path, name), value, holder, name))
                elif value:
                    self.other = True
            elif isinstance(value, dict):
                self._look(value, (*path, name))
            elif isinstance(value, list):
                for at, inner in enumerate(value):
                    if isinstance(inner, dict):
                        self._look(inner, (*path, name, inner.get("index", at)))

    def ends(self, channel: Channel) -> bool:
        return channel[0] in self._finished

    def before(self, channel: Channel, last: dict[str, Any], text: str) -> bytes:
        index, *path = channel
        inner: Any = text
        for name in reversed(path):
            inner = {name: inner} if isinstance(name, str) else [{"index": name, **inner}]
        said = inner if path == ["text"] else {"delta": inner}
        choice = {"index": index, **said, "logprobs": None, "finish_reason": None}
        fields = {name: last[name] for name in _IDENTITY if name in last}
        return sse.write(msgspec.json.encode({**fields, "choices": [choice]}), self._name)

    def written(self, repeats: bytes | None) -> bytes:  # noqa: ARG002  nothing is said twice
        return sse.write(msgspec.json.encode(without_logprobs(self.fields)), self._name)


class _Named:
    """An event with a type: of responses, or of a transcription."""

    def __init__(self, name: bytes, fields: dict[str, Any], data: bytes) -> None:
        self.fields = fields
        self._name = name
        kind = fields.get("type")
        self.kind = kind if isinstance(kind, str) and kind else name.decode(errors="replace")
        self.pieces: list[Piece] = []
        self.other = False
        self.repeats: bytes | None = None
        self._place = tuple(fields.get(name) for name in _PLACE)
        if self.kind.endswith(".delta") and isinstance(fields.get("delta"), str):
            if self.kind not in _UNSAID:
                self.pieces.append(Piece((self.kind, *self._place), fields["delta"], fields, "delta"))
            return
        self.other = True
        response = fields.get("response")
        if isinstance(response, dict):
            # It tells what was asked as well.
            said = {name: response[name] for name in ("output", "output_text") if response.get(name)}
            self.repeats = msgspec.json.encode(said) if said else None
        elif "partial_image" not in self.kind:
            self.repeats = data

    def ends(self, channel: Channel) -> bool:
        kind, output, *rest = channel
        if self.kind in _ENDS:
            return True
        if self.kind.endswith(".done"):
            own = self.kind.removesuffix("done") + "delta" == kind
            whole_item = self.kind == "response.output_item.done"
            return output == self._place[0] and (whole_item or (own and tuple(rest) == self._place[1:]))
        return False

    def before(self, channel: Channel, last: dict[str, Any], text: str) -> bytes:  # noqa: ARG002  its last piece tells
        fields = without_logprobs({**last, "delta": text})
        return sse.write(msgspec.json.encode(fields), str(fields.get("type", "")).encode() if self._name else b"")

    def written(self, repeats: bytes | None) -> bytes:
        fields = self.fields
        if repeats is not None:
            said = msgspec.json.decode(repeats)
            response = fields.get("response")
            fields = {**fields, "response": {**response, **said}} if isinstance(response, dict) else said
        return sse.write(msgspec.json.encode(without_logprobs(fields)), self._name)
