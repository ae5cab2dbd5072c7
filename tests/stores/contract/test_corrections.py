"""The contract of corrections: line, sums and budgets change together, once, whoever tries at the same time."""

import asyncio
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.core.attempt import Basis, Settled
from headgate.core.errors import BadRequestError, UnknownObjectError
from headgate.stores.corrections import Corrections
from headgate.stores.keys import KeyBook, Note
from headgate.stores.money import Cap
from headgate.stores.protocols import Query, Usage
from headgate.stores.records import LARGEST, Entry, Told

ALL, KEY = Cap("all", "2027-01-15", 10**6), Cap("key:web", "total", 10**6)
NUMBERS = count()
ANNA = Note(time=1_800_000_100.0, actor="anna", origin="test", action="usage.resolve", subject="x")
RUNS = count()


def name():
    """An id as gateways make them: it tells the moment."""
    return f"{1_800_000_000_000:012x}{'0' * 12}{next(NUMBERS):08x}"


@pytest.fixture
def line(pen):
    """A line under two budgets whose outcome nobody knows."""

    def make(call, attempt=1, attempts=1, *, cost=50, caps=(ALL, KEY), settled=Settled.UNKNOWN, **who):
        told = Told("me", tuple((cap.name, cap.window) for cap in caps), 50, cost or 0) if caps else None
        outcome = pen.outcome(call, attempt, settled=settled, basis=None, cost=cost, prompt_tokens=0, status=None)
        return Entry(pen.intent(call, attempt, held=told, **who), outcome, pen.end(call, attempts))

    return make


async def spent(ledger, *caps):
    """What is spent of caps."""
    return [spent for spent, _ in await ledger.spent(caps)]


async def rows(ledger, **query):
    """The rows of a query."""
    return [row async for row in ledger.rows(Query(**query))]


def test_an_attempt_is_billed_after_all(ledger, line):
    """At what somebody found out: its line, the sums of every kind and what its budgets have spent."""

    async def story():
        call, corrections = name(), Corrections(ledger)
        await ledger.borrow("me", ALL, 500, 500)
        await ledger.book([line(call), line(name(), cost=7, settled=Settled.BILLED)])
        found = await corrections.attempt(f"req_{call}")
        assert (found.cost, found.held, found.settled) == (50, 50, "unknown")
        after = await corrections.resolve(found, 30, ANNA)
        (row,) = [row for row in await rows(ledger) if row.call_id == call]
        assert row == after
        assert (row.settled, row.basis, row.cost, row.resolved_by) == ("billed", Basis.RESOLVED, 30, "anna")
        assert await spent(ledger, ALL, KEY) == [37, 37]
        # What is lent is none of it.
        assert (await ledger.spent([ALL]))[0] == (37, 500 - 57)
        for by in ((), ("model",), ("tag:team",), ("user",), ("user", "model")):
            total, groups = await ledger.usage(Query(by=by))
            assert (total.cost, total.unknown_attempts, total.unknown_cost) == (37, 0, 0)
            assert (total.calls, total.attempts) == (2, 2)
            assert [group.cost for group in groups] == ([37] if by else [])
        (note,) = await KeyBook(ledger).notes()
        assert (note.actor, note.action) == ("anna", "usage.resolve")

    asyncio.run(story())


def test_an_attempt_was_not_billed_after_all(ledger, line):
    """Its budgets have it back."""

    async def story():
        call = name()
        await ledger.book([line(call)])
        assert await spent(ledger, ALL) == [50]
        corrections = Corrections(ledger)
        await corrections.resolve(await corrections.attempt(call), None, ANNA)
        (row,) = await rows(ledger)
        assert (row.settled, row.basis, row.cost, row.resolved_by) == ("not_billed", None, 0, "anna")
        assert await spent(ledger, ALL, KEY) == [0, 0]
        assert (await ledger.usage(Query()))[0] == Usage(calls=1, attempts=1, completion_tokens=10)

    asyncio.run(story())


def test_what_was_charged_nothing_is_charged_now(ledger, line):
    """Where unknown attempts are released, or there was no budget at all."""

    async def story():
        released, free = name(), name()
        await ledger.book([line(released, cost=0), line(free, cost=None, caps=())])
        corrections = Corrections(ledger)
        for call in (released, free):
            await corrections.resolve(await corrections.attempt(call), 10**10 + 3, ANNA)
        assert await spent(ledger, ALL, KEY) == [10**10 + 3] * 2
        assert (await ledger.usage(Query()))[0].cost == 2 * (10**10 + 3)

    asyncio.run(story())


def test_it_is_done_once(make_ledger, line):
    """The second is refused, and told who was first; of many at once one has its way."""

    async def story():
        ledgers = [make_ledger()] if make_ledger.kind == "memory" else [make_ledger() for _ in range(3)]
        call = name()
        await ledgers[0].book([line(call)])
        corrections = [Corrections(ledger) for ledger in ledgers]
        row = await corrections[0].attempt(call)
        tries = [one.resolve(row, cost, ANNA) for cost in (1, 20, 300) for one in corrections]
        done = await asyncio.gather(*tries, return_exceptions=True)
        (after,) = [one for one in done if not isinstance(one, Exception)]
        assert all(isinstance(one, BadRequestError) for one in done if one is not after)
        assert await spent(ledgers[0], ALL, KEY) == [after.cost] * 2
        total, _ = await ledgers[0].usage(Query())
        assert (total.cost, total.unknown_cost, total.unknown_attempts) == (after.cost, 0, 0)
        assert len(await KeyBook(ledgers[0]).notes()) == 1
        with pytest.raises(BadRequestError, match=r"is known: billed \(\$0\.000\d+\), resolved by anna\."):
            await corrections[0].attempt(call)

    asyncio.run(story())


