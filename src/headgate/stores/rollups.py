"""Sums that are kept ready: what a batch of lines adds to them, by minute, hour and day.

Decides which sums there are and which of them answer a report; refuses to know SQL. Pure. A line is added once, when it
is booked, and the end of its call once, when that is known: a store tells which lines of a batch were news to it.

Every sum can be added up further, over time and over groups: a call is counted where it ended, with its last attempt.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import starmap
from operator import add, itemgetter
from typing import NamedTuple

import msgspec

from headgate.core.attempt import Settled
from headgate.stores.protocols import Query
from headgate.stores.records import LARGEST, LARGEST_COUNT, AttemptRow, CallEnd, Entry, Intent

DAY, HOUR, MINUTE = 86400, 3600, 60
"""Seconds that a bucket may cover: its grain."""
NAMES = ("model", "provider", "key", "project", "operation", "user", "tags")
"""What groups are told apart by, besides the day of the call."""


class Facet(NamedTuple):
    """Sums that are kept together.

    Attributes:
        names: what they tell apart.
        grains: how finely they tell time apart, each a part of the one before.
    """

    names: Sequence[str]
    grains: Sequence[int]


# Where nearly every line is a group of its own, minutes would be as many as lines: an hour's lines are soon counted.
FACETS = (
    Facet(("model", "provider", "key", "project", "operation"), (DAY, HOUR, MINUTE)),
    Facet(("model", "provider", "key", "project", "operation", "tags"), (DAY, HOUR)),
    Facet(("key", "project", "user"), (DAY, HOUR)),
)
"""All sums. There may be many users, so they are told apart from little else."""
MEASURES = (
    "calls", "errors", "cache_hits", "attempts", "prompt_tokens", "completion_tokens", "cached_tokens",
    "cost_high", "cost_low", "unknown_high", "unknown_low", "unknown_attempts", "unpriced_attempts",
    "saved_tokens", "saved_high", "saved_low",
)  # fmt: skip
"""The sums, in the order of their columns."""
PART = 10**9
"""Money is split into multiples of this and a rest."""
LAST = 250_000_000_000
"""Seconds since 1970 beyond which there is no time."""

_PLACES = tuple(tuple(NAMES.index(name) for name in facet.names) for facet in FACETS)
_encode = msgspec.json.Encoder().encode
_tags = msgspec.json.Encoder(order="deterministic").encode

Names = tuple[str | None, ...]
Key = tuple[int, str, Names]
"""A bucket's first second, the day of the call, and names."""
Sums = list[int]
"""The measures of a batch, with money in one figure each: thirteen of them."""


class Delta(NamedTuple):
    """What a batch adds.

    Attributes:
        groups: id and names of every group, each once.
        rows: facet, grain, bucket, day, id of the group and the measures; no two of them have the same key.
    """

    groups: list[tuple[str | None, ...]]
    rows: list[tuple[int | str, ...]]


class Piece(NamedTuple):
    """A part of a report's time, from `since` to before `until`; a grain of 0 stands for the lines themselves."""

    grain: int
    since: float
    until: float


def delta(news: Iterable[Entry], ends: Iterable[Entry] = ()) -> Delta:
    """What a batch adds to the sums.

    Args:
        news: lines that were not booked before; the end of their call counts with them where it is known.
        ends: lines that were booked before without the end of their call, which is now known.

    Raises:
        OverflowError: a figure is larger than the books have room for, or negative.
    """
    finest: dict[Key, Sums] = {}
    for entry in news:
        sums = _place(finest, entry.intent)
        _add_attempt(sums, entry)
        if entry.end is not None:
            _add_call(sums, entry.intent, entry.end)
    for entry in ends:
        if entry.end is not None:
            _add_call(_place(finest, entry.intent), entry.intent, entry.end)
    return _spread(finest)


