"""A verdict: what a rule of the guard says of words.

Decides what is told of it, to callers, in headers and on the books; refuses to know rules. It never holds the words
themselves: they may be the secret.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

Action = Literal["block", "mask", "flag"]
"""What a rule does: the call is refused; the words are replaced; the words pass, and it is written down."""
Side = Literal["input", "output"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one rule says.

    Attributes:
        approved: the words may pass: they were masked or flagged, or the rule could not run and says `open`.
        reason: one sentence.
        rule: the rule's name.
        layer: its kind: `patterns`, `words`, `secrets`, `personal`, `moderation`, or a preset.
        side: of what went in, or of what came out.
        action: what the rule did.
        categories: what a moderation found, or the kind of secret.
        pattern: which of the rule's patterns or words was found.
        span: where it stands, in characters from the start of its text; the end excluded.
    """

    approved: bool
    reason: str
    rule: str
    layer: str
    side: Side
    action: Action
    categories: tuple[str, ...] = ()
    pattern: str | None = None
    span: tuple[int, int] | None = None


def told(verdicts: Iterable[Verdict]) -> str:
    """Verdicts in one line, each rule once: for a header.

    Example:
        >>> said = Verdict(approved=True, reason="", rule="urgency", layer="words", side="input", action="flag")
        >>> told([said, said])
        'flag input urgency'
    """
    return ", ".join(dict.fromkeys(f"{one.action} {one.side} {one.rule}" for one in verdicts))
