"""Covers stores/postgres.py beyond the contract: connections, partitions, other processes, a server that is away."""

import asyncio
import signal
import subprocess
import sys
from contextlib import suppress

import psycopg
import pytest

from headgate.core.attempt import Settled
from headgate.core.errors import ConfigError, StoreError
from headgate.gate.ports import SystemChance, SystemClock
from headgate.stores.drain import Drain
from headgate.stores.journal import FileJournal
from headgate.stores.postgres import PostgresLedger
from headgate.stores.protocols import Query
from headgate.stores.records import Entry, Intent, ObjectRow, Outcome
from headgate.stores.schema import REVISION

pytestmark = pytest.mark.e2e


def attempt(name, day="2027-01-15", **changes):
    """An attempt that was billed."""
    intent = Intent(
        call_id=name, attempt=1, day=day, time=1_800_000_000.0, operation="chat", model_requested="m", provider="p",
        model="m", **changes,
    )  # fmt: skip
    return Entry(intent, Outcome(call_id=name, attempt=1, settled=Settled.BILLED, cost=1))


async def attempts(ledger):
    """How many attempts a ledger has: by its sums, and by its lines."""
    total, _ = await ledger.usage(Query())
    return total.attempts, len([row async for row in ledger.rows(Query())])


def ask(database, statement, values=None):
    """Rows of a statement."""
    with psycopg.connect(database, autocommit=True) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def test_nothing_is_connected_before_it_is_used():
    """Making a ledger asks nobody, and closing it neither."""
    asyncio.run(PostgresLedger("postgresql://nowhere.invalid/x").close())


def test_an_address_that_is_none_is_told_without_its_password():
    """What the driver says of it may quote the password."""

    async def story():
        ledger = PostgresLedger("postgresql://me:s3cret@h:port/d?nonsense=s3cret")
        with pytest.raises(ConfigError, match="no address that Postgres understands") as caught:
            await ledger.book(())
        assert "s3cret" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert "postgresql://user:password" in caught.value.hint
        await ledger.close()

    asyncio.run(story())


@pytest.mark.parametrize(("old", "new"), [("/postgres?", "/nobody?"), ("postgres@", "nobody@")])
def test_a_database_or_role_that_is_not_there_is_a_mistake(postgres, old, new):
    """Waiting would not cure it: known at start."""

    async def story():
        ledger = PostgresLedger(postgres.url.replace(old, new))
        with pytest.raises(ConfigError, match='"nobody" does not exist') as caught:
            await ledger.book(())
        assert "Make the database" in caught.value.hint
        with pytest.raises(StoreError):
            await ledger.owners(["resp_1"])
        health = await ledger.health()
        assert (health["status"], health["kind"]) == ("down", "postgres")
        assert "nobody" in health["error"]
        await ledger.close()

    asyncio.run(story())


def test_a_server_that_is_away_is_away(tmp_path):
    """An error that passes; health tells it."""

    async def story():
        ledger = PostgresLedger(f"postgresql://postgres@/postgres?host={tmp_path}")
        for asked in (ledger.book([attempt("a")]), ledger.owners(["x"]), ledger.usage(Query())):
            with pytest.raises(StoreError, match=r"Postgres: connection .* failed: No such file"):
                await asked
        assert (await ledger.health())["status"] == "down"
        await ledger.close()

    asyncio.run(story())


def test_a_ledger_that_was_closed_is_down(database):
    """And stays closed."""

    async def story():
        ledger = PostgresLedger(database)
        await ledger.book([attempt("a")])
        assert (await ledger.health())["status"] == "ok"
        await ledger.close()
        assert (await ledger.health())["error"] == "The ledger is closed."
        with pytest.raises(StoreError, match="closed"):
            await ledger.book([attempt("b")])

    asyncio.run(story())


def test_newer_tables_are_left_alone(database):
    """Upgrade, or name another database."""

    async def story():
        ledger = PostgresLedger(database)
        await ledger.book([attempt("a")])
        await ledger.close()
        ask(database, "UPDATE headgate_version SET version_num = '9999'")
        after = PostgresLedger(database)
        with pytest.raises(ConfigError, match=f"tables 9999, known {REVISION}") as caught:
            await after.book([attempt("b")])
        assert "Upgrade" in caught.value.hint
        await after.close()

    asyncio.run(story())
    assert ask(database, "SELECT count(*) FROM attempts") == [(1,)]


