"""The page of the order: what stands there, and that it is so."""

import pytest

from headgate.core.attempt import Settled
from headgate.core.call import Operation
from headgate.core.errors import HeadgateError, OverloadedError, UnknownModelError, UnpricedError
from headgate.gate import present, stack
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemChance
from headgate.stores.protocols import Query
from headgate.testing import VirtualClock, virtual_time

BUSY = {"kind": "status", "status": 503}


def test_every_layer_says_why_it_stands_there():
    """Name and reason are told, in travel order, as the page's own picture has them."""
    layers = [*stack.ABOVE, *stack.BELOW]
    assert [layer.name for layer in layers] == [
        "outlive", "meter", "names", "admit", "once", "guard", "cache", "own", "recover", "combine", "route",
        "defaults", "fit", "compress", "room", "retry", "breaker", "pace", "look", "leaving", "budget",
    ]  # fmt: skip
    assert all(len(layer.because) > 10 for layer in layers)
    picture = [line.split() for line in (stack.__doc__ or "").splitlines() if line.startswith("     ")]
    drawn = [words[1] for words in picture if "(not built yet)" not in " ".join(words)]
    assert drawn == [*(layer.name for layer in layers), "provider"]


def asked(models, providers, *names, **settings):
    """Ask for models in turn; gives what became of each, the attempts of all, and the gate."""

    async def story():
        given = {"store": "memory://", "providers": providers, "models": models, **settings}
        config = load(None, environment={}, settings=given).config
        found, trails = [], []
        async with await Gate.open(config, clock=VirtualClock(), chance=SystemChance(3)) as gate:
            for name in names:
                raw = b'{"model": "%s", "messages": [{"role": "user", "content": "hello"}]}' % name.encode()
                call = gate.call(Operation.CHAT, raw)
                try:
                    async with await gate(call):
                        found.append("ok")
                except OverloadedError:
                    found.append("overloaded")
                trails.append(call.trail)
            return found, trails, gate.meter.counters

    return virtual_time(story())


def test_a_call_travels_in_that_order():
    """Retry repeats within a target, route goes on to the next, budget books each attempt, meter counts one call."""
    providers = {"p": {"type": "simulator", "faults": [BUSY]}, "q": {"type": "simulator"}}
    targets = [{"provider": "p", "model": "gpt-6-sol"}, {"provider": "q", "model": "gpt-6-luna", "priority": 2}]
    models = {"m": {"targets": targets}}
    found, (trail,), counters = asked(models, providers, "m")
    assert found == ["ok"]
    assert [(one.number, one.provider, one.model) for one in trail] == [
        (1, "p", "gpt-6-sol"), (2, "p", "gpt-6-sol"), (3, "p", "gpt-6-sol"), (4, "q", "gpt-6-luna"),
    ]  # fmt: skip
    assert [one.settled for one in trail] == [Settled.NOT_BILLED] * 3 + [Settled.BILLED]
    assert (counters.calls, counters.attempts, counters.errors) == (1, 4, 0)


@pytest.mark.parametrize(("retries", "attempts"), [(None, 2), (0, 1), (4, 5)])
def test_a_providers_retries_win_over_the_policy(retries, attempts):
    """`max_retries: n` means n + 1 attempts; without it `policies.retry.max_attempts` holds."""
    provider = {"type": "simulator", "faults": [BUSY]} | ({} if retries is None else {"max_retries": retries})

    async def story():
        given = {
            "store": "memory://",
            "providers": {"p": provider},
            "models": {"*": {"targets": [{"provider": "p"}]}},
            "policies": {"retry": {"max_attempts": 2}},
        }
        settings = load(None, environment={}, settings=given).config
        async with await Gate.open(settings, clock=VirtualClock(), chance=SystemChance(3)) as gate:
            call = gate.call(Operation.CHAT, b'{"model": "gpt-6-luna", "messages": [{"role": "user", "content": "a"}]}')
            with pytest.raises(OverloadedError):
                await gate(call)
            return len(call.trail)

    assert virtual_time(story()) == attempts


def test_what_is_learned_belongs_to_a_provider_and_a_model():
    """Two routes to the same model of the same provider share its retry budget, whatever their weights."""
    providers = {"p": {"type": "simulator", "faults": [{**BUSY, "retry_after": 0}], "max_retries": 10}}
    target = {"provider": "p", "model": "gpt-6-luna"}
    models = {
        "a": {"targets": [target]},
        "b": {"targets": [{**target, "weight": 5, "priority": 3}]},
        "c": {"targets": [{**target, "model": "gpt-6-sol"}]},
    }
    found, trails, _ = asked(models, providers, "a", "b", "c", policies={"breaker": {"failures": 100}})
    assert found == ["overloaded"] * 3
    # Ten retries a minute are always allowed: the second route finds none left, another model all of them.
    assert [len(trail) for trail in trails] == [11, 1, 11]


