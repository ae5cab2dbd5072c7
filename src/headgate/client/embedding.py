"""Embeddings, as a Python caller asks for them and gets them.

Decides how many texts go into one request, how vectors travel (base64: a third of the bytes of decimal numbers), and
how the answers of several requests become one. Refuses to know how a request is answered.
"""

import sys
from array import array
from base64 import b64decode
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from headgate.client.response import Answered
from headgate.core.errors import BadRequestError, GarbledError
from headgate.core.usage import TokenUsage
from headgate.dialects.openai_fields import decode

MODEL = "text-embedding-3-small"
MOST_TEXTS = 2048
"""Of one request."""
MOST_BYTES = 300_000
"""UTF-8 bytes of one request's texts, which takes as many tokens: no token has less than a byte."""
AT_ONCE = 8
"""Requests on their way at the same time."""


class EmbeddingResponse(Answered, frozen=True, kw_only=True):
    """The vectors of some texts, and what is known of every answer (`Answered`).

    Attributes:
        vectors: one for each text, in the texts' order.
        request_ids: of all calls: many texts need several. What is said of the answer is said of all of them together.
    """

    vectors: list[list[float]]
    request_ids: tuple[str, ...]


class _Entry(msgspec.Struct):
    index: int
    embedding: str | list[float]


class _Answer(msgspec.Struct):
    data: list[_Entry]


_ANSWER = msgspec.json.Decoder(_Answer)


def checked(texts: str | Sequence[str]) -> Sequence[str]:
    """The texts.

    Raises:
        BadRequestError: there is none, or one of them is no text.
    """
    texts = (texts,) if isinstance(texts, str) else tuple(texts)
    if not texts:
        raise BadRequestError("There is no text to embed.", code="missing_field", param="texts")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            message = f"Text {place} is of the type {type(text).__name__}, not a string."
            raise BadRequestError(message, code="invalid_type", param="texts")
    return texts


def portions(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts in portions that one request takes each; a text that is too long by itself is left to the provider.

    Example:
        >>> [len(portion) for portion in portions(["a"] * 3000)]
        [2048, 952]
    """
    start = size = 0
    for place, text in enumerate(texts):
        length = len(text.encode(errors="replace"))
        if place > start and (place - start == MOST_TEXTS or size + length > MOST_BYTES):
            yield texts[start:place]
            start, size = place, 0
        size += length
    yield texts[start:]


def request(texts: Sequence[str], model: str, *, dimensions: int | None, user: str | None) -> dict[str, Any]:
    """The body of a request."""
    given = {"dimensions": dimensions, "user": user}
    return {
        "model": model,
        "input": texts,
        "encoding_format": "base64",
        **{name: value for name, value in given.items() if value is not None},
    }


def read(raw: bytes, facts: dict[str, Any], *, number: int) -> EmbeddingResponse:
    """The answer to one request.

    Args:
        raw: it.
        facts: what is known of every answer.
        number: of texts that were asked for.

    Raises:
        GarbledError: it cannot be read, or is not about these texts.
    """
    found: dict[int, list[float]] = {}
    answer = decode(_ANSWER, raw, "The provider's embeddings")
    for entry in answer.data:
        found[entry.index] = _vector(entry.embedding)
    if len(answer.data) != number or found.keys() != set(range(number)):
        what = f"{len(answer.data)} embeddings for {number} texts"
        raise GarbledError(f"The provider sent {what}, or numbered them wrong.")
    vectors = [found[place] for place in range(number)]
    return EmbeddingResponse(vectors=vectors, request_ids=(facts["request_id"],), **facts)


def joined(answers: Sequence[EmbeddingResponse]) -> EmbeddingResponse:
    """Several answers as one."""
    if len(answers) == 1:
        return answers[0]
    costs = [answer.cost_usd for answer in answers if answer.cost_usd is not None]
    return msgspec.structs.replace(
        answers[0],
        vectors=[vector for answer in answers for vector in answer.vectors],
        request_ids=tuple(answer.request_id for answer in answers),
        usage=sum((answer.usage for answer in answers), TokenUsage()),
        cost_usd=sum(costs, Decimal(0)) if len(costs) == len(answers) else None,
        cached=all(answer.cached for answer in answers),
        attempts=sum(answer.attempts for answer in answers),
        latency_ms=max(answer.latency_ms for answer in answers),
        simulated=any(answer.simulated for answer in answers),
    )


def _vector(embedding: str | list[float]) -> list[float]:
    """The numbers; servers that do not know base64 send decimal numbers."""
    if isinstance(embedding, list):
        return embedding
    numbers = array("f")
    try:
        numbers.frombytes(b64decode(embedding, validate=True))
    except ValueError:
        raise GarbledError("An embedding is neither numbers nor base64 of them.") from None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
