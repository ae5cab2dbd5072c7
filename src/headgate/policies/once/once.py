"""Once: a call with an `Idempotency-Key` is made by whoever claims it first; all others get what came of that.

Decides who makes a call and what the others get:

    | what is known under the caller's key             | what becomes of the call                                     |
    |--------------------------------------------------|--------------------------------------------------------------|
    | nothing                                          | it is claimed and made                                       |
    | another request (operation, address, body)       | 422                                                          |
    | the same request, answered                       | the same answer again: status, content, events               |
    | the same, under way in this process              | its events from the start, and then as they come             |
    | the same, under way in another process           | it waits until the answer is complete                        |
    | the same, and its process is gone                | 409: nobody knows whether it was answered and paid for;      |
    |                                                  | if nothing can have left, it is made by whoever asks next    |
    | the same, answered, and the answer was not kept  | 409                                                          |

Errors are not kept: after one, the key is free, and the next request is made anew. Whoever has joined a call in this
process shares its error; where it failed of its own caller's deadline, or of the end of the gate, they try again, one
of them for all, and so does who waits for it in another process. Nothing is ever asked twice without a word: an
attempt of unknown outcome is on the books of whoever made it.

Refuses to know how a call goes on when its caller leaves (`outlive.py`) and how a dead process is told from one that is
at work (`owner.py`). The first outcome is what stood above it: it was guarded then, and is given again byte for byte.
"""

from collections.abc import Awaitable, Sequence

from headgate.core.call import Call
from headgate.core.clock import Chance, Clock
from headgate.core.errors import (
    IdempotencyReusedError,
    OutcomeUnknownError,
    StoreError,
    TimeoutError,  # noqa: A004  the house's word
)
from headgate.core.policy import Handler
from headgate.core.reply import Event, Kind, Reply
from headgate.policies.once import record
from headgate.policies.once.flight import Flight, of_ones_own
from headgate.policies.once.made import Board, Made, Settings, away
from headgate.policies.once.outlive import Outlive
from headgate.policies.once.owner import Owner, Start
from headgate.policies.once.reader import LATE, Reader
from headgate.policies.once.record import Facts, Kept, Lost
from headgate.stores.blobs import Blobs

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
"""Seconds between two looks at a call that another process makes; each pause is half as long again as the last."""
_GROWS = 1.5


