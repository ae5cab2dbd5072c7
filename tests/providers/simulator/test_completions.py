"""Completions, the dialect before chat."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.completions import completions_job
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.write_chat import Identity

NAME = Identity("k" * 48, 1_800_000_000, "fp_1")


def complete(seed=0, **fields):
    """The job of a request."""
    return completions_job(
        json.dumps({"model": "gpt-3.5-turbo-instruct", "prompt": "Hello"} | fields).encode(), "", seed
    )


def whole(job):
    """Its answer's object."""
    return json.loads(job.whole(NAME, job.report(job.usage)))


def chunks(job, *, done=True):
    """The data of its events."""
    script = job.stream(NAME, job.report(job.usage), done)
    steps = list(script.body)
    assert sum(step.output for step in steps) == job.usage.completion_tokens
    assert sum(step.visible for step in steps) == script.visible
    return [step.data.removeprefix(b"data: ").removesuffix(b"\n\n") for step in steps]


def test_the_answer():
    """Sixteen tokens, if nobody says how many."""
    answer = whole(complete())
    [choice] = answer.pop("choices")
    assert answer == {
        "id": "cmpl-" + "k" * 29,
        "object": "text_completion",
        "created": 1_800_000_000,
        "model": "gpt-3.5-turbo-instruct",
        "system_fingerprint": "fp_1",
        "usage": complete().report(complete().usage),
    }
    assert len(choice.pop("text")) == 64
    assert choice == {"index": 0, "logprobs": None, "finish_reason": "length"}
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (2, 16)


def test_several_prompts_and_answers():
    """Numbered through; each prompt is asked as if it were alone."""
    job = complete(prompt=["Hello", "Goodbye"], n=2)
    choices = whole(job)["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2, 3]
    assert len({choice["text"] for choice in choices}) == 4
    assert choices[0]["text"] == whole(complete(n=2))["choices"][0]["text"]
    assert (job.usage.prompt_tokens, job.usage.completion_tokens) == (4, 64)


def test_best_of():
    """The ones that are not shown are paid for, too."""
    job = complete(best_of=3)
    assert len(whole(job)["choices"]) == 1
    assert job.usage.completion_tokens == 48


def test_echo_and_stop_and_suffix():
    """The prompt comes first; what ends the answer is not in it; what follows it counts."""
    first = whole(complete(max_tokens=100))["choices"][0]
    assert first["finish_reason"] == "stop"
    word = first["text"].split()[2]
    stopped = whole(complete(max_tokens=100, stop=word, echo=True))["choices"][0]
    assert stopped["text"] == "Hello" + first["text"].partition(word)[0]
    assert complete(suffix="1234").usage.prompt_tokens == 3


def test_prompts_of_tokens():
    """Each counts as one; without a prompt there is the beginning of a document."""
    assert complete(prompt=[1, 2, 3]).usage.prompt_tokens == 3
    assert complete(prompt=[[1, 2, 3], [4]]).usage.prompt_tokens == 4
    assert len(whole(complete(prompt=[[1, 2, 3], "x"]))["choices"]) == 2
    assert complete(prompt=None).usage.prompt_tokens == 4


def test_a_stream():
    """The words of the whole answer, side by side; the usage where it was asked for; then `[DONE]`."""
    fields = {"n": 2, "echo": True, "stream": True}
    expected = [choice["text"] for choice in whole(complete(n=2, echo=True))["choices"]]
    *events, done = chunks(complete(**fields))
    assert done == b"[DONE]"
    found = [json.loads(event) for event in events]
    assert all("usage" not in event for event in found)
    texts = ["", ""]
    for event in found:
        [choice] = event["choices"]
        texts[choice["index"]] += choice["text"]
    assert texts == expected
    assert [event["choices"][0]["finish_reason"] for event in found[-3:]] == [None, "length", "length"]
    *events, last, done = chunks(complete(**fields, stream_options={"include_usage": True}))
    assert all(json.loads(event)["usage"] is None for event in events)
    assert json.loads(last)["choices"] == []
    assert json.loads(last)["usage"]["completion_tokens"] == 32
    assert chunks(complete(**fields), done=False)[-1] != b"[DONE]"


def test_the_content_filter():
    """It ends every answer."""
    choices = whole(complete(n=2).filtered(3))["choices"]
    assert [(len(choice["text"]), choice["finish_reason"]) for choice in choices] == [(12, "content_filter")] * 2


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"model": "gpt-4o"}, "model_not_found", "model"),
        ({"prompt": 3}, "invalid_type", "prompt"),
        ({"prompt": []}, "empty_array", "prompt"),
        ({"prompt": ["a", 3]}, "invalid_type", "prompt[1]"),
        ({"prompt": [1, "a"]}, "invalid_type", "prompt"),
        ({"prompt": [[True]]}, "invalid_type", "prompt[0]"),
        ({"prompt": ["a"] * 2049}, "array_above_max_length", "prompt"),
        ({"n": 0}, "integer_below_min_value", "n"),
        ({"n": 129}, "integer_above_max_value", "n"),
        ({"n": 2, "best_of": 1}, "invalid_parameter_combination", "best_of"),
        ({"prompt": ["a"] * 1025, "n": 2}, "invalid_value", "n"),
        ({"prompt": ["a"] * 1025, "best_of": 2}, "invalid_value", "best_of"),
        ({"best_of": 2, "stream": True}, "invalid_parameter_combination", "best_of"),
        ({"logprobs": 1}, "unsupported_parameter", "logprobs"),
        ({"stream_options": {}}, None, "stream_options"),
        ({"max_tokens": 0}, "integer_below_min_value", "max_tokens"),
        ({"temperature": 3}, "decimal_out_of_range", "temperature"),
        ({"stop": ["a"] * 5}, "array_above_max_length", "stop"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refusals(fields, code, param):
    """Each names its field."""
    with pytest.raises(Problem) as caught:
        complete(**fields)
    assert (caught.value.code, caught.value.param) == (code, param)


anything = st.none() | st.booleans() | st.integers() | st.text(max_size=5)


@given(
    st.dictionaries(
        st.sampled_from(["prompt", "n", "best_of", "echo", "stop", "stream", "max_tokens", "suffix"]),
        anything | st.lists(anything | st.lists(anything, max_size=2), max_size=3),
        max_size=4,
    )
)
def test_nothing_but_a_problem_is_raised(fields):
    """Whatever stands in the fields, the request is understood or refused."""
    with suppress(Problem):
        complete(**fields)
