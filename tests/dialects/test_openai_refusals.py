"""A model's words where it refuses."""

import pytest

from headgate.core.reply import Event, Kind
from headgate.dialects.openai_refusals import refused, refused_in


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"choices": [{"message": {"content": None, "refusal": "No."}}]}, "No."),
        ({"output": [{"type": "reasoning"}, {"content": [{"type": "refusal", "refusal": "No."}]}]}, "No."),
        ({"choices": [{"message": {"content": "Yes.", "refusal": None}}]}, None),
        ({"choices": [None, {"message": 3}, {"message": {"refusal": 3}}], "output": {"content": 1}}, None),
        (None, None),
    ],
    ids=str,
)
def test_whole_answers(answer, said):
    """Both dialects; whatever else stands there is no refusal."""
    assert refused(answer) == said


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'data: {"choices":[{"delta":{"refusal":"No"}}]}\n\n', "No"),
        (b'event: response.refusal.delta\ndata: {"type":"response.refusal.delta","delta":"No"}\n\n', "No"),
        (b'event: x\ndata: {"type":"response.refusal.done","refusal":"No"}\n\n', ""),
        (b'data: {"choices":[{"delta":{"content":"a","refusal":null}}]}\n\n', ""),
        (b'data: "refusal\n\n', ""),
        (b'data: {"choices":[{"delta":"refusal"}]}\n\n', ""),
    ],
)
def test_events(raw, said):
    """A piece of a refusal, and nothing else; what cannot be read is passed over."""
    assert refused_in(Event(kind=Kind.CONTENT, raw=raw, size=2)) == said


def test_events_that_say_something_else_are_not_read():
    """Words are words."""
    raw = b'data: {"choices":[{"delta":{"refusal":"No"}}]}\n\n'
    assert refused_in(Event(kind=Kind.CONTENT, raw=raw, text="refusal", size=7)) == ""
