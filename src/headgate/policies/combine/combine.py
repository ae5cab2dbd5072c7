"""Combine: small calls that arrive together leave as one, and each caller gets its own answer.

Decides which calls wait for others, for how long, and what becomes of a group; refuses to know how requests look
together (`kinds.py`) and what each caller pays (budget splits that).

A call waits where its route says so, or it says so itself, if it is small and plain, comes of the same tenant, for the
same model and with the same parameters as the others, and has time. No two tenants ever share a prompt: what one of
them writes could speak to the model of what another one wrote. Streams never wait.

    | what happened                                              | then                                        |
    |------------------------------------------------------------|---------------------------------------------|
    | so many have come, or the first has waited so long         | the group goes; one alone goes as it came   |
    | the answer has no entry for a call, two, or one too long   | that one is asked alone, once               |
    | an error that being together may have caused: the request  | each is asked alone, once                   |
    | is refused for its content or its length, a budget of one  |                                             |
    | of them is short, …                                        |                                             |
    | the deadline of one of them is over, or cannot be met      | those who have much more time ask alone     |
    | any other error: the provider is away, too slow, too busy  | each gets it: asking each alone would storm |
    | a caller leaves before the group goes                      | its text is not in it                       |
    | a caller leaves later                                      | it pays its share; the others get theirs    |
    | all have left                                              | the call is cancelled                       |
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from functools import partial
from typing import Any

import msgspec

from headgate.catalog.tokens import Tokens
from headgate.core.body import Body
from headgate.core.call import NO_TAGS, Call, Operation, Origin
from headgate.core.clock import Chance, Clock
from headgate.core.errors import (
    Again,
    DeadlineError,
    HeadgateError,
    Onward,
    OversizeError,
    StoppingError,
    TimeoutError,  # noqa: A004  the house's word
)
from headgate.core.policy import Handler
from headgate.core.reply import Event, Reply
from headgate.core.together import Combining
from headgate.policies.combine.group import Group, Member
from headgate.policies.combine.kinds import Kind_, Part, kinds

PATIENCE = 4
"""So many times as long as a group may wait a call must have left; else it goes at once."""
TURN = 16_000
"""Bytes of texts that are counted before others get their turn."""
_EARLY = 0.01
"""Seconds."""
_ID = 8
"""Hexadecimal digits of the id of a text: nobody can guess it while it matters."""

Start = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]


class Combine:
    """The policy.

    Args:
        route: how calls for a name are put together; None where they are not.
        lacks: whether the models behind a name are known not to take a schema.
        tokens: counts them.
        start: runs a coroutine in the background and owns it.
        clock: for the wait.
        chance: names calls, and the texts in them.
    """

    def __init__(
        self,
        route: Callable[[str], Combining | None],
        *,
        lacks: Callable[[str], bool],
        tokens: Tokens,
        start: Start,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._route = route
        self._lacks = lacks
        self._start = start
        self._clock = clock
        self._chance = chance
        self._tokens = tokens
        self._kinds = kinds(tokens.soon)
        self._growing: dict[Hashable, Group] = {}

    def __call__(self, call: Call, next: Handler) -> Awaitable[Reply]:  # noqa: A002  the field's word
        """Ask with others, or pass on what is not to be asked with others."""
        how = call.combining or self._route(call.model)
        if how is None or call.stream or call.origin is not Origin.CALLER:
            return next(call)
        kind, part = self._part(call, how)
        return next(call) if part is None or kind is None else self._wait(call, part, kind, how, next)

    def _part(self, call: Call, how: Combining) -> tuple[Kind_ | None, Part | None]:
        """What is asked for, if that may wait and be asked together."""
        kind = self._kinds.get(call.operation)
        if kind is None or not isinstance(call.body, Body) or call.address or call.names or call.account or call.avoid:
            return None, None
        if call.deadline is not None and call.deadline - self._clock.monotonic() < PATIENCE * how.seconds:
            return None, None
        if call.operation is not Operation.EMBEDDINGS and self._lacks(call.model):
            return None, None
        return kind, kind.part(call)

    async def _wait(
        self, call: Call, part: Part, kind: Kind_, how: Combining, next: Handler  # noqa: A002  the field's word
    ) -> Reply:  # fmt: skip
        key = (
            call.operation, call.model, call.caller.tenant, call.user, part.shared, tuple(call.headers.items()),
            call.timeouts, call.priority, call.deadline is None, call.unsupported, how,
        )  # fmt: skip
        group = self._growing.get(key)
        if group is not None and not group.takes(part):
            self._go(group)
            group = None
        if group is None:
            group = self._growing[key] = Group(key, kind, how, next)
            group.timer = self._start(self._grow(group), "combine")
            group.timer.add_done_callback(partial(self._stopped, group))
        member = Member(call, part)
        group.add(member)
        if group.full:
            self._go(group)
        try:
            reply = await member.answered
        except asyncio.CancelledError:
            self._leave(group, member)
            raise
        return await next(call) if reply is None else reply

    async def _grow(self, group: Group) -> None:
        await self._clock.sleep(group.seconds)
        self._go(group)

    def _stopped(self, group: Group, task: asyncio.Task[Any]) -> None:
        """A task of a group is over. If it was ended from outside, perhaps before it had begun, nobody shall wait."""
        if task in {group.timer, group.task}:
            self._close(group)
            group.fail(StoppingError("The gate was closed while calls were put together."))

    def _go(self, group: Group) -> None:
        """From now on nobody joins."""
        self._close(group)
        if len(group.members) == 1:
            group.members[0].get(None)
        else:
            group.task = self._start(self._ask(group), "combined call")
            group.task.add_done_callback(partial(self._stopped, group))

    def _close(self, group: Group) -> None:
        timer, group.timer = group.timer, None
        if self._growing.get(group.key) is group:
            del self._growing[group.key]
        if timer is not None and timer is not asyncio.current_task():
            timer.cancel()

    def _leave(self, group: Group, member: Member) -> None:
        if group.timer is not None:
            group.remove(member)
            if not group.members:
                self._close(group)
        elif group.task is not None:
            group.left.add(member.call.id)
            if len(group.left) == len(group.members):
                # Nobody waits for it any more.
                group.task.cancel()

    async def _ask(self, group: Group) -> None:
        try:
            await self._answer(group)
        except HeadgateError as error:
            if _by_company(error):
                for member in group.members:
                    member.get(None)
            else:
                self._spare(group, error)
                group.fail(error)
        except Exception as error:
            group.fail(error)
            raise

    def _spare(self, group: Group, error: HeadgateError) -> None:
        """One member's haste is no other's failure: who could have waited with others still asks alone."""
        deadlines = [member.call.deadline for member in group.members if member.call.deadline is not None]
        now = self._clock.monotonic()
        if not deadlines or not isinstance(error, (TimeoutError, DeadlineError)):
            return
        # A timer may go off a little early.
        if isinstance(error, TimeoutError) and now < min(deadlines) - _EARLY:
            return
        for member, until in zip(group.members, deadlines, strict=True):
            if until - now >= PATIENCE * group.seconds and until > min(deadlines):
                member.get(None)

    async def _answer(self, group: Group) -> None:
        members = group.members
        calls, parts = [member.call for member in members], [member.part for member in members]
        first = calls[0]
        tokens = await self._counted(parts, first.model)
        asked = group.kind.ask(calls, parts, tokens, self._ids(len(members)), group.left)
        call = msgspec.structs.replace(
            first,
            id=self._chance.token(),
            body=asked.body,
            started=self._clock.monotonic(),
            tags=NO_TAGS,
            deadline=min([call.deadline for call in calls if call.deadline is not None], default=None),
            origin=Origin.INTERNAL,
            parent=first.id,
            combining=None,
            together=asked.together,
            trail=[],
            verdicts=[],
            judged=[],
        )
        async with await group.next(call) as reply:
            event = await reply.read()
        for member, said in zip(members, asked.answers(event), strict=True):
            if not member.answered.done():
                member.get(None if said is None else _reply(group.kind, member, reply, event, said))

    async def _counted(self, parts: Sequence[Part], model: str) -> list[int]:
        """How many tokens each text has."""
        # Now the vocabulary is read, if it was not.
        await self._tokens.text("", model)
        found, size = [], 0
        for part in parts:
            found.append(self._tokens.soon(part.text, model))
            size += part.size
            if size > TURN:
                size = 0
                await self._clock.sleep(0)
        return found

    def _ids(self, number: int) -> list[str]:
        found: dict[str, None] = {}
        while len(found) < number:
            found[self._chance.token()[:_ID]] = None
        return list(found)


def _reply(kind: Kind_, member: Member, whole: Reply, event: Event, said: str | bytes) -> Reply:
    """The reply to one of them."""
    call = member.call
    own = kind.tell(call, member.part, event, said, call.trail[-1].usage)
    reply = Reply([own], status=whole.status, headers=whole.headers, target=whole.target)
    reply.attempts = call.trail
    reply.simulated = whole.simulated
    return reply


def _by_company(error: HeadgateError) -> bool:
    """Whether it may be the company's fault: nobody could have answered that request, but perhaps each alone."""
    hopeless = error.again is Again.NEVER and error.onward in {Onward.NEVER, Onward.LARGER}
    return hopeless or isinstance(error, OversizeError)
