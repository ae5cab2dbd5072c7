"""What a batch that is over came to: its answers are booked, and what it did not answer goes on, or is given back.

Decides in which order that happens, so that it can begin anew after a crash anywhere: answers are booked before they
are handed on, and booking them twice is as once; the rows that are left are with the provider again, in a batch that
follows, before this one is done.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

import msgspec

from headgate.core.call import Operation, Target
from headgate.dialects.registry import DIALECTS
from headgate.gate.batching import Batching, Line
from headgate.gate.gate import Gate
from headgate.jobs.batch.cycle import FIRST_WAIT, LONGEST_WAIT, Cycle, file_name
from headgate.jobs.batch.packing import Group, Pack, read_line, write_line
from headgate.jobs.batch.reading import Found, Tally, Unsent, as_asked, flaws_of, outcome_of, read_result, refused
from headgate.jobs.batch.wire import Wire, read_again
from headgate.jobs.row import Outcome, Trouble
from headgate.stores.batches import BatchRecord, Facts, Fund, State

FULL = "token_limit_exceeded"
"""What a provider says of a batch that would enqueue too much; it may be made later."""
CHUNK = 500
"""Answers that are booked in one transaction."""
MOST_ROUNDS = 20
"""Batches that follow one another for the same rows."""


class Harvest:
    """Collects what batches came to.

    Args:
        wire: the Batch API.
        gate: has the accounts, and the book of batches.
        cycle: takes batches on.
    """

    def __init__(self, wire: Wire, gate: Gate, cycle: Cycle) -> None:
        self._wire = wire
        self._gate = gate
        self._book = gate.batching.book
        self._clock = gate.batching.clock
        self._cycle = cycle

    @property
    def _batching(self) -> Batching:
        # A change of the configuration exchanges it.
        return self._gate.batching

    async def collect(self, record: BatchRecord) -> AsyncGenerator[Outcome | Unsent, None]:
        """What became of the rows of a batch that is over; each answer is booked before it is given.

        What was not answered goes on in a batch that follows, or is given back. One that is done can be read again, as
        long as the provider keeps what came out of it.

        Raises:
            HeadgateError: the provider or the store cannot be asked. Asked again, it begins anew.
        """
        seen: set[int] = set()
        tally = Tally()
        flaws: Mapping[int, Trouble] = {}
        whole: Trouble | None = None
        facts = record.facts
        if facts.remote is not None and facts.status == "failed":
            flaws, whole = flaws_of(await self._wire.look(record.provider, facts.remote))
        users = await self._users(record) if facts.users and (facts.output or facts.errors) else {}
        for file in (facts.output, facts.errors):
            if file is not None:
                async with aclosing(self._answers(record, file, users, seen, tally)) as outcomes:
                    async for outcome in outcomes:
                        yield outcome
        if len(seen) < facts.rows and facts.file is not None:
            async with aclosing(self._rest(record, seen, tally, flaws, whole)) as left:
                async for one in left:
                    yield one
        if record.state is State.OVER:
            await self._batching.release(record.mark)
            trouble = facts.trouble if whole is None else whole.message
            await self._cycle.change(
                record, State.DONE, answered=tally.answered, failed=tally.failed, unsent=tally.unsent,
                cost=tally.cost, realtime=tally.realtime, trouble=trouble if tally.unsent else None,
            )  # fmt: skip

    async def _answers(
        self, record: BatchRecord, file: str, users: Mapping[int, str], seen: set[int], tally: "Tally"
    ) -> AsyncGenerator[Outcome, None]:
        chunk: list[tuple[Found, Line]] = []
        async with aclosing(read_again(self._wire, record.provider, file)) as lines:
            async for line in lines:
                found = read_result(line, users)
                if found is not None and found.number not in seen:
                    seen.add(found.number)
                    chunk.append((found, self._batching.line(record, found.answered)))
                if len(chunk) >= CHUNK:
                    await self._settle(record, chunk, tally)
                    for one in chunk:
                        yield outcome_of(record, *one)
                    chunk = []
        await self._settle(record, chunk, tally)
        for one in chunk:
            yield outcome_of(record, *one)

    async def _settle(self, record: BatchRecord, chunk: Sequence[tuple[Found, Line]], tally: "Tally") -> None:
        if chunk and record.state is State.OVER:
            await self._batching.settle([line for _, line in chunk])
        for _, line in chunk:
            tally.add(line)

    async def _users(self, record: BatchRecord) -> Mapping[int, str]:
        """The end users that rows name, which their answers do not."""
        assert record.facts.file is not None, "it has answers"
        found: dict[int, str] = {}
        async with aclosing(read_again(self._wire, record.provider, record.facts.file)) as lines:
            async for line in lines:
                row = read_line(line)
                user = None if row is None else DIALECTS[row.operation].read_request(row.body).user
                if row is not None and user is not None:
                    found[row.number] = user
        return found

    async def _rest(
        self,
        record: BatchRecord,
        seen: set[int],
        tally: "Tally",
        flaws: Mapping[int, Trouble],
        whole: Trouble | None,
    ) -> AsyncGenerator[Outcome | Unsent, None]:
        """The rows that have no answer: those that the provider refuses, and those that go on or are given back."""
        facts = record.facts
        assert facts.file is not None, "its rows are there"
        reason, following = await self._fate(record, whole, progress=bool(seen) or bool(flaws))
        pack = Pack(_group(record)) if following is not None and following.state is State.INTENDED else None
        try:
            number = 0
            async with aclosing(read_again(self._wire, record.provider, facts.file)) as lines:
                async for line in lines:
                    number += 1
                    row = read_line(line)
                    if row is None or row.number in seen:
                        continue
                    seen.add(row.number)
                    if (trouble := flaws.get(number)) is not None:
                        tally.failed += 1
                        yield refused(row, trouble)
                    elif reason is not None:
                        tally.unsent += 1
                        yield Unsent(row=as_asked(row, facts.asked), reason=reason)
                    elif pack is not None:
                        pack.write(write_line(row))
            if pack is not None and following is not None:
                await self._go_on(record, following, pack)
        finally:
            if pack is not None:
                pack.close()

    async def _fate(
        self, record: BatchRecord, whole: Trouble | None, *, progress: bool
    ) -> tuple[str | None, BatchRecord | None]:
        """Why the rows that have no answer are given back; or the batch that goes on with them."""
        facts = record.facts
        if record.state is not State.OVER:
            return (facts.trouble or "its batch did not answer it") if facts.unsent else None, None
        following = await self._book.find(_following(record))
        if following is not None and following.state not in {State.INTENDED, State.VOID}:
            return None, following
        reason = self._given_back(record, whole, progress=progress)
        if reason is None:
            return None, await self._follow(record, again=whole is not None)
        if following is not None and following.state is State.INTENDED:
            following = await self._cycle.change(following, State.VOID)
            if following.state is not State.VOID:
                return None, following
        return reason, None

    def _given_back(self, record: BatchRecord, whole: Trouble | None, *, progress: bool) -> str | None:
        """Why the rows that have no answer are given back; None where they go on."""
        facts = record.facts
        if whole is not None and whole.code != FULL:
            return whole.message
        if facts.trouble is not None:
            return facts.trouble
        if self._cycle.late(record):
            return "its batch would be late"
        if facts.cancelled or facts.status == "cancelled":
            return "its batch was cancelled"
        if record.round >= MOST_ROUNDS or (not progress and whole is None):
            return f"{record.round + 1} batches did not answer it"
        return None

    async def _follow(self, record: BatchRecord, *, again: bool) -> BatchRecord:
        """The batch that goes on with what this one did not answer."""
        facts, now = record.facts, self._clock.time()
        wait = now + min(FIRST_WAIT * 2**facts.tries, LONGEST_WAIT) if again else 0.0
        following = Facts(
            operation=facts.operation, asked=facts.asked, deadline=facts.deadline, key=facts.key,
            project=facts.project, tags=facts.tags, users=facts.users, kept_long=facts.kept_long, worst=facts.worst,
            follows=record.id, wait=wait, tries=facts.tries + 1 if again else 0,
        )  # fmt: skip
        return await self._book.intend(
            BatchRecord(
                id=_following(record), job=record.job, place=record.place, round=record.round + 1,
                began=now, mark=self._batching.chance.token(), provider=record.provider, model=record.model,
                tokens=record.tokens, facts=following,
            )
        )  # fmt: skip

    async def _go_on(self, record: BatchRecord, following: BatchRecord, pack: Pack) -> None:
        """Give the provider the rows that are left; all of them cost no more than all did, nor than as many dearest."""
        if not pack.rows:
            await self._cycle.change(following, State.VOID)
            return
        facts = record.facts
        funds = tuple(
            Fund(fund.cap, fund.window, fund.limit, min(fund.amount, (facts.worst or 0) * pack.rows))
            for fund in facts.funds
        )
        file = facts.file
        if pack.rows < facts.rows or file is None:
            file = await self._wire.upload(record.provider, file_name(following), pack.stretch())
        tokens = -(-record.tokens * pack.size // max(facts.size, 1))
        after = msgspec.structs.replace(
            following,
            state=State.READY,
            tokens=min(tokens, record.tokens),
            facts=msgspec.structs.replace(following.facts, file=file, rows=pack.rows, size=pack.size, funds=funds),
        )
        await self._book.change(following, after)


def _following(record: BatchRecord) -> str:
    return f"{record.job}/{record.place}.{record.round + 1}"


def _group(record: BatchRecord) -> Group:
    facts = record.facts
    return Group(Target(record.provider, record.model), Operation(facts.operation), facts.asked, facts.kept_long)
