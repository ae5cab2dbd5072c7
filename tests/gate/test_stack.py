"""The page of the order: what stands there, and that it is so."""

import pytest

from headgate.core.attempt import Settled
from headgate.core.call import Operation
from headgate.core.errors import OverloadedError
from headgate.gate import stack
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.gate.ports import SystemChance
from headgate.testing import VirtualClock, virtual_time

BUSY = {"kind": "status", "status": 503}


def test_every_layer_says_why_it_stands_there():
    """Name and reason are told, in travel order, as the page's own picture has them."""
    layers = [*stack.ABOVE, *stack.BELOW]
    assert [layer.name for layer in layers] == ["meter", "own", "route", "fit", "room", "retry", "budget"]
    assert all(len(layer.because) > 10 for layer in layers)
    picture = [line.split() for line in (stack.__doc__ or "").splitlines() if line.startswith("     ")]
    drawn = [words[1] for words in picture if "(not built yet)" not in " ".join(words)]
    assert drawn == [*(layer.name for layer in layers), "provider"]


def asked(models, providers, *names):
    """Ask for models in turn; gives what became of each, the attempts of all, and the gate."""

    async def story():
        given = {"store": "memory://", "providers": providers, "models": models}
        settings = load(None, environment={}, settings=given).config
        found, trails = [], []
        async with await Gate.open(settings, clock=VirtualClock(), chance=SystemChance(3)) as gate:
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
    found, trails, _ = asked(models, providers, "a", "b", "c")
    assert found == ["overloaded"] * 3
    # Ten retries a minute are always allowed: the second route finds none left, another model all of them.
    assert [len(trail) for trail in trails] == [11, 1, 11]
