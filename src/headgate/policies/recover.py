"""Recover: a stream that broke after its first word goes on at another target, where that one says the same.

Decides whether a broken stream may be continued, asks the question again without the targets that failed, and puts the
new answer behind what was said. Refuses to know how targets are chosen (`Call.avoid` says which ones not to) and what
events look like (`dialects/openai_continued.py`).

    | the next target                                    | then                                        |
    |----------------------------------------------------|---------------------------------------------|
    | repeats all that was said                          | what it says after that goes to the caller  |
    | breaks, too, before or after that                  | the one after it is asked                   |
    | says something else, and its model takes a prefill | it is asked to go on from the words said    |
    | says something else                                | the first error, typed                      |
    | fails before its first word, or there is none      | the first error, typed                      |

While nothing has broken, events pass at the cost of remembering their words. The second answer is compared as it comes,
and none of it is kept. An error that would not have been taken to another target before the first word (the provider's
content policy, say) is not taken there after it.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

import msgspec

from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.clock import Clock
from headgate.core.errors import (
    HeadgateError,
    InterruptedError,  # noqa: A004  the house's word
    Onward,
    TimeoutError,  # noqa: A004  ditto
)
from headgate.core.policy import Handler
from headgate.core.reply import Drained, Event, Kind, Reply, Sink
from headgate.dialects.openai_again import begun, repeatable
from headgate.dialects.openai_continued import continued
from headgate.dialects.openai_said import Departed

TALKS = frozenset((Operation.CHAT, Operation.RESPONSES, Operation.COMPLETIONS))
"""Operations whose answers are words."""
BROKEN = (InterruptedError, TimeoutError)
"""How a stream ends that breaks after its first word."""
_FINAL = frozenset((Onward.NEVER, Onward.LARGER))


class Recover:
    """The policy.

    Args:
        continues: whether the route of a model's name says so.
        prefills: whether a target goes on from the beginning of an answer, by provider and model.
        clock: tells when a deadline has passed.
    """

    def __init__(self, continues: Callable[[str], bool], prefills: Callable[[str, str], bool], clock: Clock) -> None:
        self._continues = continues
        self._prefills = prefills
        self._clock = clock

    async def __call__(self, call: Call, next: Handler) -> Reply:  # noqa: A002  the field's word
        """Pass a call on, and stay with its answer where that may be continued.

        The reply's iteration raises the first error, where nothing could go on from there.
        """
        reply = await next(call)
        if not reply.stream or not self._may(call):
            return reply
        held: list[Event] = []
        try:
            async for event in reply:
                held.append(event)
                # Up to here, everything is in the reply already.
                if event.kind is not Kind.PREAMBLE:
                    break
        except BaseException:
            await reply.close()
            raise
        return _Recovering(call, next, reply, prefills=self._prefills, clock=self._clock).reply(held)

    def _may(self, call: Call) -> bool:
        return (
            call.operation in TALKS
            and call.address is None
            and call.account is None
            and not call.names
            and self._continues(call.model)
            and isinstance(call.body, Body)
            and repeatable(call.operation, call.body)
        )


class _Recovering:
    """The source of a reply that goes on when the one inside breaks.

    An iterator and no generator: a generator that is left in the middle needs a task to be finished.
    """

    __slots__ = (
        "_avoid", "_call", "_clock", "_closed", "_error", "_inner", "_next", "_outer", "_prefilled", "_prefills",
        "_seen", "_words",
    )  # fmt: skip

    def __init__(
        self,
        call: Call,
        next: Handler,  # noqa: A002  the field's word
        inner: Reply,
        *,
        prefills: Callable[[str, str], bool],
        clock: Clock,
    ) -> None:
        self._call = call
        self._next = next
        self._inner = inner
        self._prefills = prefills
        self._clock = clock
        self._seen = continued(call.operation)
        self._words = ""
        """Those that the answer inside has to repeat."""
        self._error: HeadgateError | None = None
        """The first one."""
        self._avoid = call.avoid
        self._prefilled = False
        self._closed = False
        self._outer: Reply | None = None

    def reply(self, held: Sequence[Event]) -> Reply:
        """The reply, with the events that were taken out of the one inside."""
        for event in held:
            self._seen.note(event)
        inner = self._inner
        self._outer = outer = Reply(
            held,
            self,
            close=self.close,
            pour=self.pour,
            stream=True,
            status=inner.status,
            headers=inner.headers,
            target=inner.target,
        )
        outer.attempts, outer.cache, outer.simulated = inner.attempts, inner.cache, inner.simulated
        # First of all watchers: the attempt is settled before the call is.
        outer.watch(None, self._ended)
        return outer

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event of the answer that is open, as the caller shall see it.

        Raises:
            HeadgateError: the first error, where nothing goes on from there.
        """
        while True:
            event: Event | None
            try:
                event = await self._inner.__anext__()
                if self._error is not None:
                    event = self._seen.join(event)
            except BROKEN as error:
                await self._again(error)
            except Departed:
                await self._prefill()
            else:
                if event is not None:
                    self._seen.note(event)
                    return event

    async def pour(self, sink: Sink, drained: Drained) -> None:
        """Give the rest of the events to `sink`; see `Reply.pour`."""
        if self._error is None:
            note = self._seen.note

            def take(event: Event) -> bool:
                note(event)
                return sink(event)

            try:
                await self._inner.pour(take, drained)
            except BROKEN as error:
                await self._again(error)
            else:
                return
        async for event in self:
            if not sink(event):
                await drained()

    async def close(self) -> None:
        """Close whichever answer is open."""
        self._closed = True
        await self._inner.close()

    def _ended(self, _outcome: BaseException | None) -> None:
        self._inner.abandon()
        # Without this, every call would wait for the garbage collector.
        self._outer = None

    async def _again(self, error: HeadgateError) -> None:
        """Ask the next target: the answer inside has broken.

        Raises:
            HeadgateError: the first error; there is none, or it may not be asked, or it failed.
        """
        if self._error is None:
            self._error = error
        words = self._seen.said()
        if words is None or self._inner.finished or _final(error) or self._late():
            raise self._error
        await self._inner.close()
        self._avoid += (self._target,)
        self._words = words
        self._prefilled = False
        await self._ask(msgspec.structs.replace(self._call, avoid=self._avoid), words)

    async def _prefill(self) -> None:
        """Ask the same target to go on from what was said: it has said something else.

        Raises:
            HeadgateError: the first error; it cannot do that, or it failed.
        """
        assert self._error is not None, "something broke"
        assert isinstance(self._call.body, Body), "it was read"
        target, text = self._target, self._words.rstrip()
        body = None
        # Who departs after new words has broken what nobody can mend.
        if not self._prefilled and self._prefills(*target) and self._seen.said() == self._words and not self._late():
            body = begun(self._call.operation, self._call.body, text)
        if body is None:
            raise self._error
        self._prefilled = True
        await self._inner.close()
        call = msgspec.structs.replace(self._call, body=body, avoid=self._avoid, account=target[0])
        await self._ask(call, self._words[len(text) :])
        if self._target != target:
            raise self._error

    async def _ask(self, call: Call, repeated: str) -> None:
        assert self._error is not None, "something broke"
        reply: Reply | None = None
        with suppress(HeadgateError):
            reply = await self._next(call)
        if reply is None:
            raise self._error
        # From here on, it is closed with what is outside.
        self._inner = reply
        if self._closed:
            await reply.close()
        if self._closed or not reply.stream or self._target in self._avoid:
            raise self._error
        self._seen.begin(repeated)
        if self._outer is not None:
            self._outer.target = reply.target
            self._outer.simulated = self._outer.simulated or reply.simulated

    @property
    def _target(self) -> tuple[str, str]:
        """Who gives the answer inside: provider and model."""
        target = self._inner.target
        assert target is not None, "route has picked one"
        return target.provider, target.model or self._call.model

    def _late(self) -> bool:
        return self._call.deadline is not None and self._clock.monotonic() >= self._call.deadline


def _final(error: HeadgateError) -> bool:
    """Whether what broke the stream would not have been taken to another target before the first word, either."""
    cause = error.__cause__
    return isinstance(cause, HeadgateError) and cause.onward in _FINAL
