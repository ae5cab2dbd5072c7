"""Words are blocked, masked or flagged; verdicts say where."""

import pytest

from headgate.core.errors import GuardError
from headgate.policies.guard.chain import Window, judged, refusal
from headgate.policies.guard.rules import Chain, Layer, Rule

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


@pytest.mark.timeout(60)
def test_a_key_without_end_is_looked_at_now_and_then():
    """Cut or not, it is one mask; if each of its pieces were looked at with all before it, this would not end today."""
    secrets = Chain([Rule(kind="secrets", name="s", action="mask")], "output")
    text = b"It is -----BEGIN PRIVATE KEY-----" + b"AbCd" * 100_000 + b"-----END PRIVATE KEY----- and that is all."
    whole = judged(secrets.flat, "output", lambda _: None, text)
    assert whole == b"It is [private_key]-----END PRIVATE KEY----- and that is all."
    window = Window(secrets.window, "output", lambda _: None)
    pieces = [window.feed(text[at : at + 4], last=False) for at in range(0, len(text), 4)]
    pieces.append(window.feed(b"", last=True))
    assert b"".join(pieces) == whole
    assert b"".join(pieces[:8]) == b"It is "
