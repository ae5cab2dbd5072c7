"""The spool: where a body that is too large to hold waits until it leaves.

Decides how a form is taken apart while it arrives, and what of it is kept in memory (its short fields) and what in a
file without a name (its files); refuses to know what the fields mean. The file is gone with the process, whatever ends
it. The parts are framed anew when they leave: names and file names are written by us, from what we have read.
"""

import logging
import os
import tempfile
import threading
from asyncio import to_thread
from collections.abc import Callable, Mapping
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from headgate.core.clock import Chance
from headgate.core.errors import BadRequestError, MediaTypeError, TooLargeError
from headgate.core.upload import Form, Part, Piece, Stretch, Upload

FORM = "multipart/form-data"
WAITING = 1024 * 1024
"""Bytes that wait in memory before they are written to the file."""
MOST_PARTS = 200
"""Fields and files of one form."""
MOST_TEXT = 1024 * 1024
"""Bytes of all fields of a form that are not files."""

# As browsers write them; beside line ends all that ends a name for one reader and not for another.
_ESCAPES = {code: f"%{code:02X}" for code in (*range(0x20), *b'"\\', 0x7F)}
# What is wrong with a form is told to its sender; a log that its senders could fill helps nobody.
_SILENT = logging.Logger("silent", logging.CRITICAL + 1)  # noqa: LOG001  it belongs to no tree that somebody sets up


class Spool:
    """Receives one body, piece by piece.

    Args:
        content_type: what the body calls itself; a form is taken apart.
        chance: draws the boundary of the form that leaves.
        limit: bytes that it may have.
        limit_name: the setting that says so.

    Raises:
        MediaTypeError: it calls itself a form and names no boundary, or what it calls itself is no plain text.
    """

    def __init__(self, content_type: str, *, chance: Chance, limit: int, limit_name: str) -> None:
        if not (content_type.isascii() and content_type.isprintable()):
            raise MediaTypeError("The `Content-Type` is not plain ASCII.")
        kind, options = parse_options_header(content_type)
        self._content_type = content_type
        self._limit = limit
        self._limit_name = limit_name
        self._chance = chance
        self._size = 0
        self._waiting = bytearray()
        self._store = _Store()
        self._form = _FormReader(self._keep, _boundary(options)) if kind.decode() == FORM else None

    def expect(self, size: int) -> None:
        """Be told how much will come.

        Raises:
            TooLargeError: it is more than the limit allows.
        """
        if size > self._limit:
            message = f"The upload is larger than {self._limit / 1_000_000:g} MB."
            raise TooLargeError(message, hint=f"Send less, or have `{self._limit_name}` raised.")

    async def write(self, data: bytes) -> None:
        """Take a piece.

        Raises:
            TooLargeError: it is more than the limit allows.
            BadRequestError: the form is malformed.
        """
        self._size += len(data)
        self.expect(self._size)
        if self._form is None:
            self._keep(data)
        else:
            self._form.feed(data)
        if len(self._waiting) >= WAITING:
            waiting, self._waiting = self._waiting, bytearray()
            await to_thread(self._store.write, waiting)

    def _keep(self, data: bytes) -> int:
        """Keep bytes for the file; gives where they will lie."""
        self._waiting += data
        return self._store.promise(len(data))

    async def finish(self) -> Upload:
        """What was received; a `Form` where it is one.

        Raises:
            BadRequestError: the form is not whole.
        """
        parts = None if self._form is None else self._form.finish()
        if self._waiting:
            await to_thread(self._store.write, self._waiting)
        if parts is None:
            return Upload(self._content_type, [Stretch(self._store.read, 0, self._size)] if self._size else [])
        return Form([part.ready(self._store) for part in parts], f"headgate-{self._chance.token()}")

    def close(self) -> None:
        """Forget everything. Safe to call twice."""
        self._store.close()


