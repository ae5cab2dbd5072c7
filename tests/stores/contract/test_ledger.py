"""What every ledger must do, whatever it is made of."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest

from headgate.core.attempt import Basis, Settled
from headgate.core.errors import BadRequestError
from headgate.core.money import PICO
from headgate.stores.protocols import Query, Usage
from headgate.stores.records import AttemptRow, CallEnd, Entry, Intent, ObjectRow, Outcome, Owner

TIME = 1_800_000_000.0
NOT_NULL = re.compile("not.null", re.IGNORECASE)


def facts(call, **changes):
    """Who asked what."""
    return {
        "call_id": call,
        "day": "2027-01-15",
        "time": TIME,
        "operation": "chat",
        "model_requested": "fast",
        "stream": False,
        "key": None,
        "project": None,
        "user": None,
        "tags": {},
        **changes,
    }


def end(attempts=1, **changes):
    """The end of a call that ended well."""
    return CallEnd(**{"call_id": "c", "attempts": attempts, "status": 200, **changes})


def attempt(name="c", number=1, end=None, **changes):
    """A line: an attempt that was billed."""
    told = facts(name)
    told.update(provider="openai", model="gpt-6-luna")
    told.update({key: changes.pop(key) for key in list(changes) if key in told})
    outcome = {
        "settled": Settled.BILLED,
        "basis": Basis.REPORTED,
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "cached_tokens": 5,
        "cost": 1_000_000,
        **changes,
    }
    return Entry(Intent(**told, attempt=number), Outcome(call_id=name, attempt=number, **outcome), end)


def run(story):
    """Run a story."""
    return asyncio.run(story)


async def rows(ledger, query=None):
    """Every row that a query finds."""
    return [row async for row in ledger.rows(query or Query())]


def test_an_empty_ledger_has_nothing(ledger):
    """Sums are 0, never null."""

    async def story():
        assert await ledger.usage(Query(by=("model",))) == (Usage(), [])
        assert await rows(ledger) == []
        assert (await ledger.health())["status"] == "ok"

    run(story())


def test_a_row_comes_back_as_it_was_booked(ledger):
    """Every field of an attempt: text, numbers, nulls, tags, and the state of the cache from its call."""
    who = {
        "call_id": "a ä😀",
        "attempt": 2,
        "day": "2027-01-15",
        "time": TIME + 0.123456,
        "operation": "responses",
        "model_requested": "fast",
        "stream": True,
        "key": "k'; DROP TABLE calls; --",
        "project": "p",
        "user": "u\x01\n\\.\t",
        "tags": {"team": "a", 'quo"ted.$[0]': "b"},
        "provider": "openai",
        "model": "gpt-6-luna",
        "dropped": ("temperature", "reasoning.effort"),
    }
    how = {
        "model_served": "gpt-6-luna-2026-08-01",
        "service_tier": "flex",
        "settled": Settled.BILLED,
        "basis": Basis.COUNTED,
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "cached_tokens": 3,
        "cache_write_tokens": 4,
        "reasoning_tokens": 5,
        "cost": 2**62,
        "price_table": "genai-prices 0.2.3",
        "status": 200,
        "error_type": "stream_interrupted",
        "latency_ms": 12.345,
        "first_token_ms": 1.5,
    }
    bare = {**facts("bare", time=TIME + 1), "attempt": 0, "provider": None, "model": None}

    async def story():
        await ledger.book(
            [
                Entry(Intent(**who), Outcome(call_id="a ä😀", attempt=2, **how), end(2, cache="miss")),
                Entry(Intent(**bare), Outcome(call_id="bare", attempt=0, settled=Settled.NOT_BILLED)),
            ]
        )
        assert await rows(ledger) == [
            AttemptRow(**who, **how, cache="miss"),
            AttemptRow(**bare, settled=Settled.NOT_BILLED, cache="off"),
        ]

    run(story())


def test_what_is_booked_is_passed_over(ledger):
    """The key is day, call and attempt: the first booking stands, whatever comes later under the same key."""

    async def story():
        await ledger.book([attempt(end=end())])
        worse = {"settled": Settled.UNKNOWN, "cost": None, "basis": None}
        await ledger.book([attempt(end=end(status=500), **worse), attempt("d", end=end())])
        await ledger.book([attempt(**worse), attempt(), attempt(end=end(status=500))])
        assert [(row.call_id, row.settled, row.cost) for row in await rows(ledger)] == [
            ("c", Settled.BILLED, 1_000_000),
            ("d", Settled.BILLED, 1_000_000),
        ]
        total, _ = await ledger.usage(Query())
        assert (total.calls, total.errors, total.attempts, total.cost) == (2, 0, 2, 2_000_000)
        await ledger.book([attempt(day="2027-01-16")])
        assert len(await rows(ledger)) == 3

    run(story())


def test_the_end_of_a_call_may_come_later(ledger):
    """A settled attempt counts at once, its call when it has ended; everything else of the line stays as it was."""

    async def story():
        await ledger.book([attempt()])
        total, _ = await ledger.usage(Query())
        assert (total.calls, total.attempts, total.cost) == (0, 1, 1_000_000)
        late = end(status=502, error_type="stream_interrupted", cache="miss")
        for _ in range(2):
            await ledger.book([attempt(end=late, cost=7, settled=Settled.UNKNOWN)])
        total, _ = await ledger.usage(Query())
        assert (total.calls, total.errors, total.attempts, total.cost) == (1, 1, 1, 1_000_000)
        [row] = await rows(ledger)
        assert (row.settled, row.cache) == (Settled.BILLED, "miss")

    run(story())


def test_a_batch_is_booked_whole_or_not_at_all(ledger):
    """A line that cannot be stored takes its whole batch with it: nothing is booked by halves."""

    async def story():
        with pytest.raises(Exception, match=NOT_NULL):
            await ledger.book([attempt("a"), attempt("b", day=None)])
        assert await rows(ledger) == []
        await ledger.book([attempt("a")])
        assert len(await rows(ledger)) == 1

    run(story())


def made(name, **changes):
    """An object that somebody made."""
    return ObjectRow(**{"id": name, "tenant": "a", "provider": "openai", "call_id": "c", "time": TIME, **changes})


def test_objects_stay_with_their_first_owner(ledger):
    """Whoever names an object later does not get it; what is not booked is nobody's, however it is spelled."""

    async def story():
        await ledger.book([], [made("resp_1"), made("file-1", tenant=None, provider="backup")])
        await ledger.book([attempt()], [made("resp_1", tenant="b", provider="other"), made("resp_2", tenant="b")])
        assert await ledger.owners(["resp_1", "resp_2", "file-1", "RESP_1", "", "\ud800", "x' OR 1 --"]) == {
            "resp_1": Owner("a", "openai"),
            "resp_2": Owner("b", "openai"),
            "file-1": Owner(None, "backup"),
        }
        assert await ledger.owners([]) == {}

    run(story())


