"""Embeddings: requests understood, answers written."""

import json
from base64 import b64decode
from contextlib import suppress
from struct import unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.simulator.embeddings import embeddings_job
from headgate.providers.simulator.problem import Problem
from headgate.providers.simulator.write_chat import Identity

NAME = Identity("k" * 48, 0, "fp")


def embed(**fields):
    """The answer's object, and the job."""
    job = embeddings_job(json.dumps({"model": "text-embedding-3-small", "input": "Hello"} | fields).encode())
    return json.loads(job.whole(NAME, job.report(job.usage))), job


def refused(**fields):
    """Code and parameter of the refusal."""
    with pytest.raises(Problem) as caught:
        embed(**fields)
    assert caught.value.status in (400, 404)
    return caught.value.code, caught.value.param


def test_the_answer():
    """One vector for each input, in order, of the model's size, and what it cost."""
    answer, job = embed(input=["four", "eight at"])
    assert answer["object"] == "list"
    assert answer["model"] == job.model == "text-embedding-3-small"
    assert [(one["object"], one["index"], len(one["embedding"])) for one in answer["data"]] == [
        ("embedding", 0, 1536),
        ("embedding", 1, 1536),
    ]
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert (job.usage.prompt_tokens, job.usage.completion_tokens) == (3, 0)
    assert len(embed(model="text-embedding-3-large")[0]["data"][0]["embedding"]) == 3072


def test_base64_is_the_same_vector():
    """Little-endian numbers of four bytes, which are also those of the other format."""
    [plain], [packed] = (embed(encoding_format=form)[0]["data"] for form in ("float", "base64"))
    assert list(unpack("<1536f", b64decode(packed["embedding"]))) == plain["embedding"]
    assert sum(number * number for number in plain["embedding"]) == pytest.approx(1, abs=1e-6)


def test_no_seed_changes_a_vector():
    """Equal texts are equal everywhere."""
    body = json.dumps({"model": "fake", "input": "x"}).encode()
    assert embeddings_job(body, "", 1).whole(NAME, None) == embeddings_job(body, "", 2).whole(NAME, None)


def test_dimensions():
    """The first numbers, brought to unit length again; not for the old model."""
    whole = embed()[0]["data"][0]["embedding"]
    short = embed(dimensions=256)[0]["data"][0]["embedding"]
    assert len(short) == 256
    assert sum(number * number for number in short) == pytest.approx(1, abs=1e-6)
    factor = max(short) / max(whole[:256])
    assert short == pytest.approx([number * factor for number in whole[:256]], abs=1e-6)
    assert refused(dimensions=256, model="text-embedding-ada-002") == ("unsupported_parameter", "dimensions")


def test_arrays_of_tokens():
    """One array is one input, several are several; each token counts."""
    assert len(embed(input=[1, 2, 3])[0]["data"]) == 1
    answer, _ = embed(input=[[1, 2, 3], [4]])
    assert len(answer["data"]) == 2
    assert answer["usage"]["prompt_tokens"] == 4


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"model": "nobody"}, "model_not_found", None),
        ({"model": "gpt-6-luna"}, "model_not_found", "model"),
        ({"input": None}, "invalid_type", "input"),
        ({"input": ""}, "empty_string", "input"),
        ({"input": []}, "empty_array", "input"),
        ({"input": ["a", ""]}, "empty_string", "input[1]"),
        ({"input": ["a", 1]}, "invalid_type", "input[1]"),
        ({"input": [1, "a"]}, "invalid_type", "input[1]"),
        ({"input": [[1], []]}, "empty_array", "input[1]"),
        ({"input": [[1], [True]]}, "invalid_type", "input[1][0]"),
        ({"input": [-1]}, "integer_below_min_value", "input[0]"),
        ({"input": [200_000]}, "integer_above_max_value", "input[0]"),
        ({"input": [{}]}, "invalid_type", "input[0]"),
        ({"input": ["a"] * 2049}, "array_above_max_length", "input"),
        ({"input": "a" * 4 * 8192 + "a"}, "context_length_exceeded", "input"),
        ({"input": ["a" * 4 * 8000] * 38}, "max_tokens_per_request", "input"),
        ({"encoding_format": "hex"}, "invalid_value", "encoding_format"),
        ({"dimensions": 0}, "integer_below_min_value", "dimensions"),
        ({"dimensions": 1537}, "integer_above_max_value", "dimensions"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_refusals(fields, code, param):
    """Each names its field."""
    assert refused(**fields) == (code, param)


def test_the_limits_themselves_are_allowed():
    """2,048 inputs, 8,192 tokens in one, 300,000 in all."""
    assert len(embed(input=["a"] * 2048, dimensions=1)[0]["data"]) == 2048
    job = embeddings_job(json.dumps({"model": "fake", "input": ["a" * 4 * 8192] * 36}).encode())
    assert job.usage.prompt_tokens == 36 * 8192


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
)


@given(anything, anything, anything)
def test_nothing_but_a_problem_is_raised(said, dimensions, form):
    """Whatever stands in the fields, the request is understood or refused."""
    with suppress(Problem):
        embed(input=said, dimensions=dimensions, encoding_format=form)
