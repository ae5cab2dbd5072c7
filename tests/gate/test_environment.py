"""What the environment says."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.errors import ConfigError
from headgate.gate.environment import Filler, References, named, process_environment, switched, with_dotenv
from headgate.gate.problems import Problem


def resolve(value, environment, path=("server", "host")):
    """A value with its references replaced, and who replaced them."""
    references = References(environment)
    return references.resolve(value, path), references


def filled(data, **environment):
    """A document after every variable had its chance."""
    filler = Filler(data, environment)
    filler.gateway()
    filler.providers()
    return filler


def test_the_process_is_asked_by_one_function(monkeypatch):
    """A copy: what happens to it stays there."""
    monkeypatch.setenv("HEADGATE_TEST_ONLY", "1")
    found = process_environment()
    assert found["HEADGATE_TEST_ONLY"] == "1"
    found["HEADGATE_TEST_ONLY"] = "2"
    assert os.environ["HEADGATE_TEST_ONLY"] == "1"


def test_a_dotenv_file_is_read_below_the_environment(tmp_path):
    """The environment wins, with an empty value too; references inside the file are replaced."""
    file = tmp_path / ".env"
    file.write_text("export A=file\nB='two words'  # note\nC=${B}/${OUT:-x}/${A}\nD\nE=file\n")
    found = with_dotenv({"A": "outside", "E": ""}, file)
    assert found == {"A": "outside", "B": "two words", "C": "two words/x/outside", "E": ""}


def test_a_dotenv_file_need_not_exist_but_must_be_readable(tmp_path):
    """None and a missing file add nothing; bytes that are no text are an error that names the file."""
    assert with_dotenv({"A": "1"}, None) == {"A": "1"}
    assert with_dotenv({"A": "1"}, tmp_path / "none") == {"A": "1"}
    (tmp_path / ".env").write_bytes(b"A=\xff")
    with pytest.raises(ConfigError, match=r"\.env: the file cannot be read: not UTF-8"):
        with_dotenv({}, tmp_path / ".env")


def test_an_empty_variable_is_not_set():
    """Blanks around a value are no part of it."""
    assert named({"A": " x "}, "A") == "x"
    assert named({"A": " "}, "A") is None
    assert named({}, "A") is None


def test_a_switch_says_yes_or_no():
    """Anything else is an error, not a no."""
    assert all(switched({"S": value}, "S") for value in ("1", "true", "YES", "on"))
    assert not any(switched({"S": value}, "S") for value in ("", "0", "False", "no", "off"))
    assert not switched({}, "S")
    with pytest.raises(ConfigError, match="S is 'maybe', but must be 1 or 0"):
        switched({"S": "maybe"}, "S")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${A}", "one"),
        ("x-${A}-${B:-y}-z", "x-one-y-z"),
        ("${B:-}", ""),
        ("${EMPTY:-y}", "y"),
        ("${EMPTY}", ""),
        ("$${A}", "${A}"),
        ("$A costs $5", "$A costs $5"),
        ("${NESTED}", "${A}"),
    ],
)
def test_references_are_replaced_once(written, meant):
    """Inside longer text, with defaults, escaped; what a variable holds is not looked at again."""
    found, references = resolve(written, {"A": "one", "EMPTY": "", "NESTED": "${A}"})
    assert found == meant
    assert references.problems == []


def test_references_are_found_everywhere_and_other_values_stay():
    """In mappings and lists, at their paths; keys and numbers are left alone."""
    found, references = resolve({"a": ["${A}", 1, None], "${A}": True}, {"A": "x"}, ())
    assert found == {"a": ["x", 1, None], "${A}": True}
    assert references.written == {("a", 0): "${A}"}


def test_a_variable_that_is_not_set_is_a_problem():
    """It names the setting, the variable and the cure."""
    found, references = resolve("${NOPE}", {})
    (problem,) = references.problems
    assert found == ""
    assert problem.path == ("server", "host")
    assert problem.text == "needs the variable NOPE, which is not set."
    assert "${NOPE:-…}" in problem.hint


def test_a_complaint_shows_the_reference_and_not_what_the_variable_holds():
    """The value may be a credential that was put in the wrong place."""
    _, references = resolve("${A}", {"A": "hush"})
    problem = Problem(path=("server", "host"), text="is 'hush', but must not be.")
    assert references.as_written(problem).text == "is '${A}', but must not be."
    other = Problem(path=("server", "port"), text="is 'hush'.")
    assert references.as_written(other) is other


@pytest.mark.parametrize("written", ["${", "${}", "${A", "${A:b}", "${1A}", "${A:-${B}}", "${A-B}"])
def test_a_malformed_reference_is_a_problem(written):
    """Nothing that looks like a reference is passed on as text."""
    _, references = resolve(written, {"A": "x"})
    assert references.problems[0].text == "holds a malformed reference."


@pytest.mark.parametrize("written", ["${K}", "${K:-}", "Bearer ${K}"])
@pytest.mark.parametrize("environment", [{}, {"K": ""}])
def test_a_credential_that_comes_to_nothing_is_noted(written, environment):
    """A provider's key or header that waits for a variable is no error: the provider is skipped."""
    for path in (("providers", "p", "api_key"), ("providers", "p", "headers", "x")):
        _, references = resolve(written, environment, path)
        assert references.problems == []
        assert references.empty == {path: "K"}


