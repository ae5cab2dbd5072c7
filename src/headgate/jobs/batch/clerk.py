"""The clerk: what batches cost that callers have made by themselves, by `/v1/batches`.

Such a call leaves an attempt of unknown cost, because its rows cost when they are answered. Decides when the provider
is asked whether they are, and books them then: a line for each row, under the key, the tags and the budgets of whoever
made the batch; the attempt itself cost nothing, and is resolved. Everything that it needs stands in the ledger, so it
does not matter which process does it, or how often it is begun.
"""

import logging
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta

from headgate.core.call import Caller
from headgate.core.errors import BadRequestError, HeadgateError
from headgate.gate.batching import Line
from headgate.gate.gate import Gate
from headgate.gate.issuing import Who
from headgate.jobs.batch.cycle import ENDED
from headgate.jobs.batch.harvest import CHUNK
from headgate.jobs.batch.packing import operation_at
from headgate.jobs.batch.reading import read_any
from headgate.jobs.batch.wire import Remote, Wire, read_again
from headgate.stores.batches import BatchRecord, Facts, State
from headgate.stores.protocols import Query
from headgate.stores.records import AttemptRow

INTERVAL = 60.0
"""Seconds between two rounds."""
DAYS = 8
"""How far back batches are looked for: their window is a day, and somebody may have been away."""
CLERK = Who("headgate", "batches")
_WHERE = {"operation": "batches"}
_log = logging.getLogger("headgate.jobs")


class Clerk:
    """Books the rows of batches that callers have made.

    Args:
        gate: that everything passes.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def run(self) -> None:
        """Make a round every `INTERVAL` seconds, for ever. The caller owns the task."""
        while True:
            await self._gate.batching.clock.sleep(INTERVAL)
            try:
                await self.round()
            except Exception:  # noqa: BLE001  whatever it is, the next round tries again
                _log.exception("Batches of callers cannot be booked at the moment; it will be tried again.")

    async def round(self) -> int:
        """Book what is over by now; gives how many batches that were.

        Raises:
            HeadgateError: the store cannot be asked.
        """
        done = 0
        for line in await self._open():
            for name in await self._gate.batching.book.made_by(line.call_id):
                try:
                    done += await self._settle(line, name)
                except HeadgateError as error:
                    _log.warning("The batch %s cannot be booked now: %s", name, error.message)
        return done

    async def _open(self) -> list[AttemptRow]:
        """The attempts that have made batches whose rows are not booked yet."""
        now = datetime.fromtimestamp(self._gate.batching.clock.time(), UTC)
        since = (now - timedelta(days=DAYS)).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
        # Sums tell at once on which days there are any; lines are looked through only where there are.
        _, days = await self._gate.usage(Query(since=since, by=("day",), where=_WHERE))
        found: list[AttemptRow] = []
        for day in (group.group["day"] for group in days if group.unknown_attempts):
            query = Query(since=since, only="unknown", where={**_WHERE, "day": str(day)})
            found += [line async for line in self._gate.rows(query)]
        return found

    async def _settle(self, line: AttemptRow, name: str) -> bool:
        assert line.provider is not None, "it has left"
        wire = Wire(self._gate, caller=Caller(key=line.key, project=line.project), parent=line.call_id)
        remote = await wire.look(line.provider, name)
        if remote.status not in ENDED:
            return False
        record = self._record(line, remote)
        if record is not None:
            for file in (remote.output_file_id, remote.error_file_id):
                if file is not None:
                    await self._book(wire, record, file, line.user)
        # Somebody else has booked it meanwhile.
        with suppress(BadRequestError):
            await self._gate.resolve(line.call_id, line.attempt, None, CLERK)
        return True

    def _record(self, line: AttemptRow, remote: Remote) -> BatchRecord | None:
        operation = operation_at(remote.endpoint)
        if operation is None or line.provider is None:
            return None
        began = remote.created_at or line.time
        model = remote.model or "batch"
        facts = Facts(
            operation=operation, asked=model, key=line.key, project=line.project, tags=line.tags,
            funds=self._gate.batching.funds(line, operation, model), remote=remote.id, remote_began=began,
        )  # fmt: skip
        return BatchRecord(
            id=remote.id, job="", place=0, began=began, mark=remote.id, state=State.OVER, provider=line.provider,
            model=model, tokens=0, facts=facts,
        )  # fmt: skip

    async def _book(self, wire: Wire, record: BatchRecord, file: str, user: str | None) -> None:
        chunk: list[Line] = []
        async with aclosing(read_again(wire, record.provider, file)) as lines:
            async for line in lines:
                if (answered := read_any(line, user)) is not None:
                    chunk.append(self._gate.batching.line(record, answered))
                if len(chunk) >= CHUNK:
                    await self._gate.batching.settle(chunk)
                    chunk = []
        await self._gate.batching.settle(chunk)
