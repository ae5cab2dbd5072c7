"""Which requests mean the same: a table of pairs, and what has no spelling at all."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.dialects.openai_question import question

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
RESPONSES = {"model": "m", "input": "Hi", "store": False}
EMBEDDING = {"model": "e", "input": "Hi"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a", "b"]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
SWAPPED = {**SCHEMA, "properties": dict(reversed(SCHEMA["properties"].items()))}


def chat(**more):
    """A chat."""
    return Operation.CHAT, json.dumps({**CHAT, **more}).encode()


def responses(**more):
    """A response that nobody keeps."""
    return Operation.RESPONSES, json.dumps({**RESPONSES, **more}).encode()


def embedding(**more):
    """An embedding."""
    return Operation.EMBEDDINGS, json.dumps({**EMBEDDING, **more}).encode()


def raw(text, operation=Operation.CHAT):
    """A request as it is spelled."""
    return operation, text if isinstance(text, bytes) else text.encode()


def backwards(asked):
    """The same request, all its objects in another order, and spelled with space."""
    operation, text = asked

    def turned(value):
        if isinstance(value, dict):
            return {name: turned(inner) for name, inner in reversed(value.items())}
        return [turned(inner) for inner in value] if isinstance(value, list) else value

    return operation, json.dumps(turned(json.loads(text)), indent=3).encode()


def form(schema=SCHEMA, **more):
    """A response format."""
    return {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema, **more}}


SAME = [
    (chat(), chat(stream=True)),
    (chat(), chat(stream=False, stream_options=None)),
    (chat(stream=True), chat(stream=True, stream_options={"include_usage": True})),
    (chat(), chat(metadata={"a": "b"})),
    (chat(user="u-1"), chat(user="u-2")),
    (chat(), chat(safety_identifier="s")),
    (chat(), chat(prompt_cache_key="k", prompt_cache_retention="24h")),
    (chat(), chat(store=False)),
    (chat(), chat(model="renamed by the route, which is told apart elsewhere")),
    (chat(), chat(temperature=None, tools=None, seed=None)),
    (chat(temperature=1), chat(temperature=1.0)),
    (chat(top_p=1, presence_penalty=0.0), chat(top_p=1.0, presence_penalty=0)),
    (chat(temperature=0.5), raw('{"model":"m","messages":[{"role":"user","content":"Hi"}],"temperature":5e-1}')),
    (chat(), backwards(chat())),
    (chat(tools=[TOOL]), chat(tools=[dict(reversed(TOOL.items()))])),
    (chat(response_format=form()), chat(response_format=dict(reversed(form().items())))),
    (chat(), raw('{"model":"m","messages":[{"role":"user","content":"\\u0048i"}]}')),
    (
        raw('{"model":"m","messages":[{"role":"user","content":"é"}]}'),
        raw('{"model":"m","messages":[{"role":"user","content":"\\u00e9"}]}'),
    ),
    (responses(), responses(stream=True)),
    (responses(), responses(background=False, metadata={"a": "b"}, user="u")),
    (responses(), responses(previous_response_id=None, conversation=None, prompt=None)),
    (responses(), backwards(responses())),
    (responses(tools=[{"type": "function", "name": "f"}]), responses(tools=[{"name": "f", "type": "function"}])),
    (embedding(), embedding(user="u")),
    (embedding(dimensions=8), backwards(embedding(dimensions=8))),
]
OTHER = [
    (chat(), chat(messages=[{"role": "user", "content": "Hi "}])),
    (chat(), chat(messages=[{"role": "user", "content": "hi"}])),
    (chat(), chat(messages=[{"role": "system", "content": "Hi"}])),
    (chat(), chat(messages=[{"role": "user", "content": "Hi"}, {"role": "user", "content": "Hi"}])),
    (
        chat(messages=[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]),
        chat(messages=[{"role": "user", "content": "b"}, {"role": "user", "content": "a"}]),
    ),
    (chat(), chat(messages=[{"role": "user", "content": "Hi", "name": "n"}])),
    (chat(), chat(temperature=1)),
    (chat(temperature=0.5), chat(temperature=0.7)),
    (chat(), chat(n=2)),
    (chat(seed=1), chat(seed=2)),
    (chat(seed=1), chat(seed="1")),
    (chat(), chat(max_tokens=16)),
    (chat(max_tokens=16), chat(max_completion_tokens=16)),
    (chat(), chat(stop="x")),
    (chat(), chat(reasoning_effort="low")),
    (chat(), chat(service_tier="flex")),
    (chat(), chat(Temperature=1)),
    (chat(), chat(unknown_field=1)),
    (chat(), chat(tools=[TOOL])),
    (chat(tools=[TOOL]), chat(tools=[TOOL], tool_choice="required")),
    (chat(response_format=form()), chat(response_format=form(SWAPPED))),
    (chat(response_format=form()), chat(response_format=form(strict=False))),
    (
        chat(response_format=form({"enum": [1]})),
        chat(response_format=form({"enum": [1.0]})),
    ),
    (
        chat(tools=[{"type": "function", "function": {"name": "f", "parameters": {"a": ["{", ["b", 1]]}}}]),
        chat(tools=[{"type": "function", "function": {"name": "f", "parameters": {"a": {"b": 1}}}}]),
    ),
    (
        raw('{"messages":[],"seed":18446744073709551617}'),
        raw('{"messages":[],"seed":18446744073709551616}'),
    ),
    (responses(), responses(input="Ho")),
    (responses(), responses(instructions="Be brief.")),
    (responses(), responses(include=["reasoning.encrypted_content"])),
    (responses(), responses(truncation="auto")),
    (responses(text={"format": form(SCHEMA)}), responses(text={"format": form(SWAPPED)})),
    (embedding(), embedding(input=["Hi"])),
    (embedding(), embedding(dimensions=8)),
    (embedding(), embedding(encoding_format="base64")),
]
NEVER = [
    chat(store=True),
    chat(web_search_options={}),
    chat(modalities=["text", "audio"], audio={"voice": "alloy", "format": "mp3"}),
    chat(tools=[TOOL, {"type": "web_search"}]),
    chat(tools=["f"]),
    chat(tools=3),
    responses(store=None),
    responses(store=True),
    raw('{"model":"m","input":"Hi"}', Operation.RESPONSES),
    responses(background=True),
    responses(previous_response_id="resp_1"),
    responses(conversation="conv_1"),
    responses(conversation={"id": "conv_1"}),
    responses(prompt={"id": "pmpt_1"}),
    responses(tools=[{"type": "web_search"}]),
    responses(tools=[{"type": "mcp", "server_label": "x"}]),
    responses(tools=[{"type": "image_generation"}]),
    raw('{"messages":[{"role":"user","content":"a","content":"b"}]}'),
    raw('{"messages":[{"role":"user","content":"a","\\u0063ontent":"b"}]}'),
    raw('{"messages":[],"seed":1,"seed":2}'),
    raw('{"messages":[{"content":"\\ud83d"}]}'),
    raw(b'{"messages":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}"),
    raw('{"model":"i","prompt":"x","stream":true}', Operation.IMAGES),
    raw('{"input":"x","voice":"alloy"}', Operation.SPEECH),
]


def spelled(asked):
    """A request's spelling."""
    return question(asked[0], Body(asked[1]))


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_meaning_has_the_same_spelling(one, other):
    """What changes no answer is not in it."""
    assert spelled(one) is not None
    assert spelled(one) == spelled(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_another_meaning_has_another_spelling(one, other):
    """Whatever a model may see is in it."""
    assert None not in (spelled(one), spelled(other))
    assert spelled(one) != spelled(other)


@pytest.mark.parametrize("asked", NEVER)
def test_what_does_not_follow_from_the_request_has_none(asked):
    """Kept by the provider, chained, looked up in the world, made of sound, or spelled in two ways."""
    assert spelled(asked) is None


def test_there_are_enough_pairs():
    """The promise is at least 40."""
    assert len(SAME) + len(OTHER) >= 40
    assert len({(one, other) for one, other in SAME + OTHER}) == len(SAME) + len(OTHER)


def test_defaults_of_the_provider_count():
    """What a provider's `defaults` say is as good as said, unless the request says otherwise."""
    plain = Body(b'{"input":"Hi"}')
    assert question(Operation.RESPONSES, plain, {"store": False}) is not None
    assert question(Operation.RESPONSES, Body(b'{"input":"Hi","store":true}'), {"store": False}) is None
    assert question(Operation.CHAT, Body(chat()[1]), {"store": True}) is None


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["messages", "seed", "tools", "response_format", "x", "y"]), values, max_size=4))
def test_any_request_keeps_its_spelling(fields):
    """However its objects are ordered, and whatever space is in it; and it is never an error."""
    fields.pop("tools", None)
    text = json.dumps(fields)
    found = question(Operation.CHAT, Body(text.encode()))
    assert found is not None or "\\ud" in text
    again = json.dumps(dict(reversed(fields.items())), indent=1, ensure_ascii=False).encode(errors="replace")
    if found is not None:
        assert question(Operation.CHAT, Body(again)) == found


@given(values, values)
def test_two_schemas_never_look_alike(one, other):
    """Unless they are alike: as a whole, in the order of what they hold."""
    asked = [json.dumps({"response_format": value}) for value in (one, other)]
    found = [question(Operation.CHAT, Body(text.encode())) for text in asked]
    if found[0] == found[1] and None not in found:
        assert one == other


def test_a_long_schema_is_as_it_is_spelled():
    """White space means nothing in it, and the order of names does: to order megabytes would hold up all others."""
    names = {f"n{number}": {"const": number, "title": "t"} for number in range(3000)}
    turned = {name: dict(reversed(rule.items())) for name, rule in names.items()}
    one, spaced, other = (
        Body(json.dumps({"response_format": schema}, indent=indent).encode())
        for schema, indent in ((names, None), (names, 1), (turned, None))
    )
    found = question(Operation.CHAT, one)
    assert found is not None
    assert b'"as it is"' in found
    assert question(Operation.CHAT, spaced) == found
    assert question(Operation.CHAT, other) not in {found, None}
