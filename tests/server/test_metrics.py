"""Covers server/metrics.py: what Prometheus reads, by its own parser."""

import asyncio
import hashlib
import re
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from headgate.core.call import Operation
from headgate.core.errors import HeadgateError
from headgate.gate.loaded import generation
from headgate.server.app import application
from headgate.server.metrics import _NAMES, Metrics
from headgate.testing import VirtualClock, virtual_time

ROOT = Path(__file__).parents[2]
BODY = b'{"model": "%s", "messages": [{"role": "user", "content": "Tell me about 50 tokens."}]}'
BUSY = {"kind": "status", "status": 503, "model": "gpt-6-sol"}
KEYS = {
    "server": {"auth": "keys"},
    "keys": [{"name": "web", "sha256": hashlib.sha256(b"hg-one").hexdigest()}],
}
SOL = {"gpt-6-sol": {"targets": [{"provider": "p"}]}}


def figures(text: str) -> dict[tuple[str, ...], float]:
    """Every sample of ours by its name and the values of its labels, but for buckets."""
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation for family in families)
    assert len({family.name for family in families}) == len(families)
    samples = [one for family in families for one in family.samples if one.name.startswith("headgate_")]
    plain = [one for one in samples if "le" not in one.labels]
    found = {(one.name, *one.labels.values()): one.value for one in plain}
    assert len(found) == len(plain)
    return found


def some(found: dict[tuple[str, ...], float], *names: str) -> dict[tuple[str, ...], float]:
    """The figures of some metrics."""
    return {name: value for name, value in found.items() if name[0].removeprefix("headgate_") in names}


def test_the_system_s_own_figures_stand_beside_ours(simulated_gate):
    """By the names that they have everywhere, counters as counters."""

    async def story(gate):
        return Metrics(gate).page("")[0].decode()

    families = {one.name: one for one in text_string_to_metric_families(on_a_gate(simulated_gate, story))}
    assert families["process_cpu_seconds"].type == "counter"
    assert families["process_resident_memory_bytes"].samples[0].value > 1_000_000


async def ask(gate, *models: str) -> None:
    """Ask each of them, whatever becomes of it."""
    for model in models:
        try:
            async with await gate(gate.call(Operation.CHAT, BODY % model.encode())) as reply:
                await reply.read()
        except HeadgateError:
            pass


def on_a_gate(simulated_gate, story, **settings):
    """Run a story with a gate."""

    async def whole():
        async with simulated_gate(**settings) as gate:
            return await story(gate)

    return virtual_time(whole())


def test_a_new_gate_tells_of_what_it_is_configured_for(simulated_gate):
    """Zeros for each name and target that the configuration has, and closed breakers."""

    async def story(gate):
        return figures(Metrics(gate).page("")[0].decode()), generation(gate.config)

    found, name = on_a_gate(simulated_gate, story)
    ones = {("headgate_shared_store_up",), ("headgate_store_up",), ("headgate_journal_up",)}
    ones |= {("headgate_info", name, version("headgate"))}
    assert {name for name, value in found.items() if value} == ones
    assert some(found, "calls_total", "breaker_state", "cost_usd_total", "tokens_total") == {
        ("headgate_calls_total", "gpt-6-luna"): 0,
        ("headgate_calls_total", "other"): 0,
        ("headgate_tokens_total", "input", "gpt-6-luna", "p"): 0,
        ("headgate_tokens_total", "output", "gpt-6-luna", "p"): 0,
        ("headgate_cost_usd_total", "gpt-6-luna", "p"): 0,
        ("headgate_breaker_state", "gpt-6-luna", "p"): 0,
    }


def test_every_metric_is_listed():
    """The table of docs/watching.md has them all, with their labels and kinds, and no others."""
    page = (ROOT / "docs" / "watching.md").read_text("utf-8")
    rows = re.findall(r"^\| `headgate_(\w+?)(?:\{([\w,]+)\})?` \| (\w+) \|", page, re.MULTILINE)
    listed = {(name, tuple(labels.split(",")) if labels else (), kind) for name, labels, kind in rows}
    budgets = {(f"budget_{name}_usd", ("budget",), "gauge") for name in ("spent", "held", "limit")}
    ours = {(name + "_total" * (kind == "counter"), labels, kind) for kind, name, _, labels in _NAMES}
    assert listed == ours | budgets | {("worker_up", ("worker",), "gauge")}
    assert len(rows) == len(listed)


