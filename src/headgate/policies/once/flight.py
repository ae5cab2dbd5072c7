"""A flight: a call that is under way in this process, and whoever waits for what it comes to.

Decides what of an answer is remembered while it comes, and who gets which part of it; refuses to know stores and
leases. What it has come to is said once, by one of `begin`, `stands` and `fail`.
"""

import asyncio

from headgate.core.clock import Clock
from headgate.core.errors import InterruptedError  # noqa: A004  the house's word
from headgate.core.reply import Event
from headgate.policies.once.reader import Reader, within
from headgate.policies.once.record import Facts


class Flight:
    """The flight.

    Args:
        digest: of its request.
        most: bytes of an answer that are remembered.

    Attributes:
        digest: of its request.
        leads: the store has given it to us: from here on it goes on, whoever leaves.
        facts: what is known of the answer, once it has begun.
        found: what stands in the store instead: somebody else has been there before.
        error: what it failed with.
        anew: whoever has joined it tries again: its end says nothing about theirs.
        events: the answer so far; None where it has become too large to be remembered.
    """

    __slots__ = (
        "_ended", "_known", "_most", "_readers", "_size", "anew", "digest", "error", "events", "facts", "found",
        "leads",
    )  # fmt: skip

    def __init__(self, digest: bytes, most: int) -> None:
        self.digest = digest
        self._most = most
        self._size = 0
        self._known: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers: set[Reader] = set()
        self._ended = False
        self.leads = False
        self.facts: Facts | None = None
        self.found: bytes | None = None
        self.error: BaseException | None = None
        self.anew = False
        self.events: list[Event] | None = []

    @property
    def wanted(self) -> bool:
        """Whether its answer is of use to anybody but its own caller."""
        return self.leads and (self.events is not None or any(not reader.left for reader in self._readers))

    async def known(self, clock: Clock, deadline: float | None) -> None:
        """Wait until it has begun, or will not.

        Raises:
            TimeoutError: the deadline has passed.
        """
        if not self._known.done():
            await within(self._known, clock, deadline)

    def join(self, reader: Reader) -> None:
        """Read it from its start, and then as it comes."""
        assert self.events is not None, "it is remembered"
        for event in self.events:
            reader.give(event)
        if self._ended:
            reader.end()
        self._readers.add(reader)

    def begin(self, facts: Facts) -> None:
        """The answer has begun."""
        self.facts = facts
        self._tell()

    def note(self, event: Event) -> None:
        """An event of the answer has come."""
        self._size += len(event.raw)
        if self._size > self._most:
            self.events = None
        elif self.events is not None:
            self.events.append(event)
        for reader in self._readers:
            reader.give(event)
            if self.events is None and reader.unread > self._most:
                # Nobody else holds these bytes any more.
                reader.end(InterruptedError("The answer was too long to wait for who reads it so slowly."))

    def end(self) -> None:
        """The answer is complete."""
        self._ended = True
        for reader in self._readers:
            reader.end()

    def stands(self, found: bytes | None) -> None:
        """Something else stands in the store; None: nothing is known, look for yourselves."""
        self.found = found
        self.anew = found is None
        self._tell()

    def fail(self, error: BaseException, *, anew: bool) -> None:
        """There is no answer, or no end of it."""
        self.error = error
        self.anew = anew
        self._tell()
        for reader in self._readers:
            reader.end(of_ones_own(error))

    def _tell(self) -> None:
        if not self._known.done():
            self._known.set_result(None)


def of_ones_own(error: BaseException) -> BaseException:
    """The same error for somebody else: it gets a trace of its own, and has made no attempts."""
    kind = type(error)
    copy = kind.__new__(kind, *error.args)
    copy.__dict__.update(error.__dict__)
    copy.__cause__ = error.__cause__
    if hasattr(copy, "attempts"):
        copy.attempts = ()
    return copy
