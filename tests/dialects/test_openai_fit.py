"""Requests that are made to fit what is known of a model; `tests/gate/test_parameters.py` has the real models."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.body import Body
from headgate.core.call import Operation
from headgate.core.errors import BadRequestError
from headgate.dialects.openai_draft import FIELDS
from headgate.dialects.openai_fit import EFFORTS, FITTED, Misfit, Takes, fit

CHAT, RESPONSES = Operation.CHAT, Operation.RESPONSES
PLAIN = Takes(model="plain", efforts=(), n=4, max_output=1000)
LUNA = Takes(
    model="luna", efforts=("none", "low", "high"), effort="low", sampling="without_reasoning",
    logprobs="without_reasoning", tools="without_reasoning", stop=False, max_output=1000,
    refuses=frozenset(("max_tokens", "logit_bias")),
)  # fmt: skip
ASTRA = Takes(
    model="astra", efforts=("low", "high", "max"), effort="high", sampling="never", logprobs="never", tools="no",
    stop=False, max_output=1000,
)  # fmt: skip
UNKNOWN = Takes(model="nobody")
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def fitted(takes, operation=CHAT, **fields):
    """The fields of the request as it fits, and the names of what did not."""
    body, misfits = fit(operation, Body(json.dumps(fields).encode()), takes)
    return json.loads(body.raw), [misfit.name for misfit in misfits]


def why(takes, operation=CHAT, **fields):
    """What is said of the only misfit."""
    _, (misfit,) = fit(operation, Body(json.dumps(fields).encode()), takes)
    return misfit


def test_what_fits_is_the_same_body():
    """Not a copy; and of a model of which nothing is known, everything fits that the API has."""
    body = Body(b'{ "max_completion_tokens":5,"temperature":0.20, "reasoning_effort":"none"}')
    assert fit(CHAT, body, LUNA) == (body, [])
    assert fit(CHAT, body, LUNA)[0] is body
    wild = {"max_tokens": 10**9, "temperature": 0, "reasoning_effort": "max", "stop": "x", "n": 9, "tools": TOOLS}
    assert fitted(UNKNOWN, **wild) == (wild, [])


@pytest.mark.parametrize(
    ("asked", "got"),
    [("minimal", "none"), ("medium", "low"), ("high", "high"), ("xhigh", "high"), ("max", "high")],
)
def test_the_next_lower_effort(asked, got):
    """An effort that the model does not have becomes the next lower one that it has."""
    assert fitted(LUNA, reasoning_effort=asked)[0] == {"reasoning_effort": got}
    body, names = fitted(LUNA, RESPONSES, reasoning={"effort": asked, "summary": "auto"})
    assert body == {"reasoning": {"effort": got, "summary": "auto"}}
    assert names == ([] if asked == got else ["reasoning.effort"])


def test_below_the_lowest_effort_is_the_lowest():
    """A model that always thinks thinks as little as it can; and then it is not warm."""
    assert fitted(ASTRA, reasoning_effort="none", temperature=0.2) == (
        {"reasoning_effort": "low"}, ["reasoning_effort", "temperature"],
    )  # fmt: skip


def test_efforts_of_models_that_do_not_reason_and_efforts_that_nobody_knows():
    """The first go; the second may be new, and stay."""
    assert fitted(PLAIN, reasoning_effort="low") == ({}, ["reasoning_effort"])
    assert fitted(LUNA, reasoning_effort="ultra") == ({"reasoning_effort": "ultra"}, [])
    assert fitted(LUNA, reasoning_effort=3) == ({"reasoning_effort": 3}, [])


@pytest.mark.parametrize(("effort", "warm"), [(None, False), ("none", True), ("low", False), ("minimal", True)])
def test_sampling_where_it_does_not_think(effort, warm):
    """The effort in force decides: the one asked for, as it fits, else the default."""
    fields = {"temperature": 0.2, "top_p": 0.5, "logprobs": True, "top_logprobs": 1}
    given = {} if effort is None else {"reasoning_effort": effort}
    body, names = fitted(LUNA, **given, **fields)
    assert set(body) - {"reasoning_effort"} == (set(fields) if warm else set())
    assert set(names) - {"reasoning_effort"} == (set() if warm else set(fields))


def test_an_unknown_default_decides_nothing_unless_the_model_always_thinks():
    """Nothing follows from what is not known."""
    shy = Takes(model="m", efforts=("none", "low"), sampling="without_reasoning", tools="without_reasoning")
    assert fitted(shy, temperature=0, tools=TOOLS)[1] == []
    deep = Takes(model="m", efforts=("low", "high"), sampling="without_reasoning")
    assert fitted(deep, temperature=0)[1] == ["temperature"]


def test_log_probabilities_are_taken_out_of_include():
    """The other words in it stay; where nothing else was in it, it goes; what is no list of words stays."""
    probabilities = "message.output_text.logprobs"
    assert fitted(LUNA, RESPONSES, include=["a", probabilities]) == ({"include": ["a"]}, ["include"])
    assert fitted(LUNA, RESPONSES, include=[probabilities]) == ({}, ["include"])
    assert fitted(LUNA, RESPONSES, include=["a"])[1] == []
    assert fitted(LUNA, RESPONSES, include=[3, probabilities])[1] == []
    assert fitted(PLAIN, RESPONSES, include=[probabilities])[1] == []


def test_tools_in_chat():
    """Not while it thinks: so it does not think, and may be warm. Never: so there are none."""
    assert fitted(LUNA, tools=TOOLS, temperature=0.2) == (
        {"tools": TOOLS, "temperature": 0.2, "reasoning_effort": "none"}, ["reasoning_effort"],
    )  # fmt: skip
    assert fitted(LUNA, tools=TOOLS, reasoning_effort="max")[0] == {"tools": TOOLS, "reasoning_effort": "none"}
    assert fitted(ASTRA, tools=TOOLS, tool_choice="auto", parallel_tool_calls=False) == (
        {}, ["tools", "tool_choice", "parallel_tool_calls"],
    )  # fmt: skip
    stubborn = Takes(model="m", efforts=("low",), tools="without_reasoning")
    assert fitted(stubborn, tools=TOOLS) == ({}, ["tools"])
    for takes in (PLAIN, LUNA, ASTRA):
        assert fitted(takes, tools=[])[1] == []
        assert fitted(takes, RESPONSES, tools=TOOLS)[1] == []


def test_names_of_the_other_api():
    """Each parameter by its name here; what stands there already wins."""
    assert fitted(UNKNOWN, max_output_tokens=5) == ({"max_completion_tokens": 5}, ["max_output_tokens"])
    assert fitted(UNKNOWN, max_output_tokens=5, max_completion_tokens=6)[0] == {"max_completion_tokens": 6}
    assert fitted(UNKNOWN, reasoning={"effort": "low", "summary": "auto"}) == (
        {"reasoning_effort": "low"}, ["reasoning.effort", "reasoning"],
    )  # fmt: skip
    assert fitted(UNKNOWN, text={"verbosity": "low", "format": {"type": "json_object"}})[0] == {
        "verbosity": "low", "response_format": {"type": "json_object"},
    }  # fmt: skip
    schema = {"name": "n", "schema": {}}
    asked = {
        "max_tokens": 5, "reasoning_effort": "low", "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": schema}, "text": {"x": 1},
    }  # fmt: skip
    assert fitted(UNKNOWN, RESPONSES, **asked) == (
        {
            "max_output_tokens": 5,
            "reasoning": {"effort": "low"},
            "text": {"x": 1, "verbosity": "low", "format": {"type": "json_schema", **schema}},
        },
        ["max_tokens", "reasoning_effort", "verbosity", "response_format"],
    )
    assert fitted(UNKNOWN, RESPONSES, stop="x", n=2, seed=1, logit_bias={}) == ({}, ["n", "stop", "seed", "logit_bias"])


def test_max_tokens_of_models_that_reason():
    """Renamed, not dropped; others take both names."""
    assert fitted(LUNA, max_tokens=5) == ({"max_completion_tokens": 5}, ["max_tokens"])
    assert fitted(LUNA, max_tokens=5, max_completion_tokens=6)[0] == {"max_completion_tokens": 6}
    assert fitted(ASTRA, max_tokens=5)[0] == {"max_completion_tokens": 5}
    assert fitted(PLAIN, max_tokens=5)[1] == []


def test_bounds():
    """As much as the model gives, under whichever name it was asked for."""
    assert fitted(PLAIN, max_tokens=1001, n=5) == ({"max_tokens": 1000, "n": 4}, ["n", "max_tokens"])
    assert fitted(PLAIN, max_tokens=1000, n=4)[1] == []
    assert fitted(LUNA, max_tokens=5000) == (
        {"max_completion_tokens": 1000}, ["max_tokens", "max_completion_tokens"],
    )  # fmt: skip
    assert fitted(LUNA, RESPONSES, max_output_tokens=5000) == ({"max_output_tokens": 1000}, ["max_output_tokens"])
    assert fitted(PLAIN, max_tokens="many", n=2.5)[1] == []


def test_what_is_said():
    """The model, the field, both numbers, and what would fit."""
    assert why(LUNA, temperature=0.2) == Misfit(
        "temperature", "luna takes no `temperature` unless `reasoning_effort` is none."
    )
    assert why(ASTRA, temperature=0.2).why == "astra takes no `temperature`."
    assert why(PLAIN, max_completion_tokens=10**6) == Misfit(
        "max_completion_tokens",
        "plain writes at most 1,000 tokens, and `max_completion_tokens` is 1,000,000.",
        value=True,
    )
    assert why(LUNA, reasoning_effort="max").why == (
        "luna takes none, low or high as `reasoning_effort` in Chat Completions, not max."
    )
    assert why(LUNA, max_tokens=5).why == "luna takes `max_completion_tokens` in place of `max_tokens`."
    assert why(PLAIN, RESPONSES, stop="x").why == "Responses has no `stop`."
    assert why(UNKNOWN, RESPONSES, max_tokens=5).why == "Responses has `max_output_tokens` in place of `max_tokens`."
    assert why(LUNA, tools=TOOLS).why == "luna calls tools in Chat Completions only with `reasoning_effort` none."


@pytest.mark.parametrize(
    ("fields", "idle"),
    [
        ({"temperature": 1}, True), ({"temperature": 1.0}, True), ({"temperature": 0}, False), ({"top_p": 1}, True),
        ({"logprobs": False}, True), ({"stop": []}, True), ({"stop": "x"}, False), ({"logit_bias": {}}, True),
    ],
)  # fmt: skip
def test_what_asks_for_nothing_is_marked(fields, idle):
    """Many a model lets it pass, so it is no reason to refuse a call."""
    assert why(LUNA, **fields).idle is idle


def test_only_what_does_not_fit_is_touched():
    """Every other byte stays as it came."""
    raw = b'{ "seed":1e0 ,"messages":[ {"role":"user","content":"\\u0041"} ], "temperature":0.20, "x":null}'
    assert fit(CHAT, Body(raw), LUNA)[0].raw == raw.replace(b'"temperature":0.20, ', b"")


def test_an_ambiguous_request_is_refused():
    """Two parsers must never see two requests."""
    with pytest.raises(BadRequestError, match="twice"):
        fit(CHAT, Body(b'{"temperature": 0, "temperature": 1}'), LUNA)


VALUES = st.sampled_from(
    [None, 1, 0, 0.5, 5000, -1, True, "low", "none", "max", "ultra", "", [], {}, ["x"], {"effort": "max"},
     {"verbosity": "low", "format": {"type": "json_schema", "name": "n"}}, ["message.output_text.logprobs"]]
)  # fmt: skip
MODELS = st.builds(
    Takes,
    model=st.just("m"),
    efforts=st.none()
    | st.lists(st.sampled_from(EFFORTS), unique=True).map(lambda e: tuple(sorted(e, key=EFFORTS.index))),
    effort=st.none(),
    sampling=st.sampled_from(["always", "without_reasoning", "never"]),
    logprobs=st.sampled_from(["always", "without_reasoning", "never"]),
    tools=st.sampled_from(["yes", "without_reasoning", "no"]),
    stop=st.booleans(),
    n=st.none() | st.just(3),
    max_output=st.none() | st.just(1000),
    refuses=st.frozensets(st.sampled_from(["max_tokens", "verbosity", "response_format", "seed", "audio"])),
)


@given(st.sampled_from(sorted(FITTED)), st.dictionaries(st.sampled_from([*FIELDS, "x"]), VALUES), MODELS)
def test_what_was_made_to_fit_fits(operation, fields, takes):
    """Whatever was asked: the result fits, says what it changed, and leaves the rest alone."""
    body, misfits = fit(operation, Body(json.dumps(fields).encode()), takes)
    assert not [misfit for misfit in fit(operation, body, takes)[1] if misfit.name not in {"reasoning", "text"}]
    assert json.loads(body.raw).get("x") == fields.get("x")
    assert bool(misfits) == (json.loads(body.raw) != fields)
