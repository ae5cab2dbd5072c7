"""Chat Completions requests, understood."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.read_chat import read_chat

HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def read(**fields):
    """The question of a request with these fields, others as usual."""
    return read_chat(json.dumps({"model": "gpt-4o", "messages": HELLO} | fields).encode())


def refused(**fields):
    """Code and parameter of the refusal."""
    with pytest.raises(Problem) as caught:
        read(**fields)
    return caught.value.code, caught.value.param


def test_the_usual():
    """Model, prompt, defaults."""
    question = read()
    assert (question.model.name, question.prompt, question.last) == ("gpt-4o", "<user>Hello\n", "Hello")
    assert (question.stream, question.usage_wanted, question.n, question.cap) == (False, False, 1, None)
    assert (question.mode, question.schema, question.json, question.effort) == ("none", None, False, "none")


def test_stream_options():
    """Usage only if asked for, obfuscation unless asked not to."""
    plain = read(stream=True)
    asked = read(stream=True, stream_options={"include_usage": True, "include_obfuscation": False})
    assert (plain.usage_wanted, plain.obfuscate) == (False, True)
    assert (asked.usage_wanted, asked.obfuscate) == (True, False)
    assert refused(stream_options={"include_usage": True}) == (None, "stream_options")


def test_caps():
    """Both spellings, but not the old one for models that reason."""
    assert read(max_tokens=5).cap == 5
    assert read(max_completion_tokens=6).cap == 6
    assert refused(max_tokens=5, model="gpt-6-luna") == ("unsupported_parameter", "max_tokens")
    assert read(max_completion_tokens=1, model="gpt-6-luna").cap == 1
    assert refused(max_tokens=0) == ("integer_below_min_value", "max_tokens")
    assert refused(max_tokens=16_385) == ("invalid_value", "max_tokens")
    assert refused(max_completion_tokens=128_001, model="gpt-6-luna") == ("invalid_value", "max_completion_tokens")
    assert read(max_completion_tokens=128_000, model="gpt-6-luna").cap == 128_000
    assert read(max_tokens=10**9, model="fake").cap == 10**9
    assert refused(max_tokens=1, max_completion_tokens=1) == ("invalid_parameter_combination", "max_tokens")


def test_tools_where_models_reason():
    """Some models call tools only in Responses, some only where the effort, asked for or by default, is none."""
    assert refused(model="gpt-6-luna", tools=[TOOL]) == ("unsupported_parameter", "reasoning_effort")
    assert read(model="gpt-6-luna", tools=[TOOL], reasoning_effort="none").mode == "auto"
    assert read(model="gpt-5.4", tools=[TOOL]).mode == "auto"
    assert refused(model="gpt-6-luna", tools=[TOOL], reasoning_effort="low")[1] == "reasoning_effort"
    assert refused(model="gpt-6-astra", tools=[TOOL]) == ("unsupported_parameter", "tools")
    assert refused(model="gpt-6.1-sol", reasoning_effort="max") == ("unsupported_value", "reasoning_effort")


def test_what_the_model_reads():
    """Tools, schema, roles, calls and results are all part of the prompt; a result leaves no last words."""
    schema = {"type": "object"}
    question = read(
        tools=[TOOL],
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        messages=[
            {"role": "developer", "content": "D"},
            {"role": "user", "content": [{"type": "text", "text": "U"}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]},
            {"role": "tool", "tool_call_id": "c", "content": "R"},
        ],
    )
    assert question.prompt.endswith('{"type":"object"}<developer>D\n<user>U\n<assistant>[{"id":"c"}]\n<tool>R\n')
    assert question.prompt.startswith('[{"type":"function"')
    assert question.last == ""
    assert (question.schema, question.json) == (schema, True)


def test_formats():
    """Text, any object, an object of a schema."""
    assert read(response_format={"type": "text"}).json is False
    assert read(response_format={"type": "json_object"}).json is True
    bare = read(response_format={"type": "json_schema", "json_schema": {"name": "n"}})
    assert (bare.json, bare.schema) == (True, None)
    assert refused(response_format={"type": "xml"}) == ("invalid_value", "response_format.type")
    assert refused(response_format={}) == ("missing_required_parameter", "response_format.type")
    assert refused(response_format={"type": "json_schema"})[1] == "response_format.json_schema"
    assert refused(response_format={"type": "json_schema", "json_schema": {}})[1] == "response_format.json_schema.name"
    strict = {"name": "n", "strict": True, "schema": {"type": "object", "properties": {}}}
    assert refused(response_format={"type": "json_schema", "json_schema": strict})[0] == "invalid_json_schema"


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"messages": []}, "empty_array", "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "invalid_value", "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "missing_required_parameter", "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "invalid_type", "messages[0].content"),
        ({"messages": [{"role": "user", "content": 3}]}, "invalid_type", "messages[0].content"),
        ({"n": 0}, "integer_below_min_value", "n"),
        ({"n": 129}, "integer_above_max_value", "n"),
        ({"stop": ["a"] * 5}, "array_above_max_length", "stop"),
        ({"stream": "yes"}, "invalid_type", "stream"),
        ({"tools": [{"type": "web_search"}]}, "invalid_value", "tools[0].type"),
        ({"functions": [{}]}, "unsupported_parameter", "functions"),
        ({"verbosity": "loud"}, "invalid_value", "verbosity"),
        ({"prompt_cache_options": {"ttl": "12h"}}, "unsupported_parameter", "prompt_cache_options"),
        ({"max_output_tokens": 5}, "unknown_parameter", "max_output_tokens"),
        ({"reasoning": {"effort": "low"}}, "unknown_parameter", "reasoning"),
        ({"text": {}}, "unknown_parameter", "text"),
        ({"model": "gpt-6-luna", "prediction": {}, "stop": "x"}, "unsupported_parameter", "stop"),
        ({"model": "gpt-6-luna", "prediction": {"type": "content"}}, "unsupported_parameter", "prediction"),
        ({"model": "gpt-6-luna", "modalities": ["audio"]}, "unsupported_parameter", "modalities"),
        ({"model": "gpt-6-luna", "audio": {"voice": "a"}}, "unsupported_parameter", "audio"),
        ({"model": "nobody"}, "model_not_found", None),
        ({"model": None}, "invalid_type", "model"),
    ],
    ids=str,
)
def test_refusals(fields, code, param):
    """Each names its field."""
    assert refused(**fields) == (code, param)


def test_missing_fields():
    """Without model or messages there is nothing to answer."""
    for body, param in ((b'{"messages": []}', "model"), (b'{"model": "gpt-4o"}', "messages")):
        with pytest.raises(Problem) as caught:
            read_chat(body)
        assert (caught.value.code, caught.value.param) == ("missing_required_parameter", param)


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["type", "function", "custom", "name", "parameters", "schema", "json_schema", "tools"]),
            st.one_of(inner, st.sampled_from(["function", "custom", "json_schema", "allowed_tools", "text"])),
            max_size=3,
        ),
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(["messages", "tools", "tool_choice", "response_format", "stop", "n", "stream_options"]),
        anything,
        max_size=3,
    )
)
def test_nothing_but_a_problem_is_raised(fields):
    """Whatever stands in the fields, the request is understood or refused."""
    with suppress(Problem):
        read(**fields)
