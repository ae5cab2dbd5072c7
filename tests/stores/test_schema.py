"""Covers stores/schema.py: the tables of today, and which of them must be carried over."""

import sqlite3
from contextlib import closing

import pytest

from headgate.core.errors import ConfigError
from headgate.stores.schema import POSTGRES, REVISION, SQLITE, judge, stamped, tables


def test_new_tables_say_of_what_revision_they_are():
    """The same tables, and one row that alembic reads."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in stamped(SQLITE):
            connection.execute(statement)
        assert connection.execute("SELECT version_num FROM headgate_version").fetchall() == [(REVISION,)]
    assert stamped(SQLITE)[: len(tables(SQLITE))] == tables(SQLITE)


def test_both_databases_have_the_same_columns():
    """They differ in types and in what stands behind the columns, and in nothing else."""

    def names(dialect):
        made = [statement for statement in tables(dialect) if statement.startswith("CREATE TABLE")]
        return [statement.replace(dialect.json, "J").replace(dialect.digest, "D").count(",") for statement in made]

    assert names(SQLITE) == names(POSTGRES)
    assert "{" not in "".join(tables(SQLITE) + tables(POSTGRES))


def test_older_tables_are_carried_over_and_newer_ones_left_alone():
    """By their numbers; the error names the database."""
    assert judge("0000", "x")
    assert not judge(REVISION, "x")
    with pytest.raises(ConfigError, match=f"'x' was written by a newer headgate \\(tables 0999, known {REVISION}\\)"):
        judge("0999", "x")
