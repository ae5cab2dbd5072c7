"""What a job would cost and how long it would take, before it is run.

Decides how the unknown part, the length of the answers, is estimated, and how sure that is: by the rows of the job that
have their answers (a sample), else by what the ledger knows of the model, else by nothing but experience. Input tokens
are counted in some rows of each kind and carried over to the rest by size. The interval holds the true cost nine times
of ten. Refuses to know who asks, and asks nobody itself.
"""

from collections.abc import AsyncIterator, Iterable
from math import exp, sqrt
from statistics import NormalDist
from typing import Literal

import msgspec

from headgate.catalog.prices import Prices
from headgate.catalog.tokens import COUNTED
from headgate.core.body import Body
from headgate.core.call import FREE, Operation
from headgate.core.caps import caps
from headgate.core.clock import Clock
from headgate.core.errors import BadRequestError
from headgate.core.money import PICO
from headgate.core.usage import TokenUsage
from headgate.dialects.openai_fields import UNREADABLE
from headgate.dialects.registry import DIALECTS
from headgate.gate import makers, wiring
from headgate.gate.config import Config
from headgate.gate.config_providers import Limits
from headgate.gate.gate import Gate
from headgate.jobs.file_job import allowed, first_target
from headgate.jobs.intake import TALKS, Taken
from headgate.jobs.row import Lane, Outcome, Row
from headgate.jobs.tally import Tally
from headgate.stores.protocols import Query

COUNTED_ROWS = 200
"""Rows of each kind whose tokens are counted."""
KINDS = 50
"""Kinds of rows, by operation and model, that are told apart; the rest counts as the last of them."""
FEWEST = 5
"""Answers that say something about the others."""
TYPICAL, TYPICAL_SPREAD = 200.0, 1.4
"""Output tokens of an answer of which nothing is known, and how far its logarithm may be off."""
KNOWN_SPREAD = 0.6
"""The same where the ledger knows the model, but not this job."""
HISTORY = 20
"""Attempts that make a history."""
BATCH_SECONDS = 86_400.0
"""What a batch takes at most."""

_NINE_OF_TEN = NormalDist().inv_cdf(0.95)
# Few values of a skew distribution seem to be nearer together than they are: 95 of 100 by the book are 90 in truth.
_OF_A_SAMPLE = NormalDist().inv_cdf(0.975)

Basis = Literal["sample", "history", "assumed"]


