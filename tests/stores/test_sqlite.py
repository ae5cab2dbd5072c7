"""Covers stores/sqlite.py beyond the contract: files, versions, other processes."""

import asyncio
import sqlite3
import subprocess
import sys

import pytest

from headgate.core.attempt import Settled
from headgate.core.errors import ConfigError, StoreError
from headgate.stores.protocols import Query
from headgate.stores.records import Entry, Intent, Outcome
from headgate.stores.schema import REVISION
from headgate.stores.sqlite import SqliteLedger, _use_wal


def attempt(name):
    """An attempt that was billed."""
    intent = Intent(
        call_id=name,
        attempt=1,
        day="2027-01-15",
        time=1.0,
        operation="chat",
        model_requested="m",
        provider="p",
        model="m",
    )
    return Entry(intent, Outcome(call_id=name, attempt=1, settled=Settled.BILLED, cost=1))


async def count(path):
    """How many attempts a ledger has."""
    ledger = SqliteLedger(path)
    total, _ = await ledger.usage(Query())
    await ledger.close()
    return total.attempts


def mode(path):
    """The journal mode of a database file."""
    connection = sqlite3.connect(path)
    [found] = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()
    return found


def test_nothing_is_opened_before_it_is_used(tmp_path):
    """Making a ledger makes no file."""
    SqliteLedger(tmp_path / "h.db")
    assert list(tmp_path.iterdir()) == []


def test_the_books_stay(tmp_path):
    """What was booked is there for the next process, and the file is in WAL mode with its version."""

    async def story():
        first = SqliteLedger(tmp_path / "h.db")
        await first.book([attempt("a")])
        await first.close()
        assert await count(tmp_path / "h.db") == 1

    asyncio.run(story())
    connection = sqlite3.connect(tmp_path / "h.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("SELECT version_num FROM headgate_version").fetchall() == [(REVISION,)]
    connection.close()


def test_only_its_owner_reads_a_new_ledger(tmp_path):
    """Nor the files beside it; a file that was there keeps the mode that its owner gave it."""
    (tmp_path / "shared.db").touch(mode=0o640)

    async def modes(name):
        ledger = SqliteLedger(tmp_path / name)
        await ledger.book([attempt("a")])
        found = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob(f"{name}*")}
        await ledger.close()
        return found

    assert asyncio.run(modes("h.db")) == {"h.db": 0o600, "h.db-wal": 0o600, "h.db-shm": 0o600}
    assert asyncio.run(modes("shared.db"))["shared.db"] == 0o640


def test_a_missing_folder_is_named(tmp_path):
    """The error names path and cure, and nothing is made."""
    ledger = SqliteLedger(tmp_path / "nowhere" / "h.db")
    with pytest.raises(ConfigError, match=r"nowhere/h\.db' lies in a folder that does not exist") as caught:
        asyncio.run(ledger.open())
    assert "Make the folder" in caught.value.hint
    assert asyncio.run(ledger.health())["status"] == "down"
    assert list(tmp_path.iterdir()) == []
    asyncio.run(ledger.close())


@pytest.mark.parametrize("what", ["text", "folder"])
def test_something_else_is_no_ledger(tmp_path, what):
    """A text file, or a folder: told as what it is, and left as it was."""
    path = tmp_path / "h.db"
    if what == "folder":
        path.mkdir()
    else:
        path.write_text("not a database, but long enough to have been one" * 50)
    ledger = SqliteLedger(path)
    with pytest.raises(ConfigError, match="cannot be used"):
        asyncio.run(ledger.book([attempt("a")]))
    health = asyncio.run(ledger.health())
    assert (health["status"], health["kind"]) == ("down", "sqlite")
    assert str(path) in health["error"]
    asyncio.run(ledger.close())
    assert path.is_dir() or path.read_text().startswith("not a database")


