"""Rows of a CSV file: which lines belong together, and what their fields are.

Decides by RFC 4180 as Python's `csv` reads it: a field that begins with a quote goes on until the quote that closes
it, line ends included. Refuses to know what a field is for.
"""

import csv
import sys
from collections.abc import AsyncIterator

from headgate.core.errors import BadRequestError
from headgate.jobs.lines import LONGEST

Lines = AsyncIterator[tuple[int, bytes | None]]


async def records(lines: Lines, *, longest: int = LONGEST) -> AsyncIterator[tuple[int, bytes | None]]:
    """The records, each with the number of its first line; None in place of one that is too long.

    A record whose quote nobody closes ends where it is too long, or with the file; `fields` refuses it.
    """
    held: list[bytes] = []
    size = begin = 0
    inside = False
    async for number, line in lines:
        begin = begin or number
        if line is not None:
            if not inside and b'"' not in line:
                yield number, line
                begin = 0
                continue
            inside = _open(line.rstrip(b"\r"), inside=inside)
            held.append(line)
            size += len(line) + 1
        if line is None or size > longest:
            yield begin, None
        elif inside:
            continue
        else:
            yield begin, b"\n".join(held)
        held.clear()
        size = begin = 0
        inside = False
    if held:
        yield begin, b"\n".join(held)


def fields(record: str) -> list[str]:
    r"""The fields of a record.

    Example:
        >>> fields('a,"b, ""c""\nd",')
        ['a', 'b, "c"\nd', '']

    Raises:
        BadRequestError: a quote is never closed.
    """
    if '"' not in record:
        return record.rstrip("\r").split(",")
    csv.field_size_limit(sys.maxsize)  # how long a record may be is known here, and no field is longer
    source = iter((record, ""))
    found = next(csv.reader(source))
    if next(source, None) is None:
        # The reader wanted more: all lines below belong to a field that was never meant to hold them.
        raise BadRequestError("A quote in the CSV file is never closed.", hint="Close it, or double it to mean itself.")
    return found


def _open(line: bytes, *, inside: bool) -> bool:
    """Whether a quote is still open at the end of a line."""
    at = 0
    while (at := line.find(b'"', at)) >= 0:
        if not inside:
            # A quote that does not begin a field is a letter like any other.
            inside = at == 0 or line[at - 1 : at] == b","
        elif line[at + 1 : at + 2] == b'"':
            at += 1
        else:
            inside = False
        at += 1
    return inside
