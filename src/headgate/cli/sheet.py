"""Tables for spreadsheets: CSV as RFC 4180 has it.

Decides how a cell is written, and that none of them is a formula: names of models, users and tags come from callers,
and a spreadsheet would calculate what begins like one. Refuses to know what the cells mean.
"""

import csv
import io
from collections.abc import Iterable
from typing import Any

import msgspec

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  they calculate, too
"""What a formula begins with, in one spreadsheet or another."""

_encode = msgspec.json.Encoder().encode


def cell(value: Any) -> str:
    """A value as a cell: text that begins like a formula gets an apostrophe in front; lists and mappings are JSON.

    Example:
        >>> cell("=1+1"), cell(-1), cell(None), cell({"team": "a"})
        ("'=1+1", '-1', '', '{"team":"a"}')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.lstrip(" ").startswith(FORMULAS) else value
    return _encode(value).decode()


def line(cells: Iterable[Any]) -> str:
    r"""A record, its line end included.

    Example:
        >>> line(["a", "b, c", 1.5])
        'a,"b, c",1.5\r\n'
    """
    text = io.StringIO()
    csv.writer(text).writerow([cell(value) for value in cells])
    return text.getvalue()
