"""`headgate usage`."""

import asyncio
import json
from pathlib import Path

import pytest

from headgate.cli import books as module
from headgate.core.call import Operation
from headgate.core.errors import ConfigError
from headgate.gate.gate import Gate
from headgate.gate.load import load
from headgate.stores.protocols import Usage


@pytest.fixture
def asked(books, headgate):  # noqa: ARG001  a fixture cannot use `usefixtures`
    """Books of five questions: two were answered, one failed, one was not understood, and one was cut."""
    config = load(Path("headgate.yaml"), environment={}).config

    async def story():
        async with await Gate.open(config) as gate:
            for model in ("gpt-6-luna", "gpt-6-luna", "broken", "strange", "cutting"):
                body = {"model": model, "stream": model == "cutting", "messages": [{"role": "user", "content": "hi"}]}
                call = gate.call(Operation.CHAT, json.dumps(body).encode(), tags={"team": f"of {model}"})
                try:
                    async with await gate(call) as reply:
                        async for _ in reply:
                            pass
                except Exception:  # noqa: BLE001, S110  some of them fail: that is what the books are about
                    pass

    asyncio.run(story())
    return headgate


def test_sums_for_scripts(asked):
    """The whole, and each group; money as decimal strings."""
    done = asked("usage", "--json", "--by", "model")
    assert (done.code, done.said) == (0, "")
    facts = done.json
    assert (facts["calls"], facts["attempts"], facts["errors"], facts["unknown_attempts"]) == (5, 5, 3, 1)
    assert {group["model"]: group["calls"] for group in facts["by"]} == {"gpt-6-luna": 4, "[/b]\x1b[31mred": 1}


def test_sums_for_people(asked):
    """A table whose last line is the whole; what is not known is told beside it."""
    done = asked("usage", "--by", "model", "--by", "provider")
    assert done.code == 0
    lines = [line.split("  ") for line in done.out.splitlines()]
    assert done.said == "1 attempt ended in a way that nobody knows, and may have cost something.\n"
    heads = done.out.splitlines()[2].split()
    assert heads[-7:] == ["calls", "attempts", "errors", "in", "out", "cost,", "USD", "unknown"][-7:]
    assert [line[0].strip() for line in lines[4:-2]] == [
        "gpt-6-luna / p", "gpt-6-luna / cutting", "[/b]\\x1b[31mred / p", "gpt-6-luna / broken", "",
    ]  # fmt: skip
    total = done.out.splitlines()[-2].split()
    assert total[:5] == ["in", "all", "5", "5", "3"]
    assert total[-1] == "1"


def test_a_whole_without_groups(asked):
    """One line; columns that would hold nothing but zeros are left out."""
    done = asked("usage", "--where", "model=gpt-6-luna", "--where", "provider=p")
    lines = done.out.splitlines()
    assert lines[2].split() == ["calls", "attempts", "errors", "in", "out", "cost,", "USD"]
    assert lines[4].split()[:3] == ["2", "2", "0"]
    assert done.said == ""


def test_conditions(asked):
    """Exact matches, tags among them."""
    assert asked("usage", "--json", "--where", "tag:team=of broken").json["calls"] == 1
    assert asked("usage", "--json", "--where", "model=none").json["calls"] == 0


def test_times(asked):
    """From when, and until when."""
    assert asked("usage", "--json", "--since", "1h").json["calls"] == 5
    facts = asked("usage", "--json", "--since", "2020-01-01", "--until", "2020-01-02T12:00+02:00").json
    assert (facts["from"], facts["to"]) == ("2020-01-01T00:00:00.000Z", "2020-01-02T10:00:00.000Z")
    assert facts["calls"] == 0


def test_rows_for_scripts(asked):
    """One object per attempt, oldest first."""
    rows = [json.loads(line) for line in asked("usage", "--rows", "--json").out.splitlines()]
    assert [row["settled"] for row in rows] == ["billed", "billed", "unknown", "not_billed", "billed"]
    assert [row["attempt"] for row in rows] == [1] * 5
    assert rows[3]["model"] == "[/b]\x1b[31mred"


def test_rows_for_people(asked):
    """One line per attempt; a strange name gives no orders."""
    lines = asked("usage", "--rows").out.splitlines()
    assert len(lines) == 5
    assert lines[0].endswith(" billed")
    assert "#1 p/gpt-6-luna " in lines[0]
    assert lines[2].endswith(" 0+0 tokens cost unknown unknown upstream_unreachable")
    assert "p/[/b]\\x1b[31mred 0+0 tokens $0 not_billed " in lines[3]


def test_a_call_that_never_left_has_a_row(asked):
    """It names the model that was asked for."""
    assert asked("ask", "-m", "nowhere", "hi").code == 2
    assert "#0 -/nowhere 0+0 tokens $0 not_billed model_not_found" in asked("usage", "--rows").out


def test_a_row_says_that_its_answer_was_kept_and_what_that_saved(headgate, tmp_path):
    """Else it looks like a call that nobody answered."""
    models = {"kept": {"targets": [{"provider": "p", "model": "gpt-6-luna"}], "cache": True}}
    config = {
        "store": "sqlite:///books.db",
        "journal": {"path": "journal"},
        "providers": {"p": {"type": "simulator"}},
        "models": models,
    }
    (tmp_path / "headgate.yaml").write_text(json.dumps(config))
    for _ in range(2):
        assert headgate("ask", "-m", "kept", "hi").code == 0
    asked, hit = headgate("usage", "--rows").out.splitlines()
    cost = asked.removesuffix(" billed").rpartition("$")[2]
    assert float(cost) > 0
    assert hit.endswith(f" -/kept 0+0 tokens $0 not_billed hit, saved ${cost}")


