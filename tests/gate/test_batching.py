"""Covers gate/batching.py: who makes a batch, how its rows fit, what they may cost, and what an answer's line says."""

import json

import msgspec
import pytest

from headgate.core.call import Operation, Target
from headgate.core.errors import (
    BadRequestError,
    NoTargetError,
    OverBudgetError,
    TooLongError,
    UnknownModelError,
    UnpricedError,
)
from headgate.gate.batching import Answered
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.stores.batches import BatchRecord, Facts, Fund, State
from headgate.stores.protocols import Query
from headgate.testing import EPOCH, VirtualClock, virtual_time

SIM = Target("sim", "gpt-6-luna")


def settings(**more):
    """A gate's configuration: a local model, a simulator, and names for both."""
    return {
        "store": "memory://",
        "providers": {
            "sim": {"type": "simulator", "defaults": {"seed": 7}, "batch_tokens": 500}, "two": {"type": "simulator"},
        },
        "models": {
            "fast": {"targets": [{"provider": "two", "model": "gpt-6-sol", "priority": 2},
                                 {"provider": "sim", "model": "gpt-6-luna", "priority": 1}]},
            "gpt-6-luna": {"targets": [{"provider": "sim"}]},
        },
        **more,
    }  # fmt: skip


def story(tell, **more):
    """Run a story with a gate."""

    async def run():
        gate = await Gate.open(Config.model_validate(settings(**more)), clock=VirtualClock())
        try:
            return await tell(gate)
        finally:
            await gate.close()

    return virtual_time(run())


def call(gate, operation=Operation.CHAT, model="fast", **fields):
    """A row as a call."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **fields}
    return gate.call(operation, json.dumps(body).encode(), unsupported="drop")


def batch(**facts):
    """A batch that has run."""
    known = Facts(operation="chat", asked="fast", remote="batch_1", remote_began=EPOCH, tags={"team": "a"}, **facts)
    return BatchRecord(
        id="j/0", job="j", place=0, began=EPOCH, mark="mark", state=State.OVER, provider="sim", model="gpt-6-luna",
        tokens=1, facts=known,
    )  # fmt: skip


def answered(name="1:a", status=200, user=None, **usage):
    """What came back for a row."""
    tokens = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, **usage}
    body = {
        "object": "chat.completion", "model": "gpt-6-luna", "usage": tokens,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
    }  # fmt: skip
    if status >= 400:
        body = {"error": {"message": "no", "type": "x", "param": None, "code": "boom"}}
    return Answered(name, status, json.dumps(body).encode(), user)


def test_the_first_target_that_may_have_batches_makes_them():
    """By priority; a name that leads nowhere, and one whose provider has none, are told apart."""

    async def tell(gate):
        batching = gate.batching
        assert batching.target("fast", Operation.CHAT) == SIM
        assert batching.target("gpt-6-luna", Operation.EMBEDDINGS) == SIM
        assert (batching.most_enqueued("sim"), batching.most_enqueued("two")) == (500, None)
        with pytest.raises(UnknownModelError):
            batching.target("nobody", Operation.CHAT)
        with pytest.raises(NoTargetError, match="has a Batch API for responses"):
            batching.target("fast", Operation.RESPONSES)

    story(tell)


def test_where_the_guard_has_rules_there_are_no_batches():
    """Nothing would judge their words."""

    async def tell(gate):
        with pytest.raises(BadRequestError, match="nothing judges the rows of a batch"):
            gate.batching.target("fast", Operation.CHAT)

    story(tell, policies={"guard": {"output": [{"kind": "words", "words": ["x"]}]}})


def test_a_row_is_made_to_fit_as_a_call_is():
    """The target's model, the provider's defaults, without what the model does not take; what cannot fit is refused."""

    async def tell(gate):
        fitted = await gate.batching.fit(call(gate, temperature=0.5, user="ann"), SIM)
        sent = json.loads(fitted.body)
        assert (sent["model"], sent["seed"]) == ("gpt-6-luna", 7)
        assert "temperature" not in sent
        assert (fitted.user, fitted.amount, fitted.caps, fitted.kept_long) == ("ann", 0, (), False)
        assert 0 < fitted.tokens < 30
        with pytest.raises(BadRequestError, match="cannot be streamed"):
            await gate.batching.fit(call(gate, stream=True), SIM)
        with pytest.raises(TooLongError):
            await gate.batching.fit(call(gate, messages=[{"role": "user", "content": "word " * 2_000_000}]), SIM)

    story(tell)


def test_a_row_of_unknown_price_is_refused_where_that_is_wanted():
    """As a call is."""

    async def tell(gate):
        with pytest.raises(UnpricedError, match="what the model 'mystery' costs"):
            await gate.batching.fit(call(gate), Target("sim", "mystery"))

    story(tell, policies={"budget": {"unknown_price": "refuse"}})


def test_a_loan_to_a_batch_is_as_if_done_once_and_under_all_caps_or_none():
    """Of two caps the second is short: the first is whole again."""
    budgets = [
        {"name": name, "scope": "gateway", "limit_usd": limit, "window": "total"}
        for name, limit in (("large", 10), ("small", "0.000001"))
    ]

    async def tell(gate):
        large, small = Fund("large", "total", 5, 400), Fund("small", "total", 5, 400_000)
        await gate.batching.lend("mark", [large, small])
        await gate.batching.lend("mark", [large, small])
        assert {balance.cap.name: balance.lent for balance in await gate.budgets()} == {"large": 400, "small": 400_000}
        with pytest.raises(OverBudgetError, match=r"'small' \(total\) has \$0\.0000006 left of \$0\.000001"):
            await gate.batching.lend("other", [large, Fund("small", "total", 5, 600_001)])
        assert {balance.cap.name: balance.lent for balance in await gate.budgets()} == {"large": 400, "small": 400_000}
        await gate.batching.release("mark")
        assert {balance.lent for balance in await gate.budgets()} == {0}

    story(tell, budgets=budgets)


def test_an_answer_is_a_line_at_the_price_of_a_batch():
    """Whose it is, what it used, half of what it would have cost at once; its call's id tells when its batch began."""

    async def tell(gate):
        line = gate.batching.line(batch(key="web", project="shop"), answered(user="ann"))
        intent, outcome = line.entry.intent, line.entry.outcome
        assert (intent.key, intent.project, intent.user, intent.tags) == ("web", "shop", "ann", {"team": "a"})
        assert (intent.model_requested, intent.model, intent.provider) == ("fast", "gpt-6-luna", "sim")
        assert (intent.time, intent.day, int(intent.call_id[:12], 16)) == (EPOCH, "2027-01-15", EPOCH * 1000)
        assert (outcome.settled, outcome.basis, outcome.service_tier) == ("billed", "reported", "batch")
        assert outcome.cost == (1000 * 100_000 + 100 * 500_000) // 2
        assert line.realtime == 2 * outcome.cost
        assert line.error is None
        assert line.entry.end.attempts == 1

    story(tell)


