"""The life of one batch, in steps: each leaves everything that matters in the store, and may be taken again.

Decides what follows from a batch's state, who may make it, and what becomes of rows that were not answered; refuses to
know how rows are gathered, and who wants the outcomes.

    intended ─► ready ─► creating ─► sent ─► over ─► done
       │          ▲          │                │
       └► void    └──────────┘                └─► (what was not answered) intended

The rows are with the provider from `ready` on, so a batch can be carried on by any process. Between `creating` and
`sent` a crash leaves it open whether the batch was made: it is looked for by its mark, and made only if it was not
found when it ought to be in the provider's list by any measure. Answers are booked before they are handed on; what
was neither answered nor refused goes on in a batch that follows, or is given back where it would be late.
"""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import NamedTuple

import msgspec

from headgate.core.body import Body
from headgate.core.call import Operation, Target
from headgate.core.error import Again
from headgate.core.errors import (
    APIError,
    AuthenticationError,
    HeadgateError,
    OverBudgetError,
    OverloadedError,
    RateLimitError,
)
from headgate.dialects.registry import DIALECTS
from headgate.gate.batching import Answered, Batching, Line
from headgate.jobs.batch.packing import Group, Pack, endpoint, read_id, read_line, write_line
from headgate.jobs.batch.wire import Remote, Wire, read_again
from headgate.jobs.row import Lane, Outcome, Row, Trouble
from headgate.stores.batches import BatchRecord, Facts, Fund, State

ENDED = frozenset(("completed", "failed", "expired", "cancelled"))
"""What a provider says of a batch for which it does no more."""
FULL = "token_limit_exceeded"
"""What it says of a batch that would enqueue too much; it may be made later."""
CHUNK = 500
"""Answers that are booked in one transaction."""
MOST_ROUNDS = 20
"""Batches that follow one another for the same rows."""
LOST = 120.0
"""Seconds after which a batch that was to be made, and is in no list of the provider's, was not made: twice as long as
its making is waited for."""
UPLOADING = 1800.0
"""Seconds after which somebody who wanted to give the provider a file has given up."""
FIRST_WAIT, LONGEST_WAIT = 5.0, 900.0
"""Seconds until what the provider has no room for is tried again; they double."""
_log = logging.getLogger("headgate.jobs")


class Unsent(msgspec.Struct, frozen=True, kw_only=True):
    """A row that no batch has answered, and none will: it cost nothing, and may be asked in another way.

    Attributes:
        row: as it would be asked at once.
        reason: why.
    """

    row: Row
    reason: str


class _Read(NamedTuple):
    """One line of what came out of a batch."""

    number: int
    name: str
    answered: Answered
    request_id: str | None


class _Response(msgspec.Struct):
    status_code: int
    body: msgspec.Raw
    request_id: str | None = None


class _Result(msgspec.Struct):
    custom_id: str
    response: _Response | None = None


_RESULT = msgspec.json.Decoder(_Result)


