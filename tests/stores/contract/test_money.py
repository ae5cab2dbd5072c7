"""The contract of every store of money: no loan beyond a cap, and what is spent follows from the books alone."""

import asyncio
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.core.attempt import Settled
from headgate.stores.money import Alert, Cap, Loan
from headgate.stores.protocols import Query
from headgate.stores.records import Entry, Told
from tests.stores.bank import Bank

CAP = Cap("all", "2027-01-15", 1000)


@pytest.fixture
def line(pen):
    """A line that was held under caps."""

    def make(call="c", cost=10, held=50, caps=(CAP,), owner="me", **changes):
        told = Told(owner, tuple((cap.name, cap.window) for cap in caps), held, held)
        return Entry(pen.intent(call, held=told), pen.outcome(call, cost=cost, **changes), pen.end(call))

    return make


def test_a_loan_is_a_wish_while_there_is_plenty(ledger):
    """Then the least, then nothing; what is left is told each time."""

    async def story():
        assert await ledger.borrow("me", CAP, 5, 100) == Loan(100, 900)
        assert await ledger.borrow("you", CAP, 5, 100) == Loan(100, 800)
        assert await ledger.borrow("you", CAP, 5, 101, 100) == Loan(5, 795)
        assert await ledger.borrow("me", CAP, 796, 796, 100) == Loan(0, 795)
        assert await ledger.borrow("me", CAP, 795, 795, 100) == Loan(795, 0)
        assert await ledger.spent([CAP, Cap("other", "total", 5)]) == [(0, 1000), (0, 0)]

    asyncio.run(story())


def test_windows_and_names_have_sums_of_their_own(ledger):
    """A new day begins with nothing."""

    async def story():
        await ledger.borrow("me", CAP, 900, 900)
        tomorrow, other = Cap("all", "2027-01-16", 1000), Cap("b:ünï'; DROP", "2027-01-15", 1000)
        assert (await ledger.borrow("me", tomorrow, 900, 900)).amount == 900
        assert (await ledger.borrow("me", other, 900, 900)).amount == 900

    asyncio.run(story())


def test_what_is_booked_is_spent_once(ledger, line):
    """The loan shrinks by as much; a line that comes again changes nothing, nor does the end of its call."""

    async def story():
        await ledger.borrow("me", CAP, 100, 100)
        entry = line()
        await ledger.book([Entry(entry.intent, entry.outcome)])
        await ledger.book([entry])
        await ledger.book([entry])
        assert await ledger.spent([CAP]) == [(10, 90)]

    asyncio.run(story())


def test_a_line_is_charged_to_all_its_caps(ledger, line):
    """By its cost, whatever was held; what is beyond the hold was never lent."""

    async def story():
        other = Cap("key", "total", 1000)
        for cap in (CAP, other):
            await ledger.borrow("me", cap, 100, 100)
        await ledger.book([
            line("a", caps=(CAP, other)), line("b", cost=70, caps=(other,)), line("c", cost=0),
            line("d", cost=50, settled=Settled.UNKNOWN), line("e", cost=None),
        ])  # fmt: skip
        assert await ledger.spent([CAP, other]) == [(60, 40), (80, 40)]
        rows = [row async for row in ledger.rows(Query())]
        assert [row.budgets for row in rows][:2] == [
            (("all", "2027-01-15"), ("key", "total")), (("key", "total"),),
        ]  # fmt: skip

    asyncio.run(story())


def test_a_sum_beyond_all_budgets_stays_where_it_is(ledger, line):
    """A provider that reports nonsense must not keep the books from being written."""

    async def story():
        for turn in range(3):
            await ledger.book([line(f"{turn} {number}", cost=2**61, held=5) for number in range(4)])
        ((spent, _),) = await ledger.spent([CAP])
        assert spent == 2**62
        assert (await ledger.usage(Query()))[0].attempts == 12

    asyncio.run(story())


def test_what_is_given_back_can_be_borrowed_again(ledger):
    """By anybody."""

    async def story():
        await ledger.borrow("me", CAP, 1000, 1000)
        assert (await ledger.borrow("you", CAP, 1, 1)).amount == 0
        await ledger.give_back("me", [(CAP, 600)])
        assert await ledger.borrow("you", CAP, 400, 400) == Loan(400, 0)
        await ledger.give_back("me", [(CAP, 0)])
        assert await ledger.spent([CAP]) == [(0, 400)]

    asyncio.run(story())


