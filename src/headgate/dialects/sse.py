"""Server-sent events: bytes in any chunks to events, and events to bytes.

Stub to be completed by the dialects room.
"""

import msgspec


class ServerEvent(msgspec.Struct, frozen=True):
    """One server-sent event.

    Attributes:
        name: the `event:` field; empty where there was none.
        data: the `data:` lines joined by newlines; None for a block of comments only.
        raw: the block as it came, its blank line included.
    """

    name: bytes
    data: bytes | None
    raw: bytes
