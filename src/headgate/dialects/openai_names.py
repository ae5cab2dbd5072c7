"""Which of a provider's objects a request names: files, earlier responses and their items, conversations, containers.

Decides where an id may stand; refuses to know whose the objects are. Most requests name none, and for them this is a
few searches for bytes: the body is decoded only where one of the words stands in it, or may stand there in disguise.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from headgate.core.body import disguised

_FIELDS = frozenset(("file_id", "file_ids", "input_file_id", "previous_response_id", "vector_store_ids"))
# A plain id, or an object that holds it as its `id`.
_HOLDERS = frozenset(("conversation", "container"))
# What stands below these is the caller's own: a schema, a label, a text.
_PRIVATE = frozenset(("metadata", "parameters", "schema", "arguments"))


def chat_names(raw: bytes) -> tuple[str, ...]:
    """The ids in a request for chat.

    Example:
        >>> chat_names(b'{"messages": [{"content": [{"type": "file", "file": {"file_id": "file-1"}}]}]}')
        ('file-1',)
    """
    return names(raw) if b"file_id" in raw or disguised(raw) else ()


def response_names(raw: bytes) -> tuple[str, ...]:
    """The ids in a request for a response.

    Example:
        >>> response_names(b'{"input": "Go on", "previous_response_id": "resp_1"}')
        ('resp_1',)
    """
    if (
        b"previous_response_id" in raw
        or b"file_id" in raw
        or b"item_reference" in raw
        or b'"conversation"' in raw
        or b'"container"' in raw
        or b"vector_store_ids" in raw
        or disguised(raw)
    ):
        return names(raw)
    return ()


def names(raw: bytes) -> tuple[str, ...]:
    """All ids in a request, each once, in order. The body was read before: it is a JSON object."""
    return tuple(dict.fromkeys(_names(msgspec.json.decode(raw))))


def _names(value: Any) -> Iterator[str]:
    waiting = [value]
    # A list of what is to be seen and no recursion: how deep a body is nested is its sender's choice.
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += reversed(value)
        elif isinstance(value, dict):
            if value.get("type") == "item_reference":
                yield from _ids(value.get("id"))
            for name, inside in value.items():
                if name in _FIELDS:
                    yield from _ids(inside)
                elif name in _HOLDERS:
                    yield from _ids(inside.get("id") if isinstance(inside, dict) else inside)
                if name not in _PRIVATE and isinstance(inside, list | dict):
                    waiting.append(inside)


def _ids(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (entry for entry in value if isinstance(entry, str))
