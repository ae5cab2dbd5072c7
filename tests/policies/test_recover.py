"""Recover: whatever breaks, the caller's text is whole, or the first error comes; nothing twice, nothing missing."""

import asyncio
import json
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.core.attempt import Attempt
from headgate.core.body import Body
from headgate.core.call import Address, Call, Operation, Target
from headgate.core.errors import (
    ContentFilterError,
    GarbledError,
    HeadgateError,
    InterruptedError,  # noqa: A004
    NoTargetError,
    OverloadedError,
    TimeoutError,  # noqa: A004
)
from headgate.core.reply import Abandoned, Drained, Event, Kind, Reply, Sink
from headgate.dialects.registry import DIALECTS
from headgate.dialects.sse import Decoder
from headgate.gate.tasks import Tasks
from headgate.policies.recover import Recover
from headgate.testing import VirtualClock, virtual_time

QUESTION = Body(b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}')
CALL = Call(
    id="1",
    operation=Operation.CHAT,
    model="m",
    body=QUESTION,
    started=0,
    day="2027-01-15",
    stream=True,
    usage_wanted=True,
)
WORDS = ("Gates ", "open ", "für ", "alle.")
TEXT = "".join(WORDS)
TARGETS = "pqrs"
CALLS = "(calls a tool)"
"""Stands for a word that is none."""


def sse(data: dict[str, Any]) -> bytes:
    """One event."""
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def chat(words: tuple[str, ...], key: str) -> list[Event]:
    """An answer in chat, as the house reads it."""

    def chunk(said: dict[str, Any], finish: str | None = None) -> bytes:
        return sse({"id": key, "model": key, "choices": [{"index": 0, "delta": said, "finish_reason": finish}]})

    usage = {"prompt_tokens": 3, "completion_tokens": len(words), "total_tokens": 3 + len(words)}
    raws = [chunk({"role": "assistant", "content": ""})]
    raws += [chunk({"content": word} if word != CALLS else {"tool_calls": [{"index": 0}]}) for word in words]
    raws += [chunk({}, "stop"), sse({"id": key, "choices": [], "usage": usage}), b"data: [DONE]\n\n"]
    reader = DIALECTS[Operation.CHAT].read_stream(usage_wanted=True)
    return [reader.read(event) for raw in raws for event in Decoder().feed(raw)]


class Plays(NamedTuple):
    """How a target behaves.

    Attributes:
        words: its answer, in pieces.
        cut: how many words come before it breaks; None for a whole answer.
        error: with which it breaks, or fails before its first word.
        after_prefill: its answer to a question with the beginning of an answer.
    """

    words: tuple[str, ...] = WORDS
    cut: int | None = None
    error: HeadgateError | None = None
    after_prefill: tuple[str, ...] | None = None


class Source:
    """A stream that may break, and that pours as well."""

    def __init__(self, events: list[Event], error: HeadgateError | None, pause: float) -> None:
        self._events = events
        self._error = error
        self._pause = pause
        self.closed = 0
        self.poured = 0

    def __aiter__(self) -> "Source":
        return self

    async def __anext__(self) -> Event:
        if self._pause:
            await asyncio.sleep(self._pause)
        if self._events:
            return self._events.pop(0)
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def pour(self, sink: Sink, drained: Drained) -> None:
        """Give the events to a sink."""
        async for event in self:
            self.poured += 1
            if not sink(event):
                await drained()

    async def close(self) -> None:
        """Be closed."""
        self.closed += 1


class House:
    """What stands below: a route over targets, and a budget that settles each attempt."""

    def __init__(self, *plays: Plays, pause: float = 0, honest: bool = True, astray: bool = False) -> None:
        self.plays = dict(zip(TARGETS, plays, strict=False))
        self.pause = pause
        self.honest = honest
        self.astray = astray
        self.calls: list[Call] = []
        self.asked: list[str] = []
        self.sources: list[Source] = []
        self.settled: list[str] = []
        self.errors: list[HeadgateError] = []

    async def __call__(self, call: Call) -> Reply:
        """Answer as the next target plays."""
        self.calls.append(call)
        if self.pause:
            await asyncio.sleep(self.pause)
        left = [name for name in self.plays if not self.honest or (name, "m") not in call.avoid]
        if call.account is not None:
            left = [name for name in left if (name == call.account) is not self.astray]
        if not left:
            message = "none is left"
            raise NoTargetError(message)
        name = left[0]
        play = self.plays[name]
        self.asked.append(name)
        attempt = Attempt(len(call.trail) + 1, name, "m")
        call.trail.append(attempt)
        if play.cut == 0:
            assert play.error is not None
            raise play.error
        words = play.words
        if json.loads(call.body.raw)["messages"][-1]["role"] == "assistant":  # type: ignore[union-attr]
            assert play.after_prefill is not None
            words = play.after_prefill
        events = chat(words, name)
        error = None
        if play.cut is not None:
            del events[play.cut + 1 :]
            error = play.error or InterruptedError(f"{name} broke")
            self.errors.append(error)
        source = Source(events[2:], error, self.pause)
        self.sources.append(source)
        reply = Reply(
            events[:2],
            source,
            close=source.close,
            pour=source.pour,
            stream=True,
            target=Target(name),
            headers={"a": name},
        )
        reply.attempts = call.trail
        reply.watch(None, lambda end: self.settle(name, end))
        return reply

    def settle(self, name: str, end: BaseException | None) -> None:
        """Write down how an attempt ended."""
        self.settled.append(f"{name} {'whole' if end is None else type(end).__name__}")