class Cycle:
    """Takes batches on.

    Args:
        wire: the Batch API.
        batching: the accounts, and the book of batches.
        lost: see `LOST`.
    """

    def __init__(self, wire: Wire, batching: Batching, *, lost: float = LOST) -> None:
        self._wire = wire
        self._batching = batching
        self._book = batching.book
        self._clock = batching.clock
        self._lost = lost

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
            await self._change(record, State.VOID, trouble="its rows could not be given to the provider")
            raise

    async def _give(self, record: BatchRecord, pack: Pack) -> BatchRecord:
        file = await self._wire.upload(record.provider, _file_name(record), pack.stretch())
        return await self._change(record, State.READY, file=file)

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
            after = await self._change(record, record.state, cancelled=True)
            record = after
        return record

    async def _resume(self, record: BatchRecord, *, alone: bool) -> BatchRecord:
        """Whoever wanted it may have died before the provider had its rows, or before that was written down."""
        if record.facts.follows is not None:
            parent = await self._book.find(record.facts.follows)
            if parent is not None and parent.state is State.OVER:
                return record  # collecting that one brings this one on
        name = _file_name(record)
        file = await self._wire.find_file(record.provider, name, record.began)
        if file is not None:
            return await self._change(record, State.READY, file=file)
        if alone or self._clock.time() >= record.began + UPLOADING:
            return await self._change(record, State.VOID, trouble="whoever had its rows is gone")
        return record

    async def _make(self, record: BatchRecord) -> BatchRecord:
        now, facts = self._clock.time(), record.facts
        assert facts.file is not None, "its rows are there"
        if facts.cancelled or self._late(record):
            return await self._change(record, State.OVER, status="cancelled")
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
            return await self._change(claimed, State.OVER, status="cancelled", trouble=error.message)
        tries = claimed.facts.tries
        wait = self._clock.time() + (error.retry_after or min(FIRST_WAIT * 2**tries, LONGEST_WAIT))
        back = await self._change(claimed, State.READY, wait=wait, tries=tries + 1)
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
            return await self._change(record, State.READY)
        return record

    async def _sent(self, record: BatchRecord, remote: Remote) -> BatchRecord:
        return await self._change(
            record, State.SENT, remote=remote.id, status=remote.status, remote_began=remote.created_at or record.claimed
        )

    async def _look(self, record: BatchRecord) -> BatchRecord:
        facts = record.facts
        assert facts.remote is not None, "it was made"
        unwanted = facts.cancelled or self._late(record)
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
        return await self._change(record, state, **told)

    async def collect(self, record: BatchRecord) -> AsyncGenerator[Outcome | Unsent, None]:
        """What became of the rows of a batch that is over; each answer is booked before it is given.

        What was not answered goes on in a batch that follows, or is given back. One that is done can be read again, as
        long as the provider keeps what came out of it.

        Raises:
            HeadgateError: the provider or the store cannot be asked. Asked again, it begins anew.
        """
        seen: set[int] = set()
        tally = _Tally()
        flaws: Mapping[int, Trouble] = {}
        whole: Trouble | None = None
        facts = record.facts
        if facts.remote is not None and facts.status == "failed":
            flaws, whole = _flaws(await self._wire.look(record.provider, facts.remote))
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
            await self._change(
                record, State.DONE, answered=tally.answered, failed=tally.failed, unsent=tally.unsent,
                cost=tally.cost, realtime=tally.realtime,
                trouble=whole.message if whole is not None else facts.trouble,
            )  # fmt: skip

    async def _answers(
        self, record: BatchRecord, file: str, users: Mapping[int, str], seen: set[int], tally: "_Tally"
    ) -> AsyncGenerator[Outcome, None]:
        chunk: list[tuple[_Read, Line]] = []
        async with aclosing(read_again(self._wire, record.provider, file)) as lines:
            async for line in lines:
                found = _result(line, users)
                if found is not None and found.number not in seen:
                    seen.add(found.number)
                    chunk.append((found, self._batching.line(record, found.answered)))
                if len(chunk) >= CHUNK:
                    await self._settle(record, chunk, tally)
                    for one in chunk:
                        yield _outcome(record, *one)
                    chunk = []
        await self._settle(record, chunk, tally)
        for one in chunk:
            yield _outcome(record, *one)

    async def _settle(self, record: BatchRecord, chunk: Sequence[tuple[_Read, Line]], tally: "_Tally") -> None:
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
        tally: "_Tally",
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
                        yield _refused(row, trouble)
                    elif reason is not None:
                        tally.unsent += 1
                        yield Unsent(row=_asked(row, facts.asked), reason=reason)
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
            following = await self._change(following, State.VOID)
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
        if self._late(record):
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
            await self._change(following, State.VOID)
            return
        facts = record.facts
        funds = tuple(
            Fund(fund.cap, fund.window, fund.limit, min(fund.amount, (facts.worst or 0) * pack.rows))
            for fund in facts.funds
        )
        file = facts.file
        if pack.rows < facts.rows or file is None:
            file = await self._wire.upload(record.provider, _file_name(following), pack.stretch())
        tokens = -(-record.tokens * pack.size // max(facts.size, 1))
        after = msgspec.structs.replace(
            following,
            state=State.READY,
            tokens=min(tokens, record.tokens),
            facts=msgspec.structs.replace(following.facts, file=file, rows=pack.rows, size=pack.size, funds=funds),
        )
        await self._book.change(following, after)

    def _late(self, record: BatchRecord) -> bool:
        deadline = record.facts.deadline
        return deadline is not None and self._clock.time() >= deadline

    async def _change(self, before: BatchRecord, state: State, **facts: object) -> BatchRecord:
        """Write down what has become of a batch, unless somebody else has; gives it as it is."""
        after = msgspec.structs.replace(
            before, state=state, facts=msgspec.structs.replace(before.facts, **facts) if facts else before.facts
        )
        return after if await self._book.change(before, after) else await self._now(before)

    async def _now(self, record: BatchRecord) -> BatchRecord:
        return await self._book.find(record.id) or record


class _Tally:
    """What the rows of a batch came to."""

    def __init__(self) -> None:
        self.answered = self.failed = self.unsent = 0
        self.cost: int | None = 0
        self.realtime: int | None = 0

    def add(self, line: Line) -> None:
        """Count an answer."""
        if line.error is None:
            self.answered += 1
        else:
            self.failed += 1
        cost, realtime = line.entry.outcome.cost, line.realtime
        self.cost = None if self.cost is None or cost is None else self.cost + cost
        self.realtime = None if self.realtime is None or realtime is None else self.realtime + realtime


def _file_name(record: BatchRecord) -> str:
    return f"headgate-{record.mark}.jsonl"


def _following(record: BatchRecord) -> str:
    return f"{record.job}/{record.place}.{record.round + 1}"


def _group(record: BatchRecord) -> Group:
    facts = record.facts
    return Group(Target(record.provider, record.model), Operation(facts.operation), facts.asked, facts.kept_long)


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


def _flaws(remote: Remote) -> tuple[Mapping[int, Trouble], Trouble | None]:
    """What a provider has against single lines of a file, and against the whole."""
    lines: dict[int, Trouble] = {}
    whole: Trouble | None = None
    for flaw in remote.flaws:
        trouble = Trouble(code=flaw.code or "invalid_request", message=flaw.message or "the provider does not say why")
        if flaw.line is not None:
            lines.setdefault(flaw.line, trouble)
        else:
            whole = trouble
    if not lines and whole is None:
        whole = Trouble(code="batch_failed", message="The batch failed, and the provider does not say why.")
    return lines, None if lines else whole


def _result(line: bytes, users: Mapping[int, str]) -> _Read | None:
    """What a line of an output or error file tells; None where it tells of no answer."""
    try:
        found = _RESULT.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        _log.warning("A line of the provider's file cannot be read; its row counts as not answered.")
        return None
    named = read_id(found.custom_id)
    if named is None or found.response is None:
        return None
    response = found.response
    answered = Answered(found.custom_id, response.status_code, bytes(response.body), users.get(named[0]))
    return _Read(*named, answered, response.request_id)


def _outcome(record: BatchRecord, read: _Read, line: Line) -> Outcome:
    told = line.entry.outcome
    return Outcome(
        id=read.name,
        number=read.number,
        lane=Lane.BATCH,
        status=read.answered.status,
        body=read.answered.body,
        request_id=read.request_id,
        cost=told.cost,
        attempts=record.round + 1,
        error_class=None if line.error is None else type(line.error).__name__,
        prompt_tokens=told.prompt_tokens,
        completion_tokens=told.completion_tokens,
    )


def _refused(row: Row, trouble: Trouble) -> Outcome:
    return Outcome(id=row.id, number=row.number, lane=Lane.BATCH, error=trouble, error_class="BadRequestError")


def _asked(row: Row, model: str) -> Row:
    """A row as it would be asked at once: by the name that the job asked for."""
    return msgspec.structs.replace(row, body=Body(row.body).with_field("model", msgspec.json.encode(model)).raw)
