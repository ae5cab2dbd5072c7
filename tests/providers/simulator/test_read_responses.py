"""Responses requests, understood."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.read_responses import read_responses


def read(**fields):
    """The question of a request with these fields, others as usual."""
    return read_responses(json.dumps({"model": "gpt-6-luna", "input": "Hello"} | fields).encode())


def refused(**fields):
    """Code and parameter of the refusal."""
    with pytest.raises(Problem) as caught:
        read(**fields)
    return caught.value.code, caught.value.param


def test_the_usual():
    """The same prompt as in Chat Completions, so that both dialects get the same answer."""
    question = read()
    assert (question.prompt, question.last, question.effort) == ("<user>Hello\n", "Hello", "medium")
    assert (question.n, question.cap, question.usage_wanted) == (1, None, True)


def test_items_and_instructions():
    """Messages with and without a type, calls and their results, instructions in front."""
    question = read(
        instructions="Be kind.",
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "U"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "R"},
        ],
    )
    assert question.prompt == ("<system>Be kind.\n<user>U\n<function_call>f {}\n<function_call_output>R\n")
    assert question.last == ""


def test_what_the_answer_repeats():
    """The object echoes the request's settings, defaults filled in."""
    echo = read(metadata={"a": "b"}, store=False, max_output_tokens=20, reasoning={"effort": "high"}).echo
    assert echo["metadata"] == {"a": "b"}
    assert (echo["store"], echo["max_output_tokens"], echo["reasoning"]["effort"]) == (False, 20, "high")
    assert (read().echo["store"], read().echo["tools"], read().echo["truncation"]) == (True, [], "disabled")
    assert read(include=["reasoning.encrypted_content"]).echo["encrypted"] is True


def test_tools_and_formats_are_flat():
    """Names and schemas stand one level higher than in Chat Completions; hosted tools are passed over."""
    tools = [{"type": "web_search"}, {"type": "function", "name": "f", "parameters": {"type": "object"}}]
    question = read(tools=tools, tool_choice="required")
    assert ([tool.name for tool in question.tools], question.mode) == (["f"], "required")
    shape = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
    assert read(text={"format": shape}).schema == {"type": "object"}
    assert read(text={"format": {"type": "json_object"}}).json is True
    assert read(text={"verbosity": "low"}).json is False


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"input": None}, "missing_required_parameter", "input"),
        ({"input": []}, "empty_array", "input"),
        ({"input": 3}, "invalid_type", "input"),
        ({"input": [{"role": "tool", "content": "x"}]}, "invalid_value", "input[0].role"),
        ({"input": [{"role": "user", "content": ["x"]}]}, "invalid_type", "input[0].content"),
        ({"input": [{"role": "user", "content": None}]}, "invalid_type", "input[0].content"),
        ({"input": [{"type": 3}]}, "invalid_type", "input[0].type"),
        ({"max_output_tokens": 15}, "integer_below_min_value", "max_output_tokens"),
        ({"reasoning": {"effort": "extreme"}}, "unsupported_value", "reasoning.effort"),
        ({"reasoning": {"effort": 3}}, "invalid_type", "reasoning.effort"),
        ({"temperature": 0.2}, "unsupported_value", "temperature"),
        ({"previous_response_id": "resp_1"}, "previous_response_not_found", "previous_response_id"),
        ({"previous_response_id": "r", "conversation": "c"}, "mutually_exclusive_parameters", "previous_response_id"),
        ({"conversation": "c"}, None, "conversation"),
        ({"background": True, "store": False}, None, "background"),
        ({"text": {"format": 3}}, "invalid_type", "text.format"),
        ({"text": {"format": {}}}, "missing_required_parameter", "text.format.type"),
        ({"text": {"format": {"type": "x"}}}, "invalid_value", "text.format.type"),
        ({"text": {"format": {"type": "json_schema"}}}, "missing_required_parameter", "text.format.name"),
        (
            {"text": {"format": {"type": "json_schema", "name": "n"}}},
            "missing_required_parameter",
            "text.format.schema",
        ),
        ({"service_tier": "golden"}, "invalid_value", "service_tier"),
        ({"max_output_tokens": 128_001}, "invalid_value", "max_output_tokens"),
        ({"text": {"verbosity": "loud"}}, "invalid_value", "text.verbosity"),
        ({"include": ["message.output_text.logprobs"]}, "unsupported_parameter", "include"),
        ({"max_tokens": 20}, "unsupported_parameter", "max_tokens"),
        ({"messages": []}, "unsupported_parameter", "messages"),
        ({"stop": "x"}, "unknown_parameter", "stop"),
        ({"model": "gpt-4o", "prompt_cache_options": {}}, "unsupported_parameter", "prompt_cache_options"),
        ({"model": "nobody"}, "model_not_found", None),
    ],
    ids=str,
)
def test_refusals(fields, code, param):
    """Each names its field."""
    assert refused(**fields) == (code, param)


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["type", "role", "content", "name", "format", "schema", "effort", "output", "text"]),
            st.one_of(inner, st.sampled_from(["function", "message", "json_schema", "input_text", "user"])),
            max_size=4,
        ),
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["input", "tools", "tool_choice", "text", "reasoning", "include", "instructions"]),
        anything,
        max_size=3,
    )
)
def test_nothing_but_a_problem_is_raised(fields):
    """Whatever stands in the fields, the request is understood or refused."""
    with suppress(Problem):
        read(**fields)
