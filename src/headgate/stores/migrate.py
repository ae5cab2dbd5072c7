"""Carries the tables of a ledger over to the newest revision: the only file that runs alembic.

Decides in which transaction that happens: in one, behind the lock of those who book, so that of several processes that
start at once one works and the others wait and find nothing to do. Importing it takes a second: a ledger does so only
if its tables are older than the program.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from headgate.stores.schema import VERSION_TABLE, Dialect

_SCRIPTS = Path(__file__).parent / "migrations"


def carry_over(dialect: Dialect, driver: str, connect: Callable[[], Any]) -> None:
    """Run every revision that the tables have not seen. It blocks: call it in a thread.

    Args:
        dialect: of the database.
        driver: as SQLAlchemy has it; empty for that of Python itself.
        connect: makes a connection of that driver, which is closed in the end.

    Raises:
        Exception: what the driver raises; the tables are then as they were.
    """
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    engine = create_engine(f"{dialect.name}{driver and '+'}{driver}://", creator=connect, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(dialect.lock)
        # As alembic's own commands do it, but for files that it would look for.
        run = partial(scripts._upgrade_revs, "head")  # noqa: SLF001  there is no public way
        environment = EnvironmentContext(config, scripts, fn=lambda revision, _: run(revision))
        with environment:
            environment.configure(connection=connection, version_table=VERSION_TABLE)
            environment.run_migrations()
