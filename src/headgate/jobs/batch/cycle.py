"""The life of one batch, in steps: each leaves everything that matters in the store, and may be taken again.

Decides what follows from a batch's state, who may make it, and what becomes of rows that were not answered; refuses to
know how rows are gathered, and who wants the outcomes.

    intended ─► ready ─► creating ─► sent ─► over ─► done
       │          ▲          │                │
       └► void    └──────────┘                └─► intended, for what was not answered

The rows are with the provider from `ready` on, so a batch can be carried on by any process. Between `creating` and
`sent` a crash leaves it open whether the batch was made: it is looked for by its mark, and made only if it was not
found when it ought to be in the provider's list by any measure. Answers are booked before they are handed on; what
was neither answered nor refused goes on in a batch that follows, or is given back where it would be late.
"""

import logging

import msgspec

from headgate.core.call import Operation
from headgate.core.error import Again
from headgate.core.errors import (
    APIError,
    AuthenticationError,
    HeadgateError,
    OverBudgetError,
    OverloadedError,
    RateLimitError,
)
from headgate.gate.batching import Batching
from headgate.gate.gate import Gate
from headgate.jobs.batch.packing import Pack, endpoint
from headgate.jobs.batch.wire import Remote, Wire
from headgate.stores.batches import BatchRecord, Facts, State

ENDED = frozenset(("completed", "failed", "expired", "cancelled"))
"""What a provider says of a batch for which it does no more."""
LOST = 120.0
"""Seconds after which a batch that was to be made, and is in no list of the provider's, was not made: twice as long as
its making is waited for."""
UPLOADING = 1800.0
"""Seconds after which somebody who wanted to give the provider a file has given up."""
FIRST_WAIT, LONGEST_WAIT = 5.0, 900.0
"""Seconds until what the provider has no room for is tried again; they double."""
_log = logging.getLogger("headgate.jobs")


