"""Covers policies/budget/hold.py: the worst case of a call, and what is done where there is none, or too little."""

import asyncio
import json

import pytest

from headgate.catalog.models import Catalog
from headgate.catalog.prices import Prices
from headgate.catalog.tokens import Tokens
from headgate.core.body import Body
from headgate.core.call import Address, Call, Operation
from headgate.core.errors import BadRequestError, OverBudgetError, UnboundedError, UnpricedError
from headgate.core.usage import TokenUsage
from headgate.gate.tasks import Tasks
from headgate.policies.budget.hold import LEAST_OUTPUT, Holds, Rules
from headgate.stores.money import Cap
from headgate.stores.purse import Purses
from headgate.testing import VirtualClock
from tests.stores.bank import Bank

LUNA = "gpt-6-luna"
INPUT, OUTPUT = 125_000, 500_000
"""Picodollars a token, at most: input that is written to the cache costs a quarter more."""
PLENTY = 10**15


def call(operation=Operation.CHAT, **fields):
    """A call for the model."""
    first = {"input": "Hi"} if operation is not Operation.CHAT else {"messages": [{"role": "user", "content": "Hi"}]}
    raw = json.dumps({"model": LUNA, **first, **fields}).encode()
    return Call(id="1", operation=operation, model="route", body=Body(raw), started=0, day="2027-01-15")


def took(asked, *, limit=PLENTY, model=LUNA, default=None, caps=None, sure=True, **rules):
    """What is held for a call, and the call as it is sent."""

    async def story():
        clock = VirtualClock()
        prices = Prices()
        held_under = [Cap("all", "total", limit)] if caps is None else caps
        purses = Purses(Bank(), lambda: "me", Tasks().start, clock)
        holds = Holds(
            lambda _call, _model: held_under, purses, prices, price_list="openai", find=Catalog().find, sure=sure,
            tokens=Tokens(), clock=clock, default_output=lambda _name: default, rules=Rules(**rules),
        )  # fmt: skip
        return await holds.take(asked, model)

    return asyncio.run(story())


def test_the_worst_case_is_bytes_in_and_cap_out():
    """And is what the journal is told."""
    asked = call(max_completion_tokens=100)
    sent, held = took(asked)
    assert sent is asked
    assert held.told.amount == asked.body.size * INPUT + 100 * OUTPUT
    assert (held.told.owner, held.told.caps, held.clamped) == ("me", (("all", "total"),), None)


@pytest.mark.parametrize(
    ("fields", "outputs"),
    [({"max_completion_tokens": 10, "n": 3}, 30), ({"max_tokens": 10, "max_completion_tokens": 20}, 20),
     ({"max_completion_tokens": 10**9}, 128_000)],
)  # fmt: skip
def test_what_multiplies_and_what_bounds(fields, outputs):
    """Choices; of two caps the larger one; no answer is longer than the model's longest."""
    asked = call(**fields)
    _, held = took(asked)
    assert held.told.amount == asked.body.size * INPUT + outputs * OUTPUT


@pytest.mark.parametrize(
    ("operation", "foreign", "cap"),
    [(Operation.CHAT, {"max_output_tokens": 16}, "max_completion_tokens"),
     (Operation.RESPONSES, {"max_tokens": 16, "max_completion_tokens": 16}, "max_output_tokens"),
     (Operation.COMPLETIONS, {"prompt": "Hi", "max_output_tokens": 16}, "max_tokens")],
)  # fmt: skip
def test_the_cap_of_another_operation_bounds_nothing(operation, foreign, cap):
    """A server that does not know the word answers at any length, and the caller would decide what a budget sees."""
    sent, held = took(call(operation, **foreign), default=1000)
    assert sent.body.view[cap] == 1000
    assert held.told.amount == call(operation, **foreign).body.size * INPUT + 1000 * OUTPUT


def test_each_prompt_is_answered():
    """Of completions, which may hold several; `best_of` counts as choices do."""
    asked = call(Operation.COMPLETIONS, prompt=["a", "b", "c"], max_tokens=10, best_of=2)
    _, held = took(asked)
    assert held.told.amount == asked.body.size * INPUT + 60 * OUTPUT
    asked = call(Operation.COMPLETIONS, prompt=[1, 2, 3], max_tokens=10)
    assert took(asked)[1].told.amount == asked.body.size * INPUT + 10 * OUTPUT


