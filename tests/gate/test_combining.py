"""Covers gate/combining.py: from the settings of routes to the policy."""

import pytest

from headgate.catalog.abilities import Abilities
from headgate.catalog.models import Catalog, Own
from headgate.catalog.tokens import Tokens
from headgate.core.call import Target
from headgate.core.errors import ConfigError
from headgate.core.together import Combining
from headgate.gate.combining import combine
from headgate.gate.load import load
from headgate.gate.ports import SystemChance, SystemClock
from headgate.gate.tasks import Tasks
from headgate.policies.route import Plan

SCHEMA = frozenset(("json_schema", "streaming"))


def config(**routes):
    """A configuration with routes."""
    models = {name: {"targets": [{"provider": "p", "model": name}], **route} for name, route in routes.items()}
    settings = {"store": "memory://", "providers": {"p": {"type": "simulator"}}, "models": models}
    return load(None, environment={}, settings=settings).config


def policy(config_, *, always=False, own=None):
    """The policy of a configuration."""
    plans = {
        name: Plan(tuple(Target(t.provider, t.model) for t in route.targets), "priority")
        for name, route in config_.models.items()
    }
    return combine(
        config_, always=always, plans=plans, abilities=Abilities(Catalog(own or {}), {}), tokens=Tokens(),
        start=Tasks().start, clock=SystemClock(), chance=SystemChance(),
    )  # fmt: skip


def test_what_is_off_is_not_there():
    """Without a route that asks for it, unless calls may ask themselves."""
    assert policy(config(m={}, n={"combine": False})) is None
    assert policy(config(m={}), always=True)._route("m") is None


@pytest.mark.parametrize(
    ("given", "how"),
    [
        (True, Combining()), ({}, Combining()), ({"items": 5, "seconds": "500ms"}, Combining(items=5, seconds=0.5)),
        ({"inputs": 64}, Combining(inputs=64)),
    ],
)  # fmt: skip
def test_how_a_route_says_it(given, how):
    """`true`, or what differs from the defaults: 10 questions or 2 seconds, 2048 embeddings."""
    found = policy(config(m={"combine": given}, n={}))
    assert found._route("m") == how
    assert found._route("n") is None
    assert found._route("other") is None
    assert policy(config(m={"combine": given}, **{"*": {"combine": {"items": 9}}}))._route("other") == Combining(
        items=9
    )


@pytest.mark.parametrize(
    "wrong", [{"items": 1}, {"items": 51}, {"seconds": -1}, {"inputs": 2049}, {"item": 5}, "yes", 3]
)
def test_what_makes_no_sense_is_refused(wrong):
    """By its name."""
    with pytest.raises(ConfigError, match=r"models\.m\.combine"):
        config(m={"combine": wrong})


def test_models_that_take_no_schema():
    """One target that is known not to is enough: which one answers is not known yet."""
    own = {"m": Own(capabilities=frozenset(("streaming",))), "n": Own(capabilities=SCHEMA)}
    found = policy(config(m={"combine": True}, n={"combine": True}, other={"combine": True}), own=own)
    assert [found._lacks(name) for name in ("m", "n", "other", "unheard-of")] == [True, False, False, False]