def test_which_attempt_is_meant(ledger, line):
    """The one that is unknown; where several are, its number is asked for."""

    async def story():
        two, one = name(), name()
        await ledger.book([line(two, 1, 2), line(two, 2, 2), line(one, 1, 2, settled=Settled.BILLED), line(one, 2, 2)])
        corrections = Corrections(ledger)
        with pytest.raises(BadRequestError, match=f"Attempts 1, 2 of call '{two}' are unknown"):
            await corrections.attempt(two)
        assert (await corrections.attempt(two, 2)).attempt == 2
        assert (await corrections.attempt(one)).attempt == 2
        with pytest.raises(BadRequestError, match=r"is known: billed \(\$"):
            await corrections.attempt(one, 1)
        with pytest.raises(UnknownObjectError, match="have no attempt 3 of call"):
            await corrections.attempt(one, 3)
        with pytest.raises(UnknownObjectError, match="have no call"):
            await corrections.attempt(name())

    asyncio.run(story())


def test_a_line_that_is_booked_again_stays_resolved(ledger, line):
    """As after a crash: the journal is read again. The end of its call is taken."""

    async def story():
        call, corrections = name(), Corrections(ledger)
        entry = line(call)
        await ledger.book([Entry(entry.intent, entry.outcome)])
        await corrections.resolve(await corrections.attempt(call), 30, ANNA)
        await ledger.book([entry])
        await ledger.book([entry])
        (row,) = await rows(ledger)
        assert (row.cost, row.settled, row.cache) == (30, "billed", "off")
        assert await spent(ledger, ALL) == [30]
        assert (await ledger.usage(Query()))[0].calls == 1

    asyncio.run(story())


@pytest.mark.parametrize("cost", [-1, LARGEST + 1])
def test_a_cost_that_no_book_has_room_for(ledger, line, cost):
    """Is refused, and nothing has changed."""

    async def story():
        call = name()
        await ledger.book([line(call)])
        corrections = Corrections(ledger)
        with pytest.raises(BadRequestError, match="no room"):
            await corrections.resolve(await corrections.attempt(call), cost, ANNA)
        assert await spent(ledger, ALL) == [50]

    asyncio.run(story())


def test_loans_that_nobody_will_give_back(ledger):
    """Are listed and ended by the name of who has borrowed; the others stay."""

    async def story():
        for owner in ("dead", "alive"):
            await ledger.borrow(owner, ALL, 300, 300)
        await ledger.borrow("dead", KEY, 20, 20)
        corrections = Corrections(ledger)
        assert await corrections.loans("dead") == [("all", "2027-01-15", 300), ("key:web", "total", 20)]
        await corrections.end_loans("dead", ANNA)
        await corrections.end_loans("dead", ANNA)
        assert await corrections.loans("dead") == []
        assert [lent for _, lent in await ledger.spent([ALL, KEY])] == [300, 0]
        assert len(await KeyBook(ledger).notes()) == 1

    asyncio.run(story())


def test_rows_that_somebody_should_look_at(ledger, line):
    """Those whose outcome nobody knows, and those that cost more than was held for them."""

    async def story():
        odd, dear, fine = name(), name(), name()
        await ledger.book([
            line(odd), line(dear, cost=51, settled=Settled.BILLED), line(fine, cost=50, settled=Settled.BILLED),
            line(name(), cost=70, settled=Settled.BILLED, caps=()),
        ])  # fmt: skip
        assert [row.call_id for row in await rows(ledger, only="unknown")] == [odd]
        assert [row.call_id for row in await rows(ledger, only="exceeded")] == [dear]
        assert await rows(ledger, only="unknown", where={"key": "nobody"}) == []

    asyncio.run(story())


CASES = st.lists(
    st.tuples(
        st.sampled_from([None, 0, 1, 50, 10**9 - 1, 2**53]), st.sampled_from([None, 0, 1, 10**9, 2**52]), st.booleans(),
        st.sampled_from(["a", "b"]), st.sampled_from([{}, {"t": "1", "s": "2"}]),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CASES)
def test_the_sums_equal_the_lines_afterwards(ledger, line, cases):
    """However dear the attempts were before and after, in every grouping; and the budgets equal them, too."""
    project = f"p{next(RUNS)}"
    cap = Cap(project, "total", 1)

    async def story():
        corrections = Corrections(ledger)
        calls = [name() for _ in cases]
        await ledger.book([
            line(call, cost=before, caps=[cap], project=project, user=user, tags=tags)
            for call, (before, _, _, user, tags) in zip(calls, cases, strict=True)
        ])  # fmt: skip
        for call, (_, after, resolved, *_) in zip(calls, cases, strict=True):
            if resolved:
                await corrections.resolve(await corrections.attempt(call), after, ANNA)
        lines = await rows(ledger, where={"project": project})
        unknown = [row for row in lines if row.settled == "unknown"]
        known = sum(row.cost or 0 for row in lines) - sum(row.cost or 0 for row in unknown)
        for by in (("project",), ("project", "tag:t"), ("project", "user")):
            total, _ = await ledger.usage(Query(by=by, where={"project": project}))
            assert (total.cost, total.unknown_attempts) == (known, len(unknown))
            assert total.unknown_cost == sum(row.cost or 0 for row in unknown)
        assert await spent(ledger, cap) == [sum(row.cost or 0 for row in lines)]

    asyncio.run(story())
