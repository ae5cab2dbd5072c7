"""Covers stores/migrate.py: older tables become those of today, whoever starts first."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import psycopg
import pytest

from headgate.stores.migrate import carry_over
from headgate.stores.schema import POSTGRES, REVISION, SQLITE, stamped, tables

COLUMNS = """
SELECT table_name, ordinal_position, column_name, data_type, is_nullable, collation_name
FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position
"""
INDEXES = "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY indexname"


def shape(path):
    """All that a file of SQLite says of its tables."""
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("SELECT * FROM headgate_version").fetchall()
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return version, {name: sql for name, sql in found if name != "headgate_version"}


def test_revisions_end_in_the_tables_of_today(tmp_path):
    """From nothing by every revision, or made at once: the same."""
    carry_over(SQLITE, "", partial(sqlite3.connect, tmp_path / "old.db", isolation_level=None))
    with closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None)) as connection:
        for statement in stamped(SQLITE):
            connection.execute(statement)
    assert shape(tmp_path / "old.db") == shape(tmp_path / "new.db")
    assert shape(tmp_path / "old.db")[0] == [(REVISION,)]


def test_of_several_one_works(tmp_path):
    """The others wait, and find nothing to do."""
    connect = partial(sqlite3.connect, tmp_path / "h.db", isolation_level=None)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: carry_over(SQLITE, "", connect), range(4)))
    assert len(shape(tmp_path / "h.db")[1]) == len(tables(SQLITE))


def test_a_revision_that_fails_leaves_nothing_behind(tmp_path):
    """The tables are as they were."""
    with closing(sqlite3.connect(tmp_path / "h.db")) as connection:
        connection.execute("CREATE TABLE rollups (x)")
    with pytest.raises(Exception, match="already exists"):
        carry_over(SQLITE, "", partial(sqlite3.connect, tmp_path / "h.db", isolation_level=None))
    with closing(sqlite3.connect(tmp_path / "h.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("rollups",)]


@pytest.mark.e2e
def test_the_same_in_postgres(database):
    """Columns, types, keys and indexes."""
    with psycopg.connect(database, autocommit=True) as connection:
        carry_over(POSTGRES, "psycopg", partial(psycopg.connect, database))
        made = [connection.execute(asked).fetchall() for asked in (COLUMNS, INDEXES)]
        assert connection.execute("SELECT * FROM headgate_version").fetchall() == [(REVISION,)]
        name = connection.execute("SELECT current_schema()").fetchone()[0]
        connection.execute(f"DROP SCHEMA {name} CASCADE; CREATE SCHEMA {name}")
        for statement in stamped(POSTGRES):
            connection.execute(statement)
        found = [connection.execute(asked).fetchall() for asked in (COLUMNS, INDEXES)]
    assert [row for row in found[0] if row[0] != "headgate_version"] == [
        row for row in made[0] if row[0] != "headgate_version"
    ]
    assert [row for row in found[1] if row[0] != "headgate_version"] == [
        row for row in made[1] if row[0] != "headgate_version"
    ]
