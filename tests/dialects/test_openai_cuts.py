"""Pieces of texts in events, and events cut anew."""

import json

from headgate.dialects.openai_cuts import numbered, opened


def sse(data):
    """One event."""
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def test_ends_and_comments_hold_nothing():
    """They pass as they are."""
    assert opened(b"data: [DONE]\n\n", chat=True) is None
    assert opened(b": hi\n\n", chat=False) is None


def test_the_texts_of_a_chunk():
    """Each field of each choice is a text of its own; a tool's fragments are told apart by its index."""
    tool = {"index": 2, "id": "c", "function": {"name": "f", "arguments": "{"}}
    found = opened(sse({"choices": [{"index": 1, "delta": {"content": "a", "tool_calls": [tool]}}]}), chat=True)
    assert found is not None
    channels = [piece.channel for piece in found.pieces]
    assert channels == [(1, "content"), (1, "tool_calls", 2, "function", "arguments")]
    assert found.other
    rest = json.loads(found.before(channels[1], found.fields, "}").removeprefix(b"data: "))
    assert rest["choices"][0]["delta"] == {"tool_calls": [{"index": 2, "function": {"arguments": "}"}}]}


def test_a_finished_part_ends_its_text_and_a_finished_item_all_of_its():
    """Other items go on."""
    channel = ("response.output_text.delta", 0, 1, None)
    done = opened(sse({"type": "response.output_text.done", "output_index": 0, "content_index": 1}), chat=False)
    item = opened(sse({"type": "response.output_item.done", "output_index": 0}), chat=False)
    other = opened(sse({"type": "response.output_item.done", "output_index": 1}), chat=False)
    assert [one.ends(channel) for one in (done, item, other) if one is not None] == [True, True, False]


def test_what_was_asked_is_no_repeat():
    """A response tells its instructions; only its output is looked at."""
    event = {"type": "response.completed", "response": {"instructions": "x", "output": [{"text": "a"}]}}
    found = opened(sse(event), chat=False)
    assert found is not None
    assert found.repeats == b'{"output":[{"text":"a"}]}'
    said = json.loads(found.written(b'{"output":[]}').removeprefix(b"data: "))
    assert said["response"] == {"instructions": "x", "output": []}


def test_numbers():
    """The field, and not the words that look like it."""
    raw = sse({"delta": '"sequence_number": 5', "sequence_number": 3})
    assert json.loads(numbered(raw, 9).removeprefix(b"data: ")) == {
        "delta": '"sequence_number": 5',
        "sequence_number": 9,
    }
