"""Covers jobs/durable/serving.py: where a worker has its files, and what it needs. `chaos/test_jobs.py` has it run."""

import asyncio
import sys

import pytest

from headgate.core.errors import ConfigError
from headgate.gate.config import Config
from headgate.gate.ports import SystemChance, SystemClock
from headgate.jobs.durable.serving import database, folder, serve


def config(store):
    """A configuration that names a store."""
    return Config.model_validate({"store": store, "journal": {"path": "here"}})


def test_where_things_lie():
    """Next to a SQLite file; in a Postgres, and next to the journal of this machine."""
    assert (str(folder(config("sqlite:////x/b.db"))), database(config("sqlite:////x/b.db"))) == (
        "/x/b.db.jobs", ("sqlite:////x/b.db.jobs.db", "dbos"),
    )  # fmt: skip
    assert str(folder(config("postgresql://h/d"))) == "here.jobs"
    assert database(config("postgresql://h/d")) == ("postgresql://h/d", "dbos")


def served(store):
    """What a worker says that is told to end at once."""

    async def story():
        ending = asyncio.Event()
        ending.set()
        await serve(config(store), ending, clock=SystemClock(), chance=SystemChance(1))

    return asyncio.run(story())


def test_books_in_memory_keep_no_job():
    """The worker says so before it does anything."""
    with pytest.raises(ConfigError, match="in memory"):
        served("memory://")


def test_without_the_extra(monkeypatch, tmp_path):
    """The message has the cure."""
    monkeypatch.setitem(sys.modules, "dbos", None)
    monkeypatch.delitem(sys.modules, "headgate.jobs.durable.runtime", raising=False)
    with pytest.raises(ConfigError) as refusal:
        served(f"sqlite:///{tmp_path}/b.db")
    assert "headgate[jobs]" in refusal.value.hint