def test_an_answer_has_one_name_for_ever():
    """Of the same batch and row it is the same; it is booked once."""

    async def tell(gate):
        one, again = (gate.batching.line(batch(), answered()) for _ in range(2))
        other = gate.batching.line(batch(), answered("2:a"))
        elsewhere = gate.batching.line(
            msgspec.structs.replace(batch(), facts=msgspec.structs.replace(batch().facts, remote="b2")), answered()
        )
        names = [line.entry.intent.call_id for line in (one, again, other, elsewhere)]
        assert names[0] == names[1]
        assert len(set(names)) == 3
        assert {len(name) for name in names} == {32}
        await gate.batching.settle([one, other])
        await gate.batching.settle([again, other])
        total, _ = await gate.usage(Query())
        assert (total.calls, total.attempts) == (2, 2)

    story(tell)


def test_an_error_costs_nothing_and_keeps_its_name():
    """Its class and code are those that the same answer has at once."""

    async def tell(gate):
        line = gate.batching.line(batch(), answered(status=500))
        outcome = line.entry.outcome
        assert (outcome.settled, outcome.cost, outcome.status, line.realtime) == ("not_billed", 0, 500, 0)
        assert type(line.error).__name__ == "OverloadedError"
        assert line.entry.end.error_type == outcome.error_type

    story(tell)


def test_an_answer_without_usage_is_not_free():
    """Its price is not known; where a budget holds, it is charged the worst that a row may cost."""

    async def tell(gate):
        bare = answered()._replace(body=b'{"object": "chat.completion", "choices": []}')
        outcome = gate.batching.line(batch(), bare).entry.outcome
        assert (outcome.settled, outcome.cost) == ("billed", None)
        funded = batch(worst=77, funds=(Fund("all", "total", 5, 100),))
        outcome = gate.batching.line(funded, bare).entry.outcome
        assert (outcome.settled, outcome.cost) == ("unknown", 77)
        broken = gate.batching.line(batch(), answered()._replace(body=b"[" * 10_000)).entry.outcome
        assert (broken.settled, broken.cost) == ("billed", None)

    story(tell)


def test_where_the_list_has_no_price_for_batches_it_is_half_of_the_other():
    """At OpenAI, whose Batch API halves every price."""

    async def tell(gate):
        record = msgspec.structs.replace(batch(), model="text-embedding-3-small")
        record = msgspec.structs.replace(record, facts=msgspec.structs.replace(record.facts, operation="embeddings"))
        body = {
            "object": "list",
            "model": "text-embedding-3-small",
            "data": [],
            "usage": {"prompt_tokens": 11, "total_tokens": 11},
        }
        line = gate.batching.line(record, answered()._replace(body=json.dumps(body).encode()))
        assert line.entry.outcome.cost == 11 * 20_000 // 2
        assert line.entry.outcome.price_table.endswith(", half of it")

    story(tell)


def test_an_answer_is_charged_to_the_budgets_of_its_own_row():
    """Those of its end user, and a key's own; what was lent is used up by it."""
    budgets = [{"name": "per-user", "scope": "user", "limit_usd": 1, "window": "total"}]
    funds = tuple(Fund(name, "total", 10**12, 10**9) for name in ("per-user:ann", "per-user:ben", "key:web"))

    async def tell(gate):
        record = batch(users=True, worst=10**9, funds=funds)
        await gate.batching.lend(record.mark, funds[:2])
        line = gate.batching.line(record, answered(user="ann"))
        assert line.entry.intent.held.caps == (("per-user:ann", "total"), ("key:web", "total"))
        await gate.batching.settle([line])
        balances = {balance.cap.name: balance for balance in await gate.budgets()}
        cost = line.entry.outcome.cost
        assert (balances["per-user:ann"].spent, balances["per-user:ann"].lent) == (cost, 10**9 - cost)
        assert (balances["per-user:ben"].spent, balances["per-user:ben"].lent) == (0, 10**9)

    story(tell, budgets=budgets)
