"""Moderations: requests understood, answers written."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.bill import amount
from headgate.providers.simulator.judgement import SEEN, WORDS
from headgate.providers.simulator.moderations import moderations_job
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.write_chat import Identity

NAME = Identity("k" * 48, 0, "fp")
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/gore.png"}}


def moderate(said, **fields):
    """The answer's object."""
    job = moderations_job(json.dumps({"input": said} | fields).encode())
    assert job.report(job.usage) is None
    return json.loads(job.whole(NAME, None))


def test_the_answer():
    """A verdict over the thirteen categories; the usual model where none is named."""
    answer = moderate("I will kill you")
    assert answer["id"].startswith("modr-")
    assert answer["model"] == "omni-moderation-latest"
    [result] = answer["results"]
    assert result["flagged"] is True
    for field in ("categories", "category_scores", "category_applied_input_types"):
        assert result[field].keys() == WORDS.keys()
    assert result["categories"]["violence"] is True
    assert result["categories"]["hate"] is False
    assert set(map(tuple, result["category_applied_input_types"].values())) == {("text",)}


def test_several_texts_get_several_verdicts():
    """In order; an empty text is harmless."""
    assert [one["flagged"] for one in moderate(["fine", "you idiot", ""])["results"]] == [False, True, False]


def test_texts_and_pictures_get_one_verdict():
    """Which says where it looked."""
    [result] = moderate([{"type": "text", "text": "Hello"}, PICTURE])["results"]
    assert result["categories"]["violence/graphic"] is True
    applied = result["category_applied_input_types"]
    assert {name for name, types in applied.items() if types == ["text", "image"]} == SEEN
    assert {name for name, types in applied.items() if types == ["text"]} == WORDS.keys() - SEEN
    [result] = moderate([PICTURE])["results"]
    assert result["category_applied_input_types"]["hate"] == []
    assert result["category_scores"]["hate"] == 0


def test_it_is_free():
    """Its tokens count against the limits, and cost nothing."""
    job = moderations_job(b'{"input": ["12345678", "1"]}')
    assert job.usage.prompt_tokens == 3
    assert amount(job.model, job.usage) == 0


@pytest.mark.parametrize(
    ("said", "code", "param"),
    [
        (3, "invalid_type", "input"),
        ([], "empty_array", "input"),
        (["a", 3], "invalid_type", "input[1]"),
        (["a", PICTURE], "invalid_type", "input[1]"),
        ([PICTURE, "a"], "invalid_type", "input[1]"),
        ([{}], "missing_required_parameter", "input[0].type"),
        ([{"type": "audio"}], "invalid_value", "input[0].type"),
        ([{"type": "text"}], "missing_required_parameter", "input[0].text"),
        ([{"type": "text", "text": 3}], "invalid_type", "input[0].text"),
        ([{"type": "image_url", "image_url": "x"}], "missing_required_parameter", "input[0].image_url"),
        ([{"type": "image_url", "image_url": {}}], "missing_required_parameter", "input[0].image_url.url"),
    ],
    ids=str,
)
def test_refusals(said, code, param):
    """Each names its field."""
    with pytest.raises(Problem) as caught:
        moderate(said)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_other_models_do_not_judge():
    """A model that is there, but for something else."""
    with pytest.raises(Problem) as caught:
        moderate("x", model="gpt-4o")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "image_url", "url"]), inner | st.sampled_from(["text", "image_url"])
        )
    ),
)


@given(anything)
def test_nothing_but_a_problem_is_raised(said):
    """Whatever stands in the input, the request is understood or refused."""
    with suppress(Problem):
        moderate(said)
