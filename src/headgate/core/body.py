"""A request body: the bytes as they came, read without being rewritten.

Decides how a JSON object is read safely and edited byte-exactly; refuses to know what any field means. Unknown fields,
explicit nulls, key order and number spellings survive an edit, because only the bytes of the edited value change.

Two parsers must never see two requests: a duplicate or case-variant spelling of a field that is read is refused.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from headgate.core.errors import BadRequestError

T = TypeVar("T", bound=msgspec.Struct)
Found = TypeVar("Found")

# An escape that spells an ASCII letter or digit: the only way to write a key so that a plain byte search misses it.
_DISGUISE = re.compile(rb"\\u00[3-7]", re.IGNORECASE)
_BACKSLASH = 0x5C  # as a number, because a search for one byte is ten times quicker than one for a bytes object
_SPACE = re.compile(r"[ \t\n\r]*")
_FIRST_FIELD = re.compile(rb'[ \t\n\r]*\{(?=[ \t\n\r]*")')
# Only where a value ends is asked; a number of ten thousand digits has an end, too, but no int.
_VALUE = json.JSONDecoder(parse_int=str, parse_float=str)

_JSON_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_PYTHON_TYPE = re.compile(r"\b(?:str|int|float|bool)\b")


class Span(NamedTuple):
    """A top-level field: its name, where its value lies (characters, end excluded), and where its name begins."""

    name: str
    start: int
    end: int
    at: int


def spans(text: str) -> Iterator[Span]:
    """The top-level fields of a JSON object that is known to be valid, duplicates included, in order."""
    at = _skip(text, text.index("{") + 1)
    while text[at] == '"':
        begin = at
        name, at = _VALUE.raw_decode(text, at)
        start = _skip(text, _skip(text, at) + 1)
        _, end = _VALUE.raw_decode(text, start)
        yield Span(name, start, end, begin)
        at = _skip(text, end)
        if text[at] == "}":
            return
        at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def disguised(raw: bytes) -> bool:
    """Whether a letter or digit in the text is spelled by an escape, so that a search for plain bytes may miss it."""
    return _BACKSLASH in raw and _DISGUISE.search(raw) is not None


class Body:
    """A JSON object as bytes, plus a decoded view that is made at most once, and only if somebody asks.

    Attributes:
        raw: the bytes.
        size: how many they are.
        found: what was found out about it, by whoever finds it out; see `once`.
    """

    content_type = "application/json"

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.size = len(raw)
        self.found: dict[Any, Any] = {}

    @cached_property
    def view(self) -> dict[str, Any]:
        """The whole object, decoded. Treat it as read-only: `raw` is what travels."""
        view: dict[str, Any] = msgspec.json.decode(self.raw)
        return view

    def once(self, find: Callable[["Body"], Found]) -> Found:
        """What a function finds out about this body; it is asked once, unless it finds nothing (None).

        Example:
            >>> body = Body(b"{}")
            >>> body.once(lambda body: body.size)
            2
        """
        found: Found | None = self.found.get(find)
        if found is None:
            found = self.found[find] = find(self)
        return found

    def with_new_field(self, name: str, value: bytes) -> "Body":
        """The same body with a top-level field in front that is known not to be there, in any spelling."""
        raw = self.raw
        if not raw.startswith(b'{"'):
            return self.with_field(name, value)
        return Body(b'{"%s":%s,%s' % (name.encode(), value, raw[1:]))

    def with_field(self, name: str, value: bytes) -> "Body":
        """The same body with a top-level field set to a JSON value; every other byte stays as it is."""
        return self.edited({name: value})

    def edited(self, changes: Mapping[str, bytes | None]) -> "Body":
        """The same body with some of its top-level fields changed; every other byte stays as it is.

        Args:
            changes: by name, the field's new JSON value, or None to remove it. What is new comes first. A field that
                goes takes along its comma and the space up to the next field, or, as the last one, back to the one
                before it.

        Raises:
            BadRequestError: the text is nested so deeply that its fields cannot be told apart.

        Example:
            >>> Body(b'{"a": 1.0, "b": 2, "c": 3}').edited({"b": None, "c": b"4", "d": b"5"}).raw
            b'{"d":5,"a": 1.0, "c": 4}'
        """
        if (added := self._added(changes)) is not None:
            return added
        text = self.raw.decode()
        try:
            fields = list(spans(text))
        except RecursionError:
            message = "The body is nested too deeply."
            raise BadRequestError(message, code="invalid_json") from None
        names = {field.name for field in fields}
        new = [f"{json.dumps(name)}:{value.decode()}" for name, value in changes.items() if value and name not in names]
        kept = [(at, field) for at, field in enumerate(fields) if changes.get(field.name, b"") is not None]
        first = text.index("{") + 1
        pieces = [text[:first], ",".join(new), "," if new and kept else ""]
        if kept:
            pieces.append(text[first : fields[0].at])
        for at, field in kept:
            value = changes.get(field.name)
            pieces += (text[field.at : field.start], text[field.start : field.end] if value is None else value.decode())
            if (at, field) != kept[-1]:
                pieces.append(text[field.end : fields[at + 1].at])
        pieces.append(text[fields[-1].end if fields else first :])
        return Body("".join(pieces).encode())

    def _added(self, changes: Mapping[str, bytes | None]) -> "Body | None":
        """The body with new fields in front; None where one of them may be there already, or is to go."""
        raw, new = self.raw, b""
        for name, value in changes.items():
            # What is spelled in letters, digits and `_` is spelled in one way, where nothing is disguised.
            if value is None or not (name.isascii() and name.isidentifier()):
                return None
            quoted = b'"%s"' % name.encode()
            if quoted in raw:
                return None
            new += b"%s:%s," % (quoted, value)
        first = None if disguised(raw) else _FIRST_FIELD.match(raw)
        return None if first is None else Body(first[0] + new + raw[first.end() :])


class ObjectReader(Generic[T]):
    """Reads chosen fields of a JSON object into a struct, strictly, and skips the rest.

    Example:
        >>> class Facts(msgspec.Struct):
        ...     model: str | None = None
        >>> ObjectReader(Facts).read(b'{"model": "m", "seed": 1}').model
        'm'
    """

    def __init__(self, struct: type[T], *, marks: Collection[str] = ()) -> None:
        """Make a reader. `marks` are further words that `survey` looks for, anywhere in the text."""
        self._decoder = msgspec.json.Decoder(struct)
        names = [field.encode_name for field in msgspec.structs.fields(struct)]
        self._names = frozenset(names)
        self._spelled = _quoted(names)
        self._marks = _quoted(marks)
        # Most names are passed over by their first letter.
        names = [*dict.fromkeys((*names, *marks))]
        first = "".join(sorted({name[0] for name in names}))
        self._any_spelling = re.compile(
            b'"(?=["%s])(?:%s)"' % (re.escape(first).encode(), "|".join(map(re.escape, names)).encode()), re.IGNORECASE
        )

    def read(self, raw: bytes) -> T:
        """Decode the fields. Raises what `survey` does."""
        return self.survey(raw)[0]

    def survey(self, raw: bytes) -> tuple[T, frozenset[bytes]]:
        """Decode the fields, and tell which marks stand in the text, in quotes: all of them, if one may be hidden.

        Raises:
            BadRequestError: the bytes are not UTF-8, not JSON, not an object, hold a field of the wrong type, or spell
                one of the fields twice or in another case.
        """
        try:
            if not raw.isascii():
                raw.decode()
            facts = self._decoder.decode(raw)
        except UnicodeDecodeError as error:
            message = f"The body is not valid UTF-8 (byte {error.start})."
            raise BadRequestError(message, code="invalid_utf8") from None
        except msgspec.ValidationError as error:
            raise _mistyped(str(error)) from None
        except msgspec.DecodeError as error:
            what = "The body is empty." if not raw.strip() else f"The body is not valid JSON: {error}."
            raise BadRequestError(what, code="invalid_json") from None
        except RecursionError:
            message = "The body is nested too deeply."
            raise BadRequestError(message, code="invalid_json") from None
        # Each field at most once and spelled as it should be, and no escapes: the common case, settled by one search.
        found = self._any_spelling.findall(raw)
        marks = self._marks
        if _BACKSLASH in raw and disguised(raw):
            self._check_spelling(raw)
            return facts, marks
        if marks and (marks := marks.intersection(found)):
            found = [name for name in found if name not in marks or name in self._spelled]
        if len(set(found)) != len(found) or not self._spelled.issuperset(found):
            self._check_spelling(raw)
        return facts, marks

    def _check_spelling(self, raw: bytes) -> None:
        seen: set[str] = set()
        try:
            found = list(spans(raw.decode()))
        except (RecursionError, ValueError, IndexError):
            # The strict decoder took it and the standard one does not: two parsers, two requests.
            message = "The body is nested too deeply, or is not plain JSON."
            raise BadRequestError(message, code="invalid_json") from None
        for name, *_ in found:
            low = name.lower()
            if low not in self._names:
                continue
            if low in seen:
                message = f"The field {name!r} stands in the body twice."
                raise BadRequestError(message, code="duplicate_field", param=name, hint="Send it once.")
            if name != low:
                message = f"The body holds {name!r}; the field is spelled {low!r}."
                raise BadRequestError(message, code="misspelled_field", param=name)
            seen.add(low)


def _quoted(names: Iterable[str]) -> frozenset[bytes]:
    return frozenset(b'"%s"' % name.encode() for name in names)


def json_types(message: str) -> str:
    """The same message with JSON's names of types instead of Python's: its reader may never have seen Python.

    Example:
        >>> json_types("Expected `str | null`, got `int`")
        'Expected `string | null`, got `integer`'
    """
    return _PYTHON_TYPE.sub(lambda found: _JSON_TYPES[found[0]], message)


def _mistyped(message: str) -> BadRequestError:
    """Turn msgspec's words (``Expected `str`, got `int` - at `$.model` ``) into ours."""
    what, _, where = message.partition(" - at ")
    what = json_types(what)
    path = where.strip("`").removeprefix("$").removeprefix(".")
    if not path:
        return BadRequestError(f"The body must be a JSON object: {what[0].lower()}{what[1:]}.", code="invalid_json")
    return BadRequestError(
        f"The field '{path}' is wrong: {what[0].lower()}{what[1:]}.", code="invalid_type", param=path
    )
