r"""What headgate recognises by itself: keys and tokens, personal data, and the language of manipulation.

Decides what a key, a card or an account number looks like, and checks the digits where there is something to check.
Refuses to know what is done about them. A stream is held back while one of them may be going on: for the length of a
word, mostly. Two have no greatest length (a private key, a web token); they end with their alphabet.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from headgate.policies.guard.engine import Pattern


def _exact(name: str, source: str) -> Pattern:
    """A pattern for which case counts."""
    return Pattern(name, rf"(?-i:{source})")


SECRETS: Final = (
    _exact("openai_key", r"\bsk-[A-Za-z0-9_-]{20,250}"),
    _exact("headgate_key", r"\bhg-[A-Za-z0-9_-]{20,120}"),
    _exact("aws_access_key", r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b"),
    Pattern("aws_secret_key", r"\baws_?secret_?(?:access_?)?key[\"']?\s{0,4}[=:]\s{0,4}[\"']?[A-Za-z0-9/+=]{40}"),
    _exact("github_token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,250}|github_pat_[A-Za-z0-9_]{22,250})"),
    _exact("gitlab_token", r"\bglpat-[A-Za-z0-9_-]{20,100}"),
    _exact("slack_token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,250}"),
    _exact("google_key", r"\bAIza[A-Za-z0-9_-]{35}"),
    _exact("stripe_key", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,250}"),
    _exact("hugging_face_token", r"\bhf_[A-Za-z0-9]{30,100}"),
    _exact("npm_token", r"\bnpm_[A-Za-z0-9]{36,100}"),
    _exact("json_web_token", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    # The key itself goes with the line that betrays it.
    _exact("private_key", r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----[A-Za-z0-9+/=\\\s]*"),
)
"""Keys and tokens."""


def luhn(digits: str) -> bool:
    """Whether the last digit is the one that the others call for.

    Example:
        >>> luhn("4111111111111111"), luhn("4111111111111112")
        (True, False)
    """
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _ends(found: bytes) -> list[int]:
    """Where groups of letters and digits end, the last one first."""
    size = len(found)
    return [at for at in range(size, 0, -1) if found[at - 1 : at].isalnum() and not found[at : at + 1].isalnum()]


_LENGTHS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "2": (16,), "30": (14,), "34": (15,), "35": (16,), "36": (14,), "37": (15,), "38": (14,), "4": (13, 16, 19),
        "5": (16,), "6": (16, 17, 18, 19),
    }
)  # fmt: skip
"""How many digits the number of a card has, by those that it begins with."""


def card(found: bytes) -> int:
    """The part of what was found that is the number of a card."""
    for end in _ends(found):
        digits = "".join(char for char in found[:end].decode() if char.isdigit())
        if len(digits) in _LENGTHS.get(digits[:2], _LENGTHS.get(digits[0], ())) and luhn(digits):
            return end
    return 0


def iban(found: bytes) -> int:
    """The part of what was found that is the number of an account.

    Example:
        >>> iban(b"DE89 3704 0044 0532 0130 00")
        27
    """
    for end in _ends(found):
        text = found[:end].decode().replace(" ", "")
        # Letters count from A = 10.
        if 15 <= len(text) <= 34 and int("".join(str(int(char, 36)) for char in text[4:] + text[:4])) % 97 == 1:
            return end
    return 0


PERSONAL: Final = (
    Pattern("email", r"\b[a-z0-9][a-z0-9._%+-]{0,63}@(?:[a-z0-9-]{1,63}\.){1,4}[a-z]{2,24}\b"),
    Pattern("card", r"\b[2-6](?:[ -]?[0-9]){12,18}\b", card),
    Pattern("iban", r"(?-i:\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\b)", iban),
    Pattern("phone", r"(?:\+|\b00)[1-9](?:[ ./()-]{0,2}[0-9]){7,13}\b"),
    Pattern("phone", r"(?:\([0-9]{3}\) ?|\b[0-9]{3}[-. ])[0-9]{3}[-. ][0-9]{4}\b"),
    Pattern("phone", r"\b0[0-9]{2,4}[ /-][0-9]{5,9}\b"),
)
"""Personal data that can be told by its form."""

_PROMISES = (
    r"\bget[ -]rich[ -]quick\b",
    r"\b(?:guaranteed|risk[ -]free|effortless) (?:income|returns?|profits?|earnings|money|wealth)\b",
    r"\b(?:make|earn) (?:up to )?[$€£][0-9][0-9.,]{0,12}k? (?:a|per|every|each) (?:day|week|month|hour)\b",
    r"\b(?:double|triple|10x) your (?:money|income|investment|savings)\b",
    r"\b(?:financial freedom|passive income) (?:overnight|in (?:days|weeks)|without (?:work|effort))\b",
    r"\bquit your (?:day )?job (?:today|now|tomorrow)\b",
)
_URGENCY = (
    r"\bact (?:now|fast|immediately|before it'?s too late)\b",
    r"\b(?:hurry|don'?t miss out|last chance|final (?:call|hours?)|now or never)\b",
    r"\b(?:offer|deal|price|sale) (?:ends|expires) (?:today|tonight|soon|at midnight)\b",
    r"\b(?:offer|deal|price|sale) (?:ends|expires) in [0-9]{1,3} (?:minutes|hours)\b",
    r"\bonly [0-9]{1,4} (?:spots?|seats?|places?|units?|copies|left)\b",
    r"\bbefore it'?s (?:gone|too late)\b",
    r"\blimited[ -]time (?:only|offer|deal)\b",
)
_EXCLUSIVITY = (
    r"\b(?:exclusive|secret|insider|private) (?:access|offer|deal|club|invitation|method|system|formula)\b",
    r"\b(?:invitation|invite|members)[ -]only\b",
    r"\b(?:what|secrets?) (?:the (?:rich|elite|banks|gurus)|they) (?:don'?t|do not|never) want you to know\b",
    r"\bonly (?:for )?(?:a )?(?:select|chosen|lucky) few\b",
    r"\byou(?:'ve| have) been (?:specially |personally )?(?:selected|chosen|hand-?picked)\b",
)

PRESETS: Final[Mapping[str, tuple[Pattern, ...]]] = MappingProxyType(
    {
        "manipulative_language": tuple(
            Pattern(name, source)
            for name, sources in (
                ("get_rich_quick", _PROMISES),
                ("urgency", _URGENCY),
                ("exclusivity", _EXCLUSIVITY),
            )
            for source in sources
        )
    }
)
"""Sets of patterns by name. The name of a pattern is its category."""
