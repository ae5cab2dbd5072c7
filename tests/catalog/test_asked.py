"""Covers catalog/asked.py: what of a request is read, by whom, and what is only guessed."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.catalog.asked import DEEPEST, FILE, READERS, Asked, read
from headgate.catalog.families import STRANGER, family
from headgate.core.call import Operation

OLD = family("gpt-4o")
NEW = family("gpt-6-luna")
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Where."},
                "unit": {"type": ["string", "null"], "enum": ["C", "F"]},
            },
        },
    },
}
SEEN = "data:image/gif;base64,R0lGODlhgAIABA=="  # 640 by 1024


def chat(kind=OLD, **view) -> Asked:
    """What a chat request holds."""
    return read(Operation.CHAT, view, kind)


def responses(kind=OLD, **view) -> Asked:
    """What a request for Responses holds."""
    return read(Operation.RESPONSES, view, kind)


def test_messages():
    """Three tokens a message, one for its name, three before the reply; role, content and name are read."""
    asked = chat(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "name": "ann", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "!"}]},
            {"role": "assistant", "content": None, "refusal": "No."},
        ]
    )
    assert asked.texts == ["system", "Be brief.", "user", "Hi", "!", "ann", "assistant", "No."]
    assert (asked.tokens, asked.tool_tokens, asked.other_tokens) == (3 * 3 + 1 + 3, 0, 0)
    assert asked.guesses == set()


def test_the_frame_of_newer_models_is_a_guess():
    """Nobody published what GPT-5 and later put around messages."""
    assert chat(family("gpt-5"), messages=[]).guesses == {"framing"}
    assert responses(input="Hi").guesses == {"framing"}


def test_tools():
    """Functions are described as they were to GPT-4o: seven each, three a property, twelve at the end."""
    asked = chat(messages=[], tools=[WEATHER])
    assert asked.tool_texts == ["get_weather:Tell the weather", "city:string:Where", "unit:string|null:", "C", "F"]
    assert asked.tool_tokens == 7 + 3 + 3 + 3 + (-3 + 3 + 3) + 12
    assert asked.guesses == {"tools"}
    flat = responses(input="Hi", tools=[{"type": "function"} | WEATHER["function"]])
    old = chat(messages=[], functions=[WEATHER["function"]])
    assert flat.tool_texts == old.tool_texts == asked.tool_texts
    assert flat.tool_tokens == old.tool_tokens == asked.tool_tokens


def test_properties_within_properties_are_read():
    """Objects, lists and their choices count as deep as they go; what stands beside them too; below, as plain words."""
    inner = {"type": "object", "properties": {"tag": {"type": "string"}}}
    schema = {"properties": {"all": {"type": "array", "items": inner}}, "$defs": {"x": {"const": 5}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    asked = chat(messages=[], tools=[tool])
    assert asked.tool_texts == ["f:", "all:array:", "tag:string:", "x", "const"]
    deep: dict = {"properties": {"bottom": {"type": "string"}}}
    for _ in range(DEEPEST + 5):
        deep = {"properties": {"down": deep}}
    deep_tool = {"type": "function", "function": {"name": "f", "parameters": deep}}
    assert "bottom" in chat(messages=[], tools=[deep_tool]).tool_texts


def test_other_tools_and_schemas():
    """Custom tools and schemas are counted word by word; hosted tools bring what cannot be seen."""
    asked = chat(messages=[], tools=[{"type": "custom", "custom": {"name": "sh", "format": {"type": "text"}}}])
    assert sorted(asked.tool_texts) == ["custom", "custom", "format", "name", "sh", "text", "type", "type"]
    assert asked.guesses == {"tools"}
    assert responses(input="", tools=[{"type": "web_search"}]).guesses == {"framing", "tools", "hosted"}
    assert chat(messages=[], web_search_options={}).guesses == {"hosted"}
    schema = {"type": "object", "properties": {"a": {"minimum": 1}}}
    asked = chat(messages=[], response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}})
    assert (sorted(asked.tool_texts), asked.tool_tokens) == (["a", "minimum", "object", "properties", "type"], 2)
    assert asked.guesses == {"schema"}
    assert responses(input="", text={"format": {"type": "json_schema", "schema": schema}}).tool_tokens == 2


def test_calls_and_their_results():
    """Calls that the model made and what came of them are read in both dialects."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    custom = {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "ls"}}
    result = {"role": "tool", "tool_call_id": "c1", "content": "42"}
    asked = chat(messages=[{"role": "assistant", "tool_calls": [call, custom]}, result])
    assert asked.texts == ["assistant", "f", "{}", "g", "ls", "tool", "42"]
    assert asked.guesses == {"tools"}
    old = chat(messages=[{"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}])
    assert old.texts == ["assistant", "f", "{}"]
    items = [
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "42"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "7"}]},
    ]
    asked = responses(input=items)
    assert asked.texts == ["f", "{}", "42", "7"]
    assert asked.tokens == 3 * 3 + 3


