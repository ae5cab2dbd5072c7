"""Budgets through a whole gate, held against the simulator's own bill.

No cap is exceeded, whatever happens; nothing stays held; and when all is quiet the rest can be spent.
"""

import asyncio
import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.catalog.families import family
from headgate.core.call import ANONYMOUS, Caller, Operation
from headgate.core.errors import HeadgateError, OverBudgetError, UnpricedError
from headgate.core.money import from_usd, to_usd
from headgate.gate import present
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.ports import SystemChance
from headgate.gate.tasks import Tasks
from headgate.stores.money import Cap
from headgate.stores.protocols import Query
from headgate.testing import VirtualClock, virtual_time

LUNA = "gpt-6-luna"


def config(*budgets, faults=(), policy=None, **more):
    """A gate in front of the simulator, with budgets."""
    provider = {
        "type": "simulator", "latency": {"first_token": 0.2, "per_token": 0.01, "jitter": 0.5}, "faults": list(faults),
        "timeout": {"connect": 1, "first_token": 3, "silence": 3, "total": 30},
    }  # fmt: skip
    return Config.model_validate(
        {
            "store": "memory://",
            "providers": {"p": provider},
            "models": {"m": {"targets": [{"provider": "p", "model": LUNA}], "default_max_output": 200}},
            "budgets": [{"name": f"b{number}", **budget} for number, budget in enumerate(budgets)],
            "policies": {"budget": policy or {}},
            **more,
        }
    )


async def gate_of(settings_, seed=1):
    """The gate, open, with its vocabulary loaded: a thread that loads it would not wait for virtual time."""
    gate = await Gate.open(settings_, clock=VirtualClock(), chance=SystemChance(seed=seed))
    gate.tokens._encodings.load(family(LUNA).encoding)
    return gate


def body(words=5, *, stream=False, cap=None):
    """A question."""
    asked = {"model": "m", "messages": [{"role": "user", "content": "word " * words}], "stream": stream}
    return json.dumps(asked | ({"max_completion_tokens": cap} if cap else {})).encode()


async def ask(gate, raw, caller=ANONYMOUS):
    """One call to its end: the answer's headers."""
    call = gate.call(Operation.CHAT, raw, caller=caller)
    async with await gate(call) as reply:
        async for _ in reply:
            pass
        return present.reply_headers(call, reply)


async def ask_until_refused(gate, caller=ANONYMOUS):
    """As often as the budget allows."""
    for _ in range(100):
        await ask(gate, body(), caller)


def bill(gate):
    """What the simulator charges, in picodollars."""
    return from_usd(gate.simulators["p"].bill.usd())


async def spent(gate, name="b0", window="2027-01-15"):
    """What the store says of a cap: spent and lent."""
    await gate._drain.once()
    return (await gate._ledger.spent([Cap(name, window, 1)]))[0]


def test_five_hundred_calls_at_once_against_a_cap_that_fits_a_few():
    """The bill stays within it; when quiet, all is spent until the rest is smaller than the next worst case."""

    async def story():
        # What 37 calls may cost at worst: 103 bytes of input and 200 tokens of output each.
        worst = 103 * 125_000 + 200 * 500_000
        limit = 37 * worst
        async with await gate_of(config({"limit_usd": str(to_usd(limit))})) as gate:
            assert len(body(5)) == 103
            results = await asyncio.gather(*(ask(gate, body(5)) for _ in range(500)), return_exceptions=True)
            refused = [found for found in results if isinstance(found, OverBudgetError)]
            assert len(refused) == 500 - 37
            assert {error.http_status for error in refused} == {429}
            assert 0 < bill(gate) <= limit
            more = 0
            with suppress(OverBudgetError):
                while True:
                    await ask(gate, body(5))
                    more += 1
            assert more > 10
            # Counted, the input is about a third of its bytes: so the last worst case was smaller than the first.
            assert limit - bill(gate) < worst
            assert bill(gate) <= limit
            assert (await spent(gate))[0] == bill(gate)
            await asyncio.sleep(5)
            assert await spent(gate) == (bill(gate), 0)

    virtual_time(story())


def test_a_cap_gets_a_new_window_each_day():
    """At midnight of its time zone; calls that cross it are charged to the day on which they began."""

    async def story():
        berlin = {"limit_usd": "0.0002", "time_zone": "Europe/Berlin"}
        async with await gate_of(config(berlin)) as gate:
            with pytest.raises(OverBudgetError, match="2027-01-15"):
                await ask_until_refused(gate)
            # 08:00 UTC is 09:00 in Berlin.
            await asyncio.sleep(15 * 3600)
            await ask(gate, body())
            assert (await spent(gate, window="2027-01-16"))[0] > 0
            assert sum([(await spent(gate, window=f"2027-01-{day}"))[0] for day in (15, 16)]) == bill(gate)

    virtual_time(story())


def test_each_has_its_own():
    """A budget of a scope without a name is one for each; a named one is for that one."""

    async def story():
        each, one = {"scope": "key", "limit_usd": "0.0002"}, {"scope": "project", "project": "p", "limit_usd": "1"}
        async with await gate_of(config(each, one)) as gate:
            anna, bert = Caller(key="anna", project="p"), Caller(key="bert")
            with pytest.raises(OverBudgetError, match="'b0:anna'"):
                await ask_until_refused(gate, anna)
            await ask(gate, body(), bert)
            await ask(gate, body())
            total = sum([(await spent(gate, f"b0:{name}"))[0] for name in ("anna", "bert")])
            assert 0 < total < bill(gate)
            assert (await spent(gate, "b1"))[0] == (await spent(gate, "b0:anna"))[0]

    virtual_time(story())