class LaneQuote(msgspec.Struct, frozen=True, kw_only=True):
    """What a job would cost in one lane, and take.

    Attributes:
        cost_usd: US dollars, most likely.
        low_usd, high_usd: it is between these nine times of ten.
        seconds: at the current limits, mostly; None where they do not say.
    """

    cost_usd: float
    low_usd: float
    high_usd: float
    seconds: float | None


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What a job would cost.

    Attributes:
        rows: that ask for something; those that have their answers are among them.
        bad_rows: lines that are no rows; they cost nothing.
        answered: rows that have their answers.
        prompt_tokens, completion_tokens: of all rows, most likely.
        basis: where the lengths of the answers come from.
        unpriced_rows: rows whose price nobody knows; they are in no sum.
        lanes: by lane; those that have no price are left out.
    """

    rows: int
    bad_rows: int
    answered: int
    prompt_tokens: int
    completion_tokens: int
    basis: Basis
    unpriced_rows: int
    lanes: dict[Lane, LaneQuote]


class Kind:
    """Rows of one operation and model.

    Attributes:
        rows: how many.
        size: bytes of their requests.
        some: a few of them.
    """

    def __init__(self, operation: Operation, model: str) -> None:
        self.operation = operation
        self.model = model
        self.rows = self.size = 0
        self.some: list[Row] = []
        self._step = 1

    def add(self, row: Row) -> None:
        """Count one; keep every so many of them, so that those that are kept are spread evenly."""
        if self.rows % self._step == 0:
            self.some.append(row)
            if len(self.some) > 2 * COUNTED_ROWS:
                self.some = self.some[::2]
                self._step *= 2
        self.rows += 1
        self.size += len(row.body)


class Survey:
    """An input, looked through.

    Attributes:
        kinds: its rows.
        bad: lines that are no rows.
    """

    def __init__(self, default: str | None) -> None:
        self.kinds: dict[tuple[Operation, str], Kind] = {}
        self.bad = 0
        self._default = default or ""

    async def read(self, rows: AsyncIterator[Taken]) -> None:
        """Look through an input."""
        async for taken in rows:
            if isinstance(taken.row, Outcome):
                self.bad += 1
            else:
                self.add(taken.row)

    def add(self, row: Row) -> None:
        """Look at one row; one that the gate would refuse counts as bad."""
        try:
            model = DIALECTS[row.operation].read_request(row.body).model
        except BadRequestError:
            self.bad += 1
            return
        name = (row.operation, model or self._default)
        kind = self.kinds.get(name)
        if kind is None:
            if len(self.kinds) >= KINDS:
                kind = next(reversed(self.kinds.values()))
            else:
                kind = self.kinds[name] = Kind(*name)
        kind.add(row)

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(kind.rows for kind in self.kinds.values())


class _Expected(msgspec.Struct):
    """What rows of one kind use: tokens of input, and of output at least, most likely, and at most."""

    kind: Kind
    prompt: float
    output: tuple[float, float, float]


async def quote(
    gate: Gate,
    survey: Survey,
    *,
    concurrency: int,
    clock: Clock,
    tally: Tally | None = None,
    lane: Lane = Lane.REALTIME,
) -> Quote:
    """What a job would cost.

    Args:
        gate: knows models, limits, and what was used before. It is not asked for answers.
        survey: the input.
        concurrency: rows that would be asked at the same time.
        clock: for the date of prices.
        tally: of those rows that have their answers.
        lane: in which they got them.
    """
    config, table = gate.config, _Table(gate.config, clock.time())
    expected, basis = [], set[Basis]()
    for kind in survey.kinds.values():
        output, from_where = await _output(gate, kind)
        basis.add(from_where)
        expected.append(_Expected(kind, await _prompt(gate, kind), output))
    by_tokens = {name: table.sum(expected, name) for name in Lane}
    rows, answered = survey.rows, 0 if tally is None else tally.succeeded
    prompt = sum(one.prompt for one in expected)
    output_tokens = sum(one.output[1] for one in expected)
    sums = by_tokens
    if tally is not None and answered >= FEWEST:
        basis = {"sample"}
        prompt = max(prompt, 1.0)
        output_tokens = tally.completion_tokens / answered * rows
        sums = {name: _by_sample(tally, rows, by_tokens[name], by_tokens[lane]) for name in Lane}
    seconds = _seconds(config, expected, prompt + output_tokens, concurrency, tally)
    return Quote(
        rows=rows,
        bad_rows=survey.bad,
        answered=answered,
        prompt_tokens=round(prompt),
        completion_tokens=round(output_tokens),
        basis="assumed" if "assumed" in basis or not basis else "history" if "history" in basis else "sample",
        unpriced_rows=sum(one.kind.rows for one in expected if table.costs(one, Lane.REALTIME) is None),
        lanes={
            name: LaneQuote(
                cost_usd=found[1], low_usd=found[0], high_usd=found[2],
                seconds=BATCH_SECONDS if name is Lane.BATCH else seconds,
            )
            for name, found in sums.items()
            if found is not None
        },
    )  # fmt: skip


_Sum = tuple[float, float, float]
"""At least, most likely, at most."""


class _Table:
    """What tokens cost at the targets of a configuration, now."""

    def __init__(self, config: Config, now: float) -> None:
        self._config = config
        self._prices = Prices(wiring.catalog(config), unknown="estimate")
        self._prices.load()
        self._now = now

    def sum(self, expected: Iterable[_Expected], lane: Lane) -> _Sum | None:
        """What all of it costs in a lane, in dollars; None where it has no price there. Without price, no cost."""
        low = likely = high = 0.0
        for one in expected:
            costs = self.costs(one, lane)
            if costs is not None:
                low, likely, high = low + costs[0], likely + costs[1], high + costs[2]
            elif lane is not Lane.REALTIME:
                return None
        return low, likely, high

    def costs(self, one: _Expected, lane: Lane) -> _Sum | None:
        """What rows of a kind cost in a lane; None where nobody knows."""
        kind = one.kind
        if kind.operation in FREE:
            return 0.0, 0.0, 0.0
        tier = str(lane) if lane is Lane.BATCH or (lane is Lane.FLEX and kind.operation in TALKS) else None
        low, likely, high = [self._cost(kind.model, one.prompt, output, tier) for output in one.output]
        return None if low is None or likely is None or high is None else (low, likely, high)

    def _cost(self, model: str, prompt: float, output: float, tier: str | None) -> float | None:
        target = first_target(self._config, model)
        if target is None:
            return None
        usage = TokenUsage(prompt_tokens=round(prompt), completion_tokens=round(output))
        price_list = makers.price_list(self._config.providers[target.provider], self._prices)
        name = target.model or model
        cost, _ = self._prices.cost(name, usage, at=self._now, provider=price_list, tier=tier)
        return None if cost is None else cost / PICO


def _by_sample(tally: Tally, rows: int, lane: _Sum | None, seen: _Sum | None) -> _Sum | None:
    """What the rest costs if it is like those rows that have their answers, and what those have cost."""
    if lane is None or seen is None:
        return None
    number, spent = tally.succeeded, tally.cost / PICO
    rest = max(rows - number, 0)
    mean = spent / number
    spread = sqrt(max(tally.squares / number - mean**2, 0.0) * number / (number - 1))
    doubt = _student(number - 1) * spread * sqrt(rest + rest**2 / number)
    factor = lane[1] / seen[1] if seen[1] else 1.0
    likely = rest * mean * factor
    return spent + max(likely - doubt * factor, 0.0), spent + likely, spent + likely + doubt * factor


def _student(freedom: int) -> float:
    """A quantile of Student's t, by its expansion in the normal one (Abramowitz and Stegun, 26.7.5)."""
    z = _OF_A_SAMPLE
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


