"""What the guard costs: 300 patterns over 200 kB, an event of a stream in which nothing is found, and the first word.

`python bench/guard.py`

The delay of the first word is that of a stream that says a word every 10 ms, with the guard and without.
"""

import asyncio
import json
from time import perf_counter

from headgate.core.body import Body
from headgate.core.call import Call, Operation
from headgate.core.reply import Event, Reply
from headgate.dialects.registry import DIALECTS
from headgate.dialects.sse import Decoder
from headgate.policies.guard.engine import Engine, Pattern
from headgate.policies.guard.guard import Guard
from headgate.policies.guard.rules import Chains, Rule

WORDS = "The quick brown fox jumps over the lazy dog and writes home about it. "
PACE = 0.01
"""Seconds between two words."""
CALL = Call(id="1", operation=Operation.CHAT, model="m", body=Body(b"{}"), started=0, day="2027-01-15", stream=True)
KINDS = {
    "secrets": Rule(kind="secrets", name="s", action="mask"),
    "personal": Rule(kind="personal", name="p", action="mask"),
    "manipulative_language": Rule(kind="manipulative_language", name="m"),
    "words": Rule(kind="words", name="w", words=("acme", "the quick red fox")),
    "words, buffer: sentence": Rule(kind="words", name="w", words=("acme",), buffer="sentence"),
    "words, buffer: whole": Rule(kind="words", name="w", words=("acme",), buffer="whole"),
}


def chunk(text: str | None) -> bytes:
    """One chunk; None is the last one."""
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": "stop" if text is None else None}
    return b"data: " + json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode() + b"\n\n"


def stream(pieces: list[str]) -> list[Event]:
    """The events of an answer."""
    reader = DIALECTS[Operation.CHAT].read_stream(usage_wanted=True)
    return [reader.read(event) for text in (*pieces, None) for event in Decoder().feed(chunk(text))]


class Source:
    """Gives events, one after the other or all at once."""

    def __init__(self, events: list[Event], pace: float) -> None:
        self.events = iter(events)
        self.pace = pace

    def __aiter__(self) -> "Source":
        return self

    async def __anext__(self) -> Event:
        for event in self.events:
            if self.pace:
                await asyncio.sleep(self.pace)
            return event
        raise StopAsyncIteration


async def run(guard: Guard | None, events: list[Event], pace: float = 0) -> tuple[float, float]:
    """Seconds for all of it, and until the first word came out."""
    source = Source(events, pace)

    async def below(_: Call) -> Reply:
        return Reply([], source, stream=True)

    start = perf_counter()
    reply = await (below(CALL) if guard is None else guard(CALL, below))
    first = 0.0
    async for event in reply:
        if event.text and not first:
            first = perf_counter() - start
    return perf_counter() - start, first


async def main() -> None:
    """Print the figures."""
    engine = Engine(
        [Pattern(str(n), rf"\bword{n}[a-z]{{1,8}}\s{{0,2}}(?:end|stop)\b") for n in range(300)], bounded=True
    )
    text = (WORDS * 3000)[:200_000].encode()
    engine.finds(text)
    start = perf_counter()
    engine.finds(text)
    print(f"300 patterns over 200 kB: {(perf_counter() - start) * 1e3:.2f} ms")
    pieces = (WORDS * 100).split(" ")
    events = stream([word + " " for word in pieces])
    spoken = stream([word + " " for word in WORDS.split(" ")] * 4)
    bare, _ = await run(None, events)
    _, soonest = await run(None, spoken, PACE)
    for name, rule in KINDS.items():
        guard = Guard(Chains({"input": (), "output": [rule]}))
        await run(guard, events)
        took, _ = await run(guard, events)
        _, first = await run(guard, spoken, PACE)
        each = (took - bare) / len(events) * 1e6
        print(f"{name}: {each:.1f} µs an event; the first word comes {(first - soonest) * 1e3:.1f} ms later")


asyncio.run(main())