def test_what_is_said_twice_is_done_once(ledger):
    """Whose answer was lost says again what it has: nothing is returned twice, and no loan stays that nobody knows."""

    async def story():
        await ledger.borrow("me", CAP, 500, 500)
        for _ in range(2):
            await ledger.give_back("me", [(CAP, 300)])
            assert await ledger.spent([CAP]) == [(0, 300)]
        # Two loans whose answers were lost: who asks again, or gives back, still has 300.
        await ledger.borrow("me", CAP, 100, 100, 300)
        assert await ledger.borrow("me", CAP, 100, 100, 300) == Loan(100, 600)
        await ledger.give_back("me", [(CAP, 300)])
        assert await ledger.spent([CAP]) == [(0, 300)]
        # And what somebody says to have beyond that is nobody's gift.
        await ledger.give_back("me", [(CAP, 900)])
        assert await ledger.spent([CAP]) == [(0, 300)]

    asyncio.run(story())


def test_who_is_done_begins_anew(ledger, line):
    """While what it has spent is still to be booked: that stays lent until then."""

    async def story():
        await ledger.borrow("me", CAP, 500, 500)
        # 50 of it are spent, and the books do not know it yet.
        await ledger.give_back("me", [(CAP, 50)], [CAP])
        assert (await ledger.borrow("me", CAP, 100, 100, 0)).amount == 100
        assert await ledger.spent([CAP]) == [(0, 150)]
        await ledger.book([line(cost=50, held=50)])
        await ledger.give_back("me", [(CAP, 0)], [CAP])
        assert await ledger.spent([CAP]) == [(50, 0)]
        assert (await ledger.borrow("me", CAP, 100, 100, 0)).left == 850

    asyncio.run(story())


def test_loans_of_the_dead_end(ledger):
    """Only theirs."""

    async def story():
        await ledger.borrow("me", CAP, 300, 300)
        await ledger.borrow("you", CAP, 200, 200)
        await ledger.inherit("me")
        assert await ledger.spent([CAP]) == [(0, 200)]

    asyncio.run(story())


def test_each_share_is_told_once(ledger, line):
    """When it is reached, lower ones first, whoever asks; a new window tells anew."""

    async def story():
        cap = Cap(CAP.name, CAP.window, CAP.limit, (0.5, 0.8, 1.0))
        await ledger.book([line("a", cost=499)])
        assert list(await ledger.alerts([cap])) == []
        await ledger.book([line("b", cost=1)])
        assert list(await ledger.alerts([cap])) == [Alert(cap, 0.5, 500)]
        await ledger.book([line("c", cost=700)])
        assert list(await ledger.alerts([cap])) == [Alert(cap, 0.8, 1200), Alert(cap, 1.0, 1200)]
        assert list(await ledger.alerts([cap])) == []

    asyncio.run(story())


def test_many_who_borrow_at_once_stay_below_the_cap(make_ledger):
    """Several ledgers, as several processes have them; in memory there is only one."""

    async def story():
        ledgers = [make_ledger()] if make_ledger.kind == "memory" else [make_ledger() for _ in range(3)]
        asked = [
            ledger.borrow(f"{number} {turn}", CAP, 37, 37)
            for turn in range(15)
            for number, ledger in enumerate(ledgers)
        ]
        loans = await asyncio.gather(*asked)
        assert sum(loan.amount for loan in loans) == min(15 * len(ledgers), 1000 // 37) * 37

    asyncio.run(story())


RUNS = count()
STEPS = st.lists(
    st.tuples(st.sampled_from(["borrow", "book", "back", "inherit"]), st.sampled_from("ab"), st.integers(1, 300)),
    max_size=25,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_it_is_the_plainest_bank_there_is(ledger, line, steps):
    """Loan by loan the same answers as those of a store that keeps its sums in a dictionary."""
    run = next(RUNS)
    cap = Cap(f"run {run}", "total", 1000)

    async def story():
        bank = Bank()
        for number, (what, owner, amount) in enumerate(steps):
            who = f"{owner}{run}"
            key = (who, cap.name, cap.window)
            if what == "borrow":
                loan = await ledger.borrow(who, cap, amount, 2 * amount, bank.had[key])
                assert loan == await bank.borrow(who, cap, amount, 2 * amount, bank.had[key])
            elif what == "book":
                held = min(amount, bank.lent[key])
                cost = amount if number % 3 else held
                await ledger.book([line(f"{run} {number}", cost=cost, held=held, caps=(cap,), owner=who)])
                bank.book(who, cap, held, cost)
            elif what == "back":
                returned = min(amount, bank.lent[key])
                kept = bank.had[key] - returned
                await ledger.give_back(who, [(cap, kept)])
                await bank.give_back(who, [(cap, kept)])
            else:
                await ledger.inherit(who)
                bank.lent[key] = bank.had[key] = 0
            assert await ledger.spent([cap]) == await bank.spent([cap])

    asyncio.run(story())
