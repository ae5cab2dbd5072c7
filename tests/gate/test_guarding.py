"""Rules in the configuration: how they are spelled, and which are refused."""

import pytest

from headgate.gate.config import Config
from headgate.gate.guarding import guard, senseless
from headgate.gate.problems import dotted
from headgate.policies.guard.guard import Guard


def configured(models=None, **sides):
    """A configuration with rules."""
    models = models if models is not None else {"m": {"targets": [{"provider": "p"}]}}
    return Config.model_validate({"models": models, "policies": {"guard": sides}})


@pytest.mark.parametrize(
    ("side", "rule", "where"),
    [
        ("input", {"kind": "patterns"}, "patterns"),
        ("input", {"kind": "words", "words": [" "]}, "words[0]"),
        ("input", {"kind": "secrets", "words": ["a"]}, "words"),
        ("input", {"kind": "secrets", "buffer": "whole"}, "buffer"),
        ("input", {"kind": "secrets", "model": "m"}, "model"),
        ("input", {"kind": "secrets", "on_failure": "open"}, "on_failure"),
        ("input", {"kind": "secrets", "models": ["q"]}, "models[0]"),
        ("input", {"kind": "patterns", "patterns": ["ok", "(a"]}, "patterns[1]"),
        ("output", {"kind": "patterns", "patterns": ["a+"]}, "patterns[0]"),
        ("output", {"kind": "moderation", "model": "m"}, "buffer"),
        ("input", {"kind": "moderation"}, "model"),
        ("input", {"kind": "moderation", "model": "m", "action": "mask"}, "action"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_name(side, rule, where):
    """Exactly the setting is named."""
    found = [dotted(problem.path) for problem in senseless(configured(**{side: [rule]}))]
    assert found == [f"policies.guard.{side}[0].{where}"]


def test_rules_that_make_sense():
    """None of them is complained of, and they make a policy; without rules there is none."""
    config = configured(
        input=[{"kind": "patterns", "patterns": ["a+"]}, {"kind": "moderation", "model": "m", "models": ["m"]}],
        output=[{"kind": "patterns", "patterns": ["a+"], "buffer": "sentence"}, {"kind": "personal", "action": "mask"}],
    )
    assert list(senseless(config)) == []
    assert isinstance(guard(config), Guard)
    assert guard(configured()) is None
