"""Covers stores/purse.py: what is held never exceeds what was lent, and nothing stays behind."""

import asyncio
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.errors import OverBudgetError, StoreError
from headgate.gate.tasks import Tasks
from headgate.stores.money import Cap
from headgate.stores.purse import INTERVAL, PART, Purses
from headgate.testing import VirtualClock, virtual_time

sys.path.insert(0, str(Path(__file__).parent))
from bank import Bank

CAP = Cap("all", "2027-01-15", 6_400)


def purses(bank, owner="me"):
    """The purses of one process."""
    return Purses(bank, owner, Tasks().start, VirtualClock())


def test_one_loan_serves_many_calls():
    """A 64th of the cap at a time: no round trip for a call."""

    async def story():
        bank = Bank()
        mine = purses(bank)
        holds = [await mine.hold([CAP], 5) for _ in range(CAP.limit // PART // 5)]
        assert bank.asked == 1
        await mine.hold([CAP], 5)
        assert (bank.asked, bank.total(CAP)) == (2, 2 * CAP.limit // PART)
        assert [hold.caps for hold in holds] == [(CAP,)] * len(holds)

    virtual_time(story())


def test_near_the_cap_a_loan_is_one_hold():
    """Then nothing idle stands between other processes and what is left."""

    async def story():
        bank = Bank()
        bank.booked["all", CAP.window] = CAP.limit - 300
        mine = purses(bank)
        await mine.hold([CAP], 7)
        assert bank.total(CAP) == CAP.limit - 300 + 7

    virtual_time(story())


def test_shortage_is_told_with_its_figures():
    """What is left, of what, and what the call may cost."""

    async def story():
        bank = Bank()
        bank.booked["all", CAP.window] = 6_395
        with pytest.raises(OverBudgetError) as error:
            await purses(bank).hold([CAP], 7)
        assert error.value.message == (
            "The budget 'all' (2027-01-15) has $0.000000000005 left of $0.0000000064, and this call may cost "
            "$0.000000000007."
        )
        assert bank.total(CAP) == 6_395
        await purses(bank).hold([CAP], 5)

    virtual_time(story())


def test_a_hold_is_taken_from_all_caps_or_none():
    """A cap that is short leaves the others as they are."""

    async def story():
        bank = Bank()
        tight = Cap("key", "total", 10)
        mine = purses(bank)
        await mine.hold([CAP, tight], 8)
        with pytest.raises(OverBudgetError, match="'key'"):
            await mine.hold([CAP, tight], 8)
        (await mine.hold([CAP, tight], 2)).settle(1)
        await mine.give_back()
        assert (bank.lent["me", "all", CAP.window], bank.lent["me", "key", "total"]) == (9, 9)

    virtual_time(story())


def test_what_is_not_used_goes_back():
    """After two looks of `tend` at most; what is held stays."""

    async def story():
        bank = Bank()
        mine, tasks = purses(bank), Tasks()
        tasks.start(mine.tend(), "tend")
        hold = await mine.hold([CAP], 7)
        await asyncio.sleep(2.5 * INTERVAL)
        assert bank.total(CAP) == 7
        hold.settle(3)
        bank.book("me", CAP, 7, 3)
        await asyncio.sleep(2.5 * INTERVAL)
        assert (bank.booked["all", CAP.window], bank.total(CAP)) == (3, 3)
        await tasks.close()

    virtual_time(story())


def test_a_caller_who_leaves_loses_no_loan():
    """The store's answer is taken by the process, whoever asked."""

    class Slow(Bank):
        async def borrow(self, *asked):
            loan = await super().borrow(*asked)
            await asyncio.sleep(1)
            return loan

    async def story():
        bank = Slow()
        mine = purses(bank)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(mine.hold([CAP], 7), 0.5)
        await asyncio.sleep(1)
        await mine.give_back()
        assert bank.total(CAP) == 0

    virtual_time(story())


def test_a_store_that_is_away():
    """Stops nobody who has enough; who needs more is told; what could not be given back is still there."""

    async def story():
        bank = Bank()
        mine = purses(bank)
        await mine.hold([CAP], 1)
        bank.away = True
        await mine.hold([CAP], CAP.limit // PART - 1)
        with pytest.raises(StoreError, match="closed"):
            await mine.hold([CAP], 1)
        await mine.give_back()
        bank.away = False
        (await mine.hold([CAP], 1)).settle(0)
        await mine.give_back()
        assert bank.total(CAP) == CAP.limit // PART

    virtual_time(story())


STEPS = st.lists(
    st.tuples(st.sampled_from(["hold", "settle", "over", "back", "die"]), st.integers(0, 2), st.integers(1, 400)),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_no_cap_is_exceeded_and_all_of_it_can_be_spent(steps):
    """Three processes that hold, settle, give back and die in any order, with calls that cost more than was held."""
    caps = [Cap("all", "d", 1000), Cap("key", "d", 400)]

    async def story():
        bank = Bank()
        processes = [purses(bank, str(number)) for number in range(3)]
        holds = [[], [], []]
        beyond = 0
        for what, which, amount in steps:
            owner = str(which)
            if what == "hold":
                try:
                    holds[which].append(await processes[which].hold(caps, amount))
                except OverBudgetError:
                    pass
            elif what in {"settle", "over"} and holds[which]:
                hold = holds[which].pop(amount % len(holds[which]))
                cost = hold.amount + amount if what == "over" else min(amount, hold.amount)
                beyond += max(cost - hold.amount, 0)
                hold.settle(cost)
                for cap in caps:
                    bank.book(owner, cap, hold.amount, cost)
            elif what == "back":
                await processes[which].give_back()
            elif what == "die":
                # Its journal is adopted: what was in flight is charged as held, the rest of its loans ends.
                for hold in holds[which]:
                    for cap in caps:
                        bank.book(owner, cap, hold.amount, hold.amount)
                for cap in caps:
                    bank.lent[owner, cap.name, cap.window] = 0
                processes[which], holds[which] = purses(bank, owner), []
            for cap in caps:
                assert bank.total(cap) <= cap.limit + beyond
                assert all(bank.lent[str(number), cap.name, cap.window] >= 0 for number in range(3))
        for which, process in enumerate(processes):
            for hold in holds[which]:
                hold.settle(0)
            await process.give_back()
        for cap in caps:
            # When all is quiet nothing is lent, and the rest can be spent to the last.
            assert bank.total(cap) == bank.booked[cap.name, cap.window]
        left = min(cap.limit - bank.total(cap) for cap in caps)
        if left > 0:
            await processes[0].hold(caps, left)
        with pytest.raises(OverBudgetError):
            await processes[1].hold(caps, 1)

    virtual_time(story())
