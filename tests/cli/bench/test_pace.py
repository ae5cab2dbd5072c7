"""The command: its table, its data, its ends."""

import pytest

from headgate.cli.bench import pace
from headgate.cli.bench.judge import Verdict
from headgate.cli.bench.scenarios import scenarios
from headgate.cli.bench.stage import Outcome

GOOD = Verdict(
    shares={"requests_per_minute": 0.991, "tokens_per_minute": 0.2},
    binding="requests_per_minute",
    calls=2000,
    refused=6,
    refused_share=0.003,
    settled_share=0.002,
    peak=9,
)


def outcome(verdict=GOOD, **changes):
    """What a play may give."""
    return Outcome(**{
        "seconds": 601.26, "calls": 2400, "lost": {}, "p50": 1.5, "p95": 2.25, "verdict": verdict, **changes
    })  # fmt: skip


@pytest.fixture
def played(monkeypatch):
    """Plays that take no time, and what was asked of them."""
    asked = []

    async def play(scenario, client, *, seed):
        asked.append((scenario.name, client, seed, scenario.calls))
        return outcome(lost={"RateLimitError": 43} if client == "openai" else {})

    monkeypatch.setattr("headgate.cli.bench.stage.play", play)
    return asked


def test_the_table(headgate, played):
    """Every scenario, with the gate and with the SDK on its own; what is promised is said of the gate alone."""
    done = headgate("bench", "pace", "--seed", "3", "--minutes", "5")
    assert done.code == 0
    names = [one.name for one in scenarios(5)]
    assert [name for name, *_ in played] == [name for name in names for _ in range(2)]
    assert {seed for _, _, seed, _ in played} == {3}
    lines = done.out.splitlines()
    first = next(number for number, line in enumerate(lines) if line.strip().startswith("requests"))
    assert [" ".join(line.split()) for line in lines[first : first + 2]] == [
        "requests 18 99.1% 0.20 0 601 s 1.5 s 2.2 s met",
        "openai 8 99.1% 0.20 43 601 s 1.5 s 2.2 s",
    ]
    assert max(len(line.rstrip()) for line in lines) < 80
    assert "two processes: left out" in done.said


@pytest.mark.usefixtures("played")
def test_data(headgate):
    """One line for a program."""
    done = headgate("bench", "pace", "--json")
    assert (done.json["seed"], done.json["minutes"], len(done.json["lines"])) == (1, 10, 14)
    assert done.json["lines"][0] == {
        "scenario": "requests", "client": "headgate", "workers": 18, "limit": "requests_per_minute", "share": 0.991,
        "refused": 0.003, "settled": 0.002, "calls": 2400, "lost": 0, "errors": {}, "seconds": 601.3, "p50": 1.5,
        "p95": 2.25, "peak": 9, "least_share": 0.97, "most_refused": 0.005, "met": True,
    }  # fmt: skip
    assert done.json["lines"][1]["met"] is None


def test_a_promise_that_is_not_kept(headgate, monkeypatch):
    """The command fails, and says where."""

    async def play(scenario, *_, **__):
        return outcome(lost={"TimeoutError": 1} if scenario.name == "stranger" else {})

    monkeypatch.setattr("headgate.cli.bench.stage.play", play)
    done = headgate("bench", "pace")
    assert (done.code, done.said.splitlines()[-1]) == (1, "Less than is promised: stranger.")
    assert "MISSED" in done.out


def test_without_the_sdk(headgate, monkeypatch, played):
    """Its lines are left out, with a word."""
    monkeypatch.setattr(pace, "find_spec", lambda _: None)
    done = headgate("bench", "pace")
    assert done.code == 0
    assert {client for _, client, _, _ in played} == {"headgate"}
    assert "pip install 'headgate[demo]'" in done.said


@pytest.mark.usefixtures("played")
def test_two_processes(headgate, monkeypatch):
    """Only where a store is named; a single 429 is one too many."""
    asked = []

    async def share_limit(url):
        asked.append(url)
        return outcome()

    monkeypatch.setattr("headgate.cli.bench.processes.share_limit", share_limit)
    monkeypatch.setattr("headgate.cli.bench.processes.reach", share_limit)
    done = headgate("bench", "pace", "--shared", "redis://there", "--json")
    assert (asked, done.code) == (["redis://there"] * 2, 1)
    last = done.json["lines"][-1]
    assert (last["scenario"], last["workers"], last["most_refused"], last["met"]) == ("two processes", 80, 0.0, False)


@pytest.mark.parametrize("shared", ["memory://", "redis://127.0.0.1:1"])
def test_a_store_that_nobody_shares(headgate, played, shared):
    """Told before anything is measured: each process would keep its half, and the promise look kept."""
    done = headgate("bench", "pace", "--shared", shared)
    assert (done.code, done.out, played) == (2, "", [])
    assert shared in done.said


@pytest.mark.parametrize(
    ("share", "settled", "lost", "most", "met"),
    [
        (0.97, 0.0049, 0, 0.005, True),
        (0.9699, 0.0, 0, 0.005, False),
        (1.0, 0.005, 0, 0.005, False),
        (1.0, 0.0, 1, 0.005, False),
        (1.0, 0.0, 0, 0.0, True),
        (1.0, 0.0001, 0, 0.0, False),
    ],
)
def test_what_keeps_a_promise(share, settled, lost, most, met):
    """At least the share, less than so many 429s (none, where none is promised), nothing lost."""
    verdict = Verdict(
        shares={"concurrency": share}, binding="concurrency", calls=1, refused=0, refused_share=1.0,
        settled_share=settled, peak=1,
    )  # fmt: skip
    made = pace.line("s", "headgate", 1, outcome(verdict, lost={"E": lost} if lost else {}))
    assert pace.promised(made, share=0.97, refused=most).met is met
