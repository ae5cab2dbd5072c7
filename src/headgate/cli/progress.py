"""What a person sees of a run while it goes on: a line that tells the truth, on a terminal drawn over itself.

Decides which figures are shown and how the time that is left is told: by the slower one of what the limits allow and
what was really done lately. Refuses to know how rows are answered. Lines of a log come every ten seconds.
"""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from decimal import Decimal

import msgspec

from headgate.cli.voice import say, visible
from headgate.core.clock import Clock
from headgate.core.money import to_usd
from headgate.gate.config_providers import Limits
from headgate.gate.tasks import Tasks
from headgate.jobs.run import Run

DRAWN, WRITTEN = 0.25, 10.0
"""Seconds between two looks, on a terminal and in a log."""
WINDOW = 30.0
"""Seconds that `lately` means."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """What the limits allow a minute; None where they do not say.

    Attributes:
        requests, tokens: a minute.
    """

    requests: float | None = None
    tokens: float | None = None


def pace_of(limits: Iterable[Limits | None]) -> Pace:
    """What limits allow together: nothing is known of the whole where nothing is known of a part."""
    found = list(limits)
    requests = [None if one is None else one.requests_per_minute for one in found]
    tokens = [None if one is None else one.tokens_per_minute for one in found]
    return Pace(requests=_sum(requests), tokens=_sum(tokens))


def _sum(values: list[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


class Watch:
    """Looks at a run now and then.

    Args:
        run: it.
        total: rows of its input; None where nobody knows.
        pace: what the limits allow.
        budget: dollars that it may cost.
        clock: tells the time.
    """

    def __init__(self, run: Run, *, total: int | None, pace: Pace, budget: Decimal | None, clock: Clock) -> None:
        self._run = run
        self._total = total
        self._pace = pace
        self._budget = budget
        self._clock = clock
        self._seen: deque[tuple[float, int, int]] = deque()
        self.look()

    def look(self) -> None:
        """Note how far it is."""
        run, now = self._run, self._clock.monotonic()
        self._seen.append((now, run.answered, run.prompt_tokens + run.completion_tokens))
        while len(self._seen) > 2 and now - self._seen[1][0] >= WINDOW:
            self._seen.popleft()

    def line(self) -> str:
        """How it stands, in one line."""
        tally = self._run.part.tally
        of = "" if self._total is None else f" of {self._total:,}"
        rows, tokens = self.rates()
        parts = [f"{tally.rows:,}{of} rows", f"{_against(rows, self._pace.requests)} rows/min"]
        if tokens:
            parts.append(f"{_against(tokens, self._pace.tokens)} tokens/min")
        cost = f"${to_usd(tally.cost):.4f}"
        parts.append(cost if self._budget is None else f"{cost} of ${self._budget}")
        if tally.failed:
            parts.append(f"{tally.failed:,} failed")
        if self._run.trouble is not None:
            parts.append(f"waiting: {self._run.trouble.message}")
        left = self.left()
        if left is not None:
            parts.append(f"{time(left)} left")
        return ", ".join(parts)

    def rates(self) -> tuple[float, float]:
        """Rows and tokens a minute, lately."""
        (then, rows, tokens), (now, more_rows, more_tokens) = self._seen[0], self._seen[-1]
        if now <= then:
            return 0.0, 0.0
        return 60 * (more_rows - rows) / (now - then), 60 * (more_tokens - tokens) / (now - then)

    def left(self) -> float | None:
        """Seconds that the rest takes; None where nobody can tell."""
        if self._total is None or not self._run.answered:
            return None
        rows, _ = self.rates()
        possible = [rate for rate in (rows, self._pace.requests) if rate]
        each = (self._run.prompt_tokens + self._run.completion_tokens) / self._run.answered
        if self._pace.tokens and each:
            possible.append(self._pace.tokens / each)
        rest = max(self._total - self._run.part.tally.rows, 0)
        return 60 * rest / min(possible) if possible else None


@asynccontextmanager
async def shown(watch: Watch) -> AsyncIterator[None]:
    """Show a run on stderr while it goes on."""
    drawing = sys.stderr.isatty()
    with _drawn() if drawing else nullcontext(say) as tell:

        async def showing() -> None:
            while True:
                await asyncio.sleep(DRAWN if drawing else WRITTEN)
                watch.look()
                tell(watch.line())

        tasks = Tasks()
        tasks.start(showing(), "progress")
        try:
            yield
        finally:
            await tasks.close()


@contextmanager
def _drawn() -> Iterator[Callable[[str], None]]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        yield lambda line: live.update(Text(visible(line)), refresh=True)


def _against(rate: float, limit: float | None) -> str:
    return f"{rate:,.0f}" if not limit else f"{rate:,.0f} of {limit:,.0f}"


def time(seconds: float) -> str:
    """A duration, as people say it.

    Example:
        >>> time(12.3), time(600), time(36_000)
        ('12 s', '10 min', '10.0 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
