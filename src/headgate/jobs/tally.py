"""What became of all rows of a job so far, in sums.

Decides what is added up; refuses to know where outcomes come from.
"""

import msgspec

from headgate.core.money import PICO
from headgate.jobs.row import Lane, Outcome


class Tally(msgspec.Struct, kw_only=True):
    """What became of all rows so far.

    Attributes:
        succeeded, failed: rows.
        cost: picodollars of known price.
        unpriced: rows whose price is not known.
        prompt_tokens, completion_tokens: used.
        lanes: rows that succeeded, by lane.
        squares: of their costs in dollars, added up: how much they differ.
        milliseconds: that their answers took, added up.
    """

    succeeded: int = 0
    failed: int = 0
    cost: int = 0
    unpriced: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    lanes: dict[Lane, int] = msgspec.field(default_factory=lambda: dict.fromkeys(Lane, 0))
    squares: float = 0.0
    milliseconds: float = 0.0

    @property
    def rows(self) -> int:
        """Rows with an outcome."""
        return self.succeeded + self.failed

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        if outcome.succeeded:
            self.succeeded += 1
            self.lanes[outcome.lane] += 1
            self.squares += ((outcome.cost or 0) / PICO) ** 2
            self.milliseconds += outcome.latency_ms or 0.0
        else:
            self.failed += 1
        if outcome.cost is None:
            self.unpriced += 1
        else:
            self.cost += outcome.cost
        self.prompt_tokens += outcome.prompt_tokens
        self.completion_tokens += outcome.completion_tokens
