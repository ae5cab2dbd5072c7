"""Several embeddings as one request, and its answer taken apart again.

Decides which requests ask for the vector of one text, how several stand in one, and how each one's answer is written as
if it had been asked alone: the vector's own bytes. Refuses to know who asks and what things cost.
"""

from typing import Final, NamedTuple

import msgspec

from headgate.core.body import Body, ObjectReader
from headgate.core.errors import BadRequestError
from headgate.core.usage import TokenUsage
from headgate.dialects.openai_fields import ABSENT, UNREADABLE

LONGEST: Final = 8_191
"""UTF-8 bytes of a text: it cannot have more tokens, and one that is too long would spoil the request for all."""
MOST_BYTES: Final = 300_000
"""Of all texts of a request, which takes as many tokens."""
_encode = msgspec.json.encode


class Vector(NamedTuple):
    """A request for the vector of one text.

    Attributes:
        text: it.
        fields: everything else, as it is spelled.
    """

    text: str
    fields: tuple[tuple[str, bytes], ...]


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    input: str | list[str]
    model: str | None = None
    encoding_format: msgspec.Raw = ABSENT
    dimensions: msgspec.Raw = ABSENT
    user: msgspec.Raw = ABSENT


class _Entry(msgspec.Struct):
    index: int
    embedding: msgspec.Raw


class _Answer(msgspec.Struct):
    data: list[_Entry]
    model: str | None = None


_REQUEST = ObjectReader(_Request)
_ANSWER = msgspec.json.Decoder(_Answer)


def read(body: Body) -> Vector | None:
    """What is asked for, if it is the vector of one text that is not too long.

    Example:
        >>> read(Body(b'{"model": "m", "input": "Hi", "dimensions": 8}'))
        Vector(text='Hi', fields=(('dimensions', b'8'),))
        >>> read(Body(b'{"model": "m", "input": ["Hi", "Ho"]}'))
    """
    try:
        asked = _REQUEST.read(body.raw)
    except BadRequestError:
        return None
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    if len(texts) != 1 or not texts[0] or len(texts[0].encode()) > LONGEST:
        return None
    given = [(name, bytes(getattr(asked, name))) for name in ("dimensions", "encoding_format", "user")]
    return Vector(texts[0], tuple((name, raw) for name, raw in given if raw))


def write(model: str, fields: tuple[tuple[str, bytes], ...], texts: list[str]) -> bytes:
    """The request for all of them."""
    return _encode({"model": model, "input": texts} | {name: msgspec.Raw(raw) for name, raw in fields})


def vectors(raw: bytes, number: int) -> dict[int, bytes]:
    """The vectors, as they are spelled, by the places of their texts; none where it is not about these texts."""
    try:
        entries = _ANSWER.decode(raw).data
    except UNREADABLE:
        return {}
    found = {entry.index: bytes(entry.embedding) for entry in entries}
    return found if len(entries) == number and found.keys() == set(range(number)) else {}


def tell(vector: bytes, *, model: str | None, usage: TokenUsage | None) -> bytes:
    """The answer to one of them, as if it had been asked alone."""
    entry = {"object": "embedding", "index": 0, "embedding": msgspec.Raw(vector)}
    told = {"object": "list", "data": [entry], "model": model}
    tokens = {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens} if usage is not None else None
    return _encode(told if tokens is None else {**told, "usage": tokens})