def test_every_gateway_variable_fills_its_setting():
    """Where the file says nothing."""
    filler = filled(
        data := {},
        OPENAI_MODEL="m",
        REDIS_CACHE_URL="redis://h",
        OPENAI_CIRCUIT_BREAKER_FAILURES="7",
        OPENAI_CIRCUIT_BREAKER_TIMEOUT="9",
        OPENAI_DAILY_BUDGET_USD="100",
        OPENAI_ALERT_THRESHOLD_USD="80",
    )
    assert data == {
        "models": {"default": "m"},
        "shared": "redis://h",
        "policies": {"breaker": {"failures": "7", "rest": "9"}},
        "budgets": [{"name": "daily", "scope": "gateway", "window": "day", "limit_usd": "100", "alert_at": [0.8]}],
    }
    assert filler.made["policies", "breaker", "rest"] == "OPENAI_CIRCUIT_BREAKER_TIMEOUT"
    assert filler.made["budgets", 0] == "OPENAI_DAILY_BUDGET_USD"
    assert filler.problems == []


def test_every_provider_variable_fills_its_setting():
    """The key or the address alone makes the provider `openai`."""
    filled(
        data := {},
        OPENAI_API_KEY="sk-1",
        OPENAI_BASE_URL="http://h/v1",
        OPENAI_MAX_RETRIES="2",
        OPENAI_TIMEOUT_SECONDS="12",
        OPENAI_RATE_LIMIT_RPM="60",
    )
    assert data["providers"] == {
        "openai": {
            "type": "openai",
            "api_key": "sk-1",
            "base_url": "http://h/v1",
            "max_retries": "2",
            "limits": {"requests_per_minute": "60"},
            "timeout": {"connect": "12", "first_token": "12", "silence": "12"},
        }
    }
    filled(data := {"providers": None}, OPENAI_BASE_URL="http://h/v1")
    assert data["providers"] == {"openai": {"type": "openai", "base_url": "http://h/v1"}}
    filled(data := {}, OPENAI_MAX_RETRIES="2", OPENAI_API_KEY=" ")
    assert data == {}


def test_a_file_s_value_wins():
    """Each setting for itself, inside sections too."""
    written = {
        "models": {"default": "file"},
        "shared": "memory://",
        "policies": {"breaker": {"failures": 1}},
        "providers": {
            "p": {
                "type": "openai",
                "api_key": "k",
                "max_retries": 0,
                "limits": {"requests_per_minute": 1},
                "timeout": {"connect": 1},
            },
            "q": {"type": "openai", "base_url": "http://h/v1", "timeout": 5},
        },
        "budgets": [{"name": "mine", "limit_usd": 1}],
    }
    filler = filled(
        written,
        OPENAI_MODEL="m",
        REDIS_CACHE_URL="redis://h",
        OPENAI_CIRCUIT_BREAKER_FAILURES="7",
        OPENAI_MAX_RETRIES="2",
        OPENAI_TIMEOUT="12",
        OPENAI_RATE_LIMIT_RPM="60",
        OPENAI_DAILY_BUDGET_USD="100",
    )
    p, q = written["providers"].values()
    assert p["timeout"] == {"connect": 1, "first_token": "12", "silence": "12"}
    assert (p["max_retries"], p["limits"]) == (0, {"requests_per_minute": 1})
    assert (q["timeout"], q["max_retries"]) == (5, "2")
    assert written["budgets"] == [{"name": "mine", "limit_usd": 1}]
    assert {path[0] for path in filler.made} == {"providers"}