def test_a_worker_tells_of_all_of_them(simulated_gate, tmp_path):
    """Each figure says whose it is; those of budgets are of all and stand once."""
    settings = {
        "server": {"workers": 3},
        "shared": "redis://127.0.0.1:1",
        "store": f"sqlite:///{tmp_path}/a.db",
        "journal": {"path": str(tmp_path / "journal")},
        "budgets": [{"name": "day", "limit_usd": 1}],
    }

    async def story():
        async with simulated_gate(**settings) as gate:
            return await pages_of(gate)

    async def pages_of(gate):
        one, two = Metrics(gate, 1), Metrics(gate, 2)
        await gate.alerts.look()
        pages = [list(text_string_to_metric_families(each.page("")[0].decode())) for each in (one, two)]
        return [{(s.name, *sorted(s.labels.items())): s.value for f in page for s in f.samples} for page in pages]

    one, two = asyncio.run(story())
    assert one.keys() == two.keys()
    assert {value for name, value in one.items() if name[0] == "headgate_worker_up"} == {1}
    assert {("headgate_in_flight", ("worker", number)) for number in "12"} <= one.keys()
    assert ("headgate_calls_total", ("model", "gpt-6-luna"), ("worker", "2")) in one
    assert ("headgate_budget_limit_usd", ("budget", "day")) in one
    assert all(dict(name[1:]).get("worker") in {"1", "2"} for name in one if "budget" not in name[0])


def test_it_tells_what_the_gate_has_counted(simulated_gate):
    """The same figures as the simulator's own bill, and the state of each breaker through its life."""
    seen = []

    async def story(gate):
        metrics = Metrics(gate)

        def read():
            return figures(metrics.page("")[0].decode())

        await ask(gate, "gpt-6-luna", "gpt-6-luna", *["gpt-6-sol"] * 5)
        seen.append(read())
        await gate._clock.sleep(20)
        seen.append(read())
        await ask(gate, "gpt-6-sol")
        seen.append(read())
        call = gate.call(Operation.CHAT, BODY[:-1] % b"gpt-6-luna" + b', "stream": true}')
        async with await gate(call):
            seen.append(read())
        return gate.simulators["p"].bill

    faults = [{**BUSY, "times": 5}]
    bill = on_a_gate(
        simulated_gate,
        story,
        providers={"p": {"type": "simulator", "faults": faults, "max_retries": 0}},
        models={**SOL, "gpt-6-luna": {"targets": [{"provider": "p"}]}},
    )
    first, rested, closed, streaming = seen
    assert some(first, "calls_total", "errors_total", "attempts_total", "attempt_errors_total") == {
        ("headgate_calls_total", "gpt-6-luna"): 2,
        ("headgate_calls_total", "gpt-6-sol"): 5,
        ("headgate_calls_total", "other"): 0,
        ("headgate_errors_total", "status_502"): 5,
        ("headgate_attempts_total", "gpt-6-luna", "p", "billed"): 2,
        ("headgate_attempts_total", "gpt-6-luna", "p", "not_billed"): 0,
        ("headgate_attempts_total", "gpt-6-luna", "p", "unknown"): 0,
        ("headgate_attempts_total", "gpt-6-sol", "p", "billed"): 0,
        ("headgate_attempts_total", "gpt-6-sol", "p", "not_billed"): 5,
        ("headgate_attempts_total", "gpt-6-sol", "p", "unknown"): 0,
        ("headgate_attempt_errors_total", "status_503", "gpt-6-sol", "p"): 5,
    }
    assert [figures["headgate_breaker_state", "gpt-6-sol", "p"] for figures in seen] == [2, 1, 0, 0]
    assert [figures["headgate_breaker_rests_total", "gpt-6-sol", "p"] for figures in seen] == [1, 1, 1, 1]
    assert {figures["headgate_breaker_state", "gpt-6-luna", "p"] for figures in seen} == {0}
    assert closed["headgate_calls_total", "gpt-6-sol"] == 6
    assert (closed["headgate_in_flight",], streaming["headgate_in_flight",]) == (0, 1)
    assert closed["headgate_tokens_total", "output", "gpt-6-luna", "p"] > 80
    cost = sum(some(closed, "cost_usd_total").values())
    assert sum(some(rested, "cost_usd_total").values()) < cost
    assert Decimal(str(round(cost, 12))) < bill.usd(), "the stream was charged, too"
    assert closed["headgate_latency_seconds_count", "gpt-6-sol"] == 6
    assert closed["headgate_attempt_seconds_count", "gpt-6-sol", "p"] == 6
    assert closed["headgate_queue_wait_seconds_count", "gpt-6-luna", "p"] == 2


