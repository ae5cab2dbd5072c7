"""How many tokens of OpenAI's vocabularies a text has: exactly, without a network, and within bounds for any text.

Decides how a text is cut for tiktoken, which splits it by a pattern and merges bytes within each piece. That is quick
on what people write, but a piece may be as long as the text: a million spaces make it panic, and ten million letters
take it half a minute and a gigabyte. So a text is handed over in blocks. A block ends where no piece of any vocabulary
can reach across (see `SEAM`): then the sum is exact. A stretch without such a place, such as one endless word, is
handed over whole up to `LONGEST` characters, still exactly; a longer one in slices of `SLICE`, and the sum is an
estimate, off by a token or two per slice. No text by a person or a program comes near that.

The vocabularies lie in the package, see `vocabularies/ORIGIN.md`. Refuses to know which model has which of them.
"""

import re
import threading
import zlib
from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import tiktoken

BLOCK = 1 << 15
"""Characters that a block has at least, but for the last."""
LONGEST = 1 << 17
"""Characters that a block has at most. tiktoken gives up on runs of white space from about 2**20 on."""
SLICE = 1 << 14
"""Characters of a block that had to be cut anywhere; divides `LONGEST`."""

# Where both patterns below always end a piece. Between something and a space, because nothing but more white space goes
# before one; between a letter or digit and a line end or a mark, because only `'` and accents go on after a letter;
# between letters and digits. The letters (Latin, Greek, Cyrillic, Hebrew, kana, Han, Hangul) and the marks (of ASCII,
# dashes, quotes, those of China and Japan) are such as every version of Unicode has known to be that.
_LETTER = (
    r"A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u0391-\u03a1\u03a3-\u03c9\u0410-\u044f\u05d0-\u05ea"
    r"\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3"
)
_MARK = r"!\"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~\u2013\u2014\u201c\u201d\u2026\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f"
SEAM: Final = re.compile(
    rf"\S[ \t\u00a0\u3000]|[{_LETTER}0-9][\r\n{_MARK}]|[{_LETTER}][0-9]|[0-9][{_LETTER}]",
)
"""A character after which, and a character before which, the text can be cut without changing the number of tokens."""

_PATTERNS = {
    "cl100k_base": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$"
        r"|\s*[\r\n]|\s+(?!\S)|\s"
    ),
    "o200k_base": (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
"""How each vocabulary's text is split, as tiktoken has it (a test compares)."""


class Block(NamedTuple):
    """A part of a text; `seamless` if it was cut where nothing can change."""

    text: str
    seamless: bool


def blocks(text: str) -> Iterator[Block]:
    """A text in parts that tiktoken can be trusted with; together they are the text."""
    at, end = 0, len(text)
    while end - at > BLOCK:
        found = SEAM.search(text, at + BLOCK - 1, at + LONGEST)
        if found:
            cut = found.start() + 1
            yield Block(text[at:cut], seamless=True)
            at = cut
        elif end - at <= LONGEST:
            break
        else:
            for _ in range(LONGEST // SLICE):
                yield Block(text[at : at + SLICE], seamless=False)
                at += SLICE
    if at < end:
        yield Block(text[at:], seamless=True)


class Encodings:
    """The vocabularies, each of them read when it is first needed and kept. Any thread may ask.

    Example:
        >>> encodings = Encodings()
        >>> encodings.count("o200k_base", "Hello, world!")
        4
    """

    def __init__(self) -> None:
        self._read: dict[str, tiktoken.Encoding] = {}
        self._reading = threading.Lock()

    def ready(self, name: str) -> bool:
        """Whether a vocabulary has been read."""
        return name in self._read

    def load(self, name: str) -> None:
        """Read a vocabulary. Takes a fifth of a second and up to 80 MB, once.

        Raises:
            KeyError: there is none of that name.
        """
        with self._reading:
            if name not in self._read:
                self._read[name] = _load(name)

    def count(self, name: str, text: str) -> int:
        """Tokens of a text, which is taken as it is: nothing in it has a special meaning.

        Long texts go through `blocks` first: this one takes what it is given.
        """
        if name not in self._read:
            self.load(name)
        return len(self._read[name].encode_ordinary(text))


def _load(name: str) -> "tiktoken.Encoding":
    import tiktoken  # noqa: PLC0415  not at import of headgate

    pattern = _PATTERNS[name]
    raw = zlib.decompress((files("headgate.catalog") / "vocabularies" / f"{name}.z").read_bytes())
    ranks: dict[bytes, int] = {}
    at, end = 0, len(raw)
    while at < end:
        after = at + 1 + raw[at]
        ranks[raw[at + 1 : after]] = len(ranks)
        at = after
    return tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
