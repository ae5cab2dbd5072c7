"""Where words stand in requests, answers and events, and how they are changed without touching another byte.

Decides what is a text in JSON: every string, wherever it stands, names of fields included, so that no field is
forgotten and none can be hidden in a second copy. Refuses to know what is wrong with a text.

Answers repeat what was asked (`instructions`, `tools`); only the fields that hold output are looked at (`OUTPUT`).
"""

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from headgate.core.call import Operation

# Atomic: a string of megabytes is read in one go, and never again.
_STRING = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"([ \t\n\r]*:[ \t\n\r]*)?', re.DOTALL)
_BASE64 = re.compile(rb"(?:data:[A-Za-z0-9.+;=/_-]{0,200};base64,)?[A-Za-z0-9+/=\r\n]*+")
_BACKSLASH = 0x5C
_SHORTEST_BASE64 = 256
_BYTES = frozenset(
    (
        b"audio", b"b64_json", b"data", b"encrypted_content", b"file_data", b"image", b"partial_image_b64", b"result",
        b"signature", b"thought_signature",
    )
)  # fmt: skip
"""Fields that may hold bytes of a picture or of sound."""

_WORDS = frozenset(
    (
        b"arguments", b"code", b"content", b"input", b"instructions", b"output", b"prompt", b"reasoning",
        b"reasoning_content", b"refusal", b"revised_prompt", b"text", b"transcript",
    )
)  # fmt: skip
"""Fields whose value is written or read by somebody; what stands in a list may be, too."""

OUTPUT: Final[Mapping[Operation, tuple[str, ...]]] = MappingProxyType(
    {
        Operation.CHAT: ("choices",),
        Operation.COMPLETIONS: ("choices",),
        Operation.RESPONSES: ("output", "output_text"),
        Operation.STORED: ("output", "output_text"),
        Operation.IMAGES: ("data",),
        Operation.IMAGE_EDITS: ("data",),
        Operation.TRANSCRIPTIONS: ("text", "segments", "words"),
        Operation.TRANSLATIONS: ("text", "segments", "words"),
    }
)
"""The fields of an answer that hold what a model has said."""


class Text(NamedTuple):
    """A string in JSON.

    Attributes:
        start, end: where it stands, with its quotes.
        value: what it says, in UTF-8.
        spoken: somebody writes or reads it: it is no id, no name and no type.
    """

    start: int
    end: int
    value: bytes
    spoken: bool


def texts(raw: bytes) -> list[Text]:
    """Every string of a JSON text, but for pictures and sound.

    Example:
        >>> [text.value for text in texts(b'{"role": "user", "content": "Hi"}') if text.spoken]
        [b'Hi']
    """
    found = []
    key, after = b"", -1
    for match in _STRING.finditer(raw):
        value = match[1]
        is_key = match[2] is not None
        named = match.start() == after
        spoken = not is_key and (not named or key in _WORDS)
        if is_key:
            key, after = value, match.end()
        elif (
            len(value) > _SHORTEST_BASE64
            and named
            and (key in _BYTES or value.startswith(b"data:"))
            and _BASE64.fullmatch(value)
        ):
            continue
        if _BACKSLASH in value:
            value = _said(match[1])
        found.append(Text(match.start(), match.end(1) + 1, value, spoken))
    return found


def _said(value: bytes) -> bytes:
    # Half of a surrogate pair says nothing.
    text: str = json.loads(b'"%b"' % value, strict=False)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def changed(raw: bytes, changes: Mapping[Text, bytes]) -> bytes:
    """The same JSON with other words in place of some of its texts."""
    pieces: list[bytes] = []
    at = 0
    for text, value in sorted(changes.items()):
        pieces += (raw[at : text.start], msgspec.json.encode(value.decode()))
        at = text.end
    return b"".join((*pieces, raw[at:]))


def without_logprobs(value: Any) -> Any:
    """The same value without the tokens that spell its words a second time."""
    if isinstance(value, dict):
        return {
            name: ([] if isinstance(inner, list) else None) if name == "logprobs" else without_logprobs(inner)
            for name, inner in value.items()
        }
    return [without_logprobs(inner) for inner in value] if isinstance(value, list) else value