def correction(before: AttemptRow, after: AttemptRow) -> Delta:
    """What becomes of the sums when the outcome of an attempt is put right: one goes, the other comes."""
    sums = [0] * 13
    _charge(sums, before.settled, before.cost, -1)
    _charge(sums, after.settled, after.cost, 1)
    return _spread({(int(before.time // MINUTE) * MINUTE, before.day, _names(before)): sums})


def facet_of(names: Iterable[str]) -> int | None:
    """The smallest facet that tells these names apart; None where no sums do and the lines must be asked."""
    wanted = set(names)
    return next((number for number, facet in enumerate(FACETS) if wanted <= set(facet.names)), None)


def column(dimension: str) -> str:
    """The name that a dimension of a query is told apart by."""
    return "tags" if dimension.startswith("tag:") else dimension


def pieces(query: Query, facet: int | None) -> list[Piece]:
    """The time of a query in the coarsest buckets that fit, its ends in finer ones, and what cuts a minute in lines.

    Example:
        >>> pieces(Query(since=3540.0, until=90_030.0), facet=0)  # doctest: +NORMALIZE_WHITESPACE
        [Piece(grain=3600, since=3600, until=90000), Piece(grain=60, since=3540, until=3600),
         Piece(grain=0, since=90000, until=90030.0)]
    """
    since = max(query.since or 0.0, 0.0)
    until = float(LAST // DAY * DAY) if query.until is None else min(query.until, LAST // DAY * DAY)
    return list(starmap(Piece, _cover(since, until, FACETS[facet].grains if facet is not None else ())))


def _cover(since: float, until: float, grains: Sequence[int]) -> list[tuple[int, float, float]]:
    if since >= until:
        return []
    if not grains:
        return [(0, since, until)]
    grain, *finer = grains
    first, last = int(-(-since // grain)) * grain, int(until // grain) * grain
    if first >= last:
        return _cover(since, until, finer)
    return [(grain, first, last), *_cover(since, first, finer), *_cover(last, until, finer)]


def _place(finest: dict[Key, Sums], intent: Intent) -> Sums:
    """The sums that a line belongs to: those of its minute, the day of its call, and all its names."""
    key = (int(intent.time // MINUTE) * MINUTE, intent.day, _names(intent))
    sums = finest.get(key)
    if sums is None:
        sums = finest[key] = [0] * 13
    return sums


def _names(told: Intent | AttemptRow) -> Names:
    return (
        # A call that never left asked no model of anybody.
        told.model if told.model is not None else told.model_requested,
        told.provider,
        told.key,
        told.project,
        str(told.operation),
        told.user,
        _tags(told.tags).decode() if told.tags else None,
    )


def _add_attempt(sums: Sums, entry: Entry) -> None:
    outcome = entry.outcome
    tokens = outcome.prompt_tokens | outcome.completion_tokens | outcome.cached_tokens | outcome.saved_tokens
    cost = outcome.cost
    if not 0 <= tokens <= LARGEST_COUNT or not 0 <= (cost or 0) <= LARGEST:
        # Else it would be the next line that does not fit its sums.
        raise OverflowError(f"Attempt {outcome.attempt} of call {outcome.call_id} has a figure beyond all books.")
    sums[3] += entry.intent.attempt > 0
    sums[4] += outcome.prompt_tokens
    sums[5] += outcome.completion_tokens
    sums[6] += outcome.cached_tokens
    sums[11] += outcome.saved_tokens
    _charge(sums, outcome.settled, cost, 1)


def _charge(sums: Sums, settled: Settled, cost: int | None, times: int) -> None:
    if settled is Settled.UNKNOWN:
        sums[8] += (cost or 0) * times
        sums[9] += times
    elif cost is not None:
        sums[7] += cost * times
    elif settled is Settled.BILLED:
        sums[10] += times


def _add_call(sums: Sums, intent: Intent, end: CallEnd) -> None:
    if intent.attempt == end.attempts:
        sums[0] += 1
        sums[1] += end.error_type is not None or (end.status or 0) >= 400
        sums[2] += end.cache in {"hit", "coalesced"}
        sums[12] += end.saved


def _spread(finest: Mapping[Key, Sums]) -> Delta:
    """From all names by the minute to every facet and grain."""
    groups: list[tuple[str | None, ...]] = []
    rows: list[tuple[int | str, ...]] = []
    for number, facet in enumerate(FACETS):
        told = itemgetter(*_PLACES[number])
        ids: dict[Names, str] = {}
        sums: Mapping[Key, Sums] = _added(
            [((time, day, told(names)), added) for (time, day, names), added in finest.items()]
        )
        for grain in reversed(facet.grains):
            if grain != MINUTE:
                sums = _added(
                    [((time // grain * grain, day, told), added) for (time, day, told), added in sums.items()]
                )
            for (time, day, names), added in sums.items():
                group = ids.get(names)
                if group is None:
                    group = ids[names] = blake2b(_encode((number, names)), digest_size=16).hexdigest()
                rows.append((number, grain, time, day, group, *_measures(added)))
        every = [dict(zip(facet.names, names, strict=True)) for names in ids]
        groups += [(group, *map(names.get, NAMES)) for group, names in zip(ids.values(), every, strict=True)]
    return Delta(groups, rows)


def _added(parts: Iterable[tuple[Key, Sums]]) -> Mapping[Key, Sums]:
    """The sums of each key."""
    found: dict[Key, Sums] = {}
    for key, sums in parts:
        before = found.get(key)
        found[key] = sums if before is None else list(map(add, before, sums))
    return found


def _measures(sums: Sums) -> list[int]:
    (
        calls,
        errors,
        hits,
        attempts,
        prompt,
        completion,
        cached,
        cost,
        unknown_cost,
        unknown,
        unpriced,
        left_out,
        saved,
    ) = sums
    return [
        calls, errors, hits, attempts, prompt, completion, cached,
        *divmod(cost, PART), *divmod(unknown_cost, PART), unknown, unpriced, left_out,
        *divmod(saved, PART),
    ]  # fmt: skip
