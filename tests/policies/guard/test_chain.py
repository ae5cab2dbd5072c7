"""Words are blocked, masked or flagged; verdicts say where."""

import pytest

from headgate.core.errors import GuardError
from headgate.policies.guard.chain import Window, judged, refusal
from headgate.policies.guard.rules import Layer, Rule

NAMES = Rule(kind="words", name="names", words=("anna", "ann smith"), action="mask")
BAD = Rule(kind="words", name="bad", words=("bad",))
SOFT = Rule(kind="words", name="soft", words=("Zoë",), action="flag")


def test_masks_that_overlap_are_one():
    """The rule that begins first names it."""
    told = []
    layer = Layer([Rule(kind="patterns", name="p", patterns=("ab+", "b+c"), action="mask")], bounded=True)
    assert judged(layer, "input", told.append, b"xabbcx abc c") == b"x[p]x [p] c"
    assert [one.span for one in told] == [(1, 4), (2, 5)]


def test_spans_count_characters():
    """Wherever the text was cut."""
    told = []
    window = Window(Layer([SOFT], bounded=True), "output", told.append)
    out = [window.feed(piece.encode(), last=False) for piece in ("grüße, ", "Zo", "ë ", "Zoë")]
    out.append(window.feed(b"", last=True))
    assert b"".join(out).decode() == "grüße, Zoë Zoë"
    assert [one.span for one in told] == [(7, 10)]


def test_a_blocked_text_raises_its_verdict():
    """And tells it, too."""
    told = []
    with pytest.raises(GuardError) as error:
        judged(Layer([NAMES, BAD], bounded=False), "input", told.append, b"Anna is bad")
    assert [one.rule for one in told] == ["names", "bad"]
    assert error.value.verdict == told[1]
    assert refusal(told[1]).message == error.value.message


def test_thousands_of_findings_are_one_verdict():
    """The books are not filled by one text."""
    told = []
    layer = Layer([NAMES], bounded=False)
    assert judged(layer, "input", told.append, b"anna " * 5000) == b"[names] " * 5000
    assert len(told) == 1
