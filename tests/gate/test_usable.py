"""Which providers and routes can be used."""

import pytest

from headgate.gate.config import Config
from headgate.gate.usable import finished, simulated, usable


def ready(**data):
    """A finished configuration."""
    return finished(Config.model_validate(data))


def used(empty=None, **data):
    """The usable part of a configuration, and the warnings."""
    return usable(ready(**data), empty or {})


def targets(config):
    """Each route's targets as tuples."""
    return {
        name: [(target.provider, target.model, target.weight, target.priority) for target in route.targets]
        for name, route in config.models.items()
        if not isinstance(route, str)
    }


SIM = {"type": "simulator"}


def test_addresses_and_the_door_are_spelled_out():
    """A provider without an address asks OpenAI; who may call is decided."""
    config = ready(providers={"p": {"type": "openai"}}, server={"host": "10.0.0.1"})
    assert config.providers["p"].base_url == "https://api.openai.com/v1"
    assert config.server.auth == "keys"


@pytest.mark.parametrize(
    ("provider", "has"),
    [
        ({"type": "openai"}, True),
        ({"type": "openai", "base_url": "https://eu.api.openai.com/v1"}, True),
        ({"type": "openai", "base_url": "https://api.openai.com.evil.example/v1"}, False),
        ({"type": "openai", "base_url": "http://127.0.0.1:8000/v1"}, False),
        ({"type": "openai", "base_url": "http://127.0.0.1:8000/v1", "responses": True}, True),
        ({"type": "openai", "responses": False}, False),
        ({"type": "simulator"}, True),
        ({"type": "simulator", "responses": False}, False),
        ({"type": "local"}, False),
    ],
)
def test_responses_are_expected_of_openai_and_the_simulator(provider, has):
    """Elsewhere only where the configuration says so."""
    assert ready(providers={"p": provider}).providers["p"].responses is has


def test_a_provider_without_its_credential_is_skipped_with_a_warning():
    """Each warning names the provider and what it lacks; no other provider suffers."""
    config, warnings = used(
        {("providers", "ref", "headers", "x-key"): "NAME"},
        providers={
            "none": {"type": "openai"},
            "blank": {"type": "openai", "base_url": "http://h/v1", "api_key": " "},
            "ref": {"type": "openai", "base_url": "http://h/v1", "headers": {"x-key": ""}},
            "own": {"type": "openai", "api_key": "sk-1"},
            "free": {"type": "openai", "base_url": "http://h/v1"},
            "head": {"type": "openai", "headers": {"authorization": "Bearer x"}},
        },
    )
    assert list(config.providers) == ["own", "free", "head"]
    assert warnings == [
        "The provider `none` is skipped: it has no `api_key`; set OPENAI_API_KEY.",
        "The provider `blank` is skipped: its `api_key` is empty.",
        "The provider `ref` is skipped: its `headers` needs NAME, which is empty.",
    ]


def test_routes_lose_skipped_targets_and_go_when_none_is_left():
    """The default goes with the route that it named, even where `*` takes any name."""
    gone = {"provider": "gone", "model": "m"}
    config, warnings = used(
        providers={"gone": {"type": "openai"}, "sim": SIM},
        models={
            "both": {"targets": [gone, {"provider": "sim", "model": "m"}]},
            "lost": {"targets": [gone]},
            "*": {"targets": [{"provider": "sim"}]},
            "default": "lost",
        },
    )
    assert targets(config) == {"both": [("sim", "m", 1, 1)], "*": [("sim", None, 1, 1)]}
    assert "default" not in config.models
    assert warnings[1:] == [
        "The model `lost` is left out: each of its providers is skipped.",
        "There is no default model: `lost` is left out.",
    ]


def test_a_default_that_is_still_answered_stays():
    """By its route, or by `*`."""
    for name in ("m", "other"):
        config, warnings = used(providers={"sim": SIM}, models={"default": name})
        assert config.models["default"] == name
        assert warnings == []


def test_without_routes_any_name_goes_to_the_first_usable_provider():
    """The name is passed on unchanged."""
    config, _ = used(providers={"gone": {"type": "openai"}, "a": SIM, "b": SIM})
    assert targets(config) == {"*": [("a", None, 1, 1)]}


def test_the_short_form_makes_routes():
    """Each provider is a target of the default model and of its own model, by priority and weight."""
    config, _ = used(
        providers={
            "sol": {**SIM, "model": "gpt-6-sol", "weight": 0.7},
            "luna": {**SIM, "model": "gpt-6-luna", "weight": 0.3, "priority": 2},
            "moon": {**SIM, "model": "gpt-6-luna"},
            "plain": SIM,
        }
    )
    sol, luna, moon = ("sol", "gpt-6-sol", 0.7, 1), ("luna", "gpt-6-luna", 0.3, 2), ("moon", "gpt-6-luna", 1, 1)
    assert targets(config) == {
        "gpt-6-sol": [sol],
        "gpt-6-luna": [luna, moon],
        "default": [sol, luna, moon],
        "*": [("sol", None, 1, 1)],
    }


def test_what_is_written_wins_over_the_short_form():
    """A route of the same name and a default that is named stay as they are; with routes there is no `*`."""
    config, _ = used(
        providers={"a": {**SIM, "model": "m"}, "b": {**SIM, "model": "n"}},
        models={"m": {"targets": [{"provider": "b", "model": "x"}]}, "default": "n"},
    )
    assert targets(config) == {"m": [("b", "x", 1, 1)], "n": [("b", "n", 1, 1)]}
    assert config.models["default"] == "n"


def test_the_simulator_replaces_every_provider():
    """Routes keep their names and models; targets that became one are one."""
    config = simulated(
        ready(
            providers={"a": {"type": "openai"}, "b": {"type": "openai", "model": "own"}},
            models={
                "fast": {
                    "targets": [
                        {"provider": "a", "model": "x", "weight": 2},
                        {"provider": "a", "model": "y"},
                        {"provider": "b", "model": "x", "priority": 2},
                    ]
                },
                "default": "fast",
            },
        )
    )
    assert {name: provider.type for name, provider in config.providers.items()} == {"simulator": "simulator"}
    assert config.providers["simulator"].responses is True
    assert targets(config) == {
        "fast": [("simulator", "x", 2, 1), ("simulator", "y", 1, 1)],
        "own": [("simulator", "own", 1, 1)],
    }
    assert config.models["default"] == "fast"


def test_the_simulator_answers_where_nothing_is_configured():
    """Any name goes to it."""
    assert targets(simulated(ready())) == {"*": [("simulator", None, 1, 1)]}
