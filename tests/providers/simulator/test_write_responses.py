"""Responses, as the official SDK's types have them."""

import json

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from headgate.providers.simulator.plan import plan
from headgate.providers.simulator.read_responses import read_responses
from headgate.providers.simulator.reported import responses_usage
from headgate.providers.simulator.write_chat import Identity
from headgate.providers.simulator.write_responses import stream_responses, whole_responses

IDENTITY = Identity("0123456789abcdef" * 3, 1_800_000_000, "fp_1")
EVENT = TypeAdapter(ResponseStreamEvent)
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": None}
VARIANTS = {
    "thinking": {},
    "encrypted": {"include": ["reasoning.encrypted_content"]},
    "plain": {"model": "gpt-4o"},
    "cut": {"max_output_tokens": 16, "input": "100 tokens"},
    "tool": {"tools": [FUNCTION], "tool_choice": "required"},
    "custom": {"tools": [{"type": "custom", "name": "c"}], "tool_choice": "required", "reasoning": {"effort": "none"}},
}


def facts(variant, **more):
    """A question, its plan and the usage."""
    question = read_responses(json.dumps({"model": "gpt-6-luna", "input": "Hi"} | VARIANTS[variant] | more).encode())
    made = plan(question, 1)
    return question, made, responses_usage(made.usage())


def events(script):
    """All events, parsed; the name agrees with the type."""
    text = (script.opening + b"".join(step.data for step in script.body)).decode()
    found = []
    for block in text[:-2].split("\n\n"):
        name, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == "event: " + found[-1]["type"]
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_whole(variant):
    """Every field that the SDK requires is there with the right type; the text is that of the plan."""
    question, made, usage = facts(variant)
    body = json.loads(whole_responses(question, made, IDENTITY, usage))
    answer = Response.model_validate(body)
    assert (answer.id, answer.status) == ("resp_" + IDENTITY.key, "incomplete" if variant == "cut" else "completed")
    assert answer.usage
    assert answer.usage.output_tokens == made.output
    if made.answers[0].tool is None:
        assert answer.output_text == made.answers[0].text
    assert (body["output"][0]["type"] == "reasoning") == (made.answers[0].reasoning > 0)
    assert ("encrypted_content" in body["output"][0]) == (variant == "encrypted")
    assert "encrypted" not in body


@pytest.mark.parametrize("variant", VARIANTS)
def test_streamed(variant):
    """Numbered in order, in the documented order, each event valid; the last one holds the whole answer."""
    question, made, usage = facts(variant, stream=True)
    found = events(stream_responses(question, made, IDENTITY, usage))
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    for event in found:
        EVENT.validate_python(event)
    names = [event["type"].removeprefix("response.") for event in found]
    deltas = [event for event in found if event["type"].endswith(".delta")]
    done = next(event for event in found if event["type"] == deltas[0]["type"].removesuffix("delta") + "done")
    text = "".join(event["delta"] for event in deltas)
    assert text == made.answers[0].text == (done.get("text") or done.get("arguments") or done.get("input"))
    thinking = ["output_item.added", "output_item.done"] if made.answers[0].reasoning else []
    name = deltas[0]["type"].removeprefix("response.").removesuffix(".delta")
    added, ended = (["content_part.added"], ["content_part.done"]) if name == "output_text" else ([], [])
    last = "incomplete" if variant == "cut" else "completed"
    assert names == [
        "created", "in_progress", *thinking, "output_item.added", *added, *[name + ".delta"] * len(deltas),
        name + ".done", *ended, "output_item.done", last,
    ]  # fmt: skip
    assert found[-1]["response"] == json.loads(whole_responses(question, made, IDENTITY, usage))


def test_output_is_counted_to_the_token():
    """The steps of the body carry all tokens of the plan, reasoning and tool names included."""
    for variant in VARIANTS:
        question, made, usage = facts(variant, stream=True)
        script = stream_responses(question, made, IDENTITY, usage)
        steps = list(script.body)
        assert sum(step.output for step in steps) == made.output
        assert sum(step.visible for step in steps) == script.visible == len(made.answers[0].tokens)


def test_an_error_inside_is_flat_and_numbered():
    """Its number follows that of the events before it."""
    question, made, usage = facts("plain", stream=True)
    script = stream_responses(question, made, IDENTITY, usage)
    next(script.body)
    error = json.loads(script.error(None, None).split(b"data: ")[1])
    assert (error["type"], error["code"], error["sequence_number"]) == ("error", "server_error", 3)
    EVENT.validate_python(error)


def test_without_usage():
    """The object then says null."""
    question, made, _ = facts("plain")
    assert json.loads(whole_responses(question, made, IDENTITY, None))["usage"] is None
