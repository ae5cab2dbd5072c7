"""Rates shared by processes, in Redis or Valkey.

Decides what travels to the store and when, and which grants belong to the store and which to this process alone.
Refuses to know connections (`courier.py`), words (`rates_speech.py`), what the store does (`rates_lua.py`), and what
happens without it (`alone.py`).

Takes, settlements, renewals and hints of one turn of the loop leave together, settlements first: an uncontended take
is one round trip, and a settlement waits for nothing. Far from a limit the store grants a slice beyond what was asked,
which is spent without asking (`slices.py`).

A place is leased: one heartbeat of the process renews all its places, and puts those back that the store has lost. A
process that dies loses them when the lease ends. What was under way when the store was lost counts as taken, and its
place as free: neither is asked about again. Calls that were let through without the store keep their places, which are
asserted when it is back, and settle with whoever let them through.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from headgate.core.clock import Chance, Clock
from headgate.core.limits import Demand
from headgate.stores.alone import Alone, Among, Mode
from headgate.stores.courier import AwayError, Courier, Message
from headgate.stores.rates import Grant, Rule, corrections
from headgate.stores.rates_speech import SCRIPTS, Ask, Known, Speech, short
from headgate.stores.slices import SHARE, Slice

LEASE = 10.0
"""Seconds for which a place is kept without a word of its holder."""
BEAT_EVERY = 1.0
"""Seconds between two heartbeats, at most: a third of the lease where that is less."""
MOST_NAMES = 10_000
"""Rules that are remembered; the store remembers the others. Callers can make names up."""
MOST_ASKS = 500
"""Decisions that travel in one batch."""
MOST_HINTS = 1000
LONGEST_PAUSE = 1.0
"""Seconds between two tries to reach the store, at most."""
_LOOK = 8
_LIMITED = (None, "requests", "tokens", "concurrency", "store")
_MICRO = 1e-6
_GONE = "The shared store of limits %s: %s. Until it is back, `policies.on_shared_store_lost: %s` holds."
_log = logging.getLogger("headgate.stores")

Start = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]
Said = tuple[Message, Callable[[Any], None] | None]
"""A message, and who hears the answer."""


class RedisRates:
    """The store; see `stores.rates.Rates`. Belongs to one event loop; `open` it there.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        clock: tells the time, for what is kept locally.
        chance: names this process.
        start: starts a background task, which whoever gives it owns too.
        lost: what becomes of limits while the store is away.
        processes: how many share the limits, as long as the store has not said.
        lease: seconds for which a place is kept without a word of its holder.

    Raises:
        ConfigError: the address is none.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        chance: Chance,
        start: Start,
        lost: Mode = "share",
        processes: int = 1,
        lease: float = LEASE,
    ) -> None:
        self._courier = Courier(url, SCRIPTS)
        self._clock = clock
        self._start = start
        self._speech = Speech(chance.token()[:16], lease)
        self._lease = lease
        self._every = min(BEAT_EVERY, lease / 3)
        self._alone = Alone(lost, clock)
        # Who has not been told its rank is the last.
        self._among = Among(processes, processes - 1)
        self._trusted = 0.0
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._unsaid: list[Known] = []
        self._asks: list[Ask] = []
        # Under way: asks, and places that the store is told to free.
        self._flying: list[Ask] = []
        self._freeing: list[tuple[Known, list[str]]] = []
        self._hints: dict[str, float] = {}
        self._resting: dict[str, float] = {}
        self._number = 0
        self._due = False
        self._wake = asyncio.Event()
        self._tried = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []
        self._reached = False
        self._away: float | None = clock.time()
        self._offset = 0.0
        self._error = "not asked yet"

    async def open(self) -> None:
        """Reach for the store, once; if it is away, go on without it and try again behind the scenes."""
        self._tasks = [self._start(self._serve(), "shared store"), self._start(self._beat(), "heartbeat")]
        await self._tried.wait()

    def decide(self, rule: Rule, demand: Demand) -> None:
        """The store has to be asked."""

    async def take(self, rule: Rule, demand: Demand) -> Grant:
        """Take one request, its tokens and a place at once, or nothing."""
        known = self._find(rule.name)
        if self._away is not None:
            return self._decide_alone(known, rule, demand)
        self._number += 1
        ask = Ask(known, self._number, rule, demand)
        if known.slice is not None or _sliceable(rule):
            now = self._clock.monotonic()
            if known.slice is not None:
                if _sliceable(rule) and known.slice.take(ask.moves, now):
                    requests, tokens = known.slice.ahead(now)
                    return Grant(at=now + self._offset, requests=requests, tokens=tokens, ticket=ask.number)
                self._return_slice(known, now)
            size = rule.burst * SHARE
            if ask.moves and max(step for _, step in ask.moves) <= size:
                ask.sliced = size
        known.asking += 1
        self._asks.append(ask)
        self._wake.set()
        try:
            grant = await ask.answer
        except asyncio.CancelledError:
            if ask.answer.done() and not ask.answer.cancelled():
                # Answered and cancelled in the same turn.
                granted = ask.answer.result()
                if granted is not None and granted.limited is None:
                    self.settle(rule, granted, demand, None)
            raise
        return self._decide_alone(known, rule, demand) if grant is None else grant

    def settle(self, rule: Rule, grant: Grant, held: Demand, used: Demand | None) -> None:
        """Give the place back and correct the tokens, soon."""
        known = self._find(rule.name)
        number = abs(grant.ticket)
        if grant.permit and known.held.pop(number, False):
            known.ended.append(self._speech.member(number))
            self._say(known)
        if grant.ticket < 0:
            self._alone.settle(rule, grant, held, used, self._among)
            return
        moves = corrections(rule.limits, held, used)
        if moves:
            self._correct(known, moves)
        if used is None and rule.limits.sliding:
            known.forgotten.append(self._speech.member(number))
            self._say(known)

    def rest(self, name: str, seconds: float) -> None:
        """Hint to the other processes that a target shall rest for so long; 0 ends it."""
        if len(self._hints) < MOST_HINTS or name in self._hints:
            self._hints[name] = self._clock.monotonic() + seconds
            self._wake.set()

    def resting(self, name: str) -> float:
        """Seconds for which another process hints that a target shall rest."""
        until = self._resting.get(short(name))
        return 0.0 if until is None else max(until - self._clock.monotonic(), 0.0)

    def health(self) -> Mapping[str, Any]:
        """Whether it is here, what happens while it is not, and who shares it."""
        told = {"status": "ok", "type": "redis", "mode": self._alone.mode, "processes": self._among.processes}
        if self._away is not None:
            told |= {"status": "away", "since": self._away, "error": self._error}
        return told

    async def close(self) -> None:
        """Give back what this process holds, and stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for known in self._known.values():
            known.ended += [self._speech.member(number) for number, told in known.held.items() if told]
            known.held.clear()
            if known.slice is not None:
                self._return_slice(known, self._clock.monotonic())
            if known.ended:
                self._say(known)
        if self._reached:
            self._reached = False
            with suppress(AwayError):
                # The task may have been stopped in the middle of a word.
                await self._courier.open()
                messages = [message for message, _ in self._settlements()]
                await self._courier.carry([*messages, self._speech.beat(farewell=True)])
        await self._courier.close()

    # Behind the scenes.

    async def _serve(self) -> None:
        try:
            await self._go_on()
        finally:
            # Nobody may wait for what will not come.
            self._away = self._away or self._clock.time()
            self._drop()
            self._tried.set()

    async def _go_on(self) -> None:
        pause = LONGEST_PAUSE / 10
        while True:
            try:
                self._speech.run = await self._courier.open()
                # Whoever holds a place says so before anybody asks for one.
                await self._exchange(self._heartbeat())
                pause = LONGEST_PAUSE / 10
                self._come_back()
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    await self._exchange(self._batch())
            except AwayError as error:
                self._lose(str(error))
            except Exception as error:  # noqa: BLE001  the limits go on without it, as declared; what is wrong is told
                _log.exception("What the shared store said cannot be understood.")
                self._lose(f"{type(error).__name__}: {error}")
            self._tried.set()
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _beat(self) -> None:
        while True:
            await self._clock.sleep(self._every)
            self._due = True
            self._wake.set()

    async def _exchange(self, batch: Sequence[Said]) -> None:
        if not batch:
            return
        replies = await self._courier.carry([message for message, _ in batch])
        for (_, answer), reply in zip(batch, replies, strict=True):
            if answer is not None:
                answer(reply)
        self._flying, self._freeing = [], []

    def _batch(self) -> list[Said]:
        """Everything that there is to say, in the order in which it is to be heard."""
        now = self._clock.monotonic()
        batch: list[Said] = []
        if self._due:
            self._due = False
            for known in self._known.values():
                if known.slice is not None and known.slice.over(now):
                    self._return_slice(known, now)
            batch += self._heartbeat()
        batch += self._settlements()
        for name, until in self._hints.items():
            batch.append((self._speech.rest(name, until - now), None))
        self._hints.clear()
        asks, self._asks = self._asks[:MOST_ASKS], self._asks[MOST_ASKS:]
        if self._asks:
            self._wake.set()
        for ask in asks:
            if ask.answer.done():
                ask.known.asking -= 1
            else:
                self._flying.append(ask)
                batch.append((self._speech.take(ask), partial(self._answer, ask, now)))
        return batch

    def _settlements(self) -> list[Said]:
        found: list[Said] = []
        unsaid, self._unsaid = self._unsaid, []
        for known in unsaid:
            if known.ended:
                self._freeing.append((known, known.ended))
            found += [(message, None) for message in self._speech.settle(known)]
        return found

    def _heartbeat(self) -> list[Said]:
        found: list[Said] = [(self._speech.beat(), self._heard)]
        for known in self._known.values():
            if known.held:
                found += [(message, None) for message in self._speech.renew(known)]
        return found

    def _answer(self, ask: Ask, asked: float, reply: list[int]) -> None:
        code, wait, at, *clocks, sliced = reply
        requests, *tokens = (clock * _MICRO for clock in clocks)
        self._offset = at * _MICRO - asked
        ask.known.asking -= 1
        permit = 0
        if not code:
            if ask.rule.limits.concurrency is not None:
                permit = ask.number
                ask.known.held[permit] = True
            if sliced:
                if ask.known.slice is not None:
                    self._return_slice(ask.known, self._clock.monotonic())
                kinds = (kind for kind, _ in ask.moves)
                ask.known.slice = Slice((requests, *tokens), kinds, ask.sliced, asked)
        number = 0 if code else ask.number
        grant = Grant(wait * _MICRO, permit, at * _MICRO, requests, max(tokens), _LIMITED[code], number)
        if not ask.answer.done():
            ask.answer.set_result(grant)
        elif not code:
            # Nobody waits for it any more.
            self.settle(ask.rule, grant, ask.demand, None)

    def _heard(self, reply: list[Any]) -> None:
        processes, rank, *hints = reply
        now = self._clock.monotonic()
        # A store that has just come back is heard by one after the other: until all had time, the old number stands.
        if processes >= self._among.processes or now >= self._trusted:
            self._among = Among(max(processes, 1), rank)
        self._resting = {
            name.decode("utf-8", "replace"): now + microseconds * _MICRO
            for name, microseconds in zip(hints[::2], hints[1::2], strict=True)
        }

    def _come_back(self) -> None:
        self._trusted = self._clock.monotonic() + self._lease
        if self._away is not None and self._tried.is_set():
            _log.warning("The shared store of limits is back.")
        self._away, self._reached = None, True
        self._tried.set()
        self._wake.set()

    def _lose(self, why: str) -> None:
        self._error, self._reached = why, False
        if self._away is None:
            _log.warning(_GONE, "is away", why, self._alone.mode)
            self._away = self._clock.time()
        elif not self._tried.is_set():
            _log.warning(_GONE, "cannot be reached", why, self._alone.mode)
        self._drop()

    def _drop(self) -> None:
        flying, self._flying = self._flying, []
        freeing, self._freeing = self._freeing, []
        for known, ended in freeing:
            known.ended += ended
            self._say(known)
        for ask in flying:
            # Perhaps it got a place; nobody will use it.
            if ask.rule.limits.concurrency is not None:
                ask.known.ended.append(self._speech.member(ask.number))
                self._say(ask.known)
        waiting, self._asks = self._asks, []
        for ask in (*flying, *waiting):
            ask.known.asking -= 1
            if not ask.answer.done():
                ask.answer.set_result(None)
        self._resting = {}

    def _decide_alone(self, known: Known, rule: Rule, demand: Demand) -> Grant:
        stored = sum(known.held.values())
        grant = self._alone.take(rule, demand, self._among, stored)
        if grant.limited is not None:
            return grant
        self._number += 1
        if rule.limits.concurrency is None:
            return msgspec.structs.replace(grant, ticket=-self._number)
        known.held[self._number] = False
        return msgspec.structs.replace(grant, permit=self._number, ticket=-self._number)

    # Small things.

    def _find(self, name: str) -> Known:
        known = self._known.get(name)
        if known is not None:
            self._known.move_to_end(name)
            return known
        # A few looks at most, however many there are: what is in use goes to the end and stays.
        for _ in range(_LOOK):
            if len(self._known) < MOST_NAMES:
                break
            oldest, other = self._known.popitem(last=False)
            if not other.idle():
                self._known[oldest] = other
        known = self._known[name] = Known(name)
        return known

    def _say(self, known: Known) -> None:
        if not known.unsaid:
            known.unsaid = True
            self._unsaid.append(known)
        self._wake.set()

    def _correct(self, known: Known, moves: Sequence[tuple[int, float]]) -> None:
        for kind, step in moves:
            known.owed[kind] += step
        self._say(known)

    def _return_slice(self, known: Known, now: float) -> None:
        assert known.slice is not None
        rest, known.slice = known.slice.rest(now), None
        if rest:
            self._correct(known, rest)


def _sliceable(rule: Rule) -> bool:
    """A slice is of rates alone: places are exact, a sliding minute is, and what is spread has no burst."""
    return rule.limits.concurrency is None and not (rule.limits.sliding or rule.limits.spread)
