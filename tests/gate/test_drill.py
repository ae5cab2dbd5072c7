"""A drill of the configured policies."""

import pytest

from headgate.gate import drill
from headgate.gate.load import load
from headgate.testing import virtual_time


def _config(**policies):
    settings = {"providers": {"p": {"type": "simulator"}}, "models": {"*": {"targets": [{"provider": "p"}]}}}
    return load(None, environment={}, settings={**settings, "policies": policies}).config


@pytest.mark.parametrize("breaker", [{}, {"failures": 2, "rest": 5, "probes": 3}, {"failures": 50, "window": "5m"}])
def test_the_breaker_rests_and_comes_back(breaker):
    """With whatever settings; the drill says which."""
    found = virtual_time(drill.breaker(_config(breaker=breaker)))
    assert found.good
    assert found.found.startswith(f"after {breaker.get('failures', 5)} failures in ")


def test_a_breaker_that_never_rests_is_found_out(monkeypatch):
    """The drill can fail."""
    monkeypatch.setattr("headgate.policies.breaker.Breaker._open", lambda *_, **__: None)
    assert not virtual_time(drill.breaker(_config())).good


@pytest.mark.parametrize("retry", [{}, {"max_attempts": 1}, {"max_attempts": 4, "max_wait": "1s"}])
def test_every_failure_becomes_its_status(retry):
    """The matrix of G4, under the configured retries."""
    assert virtual_time(drill.errors(_config(retry=retry))).good


def test_a_status_that_is_not_the_one_is_found_out(monkeypatch):
    """The drill can fail, and says how."""
    monkeypatch.setattr(drill, "MATRIX", (({"kind": "status", "status": 503}, 418),))
    found = virtual_time(drill.errors(_config()))
    assert (found.good, found.found) == (False, "{'kind': 'status', 'status': 503} became 502, not 418")


def test_each_rule_of_the_guard_is_tried():
    """Where its words can be known; whatever its action."""
    rules = [
        {"kind": "secrets", "action": "mask"}, {"kind": "personal", "action": "flag"},
        {"kind": "manipulative_language"},
        {"kind": "words", "words": ["Acme Corp"]}, {"kind": "moderation"}, {"kind": "patterns", "patterns": ["x{3}"]},
    ]  # fmt: skip
    found = virtual_time(drill.guard(_config(guard={"input": rules})))
    assert (found.good, found.found) == (True, "5 of 6 rules for input found what they look for")


def test_a_guard_that_refuses_everything_is_found_out():
    """What is harmless has to pass."""
    found = virtual_time(drill.guard(_config(guard={"input": [{"kind": "words", "words": ["weather"]}]})))
    assert (found.good, found.found) == (False, f"{drill.HARMLESS!r} was refused")


def test_a_rule_that_finds_nothing_is_found_out(monkeypatch):
    """By its name."""
    monkeypatch.setitem(drill.SAMPLES, "secrets", "nothing of the kind")
    found = virtual_time(drill.guard(_config(guard={"input": [{"kind": "secrets", "name": "keys"}]})))
    assert (found.good, found.found) == (False, "keys did not find what it looks for")
