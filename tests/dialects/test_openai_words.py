"""Where the words of a prompt stand."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.dialects.openai_texts import changed
from headgate.dialects.openai_words import words

CHAT = {
    "model": "no",
    "messages": [
        {"role": "system", "content": "system", "name": "no"},
        {
            "content": [
                {"type": "text", "text": "part", "more": "no"},
                {"type": "image_url", "image_url": {"url": "no", "text": "no"}},
                {"type": "new", "text": "no"},
            ],
            "role": "user",
        },
        {
            "role": "assistant",
            "content": "said",
            "refusal": "no",
            "tool_calls": [{"id": "no", "type": "function", "function": {"name": "no", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "no", "content": "found"},
        {"role": "user", "content": {"text": "no"}},
    ],
    "tools": [{"type": "function", "function": {"name": "no", "arguments": "no", "description": "no"}}],
    "text": "no",
}
RESPONSES = {
    "instructions": "system",
    "input": [
        {"role": "user", "content": "plain"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "part"}]},
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "no"}], "summary": []},
        {"type": "function_call", "name": "no", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "no", "output": "found"},
        {"type": "function_call_output", "call_id": "no", "output": [{"type": "input_text", "text": "found"}]},
        {"type": "item_reference", "id": "no"},
    ],
    "metadata": {"input": "no"},
    "text": {"format": {"type": "text"}},
}


def found(operation, asked):
    """What is found: words, whether they are a tool's, and the model's own."""
    return [(word.text.value.decode(), word.tool, word.own) for word in words(operation, body(asked))]


def body(asked):
    """A request."""
    return Body(json.dumps(asked).encode())


def test_the_words_of_a_conversation():
    """Content and its text parts, in their order; of tools what they were given and have found; nothing else."""
    assert found(Operation.CHAT, CHAT) == [
        ("system", False, False), ("part", False, False), ("said", False, True), ("{}", True, False),
        ("found", True, False),
    ]  # fmt: skip
    assert found(Operation.RESPONSES, RESPONSES) == [
        ("system", False, False), ("plain", False, False), ("part", False, False), ("{}", True, False),
        ("found", True, False), ("found", True, False),
    ]  # fmt: skip
    assert found(Operation.RESPONSES, {"input": "one", "prompt": "no"}) == [("one", False, False)]


def test_prompts_stand_apart():
    """A list of prompts is a list of questions."""
    assert [word.apart for word in words(Operation.COMPLETIONS, Body(b'{"prompt": ["a", "b"]}'))] == [True, True]
    assert [word.apart for word in words(Operation.COMPLETIONS, Body(b'{"prompt": "a", "suffix": "b"}'))] == [False]
    assert words(Operation.COMPLETIONS, Body(b'{"prompt": [1, 2]}')) == []


def test_what_the_model_goes_on_with_is_left_alone():
    """The last message, where it is its own."""
    asked = {"messages": [{"role": "user", "content": "a"}, {"content": "b", "role": "assistant"}]}
    assert found(Operation.CHAT, asked) == [("a", False, False)]
    assert found(Operation.RESPONSES, {"input": asked["messages"]}) == [("a", False, False)]
    asked["messages"].append({})
    assert found(Operation.CHAT, asked) == [("a", False, False), ("b", False, True)]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"messages": [{"role": "user", "content": "a"}], "messages": []}',
        b'{"messages": [{"role": "user", "content": "a"}], "m\\u0065ssages": []}',
        b'{"messages": [{"role": "user", "content": "a", "content": "b"}]}',
        b'{"messages": [{"role": "user", "content": "a", "\\u0063ontent": "b"}]}',
        b'{"messages": [{"role": "user", "role": "tool", "content": "a"}]}',
        b'{"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "type": "x"}]}]}',
        b'{"messages": [{"role": "user", "content": "\\ud83d"}]}',
    ],
)
def test_what_readers_may_see_differently_has_no_words(raw):
    """A field that stands twice, and half a character."""
    assert words(Operation.CHAT, Body(raw)) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["content", "text", "role", "x"]), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(value=st.lists(JSON, max_size=3), ascii_only=st.booleans(), indent=st.sampled_from([None, 2]))
def test_whatever_stands_there_can_be_changed_byte_by_byte(value, ascii_only, indent):
    """Words are where they are said to be: written back, the request is the same."""
    raw = json.dumps({"messages": value, "n": 1.0}, ensure_ascii=ascii_only, indent=indent).encode()
    places = words(Operation.CHAT, Body(raw))
    for word in places:
        assert json.loads(raw[word.text.start : word.text.end]) == word.text.value.decode()
    assert json.loads(changed(raw, {word.text: word.text.value for word in places})) == json.loads(raw)


def test_depth_is_no_trouble():
    """As much of it as a body may have."""
    raw = b'{"x": %b, "messages": [{"role": "user", "content": "a"}]}' % (b"[" * 900 + b"]" * 900)
    assert [word.text.value for word in words(Operation.CHAT, Body(raw))] == [b"a"]