async def _prompt(gate: Gate, kind: Kind) -> float:
    """Input tokens of all rows of a kind."""
    some = kind.some[:: max(len(kind.some) // COUNTED_ROWS, 1)]
    if kind.operation not in COUNTED or not some:
        return kind.size / 4
    tokens = size = 0
    for row in some:
        try:
            tokens += (await gate.tokens.request(kind.operation, Body(row.body), kind.model)).tokens
        except UNREADABLE:
            continue  # its own call will tell
        size += len(row.body)
    return tokens * kind.size / size if size else kind.size / 4


async def _output(gate: Gate, kind: Kind) -> tuple[_Sum, Basis]:
    """Output tokens of all rows of a kind: at least, most likely, at most; and how that is known."""
    if kind.operation not in TALKS | {Operation.COMPLETIONS}:
        return (0.0, 0.0, 0.0), "history"
    total, _ = await gate.usage(Query(where={"model": kind.model, "operation": str(kind.operation)}))
    if total.attempts >= HISTORY and total.completion_tokens:
        mean, spread, basis = total.completion_tokens / total.attempts, KNOWN_SPREAD, "history"
    else:
        mean, spread, basis = TYPICAL, TYPICAL_SPREAD, "assumed"
    factor = exp(_NINE_OF_TEN * spread)
    found = [0.0, 0.0, 0.0]
    for row in kind.some:
        given = caps(Body(row.body))
        for at, length in enumerate((mean / factor, mean, mean * factor)):
            found[at] += (length if given.output is None else min(length, given.output)) * given.choices
    each = kind.rows / max(len(kind.some), 1)
    return (found[0] * each, found[1] * each, found[2] * each), "history" if basis == "history" else "assumed"


def _seconds(
    config: Config, expected: Iterable[_Expected], tokens: float, concurrency: int, tally: Tally | None
) -> float | None:
    """How long it takes: what the slowest of the limits makes of it."""
    rows = sum(one.kind.rows for one in expected)
    done = 0 if tally is None else tally.rows
    share = max(rows - done, 0) / rows if rows else 0.0
    found: list[float] = []
    for one in expected:
        limits = [limit for limit in allowed(config, one.kind.model) if limit is not None]
        found += _at(limits, one.kind.rows * share, tokens * share * one.kind.rows / rows if rows else 0.0)
    if tally is not None and tally.succeeded and tally.milliseconds:
        found.append(rows * share * tally.milliseconds / tally.succeeded / 1000 / concurrency)
    return max(found, default=None)


def _at(limits: Iterable[Limits], rows: float, tokens: float) -> list[float]:
    each = list(limits)
    requests = sum(limit.requests_per_minute or 0 for limit in each)
    most = sum(limit.tokens_per_minute or 0 for limit in each)
    return [60 * amount / rate for amount, rate in ((rows, requests), (tokens, most)) if rate]
