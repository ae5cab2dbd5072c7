"""What the answer will be."""

import json

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.models import MODELS
from headgate.providers.simulator.plan import plan
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.question import Question, Tool
from headgate.providers.simulator.words import count

CITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "inhabitants": {"type": "integer"}},
    "required": ["name", "inhabitants"],
    "additionalProperties": False,
}
WEATHER = Tool("get_weather", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})


def question(words="Hello", model="gpt-4o", **facts):
    """A question in these words."""
    return Question(model=MODELS[model], prompt=f"<user>{words}\n", last=words, **facts)


def test_equal_questions_get_equal_answers():
    """The seed, the model and the words decide; how the answer travels does not."""
    one = plan(question(), 1)
    assert one == plan(question(stream=True, usage_wanted=False), 1)
    texts = {
        plan(question(words, model), seed).answers[0].text
        for words, model, seed in [
            ("Hello", "gpt-4o", 1),
            ("Hi", "gpt-4o", 1),
            ("Hello", "fake", 1),
            ("Hello", "gpt-4o", 2),
        ]
    }
    assert len(texts) == 4


def test_several_answers_differ():
    """Each has dice of its own; their tokens add up."""
    made = plan(question(n=3), 1)
    assert len({said.text for said in made.answers}) == 3
    assert made.usage().completion_tokens == sum(count(said.text) for said in made.answers)


def test_length_follows_the_words():
    """A number of tokens or words in the question is the length of the answer."""
    assert len(plan(question("Write 500 tokens."), 1).answers[0].tokens) == 500
    assert len(plan(question("About 40 words please"), 1).answers[0].tokens) == 60
    assert 5 < len(plan(question("Hello"), 1).answers[0].tokens) < 150


@given(st.integers(1, 60))
def test_the_cap_is_never_passed(cap):
    """Reasoning, the tool's name and the text together stay within it; what is cut says `length`."""
    for asked in (
        question("100 tokens", "gpt-6-luna", effort="max", cap=cap),
        question("100 tokens", cap=cap),
        question(cap=cap, tools=(WEATHER,), mode="required"),
    ):
        said = plan(asked, 1).answers[0]
        assert said.output <= cap
        assert said.finish == "length" or said.tool is not None
    uncut = plan(question("Write 10 tokens.", cap=10), 1).answers[0]
    assert (len(uncut.tokens), uncut.finish) == (10, "stop")


def test_reasoning_costs_by_effort():
    """More effort, more tokens; none without effort; all of them inside the completion's."""
    spent = [
        plan(question(model="gpt-6-luna", effort=effort), 1).usage().reasoning_tokens
        for effort in ("none", "low", "medium", "high", "xhigh", "max")
    ]
    assert spent[0] == 0
    assert spent == sorted(set(spent))
    usage = plan(question(model="gpt-6-luna", effort="max"), 1).usage(3, 4)
    assert usage.completion_tokens > usage.reasoning_tokens >= 256
    assert (usage.cached_tokens, usage.cache_write_tokens, usage.prompt_tokens) == (3, 4, 3)


def test_tools_are_called_when_demanded_or_named():
    """Required: the first; auto: the one that the user names; none: never. Arguments fit the schema."""
    other = Tool("other", {})
    for mode, words, called in [
        ("required", "x", "other"), ("auto", "x", None), ("auto", "Get weather in Lyon", "get_weather"),
        ("auto", "use get_weather", "get_weather"), ("none", "get_weather", None),
    ]:  # fmt: skip
        said = plan(question(words, tools=(other, WEATHER), mode=mode), 1).answers[0]
        assert (said.tool.name if said.tool else None) == called
        assert said.finish == ("tool_calls" if called else "stop")
    said = plan(question(tools=(WEATHER,), mode="required"), 1).answers[0]
    jsonschema.validate(json.loads(said.text), WEATHER.schema)
    assert said.output == count(said.text) + 1
    custom = plan(question(tools=(Tool("c"),), mode="required"), 1).answers[0]
    assert custom.text.rstrip("🙂🌍🚆☕👩‍🚀🎉📈 ").endswith(".")


def test_schemas_are_kept():
    """The answer is an instance; any object is one, too; what has no instance is refused."""
    said = plan(question(schema=CITY, json=True), 1).answers[0]
    jsonschema.validate(json.loads(said.text), CITY)
    assert isinstance(json.loads(plan(question(json=True), 1).answers[0].text), dict)
    with pytest.raises(Problem) as caught:
        plan(question(schema={"enum": []}), 1)
    assert caught.value.code == "invalid_json_schema"


def test_a_refusal():
    """Whoever asks for one gets one instead of an object; where no object was asked for there are only words."""
    said = plan(question("Please refuse to answer.", schema=CITY, json=True), 1).answers[0]
    assert (said.refuses, said.finish, said.text) == (True, "stop", "I'm sorry, I cannot help with that.")
    assert not plan(question("Please refuse to answer."), 1).answers[0].refuses


def test_stop_texts_and_the_filter():
    """A stop text ends the answer before it; the filter ends it after so many tokens."""
    whole = plan(question("80 tokens"), 1).answers[0].text
    said = plan(question("80 tokens", stop=(whole[20:25],)), 1).answers[0]
    assert (said.text, said.finish) == (whole[:20], "stop")
    filtered = plan(question("80 tokens"), 1, filtered_after=5).answers[0]
    assert (len(filtered.tokens), filtered.finish) == (5, "content_filter")


def test_the_plan_is_data():
    """It can be compared and shown."""
    assert msgspec.to_builtins(plan(question(), 1))["prompt_tokens"] == 3