class _Store:
    """The file without a name; made when something is to be kept."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._promised = 0
        # Threads read and write; a file that is closed under them must not become somebody else's.
        self._lock = threading.Lock()
        self._closed = False

    def promise(self, size: int) -> int:
        start, self._promised = self._promised, self._promised + size
        return start

    def write(self, data: bytearray) -> None:
        with self._lock:
            if not self._closed:
                if self._file is None:
                    self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  closed by `close`
                rest = memoryview(data)
                while rest:
                    rest = rest[self._file.write(rest) :]

    def read(self, size: int, start: int) -> bytes:
        with self._lock:
            return b"" if self._closed or self._file is None else os.pread(self._file.fileno(), size, start)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()


class _Field:
    """One part while it arrives."""

    def __init__(self, name: str, filename: str | None, content_type: str | None) -> None:
        self.name = name
        self.is_file = filename is not None
        self.text = bytearray()
        self.start = self.size = 0
        head = f'content-disposition: form-data; name="{name.translate(_ESCAPES)}"'
        if filename is not None:
            head += f'; filename="{filename.translate(_ESCAPES)}"'
        if content_type:
            head += f"\r\ncontent-type: {content_type}"
        self.head = f"{head}\r\n".encode()

    def ready(self, store: _Store) -> Part:
        data: Piece = Stretch(store.read, self.start, self.size) if self.size and self.is_file else bytes(self.text)
        return Part(self.name, self.head, data, self.is_file)


class _FormReader:
    """Takes a form apart. What is text stays here; what is a file is handed on."""

    def __init__(self, keep: Callable[[bytes], int], boundary: bytes) -> None:
        self._keep = keep
        self._fields: list[_Field] = []
        self._headers: dict[bytes, bytes] = {}
        self._header = bytearray()
        self._value = bytearray()
        self._text = 0
        self._over = False
        self._mark = b"\r\n--" + boundary
        self._marks = 0
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._headers.clear,
                    "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                    "on_header_end": self._on_header,
                    "on_headers_finished": self._on_head,
                    "on_part_data": self._on_data,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise MediaTypeError(f"The form's boundary cannot be used: {error}.") from None
        self._parser.logger = _SILENT

    def feed(self, data: bytes) -> None:
        # What looks like a boundary and is none takes the parser long, and stands in no honest form.
        self._marks += data.count(self._mark)
        if self._marks > MOST_PARTS + 1:
            raise _malformed(f"it has more than {MOST_PARTS} parts")
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _malformed(str(error)) from None

    def finish(self) -> list[_Field]:
        if not self._over:
            raise _malformed("it ends before its last boundary")
        return self._fields

    def _on_header(self) -> None:
        name = bytes(self._header).lower()
        if name in self._headers:
            raise _malformed(f"the header {name[:40]!r} of a part stands twice")
        self._headers[name] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _on_head(self) -> None:
        if len(self._fields) >= MOST_PARTS:
            raise _malformed(f"it has more than {MOST_PARTS} parts")
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b"").decode("latin-1"))
        name, filename = _text(options.get(b"name")), _text(options.get(b"filename"))
        if kind != b"form-data" or not name:
            raise _malformed("a part has no name")
        if self._headers.get(b"content-transfer-encoding", b"binary").lower() not in {b"binary", b"8bit", b"7bit"}:
            raise _malformed("a part is encoded")
        content_type = _text(self._headers.get(b"content-type"))
        if content_type is not None and not (content_type.isascii() and content_type.isprintable()):
            raise _malformed("the content type of a part is not plain text")
        self._fields.append(_Field(name, filename, content_type))

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        field = self._fields[-1]
        piece = data[start:end]
        if field.is_file:
            at = self._keep(piece)
            field.start = field.start if field.size else at
            field.size += len(piece)
            return
        self._text += len(piece)
        if self._text > MOST_TEXT:
            raise TooLargeError(f"The fields of the form are larger than {MOST_TEXT // 1024} kB.")
        field.text += piece

    def _on_end(self) -> None:
        self._over = True


def _boundary(options: Mapping[bytes, bytes]) -> bytes:
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise MediaTypeError("The form names no boundary.", hint="Send `multipart/form-data; boundary=…`.")
    return boundary


def _text(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _malformed("a name in it is not UTF-8") from None


def _malformed(why: str) -> BadRequestError:
    return BadRequestError(f"The form is malformed: {why}.", code="invalid_form")
