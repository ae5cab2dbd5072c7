"""The checklist of a launch."""

import json
import logging
from pathlib import Path

import pytest

from headgate.cli.production import checklist
from headgate.gate.load import load
from headgate.gate.summary import Summary

ENVIRONMENT = {"ONE_KEY": "sk-one", "TWO_KEY": "sk-two", "ADMIN": "a-long-admin-key", "HOOK": "https://hook.example/x"}
GOOD = """
server: {admin_key: "${ADMIN}"}
providers:
  one: {type: openai, api_key: "${ONE_KEY}", limits: {requests_per_minute: 1000}}
  two: {type: openai, api_key: "${TWO_KEY}", base_url: "https://two.example/v1", limits: {concurrency: 10}}
models:
  fast: {targets: [{provider: one, model: gpt-6-luna}, {provider: two, model: gpt-5.6-luna, priority: 2}],
         cache: true, compress: true, combine: true, strategy: cost}
  "*": {targets: [{provider: one}, {provider: two, priority: 2}]}
policies:
  guard: {input: [{kind: moderation}], output: [{kind: secrets, action: mask}]}
budgets: [{name: all, limit_usd: 100}]
alerts: {webhook: "${HOOK}"}
"""
BAD = """
providers: {one: {type: openai, api_key: sk-one}}
policies: {retry: {max_attempts: 1}}
"""
# What is wrong with the bad one, and the cure as somebody would follow it: added to the file.
CURES = {
    "keys in the environment": {"providers": {"one": {"type": "openai", "api_key": "${ONE_KEY}"}}},
    "limits set": {"providers": {"one": {"type": "openai", "api_key": "x", "limits": {"requests_per_minute": 1000}}}},
    "budget": {"budgets": [{"name": "all", "scope": "gateway", "window": "day", "limit_usd": 100}]},
    "alerts": {"budgets": [{"name": "all", "limit_usd": 100, "alert_at": [0.8, 1.0]}], "alerts": {"webhook": "https://h"}},
    "moderation chain tried": {
        "models": {"*": {"targets": [{"provider": "one"}]}},
        "policies": {"guard": {"input": [{"kind": "moderation"}], "output": [{"kind": "secrets", "action": "mask"}]}},
    },
    "cache": {"policies": {"cache": {"enabled": True}}},
    "backup provider": {
        "providers": {"one": {"type": "openai", "api_key": "x"}, "two": {"type": "simulator"}},
        "models": {"*": {"targets": [{"provider": "one"}, {"provider": "two", "priority": 2}]}},
    },
    "batching": {"models": {"*": {"targets": [{"provider": "one"}], "combine": True}}},
    "cache of a day or more": {"policies": {"cache": {"enabled": True, "ttl": "24h"}}},
    "cheaper models for simple tasks": {"models": {"*": {"targets": [{"provider": "one"}], "strategy": "cost"}}},
    "prompt compression": {"models": {"*": {"targets": [{"provider": "one"}], "compress": True}}},
    "smart retry": {"policies": {"retry": {"max_attempts": 3, "budget": 0.1}}},
}  # fmt: skip


def _judged(loaded, summary=None):
    return {item.name: item for item in checklist(loaded, summary)}


def _load(tmp_path, text):
    (tmp_path / "headgate.yaml").write_text(text)
    return load(tmp_path / "headgate.yaml", environment=ENVIRONMENT)


def test_a_good_set_up(tmp_path):
    """Everything passes; what does not exist yet is not available; without calls there is no data."""
    items = _judged(_load(tmp_path, GOOD))
    states = {name: item.state for name, item in items.items() if item.part != "watching"}
    assert {name for name, state in states.items() if state == "not available"} == {"dashboard", "A/B tests of prompts"}
    assert {state for name, state in states.items()} == {"ok", "not available"}, items
    assert {item.state for item in items.values() if item.part == "watching"} == {"no data"}
    assert not any(item.cure for item in items.values())


def test_a_bad_set_up(tmp_path):
    """Each item that has a cure fails, and says it; what headgate does by itself passes."""
    items = _judged(_load(tmp_path, BAD))
    failed = {name for name, item in items.items() if item.state == "fail"}
    assert failed == set(CURES)
    assert all(items[name].cure for name in failed)
    assert {items[name].state for name in ("breaker tried", "errors handled")} == {"ok"}


def test_a_half_done_set_up(tmp_path):
    """What stands passes, and what is missing is named."""
    text = GOOD.replace(", limits: {concurrency: 10}", "").replace('alerts: {webhook: "${HOOK}"}', "")
    items = _judged(_load(tmp_path, text))
    failed = {name: item.found for name, item in items.items() if item.state == "fail"}
    assert failed == {"limits set": "two: none", "alerts": "only logged"}


@pytest.mark.parametrize("name", CURES)
def test_each_cure_works(name):
    """Whoever follows it passes that item."""
    loaded = load(
        None,
        environment=ENVIRONMENT,
        settings={"providers": {"one": {"type": "openai", "api_key": "x"}}, **CURES[name]},
    )
    assert _judged(loaded)[name].state == "ok"


def test_a_key_in_the_environment_alone():
    """Without a file at all, the variables made the providers."""
    assert _judged(load(None, environment={"OPENAI_API_KEY": "sk-x"}))["keys in the environment"].state == "ok"


@pytest.mark.parametrize(
    ("facts", "failed"),
    [
        ({}, set()),
        ({"succeeded": 990}, {"success rate"}),
        ({"latency_ms": 2500.0}, {"average latency"}),
        ({"hits": 699}, {"cache hit rate"}),
        ({"failures": {"target_resting": 3}}, {"breaker activations"}),
    ],
)
def test_what_is_watched(facts, failed, tmp_path):
    """The targets of C16, judged by a day's calls."""
    well = {"calls": 1000, "succeeded": 1000, "hits": 800, "latency_ms": 900.0, "tokens": 100, "useful_tokens": 99}
    summary = Summary(minutes=1440, status="healthy", cost=5 * 10**12, **{**well, **facts})
    items = _judged(_load(tmp_path, GOOD), summary)
    assert {name for name, item in items.items() if item.state == "fail"} == failed
    assert items["daily cost"].found == "$5 in a day of $100"


def test_the_command(headgate):
    """Passes and failures with their cures, and exit code 1; the rest of the walk comes first; drills log nothing."""
    Path("headgate.yaml").write_text("providers: {p: {type: simulator}}")
    done = headgate("doctor", "--production")
    assert (done.code, done.said) == (1, "")
    lines = done.out.splitlines()
    assert "ok    launch: breaker tried: after 5 failures in 60 s a target rests for 20 s, then comes back" in lines
    at = lines.index("FAIL  launch: budget: none for the whole gateway")
    assert lines[at + 1].startswith("      hint: Set `OPENAI_DAILY_BUDGET_USD`")
    assert "-     watching: success rate: no data: no calls in the last day" in lines
    items = [json.loads(line) for line in headgate("doctor", "--production", "--json").out.splitlines()]
    assert {item["state"] for item in items} == {"ok", "fail", "no data", "not available"}
    assert logging.root.manager.disable == logging.NOTSET
