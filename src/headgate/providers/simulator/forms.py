"""Forms (`multipart/form-data`) as the simulator's callers send them: taken apart without copying what they carry.

Decides how fields are found in a body that is here completely; refuses to know what they mean.
"""

from collections.abc import Iterable, Sequence

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from headgate.providers.simulator.problem import Problem, missing, mistyped


class Field(msgspec.Struct, frozen=True):
    """One field of a form.

    Attributes:
        name: of the field.
        filename: of the file; None for a field that is no file.
        content: its bytes, a view of the body.
    """

    name: str
    filename: str | None
    content: memoryview

    def text(self) -> str:
        """The field as text.

        Raises:
            Problem: 400; it is none.
        """
        try:
            return str(self.content, "utf-8")
        except UnicodeDecodeError:
            raise mistyped(self.name, "expected a string") from None


class _Reader:
    """Notes what the parser finds."""

    def __init__(self, body: bytes) -> None:
        self.fields: list[Field] = []
        self.ended = False
        self._body = memoryview(body)
        self._header = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._from = self._to = -1

    def begin(self) -> None:
        self._headers = {}
        self._from = self._to = -1

    def header_begin(self) -> None:
        self._header = self._value = b""

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        self._headers[self._header.lower()] = self._value

    def data(self, _: bytes, start: int, end: int) -> None:
        # The parser was given the whole body at once: what it finds lies in it, from here to there.
        self._from = start if self._from < 0 else self._from
        self._to = end

    def end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name, filename = options.get(b"name"), options.get(b"filename")
        if name is None:
            raise Problem(400, "Could not parse multipart form: a part has no name.")
        content = self._body[self._from : self._to] if self._from >= 0 else self._body[:0]
        shown = None if filename is None else filename.decode(errors="replace")
        self.fields.append(Field(name.decode(errors="replace"), shown, content))

    def over(self) -> None:
        self.ended = True


def read_form(body: bytes, content_type: str) -> Sequence[Field]:
    r"""The fields of a form, in order.

    Args:
        body: all of it.
        content_type: the header, which names the boundary.

    Raises:
        Problem: 400 or 415; it is no form, or a broken one.

    Example:
        >>> body = b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'
        >>> read_form(body, "multipart/form-data; boundary=x")[0].text()
        '1'
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        message = (
            f"Unsupported content type: '{content_type}'. This API method only accepts 'multipart/form-data' requests."
        )
        raise Problem(415, message)
    reader = _Reader(body)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": reader.begin,
                "on_header_begin": reader.header_begin,
                "on_header_field": reader.header_field,
                "on_header_value": reader.header_value,
                "on_header_end": reader.header_end,
                "on_part_data": reader.data,
                "on_part_end": reader.end,
                "on_end": reader.over,
            },
        )
        parser.write(body)
    except FormParserError as error:
        raise Problem(400, f"Could not parse multipart form: {error}.") from None
    if not reader.ended:
        raise Problem(400, "Could not parse multipart form: it has no end.")
    return reader.fields


def file_of(fields: Iterable[Field], name: str) -> Field:
    """The field that is a file; of several the last.

    Raises:
        Problem: 400; there is none, or it is no file.
    """
    found = None
    for field in fields:
        if field.name == name:
            found = field
    if found is None:
        raise missing(name)
    if found.filename is None:
        raise mistyped(name, "expected a file, but got a string instead")
    return found


def texts_of(fields: Iterable[Field]) -> dict[str, str]:
    """The fields that are no files; of several of a name the last.

    Raises:
        Problem: 400; one is no text.
    """
    return {field.name: field.text() for field in fields if field.filename is None}


def nested(texts: dict[str, str], name: str) -> dict[str, str] | None:
    """The fields `name[a]`, `name[b]` as an object; None if there are none.

    Example:
        >>> nested({"expires_after[anchor]": "created_at", "purpose": "batch"}, "expires_after")
        {'anchor': 'created_at'}
    """
    start = name + "["
    found = {key[len(start) : -1]: text for key, text in texts.items() if key.startswith(start) and key.endswith("]")}
    return found or None
