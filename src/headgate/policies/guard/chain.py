"""Judges words: what rules find is blocked, masked or flagged.

Decides what becomes of each text, with the end of it known or not, and writes down the verdicts. Refuses to know where
texts come from and where they go. Equal texts come out equal, however they were cut: a place is decided on only when
nothing that is still to come can change what is found there.
"""

from collections.abc import Callable

from headgate.core.errors import GuardError
from headgate.core.verdict import Side, Verdict
from headgate.policies.guard.engine import Found
from headgate.policies.guard.recognisers import PRESETS
from headgate.policies.guard.rules import Layer, Rule

Tell = Callable[[Verdict], None]

LONG = 4096
"""Bytes that are held back, beyond which each new word is no reason to look at all of them again."""

_NAMED = frozenset(("secrets", "personal", *PRESETS))
"""Kinds whose patterns have the names of categories."""


class Window:
    """One text on its way through the patterns of a layer.

    Args:
        layer: what is looked for.
        side: for the verdicts.
        tell: is given each verdict.
    """

    __slots__ = (
        "_at", "_behind", "_covered", "_engine", "_more", "_past", "_rules", "_said", "_side", "_tell", "_waiting",
        "_words",
    )  # fmt: skip

    def __init__(self, layer: Layer, side: Side, tell: Tell) -> None:
        assert layer.engine is not None, "it looks for something"
        self._engine = layer.engine
        self._rules = layer.owners
        self._side: Side = side
        self._tell = tell
        self._words = b""
        """What is not decided on, behind one character that is."""
        self._at = 0
        """Where that begins."""
        self._more: list[bytes] = []
        self._waiting = 0
        """What has come and was not looked at, and its size."""
        self._covered = 0
        """Up to here, a mask stands for the words."""
        self._past: dict[int, int] = {}
        """By pattern, where its last occurrence ends, if not decided on so far."""
        self._said: set[int] = set()
        """Patterns that there was a verdict on: one is enough, and a text may hold thousands."""
        self._behind = 0
        """Characters before the words."""

    def feed(self, words: bytes, *, last: bool) -> bytes:
        """Take more of the text, and give what is decided on.

        Raises:
            GuardError: a rule blocks it. Nothing of what it has found was given.
        """
        if len(self._words) > LONG:
            # A key without end may be going on. If there is an eighth more each time, all looks together take time in
            # proportion to the text.
            self._more.append(words)
            self._waiting += len(words)
            if self._waiting < len(self._words) // 8 and not last:
                return b""
            words = b"".join(self._more)
            self._more, self._waiting = [], 0
        held = self._words = self._words + words if self._words else words
        until = len(held) if last else self._engine.begun(held, self._at)
        given = held[self._at : until] if self._covered <= self._at else None
        found = [one for one in self._engine.find(held, self._at, self._past) if one.start < until]
        if found or given is None:
            given = self._decide(found, until)
        self._keep(until)
        return given

    def _decide(self, found: list[Found], until: int) -> bytes:
        held, at = self._words, max(self._at, self._covered)
        pieces: list[bytes] = []
        # Where two begin together, the rule that stands first gives the mask its name.
        for one in sorted(found, key=lambda one: (one.start, one.pattern)):
            rule = self._rules[one.pattern]
            self._say(rule, one)
            self._past[one.pattern] = max(one.end, self._past.get(one.pattern, 0))
            if rule.action != "mask":
                continue
            if one.start >= at:
                pieces += (held[at : one.start], self._mask(rule, one))
            at = max(at, one.end)
        self._covered = at
        pieces.append(held[at:until])
        return b"".join(pieces)

    def _say(self, rule: Rule, one: Found) -> None:
        if one.pattern in self._said:
            return
        self._said.add(one.pattern)
        name = self._engine.patterns[one.pattern].name
        start = self._behind + len(self._words[: one.start].decode())
        verdict = Verdict(
            approved=rule.action != "block",
            reason=f"The rule {rule.name!r} has found {name!r} in the {self._side}.",
            rule=rule.name,
            layer=rule.kind,
            side=self._side,
            action=rule.action,
            categories=(name,) if rule.kind in _NAMED else (),
            pattern=name,
            span=(start, start + len(self._words[one.start : one.end].decode())),
        )
        self._tell(verdict)
        if rule.action == "block":
            raise refusal(verdict)

    def _mask(self, rule: Rule, one: Found) -> bytes:
        name = self._engine.patterns[one.pattern].name if rule.kind in _NAMED else rule.name
        return f"[{name}]".encode()

    def _keep(self, until: int) -> None:
        """Forget what is decided on, but for one character."""
        held = self._words
        cut = max(until - 1, 0)
        while cut and held[cut] & 0xC0 == 0x80:
            cut -= 1
        if cut:
            self._behind += len(held[:cut].decode())
            self._words = held[cut:]
            self._past = {number: end - cut for number, end in self._past.items() if end > until}
            self._covered = max(self._covered - cut, 0)
        self._at = until - cut


def refusal(verdict: Verdict) -> GuardError:
    """The error of a verdict."""
    hint = "Change the words." if verdict.side == "input" else "Ask for something else."
    return GuardError(verdict.reason, verdict=verdict, hint=hint)


def judged(layer: Layer, side: Side, tell: Tell, words: bytes) -> bytes:
    """A whole text after the patterns of a layer.

    Raises:
        GuardError: a rule blocks it.
    """
    if layer.engine is None or not layer.engine.finds(words):
        return words
    return Window(layer, side, tell).feed(words, last=True)
