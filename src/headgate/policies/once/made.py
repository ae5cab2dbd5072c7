"""A call that this process makes, from its claim to its outcome.

Decides when what is said to the store, and what to those who have joined: before anything leaves that it may have left,
at the end what it came to. Refuses to know who else may have claimed it.
"""

from typing import Literal, Self

import msgspec

from headgate.core.call import Call
from headgate.core.clock import Clock
from headgate.core.errors import DeadlineError, StoppingError, StoreError
from headgate.core.policy import Handler
from headgate.core.reply import Abandoned, Event, Kind, Reply
from headgate.policies.once import record
from headgate.policies.once.flight import Flight
from headgate.policies.once.owner import Owner
from headgate.policies.once.record import Claim, Kept, Lost
from headgate.stores.blobs import Blobs

LONGEST = 86_400.0
"""Seconds for which a claim stands at least: no call takes longer, however short its outcome is kept."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What may be chosen.

    Attributes:
        keep: seconds for which an outcome is kept.
        most: bytes of an answer that is kept.
        on_store_lost: `closed` refuses calls that carry a key while the store is away; `open` makes them all the same.
    """

    keep: float = 86_400.0
    most: int = 16_000_000
    on_store_lost: Literal["closed", "open"] = "closed"


class Board:
    """What all calls of a process have in common.

    Attributes:
        blobs: where claims and outcomes stand.
        settings: what was chosen.
        clock: tells the time.
        owner: this process.
        flights: what is under way here, by its name in the store.
        made: what this process makes, by the call's id.
    """

    def __init__(self, blobs: Blobs, settings: Settings, clock: Clock, owner: Owner) -> None:
        self.blobs = blobs
        self.settings = settings
        self.clock = clock
        self.owner = owner
        self.flights: dict[str, Flight] = {}
        self.made: dict[str, Made] = {}

    @property
    def claimed(self) -> float:
        """Seconds for which a claim stands."""
        return max(self.settings.keep, LONGEST)


class Made:
    """One call. As the source of a reply it keeps what passes.

    An iterator and no generator: a generator that is left in the middle needs a task to be finished.

    Attributes:
        flight: those who wait for it find it there.
    """

    __slots__ = ("_board", "_call", "_claims", "_counted", "_inner", "_left", "_name", "_over", "flight")

    def __init__(self, board: Board, call: Call, name: str, digest: bytes) -> None:
        self._board = board
        self._call = call
        self._name = name
        self._claims = [record.write(Claim(digest, board.owner.name, call.id))]
        """What may stand in the store in our name."""
        self._counted = False
        self._left = False
        self._over = False
        self._inner: Reply | None = None
        self.flight = board.flights[name] = Flight(digest, board.settings.most)
        board.made[call.id] = self

    async def claim(self) -> bytes | None:
        """Claim it; gives what stands there already.

        Raises:
            StoreError: the store is away.
        """
        board = self._board
        await board.owner.enter()
        self._counted = True
        # Whoever leaves now may have claimed it already.
        self.flight.leads = True
        try:
            return await board.blobs.claim(self._name, self._claims[0], board.claimed)
        except BaseException:
            # Nobody knows whether it stands there now.
            board.owner.owe(self._name, self._claims[0], None, 0)
            raise

    async def leaves(self) -> None:
        """An attempt is about to leave: say so, because from here on nobody else may make the call.

        Raises:
            StoreError: the store is away, or has no claim of ours any more; nothing has left.
        """
        if self._left:
            return
        board = self._board
        before, claim = self._claims[0], Claim(self.flight.digest, board.owner.name, self._call.id, left=True)
        after = record.write(claim)
        self._claims.append(after)
        try:
            ours = await board.blobs.replace(self._name, before, after, board.claimed)
        except StoreError as error:
            if board.settings.on_store_lost == "closed":
                raise away() from error
        else:
            if not ours:
                # We were taken for dead, and somebody else makes the call; or the store has lost its memory.
                message = "The store has no claim of this gateway to this call any more, so it was not sent."
                raise StoreError(message, hint="Send it again.")
            del self._claims[0]
        self._left = True

    def stands(self, found: bytes | None) -> None:
        """It is not ours: something else stands in the store, or (None) nobody can tell."""
        self._end()
        self.flight.stands(found)

    def fail(self, error: BaseException) -> None:
        """It has failed."""
        self._end()
        cut = not isinstance(error, Exception) or isinstance(error, Abandoned)
        told = StoppingError("The gate is shutting down; the answer was cut off.") if cut else error
        deadline = self._call.deadline
        late = deadline is not None and self._board.clock.monotonic() >= deadline
        self.flight.fail(told, anew=late or isinstance(told, (StoppingError, DeadlineError)))

    def _end(self) -> None:
        board = self._board
        self._over = True
        self.flight.leads = False
        del board.flights[self._name]
        del board.made[self._call.id]
        if self._counted:
            board.owner.leave()

    async def reply(self, next: Handler) -> Reply:  # noqa: A002  the field's word
        """Make the call; its answer is complete for its caller when the outcome is kept."""
        try:
            inner = self._inner = await next(self._call)
        except BaseException as error:
            await self._settle(error)
            raise
        self.flight.begin(record.facts(inner))
        held: list[Event] = []
        async for event in self:
            held.append(event)
            # The end of a whole answer is waited for.
            if inner.stream and event.kind is not Kind.PREAMBLE:
                break
        outer = Reply(
            held,
            self if inner.stream else None,
            close=self.close,
            stream=inner.stream,
            status=inner.status,
            headers=inner.headers,
            target=inner.target,
        )
        outer.attempts, outer.cache, outer.simulated = inner.attempts, inner.cache, inner.simulated
        # The attempt is settled before the call is.
        outer.watch(None, lambda _: inner.abandon())
        return outer

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event; the end is told once the outcome is kept.

        Raises:
            HeadgateError: the stream failed.
        """
        assert self._inner is not None, "it has begun"
        try:
            event = await self._inner.__anext__()
        except StopAsyncIteration:
            await self._settle(None)
            raise
        except BaseException as error:
            await self._settle(error)
            raise
        self.flight.note(event)
        return event

    async def close(self) -> None:
        """Close the answer, wherever it is."""
        assert self._inner is not None, "it has begun"
        await self._inner.close()
        await self._settle(Abandoned())

    async def _settle(self, error: BaseException | None) -> None:
        """Say in the store what came of it, and to those who have joined."""
        if self._over:
            return
        self._over = True
        board, flight = self._board, self.flight
        if error is None:
            # Who has joined need not wait for the store.
            flight.end()
        lost = record.write(Lost(flight.digest, self._call.id))
        try:
            outcome = short = None
            if flight.events is None and (error is None or isinstance(error, Abandoned)):
                outcome = short = lost
            elif error is None and flight.events is not None and flight.facts is not None:
                kept = Kept(flight.digest, self._call.id, flight.facts, tuple(flight.events))
                outcome, short = await record.pack(kept), lost
            for claim in self._claims:
                await board.owner.exchange(self._name, claim, outcome, board.settings.keep, short)
        finally:
            if error is None:
                self._end()
            else:
                self.fail(error)


def away() -> StoreError:
    """What callers are told of a store that is away: not where it is, nor what is wrong with it."""
    message = "The store of answers is away: nobody can tell whether this call was made before."
    return StoreError(message, hint="Send it again later, or without `Idempotency-Key`: then it may be made twice.")
