"""The first tables: those of `schema.py`. Whoever writes the second revision writes their statements out here."""

from alembic import op

from headgate.stores.schema import POSTGRES, SQLITE, tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables in a database that has none."""
    connection = op.get_bind()
    for statement in tables(SQLITE if connection.dialect.name == SQLITE.name else POSTGRES):
        connection.exec_driver_sql(statement)
