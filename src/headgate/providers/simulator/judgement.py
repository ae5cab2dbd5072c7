"""What the simulated moderation finds in a text or a picture: thirteen categories, each with a short list of words.

A list decides, and nothing else: a text that means harm in other words is not found, one that only mentions a word is.
Pictures are not looked at; the words of their address are, so that a test can have a picture flagged by its name.
"""

import re
from collections.abc import Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

_WORD = re.compile(r"[^\W_]+")

FLAGGED_FROM = 0.5
"""The score from which on a category is flagged."""

SEEN: Final = frozenset(
    ("self-harm", "self-harm/intent", "self-harm/instructions", "sexual", "violence", "violence/graphic")
)
"""The categories that are looked for in pictures, too."""

WORDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "harassment": ("idiot", "loser", "moron", "you are worthless", "nobody likes you", "shut up"),
        "harassment/threatening": ("i will hurt you", "i will find you", "i will kill you", "you will pay for this"),
        "hate": ("subhuman", "vermin like them", "inferior race", "i hate foreigners"),
        "hate/threatening": ("wipe them out", "exterminate them", "they should all be shot"),
        "illicit": ("shoplift", "launder money", "pick a lock", "forge a passport", "steal a car", "buy cocaine"),
        "illicit/violent": ("build a bomb", "make a bomb", "buy an illegal gun", "poison the water"),
        "self-harm": ("suicide", "hurt myself", "kill myself", "cut myself", "starve myself"),
        "self-harm/intent": ("want to kill myself", "want to die", "going to kill myself", "want to hurt myself"),
        "self-harm/instructions": ("how to kill myself", "how to commit suicide", "ways to hurt myself"),
        "sexual": ("porn", "pornography", "erotic", "nude", "explicit sex"),
        "sexual/minors": ("child porn", "child pornography"),
        "violence": (
            "kill", "kill you", "killing", "murder", "stab", "shoot them", "bomb", "massacre", "exterminate", "torture",
        ),
        "violence/graphic": ("gore", "dismember", "dismembered", "blood everywhere", "severed head"),
    }
)  # fmt: skip
"""By category: words, and words in a row, that are found in it."""


class Scores(dict[str, float]):
    """The score of each category, between 0 and 1."""

    def flagged(self) -> dict[str, bool]:
        """Which categories are flagged."""
        return {name: score >= FLAGGED_FROM for name, score in self.items()}


def judge(text: str | None, pictures: tuple[str, ...] = ()) -> Scores:
    """What is found in a text and in the addresses of pictures.

    Example:
        >>> scores = judge("How do I build a bomb?")
        >>> [name for name, is_so in scores.flagged().items() if is_so]
        ['illicit/violent', 'violence']
    """
    scores = Scores()
    told = " ".join(_WORD.findall((text or "").casefold()))
    shown = [" ".join(_WORD.findall(address[:2000].casefold())) for address in pictures if not _is_data(address)]
    for name, words in WORDS.items():
        in_text = _score(told, name, words) if text is not None else 0.0
        in_pictures = [_score(one, name, words) for one in shown] if name in SEEN else []
        unseen = [_trace(address, name) for address in pictures if _is_data(address)] if name in SEEN else []
        scores[name] = max((in_text, *in_pictures, *unseen))
    return scores


def _is_data(address: str) -> bool:
    """The address is the picture itself: it has no words."""
    return address.startswith("data:")


def _score(told: str, name: str, words: tuple[str, ...]) -> float:
    """High if one of the words is there; higher for each further one."""
    found = sum(f" {word} " in f" {told} " for word in words)
    trace = _trace(told, name)
    return trace if not found else 1 - (0.3 - trace) / 2 ** (found - 1)


def _trace(told: str, name: str) -> float:
    """What is found in anything: a little, always the same."""
    digest = blake2b(f"{name} {told}".encode("utf-8", "surrogatepass"), digest_size=2).digest()
    return (1 + int.from_bytes(digest, "big")) / 65_536 / 100
