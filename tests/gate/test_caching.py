"""From the settings of the cache to what holds for a route."""

import pytest

from headgate.core.errors import BadRequestError
from headgate.gate import caching
from headgate.gate.config import Config

PROVIDERS = {"p": {"type": "openai", "defaults": {"store": False}}, "q": {"type": "simulator"}}


def rules(models, providers=PROVIDERS, **policies):
    """What holds for routes."""
    return caching.rules(Config.model_validate({"providers": providers, "models": models, "policies": policies}))


def route(*names, **more):
    """A route to some providers."""
    return {"targets": [{"provider": name, "model": "m"} for name in names], **more}


def test_a_route_says_or_the_policy_does():
    """Each setting by itself; `true` and `false` are the mapping with nothing else in it."""
    found = rules(
        {
            "plain": route("p"),
            "on": route("p", cache=True),
            "off": route("p", cache=False),
            "own": route("p", cache={"ttl": "1h"}),
            "wide": route("p", cache={"enabled": False, "scope": "gateway"}),
        },
        cache={"enabled": True, "ttl": 60, "scope": "key"},
    )
    said = {
        name: (found(name).enabled, found(name).ttl, found(name).scope)
        for name in ("plain", "on", "off", "own", "wide")
    }
    assert said == {
        "plain": (True, 60, "key"),
        "on": (True, 60, "key"),
        "off": (False, 60, "key"),
        "own": (True, 3600, "key"),
        "wide": (False, 60, "gateway"),
    }
    assert rules({})("any").enabled is False
    assert rules({"*": route("p", cache=True)})("any").enabled is True
    assert rules({"*": route("p", cache=True), "m": route("p")})("m").enabled is False


def test_a_mark_changes_with_whoever_answers():
    """Other targets, another address, other defaults: other answers; its limits change none."""

    def mark(models, providers=PROVIDERS, **policies):
        return rules(models, providers, **policies)("m").mark

    plain = mark({"m": route("p")})
    assert plain == mark({"m": route("p", cache=True), "other": route("q")})
    assert plain == mark({"m": route("p")}, {**PROVIDERS, "p": {**PROVIDERS["p"], "max_retries": 1}})
    others = [
        mark({"m": route("q")}),
        mark({"m": route("p", "q")}),
        mark({"m": {"targets": [{"provider": "p", "model": "n"}]}}),
        mark({"m": route("p")}, {**PROVIDERS, "p": {"type": "openai"}}),
        mark({"m": route("p")}, {**PROVIDERS, "p": {**PROVIDERS["p"], "base_url": "https://example.org/v1"}}),
        mark({"m": route("p", compress=True)}),
        mark({"m": route("p")}, on_unsupported="drop"),
    ]
    assert len({plain, *others}) == len(others) + 1


def test_the_defaults_of_all_its_providers_count():
    """Whoever of them answers."""
    assert rules({"m": route("p", "q")})("m").defaults == ({"store": False}, {})


def test_what_answers_are_forgotten_by():
    """A model, a tag, or nothing."""
    assert caching.label() is None
    assert caching.label(model="gpt-6-luna") == "model:gpt-6-luna"
    assert caching.label(tag="team=a") == "tag:team=a"
    for wrong in ({"model": "m", "tag": "a=b"}, {"tag": "a"}):
        with pytest.raises(BadRequestError):
            caching.label(**wrong)
