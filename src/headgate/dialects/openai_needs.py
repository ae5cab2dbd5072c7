"""What of a model's abilities a request calls for: pictures want eyes, tools want a caller of tools.

Decides it from the request's bytes, decoded only where a plain search says that there may be something. Refuses to
know which model has which ability (the catalog), and what follows where one lacks it (policies). Parameters are no
needs: what a model does not take of them is left out, or made to fit (`openai_fit.py`).

A word spelled by an escape is not found, and what cannot be read needs nothing: the provider says so itself then.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.core.upload import Upload
from headgate.dialects.openai_fields import UNREADABLE

STREAMING = "streaming"
_PARTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "image_url": "vision",
        "input_image": "vision",
        "input_audio": "audio_in",
        "file": "documents",
        "input_file": "documents",
    }
)
# What must stand in the bytes, for each ability, before anybody looks closer.
_TOOLS = {"tools": (b'"tools"', b'"functions"'), "web_search": (b'"web_search',), "computer_use": (b'"computer',)}
_SAYS: Final[Mapping[Operation, Mapping[str, tuple[bytes, ...]]]] = MappingProxyType(
    {
        Operation.CHAT: {
            "vision": (b'"image_url"',),
            "audio_in": (b'"input_audio"',),
            "audio_out": (b'"modalities"',),
            "documents": (b'"file"',),
            "json_schema": (b'"json_schema"',),
            **_TOOLS,
        },
        Operation.RESPONSES: {
            "vision": (b'"input_image"',),
            "audio_in": (b'"input_audio"',),
            "documents": (b'"input_file"',),
            "json_schema": (b'"json_schema"',),
            **_TOOLS,
        },
    }
)


def needs(operation: Operation, body: Body | Upload, *, stream: bool, among: Iterable[str]) -> frozenset[str]:
    """The abilities that a request calls for.

    Args:
        operation: what is asked for.
        body: the request.
        stream: it wants a stream.
        among: the abilities that matter, as the catalog calls them; others are not looked for.

    Example:
        >>> raw = b'{"tools": [{"type": "function"}], "messages": [{"content": [{"type": "image_url"}]}]}'
        >>> sorted(needs(Operation.CHAT, Body(raw), stream=True, among=("tools", "vision", "json_schema")))
        ['tools', 'vision']
    """
    wanted = frozenset((STREAMING,)) if stream and STREAMING in among else frozenset()
    says = _SAYS.get(operation)
    if says is None or not isinstance(body, Body):
        return wanted
    raw = body.raw
    maybe = [ability for ability in among if any(word in raw for word in says.get(ability, ()))]
    if not maybe:
        return wanted
    try:
        view = body.view
    except UNREADABLE:
        return wanted
    return wanted | _found(view).intersection(maybe)


def _found(view: Mapping[str, Any]) -> set[str]:
    """What the decoded request calls for, in either dialect: neither has a field that means something else in both."""
    found = {_PARTS[kind] for kind in _kinds(view) if kind in _PARTS}
    for tool in _list(view.get("tools")):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind in (None, "function", "custom"):
            found.add("tools")
        elif isinstance(kind, str) and kind.startswith("web_search"):
            found.add("web_search")
        elif isinstance(kind, str) and kind.startswith("computer"):
            found.add("computer_use")
    if _list(view.get("functions")):
        found.add("tools")
    if view.get("web_search_options") is not None:
        found.add("web_search")
    if "audio" in _list(view.get("modalities")):
        found.add("audio_out")
    formats = (view.get("response_format"), _dict(view.get("text")).get("format"))
    if any(_dict(form).get("type") == "json_schema" for form in formats):
        found.add("json_schema")
    return found


def _kinds(view: Mapping[str, Any]) -> Iterable[str]:
    """The types of all parts of all messages and items."""
    for item in (*_list(view.get("messages")), *_list(view.get("input"))):
        for parts in (_dict(item).get("content"), _dict(item).get("output")):
            for part in _list(parts):
                kind = _dict(part).get("type")
                if isinstance(kind, str):
                    yield kind


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
