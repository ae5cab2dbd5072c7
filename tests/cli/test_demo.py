"""`headgate demo`, in process: its calls, its table, its ends. The whole of it is shown end to end."""

import asyncio
import sys
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path

import msgspec
import openai
import pytest
from rich.console import Console

from headgate.cli import demo
from headgate.client.asynchronous import AsyncHeadgate
from headgate.gate.gate import Gate

YAML = Path(str(files("headgate.cli") / "demo.yaml"))


@pytest.fixture
def in_process(monkeypatch):
    """Let the demo's calls reach its gate without a socket."""
    gates = []
    # Enough for two of the bad requests.
    monkeypatch.setattr(demo, "CALLS", 80)

    @asynccontextmanager
    async def running(gate, *, port, grace):
        gates.append((gate, port))
        assert grace == 1
        yield "http://demo"

    def client(**settings):
        assert settings == {"base_url": "http://demo/v1", "api_key": "hg-demo", "max_retries": 0}
        door = AsyncHeadgate(gates[-1][0].config)

        async def ready():
            return gates[-1][0]

        door.exchange.gate = ready
        return sdk(http_client=door.http_client(), **settings)

    sdk = openai.AsyncOpenAI
    monkeypatch.setattr("headgate.server.serve.running", running)
    monkeypatch.setattr("openai.AsyncOpenAI", client)
    return gates


def test_facts_for_scripts(headgate, in_process):
    """One line of data; the ledger's sum is the simulator's bill; the table goes to stderr; any free port will do."""
    done = headgate("demo", "--exit", "--json")
    assert done.code == 0
    facts = done.json
    assert facts["cost_usd"] == facts["bill_usd"] != "0"
    assert (facts["calls"], facts["errors"], facts["cache_hits"]) == (80, 2, 0)
    assert "SIMULATED" in done.said
    assert "the same, to the picodollar" in done.said
    assert "\n80 calls" in done.said
    assert "\n2 calls were bad requests on purpose" in done.said
    assert "OTHER" not in done.said
    assert in_process[0][1] == 0


def test_without_json_there_are_no_data(headgate, in_process):
    """Everything is for people."""
    assert headgate("demo", "--exit", "--port", "4321").out == ""
    assert in_process[0][1] == 4321


@pytest.mark.usefixtures("in_process")
def test_sums_that_differ_are_a_failure(headgate, monkeypatch):
    """If the books were wrong, everybody would see it."""
    monkeypatch.setattr(demo, "half_up", lambda _: 1)
    done = headgate("demo", "--exit")
    assert done.code == 1
    assert "NOT the same" in done.said


def test_it_serves_on_until_somebody_stops_it(headgate, in_process, monkeypatch):
    """Ctrl-C is how it is meant to end: 0. Until then it tells what to try."""
    waits = asyncio.Event.wait

    async def interrupted(event):
        asyncio.current_task().cancel()
        return await waits(event)

    monkeypatch.setattr(asyncio.Event, "wait", interrupted)
    done = headgate("demo")
    assert done.code == 0
    assert "curl http://demo/v1/chat/completions" in done.said
    assert in_process[0][1] == demo.PORT


def test_it_needs_the_sdk(headgate, monkeypatch):
    """An extra; how to get it is told."""
    monkeypatch.setitem(sys.modules, "openai", None)
    done = headgate("demo")
    assert (done.code, done.out) == (2, "")
    assert "hint: pip install 'headgate[demo]'" in done.said


def test_the_calls_are_a_mixture():
    """Chat and Responses, whole and streamed, three models, and a bad request that is refused by the provider."""

    async def story():
        async with AsyncHeadgate(YAML) as door:
            client = openai.AsyncOpenAI(api_key="k", http_client=door.http_client(), max_retries=0)
            for turn in range(12):
                await demo._call(client, turn)
            with pytest.raises(openai.BadRequestError):
                await demo._call(client, 39)
            gate = await door._ready()
            return [row async for row in gate.rows(demo.Query())]

    rows = asyncio.run(story())
    asked = {(row.operation, row.stream, row.model_requested) for row in rows}
    assert len(asked) == 12
    assert {row.status for row in rows} == {200, 400, 503}
    assert {row.provider for row in rows} == {"steady", "shaky"}


def test_the_table_fits_a_narrow_terminal():
    """At 80 columns nothing is broken or cut."""

    async def story():
        async with await Gate.open(demo.load(YAML, environment={}).config) as gate:
            usage = demo.Usage(calls=240, attempts=272, errors=6, prompt_tokens=3084, completion_tokens=16306,
                               cost=10_059_698_300_000)  # fmt: skip
            groups = [
                msgspec.structs.replace(usage, group={"provider": provider, "model": model})
                for provider, model in (("steady", "gpt-5.4-mini"), ("shaky", "gpt-6-sol"), (None, "gpt-6-luna"))
            ]
            return demo._table(gate, usage, groups)

    console = Console(width=80)
    with console.capture() as capture:
        console.print(asyncio.run(story()))
    lines = [line.strip() for line in capture.get().splitlines()]
    assert lines[0] == "0 calls"
    assert [line.partition("  ")[0] for line in lines[5:10]] == [
        "- / gpt-6-luna", "shaky / gpt-6-sol", "steady / gpt-5.4-mini", "", "in all",
    ]  # fmt: skip
    assert lines[9].endswith(" 240       272       6   3,084  16,306  10.0596983")
    assert lines[-1] == "latency p50 0 ms, p95 0 ms; in flight 0"
