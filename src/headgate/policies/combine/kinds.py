"""What calls of one operation look like together: how many fit, what is sent, and whose is which part of the answer.

Decides the bounds of a group and what each of its calls weighs in tokens; refuses to know how requests are spelled (the
dialects do) and who waits for what.
"""

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

import msgspec

from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.reply import Event, Kind
from headgate.core.together import Combining, Together
from headgate.core.usage import TokenUsage
from headgate.dialects import openai_together as words
from headgate.dialects import openai_together_vectors as vectors

MOST_BYTES = 32_000
"""Of the texts of a group of questions: a model that reads more loses sight of some."""
MOST_OUTPUT = 16_000
"""Tokens that the answers of a group of questions may have together: models that give so many are the rule."""
AROUND = 8
"""Tokens around an answer, as a rule: its id, and what makes it an entry of a list."""

Count = Callable[[str, str], int]
"""How many tokens a text has for a model, said at once."""


class Part(NamedTuple):
    """What one call asks for.

    Attributes:
        text: the words.
        shared: what it must have in common with others to be asked with them.
        size: bytes of the text.
        output: tokens that its answer may have; 0 where nobody says.
    """

    text: str
    shared: Hashable
    size: int
    output: int = 0


class Asked(NamedTuple):
    """A group's request.

    Attributes:
        body: it.
        together: who asks.
        answers: takes the answer apart: what each call is answered, None for a call that is not.
    """

    body: Body
    together: Together
    answers: Callable[[Event], Sequence[str | bytes | None]]


class Kind_(Protocol):  # noqa: N801  `Kind` is the kind of an event
    """What calls of one operation look like together."""

    most_bytes: int
    """Of the texts of a group."""

    def most(self, how: Combining) -> int:
        """How many make a group."""
        ...

    def part(self, call: Call) -> Part | None:
        """What a call asks for, if it may be asked for with others."""
        ...

    def ask(
        self, calls: Sequence[Call], parts: Sequence[Part], tokens: Sequence[int], ids: Sequence[str], left: set[str]
    ) -> Asked:
        """The request of a group.

        Args:
            calls: of the group.
            parts: what each asks for.
            tokens: of each one's text.
            ids: a name for each text.
            left: will hold the ids of calls whose callers have left.
        """
        ...

    def tell(self, call: Call, part: Part, event: Event, said: str | bytes, usage: TokenUsage | None) -> Event:
        """The answer to one of them.

        Args:
            call: which.
            part: what it asks for.
            event: the whole answer.
            said: what of it is this one's.
            usage: its share; None if nobody knows.
        """
        ...


class Words:
    """Questions in words: chat and responses.

    Args:
        count: counts tokens.
    """

    most_bytes = MOST_BYTES

    def __init__(self, count: Count) -> None:
        self._count = count

    def most(self, how: Combining) -> int:
        """How many make a group."""
        return how.items

    def part(self, call: Call) -> Part | None:
        """What a call asks for, if that is plain."""
        assert isinstance(call.body, Body), "whoever asks has looked"
        found = words.read(call.operation, call.body)
        if found is None:
            return None
        cap = found.shared.cap
        return Part(found.text, found.shared, len(found.text.encode()), 0 if cap is None else cap + words.ENTRY)

    def ask(
        self, calls: Sequence[Call], parts: Sequence[Part], tokens: Sequence[int], ids: Sequence[str], left: set[str]
    ) -> Asked:
        """The request of a group."""
        model, shared = calls[0].model, parts[0].shared
        assert isinstance(shared, words.Shared), "it came from here"
        raw = words.write(model, shared, dict(zip(ids, (part.text for part in parts), strict=True)))
        cap, count = shared.cap, self._count
        # It is asked twice of the same text: for the books, and for those who wait.
        answers = lru_cache(maxsize=1)(words.answers)

        def said(text: str) -> list[int]:
            found = answers(text)
            return [count(found[name], model) + AROUND if name in found else 0 for name in ids]

        def told(event: Event) -> list[str | None]:
            found = answers(event.text)
            # What is longer than allowed would have been cut off, had it been asked for alone.
            fitting = {name: one for name, one in found.items() if cap is None or count(one, model) <= cap}
            return [fitting.get(name) for name in ids]

        # What is around the texts is read on behalf of all alike.
        around = max(count(raw.decode(), model) - sum(tokens), 0)
        asked = tuple(each * len(parts) + around for each in tokens)
        return Asked(Body(raw), Together(calls=tuple(calls), asked=asked, said=said, left=left), told)

    def tell(self, call: Call, part: Part, event: Event, said: str | bytes, usage: TokenUsage | None) -> Event:
        """The answer to one of them."""
        assert isinstance(part.shared, words.Shared), "it came from here"
        assert isinstance(said, str), "ditto"
        raw = words.tell(event.raw, part.shared, said, name=call.id, usage=usage)
        size = len(said.encode(errors="replace"))
        return Event(
            kind=Kind.TERMINAL, raw=raw, text=said, size=size, finish="stop", usage=usage, model=event.model,
            tier=event.tier,
        )  # fmt: skip


class Vectors:
    """Embeddings."""

    most_bytes = vectors.MOST_BYTES

    def most(self, how: Combining) -> int:
        """How many make a group."""
        return how.inputs

    def part(self, call: Call) -> Part | None:
        """What a call asks for, if that is the vector of one text."""
        assert isinstance(call.body, Body), "whoever asks has looked"
        found = vectors.read(call.body)
        return None if found is None else Part(found.text, found.fields, len(found.text.encode()))

    def ask(
        self, calls: Sequence[Call], parts: Sequence[Part], tokens: Sequence[int], ids: Sequence[str], left: set[str]
    ) -> Asked:
        """The request of a group."""
        del ids  # places tell them apart
        model, number = calls[0].model, len(parts)
        fields = parts[0].shared
        assert isinstance(fields, tuple), "it came from here"
        raw = vectors.write(model, fields, [part.text for part in parts])

        def told(event: Event) -> list[bytes | None]:
            found = vectors.vectors(event.raw, number)
            return [found.get(place) for place in range(number)]

        together = Together(calls=tuple(calls), asked=tuple(tokens), said=lambda _: [0] * number, left=left)
        return Asked(Body(raw), together, told)

    def tell(self, call: Call, part: Part, event: Event, said: str | bytes, usage: TokenUsage | None) -> Event:
        """The answer to one of them."""
        del call, part
        assert isinstance(said, bytes), "it came from here"
        raw = vectors.tell(said, model=event.model, usage=usage)
        return msgspec.structs.replace(event, raw=raw, usage=usage)


def kinds(count: Count) -> dict[Operation, Kind_]:
    """The operations whose calls may be put together."""
    talk = Words(count)
    return {Operation.CHAT: talk, Operation.RESPONSES: talk, Operation.EMBEDDINGS: Vectors()}
