"""The queue of shards, by DBOS: which shard waits, which worker has taken it, and that it is done once.

Decides what a workflow is (a shard, never a row), and that a new version of headgate goes on with what an old one has
begun. Refuses to know what is done with a shard. DBOS has one instance in a process; so has this module, the one
exemption from the house's rule against globals. Its tables lie beside those of the ledger: in a file of their own next
to a SQLite store, in a schema of their own in a Postgres.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, TypeVarTuple, Unpack

from dbos import DBOS, SetWorkflowID

from headgate.core.clock import Clock
from headgate.core.errors import StoreError
from headgate.stores.sqlite import Connection

VERSION = "headgate-jobs-1"
"""What DBOS takes for the version of the program: pinned, so that an upgrade strands nothing."""
QUEUE = "headgate-shards"
POLLING = 0.5
"""Seconds between two looks at the queue."""
Ts = TypeVarTuple("Ts")
Work = Callable[[str, int], Awaitable[None]]


class Runtime:
    """DBOS, for one worker.

    Args:
        database: where its tables are.
        schema: in a Postgres, the schema for them.
        worker: the name of the worker.
        work: does a shard, given its job and place. It is run on the loop that `launch` is called on.
        clock: tells the time.
    """

    def __init__(self, *, database: str, schema: str, worker: str, work: Work, clock: Clock) -> None:
        self._work = work

        def connected(*args: Any, **kwargs: Any) -> Connection:
            # DBOS asks SQLite for parts of seconds, which it tells from 3.42 on; Debian 12 has 3.40.
            connection = Connection(*args, **kwargs)
            connection.create_function("unixepoch", 1, lambda _: clock.time())
            return connection

        DBOS(
            config={
                "name": "headgate",
                "system_database_url": database,
                "dbos_system_schema": schema,
                "application_version": VERSION,
                "executor_id": worker,
                "log_level": "ERROR",
                "db_engine_kwargs": {"connect_args": {"factory": connected}} if database.startswith("sqlite:") else {},
            }
        )

        def shard(job: str, place: int) -> None:
            # DBOS does this in a thread of its own.
            with suppress(CancelledError):
                asyncio.run_coroutine_threadsafe(self._on_loop(job, place), self._loop).result()

        self._shard: Callable[[str, int], None] = DBOS.workflow(name="headgate.shard")(shard)

    async def launch(self) -> None:
        """Make the tables if need be, and begin to take shards from the queue."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._launch)

    async def put(self, job: str, place: int, wanted: int) -> None:
        """See `worker.Queue`.

        Raises:
            StoreError: the database cannot be asked, here and below.
        """
        await _asked(self._put, job, place, wanted)

    async def revive(self, worker: str) -> None:
        """See `worker.Queue`."""
        await _asked(self._revive, worker)

    async def close(self) -> None:
        """Take nothing from the queue any more."""
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)

    @staticmethod
    def _launch() -> None:
        DBOS.launch()
        DBOS.register_queue(QUEUE, worker_concurrency=1, polling_interval_sec=POLLING)

    def _put(self, job: str, place: int, wanted: int) -> None:
        with SetWorkflowID(f"{job}/{place}/{wanted}"):
            DBOS.enqueue_workflow(QUEUE, self._shard, job, place)

    def _revive(self, worker: str) -> None:
        for workflow in DBOS.list_workflows(executor_id=worker, status="PENDING", load_input=False, load_output=False):
            DBOS.resume_workflow(workflow.workflow_id, queue_name=QUEUE)

    async def _on_loop(self, job: str, place: int) -> None:
        await self._work(job, place)


async def _asked(work: Callable[[Unpack[Ts]], None], *args: *Ts) -> None:
    try:
        await asyncio.to_thread(work, *args)
    except Exception as error:
        # DBOS has a driver of its own, with errors of its own.
        raise StoreError(f"The queue of jobs cannot be asked: {type(error).__name__}.") from error
