"""One scrape of either of two workers says what the books say, after calls of all kinds; no name makes it grow."""

import asyncio
import json
import re
from collections import Counter, defaultdict

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from headgate.core.counts import CODES

PICO = 10**12
HOSTILE = ('evil"} 1\n', "a\\\\b", '{le="0.1"}', "gpt-6-luna ", "é" * 60, "x" * 200, "#", "other", "*")
ATTEMPTS = """
SELECT provider, model, settled, count(*) AS n, sum(prompt_tokens) AS input, sum(completion_tokens) AS output,
  sum(CASE WHEN settled <> 'unknown' THEN cost ELSE 0 END) AS cost
FROM attempts WHERE attempt > 0 GROUP BY 1, 2, 3
"""
CALLS = """
SELECT DISTINCT call_id, model_requested, call_error_type AS error_type, cache, call_first_token_ms AS first
FROM attempts WHERE cache IS NOT NULL
"""
FAULTS = (
    {"kind": "status", "status": 503, "rate": 0.05},
    {"kind": "reset", "rate": 0.03},
    {"kind": "cut", "after_tokens": 2, "rate": 0.05},
    {"kind": "cut", "after_tokens": 0, "rate": 0.03},
    {"kind": "no_usage", "rate": 0.03},
)
"""A bad day upstream, without refusals for speed: pace would slow everything down."""
Samples = dict[str, dict[tuple[str, ...], float]]


@pytest.fixture(autouse=True)
def _shared(stage, valkey):
    """Two workers, a cache, a rule that refuses, and a route that takes any name."""
    route = {"targets": [{"provider": "up"}]}
    stage.settings |= {
        "server": {"workers": 2, "shutdown_grace": 10},
        "shared": valkey.url,
        "models": {"gpt-6-luna": {**route, "cache": True}, "gpt-5.4-mini": route, "gpt-4o-mini": route, "*": route},
        "policies": {
            "retry": {"max_attempts": 2},
            "breaker": {"failures": 20},
            "guard": {"input": [{"kind": "words", "words": ["about 7 words"], "name": "seven"}]},
        },
    }