@pytest.mark.parametrize(
    ("operation", "field"),
    [(Operation.CHAT, "max_completion_tokens"), (Operation.RESPONSES, "max_output_tokens"),
     (Operation.COMPLETIONS, "max_tokens")],
)  # fmt: skip
def test_a_call_without_a_cap_gets_one(operation, field):
    """Its route's; everything else stays as it was."""
    asked = call(operation)
    sent, held = took(asked, default=50)
    assert sent.body.view == asked.body.view | {field: 50}
    assert held.told.amount == asked.body.size * INPUT + 50 * OUTPUT
    assert held.clamped is None


def test_without_a_routes_default_the_models_own_is_sent():
    """As the catalog has it. Where that is the model's longest answer it need not be sent: the model keeps it."""
    asked = call()
    sent, held = took(asked)
    assert sent.body.view["max_completion_tokens"] == 32_768
    assert held.told.amount == asked.body.size * INPUT + 32_768 * OUTPUT
    sent, held = took(asked, model="gpt-4o-mini")
    assert sent.body is asked.body
    assert held.told.amount > 16_384 * 600_000


@pytest.mark.parametrize("value", ["100", 10.0, True, 0, -1, [5]])
@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "n"])
def test_a_bound_that_could_be_read_in_two_ways_is_refused(field, value):
    """We might hold for less than the provider spends."""
    with pytest.raises(BadRequestError, match=field):
        took(call(**{field: value}))


def test_a_bound_that_stands_there_twice_is_refused():
    """Or in a spelling that somebody might take for it."""
    for raw in (b'{"max_tokens": 1, "max_tokens": 9}', b'{"max_tokens": 1, "Max_Tokens": 9}'):
        with pytest.raises(BadRequestError, match=r"stands in the body twice|is spelled"):
            took(Call(id="1", operation=Operation.CHAT, model="m", body=Body(raw), started=0, day="2027-01-15"))


@pytest.mark.parametrize(
    "asked",
    [
        call(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}]),
        call(Operation.RESPONSES, previous_response_id="resp_1", max_output_tokens=5),
        call(Operation.RESPONSES, tools=[{"type": "web_search"}], max_output_tokens=5),
        call(Operation.IMAGES, prompt="a cat"),
    ],
)
def test_what_has_no_bound_is_refused_or_estimated(asked):
    """As the configuration says; an estimate is marked by nothing but its rule."""
    with pytest.raises(UnboundedError, match="may cost at most"):
        took(asked)
    _, held = took(asked, unbounded="estimate")
    assert 0 < held.told.amount < 10**10


def test_a_batch_has_no_bound_either():
    """What its rows ask for is read by the provider."""
    made = Call(
        id="1", operation=Operation.BATCHES, model="", body=Body(b'{"input_file_id": "file-1"}'), started=0,
        day="2027-01-15", address=Address("POST", "/batches"),
    )  # fmt: skip
    with pytest.raises(UnboundedError, match="a batch"):
        took(made, model="")
    assert took(made, model="", unbounded="estimate") == (made, None)


def test_a_model_without_a_price():
    """Nothing is asked of it where a budget holds, unless that is allowed."""
    with pytest.raises(UnpricedError, match="house-model"):
        took(call(max_tokens=5), model="house-model")
    assert took(call(max_tokens=5), model="house-model", unpriced=True)[1] is None


def test_what_costs_nothing_and_what_no_budget_is_for():
    """Neither is held for."""
    assert took(call(Operation.MODERATIONS))[1] is None
    assert took(call(), caps=[])[1] is None


def test_near_the_cap_the_input_is_counted():
    """Ten thousand bytes are two and a half thousand tokens."""
    asked = call(messages=[{"role": "user", "content": "some words " * 1000}], max_completion_tokens=10)
    _, held = took(asked, limit=5000 * INPUT)
    assert held.told.amount < 3000 * INPUT
    assert held.clamped is None
    with pytest.raises(OverBudgetError):
        took(asked, limit=1000 * INPUT)


def test_a_short_budget_may_clamp_the_answer():
    """To what there is money for; both caps where there are two, and never below what makes sense."""
    asked = call(max_tokens=5000, max_completion_tokens=4000)
    left = 100 * INPUT + 500 * OUTPUT
    sent, held = took(asked, limit=left, on_shortage="clamp")
    cap = held.clamped
    assert 500 <= cap <= 520
    assert (sent.body.view["max_tokens"], sent.body.view["max_completion_tokens"]) == (cap, cap)
    assert left - OUTPUT < held.told.amount <= left
    with pytest.raises(OverBudgetError):
        took(asked, limit=LEAST_OUTPUT * OUTPUT, on_shortage="clamp")
    with pytest.raises(OverBudgetError):
        took(asked, limit=left)


