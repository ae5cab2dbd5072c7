"""Texts as vectors: deterministic, of unit length, similar for similar texts, and the same whatever the seed.

Decides what of a text is looked at (its words, and the three- and four-letter pieces of them, so that `pays` is near
`paid` and `payment`) and where in the vector it counts. Each feature counts at three places: somewhere in the whole
vector, somewhere in its first 256 numbers and somewhere in its first 32, so that a vector that was cut short still
tells texts apart. No model of meaning: texts that share no words are not similar, whatever they mean.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from math import hypot, log1p

_WORD = re.compile(r"\w+")
_PLACES = ((1 << 30, 0.9), (256, 0.4), (32, 0.17))
"""Within how many numbers a feature counts, and how much; the squares add up to about one."""
_PIECES = 0.35
"""What a piece of a word counts, against the word."""
_COMMON = frozenset(
    (
        "a", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do", "does", "for",
        "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in", "is", "it", "its", "me", "my", "no",
        "not", "of", "on", "or", "our", "she", "so", "than", "that", "the", "their", "them", "then", "there", "these",
        "they", "this", "those", "to", "us", "was", "we", "were", "what", "when", "where", "which", "who", "why",
        "will", "with", "would", "you", "your",
    )
)  # fmt: skip
"""Words that stand in every text and say little."""
_LITTLE = 0.1


def vector(said: str | Sequence[int], size: int, dimensions: int) -> list[float]:
    """A text, or the numbers of its tokens, as a vector.

    Args:
        said: the text or the tokens.
        size: how many numbers the model gives.
        dimensions: how many of them are wanted; the first ones, brought to unit length again.

    Example:
        >>> def near(a, b):
        ...     return sum(x * y for x, y in zip(vector(a, 64, 64), vector(b, 64, 64), strict=True))
        >>> near("How do I pay my bill?", "how can I pay the bill") > 0.5 > near("How do I pay?", "Rain in Rome")
        True
    """
    found = [0.0] * size
    features = Counter(_of_text(said) if isinstance(said, str) else _of_tokens(said))
    for (feature, weight), times in features.items():
        digest = blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=12).digest()
        counts = weight * (1 + log1p(times - 1))
        for at, (within, share) in enumerate(_PLACES):
            drawn = int.from_bytes(digest[at * 4 : at * 4 + 4], "big")
            found[(drawn >> 1) % min(within, size)] += counts * share * (1 if drawn & 1 else -1)
    found = found[:dimensions]
    length = hypot(*found)
    if length < 1e-9:
        # Nothing to look at, or nothing left of it: everything like that is in the same place.
        return [1.0] + [0.0] * (dimensions - 1)
    return [number / length for number in found]


def _of_text(text: str) -> Iterator[tuple[str, float]]:
    """What is looked at, and how much it counts."""
    lowered = text.casefold()
    words = _WORD.findall(lowered)
    for word in words:
        weight = _LITTLE if word in _COMMON else 1.0
        yield word, weight
        marked = f"<{word}>"
        for length in (3, 4):
            for start in range(len(marked) - length + 1):
                yield marked[start : start + length], weight * _PIECES
    if not words:
        yield from ((sign, 1.0) for sign in lowered if not sign.isspace())


def _of_tokens(tokens: Sequence[int]) -> Iterator[tuple[str, float]]:
    for at, token in enumerate(tokens):
        yield f"token {token}", 1.0
        if at:
            yield f"tokens {tokens[at - 1]} {token}", _PIECES