def test_objects_are_booked_with_their_batch_or_not_at_all(ledger):
    """An object that cannot be stored takes the attempt along, and the other way round."""

    async def story():
        for attempts, objects in (([attempt(day=None)], [made("o")]), ([attempt()], [made("o", provider=None)])):
            with pytest.raises(Exception, match=NOT_NULL):
                await ledger.book(attempts, objects)
        assert await rows(ledger) == []
        assert await ledger.owners(["o"]) == {}

    run(story())


def test_sums(ledger):
    """What each figure counts."""

    async def story():
        none = {"settled": Settled.NOT_BILLED, "cost": 0, "prompt_tokens": 0, "completion_tokens": 0}
        unknown = {**none, "settled": Settled.UNKNOWN, "cost": 7}
        await ledger.book(
            [
                attempt("a", 1, end(2), **none),
                attempt("a", 2, end(2)),
                attempt("b", 1, end(cache="miss"), cost=None),
                attempt("hit", 0, end(0, cache="hit"), **none),
                attempt("joined", 0, end(0, cache="coalesced"), **none),
                attempt("refused", 0, end(0, status=429, error_type="refused"), **none),
                attempt("crashed", 1, end(1, status=None, error_type="crashed"), **unknown),
                attempt("own of the gate"),
            ]
        )
        total, groups = await ledger.usage(Query())
        assert groups == []
        assert total == Usage(
            calls=6,
            attempts=5,
            errors=2,
            prompt_tokens=300,
            completion_tokens=30,
            cached_tokens=40,
            cost=2_000_000,
            unknown_attempts=1,
            unknown_cost=7,
            unpriced_attempts=1,
            cache_hits=2,
        )

    run(story())


