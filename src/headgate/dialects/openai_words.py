"""The words of a prompt: where in a request they stand, and who says them.

Decides which strings of a request are words that a model reads as such, so that a policy may change them and no other
byte. Refuses to know why they are changed. Beside words of messages there are those of tools: their results, and the
arguments that a model gave them. A request in which one of their fields stands twice has none: readers may see
different ones.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.dialects.openai_fields import UNREADABLE
from headgate.dialects.openai_texts import Text

WORDED: Final = frozenset((Operation.CHAT, Operation.RESPONSES, Operation.COMPLETIONS))
"""Operations whose requests have words."""

# Atomic: a string of megabytes is read in one go, and never again.
_TOKEN: Final = re.compile(rb'"((?:[^"\\]++|\\.)*+)"|[{}\[\],]', re.DOTALL)
_BACKSLASH: Final = 0x5C
_STRING: Final = msgspec.json.Decoder(str)
_FIELDS: Final = frozenset(
    (
        "messages", "input", "instructions", "prompt", "content", "text", "role", "type", "tool_calls",
        "function_call", "function", "arguments", "output",
    )
)  # fmt: skip
_TOP: Final[Mapping[Operation, frozenset[str]]] = MappingProxyType(
    {
        Operation.CHAT: frozenset(("messages",)),
        Operation.RESPONSES: frozenset(("input", "instructions")),
        Operation.COMPLETIONS: frozenset(("prompt",)),
    }
)
_PARTS: Final = frozenset((b"text", b"input_text", b"output_text"))

_OF_TOOLS: Final = frozenset((b"tool", b"function"))
_MESSAGES: Final = frozenset((None, b"message"))
_CONTENT: Final = (("content",), ("content", "text"))
_SHAPES: Final[Mapping[tuple[str, ...], int]] = MappingProxyType(
    {
        ("content",): 3,
        ("content", "text"): 5,
        ("output",): 3,
        ("output", "text"): 5,
        ("arguments",): 3,
        ("function_call", "arguments"): 4,
        ("tool_calls", "function", "arguments"): 6,
    }
)
"""The names on the way to a text below a message or an item, and how long the way is with its numbers."""
_DEEPEST: Final = 6

Path = tuple[str | int, ...]


class Word(NamedTuple):
    """A text that a model reads.

    Attributes:
        text: what it says, and where it stands.
        tool: it is a tool's: its arguments or its result.
        own: the model itself has said it.
        apart: it is a question of its own, beside others.
    """

    text: Text
    tool: bool = False
    own: bool = False
    apart: bool = False


def words(operation: Operation, body: Body) -> list[Word]:
    """The words of a request, in their order.

    The last message is left out where it is the model's own: the answer goes on from its last letter.

    Args:
        operation: one of `WORDED`.
        body: the request.

    Example:
        >>> found = words(Operation.CHAT, Body(b'{"messages": [{"role": "user", "content": "Hi"}]}'))
        >>> [word.text.value for word in found]
        [b'Hi']
    """
    strings, last = _strings(body.raw, _TOP[operation])
    found = (_word(path, span, strings, last, body.raw) for path, span in strings.items())
    return [word for word in found if word is not None]


class _Frame:
    """An object (with the names that were seen) or a list that is open, and the name or number of what stands in it."""

    __slots__ = ("key", "names")

    def __init__(self, names: set[str] | None) -> None:
        self.names = names
        self.key: str | int = 0


def _strings(raw: bytes, top: frozenset[str]) -> tuple[dict[Path, tuple[int, int]], int]:
    """Where strings stand that may be words or tell of them, and the number of the last message."""
    found: dict[Path, tuple[int, int]] = {}
    stack: list[_Frame] = []
    last, naming = -1, False
    for match in _TOKEN.finditer(raw):
        mark = match[0]
        if mark in b"{[":
            naming = mark == b"{"
            stack.append(_Frame(set() if naming else None))
            if len(stack) == 3 and stack[0].key in top and isinstance(stack[1].key, int):
                last = stack[1].key
        elif mark == b",":
            frame = stack[-1]
            naming = frame.names is not None
            if isinstance(frame.key, int):
                frame.key += 1
        elif mark in b"]}":
            stack.pop()
            naming = False
        elif naming:
            naming = False
            if _twice(stack, match[1]) and stack[0].key in top:
                # Readers may see different requests.
                return {}, -1
        elif len(stack) <= _DEEPEST and stack[0].key in top:
            found[tuple(frame.key for frame in stack)] = match.span(1)
    return found, last


def _twice(stack: list[_Frame], name: bytes) -> bool:
    """Take the name of a field; whether it is one that counts, and was there before."""
    frame = stack[-1]
    frame.key = _decoded(name) or ""
    assert frame.names is not None, "it stands in an object"
    seen = frame.key in frame.names
    if frame.key in _FIELDS:
        frame.names.add(frame.key)
    return seen


def _word(
    path: Path, span: tuple[int, int], strings: Mapping[Path, tuple[int, int]], last: int, raw: bytes
) -> Word | None:
    def said(*at: str | int) -> bytes | None:
        found = strings.get(at)
        return None if found is None else raw[found[0] : found[1]]

    if len(path) <= 2 and path[0] != "messages":
        # A prompt, or one of several.
        return _text(raw, span, apart=len(path) == 2)
    names = tuple(part for part in path[2:] if isinstance(part, str))
    if _SHAPES.get(names) != len(path):
        return None
    role = said(*path[:2], "role")
    own = role == b"assistant"
    if own and path[1] == last:
        return None
    if names not in _CONTENT:
        return _text(raw, span, tool=True)
    if said(*path[:2], "type") not in _MESSAGES or (len(path) == 5 and said(*path[:4], "type") not in _PARTS):
        return None
    return _text(raw, span, tool=role in _OF_TOOLS, own=own)


def _text(
    raw: bytes, span: tuple[int, int], *, tool: bool = False, own: bool = False, apart: bool = False
) -> Word | None:
    text = _decoded(raw[span[0] : span[1]])
    if not text:
        return None
    return Word(Text(span[0] - 1, span[1] + 1, text.encode(), spoken=True), tool, own, apart)


def _decoded(value: bytes) -> str | None:
    """What a string says; None for half of a surrogate pair."""
    if _BACKSLASH not in value:
        return value.decode()
    try:
        return _STRING.decode(b'"%b"' % value)
    except UNREADABLE:
        return None