def booked(call, **settings):
    """What a gate with a simulator makes of a call for a model: the reply's headers, or the error; and the ledger."""

    async def story():
        given = {"store": "memory://", "providers": {"p": {"type": "simulator"}}, **settings}
        config = load(None, environment={}, settings=given).config
        async with await Gate.open(config, clock=VirtualClock(), chance=SystemChance(3)) as gate:
            made = gate.call(Operation.CHAT, b'{"model": "%s", "messages": [{"role": "user", "content": "hi"}]}' % call)
            try:
                async with await gate(made) as reply:
                    await reply.read()
                    told = present.reply_headers(made, reply)
            except HeadgateError as error:
                told = error
            return told, [row async for row in gate.rows(Query())]

    return virtual_time(story())


def test_a_retired_model_is_refused_and_booked_as_such():
    """The virtual day is 2027-01-15: gpt-4o is gone since yesterday, and nothing is sent."""
    told, (row,) = booked(b"gpt-4o")
    assert isinstance(told, UnknownModelError)
    assert "'gpt-6-luna'" in told.message
    assert (row.attempt, row.model_requested, row.model, row.status, row.error_type) == (
        0, "gpt-4o", None, 404, "model_not_found",
    )  # fmt: skip


def test_a_successor_answers_and_is_booked_as_such():
    """Header and ledger say what was asked and what served; the price is that of who served."""
    told, (row,) = booked(b"gpt-4o", policies={"on_retired": "successor"})
    assert (told["x-headgate-instead-of"], told["x-headgate-model"]) == ("gpt-4o", "gpt-6-luna")
    assert (row.model_requested, row.model, row.model_served) == ("gpt-4o", "gpt-6-luna", "gpt-6-luna")
    assert row.cost == row.prompt_tokens * 100_000 + row.completion_tokens * 500_000


def test_a_model_that_goes_soon_says_so():
    """On its answers, and not on those of others."""
    told, _ = booked(b"gpt-5.4-nano")
    assert told["x-headgate-retires"] == "2027-04-01"
    told, _ = booked(b"gpt-6-luna")
    assert "x-headgate-retires" not in told


@pytest.mark.parametrize(
    ("unknown", "own", "cost", "table"),
    [
        (None, {}, None, None),
        ("allow", {}, None, None),
        ("estimate", {}, "dear", "estimate: "),
        (None, {"fake": {"input_usd_per_million": 0, "output_usd_per_million": 0}}, 0, "configuration"),
        ("refuse", {"fake": {"input_usd_per_million": 1, "output_usd_per_million": 1}}, "some", "configuration"),
    ],
)
def test_a_model_without_a_price(unknown, own, cost, table):
    """It is booked as unknown, as estimated, or at what the user says; 0 only where somebody said 0."""
    policies = {"budget": {"unknown_price": unknown}} if unknown else {}
    told, (row,) = booked(b"fake", policies=policies, catalog={"models": own})
    assert told["x-headgate-attempts"] == "1"
    assert (row.cost is None, row.price_table is None) == (cost is None, table is None)
    if cost is not None:
        assert row.price_table.startswith(table)
        assert (row.cost > 0) == (cost != 0)
    assert ("x-headgate-cost-usd" in told) == (cost is not None)


def test_a_model_without_a_price_is_refused_where_that_is_wished():
    """Before anything leaves; the ledger has the refusal."""
    told, (row,) = booked(b"fake", policies={"budget": {"unknown_price": "refuse"}})
    assert isinstance(told, UnpricedError)
    assert (row.attempt, row.status, row.error_type) == (0, 403, "unknown_price")


def test_what_fit_drops_does_not_come_back_by_a_default():
    """A default is added where it lacks, and then has to fit; a provider without defaults has no such layer."""
    providers = {"p": {"type": "simulator", "defaults": {"temperature": 0.5, "seed": 1}}, "q": {"type": "simulator"}}
    models = {
        "a": {"targets": [{"provider": "p", "model": "gpt-6-sol"}]},
        "b": {"targets": [{"provider": "q", "model": "gpt-6-luna"}]},
    }

    async def story():
        given = {"store": "memory://", "providers": providers, "models": models}
        config = load(None, environment={}, settings=given).config
        async with await Gate.open(config, clock=VirtualClock(), chance=SystemChance(3)) as gate:
            made = [
                gate.call(
                    Operation.CHAT,
                    b'{"model": "%s", "messages": [{"role": "user", "content": "hi"}]}' % name,
                    unsupported="drop",
                )
                for name in (b"a", b"b")
            ]
            for call in made:
                async with await gate(call):
                    pass
            return [call.attempt.dropped for call in made], gate._stack.targets()

    dropped, targets = virtual_time(story())
    assert dropped == [("temperature",), ()]
    assert ["defaults" in targets[name] for name in (("p", "gpt-6-sol"), ("q", "gpt-6-luna"))] == [True, False]