def test_our_key_never_travels_to_another_address():
    """Key and address are filled together, or not at all; other types of provider are left alone."""
    providers = {
        "both": {"type": "openai"},
        "address": {"type": "openai", "base_url": "http://h/v1"},
        "key": {"type": "openai", "api_key": "k"},
        "sim": {"type": "simulator"},
        "odd": "text",
    }
    filled({"providers": providers}, OPENAI_API_KEY="sk-1", OPENAI_BASE_URL="http://mine/v1")
    assert providers["both"] == {"type": "openai", "api_key": "sk-1", "base_url": "http://mine/v1"}
    assert "api_key" not in providers["address"]
    assert "base_url" not in providers["key"]
    assert providers["sim"] == {"type": "simulator"}


@pytest.mark.parametrize(
    "data", [{"models": "x"}, {"providers": ["x"]}, {"budgets": "x"}, {"policies": {"breaker": 5}}]
)
def test_a_document_of_the_wrong_shape_is_left_to_the_schema(data):
    """Filling never crashes on it and never repairs it."""
    before = dict(data)
    filled(
        data,
        OPENAI_MODEL="m",
        OPENAI_API_KEY="k",
        OPENAI_DAILY_BUDGET_USD="1",
        OPENAI_CIRCUIT_BREAKER_FAILURES="7",
    )
    assert {key: data[key] for key in before} == before


def test_two_names_for_the_timeout_must_agree():
    """Equal values are fine, in any spelling; different ones are an error."""
    assert filled({}, OPENAI_TIMEOUT="30", OPENAI_TIMEOUT_SECONDS="30.0s").problems == []
    (problem,) = filled({}, OPENAI_TIMEOUT="30", OPENAI_TIMEOUT_SECONDS="3x").problems
    assert problem.variable == "OPENAI_TIMEOUT"
    assert problem.text == "is '30', but OPENAI_TIMEOUT_SECONDS, which means the same, is '3x'."


@pytest.mark.parametrize("amount", ["much", "0", "-5", "NaN", "Infinity"])
def test_a_budget_is_a_sum(amount):
    """Anything else is refused by the variable's name."""
    (problem,) = filled({}, OPENAI_DAILY_BUDGET_USD=amount).problems
    assert problem.variable == "OPENAI_DAILY_BUDGET_USD"
    assert "above 0" in problem.text


def test_an_alert_needs_a_budget_that_it_fits():
    """A threshold alone watches nothing, and one above the budget never rings."""
    assert "no budget" in filled({}, OPENAI_ALERT_THRESHOLD_USD="80").problems[0].text
    above = filled({}, OPENAI_ALERT_THRESHOLD_USD="120", OPENAI_DAILY_BUDGET_USD="100")
    assert above.problems[0].text == "is 120, more than the budget of 100."


def test_the_daily_budget_stands_beside_other_budgets():
    """Budgets of other scopes and windows are others."""
    others = [{"name": "a", "scope": "project"}, {"name": "b", "window": "month"}, "odd"]
    filled(data := {"budgets": others}, OPENAI_DAILY_BUDGET_USD="5")
    assert [*others, {"name": "daily", "scope": "gateway", "window": "day", "limit_usd": "5"}] == data["budgets"]


@given(st.text(alphabet="$ {}A:-x", max_size=30), st.text(max_size=10))
def test_resolving_never_crashes_and_never_leaves_a_reference(text, value):
    """Whatever is written, a text comes out, and a reference is replaced, escaped or complained about."""
    found, references = resolve(text, {"A": value})
    assert isinstance(found, str)
    if "${" not in text:
        assert found == text
    elif "${" in found and "${" not in value and not references.problems:
        assert "$${" in text


@pytest.mark.parametrize(
    ("provider", "file", "model"),
    [
        ({}, "/data/models/SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct"),
        ({"model": "own"}, "/data/models/SmolLM2-135M-Instruct.Q4_1.gguf", "own"),
        ({"model_file": "my/Model.Q8_0.gguf"}, "my/Model.Q8_0.gguf", "model.q8_0"),
        ({"model_file": "a.gguf", "model": "own"}, "a.gguf", "own"),
        ({"model_file": 1}, 1, None),
    ],
)
def test_a_model_on_this_machine_has_a_file_and_a_name(provider, file, model):
    """The file that is installed, unless another one is named; the name of the file, unless another one is given."""
    data = {"providers": {"p": {"type": "local", **provider}, "q": {"type": "openai"}, "r": None}}
    filler = Filler(data, {"HEADGATE_HOME": "/data"})
    filler.local()
    assert (data["providers"]["p"]["model_file"], data["providers"]["p"].get("model")) == (file, model)
    assert data["providers"]["q"] == {"type": "openai"}
    assert filler.made == {}
    for nothing in ({}, {"providers": None}, {"providers": []}):
        Filler(nothing, {}).local()
