"""The rows of a batch: which of a provider's objects they name.

A batch file is one request a line; the provider reads them long after the upload, so what they name has to be known
when the file comes. Decides where a line ends and what stands in it; refuses to know where the bytes come from. A line
that cannot be read is refused: the provider might read it all the same.
"""

from collections.abc import Iterable, Iterator

import msgspec

from headgate.core.body import disguised
from headgate.core.errors import BadRequestError
from headgate.dialects.openai_fields import UNREADABLE
from headgate.dialects.openai_names import names

MOST_NAMES = 10_000
"""Different objects that the rows of one file may name."""
LONGEST = 32 * 1024 * 1024
"""Bytes of one row."""
_WORDS = (b"file_id", b"_response_id", b"item_reference", b'"id"', b'"conversation"', b'"container"', b"container_id",
          b"vector_store_ids")  # fmt: skip
_READ = msgspec.json.Decoder(dict[str, msgspec.Raw])


def row_names(pieces: Iterable[bytes]) -> tuple[str, ...]:
    r"""The ids in all rows, each once.

    Args:
        pieces: the file, in order, cut anywhere.

    Raises:
        BadRequestError: a row is no JSON object, or too long, or the rows name too many objects.

    Example:
        >>> row_names([b'{"body": {"previous_response', b'_id": "resp_1"}}\n{"body": {}}\n'])
        ('resp_1',)
    """
    found: dict[str, None] = {}
    for number, row in enumerate(_rows(pieces), 1):
        try:
            _READ.decode(row)
        except UNREADABLE:
            raise _refused(f"Row {number} of the batch is not a JSON object.") from None
        if any(word in row for word in _WORDS) or disguised(row):
            found.update(dict.fromkeys(names(row)))
            if len(found) > MOST_NAMES:
                raise _refused(f"The rows of the batch name more than {MOST_NAMES:,} files or responses.")
    return tuple(found)


def _rows(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines that are not empty. Only a line feed ends one: that is what JSON Lines says."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        *ended, rest = piece.split(b"\n")
        for end in ended:
            waiting.append(end)
            row = b"".join(waiting)
            waiting, size = [], 0
            if row.strip():
                yield row
        waiting.append(rest)
        size += len(rest)
        if size > LONGEST:
            raise _refused(f"A row of the batch is longer than {LONGEST // 1024**2} MB.")
    if (row := b"".join(waiting)).strip():
        yield row


def _refused(message: str) -> BadRequestError:
    return BadRequestError(message, code="invalid_batch", param="file", hint="Each line is one request, in JSON.")