class Seen(NamedTuple):
    """What the caller got."""

    events: list[Event]
    error: BaseException | None
    reply: Reply

    @property
    def text(self) -> str:
        """All words."""
        return "".join(event.text for event in self.events)


def recover(house: House | None = None) -> Recover:
    """The policy, on a route that says so."""

    def prefills(provider: str, model: str) -> bool:
        assert house is not None
        return model == "m" and house.plays[provider].after_prefill is not None

    return Recover(lambda model: model == "m", prefills, VirtualClock())


async def seen(house: House, call: Call, *, pour: bool) -> Seen:
    """Let a call through, and read its answer to the end."""
    reply = await recover(house)(call, house)
    reply.watch(None, lambda end: house.settled.append(f"call {'whole' if end is None else type(end).__name__}"))
    events: list[Event] = []
    error: BaseException | None = None

    def sink(event: Event) -> bool:
        events.append(event)
        return len(events) % 2 == 0

    async def drained() -> None:
        await asyncio.sleep(0)

    async with reply:
        try:
            if pour:
                await reply.pour(sink, drained)
            else:
                async for event in reply:
                    events.append(event)  # noqa: PERF401  what came before an error counts
        except HeadgateError as raised:
            error = raised
    return Seen(events, error, reply)


def call_for(**changes: Any) -> Call:
    """A call of its own trail."""
    return msgspec.structs.replace(CALL, trail=[], **changes)


def play(*plays: Plays, pour: bool = False, **changes: Any) -> tuple[Seen, House]:
    """What becomes of a call where targets behave so."""
    house = House(*plays)
    found = virtual_time(seen(house, call_for(**changes), pour=pour))
    assert all(source.closed for source in house.sources)
    assert len(house.settled) == len(house.sources) + 1
    # The attempts are settled before the call is.
    assert house.settled[-1].startswith("call ")
    return found, house


def whole(found: Seen, *, key: str = "p", text: str = TEXT) -> bool:
    """Whether the caller has one whole answer."""
    data = [json.loads(event.raw[6:]) for event in found.events if event.raw != b"data: [DONE]\n\n"]
    kinds = [event.kind for event in found.events]
    assert found.text == text
    assert found.error is None
    assert {chunk["id"] for chunk in data} == {key}
    assert kinds.count(Kind.TERMINAL) == 1
    assert found.events[-1].raw == b"data: [DONE]\n\n"
    assert sum("usage" in chunk for chunk in data) == 1
    assert found.reply.finished
    return True


BROKEN = Plays(cut=2)


@pytest.mark.parametrize("pour", [True, False])
def test_while_nothing_breaks_nothing_changes(pour):
    """The same events, the same end, one target asked; poured where the reply inside pours."""
    found, house = play(Plays(), Plays(), pour=pour)
    assert whole(found)
    assert [event.raw for event in found.events] == [event.raw for event in chat(WORDS, "p")]
    assert (house.asked, house.settled) == (["p"], ["p whole", "call whole"])
    assert (house.sources[0].poured > 0) is pour
    assert found.reply.headers == {"a": "p"}


@pytest.mark.parametrize("pour", [True, False])
def test_a_broken_stream_goes_on_at_the_next_target(pour):
    """The caller reads one answer; both attempts are settled, each by itself; the last target answered."""
    found, house = play(BROKEN, Plays(words=("Ga", TEXT[2:9], TEXT[9:])), pour=pour)
    assert whole(found)
    assert house.asked == ["p", "q"]
    assert house.calls[1].avoid == (("p", "m"),)
    assert house.calls[1].body is house.calls[0].body
    assert house.settled == ["p InterruptedError", "q whole", "call whole"]
    assert found.reply.target == Target("q")
    assert [attempt.provider for attempt in found.reply.attempts] == ["p", "q"]
    usage = [event.usage for event in found.events if event.usage is not None]
    assert [one.completion_tokens for one in usage] == [3]


