"""Covers policies/budget/budget.py: held before it is written down, written down before it leaves, settled once."""

import asyncio
import json

import msgspec
import pytest

from headgate.catalog.models import Catalog
from headgate.catalog.prices import Prices
from headgate.catalog.tokens import Tokens
from headgate.core.attempt import Settled
from headgate.core.body import Body
from headgate.core.call import Call, Operation, Target
from headgate.core.errors import (
    Answer,
    BacklogError,
    HeadgateError,
    OverBudgetError,
    OverloadedError,
    TimeoutError,  # noqa: A004
)
from headgate.core.reply import Event, Kind, Reply
from headgate.core.usage import TokenUsage
from headgate.gate.tasks import Tasks
from headgate.policies.budget.budget import Budget
from headgate.policies.budget.hold import Holds, Rules
from headgate.stores.journal import MemoryJournal
from headgate.stores.money import Cap
from headgate.stores.purse import Purses
from headgate.stores.records import Intent
from headgate.testing import VirtualClock, virtual_time
from tests.stores.bank import Bank

CAP = Cap("all", "total", 10**9)
RAW = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 100}).encode()
WORST = len(RAW) * 125_000 + 100 * 500_000
USAGE = TokenUsage(prompt_tokens=10, completion_tokens=20)
COST = 10 * 100_000 + 20 * 500_000


class Desk:
    """The policy with a bank behind it, and everything that is known of one call."""

    def __init__(self, *, limit=CAP.limit, backlog=100, **rules):
        self.bank = Bank()
        self.journal = MemoryJournal(max_backlog=backlog)
        clock = VirtualClock()
        self.purses = Purses(self.bank, lambda: "me", Tasks().start, clock)
        prices = Prices()
        holds = Holds(
            lambda _call, _model: [Cap("all", "total", limit)], self.purses, prices, price_list="openai",
            find=Catalog().find, sure=True, tokens=Tokens(), clock=clock, default_output=lambda _name: None,
            rules=Rules(**rules),
        )  # fmt: skip
        self.policy = Budget(self.journal, prices, clock, holds=holds)
        self.call = Call(
            id="c", operation=Operation.CHAT, model="m", body=Body(RAW), started=0, day="2027-01-15",
            target=Target("openai", "gpt-6-luna"),
        )  # fmt: skip

    async def held(self):
        """What calls in flight may cost: all that is lent but for what is free."""
        await self.purses.give_back()
        return self.bank.lent["me", "all", "total"]


def answer(usage=USAGE):
    """A whole answer."""
    return Reply([Event(kind=Kind.TERMINAL, size=10, usage=usage)])


def test_a_sum_is_held_written_down_and_settled():
    """In this order, and what is not spent is free again at once."""

    async def story():
        desk = Desk()
        seen = []

        async def provider(call):
            seen.append(await desk.held())
            (intent,) = [record for record in desk.journal._records if isinstance(record, Intent)]
            assert (intent.held.owner, intent.held.amount, intent.held.if_unknown) == ("me", WORST, WORST)
            assert intent.held.caps == (("all", "total"),)
            call.attempt.sent = True
            return answer()

        await desk.policy(desk.call, provider)
        assert seen == [WORST]
        # Spent, and lent until it is booked.
        assert await desk.held() == COST
        assert desk.call.trail[0].cost == COST

    virtual_time(story())


def test_nothing_stays_held_when_the_intent_cannot_be_written():
    """And nothing has left."""

    async def story():
        desk = Desk(backlog=0)
        with pytest.raises(BacklogError):
            await desk.policy(desk.call, None)
        assert await desk.held() == 0

    virtual_time(story())


def test_a_refusal_leaves_no_attempt():
    """But tells those that were made before."""

    async def story():
        desk = Desk(limit=WORST // 10)
        with pytest.raises(OverBudgetError) as error:
            await desk.policy(desk.call, None)
        assert error.value.attempts == []
        assert desk.journal._records == []
        assert await desk.held() == 0

    asyncio.run(story())


@pytest.mark.parametrize(
    ("error", "sent", "settled", "left"),
    [
        (OverloadedError("503", answer=Answer(503, {}, b"")), True, Settled.NOT_BILLED, 0),
        (TimeoutError("slow"), True, Settled.UNKNOWN, WORST),
        (TimeoutError("slow"), False, Settled.NOT_BILLED, 0),
        (asyncio.CancelledError(), True, Settled.UNKNOWN, WORST),
    ],
)
def test_a_failure_is_charged_by_what_is_known_of_it(error, sent, settled, left):
    """Nothing, or the worst case, which the row then says."""

    async def story():
        desk = Desk()

        async def provider(call):
            call.attempt.sent = sent
            raise error

        with pytest.raises((HeadgateError, asyncio.CancelledError)):
            await desk.policy(desk.call, provider)
        (attempt,) = desk.call.trail
        assert (attempt.settled, attempt.cost, await desk.held()) == (settled, left, left)

    virtual_time(story())


def test_what_costs_more_than_was_held_is_spent_all_the_same():
    """The loan shrinks by the hold; the rest was never lent."""

    async def story():
        desk = Desk()

        async def provider(call):
            call.attempt.sent = True
            return answer(TokenUsage(prompt_tokens=10, completion_tokens=100_000))

        await desk.policy(desk.call, provider)
        assert desk.call.trail[0].cost > WORST
        assert await desk.held() == WORST

    virtual_time(story())


def test_what_has_no_price_after_all_is_unknown():
    """The model that served is another one, which nobody knows: charged as it was held, until somebody resolves it."""

    async def story():
        desk = Desk()

        async def provider(call):
            call.attempt.sent = True
            return Reply([Event(kind=Kind.TERMINAL, usage=USAGE, model="nobody-knows")])

        await desk.policy(desk.call, provider)
        (attempt,) = desk.call.trail
        assert (attempt.settled, attempt.basis, attempt.cost) == (Settled.UNKNOWN, None, WORST)
        assert await desk.held() == WORST

    virtual_time(story())


def test_estimates_are_learned_from_answers():
    """What such calls mostly use is charged where nobody knows; what was counted by us teaches nothing."""

    async def story(usage):
        desk = Desk(on_unknown="estimate")
        told = []

        async def provider(call):
            (*_, intent) = (record for record in desk.journal._records if isinstance(record, Intent))
            told.append(intent.held.if_unknown)
            call.attempt.sent = True
            return answer(usage)

        for _ in range(20):
            await desk.policy(msgspec.structs.replace(desk.call, trail=[]), provider)
        return told[-1] / told[0]

    assert virtual_time(story(TokenUsage(prompt_tokens=10, completion_tokens=2))) < 0.2
    assert virtual_time(story(None)) == 1


def test_what_was_counted_costs_no_more_than_the_worst():
    """The worst case is what the provider can charge at most; what we count by bytes may be more than it will."""

    async def story():
        # Thousands of spaces are a few tokens: near the cap they are counted as such before the call leaves.
        desk = Desk(limit=10**8)
        raw = RAW.replace(b"Hi", b" " * 4000)

        async def provider(call):
            call.attempt.sent = True
            return Reply([Event(kind=Kind.TERMINAL, size=10)])

        await desk.policy(msgspec.structs.replace(desk.call, body=Body(raw)), provider)
        (attempt,) = desk.call.trail
        assert attempt.usage.prompt_tokens > 1000
        assert attempt.cost == await desk.held() < 1000 * 100_000

    asyncio.run(story())
