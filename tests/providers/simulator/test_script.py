"""Pieces, pauses and faults inside an answer."""

import pytest

from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.script import Script, Step, streamed, whole, whole_pause
from headgate.providers.simulator.settings import Fault, Latency

NO_PAUSE = Latency()
DICE = Dice(b"x")


def play(fault=None, latency=NO_PAUSE, words=("a", "b", "c"), opening=b"<"):
    """The pieces of a stream with these words."""
    steps = [Step(b'data: {"w":"%s"}\n\n' % word.encode(), 1, visible=True) for word in words]
    steps.append(Step(b"data: end\n\n"))
    script = Script(opening, iter(steps), len(words), lambda code, kind: f"!{code} {kind}".encode())
    return list(streamed(script, latency, Dice(b"x"), fault))


def said(pieces):
    """Everything that was sent, and whether the connection broke."""
    return b"".join(piece.data or b"" for piece in pieces), any(piece.data is None for piece in pieces)


def test_without_a_fault():
    """The opening, each event for itself, tokens counted where they are."""
    pieces = play()
    assert [piece.output for piece in pieces] == [0, 1, 1, 1, 0]
    assert said(pieces) == (b'<data: {"w":"a"}\n\ndata: {"w":"b"}\n\ndata: {"w":"c"}\n\ndata: end\n\n', False)


def test_pauses():
    """The first token, then each further one; the opening comes at once."""
    pieces = play(latency=Latency(first_token=2, per_token=0.5))
    assert [piece.pause for piece in pieces] == [0, 2, 0.5, 0.5, 0.5]
    varied = [piece.pause for piece in play(latency=Latency(first_token=2, per_token=0.5, jitter=0.1))]
    assert 1.8 <= varied[1] <= 2.2
    assert varied[1] != 2
    assert all(0.45 <= pause <= 0.55 for pause in varied[2:])


def test_characters_are_cut_in_the_middle():
    """An event with a character of several bytes comes in two pieces; the token counts once."""
    pieces = play(words=("é",))
    assert [piece.data for piece in pieces[1:3]] == [b'data: {"w":"\xc3', b'\xa9"}\n\n']
    assert sum(piece.output for piece in pieces) == 1


@pytest.mark.parametrize(
    ("kind", "after", "sent", "broken"),
    [
        ("cut", 2, b'<data: {"w":"a"}\n\ndata: {"w":"b"}\n\n', True),
        ("cut", 0, b"<", True),
        ("cut", 99, b'<data: {"w":"a"}\n\ndata: {"w":"b"}\n\ndata: {"w":"c"}\n\n', True),
        ("error_event", 1, b'<data: {"w":"a"}\n\n!c t', False),
        ("malformed", 1, b'<data: {"w":"a"}\n\ndata: {"w"\n\ndata: {"w":"c"}\n\ndata: end\n\n', False),
        ("no_done", 1, said(play())[0], False),
        ("stall", 1, said(play())[0], False),
    ],
)
def test_faults(kind, after, sent, broken):
    """Each strikes after so many tokens, at the latest before the end."""
    assert said(play(Fault(kind=kind, after_tokens=after, code="c", type="t"))) == (sent, broken)


def test_a_stall_and_a_slow_start_take_time():
    """In the middle, or before the first token."""
    assert [piece.pause for piece in play(Fault(kind="stall", after_tokens=1, delay=9))] == [0, 0, 9, 0, 0]
    assert [piece.pause for piece in play(Fault(kind="slow_first_token", delay=9))] == [0, 9, 0, 0, 0]


def test_an_answer_without_a_word_can_break_too():
    """The fault then strikes at its first event."""
    assert said(play(Fault(kind="cut"), words=(), opening=b"")) == (b"", True)


def test_whole_answers():
    """Cut and stalled in the middle of the body, whole otherwise."""
    assert said(list(whole(b"0123456789", None))) == (b"0123456789", False)
    assert said(list(whole(b"0123456789", Fault(kind="cut")))) == (b"01234", True)
    stalled = list(whole(b"0123456789", Fault(kind="stall", delay=9)))
    assert [(piece.pause, piece.data) for piece in stalled] == [(0, b"01234"), (9, b"56789")]


def test_whole_answers_take_as_long_as_their_stream_would():
    """The first token and all the others; silence and a slow start come on top."""
    latency = Latency(first_token=2, per_token=0.5)
    assert whole_pause(latency, 11, DICE, None) == 7
    assert whole_pause(latency, 0, DICE, Fault(kind="reset")) == 2
    assert whole_pause(latency, 1, DICE, Fault(kind="silence", delay=100)) == 102
