"""Covers policies/budget/joint.py: one attempt, a line in the books for each who asked, and shares that add up."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.attempt import Attempt, Basis, Settled
from headgate.core.body import Body
from headgate.core.call import Call, Caller, Operation
from headgate.core.errors import BacklogError
from headgate.core.reply import Event, Kind
from headgate.core.together import Together
from headgate.core.usage import TokenUsage
from headgate.policies.budget.hold import Held
from headgate.policies.budget.joint import Joint
from headgate.stores.journal import MemoryJournal
from headgate.stores.records import Intent, Told

USAGE = TokenUsage(prompt_tokens=100, completion_tokens=50, reasoning_tokens=7)


class Hold:
    """A sum that is set aside."""

    def __init__(self, amount):
        self.amount = amount
        self.settled = []

    def settle(self, cost):
        """Once."""
        self.settled.append(cost)


def price(usage):
    """Ten an input token, a hundred an output token."""
    return 10 * usage.prompt_tokens + 100 * usage.completion_tokens


class Desk:
    """Several calls, what they hold, and a journal."""

    def __init__(self, *weights, holds=None, sure=True, backlog=100, left=()):
        self.calls = [
            Call(
                id=f"c{n}", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=float(n), day="2027-01-15",
                caller=Caller(key=f"k{n}"), trail=[],
            )
            for n in range(len(weights))
        ]  # fmt: skip
        together = Together(
            calls=tuple(self.calls), asked=tuple(asked for asked, _ in weights),
            said=lambda text: json.loads(text) if text else [0] * len(weights), left=set(left),
        )  # fmt: skip
        self.call = msgspec.structs.replace(
            self.calls[0], id="f" * 32, together=together, trail=[], dropped=("seed",), saved_tokens=10
        )
        self.said = json.dumps([said for _, said in weights])
        self.holds = [Hold(amount) if amount is not None else None for amount in holds or ()]
        held = [
            None
            if hold is None
            else Held(hold, Told("me", (("all", "total"),), hold.amount, hold.amount // 2), None, sure=sure)
            for hold in self.holds
        ]
        self.journal = MemoryJournal(max_backlog=backlog)
        self.attempt = Attempt(1, "p", "m", self.call.dropped)
        self.joint = Joint(self.call, self.attempt, held, self.journal)

    def end(self, settled=Settled.BILLED, *, usage=USAGE, cost=None):
        """The attempt has ended: what came of it for each."""
        self.attempt.settled, self.attempt.basis, self.attempt.status = settled, Basis.REPORTED, 200
        if settled is Settled.BILLED:
            self.attempt.usage = usage
            self.attempt.cost = price(usage) if cost is None else cost
            self.attempt.price_table = "list"
        elif settled is Settled.NOT_BILLED:
            self.attempt.cost = 0
        self.joint.hear(Event(kind=Kind.TERMINAL, text=self.said))
        return self.joint.settle(price)

    @property
    def own(self):
        """The last attempt of each."""
        return [call.trail[-1] for call in self.calls]


def test_each_has_its_own_lines():
    """Its name, its number, its start, what the model did not get; written before it leaves and when it has ended."""
    desk = Desk((1, 1), (3, 1), holds=[6000, 6000])
    desk.calls[1].trail.append(Attempt(1, "p", "m"))
    desk.joint.open(1000.0)
    intents = list(desk.journal._records)
    assert [(one.call_id, one.attempt, one.key, one.time, one.held.amount) for one in intents] == [
        ("c0", 1, "k0", 1000.0, 6000), ("c1", 2, "k1", 1001.0, 6000),
    ]  # fmt: skip
    assert {one.dropped for one in intents} == {("seed",)}
    assert desk.end() == []
    outcomes = desk.journal._records[2:]
    assert [(one.call_id, one.attempt, one.status) for one in outcomes] == [("c0", 1, 200), ("c1", 2, 200)]
    assert [one.prompt_tokens for one in outcomes] == [25, 75]
    assert [one.completion_tokens for one in outcomes] == [25, 25]
    assert [one.cost for one in outcomes] == [250 + 2500, 750 + 2500]
    assert {one.price_table for one in outcomes} == {"list, one of 2"}
    assert sorted(one.saved_tokens for one in outcomes) == [2, 8] or [one.saved_tokens for one in outcomes] == [3, 7]
    assert [hold.settled for hold in desk.holds] == [[2750], [3250]]


@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 9000)), min_size=1, max_size=12),
    st.integers(0, 10_000), st.integers(0, 10_000), st.booleans(),
)  # fmt: skip
def test_shares_add_up_and_stay_within_what_is_held(members, prompt, completion, hold):
    """To the last unit; whoever pays more than was held is told of: only where all together held too little."""
    holds = [amount for _, _, amount in members] if hold else None
    desk = Desk(*((asked, said) for asked, said, _ in members), holds=holds)
    desk.joint.open(0)
    usage = TokenUsage(prompt_tokens=prompt, completion_tokens=completion)
    exceeded = desk.end(usage=usage)
    assert sum(attempt.cost for attempt in desk.own) == price(usage)
    assert sum((attempt.usage for attempt in desk.own), TokenUsage()) == usage
    if hold:
        assert [one.settled for one in desk.holds] == [[attempt.cost] for attempt in desk.own]
        over = [attempt for attempt, amount in zip(desk.own, holds, strict=True) if attempt.cost > amount]
        assert [attempt for _, attempt, _ in exceeded] == over
        assert not over or sum(holds) < price(usage)


def test_who_holds_nothing_may_pay_anything():
    """Only those with a budget have a bound."""
    desk = Desk((1, 9), (1, 1), holds=[100, None])
    desk.joint.open(0)
    assert desk.end() == []
    assert [attempt.cost for attempt in desk.own] == [100, price(USAGE) - 100]


def test_an_estimate_bounds_nobody():
    """Then what is beyond is told of."""
    desk = Desk((1, 9), (1, 1), holds=[100, 9000], sure=False)
    desk.joint.open(0)
    ((call, attempt, amount),) = desk.end()
    assert (call.id, attempt.cost > 100, amount) == ("c0", True, 100)


@pytest.mark.parametrize(
    ("settled", "holds", "costs"),
    [
        (Settled.UNKNOWN, [100, 301], [50, 150]), (Settled.UNKNOWN, None, [None, None]),
        (Settled.NOT_BILLED, [100, 300], [0, 0]), (Settled.NOT_BILLED, None, [0, 0]),
    ],
)  # fmt: skip
def test_an_end_without_a_price(settled, holds, costs):
    """What was said to be charged then; nothing; or nobody knows."""
    desk = Desk((1, 1), (1, 1), holds=holds)
    desk.joint.open(0)
    desk.end(settled)
    assert [attempt.cost for attempt in desk.own] == costs
    assert {attempt.settled for attempt in desk.own} == {settled}
    assert [hold.settled for hold in desk.holds] == ([] if holds is None else [[cost] for cost in costs])


def test_nobody_knows_the_price():
    """The tokens are split all the same."""
    desk = Desk((1, 1), (1, 1))
    desk.joint.open(0)
    desk.attempt.settled, desk.attempt.usage = Settled.BILLED, USAGE
    desk.joint.hear(Event(kind=Kind.TERMINAL, text=desk.said))
    desk.joint.settle(lambda _: None)
    assert [(attempt.cost, attempt.price_table, attempt.usage.prompt_tokens) for attempt in desk.own] == [
        (None, None, 50), (None, None, 50),
    ]  # fmt: skip


def test_what_cannot_be_written_down_does_not_leave():
    """Those that were written have not been billed; nothing stays held."""
    desk = Desk((1, 1), (1, 1), (1, 1), holds=[10, 10, 10], backlog=2)
    with pytest.raises(BacklogError):
        desk.joint.open(0)
    assert [hold.settled for hold in desk.holds] == [[0], [0], [0]]
    assert [[attempt.settled for attempt in call.trail] for call in desk.calls] == [
        [Settled.NOT_BILLED], [Settled.NOT_BILLED], [],
    ]  # fmt: skip
    intents = [one for one in desk.journal._records if isinstance(one, Intent)]
    assert len(intents) == 2
    assert len(desk.journal._records) == 4


def test_who_has_left_pays_by_another_name():
    """Its own call has ended in the books; the share is of one of the gate's own, on its behalf."""
    desk = Desk((1, 1), (1, 1), left=["c1"])
    desk.joint.open(0)
    desk.end()
    first, second = (one for one in desk.journal._records if isinstance(one, Intent))
    assert (first.call_id, first.parent) == ("c0", None)
    assert (len(second.call_id), second.parent, second.key, second.attempt) == (32, "c1", "k1", 1)
    assert desk.calls[1].trail == []


def test_what_splits_may_fail_and_the_books_are_kept():
    """A mistake of ours loses no outcome: nobody knows what it is."""
    desk = Desk((1, 1), (1, 1), holds=[100, 100])
    desk.joint.open(0)
    desk.said = "no json"
    with pytest.raises(ValueError, match="Expecting value"):
        desk.end()
    assert len(desk.journal._records) == 4
    assert [hold.settled for hold in desk.holds] == [[50], [50]]
    assert {attempt.settled for attempt in desk.own} == {Settled.UNKNOWN}
