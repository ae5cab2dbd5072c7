"""What of a request changes its answer, in a spelling that is the same for every request that means the same.

Decides which requests have an answer that follows from what they say, and what of them counts. Refuses to know who asks
and where answers are kept.

Order of fields and white space mean nothing, but for the `properties` of a schema: models answer in their order. A
field that is null counts as left out. What two parsers may read differently (a name that stands twice in one object)
has no spelling: of such a request nobody can say what it means.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.dialects.openai_fields import UNREADABLE

ANSWERABLE: Final = frozenset(
    (
        Operation.CHAT,
        Operation.RESPONSES,
        Operation.COMPLETIONS,
        Operation.EMBEDDINGS,
        Operation.MODERATIONS,
        Operation.IMAGES,
    )
)
"""Operations whose answer may follow from the request."""

# How the answer travels, who is meant to get it, and what the provider writes down or remembers beside it.
_BESIDE = frozenset(
    (
        "background", "metadata", "model", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
        "safety_identifier", "store", "stream", "stream_options", "user",
    )
)  # fmt: skip
# 1 and 1.0 are one number here, and not in a schema, which the model reads as text.
_NUMBERS = frozenset(("frequency_penalty", "presence_penalty", "temperature", "top_p"))
_SCHEMAS = frozenset(("functions", "response_format", "text", "tools"))
_LONGEST_SHAPE = 64 * 1024
"""Bytes of a schema whose names are put in order. A longer one is as it is spelled: to order it would take seconds."""
_OWN_TOOLS = frozenset(("function", "custom"))
"""Tools that the caller runs. All others are run by the provider, who looks at the world."""
_encode = msgspec.json.Encoder(order="deterministic").encode
_plain = msgspec.json.Encoder().encode
_NOTHING: Mapping[str, Any] = {}


class _TwiceError(ValueError):
    pass


def question(operation: Operation, body: Body, defaults: Mapping[str, Any] = _NOTHING) -> bytes | None:
    """What of a request changes its answer; None where the answer does not follow from it.

    Args:
        operation: what is asked for.
        body: the request.
        defaults: values of fields that it does not say, as far as it matters.

    Example:
        >>> question(Operation.CHAT, Body(b'{"user": "u", "model": "m", "temperature": 1.0, "messages": []}'))
        b'[{"messages":[],"temperature":1},[]]'
        >>> question(Operation.CHAT, Body(b'{"messages": [], "store": true}'))
    """
    if operation not in ANSWERABLE:
        return None
    try:
        view = body.view
        if not follows(operation, {**defaults, **view} if defaults else view) or _twice(body.raw, view):
            return None
        return _spelled(view)
    except (*UNREADABLE, TypeError, ValueError):
        return None


def follows(operation: Operation, view: Mapping[str, Any]) -> bool:
    """Whether the answer follows from what a request says, and is kept by no provider."""
    if view.get("background") or view.get("web_search_options") is not None:
        return False
    tools = view.get("tools") or ()
    if any(not isinstance(tool, dict) or tool.get("type", "function") not in _OWN_TOOLS for tool in tools):
        return False
    if operation is Operation.RESPONSES:
        # It keeps its answers unless it is told not to. What is told by an id alone may be anything.
        chained = any(view.get(name) is not None for name in ("previous_response_id", "conversation", "prompt"))
        return view.get("store") is False and not chained
    if operation is Operation.IMAGES:
        return not view.get("stream")
    # Sound is kept by the provider for an hour, under an id.
    return not view.get("store") and view.get("audio") is None and "audio" not in (view.get("modalities") or ())


def _spelled(view: Mapping[str, Any]) -> bytes:
    fields: dict[str, Any] = {}
    schemas: list[Any] = []
    for name, value in view.items():
        if value is None or name in _BESIDE:
            continue
        if name in _SCHEMAS:
            spelled = _plain(value)
            long = len(spelled) > _LONGEST_SHAPE
            schemas.append([name, ["as it is", spelled.decode()] if long else _shape(value)])
        else:
            whole = name in _NUMBERS and isinstance(value, float) and value.is_integer()
            fields[name] = int(value) if whole else value
    return _encode([fields, sorted(schemas, key=lambda schema: schema[0])])


def _shape(value: Any, *, ordered: bool = False) -> Any:
    """The value with its objects as lists, those that are `ordered` in their own order: no two values look alike."""
    if isinstance(value, dict):
        names = value if ordered else sorted(value)
        return ["{", *([name, _shape(value[name], ordered=name == "properties")] for name in names)]
    if isinstance(value, list):
        return ["[", *(_shape(inner) for inner in value)]
    return value


def _twice(raw: bytes, view: Mapping[str, Any]) -> bool:
    """Whether a name stands twice in one object. Most requests are spelled as we would spell them: then it does not."""
    if len(raw) == len(again := _plain(view)) and raw == again:
        return False
    try:
        # Only the names are looked at; a number of ten thousand digits is none of our business.
        json.loads(raw, object_pairs_hook=_once, parse_int=str, parse_float=str)
    except _TwiceError:
        return True
    return False


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len({name for name, _ in pairs}) < len(pairs):
        raise _TwiceError
