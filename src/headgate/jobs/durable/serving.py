"""A worker put together: a gate, the queue, and where on this machine part files lie.

Decides where DBOS has its tables and a worker its files, by the configuration's `store`: next to a SQLite file; in a
Postgres itself, and next to this machine's journal. Books in memory cannot keep a job.
"""

import asyncio
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from headgate.core.clock import Chance, Clock
from headgate.core.errors import ConfigError
from headgate.gate.config import Config
from headgate.gate.gate import Gate
from headgate.gate.wiring import MEMORY, SQLITE
from headgate.jobs.durable.worker import Worker

SCHEMA = "dbos"
"""Where DBOS has its tables in a Postgres; behind it the schema of the ledger, where the address names one."""
_SEARCH = re.compile(r"search_path=(\w+)")


def must_last(config: Config) -> None:
    """See that a job would be kept.

    Raises:
        ConfigError: the store is in memory.
    """
    if config.store == MEMORY:
        hint = "Set `store: sqlite:///headgate.db`, or `postgresql://…` for several machines."
        raise ConfigError("The store is in memory, and would forget every job with this process.", hint=hint)


def folder(config: Config) -> Path:
    """Where part files lie while they are worked on.

    Example:
        >>> str(folder(Config.model_validate({"store": "sqlite:///books.db"})))
        'books.db.jobs'
    """
    if config.store.startswith(SQLITE):
        return Path(config.store.removeprefix(SQLITE) + ".jobs")
    return Path(config.journal.path + ".jobs")


def database(config: Config) -> tuple[str, str]:
    """Where DBOS has its tables, and the schema for them.

    Example:
        >>> database(Config.model_validate({"store": "sqlite:///books.db"}))
        ('sqlite:///books.db.jobs.db', 'dbos')
        >>> database(Config.model_validate({"store": "postgresql://host/db?options=-csearch_path%3Dmine"}))[1]
        'dbos_mine'
    """
    if config.store.startswith(SQLITE):
        return config.store + ".jobs.db", SCHEMA
    options = parse_qs(urlsplit(config.store).query).get("options", [""])[0]
    found = _SEARCH.search(options)
    return config.store, SCHEMA if found is None else f"{SCHEMA}_{found[1]}"


async def serve(config: Config, ending: asyncio.Event, *, clock: Clock, chance: Chance) -> None:
    """Do whatever jobs there are until the event is set; what is in flight then is finished.

    Raises:
        ConfigError: the store is in memory or cannot be used, or DBOS is not installed.
        BuriedError: other workers go on with what this one had, because they could not hear it.
    """
    must_last(config)
    try:
        from headgate.jobs.durable.runtime import Runtime  # noqa: PLC0415  an extra, and it takes seconds
    except ImportError as error:
        message = f"Durable jobs need DBOS, which cannot be loaded: {error}."
        raise ConfigError(message, hint="Run `pip install 'headgate[jobs]'`.") from None
    async with await Gate.open(config, clock=clock, chance=chance) as gate:
        worker = Worker(gate, gate.batching.jobs, folder=folder(config), clock=clock, chance=chance)
        await worker.enter()
        try:
            where, schema = database(config)
            try:
                runtime = Runtime(database=where, schema=schema, worker=worker.name, work=worker.work, clock=clock)
                await runtime.launch()
            except Exception as error:
                # It speaks to the database by a driver of its own, with errors of its own.
                message = f"DBOS cannot use the store: {type(error).__name__}."
                raise ConfigError(
                    message, hint="It makes tables of its own there: it needs to be allowed to."
                ) from error
            try:
                await worker.run(runtime, ending)
            finally:
                await runtime.close()
        finally:
            await worker.leave()
