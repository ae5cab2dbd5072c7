"""An answer under way."""

import asyncio

import pytest

from headgate.core.errors import TimeoutError, UnreachableError  # noqa: A004  the house's words
from headgate.providers.simulator.answer import Answer
from headgate.providers.simulator.script import Piece
from headgate.testing import VirtualClock, virtual_time


def make(*pieces, **more):
    """An answer of these pieces, and what it was told to end with."""
    ends = []
    return Answer(VirtualClock(), status=200, headers={}, pieces=iter(pieces), on_end=ends.append, **more), ends


def test_pieces_come_when_they_are_due():
    """Each after its pause; the tokens are told at the end, once."""

    async def story():
        answer, ends = make(Piece(0, b"a"), Piece(2, b"b", 1), Piece(3, b"c", 4), pause=10)
        clock = VirtualClock()
        await answer.head()
        heard = [(clock.monotonic(), b"head")]
        while data := await answer.receive():
            heard.append((clock.monotonic(), data))
        answer.close()
        assert await answer.receive() == b""
        return heard, ends

    assert virtual_time(story()) == ([(10, b"head"), (10, b"a"), (12, b"b"), (15, b"c")], [5])


def test_a_deadline_may_pass_and_the_piece_still_comes():
    """TimeoutError at the deadline to the point; asking again waits for the rest."""

    async def story():
        answer, _ = make(Piece(10, b"late", 1))
        await answer.head()
        with pytest.raises(TimeoutError):
            await answer.receive(4)
        assert VirtualClock().monotonic() == 4
        return await answer.receive(10), VirtualClock().monotonic()

    assert virtual_time(story()) == (b"late", 10)


def test_whoever_leaves_before_the_head_pays_nothing():
    """The end is told as None: nothing was generated."""

    async def story():
        answer, ends = make(Piece(0, b"a"), pause=5, generated=9)
        with pytest.raises(TimeoutError):
            await answer.head(1)
        answer.close()
        return ends

    assert virtual_time(story()) == [None]


def test_a_whole_answer_is_generated_with_its_head():
    """Whoever leaves after it has everything to pay."""

    async def story():
        answer, ends = make(Piece(0, b"body"), generated=9)
        await answer.head()
        told = list(ends)
        answer.close()
        return told, ends

    assert virtual_time(story()) == ([9], [9])


def test_whoever_leaves_a_stream_pays_for_what_came():
    """Also when the wait for the next piece is cancelled."""

    async def story():
        answer, ends = make(Piece(0, b"a", 1), Piece(5, b"b", 1))
        await answer.head()
        await answer.receive()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(answer.receive(), 1)
        answer.close()
        answer.close()
        return ends

    assert virtual_time(story()) == [1]


def test_broken_connections():
    """A reset comes instead of the head and costs nothing; a cut costs what came before."""

    async def story():
        reset, nothing = make(reset=True)
        with pytest.raises(UnreachableError):
            await reset.head()
        cut, some = make(Piece(0, b"a", 3), Piece(0, None))
        await cut.head()
        await cut.receive()
        with pytest.raises(UnreachableError):
            await cut.receive()
        return nothing, some

    assert virtual_time(story()) == ([None], [3])


def test_what_is_there_at_once():
    """Only an answer that neither waits nor breaks."""

    async def story():
        return [make(direct=True)[0].at_once, make()[0].at_once, make(direct=True, pause=1)[0].at_once]

    assert virtual_time(story()) == [True, False, False]
