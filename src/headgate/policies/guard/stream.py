"""A stream on its way through the guard: words are held back as long as they may be the beginning of something.

Decides when words go on, and lets the events that carry them be cut anew; refuses to know how events look
(`dialects/openai_cuts.py`) and what is wrong with words (`chain.py`). Nothing that a rule blocks is ever sent, nor
any part of it; a mask stands in each place where the provider repeats what it has said.
"""

import re
from collections import deque
from typing import Any, Self

import msgspec

from headgate.core.call import Operation
from headgate.core.reply import Event, Kind, Reply
from headgate.dialects import sse
from headgate.dialects.openai_cuts import Channel, Opened, numbered, opened
from headgate.dialects.openai_fields import measure
from headgate.dialects.registry import DIALECTS
from headgate.policies.guard.chain import Window, judged
from headgate.policies.guard.judge import Judge
from headgate.policies.guard.rules import Chain

_SENTENCE = re.compile(rb"[.!?][\"')\]]*\s|\xe3\x80\x82|\n")


class Held:
    """One text of a stream.

    Attributes:
        last: the event that its last piece came in.
    """

    __slots__ = ("_chain", "_given", "_judge", "_pending", "_said", "_seen", "_window", "last")

    def __init__(self, chain: Chain, judge: Judge) -> None:
        layer = chain.window
        self._chain = chain
        self._judge = judge
        self._window = Window(layer, chain.side, judge.tell) if layer is not None and layer.engine is not None else None
        self._pending = bytearray()
        """What waits for the end of a sentence, or of all."""
        self._seen = 0
        """Up to here, no sentence ends."""
        self._said: list[bytes] = []
        self._given: list[bytes] = []
        self.last: dict[str, Any] = {}

    async def feed(self, text: str, *, last: bool = False) -> str:
        """Take a piece, and give what may go on.

        Raises:
            GuardError: a rule blocks it.
            GuardDownError: a rule could not run.
        """
        words = text.encode()
        self._said.append(words)
        if self._window is not None:
            words = self._window.feed(words, last=last)
        if self._chain.sentence is not None or self._chain.whole is not None:
            # What needs all of it makes sentences wait as well.
            words = self._gather(words, last=last, whole=self._chain.whole is not None)
            if words:
                words = await self._layers(words)
        if words:
            self._given.append(words)
        if last:
            self._judge.known[b"".join(self._said)] = b"".join(self._given)
        return words.decode()

    def _gather(self, words: bytes, *, last: bool, whole: bool) -> bytes:
        """The sentences that are complete."""
        pending = self._pending
        pending += words
        end = len(pending) if last else 0
        if not last and not whole:
            ends = [found.end() for found in _SENTENCE.finditer(pending, self._seen)]
            end = ends[-1] if ends else 0
        given = bytes(pending[:end])
        del pending[:end]
        # The mark of an end may have come, and the space behind it not.
        self._seen = max(len(pending) - 8, 0)
        return given

    async def _layers(self, words: bytes) -> bytes:
        for layer in (self._chain.sentence, self._chain.whole):
            if layer is not None:
                words = judged(layer, self._chain.side, self._judge.tell, words)
                await self._judge.ask(layer, self._chain.side, words)
        return words


class Guarded:
    """The source of a reply whose words are judged. An iterator and no generator, as others are."""

    __slots__ = ("_chain", "_chat", "_drift", "_held", "_inner", "_judge", "_number", "_operation", "_ready")

    def __init__(self, inner: Reply, operation: Operation, chain: Chain, judge: Judge) -> None:
        self._inner = inner
        self._operation = operation
        self._chat = operation in {Operation.CHAT, Operation.COMPLETIONS}
        self._chain = chain
        self._judge = judge
        self._held: dict[Channel, Held] = {}
        self._ready: deque[Event] = deque()
        self._number: int | None = None
        """That of the next event; below 0 where they are not numbered."""
        self._drift = False
        """Events were left out or put in: from here on, they are numbered anew."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """The next event that may go on.

        Raises:
            GuardError: a rule blocks the answer. The connection to the provider is closed.
            GuardDownError: a rule could not run; ditto.
            HeadgateError: the stream failed.
        """
        while not self._ready:
            event = await self._inner.__anext__()
            try:
                await self._take(event)
            except BaseException:
                await self._inner.close()
                raise
        return self._ready.popleft()

    async def close(self) -> None:
        """Close the answer inside."""
        await self._inner.close()

    async def _take(self, event: Event) -> None:
        found = opened(event.raw, chat=self._chat)
        if found is None:
            self._ready.append(event)
            return
        same = True
        for piece in found.pieces:
            held = self._held.get(piece.channel)
            if held is None:
                held = self._held[piece.channel] = Held(self._chain, self._judge)
            held.last = found.fields
            words = await held.feed(piece.text)
            if words != piece.text:
                piece.holder[piece.name] = words
                same = False
        for channel in [channel for channel in self._held if found.ends(channel)]:
            held = self._held.pop(channel)
            rest = await held.feed("", last=True)
            if rest and self._put(found, channel, held, rest):
                same = False
        repeats = await self._judge.json(found.repeats, self._chain) if found.repeats else None
        if same and (repeats is None or repeats == found.repeats):
            self._give(event, event.raw, found.fields)
            return
        if not found.other and not any(piece.holder[piece.name] for piece in found.pieces):
            # All of it waits.
            self._drift = True
            return
        raw = found.written(repeats)
        self._give(self._cut(event, found, raw), raw, found.fields)

    def _put(self, found: Opened, channel: Channel, held: Held, rest: str) -> bool:
        """Put the rest of a text into the event that ends it (then True), or into one before it."""
        for piece in found.pieces:
            if piece.channel == channel:
                piece.holder[piece.name] += rest
                return True
        raw = found.before(channel, held.last, rest)
        text = rest if _visible(channel) else ""
        self._drift = True
        self._give(Event(kind=Kind.CONTENT, text=text, size=measure(rest)), raw, found.fields)
        return False

    def _cut(self, event: Event, found: Opened, raw: bytes) -> Event:
        """What an event is for, now that it carries other words."""
        if not found.pieces:
            if not event.text:
                return event
            # All words at once, in the last event.
            read = DIALECTS[self._operation].read_stream(usage_wanted=True).read(sse.Decoder().feed(raw)[0])
            return msgspec.structs.replace(event, text=read.text)
        texts = [(piece.channel, str(piece.holder[piece.name])) for piece in found.pieces]
        kind = event.kind
        if kind is Kind.CONTENT and not any(text for _, text in texts) and event.finish is None:
            kind = Kind.PREAMBLE
        return msgspec.structs.replace(
            event,
            kind=kind,
            text="".join(text for channel, text in texts if _visible(channel)),
            size=sum(measure(text) for _, text in texts),
        )

    def _give(self, event: Event, raw: bytes, fields: dict[str, Any]) -> None:
        if self._number is None:
            first = fields.get("sequence_number")
            self._number = first if type(first) is int else -1
        if self._number >= 0:
            if self._drift:
                raw = numbered(raw, self._number)
            self._number += 1
        self._ready.append(event if raw is event.raw else msgspec.structs.replace(event, raw=raw))


def _visible(channel: Channel) -> bool:
    return channel in {(0, "content"), (0, "text")} or channel[0] == "response.output_text.delta"