def stamp(path, revision):
    """Make a database that says of its tables that they are of a revision."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE headgate_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.execute("INSERT INTO headgate_version VALUES (?)", (revision,))
    connection.commit()
    return connection


def test_a_newer_ledger_is_left_alone(tmp_path):
    """Tables of a newer headgate are not touched: upgrade, or use another file."""
    connection = stamp(tmp_path / "h.db", "9999")
    ledger = SqliteLedger(tmp_path / "h.db")
    with pytest.raises(ConfigError, match=f"tables 9999, known {REVISION}") as caught:
        asyncio.run(ledger.open())
    assert "Upgrade" in caught.value.hint
    asyncio.run(ledger.close())
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone() == (1,)
    connection.close()


def test_an_older_ledger_is_carried_over(tmp_path):
    """Tables of an earlier revision become those of today when the file is opened; this one had none at all."""
    connection = stamp(tmp_path / "h.db", "0000")
    connection.execute("DELETE FROM headgate_version")
    connection.commit()
    asyncio.run(count(tmp_path / "h.db"))
    assert connection.execute("SELECT version_num FROM headgate_version").fetchall() == [(REVISION,)]
    connection.close()


def test_a_ledger_of_a_trial_version_is_left_alone(tmp_path):
    """Told as what it is, and not touched."""
    connection = sqlite3.connect(tmp_path / "h.db")
    connection.execute("PRAGMA user_version = 4")
    ledger = SqliteLedger(tmp_path / "h.db")
    with pytest.raises(ConfigError, match="trial version") as caught:
        asyncio.run(ledger.open())
    assert "another file" in caught.value.hint
    asyncio.run(ledger.close())
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize("instead", ["nothing", "a folder", "another file"])
def test_a_file_that_is_taken_away_takes_no_rows(tmp_path, instead):
    """Deleted, moved or replaced while open: an error instead of rows that nobody would find, until it is back."""
    path, aside = tmp_path / "h.db", tmp_path / "aside.db"

    async def story():
        ledger = SqliteLedger(path)
        await ledger.book([attempt("a")])
        path.rename(aside)
        if instead == "a folder":
            path.mkdir()
        elif instead == "another file":
            path.touch()
        with pytest.raises(ConfigError, match="moved or replaced") as caught:
            await ledger.book([attempt("b")])
        assert "Put the file back" in caught.value.hint
        with pytest.raises(StoreError, match="cannot be asked"):
            await ledger.owners(["resp_1"])
        assert (await ledger.health())["status"] == "down"
        if instead == "a folder":
            path.rmdir()
        aside.replace(path)
        await ledger.book([attempt("c")])
        await ledger.close()
        assert await count(path) == 2

    asyncio.run(story())


def test_a_change_of_folder_changes_nothing(tmp_path, monkeypatch):
    """A relative path means what it meant when the ledger was made."""
    monkeypatch.chdir(tmp_path)
    ledger = SqliteLedger("h.db")
    (tmp_path / "elsewhere").mkdir()

    async def story():
        await ledger.book([attempt("a")])
        monkeypatch.chdir(tmp_path / "elsewhere")
        await ledger.book([attempt("b")])
        await ledger.close()
        assert await count(tmp_path / "h.db") == 2

    asyncio.run(story())


def test_a_ledger_that_was_closed_is_down(tmp_path):
    """Health never raises."""
    ledger = SqliteLedger(tmp_path / "h.db")
    asyncio.run(ledger.open())
    asyncio.run(ledger.close())
    assert asyncio.run(ledger.health())["status"] == "down"


def test_a_busy_ledger_books_nothing_and_recovers(tmp_path, monkeypatch):
    """Another program holds the file for too long: an error that passes, and nothing by halves."""
    monkeypatch.setattr("headgate.stores.sqlite.BUSY_SECONDS", 0.05)

    async def story():
        ledger = SqliteLedger(tmp_path / "h.db")
        await ledger.open()
        other = sqlite3.connect(tmp_path / "h.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await ledger.book([attempt("a")])
        assert (await ledger.usage(Query()))[0].attempts == 0
        other.execute("ROLLBACK")
        other.close()
        await ledger.book([attempt("a")])
        await ledger.close()
        assert await count(tmp_path / "h.db") == 1

    asyncio.run(story())


def test_several_processes_start_and_book_at_once(tmp_path):
    """Four processes make the tables and book the same and different rows at the same moment: each row once."""
    code = """
import asyncio, sys
from headgate.core.attempt import Settled
from headgate.stores.records import Entry, Intent, Outcome
from headgate.stores.sqlite import SqliteLedger
from headgate.stores.protocols import Query

def attempt(name):
    intent = Intent(
        call_id=name, attempt=1, day="2027-01-15", time=1.0, operation="chat", model_requested="m", provider="p",
        model="m",
    )
    return Entry(intent, Outcome(call_id=name, attempt=1, settled=Settled.BILLED, cost=1))

async def main():
    sys.stdin.read()
    ledger = SqliteLedger(sys.argv[1])
    for batch in range(20):
        await ledger.book([attempt(f"same-{batch}"), attempt(f"own-{sys.argv[2]}-{batch}")])
        await ledger.usage(Query())
    await ledger.close()

asyncio.run(main())
"""
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "h.db"), str(number)], stdin=subprocess.PIPE)
        for number in range(4)
    ]
    for process in running:
        process.stdin.close()
    assert [process.wait() for process in running] == [0] * 4
    assert asyncio.run(count(tmp_path / "h.db")) == 100


def test_reading_goes_on_while_somebody_books(tmp_path):
    """`headgate usage` beside a running server: an open write does not block it."""

    async def story():
        ledger = SqliteLedger(tmp_path / "h.db")
        await ledger.book([attempt("a")])
        await ledger.close()
        other = sqlite3.connect(tmp_path / "h.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM attempts")
        assert await count(tmp_path / "h.db") == 1
        other.execute("ROLLBACK")
        other.close()

    asyncio.run(story())


def test_a_file_that_cannot_be_switched_to_wal_now_is_used_as_it_is(tmp_path, monkeypatch):
    """Somebody reads it in the old mode at this moment: no reason not to start. The next start switches it."""
    monkeypatch.setattr("headgate.stores.sqlite.BUSY_SECONDS", 0.05)

    async def story():
        assert await count(tmp_path / "h.db") == 0
        other = sqlite3.connect(tmp_path / "h.db", isolation_level=None)
        other.execute("PRAGMA journal_mode = DELETE").fetchall()
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM attempts").fetchall()
        assert await count(tmp_path / "h.db") == 0
        other.execute("COMMIT")
        other.close()
        assert mode(tmp_path / "h.db") == "delete"
        assert await count(tmp_path / "h.db") == 0
        assert mode(tmp_path / "h.db") == "wal"

    asyncio.run(story())


def test_only_a_busy_file_is_excused(tmp_path):
    """Any other failure to switch the file is told."""
    path = tmp_path / "h.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        _use_wal(connection)
    connection.close()