def test_books_need_nobody_to_ask(asked, tmp_path):
    """Neither a provider that can be used nor its certificates: only the store and the journal are looked at."""
    config = {
        "store": "sqlite:///books.db",
        "journal": {"path": "journal"},
        "providers": {"p": {"type": "openai", "api_key": "${NO_KEY}", "ca_bundle": "/nowhere.pem"}},
    }
    (tmp_path / "other.yaml").write_text(json.dumps(config))
    done = asked("usage", "--json", "--config", "other.yaml")
    assert done.json["calls"] == 5


def test_nothing_is_booked_yet(headgate, tmp_path):
    """To ask makes no files; the sums are zero, and why is told."""
    done = headgate("usage", "--json")
    assert (done.code, done.json["calls"]) == (0, 0)
    assert done.said == "Nothing is booked yet: there are neither 'headgate.db' nor 'headgate-journal'.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_store_in_memory_keeps_nothing(headgate):
    """There is nothing to show, and the cure is told."""
    done = headgate("usage", "--config", _written("memory.yaml", "store: memory://\n"))
    assert (done.code, done.out) == (2, "")
    assert (
        done.said == "error: The store is in memory: nothing is kept.\n\nhint: Set `store: sqlite:///./headgate.db`.\n"
    )


def test_a_store_that_cannot_be_read(headgate):
    """It is named."""
    Path("books.db").write_bytes(b"not a database" * 100)
    done = headgate("usage", "--config", _written("bad.yaml", "store: sqlite:///books.db\n"))
    assert done.code == 2
    assert "/books.db' cannot be used: file is not a database." in done.said


def _written(name, text):
    Path(name).write_text(text)
    return name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since", "yesterday"], "--since 'yesterday' is neither a duration nor a date."),
        (["--since", "2026"], "--since '2026' is neither a duration nor a date."),
        (["--until", "2026-13-01"], "--until '2026-13-01' is neither a duration nor a date."),
        (["--since", "2026-01-02", "--until", "2026-01-01"], "--until is not later than --since."),
        (["--where", "model"], "--where 'model' is no condition."),
        (["--where", "colour=red"], "--where 'colour=red' is no condition."),
        (["--where", "model=a", "--where", "model=b"], "--where names model twice."),
        (["--by", "colour"], "Usage has no dimension 'colour'."),
    ],
)
def test_wrong_use(headgate, arguments, said):
    """What is wrong, with its value, and the cure; 2."""
    done = headgate("usage", *arguments)
    assert (done.code, done.out) == (2, "")
    assert f"error: {said}\n\nhint: " in done.said


def test_every_figure_has_its_column():
    """Cached tokens and unpriced attempts are told where there are any."""
    usage = Usage(
        calls=1234, attempts=5678, errors=1, prompt_tokens=10_000, completion_tokens=2, cached_tokens=3, cost=5,
        unknown_attempts=1000, saved_tokens=4,
    )  # fmt: skip
    columns = (
        "calls",
        "attempts",
        "errors",
        "tokens\nin",
        "of it\ncached",
        "tokens\nsaved",
        "tokens\nout",
        "cost, USD",
        "unknown",
    )
    assert module._cells(usage, columns) == [
        "1,234", "5,678", "1", "10,000", "3", "4", "2", "0.000000000005", "1,000",
    ]  # fmt: skip


def test_what_is_unpriced_is_told(headgate, monkeypatch):
    """Billed attempts at a price that nobody knows are not in the sum."""

    async def usage(*_):
        return Usage(calls=3, cached_tokens=7, unpriced_attempts=2), []

    monkeypatch.setattr(Gate, "usage", usage)
    done = headgate("usage")
    assert "2 attempts billed at a price that is not known; the sum is without.\n" in done.said
    assert "cached" in done.out


def test_the_gate_of_the_books_asks_nobody():
    """Its configuration has no providers and no models; a store in memory is refused."""
    Path("headgate.db").touch()
    config = load(None, environment={"OPENAI_API_KEY": "k"}).config
    found = module.books(config)
    assert (found.providers, found.models, found.store) == ({}, {}, "sqlite:///./headgate.db")
    with pytest.raises(ConfigError):
        module.books(config.model_copy(update={"store": "memory://"}))


def test_how_it_went_lately(asked):
    """For people a line for each figure, for scripts the figures; a span that is none is told."""
    facts = asked("usage", "--summary", "--json").json
    assert (facts["status"], facts["calls"], facts["minutes"]) == ("degraded", 5, 60)
    lines = asked("usage", "--summary", "--last", "2h").out.splitlines()
    assert lines[0].split() == ["minutes", "120.0"]
    assert lines[1].split() == ["status", "degraded"]
    assert asked("usage", "--summary", "--csv").out.startswith("minutes,status,reasons,calls,")
    done = asked("usage", "--summary", "--last", "soon")
    assert (done.code, done.said.splitlines()[0]) == (2, "error: --last 'soon' is no duration.")
    assert asked("usage", "--summary", "--budgets").code == 2
