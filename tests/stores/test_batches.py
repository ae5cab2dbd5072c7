"""Covers stores/batches.py: what is written of a batch is what is read, whatever stands in it.

`contract/test_batches.py` holds the book against every database.
"""

import asyncio

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from headgate.stores.batches import ENDED, BatchBook, BatchRecord, Facts, Fund, State
from headgate.stores.sqlite import SqliteLedger

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
MONEY = st.integers(0, 2**63 - 1)
FACTS = st.builds(
    Facts,
    operation=TEXT,
    asked=TEXT,
    deadline=st.none() | st.floats(0, 2**40),
    tags=st.dictionaries(TEXT, TEXT),
    funds=st.lists(st.builds(Fund, TEXT, TEXT, MONEY, MONEY)).map(tuple),
    cost=st.none() | MONEY,
    trouble=st.none() | TEXT,
    wait=st.floats(0, 2**40),
)


@given(FACTS, FACTS)
def test_facts_stay_what_they_are_and_are_compared_as_they_are_written(facts, others):
    """Read back they are equal, and a change is made by whoever has read them, and by nobody who has read others."""

    async def story():
        ledger = SqliteLedger(":memory:")
        book = BatchBook(ledger)
        record = BatchRecord(
            id="a", job="j", place=0, began=1.5, mark="m", provider="p", model="m", tokens=1, facts=facts
        )
        assert await book.intend(record) == record
        read = await book.find("a")
        assert read == record
        stranger = msgspec.structs.replace(read, facts=others)
        if others != facts:
            assert not await book.change(stranger, msgspec.structs.replace(stranger, state=State.DONE))
        assert await book.change(read, msgspec.structs.replace(read, state=State.DONE, facts=others))
        assert (await book.find("a")).facts == others
        await ledger.close()

    asyncio.run(story())


def test_what_has_ended_is_no_state_in_which_money_is_out():
    """What is enqueued, or may be, counts until it is over."""
    assert {State.CREATING, State.SENT, State.OVER, State.READY, State.INTENDED} == set(State) - ENDED
