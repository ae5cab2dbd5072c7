"""The contract of balances: the same as caps asked for one by one, however many there are."""

import asyncio

from headgate.stores import balance
from headgate.stores.balance import Balance, balances, named
from headgate.stores.money import Cap
from headgate.stores.records import Entry, Told

DAY = "2027-01-15"


def spending(pen, number, cost, *caps):
    """A line that has cost something."""
    told = Told("me", tuple((cap.name, cap.window) for cap in caps), cost, cost)
    return Entry(pen.intent(f"c{number}", held=told), pen.outcome(f"c{number}", cost=cost), pen.end(f"c{number}"))


def test_what_is_spent_and_lent_of_many(ledger, pen, monkeypatch):
    """In their order, with who has borrowed and what was told; in several questions if they are very many."""
    monkeypatch.setattr(balance, "AT_ONCE", 2)

    async def story():
        caps = [Cap(name, DAY, 1000, (0.1,)) for name in ("a", "b", "ç:'; --", "unused")]
        await ledger.borrow("me", caps[0], 100, 100)
        await ledger.borrow("you", caps[0], 200, 200)
        await ledger.borrow("you", caps[1], 5, 5)
        await ledger.give_back("you", [(caps[1], 0)])
        await ledger.book([spending(pen, 1, 30, caps[0]), spending(pen, 2, 100, caps[2])])
        assert [alert.cap.name for alert in await ledger.alerts(caps)] == ["ç:'; --"]
        found = await balances(ledger, [*caps, Cap("a", "2027-01-16", 1)])
        assert found == [
            Balance(cap=caps[0], spent=30, loans={"me": 70, "you": 200}),
            Balance(cap=caps[1]),
            Balance(cap=caps[2], spent=100, told=0.1),
            Balance(cap=caps[3]),
            Balance(cap=Cap("a", "2027-01-16", 1)),
        ]
        assert [(one.spent, one.lent) for one in found[:4]] == list(await ledger.spent(caps))
        assert await balances(ledger, []) == []

    asyncio.run(story())


def test_who_has_a_sum_of_their_own(ledger, pen):
    """Under this budget in this window, dearest first, those included that have only borrowed; no more than asked."""

    async def story():
        caps = [Cap(name, DAY, 1000) for name in ("each:anna", "each:bert:b", "each", "eacher", "each;x", "eac:h")]
        await ledger.book([spending(pen, number, 10 + number, cap) for number, cap in enumerate(caps)])
        await ledger.book([spending(pen, 9, 500, Cap("each:old", "2027-01-14", 1000))])
        await ledger.borrow("me", Cap("each:chris", DAY, 1000), 3, 3)
        assert await named(ledger, "each", DAY, 9) == ["each:bert:b", "each:anna", "each:chris"]
        assert await named(ledger, "each", DAY, 1) == ["each:bert:b"]

    asyncio.run(story())
