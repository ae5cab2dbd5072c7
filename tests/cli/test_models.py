"""`headgate models`."""

import subprocess
import sys
from datetime import UTC, datetime

import msgspec
import pytest

from headgate.cli import models
from headgate.testing import VirtualClock

SETTINGS = {
    "store": "memory://",
    "providers": {
        "openai": {"type": "openai", "api_key": "sk-1"},
        "azure": {"type": "openai", "api_key": "k", "base_url": "https://a.openai.azure.com/openai/v1"},
        "own": {"type": "openai", "base_url": "http://127.0.0.1:8000/v1"},
    },
    "models": {
        "fast": {"targets": [{"provider": "openai", "model": "gpt-6-luna"}, {"provider": "azure", "model": "prod"}]},
        "old": {"targets": [{"provider": "openai", "model": "gpt-4"}]},
        "soon": {"targets": [{"provider": "openai", "model": "gpt-5-mini"}]},
        "later": {"targets": [{"provider": "openai", "model": "gpt-5.4-nano"}]},
        "house": {"targets": [{"provider": "own", "model": "house-llama"}]},
        "strange": {"targets": [{"provider": "own", "model": "\x1b[31mred"}]},
        "default": "fast",
    },
    "catalog": {
        "models": {
            "prod": {"base": "gpt-4.1-mini"},
            "house-llama": {
                "input_usd_per_million": 0, "output_usd_per_million": 0, "context": 32_768, "capabilities": ["tools"],
            },
        }
    },
}  # fmt: skip
DAY = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()


class Day(VirtualClock):
    """2026-11-20, whatever the real day is."""

    def time(self):
        return DAY


@pytest.fixture
def shown(headgate, monkeypatch, tmp_path):
    """The models that a configuration has on that day, with these options."""

    def run(*options, settings=SETTINGS):
        monkeypatch.setattr(models, "SystemClock", Day)
        (tmp_path / "headgate.yaml").write_bytes(msgspec.json.encode(settings))
        return headgate("models", *options)

    return run


def lines(done):
    """The models as JSON, by name."""
    assert (done.code, done.said) == (0, "")
    return {line["name"]: line for line in done.json["models"]}


def test_every_configured_name_is_shown(shown):
    """What it leads to, what fits whoever answers, the dearest price, what all can do."""
    found = lines(shown("--json"))
    assert sorted(found) == ["fast", "house", "later", "old", "soon", "strange"]
    fast = found["fast"]
    assert fast["targets"] == ["openai/gpt-6-luna", "azure/prod"]
    assert (fast["context"], fast["max_output"]) == (1_047_576, 32_768)
    assert (fast["input_usd_per_million"], fast["output_usd_per_million"]) == ("0.4", "1.6")
    assert fast["price_table"].endswith(", as gpt-4.1-mini")
    assert "vision" in fast["capabilities"]
    assert fast["retires"] is None


def test_what_the_user_says_is_shown_and_what_nobody_knows_is_null(shown):
    """0 is a price; an unknown one is none."""
    found = lines(shown("--json"))
    house, strange = found["house"], found["strange"]
    assert (house["input_usd_per_million"], house["price_table"]) == ("0", "configuration")
    assert (house["context"], house["max_output"], house["capabilities"]) == (32_768, None, ["tools"])
    assert {strange[name] for name in strange if name not in {"name", "targets"}} == {None}


def test_retirement_is_shown(shown):
    """The day and the successor, marked in the table when it is near, very near and past."""
    found = lines(shown("--json"))
    assert (found["old"]["retires"], found["old"]["successor"]) == ("2026-10-23", "gpt-6-sol")
    rows = [line.split() for line in shown().out.splitlines()]
    assert {row[0]: row[row.index(day) :] for row in rows for day in row if day.startswith(("2026-", "2027-"))} == {
        "old": ["2026-10-23", "gone", "gpt-6-sol"],
        "soon": ["2026-12-11", "!!", "gpt-5.6-terra"],
        "later": ["2027-04-01", "gpt-6-luna"],
    }


def test_all_shows_the_catalog_too(shown):
    """Each model once, at its maker's price, with the user's own among them."""
    done = shown("--all", "--json")
    found = lines(done)
    assert len(found) == len(done.json["models"]) > 150
    assert (found["gpt-6.2-sol"]["input_usd_per_million"], found["gpt-6.2-sol"]["targets"]) == ("2", [])
    assert found["gpt-6.2-sol"]["price_table"].startswith("headgate 2026-11-20: OpenAI's page of 2026-11-18")
    assert found["claude-opus-5-5"]["input_usd_per_million"] == "4"
    assert found["whisper-1"]["input_usd_per_million"] is None
    assert found["house-llama"]["context"] == 32_768


def test_names_are_shown_and_not_obeyed(shown):
    """A name may hold orders to a terminal."""
    assert "\x1b" not in shown().out


def test_without_names_it_says_so(shown):
    """Where any name goes to the first provider, there is nothing to list; the catalog is there all the same."""
    done = shown(settings={"providers": {"p": {"type": "simulator"}}, "store": "memory://"})
    assert (done.code, done.out) == (0, "")
    assert "`--all` shows what is known" in done.said


def test_nobody_needs_a_provider_to_look(headgate):
    """Without any configuration the catalog is shown."""
    assert len(headgate("models", "--all", "--json").json["models"]) > 150


def test_it_takes_no_connection_and_no_books(tmp_path):
    """Whatever would reach for the network ends the command; no file is left behind."""
    code = (
        "import os, sys; sys.addaudithook(lambda event, _: event.startswith('socket.') and os._exit(9))\n"
        "from headgate.cli import main; sys.argv = ['headgate', 'models', '--all', '--json']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"gpt-6-luna" in done.stdout
    assert list(tmp_path.iterdir()) == []
