"""What a process has seen since its start, in figures: for `/metrics`, and for whoever sums up.

Decides what is counted, by which names, and how many of them there can be; refuses to know who tells it and who reads
it. Names are those of the configuration. Whatever callers make up, where a route takes any name, is counted as one,
`OTHER`, before it is counted: no caller makes this grow.
"""

from bisect import bisect_left
from collections.abc import Collection

import msgspec

from headgate.core import errors
from headgate.core.attempt import Attempt, Settled
from headgate.core.errors import HeadgateError

OTHER = "other"
"""Models that the configuration does not name, and errors that are none of ours and have no status."""
BOUNDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds; where the parts of a spread end."""
CANCELLED = "cancelled"
"""The code of what its caller left."""
CODES = frozenset((CANCELLED, "internal_error")) | {
    kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HeadgateError)
}
"""Codes that are counted each by itself."""
_BILLED, _UNKNOWN = Settled.BILLED, Settled.UNKNOWN
Name = tuple[str, str]
"""A target: provider and model; where no model is asked, `""`."""


class Spread(msgspec.Struct):
    """How long things took.

    Attributes:
        counts: how many took up to each of `BOUNDS` and longer than the one before; the last ones took longer than all.
        seconds: how long all of them took together.

    Example:
        >>> spread = Spread()
        >>> spread.add(0.3)
        >>> spread.counts[4], spread.seconds, spread.number
        (1, 0.3, 1)
    """

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Something took so long."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    def at_once(self) -> None:
        """Something took no time."""
        self.counts[0] += 1

    @property
    def number(self) -> int:
        """How many there were."""
        return sum(self.counts)


class OfModel(msgspec.Struct):
    """Calls that asked for one name.

    Attributes:
        took: from the call to its end, for all that have ended.
        first: from the call to the first word, for those that streamed.
    """

    took: Spread = msgspec.field(default_factory=Spread)
    first: Spread = msgspec.field(default_factory=Spread)


class OfTarget(msgspec.Struct):
    """What was asked of one target.

    Attributes:
        billed, not_billed, unknown: attempts, by how they ended.
        codes: those that failed, by the code of their error.
        prompt_tokens, completion_tokens: reported or counted.
        cost: of known price, picodollars; what budgets are charged for attempts that nobody knows the end of is none.
        unpriced: billed attempts whose price is not known.
        took: attempts, from leaving to their end.
        waited: attempts, in the queue for the target's limits.
        fallbacks: calls that went on to another target after this one had failed them.
        rests: how often this process found that it fails too often, and left it alone.
    """

    billed: int = 0
    not_billed: int = 0
    unknown: int = 0
    codes: dict[str, int] = msgspec.field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0
    unpriced: int = 0
    took: Spread = msgspec.field(default_factory=Spread)
    waited: Spread = msgspec.field(default_factory=Spread)
    fallbacks: int = 0
    rests: int = 0

    def settled(self, attempt: Attempt) -> None:
        """Count an attempt that is settled."""
        usage = attempt.usage
        if usage is not None:
            self.prompt_tokens += usage.prompt_tokens
            self.completion_tokens += usage.completion_tokens
        settled, cost = attempt.settled, attempt.cost
        if settled is _BILLED:
            self.billed += 1
        elif settled is _UNKNOWN:
            self.unknown += 1
            cost = 0
        else:
            self.not_billed += 1
        if cost is None:
            self.unpriced += 1
        else:
            self.cost += cost
        if attempt.error_type is not None:
            count(self.codes, attempt.error_type, attempt.status)
        took, seconds = self.took, (attempt.latency_ms or 0.0) / 1e3
        took.counts[bisect_left(BOUNDS, seconds)] += 1
        took.seconds += seconds

    def rested(self) -> None:
        """It is left alone for a while."""
        self.rests += 1


class Counts(msgspec.Struct):
    """Everything that is counted.

    Attributes:
        in_flight: calls of callers that have begun and not ended.
        codes: calls that failed, were refused or were left, by the code of their error.
        models: by the names that callers ask for.
        targets: by provider and model; also what the gate asks on a caller's behalf.
        cache: answers by what the cache did for them (`hit`, `miss`, `coalesced`).
        verdicts: what the guard said, by rule, side and action.
    """

    in_flight: int = 0
    codes: dict[str, int] = msgspec.field(default_factory=dict)
    models: dict[str, OfModel] = msgspec.field(default_factory=lambda: {OTHER: OfModel()})
    targets: dict[Name, OfTarget] = msgspec.field(default_factory=dict)
    cache: dict[str, int] = msgspec.field(default_factory=dict)
    verdicts: dict[tuple[str, str, str], int] = msgspec.field(default_factory=dict)

    def know(self, models: Collection[str], targets: Collection[Name]) -> None:
        """From now on these are names of the configuration. What was counted of former ones stays."""
        for model in models:
            self.models.setdefault(model, OfModel())
        for target in targets:
            if target[1]:
                self.targets.setdefault(target, OfTarget())

    def model(self, asked: str) -> OfModel:
        """Where a call is counted."""
        return self.models.get(asked) or self.models[OTHER]

    def target(self, provider: str, model: str) -> OfTarget:
        """Where attempts at a target are counted; whoever makes many asks once."""
        known = (provider, model) if not model or (provider, model) in self.targets else (provider, OTHER)
        return self.targets.setdefault(known, OfTarget())

    @property
    def calls(self) -> int:
        """Calls of callers that have ended."""
        return sum(one.took.number for one in self.models.values())

    @property
    def errors(self) -> int:
        """Those of them that failed, were refused or were left."""
        return sum(self.codes.values())

    @property
    def attempts(self) -> int:
        """All that have ended."""
        return sum(one.billed + one.not_billed + one.unknown for one in self.targets.values())

    @property
    def unknown(self) -> int:
        """Attempts whose outcome is not known."""
        return sum(one.unknown for one in self.targets.values())

    @property
    def unpriced(self) -> int:
        """Billed attempts whose price is not known."""
        return sum(one.unpriced for one in self.targets.values())

    @property
    def prompt_tokens(self) -> int:
        """Of all attempts, reported or counted."""
        return sum(one.prompt_tokens for one in self.targets.values())

    @property
    def completion_tokens(self) -> int:
        """Of all attempts, reported or counted."""
        return sum(one.completion_tokens for one in self.targets.values())

    @property
    def cost(self) -> int:
        """Of all attempts of known price, picodollars."""
        return sum(one.cost for one in self.targets.values())


def count(numbers: dict[str, int], code: str, status: int | None = None) -> None:
    """One more that ended in an error. A code of a provider's own is counted by the HTTP status that came with it.

    Example:
        >>> numbers = {}
        >>> count(numbers, "blocked")
        >>> count(numbers, "what a provider says", 503)
        >>> count(numbers, "what a provider says")
        >>> numbers
        {'blocked': 1, 'status_503': 1, 'other': 1}
    """
    name = code if code in CODES else f"status_{status}" if status is not None and 400 <= status < 600 else OTHER
    numbers[name] = numbers.get(name, 0) + 1
