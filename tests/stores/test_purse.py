"""Covers stores/purse.py: what is held never exceeds what was lent, and nothing stays behind."""

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.errors import OverBudgetError, StoreError
from headgate.gate.tasks import Tasks
from headgate.stores.money import Cap
from headgate.stores.purse import INTERVAL, PART, Purses
from headgate.testing import VirtualClock, virtual_time
from tests.stores.bank import Bank

CAP = Cap("all", "2027-01-15", 6_400)


def purses(bank, owner="me"):
    """The purses of one process."""
    return Purses(bank, lambda: owner, Tasks().start, VirtualClock())


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
    st.tuples(
        st.sampled_from(["hold", "settle", "over", "back", "die", "mute", "heard"]),
        st.integers(0, 2),
        st.integers(1, 400),
    ),
    max_size=60,
)
CAPS = [Cap("all", "d", 1000), Cap("key", "d", 400)]


class Process:
    """One of several that spend from the same caps."""

    def __init__(self, bank, owner):
        self.bank, self.owner = bank, owner
        self.beyond = 0
        self.begin()

    def begin(self):
        """A new process under an old name."""
        self.purses, self.holds = purses(self.bank, self.owner), []

    async def hold(self, amount):
        """Set something aside, if there is enough."""
        with contextlib.suppress(OverBudgetError, StoreError):
            self.holds.append(await self.purses.hold(CAPS, amount))

    async def settle(self, amount):
        """A call ends, within its hold."""
        if self.holds:
            hold = self.holds.pop(amount % len(self.holds))
            self.end(hold, min(amount, hold.amount))

    async def over(self, amount):
        """A call ends that cost more than anybody could know."""
        if self.holds:
            hold = self.holds.pop(amount % len(self.holds))
            self.beyond += amount
            self.end(hold, hold.amount + amount)

    def end(self, hold, cost):
        """As the budget and the drain do it."""
        hold.settle(cost)
        for cap in CAPS:
            self.bank.book(self.owner, cap, hold.amount, cost)

    async def back(self, _amount):
        """Idle sums return."""
        await self.purses.give_back()

    async def die(self, _amount):
        """Its journal is adopted: what was in flight is charged as held, the rest of its loans ends."""
        for hold in self.holds:
            for cap in CAPS:
                self.bank.book(self.owner, cap, hold.amount, hold.amount)
        for cap in CAPS:
            key = (self.owner, cap.name, cap.window)
            self.bank.lent[key] = self.bank.had[key] = 0
        self.begin()

    async def mute(self, _amount):
        """From now on the store's answers are lost, though it does what it is told."""
        self.bank.mute = True

    async def heard(self, _amount):
        """The store's answers come again."""
        self.bank.mute = False


async def prove(steps):
    """No step exceeds a cap; at the end all can be spent."""
    bank = Bank()
    processes = [Process(bank, str(number)) for number in range(3)]
    for what, which, amount in steps:
        await getattr(processes[which], what)(amount)
        beyond = sum(process.beyond for process in processes)
        assert all(bank.total(cap) <= cap.limit + beyond for cap in CAPS)
        assert min(bank.lent.values(), default=0) >= 0
    bank.mute = False
    for process in processes:
        for hold in process.holds:
            hold.settle(0)
        await process.back(0)
    assert all(bank.total(cap) == bank.booked[cap.name, cap.window] for cap in CAPS)
    left = min(cap.limit - bank.total(cap) for cap in CAPS)
    if left > 0:
        await processes[0].purses.hold(CAPS, left)
    with pytest.raises(OverBudgetError):
        await processes[1].purses.hold(CAPS, 1)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_no_cap_is_exceeded_and_all_of_it_can_be_spent(steps):
    """Three processes that hold, settle, give back and die in any order, with calls that cost more than was held.

    Meanwhile the store may do what it is told and nobody hears of it.
    """
    virtual_time(prove(steps))


def test_what_a_parent_has_borrowed_is_not_its_childs():
    """After a fork the journal has another token, and so has the purse."""

    async def story():
        bank, token = Bank(), ["parent"]
        mine = Purses(bank, lambda: token[0], Tasks().start, VirtualClock())
        await mine.hold([CAP], 7)
        token[0] = "child"
        (await mine.hold([CAP], 7)).settle(0)
        await mine.give_back()
        assert (bank.lent["parent", "all", CAP.window], bank.lent["child", "all", CAP.window]) == (100, 0)

    virtual_time(story())


def test_purses_that_are_not_used_are_forgotten():
    """After a minute: until then their caps may have something to tell."""

    async def story():
        mine, tasks = purses(Bank()), Tasks()
        tasks.start(mine.tend(), "tend")
        (await mine.hold([CAP], 7)).settle(0)
        await asyncio.sleep(30)
        assert mine.caps() == [CAP]
        await asyncio.sleep(40)
        assert mine.caps() == []
        await tasks.close()

    virtual_time(story())