def test_budgets_tell_how_they_stand(simulated_gate):
    """Those that are one sum, as of the last look; those that everybody has would be as many as there are callers."""

    async def story(gate):
        await ask(gate, "gpt-6-luna")
        await asyncio.sleep(11)
        return figures(Metrics(gate).page("")[0].decode()), gate.simulators["p"].bill.usd()

    found, bill = on_a_gate(
        simulated_gate,
        story,
        budgets=[
            {"name": 'a "quoted" day', "limit_usd": "0.25", "alert_at": [0.00001]},
            {"name": "each", "scope": "key", "limit_usd": 1},
        ],
    )
    assert {name: value for name, value in found.items() if "budget_" in name[0]} == {
        ("headgate_budget_limit_usd", 'a "quoted" day'): 0.25,
        ("headgate_budget_spent_usd", 'a "quoted" day'): float(bill),
        ("headgate_budget_held_usd", 'a "quoted" day'): 0,
    }
    assert found["headgate_alerts_total",] == 1


def test_models_that_callers_make_up_are_one(simulated_gate):
    """Three hundred names on a route that takes any: one line, and the worst of them is told."""

    async def story(gate):
        await ask(gate, *(f'gpt-6-luna"}}\\n{number}' for number in range(3)), *["gpt-6-sol"] * 5)
        await ask(gate, *(f"made-up-{number}" for number in range(300)))
        return figures(Metrics(gate).page("")[0].decode())

    providers = {"p": {"type": "simulator", "faults": [BUSY], "max_retries": 0}}
    found = on_a_gate(simulated_gate, story, providers=providers)
    assert some(found, "breaker_state", "calls_total") == {
        ("headgate_breaker_state", "gpt-6-luna", "p"): 0,
        ("headgate_breaker_state", "other", "p"): 2,
        ("headgate_calls_total", "gpt-6-luna"): 0,
        ("headgate_calls_total", "other"): 305,
    }


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [("", "text/plain"), ("text/plain;version=0.0.4", "text/plain"), ("application/openmetrics-text", "openmetrics")],
)
def test_readers_get_the_format_that_they_take(simulated_gate, client, accept, wanted):
    """As the official client negotiates it."""

    async def story(gate):
        return await client(application(gate, clock=VirtualClock())).get("/metrics", headers=[("accept", accept)])

    got = on_a_gate(simulated_gate, story)
    assert (got.status, wanted in got.headers["content-type"]) == (200, True)
    assert b'headgate_calls_total{model="other"} 0.0\n' in got.body
    if wanted == "openmetrics":
        assert len(list(openmetrics.text_string_to_metric_families(got.body.decode()))) > 30


def test_only_those_who_may_call_read_it(simulated_gate, client):
    """401 in the shape of every error for whoever has no key."""

    async def story(gate):
        door = client(application(gate, clock=VirtualClock()))
        return await door.get("/metrics"), await door.get("/metrics", headers=[("authorization", "Bearer hg-one")])

    stranger, caller = on_a_gate(simulated_gate, story, **KEYS)
    assert (stranger.status, stranger.code, stranger.headers["www-authenticate"]) == (401, "invalid_api_key", "Bearer")
    assert stranger.headers["x-request-id"].startswith("req_")
    assert caller.status == 200
    assert figures(caller.body.decode())["headgate_shared_store_up",] == 1


def test_two_gates_do_not_share_a_registry(simulated_gate):
    """Nothing is global: each page tells of its own gate."""

    async def story(gate):
        async with simulated_gate() as other:
            await ask(gate, "gpt-6-luna")
            pages = [figures(Metrics(one).page("")[0].decode()) for one in (gate, other)]
            return [page["headgate_calls_total", "gpt-6-luna"] for page in pages]

    assert on_a_gate(simulated_gate, story) == [1, 0]