def test_the_tightest_cap_decides():
    """Whichever it is."""
    caps = [
        Cap("wide", "total", 5000 * OUTPUT),
        Cap("tight", "total", 300 * OUTPUT),
        Cap("less", "total", 900 * OUTPUT),
    ]
    _, held = took(call(max_tokens=50_000), caps=caps, on_shortage="clamp")
    assert 200 < held.clamped < 300
    assert held.told.caps == (("wide", "total"), ("tight", "total"), ("less", "total"))


@pytest.mark.parametrize(("rule", "share"), [("charge", (1, 1)), ("estimate", (0.001, 0.5)), ("release", (0, 0))])
def test_what_is_charged_if_nobody_knows(rule, share):
    """The worst case, what is likely, or nothing."""
    _, held = took(call(max_tokens=50_000), on_unknown=rule)
    assert share[0] <= held.told.if_unknown / held.told.amount <= share[1]


def test_a_dearer_tier_is_held_for():
    """It may serve, or not."""
    plain, dear = (took(call(max_tokens=100, **tier))[1].told.amount for tier in ({}, {"service_tier": "priority"}))
    assert dear > 1.5 * plain


def test_estimates_follow_what_is_used():
    """Else they would be wrong for ever."""

    async def story():
        clock = VirtualClock()
        holds = Holds(
            lambda _call, _model: [Cap("all", "total", PLENTY)],
            Purses(Bank(), lambda: "me", Tasks().start, clock), Prices(),
            price_list="openai", find=Catalog().find, sure=True, tokens=Tokens(), clock=clock,
            default_output=lambda _name: None, rules=Rules(unbounded="estimate"),
        )  # fmt: skip
        asked = call(Operation.RESPONSES, previous_response_id="resp_1")
        before = (await holds.take(asked, LUNA))[1].told.amount
        for _ in range(50):
            holds.learn(asked, TokenUsage(prompt_tokens=5000, completion_tokens=3000))
        return before, (await holds.take(asked, LUNA))[1].told.amount

    before, after = asyncio.run(story())
    assert after > 4 * before


def test_a_namesake_may_say_more_than_the_model_can():
    """Elsewhere a model's longest answer bounds nothing: what is asked for is held, and a default is sent."""
    asked = call(max_completion_tokens=10**6)
    assert took(asked, sure=False)[1].told.amount == asked.body.size * INPUT + 10**6 * OUTPUT
    sent, _ = took(call(), model="gpt-4o-mini", sure=False)
    assert sent.body.view["max_completion_tokens"] == 16_384


def worst(asked, *, caps=("all",), **rules):
    """What a row of a batch may cost, and the call as it is sent."""

    async def story():
        clock = VirtualClock()
        holds = Holds(
            lambda _call, _model: [Cap(name, "total", PLENTY) for name in caps], Purses(Bank(), str, Tasks().start,
            clock), Prices(), price_list="openai", find=Catalog().find, sure=True, tokens=Tokens(), clock=clock,
            default_output=lambda _name: 50, rules=Rules(**rules),
        )  # fmt: skip
        return holds.worst(asked, LUNA)

    return asyncio.run(story())


def test_a_row_of_a_batch_is_held_for_at_half_the_price():
    """Its tier is certain; a row without a cap gets one, as a call does."""
    asked = call(max_completion_tokens=100)
    sent, caps, amount = worst(asked)
    assert sent is asked
    assert [cap.name for cap in caps] == ["all"]
    assert amount == (asked.body.size * INPUT + 100 * OUTPUT) // 2
    sent, _, amount = worst(call())
    assert sent.body.view["max_completion_tokens"] == 50
    assert amount == (call().body.size * INPUT + 50 * OUTPUT) // 2


def test_a_row_without_a_worst_case_is_refused_where_a_budget_holds():
    """And where none does, nothing is asked and nothing changed."""
    picture = call(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])
    with pytest.raises(UnboundedError):
        worst(picture)
    assert worst(picture, unbounded="estimate")[2] > 0
    assert worst(picture, caps=()) == (picture, (), 0)


def test_what_is_paid_for_already_is_not_held_for():
    """A batch whose rows have their own sums aside."""
    address = Address("POST", "/batches")
    asked = Call(
        id="1", operation=Operation.BATCHES, model="", body=Body(b"{}"), started=0, day="", address=address,
        prepaid=True,
    )  # fmt: skip
    assert took(asked) == (asked, None)
