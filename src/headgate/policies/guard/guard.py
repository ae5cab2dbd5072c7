"""Guard: no word goes in or comes out that a rule blocks, and what a rule masks is masked everywhere.

Decides whose words are judged: those of callers, not the gate's own; and what becomes of an answer that is blocked.
Refuses to know rules and dialects. It stands above everything that remembers and everything that costs: a masked
secret is neither sent nor kept nor written down, and a blocked question costs nothing.
"""

import msgspec

from headgate.core.call import Call, Operation, Origin
from headgate.core.errors import BadRequestError, HeadgateError
from headgate.core.policy import Handler
from headgate.core.reply import Event, Kind, Reply
from headgate.dialects.openai_texts import OUTPUT
from headgate.dialects.registry import DIALECTS
from headgate.policies.guard.judge import Judge
from headgate.policies.guard.rules import Chain, Chains
from headgate.policies.guard.stream import Guarded

_DRAWN = frozenset((Operation.IMAGES, Operation.IMAGE_EDITS))


class Guard:
    """The policy.

    Args:
        chains: the rules.
        batches: batches pass. They name files, whose rows nobody judges.
    """

    def __init__(self, chains: Chains, *, batches: bool = False) -> None:
        self._chains = chains
        self._batches = batches

    async def __call__(self, call: Call, next: Handler) -> Reply:  # noqa: A002  the field's word
        """Judge what a call says, pass it on, and judge what is answered.

        Raises:
            GuardError: a rule blocks the question, or the whole answer; of a stream, iterating raises it.
            GuardDownError: a rule could not run.
            BadRequestError: it would begin a batch.
        """
        if call.origin is not Origin.CALLER:
            return await next(call)
        if call.operation is Operation.BATCHES and not self._batches and _begins(call):
            message = "There are rules for what is asked and answered, and nobody judges the rows of a batch."
            hint = "Ask them one by one; or whoever runs the gateway sets `policies.guard.batches: allow`."
            raise BadRequestError(message, code="unguarded", param="input_file_id", hint=hint)
        asked, said = self._chains.of("input", call.model), self._chains.of("output", call.model)
        judge = Judge(call, next)
        if asked is not None:
            call = await self._input(call, asked, judge)
        reply = await next(call)
        if said is None or call.operation not in OUTPUT:
            return reply
        try:
            return await self._output(call, reply, said, judge)
        except BaseException as error:
            if isinstance(error, HeadgateError):
                error.attempts = reply.attempts
            await reply.close()
            raise

    async def _input(self, call: Call, chain: Chain, judge: Judge) -> Call:
        body = await judge.body(call.body, chain) if call.body.size else call.body
        return call if body is call.body else msgspec.structs.replace(call, body=body)

    async def _output(self, call: Call, reply: Reply, chain: Chain, judge: Judge) -> Reply:
        if call.opaque:
            return await self._opaque(reply, chain, judge)
        if reply.stream:
            if call.operation in _DRAWN:
                return reply
            return await _Streamed(call, reply, chain, judge).reply()
        event = await reply.read()
        if not event.raw:
            return _around(reply, [event])
        raw = await judge.answer(event.raw, OUTPUT[call.operation], chain)
        if raw is not event.raw:
            read = DIALECTS[call.operation].read_answer(raw)
            event = msgspec.structs.replace(event, raw=raw, text=read.text)
        return _around(reply, [event])

    async def _opaque(self, reply: Reply, chain: Chain, judge: Judge) -> Reply:
        """Subtitles and the like: text, and all of it."""
        raw = b"".join([event.raw async for event in reply])
        raw = await judge.text(raw.decode(errors="replace").encode(), chain)
        end = Event(kind=Kind.TERMINAL)
        return _around(reply, [Event(kind=Kind.CONTENT, raw=raw), end], stream=True)


def _begins(call: Call) -> bool:
    return call.address is None or (call.address.method, call.address.path) == ("POST", "/batches")


def _around(inner: Reply, held: list[Event], source: Guarded | None = None, *, stream: bool = False) -> Reply:
    """The reply to the caller, around the one inside."""
    outer = Reply(
        held,
        source,
        close=inner.close,
        stream=stream or source is not None,
        status=inner.status,
        headers=inner.headers,
        target=inner.target,
    )
    outer.attempts, outer.cache, outer.simulated = inner.attempts, inner.cache, inner.simulated
    return outer


class _Streamed:
    """Makes the reply of a stream: its first substantive event has passed."""

    def __init__(self, call: Call, inner: Reply, chain: Chain, judge: Judge) -> None:
        self._inner = inner
        self._source = Guarded(inner, call.operation, chain, judge)

    async def reply(self) -> Reply:
        held: list[Event] = []
        async for event in self._source:
            held.append(event)
            if event.kind is not Kind.PREAMBLE:
                break
        outer = _around(self._inner, held, self._source)
        # The attempt is settled before the call is.
        outer.watch(None, lambda _: self._inner.abandon())
        return outer
