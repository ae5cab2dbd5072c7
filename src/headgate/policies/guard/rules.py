"""Rules, and the chains that are made of them.

Decides what each kind of rule looks for, which rules hold for which model, and which of them can judge a stream as it
comes. Refuses to know where words stand. A rule that is of no use is refused here, when the configuration is read.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from headgate.core.verdict import Action, Side
from headgate.policies.guard.engine import BadPatternError, Engine, Pattern, check
from headgate.policies.guard.recognisers import PERSONAL, PRESETS, SECRETS

Buffer = Literal["window", "sentence", "whole"]
"""How much of a stream is held back: as long as a match may be, sentence by sentence, or all of it."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule.

    Attributes:
        kind: `patterns`, `words`, `secrets`, `personal`, `moderation`, or the name of a preset.
        name: how verdicts call it.
        action: what becomes of what it finds.
        patterns, words: what it looks for, where its kind does not say.
        model: whom a moderation asks.
        buffer: how much of a stream it needs.
        open: where it cannot run, the words pass.
        models: it holds for these names only; None for all.
    """

    kind: str
    name: str
    action: Action = "block"
    patterns: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    model: str = "omni-moderation-latest"
    buffer: Buffer = "window"
    open: bool = False
    models: frozenset[str] | None = None

    @property
    def asks(self) -> bool:
        """Whether it asks a provider."""
        return self.kind == "moderation"


def looks_for(rule: Rule) -> tuple[Pattern, ...]:
    """The patterns of a rule."""
    if rule.kind == "secrets":
        return SECRETS
    if rule.kind == "personal":
        return PERSONAL
    if rule.kind in PRESETS:
        return PRESETS[rule.kind]
    return (*(Pattern(source, source) for source in rule.patterns), *map(_word, rule.words))


def _word(word: str) -> Pattern:
    # An edge of a word is one only where a letter or digit stands; RE2 knows those of ASCII.
    first, last = (r"\b" if char.isascii() and (char.isalnum() or char == "_") else "" for char in (word[0], word[-1]))
    # Space is space, however much of it.
    parts = [_quoted(part) for part in word.split()]
    return Pattern(word, first + r"\s{1,8}".join(parts) + last)


def _quoted(text: str) -> str:
    return "".join(char if not char.isascii() or char.isalnum() or char == "_" else "\\" + char for char in text)


class Complaint(NamedTuple):
    """What is wrong with a rule.

    Attributes:
        setting, number: the setting, and the position in it.
        reason: in words.
        endless: it lacks a bound, and nothing else is wrong.
    """

    setting: str
    number: int
    reason: str
    endless: bool


def complaints(rule: Rule, side: Side) -> list[Complaint]:
    """What is wrong with a rule's patterns."""
    found = []
    bounded = side == "output" and rule.buffer == "window"
    for number, source in enumerate(rule.patterns):
        try:
            check(source, bounded=bounded)
        except BadPatternError as error:
            found.append(Complaint("patterns", number, str(error), error.endless))
    return found


class Layer:
    """Rules that look at the same words.

    Args:
        rules: the rules, in their order.
        bounded: what has begun can be told.
    """

    def __init__(self, rules: Sequence[Rule], *, bounded: bool) -> None:
        self.asking = tuple(rule for rule in rules if rule.asks)
        local = [(rule, pattern) for rule in rules if not rule.asks for pattern in looks_for(rule)]
        self.owners = tuple(rule for rule, _ in local)
        """Whose each pattern of the engine is."""
        self.engine = Engine([pattern for _, pattern in local], bounded=bounded) if local else None


class Chain:
    """The rules for one side of a call.

    Attributes:
        flat: all of them, for a whole text.
        window, sentence, whole: those that need so much of a stream; None where there are none.
    """

    def __init__(self, rules: Sequence[Rule], side: Side) -> None:
        self.side = side
        self.flat = Layer(rules, bounded=False)

        def part(buffer: Buffer) -> Layer | None:
            some = [rule for rule in rules if rule.buffer == buffer]
            return Layer(some, bounded=buffer == "window") if some and side == "output" else None

        self.window, self.sentence, self.whole = part("window"), part("sentence"), part("whole")


class Chains:
    """The chains for every model.

    Args:
        rules: for input and output, in their order.

    Raises:
        BadPatternError: the patterns of all rules together are too large.
    """

    def __init__(self, rules: dict[Side, Sequence[Rule]]) -> None:
        self._named = frozenset(name for some in rules.values() for rule in some for name in rule.models or ())
        made: dict[tuple[Side, tuple[int, ...]], Chain] = {}
        self._chains: dict[tuple[Side, str | None], Chain | None] = {}
        for side, some in rules.items():
            for model in (None, *self._named):
                numbers = tuple(n for n, rule in enumerate(some) if rule.models is None or model in rule.models)
                # Models with the same rules share a chain.
                key = (side, numbers)
                if numbers and key not in made:
                    made[key] = Chain([some[n] for n in numbers], side)
                self._chains[side, model] = made.get(key)

    def of(self, side: Side, model: str) -> Chain | None:
        """The chain for calls that ask for a model; None where no rule holds for them."""
        return self._chains.get((side, model if model in self._named else None))
