"""How a model counts: its vocabulary, and its rule for pictures.

Decides it from the model's name; refuses to count. What is not published is marked as a guess, here and in every
count that rests on it.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from headgate.catalog.names import LONGEST, spellings


class Pictures(msgspec.Struct, frozen=True, kw_only=True):
    """How a family charges for a picture: by tiles of 512 pixels, or by patches of 32.

    Attributes:
        base: tokens of each picture, and all that one of low detail costs (tiles only).
        tile: tokens of each tile; 0 if the family counts patches.
        factor: tokens of each patch, in hundredths.
        most: patches that a picture has at most; larger ones are made smaller.
        most_uncut: the same where the caller asks for `auto` or `original` detail.
    """

    base: int = 0
    tile: int = 0
    factor: int = 100
    most: int = 1536
    most_uncut: int = 1536


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """What models of one family have in common.

    Attributes:
        encoding: the vocabulary, as tiktoken calls it.
        sure: it is known to be theirs.
        framed: how messages are put around the text is known too.
        pictures: what a picture costs.
        seen: that rule is published.
    """

    encoding: str = "o200k_base"
    sure: bool = True
    framed: bool = False
    pictures: Pictures = Pictures(base=70, tile=140)
    seen: bool = False


def _patches(factor: int) -> Pictures:
    return Pictures(factor=factor)


_TILES = Pictures(base=85, tile=170)
# A picture of 12 megapixels has been seen to cost its 11,750 patches; what larger ones cost is not known.
_SIX = Pictures(factor=120, most=2450, most_uncut=12_000)
_OLD = Family(encoding="cl100k_base", framed=True, pictures=_TILES, seen=True)

FAMILIES: Final[Sequence[tuple[re.Pattern[str], Family]]] = tuple(
    (re.compile(rf"(?:{names})(?:-.*)?", re.ASCII), family)
    for names, family in (
        ("gpt-4o-mini", Family(framed=True, pictures=Pictures(base=2833, tile=5667), seen=True)),
        ("gpt-4o|chatgpt-4o", Family(framed=True, pictures=_TILES, seen=True)),
        ("gpt-4\\.1-mini", Family(pictures=_patches(162), seen=True)),
        ("gpt-4\\.1-nano", Family(pictures=_patches(246), seen=True)),
        ("gpt-4\\.1|gpt-4\\.5", Family(pictures=_TILES, seen=True)),
        ("gpt-4|gpt-3\\.5|gpt-35", _OLD),
        ("gpt-5-mini", Family(pictures=_patches(162), seen=True)),
        ("gpt-5-nano", Family(pictures=_patches(246), seen=True)),
        ("gpt-5(?:\\.\\d+)?", Family()),
        ("gpt-6(?:\\.\\d+)?", Family(sure=False, pictures=_SIX)),
        ("o1|o3", Family(pictures=Pictures(base=75, tile=150), seen=True)),
        ("o4-mini", Family(pictures=_patches(172), seen=True)),
        ("gpt-oss", Family()),
        ("text-embedding-3|text-embedding-ada-002|davinci-002|babbage-002", _OLD),
    )
)
"""Families by the beginning of a model's name; the first that fits holds."""
STRANGER: Final = Family(sure=False)
"""Anybody else: counted as the newest models of OpenAI are."""


def family(model: str) -> Family:
    """The family of a model, by its name with or without provider, date and tuning.

    Example:
        >>> family("openai/gpt-4.1-mini-2025-04-14").encoding, family("gpt-6-luna").sure, family("claude").sure
        ('o200k_base', False, False)
    """
    for spelling in spellings(model[:LONGEST]):
        for names, found in FAMILIES:
            if names.fullmatch(spelling):
                return found
    return STRANGER
