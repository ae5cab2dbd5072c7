"""Rows into files for the Batch API, as few as its limits allow.

Decides which rows travel together (one target, one endpoint), when a file is full, and how a row stands in it; refuses
to know what becomes of files. Rows wait in files without a name on this machine's disk, not in memory.

A row's `custom_id` at the provider is its number and its own id, so that what comes back can be told by itself.
"""

import os
import tempfile
from collections.abc import Mapping
from typing import IO, NamedTuple

import msgspec

from headgate.core.call import Operation, Target
from headgate.core.errors import BadRequestError
from headgate.core.upload import Stretch
from headgate.dialects.openai_fields import UNREADABLE
from headgate.dialects.registry import DIALECTS
from headgate.gate.batching import Fitted
from headgate.jobs.row import Row
from headgate.stores.batches import Fund
from headgate.stores.money import Cap

MOST_INPUTS = 50_000
"""Inputs of embeddings that one file may have, over all its rows."""
MOST_OPEN = 16
"""Files that are filled at the same time."""
_WAITING = 1024 * 1024
"""Bytes of rows that wait in memory before they are written."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one file may have.

    Attributes:
        rows: how many.
        size: bytes.
        tokens: of input; None for any number.
    """

    rows: int = 50_000
    size: int = 200_000_000
    tokens: int | None = None


class Group(NamedTuple):
    """What the rows of a file have in common."""

    target: Target
    operation: Operation
    asked: str
    kept_long: bool


class _Line(msgspec.Struct):
    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


class _Input(msgspec.Struct):
    input: msgspec.Raw = msgspec.Raw(b"null")


_LINE = msgspec.json.Decoder(_Line)
_ENCODE = msgspec.json.Encoder().encode
_INPUT = msgspec.json.Decoder(_Input)
_OPERATIONS: Mapping[str, Operation] = {f"/v1{dialect.path}": name for name, dialect in DIALECTS.items()}


def endpoint(operation: Operation) -> str:
    """Where the rows of a file go.

    Example:
        >>> endpoint(Operation.CHAT)
        '/v1/chat/completions'
    """
    return f"/v1{DIALECTS[operation].path}"


def operation_at(url: str | None) -> Operation | None:
    """What the rows of a file ask for that go to an address; None where it is none that we know."""
    return _OPERATIONS.get(url or "")


def write_line(row: Row) -> bytes:
    r"""A row as it stands in a file.

    Example:
        >>> write_line(Row(number=7, id="a", operation=Operation.CHAT, body=b'{"model": "m"}'))
        b'{"custom_id":"7:a","method":"POST","url":"/v1/chat/completions","body":{"model": "m"}}\n'
    """
    body = msgspec.json.format(row.body, indent=-1) if b"\n" in row.body or b"\r" in row.body else row.body
    line = _Line(f"{row.number}:{row.id}", "POST", endpoint(row.operation), msgspec.Raw(body))
    return _ENCODE(line) + b"\n"


def read_line(line: bytes) -> Row | None:
    """The row that stands in a line of a file; None where it is none of ours."""
    try:
        found = _LINE.decode(line)
    except UNREADABLE:
        return None
    named = read_id(found.custom_id)
    if named is None or found.url not in _OPERATIONS:
        return None
    return Row(number=named[0], id=named[1], operation=_OPERATIONS[found.url], body=bytes(found.body))


def read_id(custom_id: str) -> tuple[int, str] | None:
    """The number and the id of a row; None where it is none of ours.

    Example:
        >>> read_id("7:a:b"), read_id("a:7")
        ((7, 'a:b'), None)
    """
    number, colon, name = custom_id.partition(":")
    # The number of digits is bounded: converting many of them takes its time.
    return (int(number), name) if colon and number.isdecimal() and number.isascii() and len(number) < 16 else None