def test_older_tables_are_carried_over(database):
    """When the first line is booked; these were none at all."""
    ask(database, "CREATE TABLE headgate_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")

    async def story():
        ledgers = [PostgresLedger(database) for _ in range(3)]
        await asyncio.gather(*(ledger.book([attempt("a")]) for ledger in ledgers))
        assert await attempts(ledgers[0]) == (1, 1)
        for ledger in ledgers:
            await ledger.close()

    asyncio.run(story())
    assert ask(database, "SELECT version_num FROM headgate_version") == [(REVISION,)]


def test_days_lie_apart(database):
    """One partition for each day that has lines; a report of a day reads no other."""

    async def story():
        ledger = PostgresLedger(database)
        await ledger.book([attempt("a"), attempt("b", day="2027-01-16"), attempt("c", day="2027-01-16")])
        await ledger.book([attempt("d"), attempt("e", day="2027-02-01")])
        assert await attempts(ledger) == (5, 5)
        await ledger.close()

    asyncio.run(story())
    asked = "SELECT tableoid::regclass::text, count(*) FROM attempts GROUP BY 1 ORDER BY 1"
    assert ask(database, asked) == [("attempts_20270115", 2), ("attempts_20270116", 2), ("attempts_20270201", 1)]
    explained = ask(database, "EXPLAIN SELECT * FROM attempts WHERE day >= '2027-01-16' AND day <= '2027-01-16'")
    assert "attempts_20270116" in str(explained)
    assert "attempts_20270115" not in str(explained)


def test_a_partition_that_somebody_dropped_is_made_again(database):
    """By whoever books into it next, at the latest on the second try."""

    async def story():
        ledger = PostgresLedger(database)
        await ledger.book([attempt("a")])
        ask(database, "DROP TABLE attempts_20270115")
        with pytest.raises(StoreError, match="no partition"):
            await ledger.book([attempt("b")])
        await ledger.book([attempt("b")])
        assert [row.call_id async for row in ledger.rows(Query())] == ["b"]
        await ledger.close()

    asyncio.run(story())


def test_old_days_wait_until_nobody_reads_them(database, caplog):
    """Dropping them never stops a report, nor the booking; it is tried again with the next batch."""

    async def story():
        ledger = PostgresLedger(database, keep_days=5)
        reader = await psycopg.AsyncConnection.connect(database)
        old = PostgresLedger(database)
        await old.book([attempt("old", day="2020-01-01")])
        await reader.execute("SELECT * FROM attempts")
        await ledger.book([attempt("new")])
        assert "Old days cannot be forgotten now" in caplog.text
        assert len(ask(database, "SELECT * FROM attempts")) == 2
        await reader.close()
        await ledger.book([attempt("newer")])
        assert [row.call_id async for row in ledger.rows(Query())] == ["new", "newer"]
        for one in (ledger, old):
            await one.close()

    asyncio.run(story())