def test_who_has_failed_is_never_asked_again():
    """Not even where the route would: that target breaks again, and its answer is not waited for."""
    house = House(BROKEN, Plays(), honest=False)
    found = virtual_time(seen(house, call_for(), pour=False))
    assert found.error is house.errors[0]
    assert house.asked == ["p", "p"]
    assert all(source.closed for source in house.sources)


KINDS = ("repeats", "departs", "short", "fails", "breaks", "goes on")


@st.composite
def pieces(draw: st.DrawFn, text: str) -> tuple[str, ...]:
    """A text in pieces, none of them empty."""
    marks = draw(st.sets(st.integers(1, len(text) - 1), max_size=6)) if len(text) > 1 else ()
    return tuple(text[a:b] for a, b in pairwise([0, *sorted(marks), len(text)]))


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Plays], int, bool]:
    """How targets behave in turn, how many characters the caller must get, and whether that is a whole answer."""
    words = draw(pieces(TEXT))
    cut = draw(st.integers(1, len(words)))
    plays, said = [Plays(words, cut)], len("".join(words[:cut]))
    for kind in draw(st.lists(st.sampled_from(KINDS), max_size=3)):
        words = draw(pieces(TEXT))
        at = draw(st.integers(0, said - 1))
        if kind == "repeats":
            return [*plays, Plays(words)], len(TEXT), True
        if kind == "goes on":
            rest = TEXT[len(TEXT[:said].rstrip()) :]
            if rest:
                return [*plays, Plays(("Well",), after_prefill=draw(pieces(rest)))], len(TEXT), True
        if kind == "departs":
            return [*plays, Plays(draw(pieces(TEXT[:at] + "?" + TEXT[at + 1 :]))), Plays()], said, False
        if kind == "short":
            return [*plays, Plays(draw(pieces(TEXT[:at])) if at else ()), Plays()], said, False
        if kind == "fails":
            return [*plays, Plays(cut=0, error=OverloadedError("busy"))], said, False
        cut = draw(st.integers(1, len(words)))
        plays.append(Plays(words, cut))
        said = max(said, len("".join(words[:cut])))
    return plays, said, False


@settings(max_examples=300)
@given(story=stories(), pour=st.booleans())
def test_the_text_is_whole_or_the_first_error_comes(story, pour):
    """Whatever the next targets do: no character twice or missing, and where it is not all, the first error."""
    plays, said, complete = story
    found, house = play(*plays, pour=pour)
    assert found.text == TEXT[:said]
    if complete:
        assert whole(found)
    else:
        assert found.error is house.errors[0]
        assert Kind.TERMINAL not in [event.kind for event in found.events]


def test_a_model_that_takes_a_prefill_goes_on():
    """It is asked plainly first; then for the rest of what was said, without the space at its end."""
    second = Plays(words=("Well, ",), after_prefill=(" fü", "r alle."))
    found, house = play(BROKEN, second)
    assert whole(found)
    assert house.asked == ["p", "q", "q"]
    assert json.loads(house.calls[2].body.raw)["messages"][-1] == {"role": "assistant", "content": "Gates open"}  # type: ignore[union-attr]
    assert house.settled == ["p InterruptedError", "q Abandoned", "q whole", "call whole"]


def test_a_prefill_that_departs_is_the_end():
    """The space was said already: who goes on without it has said something else."""
    found, house = play(BROKEN, Plays(words=("Well",), after_prefill=("für",)), Plays())
    assert found.error is house.errors[0]
    assert found.text == "Gates open "
    assert house.asked == ["p", "q", "q"]


def test_a_prefill_for_somebody_else_is_no_answer():
    """Who was not known to take one may answer anything."""
    second = Plays(words=("Well",), after_prefill=(" für alle.",))
    house = House(BROKEN, second, second, astray=True)
    found = virtual_time(seen(house, call_for(), pour=False))
    assert found.error is house.errors[0]
    assert (found.text, house.asked) == ("Gates open ", ["p", "q", "r"])
    assert all(source.closed for source in house.sources)


def test_who_departs_after_new_words_is_not_asked_again():
    """A tool is called behind words that the caller has: the stream ends there, with the first error."""
    found, house = play(BROKEN, Plays(words=(*WORDS[:3], CALLS), after_prefill=(" für alle.",)), Plays())
    assert found.error is house.errors[0]
    assert (found.text, house.asked) == ("".join(WORDS[:3]), ["p", "q"])


def test_what_breaks_behind_its_end_is_not_continued():
    """All was said: the error is for whoever reads on."""
    found, house = play(Plays(cut=len(WORDS) + 1), Plays())
    assert found.error is house.errors[0]
    assert found.reply.finished
    assert (found.text, house.asked) == (TEXT, ["p"])