def test_sums_beyond_64_bits(ledger):
    """Thirty million dollars in picodollars do not fit a 64-bit sum; the books are right to the last of them."""
    dear = 9 * 10**18 + 123_456_789_123

    async def story():
        await ledger.book([attempt(f"c{number}", cost=dear) for number in range(7)])
        await ledger.book([attempt(f"u{number}", cost=dear, settled=Settled.UNKNOWN) for number in range(3)])
        total, _ = await ledger.usage(Query())
        assert total.cost == 7 * dear > 60_000_000 * PICO
        assert total.unknown_cost == 3 * dear

    run(story())


def test_groups_come_dearest_first(ledger):
    """One entry per value, nulls included; the figures add up to the total."""

    async def story():
        await ledger.book(
            [
                attempt("a", 1, end(2), cost=10, provider="first", model="m1"),
                attempt("a", 2, end(2), cost=30, provider="second", model="m2"),
                attempt("b", 1, end(), cost=5, provider="second", model="m2"),
                attempt("c", 0, end(0), cost=0, settled=Settled.NOT_BILLED, provider=None, model=None),
            ]
        )
        total, groups = await ledger.usage(Query(by=("provider",)))
        assert [(group.group, group.calls, group.attempts, group.cost) for group in groups] == [
            ({"provider": "second"}, 2, 2, 35),
            ({"provider": "first"}, 0, 1, 10),
            ({"provider": None}, 1, 0, 0),
        ]
        # `a` asked both and ended with the second, where it counts: groups add up to the total.
        assert (total.calls, total.attempts, total.cost) == (3, 3, 45)
        _, groups = await ledger.usage(Query(by=("model",)))
        assert [group.group["model"] for group in groups] == ["m2", "m1", "fast"]
        _, groups = await ledger.usage(Query(by=("model", "provider")))
        assert groups[0].group == {"model": "m2", "provider": "second"}

    run(story())


@pytest.mark.parametrize(
    ("dimension", "changes"),
    [
        ("key", {"key": "web"}),
        ("project", {"project": "team-a"}),
        ("user", {"user": "u1"}),
        ("operation", {"operation": "responses"}),
        ("day", {"day": "2027-01-16"}),
        ("provider", {"provider": "backup"}),
        ("model", {"model": "gpt-5.4"}),
        ("tag:team", {"tags": {"team": "a"}}),
        ("tag:a\"b.c'd", {"tags": {"a\"b.c'd": "x"}}),
    ],
)
def test_every_dimension_groups_and_filters(ledger, dimension, changes):
    """What can be grouped by can be asked for alone, and nothing else is then counted."""
    [value] = changes["tags"].values() if "tags" in changes else changes.values()

    async def story():
        await ledger.book([attempt("a", cost=2, **changes), attempt("b", cost=1)])
        _, groups = await ledger.usage(Query(by=(dimension,)))
        assert len(groups) == 2
        assert groups[0].group == {dimension: value}
        assert groups[0].cost == 2
        total, _ = await ledger.usage(Query(where={dimension: value}))
        assert (total.attempts, total.cost) == (1, 2)
        assert [row.call_id for row in await rows(ledger, Query(where={dimension: value}))] == ["a"]
        assert await rows(ledger, Query(where={dimension: "nobody"})) == []

    run(story())