def test_responses():
    """Instructions, a text and items are read; what was said earlier is only named."""
    asked = responses(instructions="Be brief.", input="Hi")
    assert asked.texts == ["system", "Be brief.", "user", "Hi"]
    assert asked.tokens == 3 + 3 + 3
    items = [{"role": "user", "content": "Hi"}, {"type": "message", "role": "assistant", "content": [
        {"type": "output_text", "text": "Yes?"}, {"type": "refusal", "refusal": "No."}]}]  # fmt: skip
    assert responses(input=items).texts == ["user", "Hi", "assistant", "Yes?", "No."]
    for name in ("previous_response_id", "conversation", "prompt"):
        assert "history" in responses(input="Hi", **{name: "x_1"}).guesses
    assert "history" in responses(input=[{"type": "item_reference", "id": "msg_1"}]).guesses
    assert "history" in responses(input=[{"id": "msg_1"}]).guesses
    assert "history" in chat(messages=[{"role": "assistant", "audio": {"id": "a"}}]).guesses


def test_pictures():
    """A picture that is here costs what its size says; one elsewhere is taken to be of 1024 pixels each way."""
    here = {"type": "image_url", "image_url": {"url": SEEN, "detail": "high"}}
    asked = chat(messages=[{"role": "user", "content": [here]}])
    assert (asked.other_tokens, asked.guesses) == (85 + 170 * 4, set())
    there = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}
    asked = chat(messages=[{"role": "user", "content": [there]}])
    assert (asked.other_tokens, asked.guesses) == (85, {"pictures"})
    asked = responses(NEW, input=[{"role": "user", "content": [{"type": "input_image", "image_url": SEEN}]}])
    assert (asked.other_tokens, asked.guesses) == (768, {"framing", "pictures"})  # 20 by 32 patches, 1.2 each
    asked = responses(input=[{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}])
    assert (asked.other_tokens, asked.guesses) == (765, {"framing", "pictures"})


def test_files_sound_and_the_unknown_are_guessed():
    """What is no text is guessed by its length, apart from what is said."""
    parts = [
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_file", "file_data": "A" * 16_000},
        {"type": "input_audio", "input_audio": {"data": "A" * 21_000, "format": "mp3"}},
        {"type": "input_smell", "smell": "fresh bread"},
        "a stray text",
    ]
    asked = chat(messages=[{"role": "user", "content": parts}])
    assert asked.other_tokens == FILE + 3000 + 11 + 3
    assert asked.other_texts == ["type", "smell", "fresh bread", "input_smell", "a stray text"]
    assert asked.guesses == {"files", "sound", "items"}
    assert responses(input=[{"type": "reasoning", "summary": []}]).guesses == {"framing", "items"}


@pytest.mark.parametrize("field", [("input", Operation.EMBEDDINGS), ("prompt", Operation.COMPLETIONS)])
def test_plain_inputs(field):
    """A text, texts, tokens, and lists of tokens."""
    name, operation = field
    assert read(operation, {name: "Hi"}, OLD).texts == ["Hi"]
    asked = read(operation, {name: ["Hi", "there", [1, 2, 3]]}, OLD)
    assert (asked.texts, asked.tokens, asked.guesses) == (["Hi", "there"], 3, set())
    assert read(operation, {name: [5, 6]}, OLD).tokens == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["type", "role", "content", "name", "function", "parameters", "properties", "enum", "items", "url",
                 "image_url", "tool_calls", "custom", "file", "input_audio", "data", "text", "description", "output"]
            ),
            inner | st.sampled_from(["function", "text", "image_url", "input_audio", "message", "file", "custom"]),
            max_size=5,
        )
    ),
    max_leaves=30,
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(READERS)), JSON)
def test_whatever_is_sent_is_read(operation, value):
    """No type in no place makes the reading fail, and no texts are made up."""
    fields = ("messages", "tools", "functions", "input", "instructions", "prompt", "text", "response_format")
    asked = read(operation, dict.fromkeys(fields, value), STRANGER)
    said = json.dumps(value, ensure_ascii=False)
    made = [text for text in asked.texts if text not in ("user", "system") and json.dumps(text)[1:-1] not in said]
    assert [text for text in made if json.dumps(text, ensure_ascii=False)[1:-1] not in said] == []
    assert asked.tokens >= 0
    assert asked.tool_tokens >= 0
