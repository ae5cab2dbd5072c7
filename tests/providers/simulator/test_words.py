"""What the simulator says, and how it counts."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.dice import Dice
from headgate.providers.simulator.words import count, prose, sentence, talk, tokens


@given(st.text())
def test_tokens_are_the_text_and_are_counted_without_cutting(text):
    """Cutting loses nothing, counting agrees with it, and a token is never less than a byte."""
    cut = tokens(text)
    assert "".join(cut) == text
    assert len(cut) == count(text) <= len(text.encode("utf-8", "surrogatepass"))
    assert all(1 <= len(token) <= 4 for token in cut)


def test_prose_has_exactly_the_length_asked_for():
    """A length in tokens is met to the token."""
    assert [count(prose(Dice(b"p"), length)) for length in (0, 1, 7, 500)] == [0, 1, 7, 500]


def test_talk_is_repeatable_and_holds_characters_of_several_bytes():
    """Equal dice say the same; over some answers there are characters of two, three and four bytes."""
    assert talk(Dice(b"t")) == talk(Dice(b"t"))
    said = "".join(talk(Dice(b"%d" % at)) for at in range(200))
    assert {len(char.encode()) for char in said} == {1, 2, 3, 4}


def test_a_sentence_is_one():
    """It begins with a capital letter and has one full stop, at its end or before an emoji."""
    for at in range(100):
        said = sentence(Dice(b"%d" % at))
        assert said[0].isupper()
        assert said.count(".") == 1
        assert "  " not in said