def test_time_bounds(ledger):
    """From `since` on, up to and without `until`."""

    async def story():
        for offset in range(5):
            await ledger.book([attempt(f"c{offset}", time=TIME + offset, cost=10**offset)])
        query = Query(since=TIME + 1, until=TIME + 3)
        assert (await ledger.usage(query))[0].cost == 110
        assert [row.call_id for row in await rows(ledger, query)] == ["c1", "c2"]

    run(story())


@pytest.mark.parametrize("name", ["cost", "a.key", "", "tags", "1; DROP TABLE calls", "tag"])
def test_an_unknown_dimension_is_refused(ledger, name):
    """Nothing that a caller writes becomes part of a statement."""

    async def story():
        with pytest.raises(BadRequestError, match="no dimension") as caught:
            await ledger.usage(Query(by=(name,)))
        assert "tag:NAME" in caught.value.hint
        with pytest.raises(BadRequestError):
            await rows(ledger, Query(where={name: "x"}))

    run(story())


def test_rows_are_read_in_pages_in_order(ledger):
    """Oldest first, many at the same moment, more than a page: each exactly once, while others are booked."""

    async def story():
        batch = [
            attempt(f"c{number:05d}", attempt_number, time=TIME + number // 700)
            for number in range(1500)
            for attempt_number in (1, 2)
        ]
        await ledger.book(list(reversed(batch)))
        found = []
        async for row in ledger.rows(Query()):
            if len(found) == 10:
                await ledger.book([attempt("before", time=TIME - 5)])
            found.append((row.time, row.call_id, row.attempt))
        assert found == [(line.intent.time, line.intent.call_id, line.intent.attempt) for line in batch]

    run(story())


def test_two_may_book_and_read_at_once(ledger):
    """Concurrent bookings of overlapping batches book each row once."""

    async def story():
        batches = [[attempt(f"c{number}") for number in range(start, start + 50)] for start in range(0, 200, 25)]
        await asyncio.gather(*(ledger.book(batch) for batch in batches), ledger.usage(Query()), rows(ledger))
        assert len(await rows(ledger)) == 225

    run(story())


def test_closing_twice_is_harmless(ledger):
    """Give everything back, also of a ledger that was never used."""

    async def story():
        await ledger.close()
        await ledger.close()

    run(story())


def test_old_days_are_forgotten(make_ledger):
    """Lines go, and with them what users and tags had; everything else adds up as before, and what is young stays."""
    today = datetime.now(UTC).date()  # noqa: TID251  databases have clocks of their own

    def of(days_ago, name):
        day = today - timedelta(days=days_ago)
        time = datetime.combine(day, datetime.min.time(), UTC).timestamp() + 30
        return attempt(name, end=end(), day=day.isoformat(), time=time, user=name, tags={"t": name}, key="k")

    async def story():
        ledger = make_ledger(keep_days=5)
        await ledger.book([of(9, "older"), of(6, "old"), of(5, "kept"), of(0, "new")])
        assert [row.call_id for row in await rows(ledger)] == ["kept", "new"]
        for dimension in ("user", "tag:t"):
            _, groups = await ledger.usage(Query(by=(dimension,)))
            assert sorted(usage.group[dimension] for usage in groups) == ["kept", "new"]
        total, groups = await ledger.usage(Query(by=("key", "model")))
        assert (total.attempts, total.calls, total.cost, len(groups)) == (4, 4, 4_000_000, 1)
        await ledger.book([of(5, "late"), of(0, "newer")])
        assert len(await rows(ledger)) == 4

    run(story())
