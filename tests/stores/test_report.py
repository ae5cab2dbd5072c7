"""Covers stores/report.py: the shapes that scripts rely on, name by name."""

import json

from headgate.core.attempt import Basis, Settled
from headgate.stores.balance import Balance
from headgate.stores.money import Cap
from headgate.stores.protocols import Query, Usage
from headgate.stores.records import AttemptRow
from headgate.stores.report import budget_json, iso, row_json, usage_json


def test_moments_are_iso_8601_in_utc():
    """With milliseconds, and rounded as clocks are."""
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(1_800_000_000.25) == "2027-01-15T08:00:00.250Z"
    assert iso(None) is None


def test_the_shape_of_usage():
    """Exactly the promised names; money is a plain decimal string, also where it is tiny or huge."""
    total = Usage(
        calls=3, attempts=4, errors=1, prompt_tokens=10, completion_tokens=5, cached_tokens=2, cost=1,
        unknown_attempts=1, unknown_cost=2_500_000_000_000, unpriced_attempts=1, cache_hits=1,
        saved_tokens=7, cache_saved=3_000_000_000_000,
    )  # fmt: skip
    group = Usage(group={"model": "m", "tag:team": None}, calls=1, cost=10**20)
    told = usage_json(Query(since=0, until=86400, by=("model", "tag:team")), total, [group])
    assert json.loads(json.dumps(told)) == {
        "from": "1970-01-01T00:00:00.000Z",
        "to": "1970-01-02T00:00:00.000Z",
        "calls": 3,
        "attempts": 4,
        "errors": 1,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cached_tokens": 2,
        "cost_usd": "0.000000000001",
        "unknown_attempts": 1,
        "unknown_cost_usd": "2.5",
        "unpriced_attempts": 1,
        "cache_hits": 1,
        "saved_tokens": 7,
        "cache_saved_usd": "3",
        "by": [
            {
                "model": "m",
                "tag:team": None,
                "calls": 1,
                "attempts": 0,
                "errors": 0,
                "prompt_tokens": 0,
                "completion_tokens": 0,
                "cached_tokens": 0,
                "cost_usd": "100000000",
                "unknown_attempts": 0,
                "unknown_cost_usd": "0",
                "unpriced_attempts": 0,
                "cache_hits": 0,
                "saved_tokens": 0,
                "cache_saved_usd": "0",
            }
        ],
    }
    assert usage_json(Query(), Usage(), [])["from"] is None


def test_the_shape_of_a_row():
    """Exactly the promised names; a cost that is not known is null, and 0 is the text `0`."""
    row = AttemptRow(
        call_id="abc", attempt=1, day="1970-01-01", time=1.5, operation="chat", model_requested="fast", stream=True,
        key="web", project="team-a", user="u", tags={"team": "a"}, provider="openai", model="gpt-6-luna",
        dropped=("top_p",), model_served="gpt-6-luna-1", service_tier="default", settled=Settled.BILLED,
        basis=Basis.REPORTED,
        prompt_tokens=1, completion_tokens=2, cached_tokens=3, cache_write_tokens=4, reasoning_tokens=5, saved_tokens=6,
        cost=1_234_500_000, price_table="genai-prices 0.2.3", status=200, latency_ms=1.5, first_token_ms=0.5,
        cache="miss", held=5_000_000, budgets=(("daily", "2027-01-15"),), resolved_by="anna",
    )  # fmt: skip
    assert json.loads(json.dumps(row_json(row))) == {
        "call_id": "abc",
        "attempt": 1,
        "request_id": "req_abc",
        "time": "1970-01-01T00:00:01.500Z",
        "key": "web",
        "project": "team-a",
        "provider": "openai",
        "model": "gpt-6-luna",
        "dropped": ["top_p"],
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "cached_tokens": 3,
        "cache_write_tokens": 4,
        "reasoning_tokens": 5,
        "saved_tokens": 6,
        "cost_usd": "0.0012345",
        "settled": "billed",
        "basis": "reported",
        "operation": "chat",
        "model_requested": "fast",
        "model_served": "gpt-6-luna-1",
        "user": "u",
        "service_tier": "default",
        "price_table": "genai-prices 0.2.3",
        "error_type": None,
        "status": 200,
        "stream": True,
        "cache": "miss",
        "cache_saved_usd": "0",
        "latency_ms": 1.5,
        "first_token_ms": 0.5,
        "tags": {"team": "a"},
        "held_usd": "0.000005",
        "budgets": [{"name": "daily", "window": "2027-01-15"}],
        "resolved_by": "anna",
        "parent": None,
        "guard": [],
    }
    refused = AttemptRow(
        call_id="r", attempt=0, day="1970-01-01", time=0, operation="chat", model_requested="m", stream=False, key=None,
        project=None, user=None, tags={}, provider=None, model=None, settled=Settled.UNKNOWN,
    )  # fmt: skip
    assert row_json(refused)["cost_usd"] is None
    assert row_json(refused)["basis"] is None


def test_the_shape_of_a_budget():
    """Money as decimal strings, and who has borrowed."""
    cap = Cap("daily", "2027-01-15", 3 * 10**12, (0.5, 0.8))
    assert budget_json(Balance(cap=cap, spent=10**12, loans={"b": 5, "a": 10**11})) == {
        "name": "daily",
        "window": "2027-01-15",
        "limit_usd": "3",
        "spent_usd": "1",
        "lent_usd": "0.100000000005",
        "left_usd": "1.899999999995",
        "share": 0.333333,
        "alert_at": [0.5, 0.8],
        "loans": [{"owner": "a", "amount_usd": "0.1"}, {"owner": "b", "amount_usd": "0.000000000005"}],
    }
