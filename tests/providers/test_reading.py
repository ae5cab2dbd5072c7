"""Covers providers/reading.py: answers whole, as events and in pieces, and all that may break off."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.call import Operation
from headgate.core.errors import (
    GarbledError,
    InterruptedError,  # noqa: A004  the house's word
    TimeoutError,  # noqa: A004  ditto
    UnreachableError,
)
from headgate.core.reply import Event, Kind
from headgate.dialects.registry import DIALECTS
from headgate.providers.reading import Pieces, Stream, read_whole
from headgate.testing import VirtualClock, virtual_time

WORD = b'data: {"type": "transcript.text.delta", "delta": "Hi"}\n\n'
END = b'data: {"type": "transcript.text.done"}\n\n'


class Line:
    """An answer as it comes: bytes, pauses in seconds, and errors, in their order."""

    status = 200
    headers: dict[str, str] = {}  # noqa: RUF012  nobody writes to it

    def __init__(self, *parts: Any) -> None:
        self.parts = list(parts)
        self.closed = 0
        self.deadlines: list[float] = []

    async def receive(self, deadline: float) -> bytes:
        self.deadlines.append(deadline)
        while self.parts:
            part = self.parts.pop(0)
            if isinstance(part, Exception):
                raise part
            if isinstance(part, bytes):
                return part
            left = deadline - VirtualClock().monotonic()
            if part > left:
                await asyncio.sleep(left)
                message = "went silent"
                raise TimeoutError(message)
            await asyncio.sleep(part)
        return b""

    async def pour(self, sink, silence, end):  # pragma: no cover  nobody here pours
        raise NotImplementedError

    async def close(self) -> None:
        self.closed += 1


async def read(pieces: Pieces) -> list[Event]:
    """All of them."""
    return [event async for event in pieces]


def pieces(line: Line, *, silence: float = 20, end: float = 100) -> Pieces:
    """Pieces of a line."""
    return Pieces(line, VirtualClock(), silence, end)


@given(st.lists(st.binary(min_size=1, max_size=5), max_size=6))
def test_bytes_of_any_kind_pass_as_they_are(parts):
    """Piece by piece and unread, to an end that is one; then the connection is given back."""
    line = Line(*parts)
    events = virtual_time(read(pieces(line)))
    assert [event.raw for event in events] == [*parts, b""]
    assert [event.kind for event in events] == [Kind.CONTENT] * len(parts) + [Kind.TERMINAL]
    assert line.closed == 1
    assert all((event.text, event.size, event.usage, event.made) == ("", 0, None, ()) for event in events)


def test_the_end_is_the_end():
    """Who asks again hears the same; nothing is received behind it."""

    async def story():
        line = Line(b"a")
        made = pieces(line)
        await read(made)
        with pytest.raises(StopAsyncIteration):
            await made.__anext__()
        return len(line.deadlines)

    assert virtual_time(story()) == 2


@pytest.mark.parametrize("error", [UnreachableError("closed"), TimeoutError("silent"), GarbledError("chunks")])
def test_what_breaks_before_the_first_piece_is_an_ordinary_error(error):
    """Nothing was said: the call may be repeated."""
    with pytest.raises(type(error)) as caught:
        virtual_time(read(pieces(Line(error))))
    assert caught.value is error


@pytest.mark.parametrize("error", [UnreachableError("closed"), TimeoutError("silent"), GarbledError("chunks")])
def test_what_breaks_in_the_middle_is_an_interruption(error):
    """Never half a file as a whole one."""

    async def story():
        line = Line(b"half", error)
        made = pieces(line)
        assert (await made.__anext__()).raw == b"half"
        with pytest.raises(InterruptedError, match=f"broke off: {error}") as caught:
            await made.__anext__()
        assert caught.value.__cause__ is error

    virtual_time(story())


def test_pieces_have_their_limits():
    """The first may take as long as the whole, as with a whole answer; then silence is limited, and all together."""
    line = Line(50, b"a", 19, b"b", 19, b"c")
    with pytest.raises(InterruptedError, match="silent"):
        virtual_time(read(pieces(Line(b"a", 21, b"b"))))
    with pytest.raises(InterruptedError):
        virtual_time(read(pieces(line, end=80)))
    assert line.deadlines == [80, 70, 80]
    line = Line(*[b"a"] * 3)
    with pytest.raises(TimeoutError, match="did not finish in time"):
        virtual_time(read(pieces(line, end=0)))
    assert line.deadlines == []


def test_bytes_that_never_stop_are_stopped():
    """Somebody who has bytes ready at all times never waits: the limit holds all the same."""

    async def story():
        clock = VirtualClock()
        made = pieces(Line(*[b"a"] * 1000), end=5)
        await made.__anext__()
        await clock.sleep(6)
        with pytest.raises(InterruptedError, match="did not finish in time"):
            await made.__anext__()

    virtual_time(story())


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=5))
def test_a_whole_answer_is_whole(parts):
    """In however many parts."""
    whole = b"".join(parts)
    assert virtual_time(read_whole(Line(*parts), 9, len(whole))) == whole
    if whole:
        with pytest.raises(GarbledError, match="larger than"):
            virtual_time(read_whole(Line(*parts), 9, len(whole) - 1))


def test_a_whole_answer_that_breaks():
    """The error of the way comes out as it is."""
    with pytest.raises(UnreachableError):
        virtual_time(read_whole(Line(b"a", UnreachableError("closed")), 9, 99))


def stream(line: Line, *, silence: float = 20, end: float = 100) -> Stream:
    """The events of a transcription."""
    reader = DIALECTS[Operation.TRANSCRIPTIONS].read_stream(usage_wanted=True)
    return Stream(line, reader, VirtualClock(), silence, end)


async def told(line: Line) -> list[Event]:
    """All events of a stream."""
    made = stream(line)
    held = await made.begin(10)
    return [*held, *[event async for event in made]]


@given(st.lists(st.integers(0, 100), max_size=6))
def test_a_stream_of_words_is_read_however_it_is_cut(cuts):
    """The same events, and the connection given back at the end."""
    raw = WORD + WORD + END
    points = [0, *sorted({cut for cut in cuts if 0 < cut < len(raw)}), len(raw)]
    line = Line(*(raw[start : points[at + 1]] for at, start in enumerate(points[:-1])))
    events = virtual_time(told(line))
    assert [event.raw for event in events] == [WORD, WORD, END]
    assert [event.text for event in events] == ["Hi", "Hi", ""]
    assert line.closed == 1


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ((), UnreachableError),
        ((b": hi\n\n",), UnreachableError),
        ((WORD[:-2],), UnreachableError),
        ((WORD,), InterruptedError),
        ((WORD, b"data: [DONE]\n\n"), InterruptedError),
        ((WORD, END[:-20]), InterruptedError),
        ((WORD, UnreachableError("closed")), InterruptedError),
        ((WORD, 21, END), InterruptedError),
        ((11, WORD, END), TimeoutError),
    ],
)
def test_a_stream_without_its_end_is_no_answer(parts, kind):
    """Before the first word an ordinary error, after it an interruption."""
    with pytest.raises(kind):
        virtual_time(told(Line(*parts)))


def test_after_its_end_a_stream_may_break():
    """Nothing is missing."""
    assert [event.raw for event in virtual_time(told(Line(WORD, END, UnreachableError("reset"))))] == [WORD, END]
