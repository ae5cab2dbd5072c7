"""Which of a provider's objects a request names: files, earlier responses and their items, conversations, containers.

Decides where an id may stand; refuses to know whose the objects are. Most requests name none, and for them this is a
few searches for bytes: the body is decoded only where one of the words stands in it, or may stand there in disguise.
A name that stands in an object twice counts twice: whichever of them the provider reads, it was seen here.
"""

import json
import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from headgate.core.body import disguised
from headgate.core.errors import BadRequestError
from headgate.core.upload import Form

_FIELDS = frozenset(
    ("file_id", "file_ids", "input_file_id", "previous_response_id", "vector_store_ids", "container_id")
)
# A plain id, or an object that holds it as its `id`.
_HOLDERS = frozenset(("conversation", "container"))
# What stands below these is the caller's own, or what an earlier answer cited: a schema, a label, a quotation.
_PRIVATE = frozenset(("metadata", "parameters", "schema", "arguments", "annotations", "results"))
# Items that a provider finds by their id alone, unless they bring along what it would find.
_KEPT_ITEMS = {"reasoning": "encrypted_content", "image_generation_call": "result"}
# Below this, keys are names that the caller has chosen.
_VARIABLES = "variables"


def _no_id(_number: str) -> None:
    """A number, however long."""


# Objects become tuples of pairs, and so differ from lists.
_DECODER = json.JSONDecoder(object_pairs_hook=tuple, parse_int=_no_id, parse_float=_no_id)
FILES = ("file_id", "file_ids", "input_file_id")
"""Words of which one stands in every request for chat that names an object."""
REFERENCES = (
    *FILES, "previous_response_id", "item_reference", "conversation", "container", "container_id", "vector_store_ids",
    "id",
)  # fmt: skip
"""The same for requests for a response; the last one alone may still be nothing."""
_REFERENCE = re.compile(f'"(?:{"|".join(REFERENCES)})"'.encode())
_ID = frozenset((b'"id"',))
_BRACKETS = re.compile(r"[\[\].]+")


class _Item(msgspec.Struct, gc=False):
    type: Any = None
    id: Any = None


class _Input(msgspec.Struct, gc=False):
    input: list[_Item] | str | None = None


_INPUT = msgspec.json.Decoder(_Input)


def chat_names(raw: bytes) -> tuple[str, ...]:
    """The ids in a request for chat, or for anything that takes files.

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
    return names(raw) if disguised(raw) else marked_names(raw, frozenset(_REFERENCE.findall(raw)))


def marked_names(raw: bytes, marks: AbstractSet[bytes]) -> tuple[str, ...]:
    """The same, where it is known already which of `REFERENCES` stand in it, in quotes."""
    return names(raw) if marks and (marks != _ID or _refers(raw)) else ()


def form_names(form: Form) -> tuple[str, ...]:
    """The ids in a form: `image[file_id]` is what `{"image": {"file_id": …}}` is in JSON.

    Example:
        >>> from headgate.core.upload import Part
        >>> form_names(Form([Part("image[][file_id]", b"", b"file-1")], "x"))
        ('file-1',)
    """
    found = (
        part.data.decode(errors="replace")
        for part in form.parts
        if isinstance(part.data, bytes) and not _FIELDS.isdisjoint(_BRACKETS.split(part.name))
    )
    return tuple(dict.fromkeys(found))


def names(raw: bytes) -> tuple[str, ...]:
    """All ids in a request, each once. The body was read before: it is a JSON object.

    Raises:
        BadRequestError: it is nested too deeply.
    """
    try:
        body = _DECODER.decode(raw.decode())
    except (RecursionError, ValueError):
        # One decoder took it and the other one does not: two parsers, two requests.
        message = "The body is nested too deeply, or is not plain JSON."
        raise BadRequestError(message, code="invalid_json") from None
    return tuple(dict.fromkeys(_names(body)))


def _refers(raw: bytes) -> bool:
    """Whether an item of the input may be one that is found by its id. Quicker than to look at everything."""
    try:
        items = _INPUT.decode(raw).input
    except (msgspec.MsgspecError, RecursionError):
        return True
    # A type that is no plain word is looked at again, with everything beside it.
    return isinstance(items, list) and any(
        item.id is not None and (not isinstance(item.type, str) or item.type in _KEPT_ITEMS) for item in items
    )


def _names(body: Any) -> Iterator[str]:
    waiting = [("", body)]
    # A list of what is to be seen and no recursion: how deep a body is nested is its sender's choice.
    while waiting:
        field, value = waiting.pop()
        if isinstance(value, list):
            within = "" if field == _VARIABLES else field
            waiting += [(within, entry) for entry in reversed(value)]
        elif isinstance(value, tuple):
            if _is_reference(field, value):
                yield from _ids([inside for name, inside in value if name == "id"])
            for name, inside in value:
                if field == _VARIABLES:
                    waiting.append(("", inside))
                    continue
                if name in _FIELDS:
                    yield from _ids(inside)
                elif name in _HOLDERS:
                    yield from _ids([held for key, held in inside if key == "id"] if _is_object(inside) else inside)
                if name not in _PRIVATE:
                    waiting.append((name, inside))


def _is_object(value: Any) -> bool:
    return isinstance(value, tuple)


def _is_reference(field: str, pairs: Sequence[tuple[str, Any]]) -> bool:
    """Whether an object is an item that the provider finds by its `id`."""
    types = [value for name, value in pairs if name == "type"]
    if "item_reference" in types:
        return True
    if field != "input":
        return False
    if not types or not all(isinstance(kind, str) for kind in types):
        # Without a type it is a message, if it says something, or a reference.
        return not {"role", "content"} <= {name for name, _ in pairs}
    return any(kind in _KEPT_ITEMS and not _brings(pairs, _KEPT_ITEMS[kind]) for kind in types)


def _brings(pairs: Sequence[tuple[str, Any]], name: str) -> bool:
    found = [value for key, value in pairs if key == name]
    return bool(found) and all(found)


def _ids(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (entry for entry in value if isinstance(entry, str))
