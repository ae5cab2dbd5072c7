"""Sums that a simulated model gets right as often as it was told: something to measure a measurement with.

Decides which question is a sum, and what is answered. Whether an answer is right follows from the dice alone, so a
model's quality is known beforehand, and two models err at different questions.
"""

import re

from headgate.providers.simulator.dice import Dice

_SUM = re.compile(r"\bWhat is (-?[0-9]{1,9}) ([-+*]) (-?[0-9]{1,9})\?", re.IGNORECASE)
_TAIL = 2000
"""Characters at the end of a question that are looked at."""


def result(text: str, skill: float, dice: Dice) -> int | None:
    """The answer to the last sum of a text; None where there is none.

    Args:
        text: what was asked.
        skill: share (0 to 1) of the answers that are right; the others are off by 1 to 9.
        dice: decides.

    Example:
        >>> result("What is 17 + 25?", 1.0, Dice(b"1"))
        42
    """
    found = _SUM.findall(text[-_TAIL:])
    if not found:
        return None
    first, sign, second = found[-1]
    one, other = int(first), int(second)
    right = one + other if sign == "+" else one - other if sign == "-" else one * other
    if dice.share() < skill:
        return right
    off = dice.between(1, 9)
    return right + off if dice.below(2) else right - off
