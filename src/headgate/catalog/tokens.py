"""How many tokens a text or a request has, counted here: exactly where it can be known, else as a marked estimate.

Decides where counting happens: what is short is counted at once, what is long in a thread that takes turns between
all that wait for it, so that the event loop stays free and one huge request does not hold up the others. Refuses to
know why anybody asks. Nothing is read, started or remembered before somebody does.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec

from headgate.catalog.asked import READERS, Asked, read
from headgate.catalog.calibration import Calibration
from headgate.catalog.encodings import Encodings, blocks
from headgate.catalog.families import Family, family
from headgate.catalog.rough import BYTES_PER_TOKEN
from headgate.core.body import Body
from headgate.core.call import Operation

COUNTED = frozenset(READERS)
"""Operations whose requests can be counted."""
AT_ONCE = 8_000
"""Characters, or bytes of a body, that are counted without a thread: well under a millisecond of any ordinary text."""
TURN = 400_000
"""Characters after which the thread looks whether somebody else waits."""
_UNLIKE = frozenset(("pictures", "files", "sound", "history", "items", "hosted"))
"""Guesses that say nothing about how a model counts words and tools."""


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens.

    Attributes:
        tokens: how many, as near as is known.
        words: of what is said, before correction.
        tools: of tools and schemas, before correction.
        other: of pictures, files, sound, and items of unknown kinds.
        guesses: what is only estimated: `vocabulary` (the model's own is not known), `length` (an endless word was
            cut), and those of `headgate.catalog.asked`.
    """

    tokens: int
    words: int
    tools: int = 0
    other: int = 0
    guesses: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether nothing of it is estimated."""
        return not self.guesses


class Tokens:
    """Counts tokens, and learns from answers how well it does. One per gate; close it with the gate.

    Example:
        >>> import asyncio
        >>> tokens = Tokens()
        >>> asyncio.run(tokens.text("Hello, world!", "gpt-4o"))
        Count(tokens=4, words=4, tools=0, other=0, guesses=())
        >>> tokens.close()
    """

    def __init__(self) -> None:
        self._encodings = Encodings()
        self._calibration = Calibration()
        self._thread: ThreadPoolExecutor | None = None

    async def text(self, text: str, model: str) -> Count:
        """Tokens of a text as such, with nothing around it."""
        kind = family(model)

        def asked() -> Asked:
            only = Asked(kind)
            only.text(text)
            return only

        return await self._count(asked, kind, model, len(text))

    def soon(self, text: str, model: str) -> int:
        """About how many tokens a short text has, said at once.

        It is counted where the vocabulary has been read (`text` does that), else four bytes are a token.

        Example:
            >>> Tokens().soon("Hello, world!", "gpt-4o")
            4
        """
        kind = family(model)
        if len(text) > AT_ONCE or not self._encodings.ready(kind.encoding):
            return -(-len(text.encode(errors="replace")) // BYTES_PER_TOKEN)
        return sum(self._encodings.count(kind.encoding, part) for part, _ in blocks(text))

    async def request(self, operation: Operation, body: Body, model: str) -> Count:
        """Tokens of a request's input.

        Args:
            operation: one of `COUNTED`.
            body: the request as it came. A large one is decoded in the thread, unless it has been already.
            model: which is to answer; what the body says does not matter.

        Raises:
            ValueError: the operation is not one whose requests can be counted.
        """
        if operation not in COUNTED:
            message = f"What {operation} costs is not told by the tokens of its request."
            raise ValueError(message)
        kind = family(model)
        return await self._count(lambda: read(operation, body.view, kind), kind, model, body.size)

    def learn(self, model: str, count: Count, reported: int) -> None:
        """Take the input tokens that a provider reports for a request that was counted before."""
        if _UNLIKE.isdisjoint(count.guesses):
            self._calibration.learn(model, words=count.words, tools=count.tools, reported=reported)

    def close(self) -> None:
        """End the thread. Whoever still waits gets `CancelledError`."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None

    async def _count(self, asked: Callable[[], Asked], kind: Family, model: str, size: int) -> Count:
        tally = _Tally(self._encodings, kind, asked)
        steps = tally.steps()
        if size <= AT_ONCE and self._encodings.ready(kind.encoding):
            for _ in steps:
                pass
        else:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="headgate-tokens")
            loop = asyncio.get_running_loop()
            while await loop.run_in_executor(self._thread, _turn, steps):
                pass
        return self._corrected(tally, model)

    def _corrected(self, tally: "_Tally", model: str) -> Count:
        tokens = tally.words + tally.tools
        if tally.guesses:
            factors = self._calibration.factors(model)
            tokens = round(tally.words * factors.words + tally.tools * factors.tools)
        return Count(
            tokens=tokens + tally.other,
            words=tally.words,
            tools=tally.tools,
            other=tally.other,
            guesses=tuple(sorted(tally.guesses)),
        )


class _Tally:
    """A count that is going on."""

    def __init__(self, encodings: Encodings, kind: Family, asked: Callable[[], Asked]) -> None:
        self._encodings = encodings
        self._kind = kind
        self._asked = asked
        self.words = self.tools = self.other = 0
        self.guesses: set[str] = set()

    def steps(self) -> Iterator[int]:
        """Count, step by step; each step says how many characters it took."""
        asked = self._asked()
        self.words, self.tools, self.other = asked.tokens, asked.tool_tokens, asked.other_tokens
        self.guesses |= asked.guesses
        if not self._kind.sure:
            self.guesses.add("vocabulary")
        for text in asked.texts:
            for size, tokens in self._counted(text):
                self.words += tokens
                yield size
        for text in asked.tool_texts:
            for size, tokens in self._counted(text):
                self.tools += tokens
                yield size
        for text in asked.other_texts:
            for size, tokens in self._counted(text):
                self.other += tokens
                yield size

    def _counted(self, text: str) -> Iterator[tuple[int, int]]:
        for part, seamless in blocks(text):
            if not seamless:
                self.guesses.add("length")
            yield len(part), self._encodings.count(self._kind.encoding, part)


def _turn(steps: Iterator[int]) -> bool:
    """Count for a while; whether there is more."""
    done = 0
    for size in steps:
        done += size
        if done >= TURN:
            return True
    return False