def test_after_a_prefill_that_breaks_the_next_one_is_asked_for_everything():
    """The words of both are said, and the third target has to repeat them all."""
    house = House(BROKEN, Plays(words=("Well",), after_prefill=(" für ", "al"), cut=1), Plays())
    found = virtual_time(seen(house, call_for(), pour=False))
    # Cut at its first word, which departs; asked to go on, it is cut at the first word as well.
    assert found.text == TEXT
    assert whole(found)
    assert house.asked == ["p", "q", "q", "r"]


FINAL = ContentFilterError("not that")


def caused(cause: HeadgateError) -> InterruptedError:
    """An interruption, and why."""
    error = InterruptedError("broke")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (caused(FINAL), "p"),
        (caused(OverloadedError("busy")), "pq"),
        (caused(GarbledError("?")), "pq"),
        (caused(TimeoutError("silence")), "pq"),
        (TimeoutError("silence"), "pq"),
        (OverloadedError("not a word of reading"), "p"),
    ],
)
def test_what_nobody_else_would_be_asked_for_before_the_first_word_nobody_is_asked_for_after_it(error, asked):
    """The provider's reason for a refusal is passed on."""
    found, house = play(Plays(cut=2, error=error), Plays())
    assert "".join(house.asked) == asked
    assert found.error is (error if asked == "p" else None)


def with_field(name: str, value: Any) -> Body:
    """The question with a field more."""
    return QUESTION.with_field(name, json.dumps(value).encode())


@pytest.mark.parametrize(
    "changes",
    [
        {"body": with_field("tools", [{"type": "function", "function": {"name": "f"}}])},
        {"body": with_field("n", 2)},
        {"model": "other"},
        {"names": ("file-1",)},
        {"account": "p"},
        {"address": Address("POST", "/x")},
        {"operation": Operation.EMBEDDINGS},
    ],
)
def test_what_may_not_be_continued_is_not_touched(changes):
    """The reply is the one from below, and its error the first one."""

    async def story():
        house = House(BROKEN, Plays())
        inner = await house(call_for())
        house.sources.clear()

        async def below(_call: Call) -> Reply:
            return inner

        reply = await recover()(call_for(**changes), below)
        assert reply is inner
        await reply.close()

    virtual_time(story())


def test_what_is_no_stream_is_not_touched():
    """A whole answer, and an upload."""

    async def story():
        inner = Reply([Event(kind=Kind.TERMINAL)])

        async def below(_call: Call) -> Reply:
            return inner

        assert await recover()(call_for(), below) is inner

    virtual_time(story())


def test_no_time_is_left():
    """Once the caller's deadline has passed, nobody else is asked."""

    async def story():
        house = House(BROKEN, Plays(), pause=1.0)
        return await seen(house, call_for(deadline=2.5), pour=False), house

    found, house = virtual_time(story())
    assert found.error is house.errors[0]
    assert house.asked == ["p"]


def test_a_cancelled_recovery_leaves_nothing_open():
    """At whichever await: all that was opened is closed, and settled before the call."""

    async def story(after: float):
        house = House(BROKEN, BROKEN, Plays(), pause=1.0)
        task = Tasks().start(seen(house, call_for(), pour=after % 1 > 0.5), "reader")
        await asyncio.sleep(after)
        if task.done():
            return False
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert all(source.closed for source in house.sources)
        assert len([one for one in house.settled if not one.startswith("call")]) == len(house.sources)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return True

    cancelled = [virtual_time(story(0.3 + n * 0.25)) for n in range(80)]
    assert cancelled.count(True) > 40
    assert not cancelled[-1]


def test_a_reply_that_is_closed_meanwhile_opens_nothing():
    """Another task closes the reply while the next target is asked: what comes is closed at once."""

    async def story():
        house = House(BROKEN, Plays(), pause=1.0)
        reply = await recover(house)(call_for(), house)
        reading = Tasks().start(_all(reply), "reader")
        await asyncio.sleep(2.5)
        assert (len(house.calls), len(house.sources)) == (2, 1)
        await reply.close()
        assert await reading == "InterruptedError"
        return house

    house = virtual_time(story())
    assert [source.closed for source in house.sources] == [1, 1]
    assert house.settled == ["p InterruptedError", "q Abandoned"]


async def _all(reply: Reply) -> str:
    try:
        async for _ in reply:
            pass
    except HeadgateError as error:
        return type(error).__name__
    return "whole"


def test_closing_early_closes_whichever_is_open():
    """In the middle of the second answer, too; what was not read is settled as left, before the call is."""

    async def story():
        house = House(BROKEN, Plays())
        reply = await recover(house)(call_for(), house)
        ends: list[Any] = []
        reply.watch(None, lambda end: ends.append((type(end), [*house.settled])))
        async for event in reply:
            if event.text == "für ":
                break
        await reply.close()
        await reply.close()
        return house, ends

    house, ends = virtual_time(story())
    assert [source.closed for source in house.sources] == [1, 1]
    assert ends == [(Abandoned, ["p InterruptedError", "q Abandoned"])]
