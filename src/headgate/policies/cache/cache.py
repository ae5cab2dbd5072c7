"""Cache: answers from the past, and one question for all who ask the same at the same time.

Decides whether an answer may come from the past and whether one is kept: only what is complete, was cut by nobody and
refused by nobody. Refuses to know stores but by their protocol. It stands below guard, because an answer from the past
obeys today's rules, and above everything that costs, because a hit spends nothing.

Where the store is away there are misses, and no errors. Nothing is known here that the store does not know but what is
under way, so what one process forgets is forgotten by all; an answer that was under way in another process while it was
forgotten may be kept after that.
"""

from collections.abc import Awaitable, Callable

from headgate.core.call import Call
from headgate.core.clock import Clock
from headgate.core.errors import StoreError
from headgate.core.policy import Handler
from headgate.core.reply import Reply
from headgate.dialects.openai_replay import as_whole, may_be_repeated
from headgate.policies.cache.flight import MOST_BYTES, Flight, MisfitError, Start
from headgate.policies.cache.naming import Asked, Rule, asked
from headgate.policies.cache.record import Record, packed, reply_of, told, unpacked
from headgate.stores.blobs import Blobs
from headgate.stores.protocols import Journal
from headgate.stores.records import CallEnd

LARGEST = 1024 * 1024
"""Bytes of the largest answer that is kept, packed."""
LEFT = 499
"""The status of a call whose caller left, as nginx has it."""


class _Purges:
    """How often answers were forgotten."""

    number = 0


class Cache:
    """The policy.

    Args:
        blobs: where answers are kept.
        rule: what holds for a route, by the name that is asked for.
        clock: tells the time.
        start: starts a task, which whoever gives it owns too.
        journal: where attempts are closed whose call has ended before them.
        largest: bytes of the largest answer that is kept, packed.
        most: bytes of an answer that are held for those who have not read them.
    """

    def __init__(
        self,
        blobs: Blobs,
        rule: Callable[[str], Rule],
        *,
        clock: Clock,
        start: Start,
        journal: Journal,
        largest: int = LARGEST,
        most: int = MOST_BYTES,
    ) -> None:
        self._blobs = blobs
        self._rule = rule
        self._clock = clock
        self._start = start
        self._journal = journal
        self._largest = largest
        self._most = most
        self._flights: dict[str, Flight] = {}
        # How many are looking at the store, by name: what lands meanwhile waits for them.
        self._looking: dict[str, int] = {}
        self._purges = _Purges()

    def carry(self, former: "Cache") -> None:
        """Go on with what is under way in another one, so that it is joined, and forgotten, like one's own."""
        self._flights, self._looking = former._flights, former._looking  # noqa: SLF001  our own kind
        self._purges = former._purges  # noqa: SLF001  ditto

    def __call__(self, call: Call, next: Handler) -> Awaitable[Reply]:  # noqa: A002  the field's word
        """Answer a call from the past, or pass it on."""
        wanted = asked(call, self._rule(call.model))
        return next(call) if wanted is None else self._answer(call, wanted, next)

    async def purge(self, label: str | None = None) -> int:
        """Forget all answers with a label (`model:…`, `tag:name=value`), or all: how many were forgotten.

        What is under way is not kept, and nobody joins it any more.

        Raises:
            StoreError: the store is away; nothing is certain to be forgotten.
        """
        self._purges.number += 1
        self._flights.clear()
        return await self._blobs.drop(label)

    async def _answer(self, call: Call, wanted: Asked, next: Handler) -> Reply:  # noqa: A002  ditto
        try:
            while True:
                flight = self._flights.get(wanted.name)
                if flight is None and not wanted.refresh:
                    found, flight = await self._look(call, wanted)
                    if found is not None:
                        return found
                if flight is not None and flight.over and wanted.refresh:
                    flight = None
                leads = flight is None
                if flight is None:
                    flight = self._begin(call, wanted, next)
                past = flight.over
                reply = await flight.join(call, leads=leads)
                if reply is not None:
                    if past:
                        # It was there already, and only on its way to the store.
                        reply.cache = "hit"
                    return reply
        except MisfitError:
            return await next(call)

    async def _look(self, call: Call, wanted: Asked) -> tuple[Reply | None, Flight | None]:
        """The answer that is kept; where there is none, the flight that is under way by now."""
        name = wanted.name
        self._looking[name] = self._looking.get(name, 0) + 1
        try:
            reply = await self._kept(call, wanted)
            return reply, self._flights.get(name)
        finally:
            self._looking[name] -= 1
            if not self._looking[name]:
                del self._looking[name]
                flight = self._flights.get(name)
                if flight is not None and flight.landed:
                    del self._flights[name]

    async def _kept(self, call: Call, wanted: Asked) -> Reply | None:
        try:
            raw = await self._blobs.get(wanted.name)
        except StoreError:
            return None
        record = None if raw is None else await unpacked(raw)
        if record is None or self._clock.time() - record.made > wanted.ttl:
            return None
        reply = reply_of(record, call)
        if reply is not None:
            reply.cache = "hit"
            call.saved.append(record.cost or 0)
        return reply

    def _begin(self, call: Call, wanted: Asked, next: Handler) -> Flight:  # noqa: A002  ditto
        purges = self._purges.number

        def forget(flight: Flight) -> None:
            if self._flights.get(wanted.name) is flight:
                del self._flights[wanted.name]

        async def landed(flight: Flight) -> None:
            try:
                if purges == self._purges.number:
                    await self._keep(flight, wanted)
            except StoreError:
                pass  # the next one asks again
            finally:
                flight.landed = True
                # Who is looking at the store has perhaps looked too early, and finds the answer here.
                if wanted.name not in self._looking:
                    forget(flight)
                if flight.left_at is not None and len(call.trail) > flight.left_at:
                    # The call has ended before these attempts began: they count for nobody's call.
                    end = CallEnd(call_id=call.id, attempts=0, status=LEFT, error_type="cancelled", cache="miss")
                    self._journal.call(end)

        flight = self._flights[wanted.name] = Flight(call, clock=self._clock, forget=forget, most=self._most)
        flight.depart(next, self._start, landed)
        return flight

    async def _keep(self, flight: Flight, wanted: Asked) -> None:
        inner, call = flight.inner, flight.call
        if inner is None or flight.error is not None or flight.shut or inner.status != 200 or not flight.over:
            return
        # What was said by several, each going on where another broke off, is nobody's answer.
        if any(attempt.error_type is not None and attempt.first_token_ms is not None for attempt in call.trail):
            return
        events = [event.raw for event in flight.events]
        whole = as_whole(call.operation, events) if inner.stream else events[0]
        if whole is None or not may_be_repeated(call.operation, whole):
            return
        target = inner.target
        record = Record(
            made=self._clock.time(),
            provider=target.provider if target is not None else "",
            model=target.model if target is not None else None,
            simulated=inner.simulated,
            cost=flight.cost,
            echo=told(call),
            whole=None if inner.stream else whole,
            events=events if inner.stream else [],
        )
        raw = await packed(record)
        if len(raw) <= self._largest:
            await self._blobs.put(wanted.name, raw, wanted.ttl, _labels(call, record))


def _labels(call: Call, record: Record) -> list[str]:
    """What an answer is forgotten by: the names of its model, and the tags of whoever asked first."""
    served = call.trail[-1].model_served if call.trail else None
    models = dict.fromkeys(name for name in (call.model, record.model, served) if name)
    labels = [*(f"model:{name}" for name in models), *(f"tag:{name}={value}" for name, value in call.tags.items())]
    return [label.replace("\n", " ") for label in labels]