class Pack:
    """A file of rows that is being filled.

    Attributes:
        group: what they have in common.
        rows, size, tokens, inputs: how many of each.
        worst: picodollars that its dearest row may cost; None where no budget asks.
        users: whether a row names an end user.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self.rows = self.size = self.tokens = self.inputs = 0
        self.worst: int | None = None
        self.users = False
        self._sums: dict[tuple[str, str], tuple[Cap, int]] = {}
        # Closed by `close`: it outlives this call.
        self._file: IO[bytes] = tempfile.TemporaryFile(buffering=_WAITING)  # noqa: SIM115

    def write(self, line: bytes) -> None:
        """Add a row whose cost is known otherwise."""
        self._file.write(line)
        self.rows += 1
        self.size += len(line)

    def add(self, line: bytes, fitted: Fitted, inputs: int) -> None:
        """Add a row."""
        self.write(line)
        self.tokens += fitted.tokens
        self.inputs += inputs
        self.users = self.users or fitted.user is not None
        for cap in fitted.caps:
            name = (cap.name, cap.window)
            self._sums[name] = (cap, self._sums.get(name, (cap, 0))[1] + fitted.amount)
        if fitted.caps:
            self.worst = max(self.worst or 0, fitted.amount)

    @property
    def funds(self) -> tuple[Fund, ...]:
        """What has to be set aside for it."""
        return tuple(Fund(cap.name, cap.window, cap.limit, amount) for cap, amount in self._sums.values())

    def stretch(self) -> Stretch:
        """What is in it."""
        self._file.flush()
        descriptor = self._file.fileno()
        # By position: a retry reads the same bytes.
        return Stretch(lambda size, at: os.pread(descriptor, size, at), 0, self.size)

    def close(self) -> None:
        """Let go of it."""
        self._file.close()


class Packer:
    """Fills files.

    Args:
        limits: what a file may have.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: dict[Group, Pack] = {}

    def add(self, group: Group, row: Row, fitted: Fitted, *, tokens: int | None = None) -> Pack | None:
        """Add a row; gives a file that is full now, for whoever calls to close.

        Args:
            group: what it has in common with others.
            row: as it is sent.
            fitted: what is known of it.
            tokens: of input that a file of this group may have; None for any number.

        Raises:
            BadRequestError: it would not even fit into a file of its own.
        """
        line = write_line(row)
        limits = self._limits
        if tokens is not None and (limits.tokens is None or tokens < limits.tokens):
            limits = msgspec.structs.replace(limits, tokens=tokens)
        inputs = _inputs(row.body) if row.operation is Operation.EMBEDDINGS else 0
        if len(line) > limits.size or (limits.tokens is not None and fitted.tokens > limits.tokens):
            message = (
                f"The row has {len(line)} bytes and about {fitted.tokens} tokens of input; a batch takes at most "
                f"{limits.size} bytes" + (f" and {limits.tokens} tokens." if limits.tokens is not None else ".")
            )
            raise BadRequestError(message, code="row_too_large", hint="Ask it at once, or make it shorter.")
        pack, full = self._open.get(group), None
        if pack is not None and _over(pack, len(line), fitted.tokens, inputs, limits):
            full = self._open.pop(group)
            pack = None
        if pack is None:
            if len(self._open) >= MOST_OPEN:
                full = full or self._open.pop(next(iter(self._open)))
            pack = self._open[group] = Pack(group)
        pack.add(line, fitted, inputs)
        return full

    def rest(self) -> list[Pack]:
        """The files that are not full; the caller closes them."""
        packs = list(self._open.values())
        self._open = {}
        return packs

    def close(self) -> None:
        """Let go of all that nobody has taken."""
        for pack in self.rest():
            pack.close()


def _over(pack: Pack, size: int, tokens: int, inputs: int, limits: Limits) -> bool:
    return (
        pack.rows >= limits.rows
        or pack.size + size > limits.size
        or pack.inputs + inputs > MOST_INPUTS
        or (limits.tokens is not None and pack.tokens + tokens > limits.tokens)
    )


def _inputs(body: bytes) -> int:
    """How many texts are to be embedded."""
    try:
        found = msgspec.json.decode(_INPUT.decode(body).input)
    except UNREADABLE:
        return 1
    several = isinstance(found, list) and any(not isinstance(part, int) for part in found)
    return len(found) if several else 1