async def scrape(port: int, accept: str = "") -> str:
    """The page, by whichever worker gets the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: {accept}\r\nconnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 200"), head
    return body.decode()


def summed(page: str) -> Samples:
    """Samples by name and labels but `worker`, whose figures are added up."""
    found: Samples = defaultdict(Counter)
    for family in text_string_to_metric_families(page):
        for one in family.samples:
            labels = tuple(value for name, value in one.labels.items() if name != "worker")
            found[one.name][labels] += one.value
    return found


def series(page: str) -> frozenset[str]:
    """What is told of, but for errors: one of a kind may be met for the first time."""
    return frozenset(line.rpartition(" ")[0] for line in page.splitlines() if "_errors_total{" not in line)


async def hostile(port: int, times: int) -> None:
    """Ask for models that nobody has named, with tags and users of the same kind."""
    for number in range(times):
        name = HOSTILE[number % len(HOSTILE)] + (str(number) if number % 2 else "")
        body = json.dumps({"model": name, "user": name, "messages": [{"role": "user", "content": "2 words"}]}).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
        tags = f"x-headgate-tags: t{number}=v{number}\r\n"
        kind = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write((head + tags + kind).encode() + body)
        await reader.read()
        writer.close()


def books(stage) -> Samples:
    """What the books say, in the words of the page. What they have no name for is `other`."""
    found: Samples = defaultdict(Counter)
    known = {"gpt-6-luna", "gpt-5.4-mini", "gpt-4o-mini"}
    for row in stage.read(ATTEMPTS):
        target = (row["model"] if row["model"] in known else "other", row["provider"])
        found["headgate_attempts_total"][*target, row["settled"]] += row["n"]
        found["headgate_tokens_total"]["input", *target] += row["input"]
        found["headgate_tokens_total"]["output", *target] += row["output"]
        found["headgate_cost_usd_total"][target] += row["cost"] or 0
        found["headgate_attempt_seconds_count"][target] += row["n"]
        found["headgate_queue_wait_seconds_count"][target] += row["n"]
    for row in stage.read(CALLS):
        model = (row["model_requested"] if row["model_requested"] in known else "other",)
        found["headgate_calls_total"][model] += 1
        found["headgate_latency_seconds_count"][model] += 1
        found["headgate_first_token_seconds_count"][model] += row["first"] is not None
        found["headgate_errors_total"]["in all",] += row["error_type"] is not None
        if row["error_type"] in {"cancelled", "blocked", "stream_interrupted"}:
            found["headgate_errors_total"][row["error_type"],] += 1
        if row["cache"] != "off":
            found["headgate_cache_total"][row["cache"],] += 1
        found["headgate_guard_verdicts_total"]["block", "seven", "input"] += row["error_type"] == "blocked"
    return found


def differences(page: Samples, ledger: Samples) -> list[str]:
    """Where the page says something else than the books."""
    page["headgate_errors_total"]["in all",] = sum(page["headgate_errors_total"].values())
    wrong = []
    for name, figures in ledger.items():
        for labels, figure in figures.items():
            told = round(page[name][labels] * PICO) if name == "headgate_cost_usd_total" else page[name][labels]
            if abs(told - figure) > figure / 10**14:
                wrong.append(f"{name}{labels}: {told} on the page, {figure} on the books")
        if name != "headgate_errors_total" and sum(page[name].values()) and set(page[name]) - set(figures):
            extra = {labels: page[name][labels] for labels in set(page[name]) - set(figures) if page[name][labels]}
            wrong += [f"{name}{labels}: {value} on the page alone" for labels, value in extra.items()]
    return wrong


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param(2000, marks=pytest.mark.e2e),
        pytest.param(20_000, marks=[pytest.mark.chaos, pytest.mark.timeout(600)]),
    ],
)
def test_the_page_says_what_the_books_say(stage, callers, free_port, until, calls):
    """Whole, streamed, failing, left, refused, cached; asked of either worker; and hostile names add no line."""

    async def story():
        async with stage:
            await stage.simulate(FAULTS, first_token=0.002, per_token=0.0002)
            gateway = await stage.serve(free_port())
            await gateway.ready()
            async with callers(31, [gateway.port], many=64, heavy=0.0) as crowd:
                await until(lambda: len(crowd.heard) >= calls - 200, f"{calls} calls", 500)
            await hostile(gateway.port, 100)
            # The figures of the other worker are up to a second old.
            await asyncio.sleep(2.5)
            before = series(await scrape(gateway.port))
            await hostile(gateway.port, 100)
            await asyncio.sleep(2.5)
            for _ in range(20):
                pages = [await scrape(gateway.port) for _ in range(3)]
                booked = books(stage)
                wrong = [differences(summed(page), booked) for page in pages]
                if not any(wrong):
                    break
                # The last calls that were left may still end.
                await asyncio.sleep(1)
            assert not any(wrong), wrong
            asked = {re.search(r"^headgate_info\{.*$", page, re.MULTILINE)[0] for page in pages}
            assert len(asked) == 1
            other = await scrape(gateway.port, "application/openmetrics-text; version=1.0.0")
            assert list(openmetrics.text_string_to_metric_families(other))
            assert {*map(series, pages)} == {before}, "hostile names added lines"
            found = summed(pages[0])
            await gateway.stop()
            assert stage.journals() == []
            return found, len(crowd.heard)

    found, heard = asyncio.run(story())
    assert heard >= calls - 200
    assert found["headgate_worker_up"] == {(): 2}
    assert sum(found["headgate_calls_total"].values()) >= calls
    kinds = found["headgate_errors_total"]
    assert min(kinds["cancelled",], kinds["blocked",], kinds["stream_interrupted",]) > calls / 500
    assert min(found["headgate_cache_total"][result,] for result in ("hit", "miss")) > calls / 500
    assert found["headgate_calls_total"]["other",] == 200
    assert all(code in {*CODES, "other"} or re.fullmatch(r"status_[45]\d\d", code) for (code,) in kinds)