class Cycle:
    """Takes batches on.

    Args:
        wire: the Batch API.
        gate: has the accounts, and the book of batches.
        lost: see `LOST`.
    """

    def __init__(self, wire: Wire, gate: Gate, *, lost: float = LOST) -> None:
        self._wire = wire
        self._gate = gate
        self._book = gate.batching.book
        self._clock = gate.batching.clock
        self._lost = lost

    @property
    def _batching(self) -> Batching:
        # A change of the configuration exchanges it.
        return self._gate.batching

    async def begin(self, pack: Pack, job: str, place: int, facts: Facts) -> BatchRecord:
        """Write a batch down and give the provider its rows. It is not made yet.

        Args:
            pack: its rows.
            job: what it is a part of.
            place: which part.
            facts: what is known of all parts: `deadline`, `key`, `project`, `tags`.

        Raises:
            HeadgateError: the provider did not take the rows, or the store is away; nothing was made.
        """
        group, mark = pack.group, self._batching.chance.token()
        facts = msgspec.structs.replace(
            facts,
            operation=group.operation,
            asked=group.asked,
            kept_long=group.kept_long,
            users=pack.users,
            rows=pack.rows,
            size=pack.size,
            funds=pack.funds,
            worst=pack.worst,
        )
        record = BatchRecord(
            id=f"{job}/{place}",
            job=job,
            place=place,
            began=self._clock.time(),
            mark=mark,
            provider=group.target.provider,
            model=group.target.model or group.asked,
            tokens=pack.tokens,
            facts=facts,
        )
        if (await self._book.intend(record)).mark != mark:
            # Somebody else is at work on the same job.
            return await self.begin(pack, job, place + 1, facts)
        try:
            return await self._give(record, pack)
        except HeadgateError:
            await self.change(record, State.VOID, trouble="its rows could not be given to the provider")
            raise

    async def _give(self, record: BatchRecord, pack: Pack) -> BatchRecord:
        file = await self._wire.upload(record.provider, file_name(record), pack.stretch())
        return await self.change(record, State.READY, file=file)

    async def advance(self, record: BatchRecord, *, alone: bool = False) -> BatchRecord:
        """Take the next step, if it is time for one; gives the batch as it is then. What is `over` is for `collect`.

        Args:
            record: as it was read.
            alone: nobody else is at work on its job.

        Raises:
            OverBudgetError: what it may cost cannot be set aside now.
            HeadgateError: the step failed; it can be taken again.
        """
        if record.state is State.INTENDED:
            return await self._resume(record, alone=alone)
        if record.state is State.READY:
            return await self._make(record)
        if record.state is State.CREATING:
            return await self._find(record)
        if record.state is State.SENT:
            return await self._look(record)
        return record

    async def cancel(self, record: BatchRecord) -> BatchRecord:
        """Want a batch to end. The next steps see to it."""
        while record.state not in {State.DONE, State.VOID} and not record.facts.cancelled:
            after = await self.change(record, record.state, cancelled=True)
            record = after
        return record

    async def _resume(self, record: BatchRecord, *, alone: bool) -> BatchRecord:
        """Whoever wanted it may have died before the provider had its rows, or before that was written down."""
        if record.facts.follows is not None:
            parent = await self._book.find(record.facts.follows)
            if parent is not None and parent.state is State.OVER:
                return record  # collecting that one brings this one on
        name = file_name(record)
        file = await self._wire.find_file(record.provider, name, record.began)
        if file is not None:
            return await self.change(record, State.READY, file=file)
        if alone or self._clock.time() >= record.began + UPLOADING:
            return await self.change(record, State.VOID, trouble="whoever had its rows is gone")
        return record

    async def _make(self, record: BatchRecord) -> BatchRecord:
        now, facts = self._clock.time(), record.facts
        assert facts.file is not None, "its rows are there"
        if facts.cancelled or self.late(record):
            return await self.change(record, State.OVER, status="cancelled")
        claimed = msgspec.structs.replace(record, state=State.CREATING, claimed=now)
        most = self._batching.most_enqueued(record.provider)
        if now < facts.wait or not await self._book.claim(record, claimed, most):
            return await self._now(record)
        try:
            await self._batching.lend(record.mark, facts.funds)
            remote = await self._wire.create(
                record.provider,
                file=facts.file,
                endpoint=endpoint(Operation(facts.operation)),
                mark=record.mark,
                job=record.job,
            )
        except HeadgateError as error:
            if _not_made(error):
                return await self._not_made(claimed, error)
            _log.warning("Whether the batch %s was made is not known: %s", record.id, error.message)
            return claimed
        return await self._sent(claimed, remote)

    async def _not_made(self, claimed: BatchRecord, error: HeadgateError) -> BatchRecord:
        await self._batching.release(claimed.mark)
        if _hopeless(error):
            return await self.change(claimed, State.OVER, status="cancelled", trouble=error.message)
        tries = claimed.facts.tries
        wait = self._clock.time() + (error.retry_after or min(FIRST_WAIT * 2**tries, LONGEST_WAIT))
        back = await self.change(claimed, State.READY, wait=wait, tries=tries + 1)
        if isinstance(error, RateLimitError | OverloadedError):
            return back
        raise error

    async def _find(self, record: BatchRecord) -> BatchRecord:
        """Whoever was about to make it may have died."""
        found = await self._wire.find(record.provider, record.mark, record.claimed)
        if found:
            for extra in found[1:]:
                _log.error("The batch %s was made twice; %s is ended.", record.id, extra.id)
                await self._wire.cancel(record.provider, extra.id)
            return await self._sent(record, found[0])
        if self._clock.time() >= record.claimed + self._lost:
            await self._batching.release(record.mark)
            return await self.change(record, State.READY)
        return record

    async def _sent(self, record: BatchRecord, remote: Remote) -> BatchRecord:
        return await self.change(
            record, State.SENT, remote=remote.id, status=remote.status, remote_began=remote.created_at or record.claimed
        )

    async def _look(self, record: BatchRecord) -> BatchRecord:
        facts = record.facts
        assert facts.remote is not None, "it was made"
        unwanted = facts.cancelled or self.late(record)
        remote: Remote | None = None
        if unwanted and facts.status not in {*ENDED, "cancelling"}:
            try:
                remote = await self._wire.cancel(record.provider, facts.remote)
            except APIError as error:
                # It has ended by itself.
                if error.answer is None or error.answer.status not in {400, 409}:
                    raise
        if remote is None:
            remote = await self._wire.look(record.provider, facts.remote)
        state = State.OVER if remote.status in ENDED else State.SENT
        told = {"status": remote.status, "output": remote.output_file_id, "errors": remote.error_file_id}
        if state is record.state and all(getattr(facts, name) == value for name, value in told.items()):
            return record
        return await self.change(record, state, **told)

    def late(self, record: BatchRecord) -> bool:
        """Whether answers of a batch are of no use any more."""
        deadline = record.facts.deadline
        return deadline is not None and self._clock.time() >= deadline

    async def change(self, before: BatchRecord, state: State, **facts: object) -> BatchRecord:
        """Write down what has become of a batch, unless somebody else has; gives it as it is."""
        after = msgspec.structs.replace(
            before, state=state, facts=msgspec.structs.replace(before.facts, **facts) if facts else before.facts
        )
        return after if await self._book.change(before, after) else await self._now(before)

    async def _now(self, record: BatchRecord) -> BatchRecord:
        return await self._book.find(record.id) or record


def file_name(record: BatchRecord) -> str:
    """What a batch's rows are called at the provider: the mark is in it, so that they are found."""
    return f"headgate-{record.mark}.jsonl"


def _not_made(error: HeadgateError) -> bool:
    """Whether a batch was certainly not made by a call that failed so."""
    last = error.attempts[-1] if error.attempts else None
    if last is None or not last.sent:
        return True
    return last.status is not None and 400 <= last.status < 500 and last.status != 408


def _hopeless(error: HeadgateError) -> bool:
    """Whether this very batch will never be made, though others may."""
    if isinstance(error, AuthenticationError | RateLimitError | OverBudgetError):
        return False
    return isinstance(error, APIError) and error.again is Again.NEVER