def test_a_lost_connection_is_made_again(database):
    """Somebody ends all of them: one error at most, nothing lost, nothing doubled."""

    async def story():
        ledger = PostgresLedger(database)
        for number in range(4):
            lines = [attempt(f"c{number}-{at}") for at in range(20)]
            with suppress(StoreError):
                await ledger.book(lines, [ObjectRow(id=f"o{number}", tenant="t", provider="p", call_id="c", time=1.0)])
            ask(database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'")  # fmt: skip
            with suppress(StoreError):
                await ledger.book(lines)
            await ledger.book(lines)
            with suppress(StoreError):
                await ledger.usage(Query())
            assert await attempts(ledger) == (20 * (number + 1),) * 2
        await ledger.close()

    asyncio.run(story())


def test_who_holds_a_table_is_not_waited_for_for_ever(database, monkeypatch):
    """An error after the time for that, and the ledger goes on when the table is free."""
    monkeypatch.setattr("headgate.stores.postgres.ASK_SECONDS", 0.2)

    async def story():
        ledger = PostgresLedger(database)
        await ledger.book([attempt("a")])
        with psycopg.connect(database) as holding:
            holding.execute("LOCK TABLE objects, attempts")
            with pytest.raises(StoreError, match=r"did not answer within 0\.2 s"):
                await ledger.owners(["x"])
            assert (await ledger.health())["status"] == "down"
        assert await ledger.owners(["x"]) == {}
        assert (await ledger.health())["status"] == "ok"
        await ledger.close()

    asyncio.run(story())


def test_reading_goes_on_while_somebody_books(database):
    """Another gateway is in the middle of a batch: reports and owners do not wait for it."""

    async def story():
        ledger = PostgresLedger(database)
        await ledger.book([attempt("a")])
        with psycopg.connect(database) as booking:
            booking.execute("SELECT pg_advisory_xact_lock(%s)", [0x6865616467617465])
            booking.execute("DELETE FROM attempts")
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(ledger.book([attempt("b")]))
                assert await attempts(ledger) == (1, 1)
                assert await ledger.owners(["x"]) == {}
                assert not waiting.done()
                booking.rollback()
        assert await attempts(ledger) == (2, 2)
        await ledger.close()

    asyncio.run(story())


def test_several_processes_start_and_book_at_once(database):
    """Four processes make the tables and book the same and different rows at the same moment: each row once."""
    code = """
import asyncio, sys
from headgate.core.attempt import Settled
from headgate.stores.postgres import PostgresLedger
from headgate.stores.protocols import Query
from headgate.stores.records import Entry, Intent, Outcome

def attempt(name, day):
    intent = Intent(
        call_id=name, attempt=1, day=f"2027-01-{day:02d}", time=1.0, operation="chat", model_requested="m",
        provider="p", model="m", user=name,
    )
    return Entry(intent, Outcome(call_id=name, attempt=1, settled=Settled.BILLED, cost=1))

async def main():
    sys.stdin.read()
    ledger = PostgresLedger(sys.argv[1])
    for batch in range(20):
        await ledger.book([attempt(f"own-{sys.argv[2]}-{batch}", 1), attempt(f"same-{batch}", batch % 4 + 1)])
        await ledger.usage(Query())
    await ledger.close()

asyncio.run(main())
"""
    running = [
        subprocess.Popen([sys.executable, "-c", code, database, str(number)], stdin=subprocess.PIPE)
        for number in range(4)
    ]
    for process in running:
        process.stdin.close()
    assert [process.wait() for process in running] == [0] * 4

    async def story():
        ledger = PostgresLedger(database)
        assert await attempts(ledger) == (100, 100)
        _, groups = await ledger.usage(Query(by=("user",)))
        assert [usage.attempts for usage in groups] == [1] * 100
        await ledger.close()

    asyncio.run(story())


@pytest.mark.timeout(120)
def test_a_server_that_comes_and_goes_loses_nothing(own_postgres, tmp_path, pen):
    """Away at the start, stopped in between, frozen: the journal keeps the records, and each is booked once."""

    async def until(condition):
        while not await condition():  # noqa: ASYNC110  another process decides
            await asyncio.sleep(0.1)

    async def story():
        ledger = PostgresLedger(own_postgres.url)
        journal = FileJournal(tmp_path / "journal", SystemChance())
        drain = Drain(journal, ledger, SystemClock(), interval=0.1)
        written = 0

        def write():
            nonlocal written
            for number in range(written, written + 10):
                journal.intent(pen.intent(f"c{number:04}"))
                journal.outcome(pen.outcome(f"c{number:04}"))
                journal.call(pen.end(f"c{number:04}"))
            written += 10

        async def booked():
            with suppress(StoreError):
                total, _ = await ledger.usage(Query())
                return total.attempts == written
            return False

        write()
        await drain.adopt()
        assert drain.health()["status"] == "failing"
        assert (await ledger.health())["status"] == "down"
        async with asyncio.TaskGroup() as group:
            running = group.create_task(drain.run())
            write()
            await asyncio.to_thread(own_postgres.start)
            await until(booked)
            await asyncio.to_thread(own_postgres.stop)
            write()
            await asyncio.sleep(0.5)
            assert drain.health()["status"] == "failing"
            await asyncio.to_thread(own_postgres.start)
            await until(booked)
            own_postgres.signal(signal.SIGSTOP)
            write()
            await asyncio.sleep(1)
            own_postgres.signal(signal.SIGCONT)
            await until(booked)
            running.cancel()
        assert drain.health()["status"] == "ok"
        await drain.finish()
        assert await attempts(ledger) == (written, written)
        await ledger.close()

    asyncio.run(story())
