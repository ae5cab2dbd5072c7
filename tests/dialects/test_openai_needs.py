"""Covers dialects/openai_needs.py: what a request calls for."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.core.upload import Form
from headgate.dialects.openai_needs import needs

ALL = (
    "audio_in", "audio_out", "cache", "computer_use", "documents", "json_schema", "prefill", "streaming", "tools",
    "vision", "web_search",
)  # fmt: skip
CHAT, RESPONSES = Operation.CHAT, Operation.RESPONSES


def asked(operation, request, *, stream=False, among=ALL):
    """The needs of a request, in order."""
    return sorted(needs(operation, Body(msgspec.json.encode(request)), stream=stream, among=among))


def said(*parts):
    """A message of parts, in a chat."""
    return {"messages": [{"role": "system", "content": "short"}, {"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    ("operation", "request_", "wanted"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "hi"}]}, []),
        (CHAT, said({"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}), ["vision"]),
        (CHAT, said({"type": "input_audio", "input_audio": {"data": ""}}), ["audio_in"]),
        (CHAT, said({"type": "file", "file": {"file_data": ""}}), ["documents"]),
        (CHAT, said({"type": "text", "text": '{"type": "image_url"} or "tools" or "json_schema"'}), []),
        (CHAT, {"tools": [{"type": "function"}]}, ["tools"]),
        (CHAT, {"tools": [{"type": "custom"}]}, ["tools"]),
        (CHAT, {"functions": [{"name": "f"}]}, ["tools"]),
        (CHAT, {"tools": []}, []),
        (CHAT, {"tools": None, "functions": []}, []),
        (CHAT, {"response_format": {"type": "json_schema", "json_schema": {}}}, ["json_schema"]),
        (CHAT, {"response_format": {"type": "json_object"}}, []),
        (CHAT, {"web_search_options": {}}, ["web_search"]),
        (CHAT, {"modalities": ["text", "audio"], "audio": {}}, ["audio_out"]),
        (CHAT, {"modalities": ["text"]}, []),
        (RESPONSES, {"input": "hi"}, []),
        (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, ["vision"]),
        (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, ["documents"]),
        (
            RESPONSES,
            {"input": [{"type": "function_call_output", "output": [{"type": "input_image", "image_url": "x"}]}]},
            ["vision"],
        ),
        (RESPONSES, {"tools": [{"type": "function", "name": "f"}]}, ["tools"]),
        (RESPONSES, {"tools": [{"type": "web_search_preview"}]}, ["web_search"]),
        (RESPONSES, {"tools": [{"type": "computer_use_preview"}]}, ["computer_use"]),
        (RESPONSES, {"tools": [{"type": "file_search"}]}, []),
        (RESPONSES, {"text": {"format": {"type": "json_schema", "name": "n"}}}, ["json_schema"]),
        (RESPONSES, {"text": {"format": {"type": "text"}}}, []),
        (Operation.EMBEDDINGS, {"input": '"tools"', "tools": [{"type": "function"}]}, []),
    ],
)
def test_what_a_request_calls_for(operation, request_, wanted):
    """Each ability, as either API spells it; a word in a text is none."""
    assert asked(operation, request_) == wanted


def test_only_what_matters_is_looked_for():
    """Where nobody lacks eyes, nobody looks for pictures: the request is not even decoded."""
    body = Body(msgspec.json.encode(said({"type": "image_url"})))
    assert needs(CHAT, body, stream=True, among=("tools", "json_schema")) == frozenset()
    assert "view" not in vars(body)
    assert needs(CHAT, body, stream=False, among=("tools", "vision")) == {"vision"}


def test_a_stream_is_a_need_of_any_operation():
    """Of a form's as well; only where it matters."""
    form = Form([], "b")
    assert needs(Operation.TRANSCRIPTIONS, form, stream=True, among=ALL) == {"streaming"}
    assert needs(Operation.TRANSCRIPTIONS, form, stream=True, among=("tools",)) == frozenset()
    assert asked(CHAT, {"tools": [{"type": "function"}]}, stream=True) == ["streaming", "tools"]


@pytest.mark.parametrize("raw", [b'{"tools":[{}],"big":1e999', b'{"tools":' + b"[" * 99_999 + b"]" * 99_999 + b"}"])
def test_what_cannot_be_read_needs_nothing(raw):
    """The provider says so."""
    assert needs(CHAT, Body(raw), stream=False, among=ALL) == frozenset()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.sampled_from(["image_url", "function"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "content", "output", "format", "tools", "messages", "input", "text"]), inner
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["messages", "input", "tools", "functions", "text", "response_format", "modalities"]), JSON
    ),
    st.sampled_from([CHAT, RESPONSES]),
)
def test_nothing_has_to_be_of_the_type_that_it_should_be(request_, operation):
    """Whatever stands there, the answer is a set of abilities."""
    # All of the words are there, so that nothing is spared a closer look.
    words = ["image_url", "input_image", "tools", "json_schema", "file", "modalities", "web_search"]
    assert set(asked(operation, request_ | {"words": words})) <= set(ALL)
