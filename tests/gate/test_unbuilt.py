"""The settings that are refused by name."""

import pytest

from headgate.gate.config import Config
from headgate.gate.problems import Places, dotted
from headgate.gate.unbuilt import UNBUILT, unbuilt

TARGETS = [{"provider": "p", "model": "m"}]
HASH = "0" * 64


def refused(data, variables=None):
    """The dotted keys that are refused."""
    places = Places(source="c.yaml", variables=variables or {})
    return [dotted(problem.path) for problem in unbuilt(Config.model_validate(data), places)]


def provider(**settings):
    """A configuration with one provider."""
    return {"providers": {"p": {"type": "openai", **settings}}}


def route(**settings):
    """A configuration with one route."""
    return {"models": {"m": {"targets": TARGETS, **settings}}}


def key(**settings):
    """A configuration with one key."""
    return {"keys": [{"name": "k", "sha256": HASH, **settings}]}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"providers": {"p": {"type": "anthropic"}}}, "providers.p.type"),
    ],
)
def test_a_setting_that_asks_for_what_is_not_built_is_refused_by_name(data, name):
    """Exactly the setting is named, and nothing beside it."""
    assert refused(data) == [name]


def test_values_that_ask_for_nothing_pass():
    """Off is fine; defaults and built settings are too."""
    data = {
        "server": {"admin_key": "", "workers": 2, "stream_open_after": "1s"},
        "store": "memory://",
        "shared": "memory://",
        "providers": {
            "p": {"type": "openai", "max_retries": 1},
            "s": {
                "type": "simulator",
                "limits": {"requests_per_minute": 1, "tokens_per_minute": 1, "concurrency": 1, "spread": False},
            },
        },
        "models": {
            "m": {"targets": TARGETS, "strategy": "weighted", "recovery": "none", "cache": True},
            "default": "m",
        },
        "policies": {
            "on_unsupported": "drop",
            "retry": {"max_attempts": 1},
            "cache": {"enabled": True, "ttl": "1h"},
            "guard": {"input": [], "output": []},
        },
        "catalog": {"models": {}},
        "budgets": [],
        "keys": [{"name": "k", "sha256": HASH, "models": ["m"], "expires": "2027-01-01", "passthrough": []}],
        "alerts": {"webhook": "https://x", "secret": "s"},
        "apps": {"generate": {"model": "m"}},
    }
    assert refused(data) == []
    assert refused({}) == []


def test_a_variable_that_made_a_setting_is_named():
    """Whoever never wrote the setting knows the variable."""
    config = Config.model_validate({"providers": {"p": {"type": "anthropic"}}})
    (problem,) = unbuilt(config, Places(source="environment", variables={("providers", "p", "type"): "T"}))
    assert problem.variable == "T"
    assert problem.text == "is not built yet: providers of this type."


def test_every_line_of_the_list_says_why():
    """A reason stands beside each pattern, and no pattern twice."""
    assert all(line.reason for line in UNBUILT)
    assert len({line.pattern for line in UNBUILT}) == len(UNBUILT)
