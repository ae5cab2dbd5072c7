"""The sums of every ledger equal its lines, whatever was booked twice and wherever a booking broke off."""

import asyncio
import sqlite3
from contextlib import suppress
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.core.attempt import Settled
from headgate.stores.protocols import Query, Usage
from headgate.stores.records import CallEnd, Entry, Intent, Outcome
from headgate.stores.sqlite import SqliteLedger

START = 1_799_971_200
"""A midnight, UTC."""
NAMES = ("model", "provider", "key", "user", "operation", "day", "tag:t")
PROJECTS = count()

some = st.sampled_from


@st.composite
def calls(draw):
    """Lines of some calls, each of one to three attempts, without and with the ends of their calls."""
    lines, ends = [], []
    for number in range(draw(st.integers(1, 8))):
        began = START + draw(st.integers(-7200, 90_000) | some([-1, 0, 59, 60, 3599, 3600, 86_399, 86_400]))
        attempts = draw(st.integers(0, 3))
        end = CallEnd(
            call_id=f"c{number}", attempts=attempts, status=draw(some([200, 429, None])),
            error_type=draw(some([None, "x"])), cache=draw(some(["off", "miss", "hit"])),
            saved=draw(some([0, 1, 10**9 - 1, 2**62])),
        )  # fmt: skip
        who = {
            "operation": draw(some(["chat", "embeddings"])), "model_requested": "m", "key": draw(some([None, "k"])),
            "user": draw(some([None, "", "u"])), "tags": draw(some([{}, {"t": "1"}, {"t": "2", "s": "x"}])),
        }  # fmt: skip
        for attempt in range(1, attempts + 1) if attempts else [0]:
            intent = Intent(
                call_id=f"c{number}", attempt=attempt, day="2027-01-15" if began >= START else "2027-01-14",
                time=began + attempt * draw(some([0.25, 30.0, 1800.0])), **who,
                provider=draw(some(["p", "q"])) if attempts else None,
                model=draw(some(["m", "n"])) if attempts else None,
            )  # fmt: skip
            outcome = Outcome(
                call_id=f"c{number}", attempt=attempt, settled=draw(some(Settled)),
                prompt_tokens=draw(st.integers(0, 10)), cached_tokens=draw(st.integers(0, 10)),
                saved_tokens=draw(st.integers(0, 10)),
                cost=draw(some([None, 0, 1, 10**9 - 1, 2**62])),
            )  # fmt: skip
            lines.append(Entry(intent, outcome))
            ends.append(Entry(intent, outcome, end))
    return lines, ends


def truth(booked, query):
    """What the books must say, added up the plain way."""
    wanted = {name.removeprefix("tag:"): value for name, value in query.where.items()}
    groups = {}
    for entry in booked.values():
        intent, outcome, end = entry.intent, entry.outcome, entry.end
        told = {
            "model": intent.model or intent.model_requested, "t": intent.tags.get("t"),
            **{name: getattr(intent, name) for name in ("provider", "key", "user", "operation", "day", "project")},
        }  # fmt: skip
        if not (query.since or 0) <= intent.time < (query.until or 1e12):
            continue
        if any(told[name] != value for name, value in wanted.items()):
            continue
        last = end is not None and end.attempts == intent.attempt
        unknown = outcome.settled is Settled.UNKNOWN
        figures = {
            "calls": last, "errors": last and (end.error_type is not None or (end.status or 0) >= 400),
            "cache_hits": last and end.cache == "hit", "attempts": intent.attempt > 0,
            "prompt_tokens": outcome.prompt_tokens, "completion_tokens": 0, "cached_tokens": outcome.cached_tokens,
            "cost": 0 if unknown else outcome.cost or 0, "unknown_cost": (outcome.cost or 0) if unknown else 0,
            "unknown_attempts": unknown,
            "unpriced_attempts": outcome.settled is Settled.BILLED and outcome.cost is None,
            "saved_tokens": outcome.saved_tokens, "cache_saved": end.saved if last else 0,
        }  # fmt: skip
        sums = groups.setdefault(tuple(told[name.removeprefix("tag:")] for name in query.by), dict.fromkeys(figures, 0))
        for name, figure in figures.items():
            sums[name] += figure
    return {labels: Usage(group=dict(zip(query.by, labels, strict=True)), **sums) for labels, sums in groups.items()}


@st.composite
def stories(draw):
    """Batches of lines, some of which break off after so many steps; and what is asked in the end."""
    lines, ends = draw(calls())
    pool = [*lines, *ends]
    batches = draw(
        st.lists(st.tuples(st.lists(some(pool), min_size=1, max_size=12), st.none() | st.integers(0, 300)), max_size=6)
    )
    moments = st.none() | st.integers(-120, 1600).map(lambda m: START + 60.0 * m) | st.floats(START - 7200, START + 9e4)
    queries = [
        Query(
            since=draw(moments), until=draw(moments),
            by=tuple(draw(st.lists(some(NAMES), max_size=3, unique=True))),
            where=draw(some([{}, {"key": "k"}, {"tag:t": "1"}, {"user": ""}, {"model": "m"}, {"day": "2027-01-14"}])),
        )
        for _ in range(4)
    ]  # fmt: skip
    return batches, queries


@pytest.mark.timeout(180)
@given(story=stories())
@settings(
    max_examples=40, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
def test_sums_equal_lines(make_ledger, story):
    """Duplicates in a batch and among batches, ends that come later, bookings that break off and are done again.

    The books are the same ones throughout; each example has a project of its own.
    """
    batches, queries = story
    project = f"p{next(PROJECTS)}"

    def own(entry):
        intent = Intent(
            **{name: getattr(entry.intent, name) for name in Intent.__struct_fields__}
            | {"project": project, "call_id": f"{project}-{entry.intent.call_id}"}
        )
        return Entry(intent, entry.outcome, entry.end)

    async def tell():
        ledger = make_ledger()
        booked = {}
        for batch, breaks_off in batches:
            lines = [own(entry) for entry in batch]
            await book(ledger, lines, breaks_off)
            for entry in lines:
                key = (entry.intent.call_id, entry.intent.attempt)
                first = booked.setdefault(key, entry)
                if first.end is None and entry.end is not None:
                    booked[key] = Entry(first.intent, first.outcome, entry.end)
        for asked in queries:
            query = Query(since=asked.since, until=asked.until, by=asked.by, where={**asked.where, "project": project})
            expected = truth(booked, query)
            total, groups = await ledger.usage(query)
            if query.by:
                assert {tuple(usage.group.values()): usage for usage in groups} == expected
            sums = [usage.cost for usage in expected.values()]
            assert (total.cost, total.calls) == (sum(sums), sum(usage.calls for usage in expected.values()))
        await ledger.close()

    asyncio.run(tell())


async def book(ledger, lines, breaks_off):
    """Book a batch; where it breaks off, whatever became of it, it is booked again, as the journal has it."""
    if breaks_off is not None and isinstance(ledger, SqliteLedger):
        steps = iter(range(breaks_off))
        await ledger._do(lambda connection: connection.set_progress_handler(lambda: next(steps, None) is None, 25))
        with suppress(sqlite3.OperationalError):
            await ledger.book(lines)
        await ledger._do(lambda connection: connection.set_progress_handler(None, 0))
    elif breaks_off is not None:
        async with asyncio.TaskGroup() as group:
            booking = group.create_task(ledger.book(lines))
            for _ in range(breaks_off):
                await asyncio.sleep(0)
            booking.cancel()
    await ledger.book(lines)