def test_a_clamped_answer_says_so():
    """With the cap that it got, as a header; it is shorter, and fits what was left."""

    async def story():
        settings_ = config({"limit_usd": "0.00004"}, policy={"on_shortage": "clamp"})
        async with await gate_of(settings_) as gate:
            told = await ask(gate, body(cap=2000))
            assert 16 <= int(told["x-headgate-clamped"]) < 100
            assert bill(gate) <= from_usd("0.00004")

    virtual_time(story())


def test_what_is_not_priced_is_not_asked_where_a_budget_holds():
    """Unless somebody says that it may: then it counts for nothing, and is listed as unpriced."""

    async def story(policy):
        models = {"m": {"targets": [{"provider": "p", "model": "fake"}], "default_max_output": 200}}
        async with await gate_of(config({"limit_usd": 1}, policy=policy, models=models)) as gate:
            await ask(gate, body())
            return await spent(gate)

    with pytest.raises(UnpricedError):
        virtual_time(story({}))
    assert virtual_time(story({"unknown_price": "allow"}))[0] == 0
    assert virtual_time(story({"unknown_price": "estimate"}))[0] > 0


@pytest.mark.parametrize("rule", ["charge", "estimate", "release"])
def test_an_outcome_that_nobody_knows_is_charged_as_the_rule_says(rule):
    """And the ledger's `unknown_cost` is the same sum."""

    async def story():
        silent = [{"kind": "silence", "delay": 100, "times": 1}]
        retry = {"retry": {"max_attempts": 1}, "budget": {"on_unknown": rule}}
        async with await gate_of(config({"limit_usd": 1}, faults=silent, policies=retry)) as gate:
            with pytest.raises(HeadgateError):
                await ask(gate, body())
            (row,) = [row async for row in gate.rows(Query())]
            total, _ = await gate.usage(Query())
            found = await spent(gate)
            assert (row.settled, row.cost, total.unknown_cost) == ("unknown", found[0], found[0])
            return row.cost / row.held

    share = virtual_time(story())
    assert {"charge": share == 1, "estimate": 0 < share < 1, "release": share == 0}[rule]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["whole", "stream", "leave", "cancel", "wait", "quiet"]),
        st.integers(1, 400),
        st.integers(1, 300),
        st.floats(0.0, 3.0),
    ),
    min_size=1,
    max_size=25,
)
FAULTS = [
    {"kind": "status", "status": 503, "rate": 0.15},
    {"kind": "cut", "after_tokens": 7, "rate": 0.1},
    {"kind": "silence", "rate": 0.05, "delay": 100},
    {"kind": "no_usage", "rate": 0.1},
    {"kind": "reset", "rate": 0.05},
]


class Life:
    """Calls of every kind, some of them at the same time."""

    def __init__(self, gate):
        self.gate = gate
        self.tasks = Tasks()
        self.running = []

    async def one(self, what, words, cap, after):
        """One step of it."""
        if what == "wait":
            await asyncio.sleep(after * 20)
        elif what == "quiet":
            await asyncio.gather(*self.running)
            await asyncio.sleep(3)
        else:
            raw = body(words, stream=what != "whole", cap=cap)
            self.running.append(self.tasks.start(self.call(what, raw, after), what))
            await asyncio.sleep(0.05)

    async def call(self, what, raw, after):
        """A call that ends by itself, is left in mid-stream, or is cancelled."""
        with suppress(HeadgateError, TimeoutError):
            if what == "cancel":
                await asyncio.wait_for(ask(self.gate, raw), after)
            elif what == "leave":
                async with await self.gate(self.gate.call(Operation.CHAT, raw)) as reply:
                    for _ in range(3):
                        await anext(reply, None)
            else:
                await ask(self.gate, raw)


@settings(max_examples=20, deadline=None)
@given(STEPS, st.sampled_from(["0.0003", "0.001", "0.01"]), st.integers(0, 10**6))
def test_whatever_happens_the_cap_holds(steps, limit, seed):
    """Calls, retries, cancellations, cut streams, unknown outcomes: spent + held never exceeds the cap.

    And the provider's own bill does not either; when quiet, nothing is held.
    """

    async def story():
        cap = from_usd(limit)
        async with await gate_of(config({"limit_usd": limit}, faults=FAULTS), seed) as gate:
            life = Life(gate)
            for step in steps:
                await life.one(*step)
                assert sum(await spent(gate)) <= cap
            await life.one("quiet", 0, 0, 0.0)
            await asyncio.sleep(3)
            booked, lent = await spent(gate)
            rows = [row async for row in gate.rows(Query())]
            assert lent == 0
            assert booked == sum(row.cost or 0 for row in rows) <= cap
            # What was cut is counted by us: the provider may have charged more for it, but never more than was held.
            assert bill(gate) <= sum((row.held or 0) if row.basis == "counted" else (row.cost or 0) for row in rows)
            assert all(row.cost <= row.held for row in rows if row.held is not None)

    virtual_time(story())
