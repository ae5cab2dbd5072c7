"""Chat Completions, as the official SDK's types have them."""

import json

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from headgate.providers.simulator.models import MODELS
from headgate.providers.simulator.plan import plan
from headgate.providers.simulator.question import Question, Tool
from headgate.providers.simulator.reported import chat_usage
from headgate.providers.simulator.write_chat import Identity, stream_chat, whole_chat

IDENTITY = Identity("0123456789abcdef" * 3, 1_800_000_000, "fp_1")
TOOL = Tool("f", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
VARIANTS = {
    "text": {},
    "two": {"n": 2},
    "cut": {"cap": 3},
    "tool": {"tools": (TOOL,), "mode": "required"},
    "custom": {"tools": (Tool("c"),), "mode": "required"},
    "thinking": {"effort": "low"},
}


def facts(variant, **more):
    """A question, its plan and the usage."""
    question = Question(model=MODELS["gpt-6-luna"], prompt="<user>Hi\n", last="Hi", **VARIANTS[variant], **more)
    made = plan(question, 1)
    return question, made, chat_usage(made.usage())


def events(script):
    """The data of all events, parsed; `[DONE]` as it is."""
    text = (script.opening + b"".join(step.data for step in script.body)).decode()
    assert text.endswith("\n\n")
    data = [block.removeprefix("data: ") for block in text[:-2].split("\n\n")]
    return [one if one == "[DONE]" else json.loads(one) for one in data]


@pytest.mark.parametrize("variant", VARIANTS)
def test_whole(variant):
    """Every field that the SDK requires is there with the right type."""
    question, made, usage = facts(variant)
    body = json.loads(whole_chat(question, made, IDENTITY, usage))
    answer = ChatCompletion.model_validate(body)
    assert (answer.id, answer.created, answer.model) == ("chatcmpl-" + IDENTITY.key[:29], 1_800_000_000, "gpt-6-luna")
    assert [choice.finish_reason for choice in answer.choices] == [said.finish for said in made.answers]
    assert body["choices"][0]["logprobs"] is None
    assert body["choices"][0]["message"]["refusal"] is None
    assert answer.usage
    assert answer.usage.total_tokens == made.usage().total_tokens


@pytest.mark.parametrize("variant", VARIANTS)
def test_streamed(variant):
    """The chunks put together are the whole answer: role first, finish reason last, then usage, then `[DONE]`."""
    question, made, usage = facts(variant, stream=True)
    whole = json.loads(whole_chat(question, made, IDENTITY, usage))
    *chunks, last, done = events(stream_chat(question, made, IDENTITY, usage, done=True))
    assert done == "[DONE]"
    assert (last["choices"], last["usage"]) == ([], usage)
    assert all(chunk["usage"] is None for chunk in chunks)
    assert {chunk["id"] for chunk in [*chunks, last]} == {whole["id"]}
    for chunk in [*chunks, last] if variant != "custom" else []:  # the SDK's chunks know no custom tools
        ChatCompletionChunk.model_validate(chunk)
    for choice in whole["choices"]:
        mine = [chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["index"] == choice["index"]]
        assert mine[0]["delta"]["role"] == "assistant"
        assert [one["finish_reason"] for one in mine] == [None] * (len(mine) - 1) + [choice["finish_reason"]]
        content = "".join(one["delta"].get("content") or "" for one in mine)
        assert content == (choice["message"]["content"] or "")
        calls = [call for one in mine for call in one["delta"].get("tool_calls", ())]
        assert [call.get("id") for call in calls if "id" in call] == [
            call["id"] for call in choice["message"].get("tool_calls", ())
        ]
        for call in choice["message"].get("tool_calls", ()):
            kind, field = ("custom", "input") if call["type"] == "custom" else ("function", "arguments")
            assert "".join(one[kind][field] for one in calls) == call[kind][field]
            assert [one[kind]["name"] for one in calls if "name" in one[kind]] == [call[kind]["name"]]


def test_output_is_counted_to_the_token():
    """The steps of the body carry all tokens of the plan, reasoning and tool names included."""
    for variant in VARIANTS:
        question, made, usage = facts(variant, stream=True)
        steps = list(stream_chat(question, made, IDENTITY, usage, done=True).body)
        assert sum(step.output for step in steps) == made.output
        assert sum(step.visible for step in steps) == sum(len(said.tokens) for said in made.answers)


def test_what_is_left_out():
    """Usage and obfuscation only where wanted; `[DONE]` only where it is to come; no usage, no chunk."""
    question, made, usage = facts("text", stream=True, usage_wanted=False, obfuscate=False)
    chunks = events(stream_chat(question, made, IDENTITY, usage, done=False))
    assert all("usage" not in chunk and "obfuscation" not in chunk for chunk in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    question, made, _ = facts("text", stream=True)
    assert all(chunk["choices"] for chunk in events(stream_chat(question, made, IDENTITY, None, done=False)))
    assert "usage" not in json.loads(whole_chat(question, made, IDENTITY, None))


def test_an_error_inside():
    """An event with the error object."""
    question, made, usage = facts("text")
    script = stream_chat(question, made, IDENTITY, usage, done=True)
    error = json.loads(script.error("server_is_overloaded", None).removeprefix(b"data: "))["error"]
    assert (error["code"], error["type"]) == ("server_is_overloaded", "server_error")
