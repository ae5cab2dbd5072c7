"""Which questions may be asked again in the middle of their answer, and how a model is asked to go on."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.dialects.openai_again import begun, repeatable

CHAT, RESPONSES, COMPLETIONS = Operation.CHAT, Operation.RESPONSES, Operation.COMPLETIONS
TOOL = {"type": "function", "function": {"name": "f"}}
PLAIN = [
    (CHAT, {}),
    (CHAT, {"tools": [], "functions": None, "n": 1, "store": False, "logprobs": False, "top_logprobs": 0}),
    (CHAT, {"response_format": {"type": "text"}, "modalities": ["text"], "reasoning_effort": "none"}),
    (CHAT, {"temperature": 0, "seed": 1, "stop": ["a"], "max_tokens": 5, "tool_choice": "auto"}),
    (RESPONSES, {"store": False}),
    (RESPONSES, {"store": False, "text": {"format": {"type": "text"}, "verbosity": "low"}, "include": []}),
    (RESPONSES, {"store": False, "reasoning": {"effort": "none"}, "background": False, "instructions": "x"}),
    (RESPONSES, {"store": False, "text": {}, "reasoning": {}, "tools": None, "previous_response_id": None}),
    (COMPLETIONS, {"prompt": "Once", "n": 1, "best_of": 1, "logprobs": None}),
]
MORE = [
    (CHAT, {"tools": [TOOL]}),
    (CHAT, {"functions": [{"name": "f"}]}),
    (CHAT, {"web_search_options": {}}),
    (CHAT, {"response_format": {"type": "json_object"}}),
    (CHAT, {"response_format": {"type": "json_schema", "json_schema": {}}}),
    (CHAT, {"reasoning_effort": "low"}),
    (CHAT, {"reasoning": {"max_tokens": 5}}),
    (CHAT, {"n": 2}),
    (CHAT, {"audio": {"voice": "alloy"}}),
    (CHAT, {"modalities": ["text", "audio"]}),
    (CHAT, {"logprobs": True}),
    (CHAT, {"top_logprobs": 2}),
    (CHAT, {"store": True}),
    (RESPONSES, {}),
    (RESPONSES, {"store": None}),
    (RESPONSES, {"store": True}),
    (RESPONSES, {"store": False, "text": {"format": {"type": "json_schema"}}}),
    (RESPONSES, {"store": False, "text": 5}),
    (RESPONSES, {"store": False, "reasoning": {"effort": "low"}}),
    (RESPONSES, {"store": False, "reasoning": {"summary": "auto"}}),
    (RESPONSES, {"store": False, "background": True}),
    (RESPONSES, {"store": False, "previous_response_id": "resp_1"}),
    (RESPONSES, {"store": False, "conversation": "conv_1"}),
    (RESPONSES, {"store": False, "prompt": {"id": "pmpt_1"}}),
    (RESPONSES, {"store": False, "include": ["message.output_text.logprobs"]}),
    (RESPONSES, {"store": False, "top_logprobs": 3}),
    (RESPONSES, {"store": False, "tools": [{"type": "web_search"}]}),
    (COMPLETIONS, {"prompt": ["a", "b"]}),
    (COMPLETIONS, {"prompt": "a", "best_of": 2}),
    (COMPLETIONS, {"prompt": "a", "logprobs": 0}),
]


def body(fields: dict[str, object]) -> Body:
    """A request."""
    return Body(json.dumps(fields).encode())


@pytest.mark.parametrize(("operation", "fields"), PLAIN)
def test_one_text_may_be_asked_for_again(operation, fields):
    """Whatever changes the words alone is harmless: every target gets the same request."""
    assert repeatable(operation, body(fields))


@pytest.mark.parametrize(("operation", "fields"), MORE)
def test_anything_else_may_not(operation, fields):
    """Tools, schemas, reasoning, several answers, sound, figures beside the words, things that a provider keeps."""
    assert not repeatable(operation, body(fields))


def test_what_cannot_be_read_is_not_asked_again():
    """A number too large for the decoder, in a field that matters."""
    assert not repeatable(CHAT, Body(b'{"text": ' + b"[" * 5000 + b"]" * 5000 + b"}"))


@given(text=st.text(min_size=1))
def test_a_beginning_stands_behind_the_question(text):
    """Every other byte stays as it is."""
    question = Body('{"n":1.0, "messages": [{"role": "user", "content": "Hi ]"} ], "x":  "é"}'.encode())
    found = begun(CHAT, question, text)
    assert found is not None
    assert json.loads(found.raw)["messages"] == [
        {"role": "user", "content": "Hi ]"},
        {"role": "assistant", "content": text},
    ]
    assert found.raw.startswith(b'{"n":1.0, "messages": [{"role": "user", "content": "Hi ]"} ,{"role":')
    assert found.raw.endswith('], "x":  "é"}'.encode())


@pytest.mark.parametrize(
    ("operation", "fields", "text"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "Hi"}]}, ""),
        (CHAT, {"messages": [{"role": "user"}, {"role": "assistant", "content": "H"}]}, "Hi"),
        (CHAT, {"messages": []}, "Hi"),
        (CHAT, {"messages": "Hi"}, "Hi"),
        (CHAT, {}, "Hi"),
        (RESPONSES, {"input": "Hi"}, "Hi"),
        (COMPLETIONS, {"prompt": "Hi"}, "Hi"),
    ],
)
def test_where_there_is_no_place_for_a_beginning(operation, fields, text):
    """Other APIs, nothing said, a question that ends with the beginning of an answer already."""
    assert begun(operation, body(fields), text) is None
