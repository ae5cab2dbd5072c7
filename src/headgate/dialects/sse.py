"""Server-sent events: bytes cut anywhere to events, and events to bytes.

Decides where one event ends and the next begins, and keeps every byte of it, so that what a provider sent can be
passed on as it came. Refuses to know what the data means. Equal bytes give equal events, however they were cut: where
the end of a line cannot be told yet (a CR whose LF may still come), the event waits for the next byte.
"""

import re

import msgspec

from headgate.core.errors import GarbledError

LIMIT = 16 * 1024 * 1024
"""Bytes of the largest event that is read."""

_BOM = b"\xef\xbb\xbf"
# Atomic, so that one CRLF is never taken for two line ends.
_LINE_END = re.compile(rb"(?>\r\n|\r|\n)")
_BLANK = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
_LONGEST_BLANK = 4
_CR = ord("\r")


class ServerEvent(msgspec.Struct, frozen=True):
    """One server-sent event.

    Attributes:
        name: the `event:` field; empty where there was none.
        data: the `data:` lines joined by newlines; None for a block without any (comments, a stray blank line).
        raw: the block as it came, its blank line included.
    """

    name: bytes
    data: bytes | None
    raw: bytes


class Decoder:
    r"""Reads one stream.

    The events' `raw` bytes and `rest`, put together, are the bytes that were fed, less a byte order mark at the start.

    Example:
        >>> decoder = Decoder()
        >>> decoder.feed(b"data: he"), decoder.feed(b"llo\n\n")[0].data
        ([], b'hello')
        >>> decoder.end()
        []
    """

    __slots__ = ("_limit", "_plain", "_rest", "_scanned", "_started")

    def __init__(self, limit: int = LIMIT) -> None:
        """Start a stream; `limit` is the size in bytes of the largest event that is read."""
        self._limit = limit
        self._rest = bytearray()
        # No event ends before this offset of `_rest`: a huge event fed in tiny pieces is searched once.
        self._scanned = 0
        self._started = False
        # No CR was seen so far: every line ends with LF, which is much cheaper to look for.
        self._plain = True

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The events that are complete with these bytes.

        Raises:
            GarbledError: an event is larger than the limit. Events complete before it are given first.
        """
        # One plain event in one piece: what nearly every server sends nearly always.
        if not self._rest and len(chunk) <= self._limit and (event := _plain_event(chunk)) is not None:
            self._started = True
            return [event]
        return self._read(chunk, last=False)

    def end(self) -> list[ServerEvent]:
        """Say that no more bytes come, and get what only now is known to be complete.

        A `data: [DONE]` that lacks its blank line counts as an event (and is given one). Anything else that is left
        is an event that was cut: see `rest`.

        Raises:
            GarbledError: an event is larger than the limit.
        """
        events = self._read(b"", last=True)
        if self._rest:
            left = _parse(bytes(self._rest))
            if left.data is not None and left.data.strip() == b"[DONE]":
                self._rest.clear()
                events.append(ServerEvent(left.name, b"[DONE]", write(b"[DONE]", left.name)))
        return events

    @property
    def rest(self) -> bytes:
        """The bytes after the last complete event: empty at the end of a stream that was not cut."""
        return bytes(self._rest)

    def _read(self, chunk: bytes, *, last: bool) -> list[ServerEvent]:
        rest = self._rest
        if len(rest) > self._limit:
            raise self._too_large()
        rest += chunk
        if _CR in chunk:
            self._plain = False
        if not self._started:
            if len(rest) < len(_BOM) and _BOM.startswith(rest) and not last:
                return []
            self._started = True
            if rest.startswith(_BOM):
                del rest[: len(_BOM)]
        events: list[ServerEvent] = []
        at = 0
        # An event over the limit stays in `rest`, so that this call or the next one refuses it.
        while (end := self._end_of_event(at, last=last)) and end - at <= self._limit:
            events.append(_parse(bytes(rest[at:end])))
            at = self._scanned = end
        del rest[:at]
        self._scanned = max(0, len(rest) - _LONGEST_BLANK + 1)
        if len(rest) > self._limit and not events:
            raise self._too_large()
        return events

    def _end_of_event(self, at: int, *, last: bool) -> int:
        """Where the event that starts here ends; 0 when that is not known yet."""
        rest = self._rest
        start = max(at, self._scanned)
        if self._plain:
            # An event that begins with a line end is that line end and nothing else.
            if rest.startswith(b"\n", at):
                return at + 1
            blank = rest.find(b"\n\n", start)
            return blank + 2 if blank >= 0 else 0
        found = _LINE_END.match(rest, at) or _BLANK.search(rest, start)
        if found is None or (found.end() == len(rest) and rest[-1] == _CR and not last):
            return 0
        return found.end()

    def _too_large(self) -> GarbledError:
        return GarbledError(f"The provider sent an event of more than {self._limit} bytes.")


def _plain_event(block: bytes) -> ServerEvent | None:
    """Take the common forms apart by offsets: one `data: ` line, alone or after `event: `, with LF."""
    start = block.find(b"\n") + 1 if block.startswith(b"event: ") else 0
    if (
        block.startswith(b"data: ", start)
        and block.find(b"\n", start) == len(block) - 2
        and block.endswith(b"\n\n")
        and _CR not in block
    ):
        return ServerEvent(block[7 : start - 1] if start else b"", block[start + 6 : -2], block)
    return None


def _parse(block: bytes) -> ServerEvent:
    """Read the lines of one event; `id`, `retry` and unknown fields are skipped, as the standard says."""
    event = _plain_event(block)
    if event is not None:
        return event
    name = b""
    data: list[bytes] = []
    for line in block.splitlines():
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return ServerEvent(name, b"\n".join(data) if data else None, block)


def write(data: bytes, name: bytes = b"") -> bytes:
    r"""One event as bytes; line ends in the data become several `data:` lines.

    Example:
        >>> write(b"a\nb", b"note")
        b'event: note\ndata: a\ndata: b\n\n'
    """
    head = b"event: %s\n" % name if name else b""
    return head + b"".join(b"data: %s\n" % line for line in _LINE_END.split(data)) + b"\n"
