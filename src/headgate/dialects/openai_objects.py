"""The dialects of what a provider keeps: files, uploads, batches, stored responses.

Decides which ids an answer brings into the world, how a list of objects is cut and put together, and where the replay
of a stored stream ends. Nothing here tells what anything cost: that was told when it was made.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from headgate.core.body import Body, ObjectReader
from headgate.core.call import Operation
from headgate.core.errors import Answer, HeadgateError, ProviderError
from headgate.core.reply import Event, Kind
from headgate.core.upload import Form, Upload
from headgate.dialects import sse
from headgate.dialects.dialect import RequestFacts, StreamReader
from headgate.dialects.openai_errors import error_from, error_object
from headgate.dialects.openai_fields import ABSENT, UNREADABLE, decode
from headgate.dialects.openai_names import form_names, names
from headgate.dialects.openai_responses import ResponsesDialect
from headgate.dialects.sse import ServerEvent

T = TypeVar("T")

_OVER = frozenset(f"response.{state}" for state in ("completed", "incomplete", "failed", "cancelled"))


class _Nothing(msgspec.Struct):
    """The body must be one JSON object. What is named here stands there once; `openai_names` reads it."""

    input_file_id: Any = None


class _Object(msgspec.Struct, gc=False):
    """An object, and what came to be with it: the file of an upload, a batch's files, a response's items."""

    id: Any = None
    output_file_id: Any = None
    error_file_id: Any = None
    container_id: Any = None
    status: Any = None
    file: msgspec.Raw = ABSENT
    output: msgspec.Raw = ABSENT


class _Wire(msgspec.Struct, gc=False):
    type: str = ""
    response: msgspec.Raw = ABSENT


class _List(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: bool | None = None


_REQUEST = ObjectReader(_Nothing)
_OBJECT = msgspec.json.Decoder(_Object)
_OBJECTS = msgspec.json.Decoder(list[_Object])
_WIRE = msgspec.json.Decoder(_Wire)
_LIST = msgspec.json.Decoder(_List)


class Entry(NamedTuple):
    """One object of a list, as the provider sent it."""

    id: str
    raw: msgspec.Raw


class Page(NamedTuple):
    """A part of a list."""

    entries: Sequence[Entry]
    more: bool


def read_page(raw: bytes) -> Page:
    """Read a list of objects.

    Raises:
        GarbledError: it is none.
    """
    found = decode(_LIST, raw, "The provider's list")
    named = [
        Entry(str(decode(_OBJECT, bytes(entry), "An entry of the provider's list").id), entry) for entry in found.data
    ]
    return Page(named, bool(found.has_more))


def write_page(page: Page) -> bytes:
    """A list of objects.

    Example:
        >>> write_page(Page([Entry("file-1", msgspec.Raw(b'{"id":"file-1"}'))], more=False))
        b'{"object":"list","data":[{"id":"file-1"}],"first_id":"file-1","last_id":"file-1","has_more":false}'
    """
    entries = page.entries
    return msgspec.json.encode(
        {
            "object": "list",
            "data": [entry.raw for entry in entries],
            "first_id": entries[0].id if entries else None,
            "last_id": entries[-1].id if entries else None,
            "has_more": page.more,
        }
    )


def _read(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw) -> tuple[T, ...]:
    """One value, or none: what stands there is of another kind, and no business of ours."""
    try:
        return (decoder.decode(raw),)
    except UNREADABLE:
        return ()


def _made(*answers: _Object) -> tuple[str, ...]:
    """The ids of objects and of those inside them."""
    found: list[Any] = []
    for answer in answers:
        found += (answer.id, answer.output_file_id, answer.error_file_id, answer.container_id)
        inside = [*_read(_OBJECT, answer.file), *(item for items in _read(_OBJECTS, answer.output) for item in items)]
        found += (name for item in inside for name in (item.id, item.container_id))
    return tuple(name for name in found if isinstance(name, str))


class StoredReader:
    """Reads the replay of a stored response."""

    __slots__ = ("complete",)

    def __init__(self) -> None:
        self.complete = False

    def read(self, event: ServerEvent) -> Event:
        """Understand one event of the stream.

        Raises:
            GarbledError: it cannot be read.
        """
        if not event.data or event.data.strip() == b"[DONE]":
            return Event(kind=Kind.TRAILER if self.complete else Kind.PREAMBLE, raw=event.raw)
        wire = decode(_WIRE, event.data, "An event of the provider's stream")
        if wire.type in _OVER:
            self.complete = True
            return Event(kind=Kind.TERMINAL, raw=event.raw, made=_made(*_read(_OBJECT, wire.response)))
        return Event(kind=Kind.CONTENT, raw=event.raw)


class ObjectsDialect:
    """`headgate.dialects.dialect.Dialect` for one kind of objects.

    Args:
        operation: which.
        path: where their addresses begin.

    Example:
        >>> batches = ObjectsDialect(Operation.BATCHES, "/batches")
        >>> batches.read_answer(b'{"id": "batch_1", "output_file_id": "file-2"}').made
        ('batch_1', 'file-2')
    """

    def __init__(self, operation: Operation, path: str) -> None:
        self.operation = operation
        self.path = path

    def read_request(self, raw: bytes | Form) -> RequestFacts:
        """Read which objects it names.

        Raises:
            BadRequestError: it is malformed or ambiguous.
        """
        if isinstance(raw, Form):
            return RequestFacts(names=form_names(raw))
        if not raw:
            return RequestFacts()
        _REQUEST.read(raw)
        return RequestFacts(names=names(raw))

    def prepare(self, body: Body | Upload, *, model: str | None, stream: bool) -> Body | Upload:  # noqa: ARG002
        """The same body."""
        return body

    def read_answer(self, raw: bytes) -> Event:
        """Read a whole answer.

        Raises:
            GarbledError: it is no JSON object.
        """
        answer = decode(_OBJECT, raw, "The provider's answer")
        # A batch costs when it runs.
        pending = self.operation is Operation.BATCHES and answer.status == "validating"
        return Event(kind=Kind.TERMINAL, raw=raw, made=_made(answer), pending=pending)

    def read_stream(self, *, usage_wanted: bool) -> StreamReader:  # noqa: ARG002  usage was told when it was made
        """A reader for the replay of a stored response."""
        return StoredReader()

    def read_error(self, answer: Answer) -> ProviderError:
        """Read an error answer as the class that its status and names call for."""
        return error_from(answer)

    def write_error(self, error: HeadgateError, *, sequence: int) -> bytes:
        """An error as the last event of a stream."""
        if self.operation is Operation.STORED:
            return ResponsesDialect().write_error(error, sequence=sequence)
        return sse.write(msgspec.json.encode({"error": error_object(error)}), b"error")
