"""A dataset: rows with what is asked and what is expected, held in memory.

Decides what a row is, and which line is none; refuses to know what is asked about it and how it is judged. A line that
is no row stops nothing: it is kept with its reason, and asked nobody.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from headgate.core.errors import BadRequestError
from headgate.dialects.openai_fields import UNREADABLE
from headgate.jobs import file_job, sheet
from headgate.jobs.lines import LONGEST, lines
from headgate.jobs.template import plain

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_VALUES = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


class Bad(Exception):  # noqa: N818  a finding about a row
    """Why a row cannot be asked or judged.

    Attributes:
        code: for programs.
        message: for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Example(msgspec.Struct, frozen=True):
    """One row.

    Attributes:
        line: where it begins in the file, from 1.
        raw: its fields as a JSON object; empty where it is none.
        bad: why it is no row.
    """

    line: int
    raw: bytes = b""
    bad: Bad | None = None

    def text(self, name: str) -> str:
        """A field as it stands in a prompt.

        Raises:
            Bad: there is none.
        """
        value = _FIELDS.decode(self.raw).get(name)
        found = None if value is None else plain(value)
        if found is None:
            raise Bad("missing_field", f"Line {self.line} has no `{name}`.")
        return found

    def values(self) -> dict[str, Any]:
        """All its fields."""
        return _VALUES.decode(self.raw)


class Dataset(msgspec.Struct, frozen=True):
    """All rows.

    Attributes:
        path: the file.
        examples: in its order; lines that are no rows are among them.
        mark: a checksum of the file's rows.
    """

    path: Path
    examples: Sequence[Example]
    mark: int

    def require(self, name: str, what: str) -> None:
        """See that a field is there at all: where no row has it, its name is wrong.

        Raises:
            BadRequestError: no row has it.
        """
        columns: dict[str, None] = {}
        for example in self.examples:
            if example.bad is None:
                fields = _FIELDS.decode(example.raw)
                if name in fields:
                    return
                columns.update(dict.fromkeys(list(fields)[:50]))
        shown = ", ".join(list(columns)[:50])[:300]
        message = f"No row of `{self.path}` has the field {name!r}, which {what}; there are: {shown}."
        raise BadRequestError(message, param=name)


async def read(path: Path) -> Dataset:
    """Read a dataset: a CSV file where its name ends in `.csv`, else JSON Lines.

    Raises:
        BadRequestError: it cannot be read, or holds no row.
    """
    is_sheet = path.suffix.lower() == ".csv"
    found: list[Example] = []
    columns: Sequence[str] = ()
    mark = 0
    with file_job.opened(path) as file:
        records = sheet.records(lines(file)) if is_sheet else lines(file)
        async for number, line in records:
            if line is not None and not line.strip():
                continue
            mark = crc32(line or b"\0", mark)
            if is_sheet and not columns:
                columns = _header(path, line)
                continue
            try:
                found.append(Example(number, _object(number, line, columns if is_sheet else None)))
            except Bad as bad:
                found.append(Example(number, bad=bad))
    if all(example.bad is not None for example in found):
        why = next((f" {example.bad.message}" for example in found if example.bad is not None), "")
        hint = 'A row is a line of JSON such as `{"prompt": "What is 2 + 2?", "answer": "4"}`, or of a `.csv` file.'
        raise BadRequestError(f"`{path}` has no row.{why}", hint=hint)
    return Dataset(path, found, mark)


def _object(number: int, line: bytes | None, columns: Sequence[str] | None) -> bytes:
    if line is None:
        raise Bad("too_long", f"Line {number} is longer than {LONGEST // 1024**2} MB.")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise Bad("invalid_utf8", f"Line {number} is not UTF-8 (byte {error.start}).") from None
    if columns is not None:
        return _record(number, text, columns)
    try:
        _VALUES.decode(line)
    except UNREADABLE:
        raise Bad("invalid_json", f"Line {number} is not a JSON object.") from None
    return line


def _record(number: int, text: str, columns: Sequence[str]) -> bytes:
    values = sheet.fields(text)
    if len(values) != len(columns):
        raise Bad("malformed_row", f"Line {number} has {len(values)} fields, and the header {len(columns)}.")
    row: Mapping[str, str] = dict(zip(columns, values, strict=True))
    return _encode(row)


def _header(path: Path, line: bytes | None) -> Sequence[str]:
    try:
        return [column.strip() for column in sheet.fields((line or b"").decode())]
    except UnicodeDecodeError:
        raise BadRequestError(f"The first line of `{path}` is not UTF-8.", hint="Convert it.") from None
