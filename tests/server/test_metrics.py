"""Covers server/metrics.py: what Prometheus reads, by its own parser."""

import asyncio
import hashlib
from decimal import Decimal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from headgate.core.call import Operation
from headgate.core.errors import HeadgateError
from headgate.server.app import application
from headgate.server.metrics import Metrics
from headgate.testing import VirtualClock, virtual_time

BODY = b'{"model": "%s", "messages": [{"role": "user", "content": "Tell me about 50 tokens."}]}'
BUSY = {"kind": "status", "status": 503, "model": "gpt-6-sol"}
KEYS = {
    "server": {"auth": "keys"},
    "keys": [{"name": "web", "sha256": hashlib.sha256(b"hg-one").hexdigest()}],
}
SOL = {"gpt-6-sol": {"targets": [{"provider": "p"}]}}


def figures(text: str) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels."""
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation for family in families)
    assert len({family.name for family in families}) == len(families)
    samples = [sample for family in families for sample in family.samples]
    labels = ("direction", "provider", "model", "budget")
    found = {(one.name, *(one.labels[name] for name in labels if name in one.labels)): one.value for one in samples}
    assert len(found) == len(samples)
    return found


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
    """Zeros, and a closed breaker for each target that the configuration names."""

    async def story(gate):
        return figures(Metrics(gate).page("")[0].decode())

    assert on_a_gate(simulated_gate, story) == {
        ("headgate_calls_total",): 0,
        ("headgate_errors_total",): 0,
        ("headgate_in_flight",): 0,
        ("headgate_tokens_total", "input"): 0,
        ("headgate_tokens_total", "output"): 0,
        ("headgate_cost_usd_total",): 0,
        ("headgate_breaker_state", "p", "gpt-6-luna"): 0,
        ("headgate_shared_store_up",): 1,
        ("headgate_alerts_total",): 0,
        ("headgate_exceeded_holds_total",): 0,
    }


def test_several_workers_label_their_figures(simulated_gate):
    """Each figure says whose it is, beside its own labels; nothing else is different."""

    async def story(gate):
        return [list(text_string_to_metric_families(Metrics(gate, n).page("")[0].decode())) for n in (None, 2)]

    alone, labelled = ([one for family in page for one in family.samples] for page in on_a_gate(simulated_gate, story))
    assert len(labelled) == 10
    assert [one.labels for one in labelled] == [{**one.labels, "worker": "2"} for one in alone]
    assert [(one.name, one.value) for one in labelled] == [(one.name, one.value) for one in alone]


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
    assert (first["headgate_calls_total",], first["headgate_errors_total",]) == (7, 5)
    assert [figures["headgate_breaker_state", "p", "gpt-6-sol"] for figures in seen] == [2, 1, 0, 0]
    assert {figures["headgate_breaker_state", "p", "gpt-6-luna"] for figures in seen} == {0}
    assert closed["headgate_calls_total",] == 8
    assert (closed["headgate_in_flight",], streaming["headgate_in_flight",]) == (0, 1)
    assert closed["headgate_tokens_total", "output"] > 100
    assert rested["headgate_cost_usd_total",] < closed["headgate_cost_usd_total",]
    assert Decimal(str(closed["headgate_cost_usd_total",])) < bill.usd(), "the stream was charged, too"


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
    assert {name: value for name, value in found.items() if "budget" in name[0]} == {
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
    breakers = {name[1:]: value for name, value in found.items() if name[0] == "headgate_breaker_state"}
    assert breakers == {("p", "gpt-6-luna"): 0, ("p", "other"): 2}


@pytest.mark.parametrize(
    ("accept", "version"),
    [("", "text/plain"), ("text/plain;version=0.0.4", "text/plain"), ("application/openmetrics-text", "openmetrics")],
)
def test_readers_get_the_format_that_they_take(simulated_gate, client, accept, version):
    """As the official client negotiates it."""

    async def story(gate):
        return await client(application(gate, clock=VirtualClock())).get("/metrics", headers=[("accept", accept)])

    got = on_a_gate(simulated_gate, story)
    assert (got.status, version in got.headers["content-type"]) == (200, True)
    assert b"headgate_calls_total 0.0\n" in got.body


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
            return [page["headgate_calls_total",] for page in pages]

    assert on_a_gate(simulated_gate, story) == [1, 0]
