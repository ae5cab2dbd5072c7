"""The words that the simulated moderation looks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.judgement import SEEN, WORDS, judge


def flagged(text, *pictures):
    """The categories that are flagged."""
    return {name for name, is_so in judge(text, pictures).flagged().items() if is_so}


@pytest.mark.parametrize("name", WORDS)
def test_every_category_is_found_by_its_words(name):
    """In any case, between any signs; once or more often, the more the higher."""
    for words in WORDS[name]:
        assert name in flagged(f"Well… {words.upper()}!")
    once, twice = judge(WORDS[name][0])[name], judge(". ".join(WORDS[name][:2]))[name]
    assert 0.5 <= once < twice < 1


@pytest.mark.parametrize("text", ["", "Good morning!", "My skill is stabbing pains diagnosis", "bombastic", "ä🙂"])
def test_harmless_texts(text):
    """Words inside of words are not found; the scores are small and never nought."""
    assert flagged(text) == set()
    assert all(0 < score < 0.011 for score in judge(text).values())


def test_a_threat():
    """Some texts are several things at once."""
    assert flagged("I will kill you, idiot") == {"harassment", "harassment/threatening", "violence"}


def test_pictures_are_judged_by_their_address():
    """In those categories where pictures are looked at, and by nothing else."""
    assert flagged(None, "https://example.com/murder-scene.png") == {"violence"}
    assert flagged("Hello", "https://example.com/idiot.png") == set()
    assert flagged(None, "data:image/png;base64,gore") == set()
    scores = judge(None, ("https://example.com/x.png",))
    assert {name for name, score in scores.items() if score} == SEEN


@given(st.text(max_size=80))
def test_the_same_every_time(text):
    """Thirteen scores between 0 and 1 that depend on the text alone."""
    scores = judge(text)
    assert len(scores) == 13
    assert all(0 < score < 1 for score in scores.values())
    assert scores == judge(text)
