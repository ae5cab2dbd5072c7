"""A request of Chat Completions or Responses in the making: a few fields, read once and changed together.

Decides how a parameter is found by its dotted name (`reasoning.effort`) and how several changes become one edit of the
bytes. Refuses to know which parameters belong to which API, and what any of them means.

Every field is read strictly (once, and in its right spelling) but left as it is: a value stays JSON until it is asked
for. A field that is null was not given.
"""

import re
from collections.abc import Iterator

import msgspec

from headgate.core.body import Body, ObjectReader
from headgate.core.errors import BadRequestError
from headgate.dialects.openai_fields import ABSENT

FIELDS = (
    "audio", "frequency_penalty", "include", "logit_bias", "logprobs", "max_completion_tokens", "max_output_tokens",
    "max_tokens", "modalities", "n", "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_options",
    "reasoning", "reasoning_effort", "response_format", "seed", "stop", "temperature", "text", "tool_choice", "tools",
    "top_logprobs", "top_p", "verbosity",
)  # fmt: skip
"""What is read of a request; everything else is passed over."""
HOLDERS = {"reasoning": ("effort",), "text": ("format", "verbosity")}
"""Objects among them, and what is read in each."""
FORMAT = ("json_schema", "type")
"""What is read of a format for answers."""

_WHOLE = re.compile(rb"[0-9]{1,20}")
_WORD = re.compile(rb'"([a-z]{1,20})"')


def _reader(names: tuple[str, ...]) -> ObjectReader[msgspec.Struct]:
    return ObjectReader(msgspec.defstruct("Fields", [(name, msgspec.Raw, ABSENT) for name in names]))


_READER = _reader(FIELDS)
_INNER = {holder: _reader(names) for holder, names in HOLDERS.items()}
_FORMAT = _reader(FORMAT)


def _given(reader: ObjectReader[msgspec.Struct], raw: bytes) -> Iterator[tuple[str, bytes]]:
    facts = reader.read(raw)
    for name in facts.__struct_fields__:
        value = bytes(getattr(facts, name))
        if value and value != b"null":
            yield name, value


class Draft:
    """The request.

    Raises:
        BadRequestError: a field stands there twice, or in another spelling.

    Example:
        >>> draft = Draft(Body(b'{"model": "m", "reasoning": {"effort": "high"}, "top_p": 0.5}'))
        >>> draft.word("reasoning.effort")
        'high'
        >>> draft.put("reasoning.effort", b'"low"')
        >>> draft.put("top_p", None)
        >>> draft.body().raw
        b'{"model": "m", "reasoning": {"effort": "low"}}'
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        self._fields = dict(_given(_READER, body.raw))
        for holder, reader in _INNER.items():
            raw = self._fields.get(holder, b"")
            if raw.startswith(b"{"):
                self._fields.update((f"{holder}.{name}", value) for name, value in _inside(holder, reader, raw))
        self._changes: dict[str, bytes | None] = {}

    def get(self, name: str) -> bytes:
        """A field's value as JSON; empty where it was not given."""
        return self._fields.get(name, b"")

    def word(self, name: str) -> str | None:
        """A field's value, where that is one word of small letters; else None."""
        found = _WORD.fullmatch(self.get(name))
        return found[1].decode() if found else None

    def number(self, name: str) -> int | None:
        """A field's whole number; None where it has none (or one that nobody means)."""
        raw = self.get(name)
        return int(raw) if _WHOLE.fullmatch(raw) else None

    def put(self, name: str, value: bytes | None) -> None:
        """Set a field to a JSON value, or remove it."""
        self._changes[name] = value
        self._fields[name] = value or b""

    def body(self) -> Body:
        """The request with all changes."""
        outer: dict[str, bytes | None] = {}
        inner: dict[str, dict[str, bytes | None]] = {}
        for path, value in self._changes.items():
            holder, _, name = path.rpartition(".")
            (inner.setdefault(holder, {}) if holder else outer)[name] = value
        for holder, changes in inner.items():
            raw = self.get(holder) or b"{}"
            # What should be an object and is none stays, for the provider to refuse.
            if holder not in outer and raw.startswith(b"{"):
                outer[holder] = Body(raw).edited(changes).raw
        return self._body.edited(outer) if outer else self._body


def _inside(holder: str, reader: ObjectReader[msgspec.Struct], raw: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        yield from _given(reader, raw)
    except BadRequestError as error:
        message = f"In '{holder}': {error.message}"
        raise BadRequestError(message, code=error.code, param=holder, hint=error.hint) from None


def flat_format(raw: bytes) -> bytes:
    """`response_format` of Chat Completions as `text.format` of Responses; what cannot be read stays as it is.

    Example:
        >>> flat_format(b'{"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}')
        b'{"type":"json_schema","name": "n", "schema": {}}'
    """
    if not raw.startswith(b"{"):
        return raw
    schema = dict(_inside("response_format", _FORMAT, raw)).get("json_schema", b"")
    return Body(schema).edited({"type": b'"json_schema"'}).raw if schema.startswith(b"{") else raw


def nested_format(raw: bytes) -> bytes:
    """`text.format` of Responses as `response_format` of Chat Completions; what cannot be read stays as it is.

    Example:
        >>> nested_format(b'{"type": "json_schema", "name": "n", "schema": {}}')
        b'{"type":"json_schema","json_schema":{"name": "n", "schema": {}}}'
    """
    if not raw.startswith(b"{") or dict(_inside("text", _FORMAT, raw)).get("type") != b'"json_schema"':
        return raw
    return b'{"type":"json_schema","json_schema":%s}' % Body(raw).edited({"type": None}).raw