class Once:
    """The policy.

    Args:
        blobs: where claims and outcomes stand.
        settings: what was chosen.
        clock: tells the time.
        chance: names this process.
        start: starts a task, which whoever gives it owns too.

    Attributes:
        outlive: the policy that lets a call go on when its caller leaves; it stands above all others.
    """

    def __init__(self, blobs: Blobs, settings: Settings, *, clock: Clock, chance: Chance, start: Start) -> None:
        self._board = Board(blobs, settings, clock, Owner(blobs, clock, chance, start))
        self.outlive = Outlive(start, clock, self._wanted)

    def __call__(self, call: Call, next: Handler) -> Awaitable[Reply]:  # noqa: A002  the field's word
        """Make a call, or give what was made of it before.

        Raises:
            IdempotencyReusedError: the key belongs to another request.
            OutcomeUnknownError: nobody knows what became of the first one, or it is known and not kept.
            StoreError: the store is away, and nothing can be promised.
            TimeoutError: the call's deadline has passed.
        """
        return next(call) if call.idempotency_key is None or not record.concerns(call) else self._once(call, next)

    def leaving(self, call: Call, next: Handler) -> Awaitable[Reply]:  # noqa: A002  the field's word
        """The policy that stands where attempts leave: what may have left is said in the store before.

        Raises:
            StoreError: the store is away, or has no claim of ours any more; nothing has left.
        """
        made = self._board.made
        if not made:
            return next(call)
        names = [call.id] if call.together is None else [one.id for one in call.together.calls]
        leaving = [made[name] for name in names if name in made]
        return _leaving(leaving, call, next) if leaving else next(call)

    def renew(self, settings: Settings) -> None:
        """From now on, something else was chosen."""
        self._board.settings = settings

    async def close(self) -> None:
        """End all calls that go on, and say what is owed to the store."""
        await self.outlive.close()
        await self._board.owner.close()

    def _wanted(self, call_id: str) -> bool:
        made = self._board.made.get(call_id)
        return made is not None and made.flight.wanted

    async def _once(self, call: Call, next: Handler) -> Reply:  # noqa: A002  ditto
        name = record.name(call)
        digest = await record.digest(call, name)
        while True:
            flight = self._board.flights.get(name)
            if flight is None:
                reply = await self._first(call, next, name, digest)
            elif flight.digest != digest:
                raise _reused()
            else:
                reply = await self._join(call, next, name, flight)
            if reply is not None:
                return reply

    async def _first(self, call: Call, next: Handler, name: str, digest: bytes) -> Reply | None:  # noqa: A002  ditto
        """Make the call, or learn from the store that it was made before. None: try again."""
        made = Made(self._board, call, name, digest)
        try:
            found = await made.claim()
        except StoreError as error:
            if self._board.settings.on_store_lost == "open":
                made.stands(None)
                return await next(call)
            refusal = away()
            made.fail(refusal)
            raise refusal from error
        except BaseException as error:
            made.fail(error)
            raise
        if found is None:
            return await made.reply(next)
        made.stands(found)
        self.outlive.not_worth(call.id)
        return await self._elsewhere(call, name, digest, found)

    async def _join(self, call: Call, next: Handler, name: str, flight: Flight) -> Reply | None:  # noqa: A002  ditto
        """The answer to the same call, which is under way in this process. None: try again."""
        await flight.known(self._board.clock, call.deadline)
        if flight.found is not None:
            return await self._elsewhere(call, name, flight.digest, flight.found)
        if flight.anew:
            if self._board.settings.on_store_lost == "open" and flight.error is None:
                return await next(call)
            return None
        if flight.error is not None:
            raise of_ones_own(flight.error)
        assert flight.facts is not None, "it has begun"
        if flight.events is None:
            raise _not_kept()
        reader = Reader(self._board.clock, call.deadline)
        flight.join(reader)
        held: list[Event] = []
        try:
            async for event in reader:
                held.append(event)
                if event.kind is not Kind.PREAMBLE:
                    break
        except BaseException:
            reader.leave()
            raise
        return _reply(flight.facts, held, reader, cache="coalesced")

    async def _elsewhere(self, call: Call, name: str, digest: bytes, found: bytes | None) -> Reply | None:
        """What another process, or an earlier time, has made of the same call. None: try again."""
        cache, pause = "hit", FIRST_PAUSE
        while found is not None:
            there = await record.read(found)
            if there is None:
                raise _unknown("What is kept of it cannot be read: another version of the gateway has written it.")
            if there.digest != digest:
                raise _reused()
            if isinstance(there, Kept):
                return _reply(there.facts, there.events, None, cache=cache)
            if isinstance(there, Lost):
                raise _not_kept(there.call)
            if await self._get(there.owner) is None:
                # It may have ended in this moment, and said so before it gave its lease back.
                again = await self._get(name)
                if again == found:
                    if there.left:
                        gone = "The process that made it is gone, and nobody knows what became of it"
                        raise _unknown(f"{gone} (call {there.call}).")
                    # Nothing has left: the key is free again, for us or for whoever is faster.
                    await self._free(name, found)
                    return None
                found = again
                continue
            cache = "coalesced"
            pause = await self._pause(pause, call.deadline)
            if name in self._board.flights:
                return None
            found = await self._get(name)
        return None

    async def _get(self, name: str) -> bytes | None:
        try:
            return await self._board.blobs.get(name)
        except StoreError as error:
            raise away() from error

    async def _free(self, name: str, claim: bytes) -> None:
        try:
            await self._board.blobs.replace(name, claim, None, 0)
        except StoreError as error:
            raise away() from error

    async def _pause(self, pause: float, deadline: float | None) -> float:
        clock, wait = self._board.clock, pause
        if deadline is not None:
            wait = min(pause, deadline - clock.monotonic())
            if wait <= 0:
                raise TimeoutError(LATE)
        await clock.sleep(wait)
        return min(pause * _GROWS, LONGEST_PAUSE)


async def _leaving(leaving: Sequence[Made], call: Call, next: Handler) -> Reply:  # noqa: A002  the field's word
    for made in leaving:
        await made.leaves()
    return await next(call)


def _reply(facts: Facts, events: Sequence[Event], rest: Reader | None, *, cache: str) -> Reply:
    """The reply to somebody who asks again."""
    reply = Reply(
        events,
        rest if facts.stream else None,
        close=None if rest is None else rest.close,
        stream=facts.stream,
        status=facts.status,
        headers=facts.headers,
        target=facts.target,
    )
    reply.cache, reply.simulated = cache, facts.simulated
    return reply


def _reused() -> IdempotencyReusedError:
    return IdempotencyReusedError("This `Idempotency-Key` was sent with another request.")


def _unknown(why: str) -> OutcomeUnknownError:
    return OutcomeUnknownError(f"This call was begun before. {why}")


def _not_kept(call: str | None = None) -> OutcomeUnknownError:
    which = "" if call is None else f" (call {call})"
    message = f"This call was answered before{which}, and its answer was not kept: it was too large, or the store away."
    hint = "The answer was given, and paid for, once. To have another one, send a new key."
    return OutcomeUnknownError(message, code="idempotency_answer_not_kept", hint=hint)
